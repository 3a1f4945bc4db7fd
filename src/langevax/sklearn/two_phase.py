"""Regression by a small ReLU network, trained in two phases from several starts.

Inputs are standardised columns over sqrt(d) and a constant column of the same size, 1 / sqrt(d): rows of about length
1, as on the sphere, whose last weight is a neuron's bias. Targets are standardised. Rows are padded by rows of weight
0, and held out by weight 0 too, so that folds and the choice of weight decay run the programs of the fit.
"""

from dataclasses import KW_ONLY, dataclass, replace
from numbers import Real
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from jax import random
from numpy.typing import ArrayLike

from langevax._typing import PRNGKey
from langevax.run.options import Run
from langevax.sklearn.column_maps import Standardiser, Table, weighted_moments
from langevax.sklearn.parameters import (
    SHARED,
    Auto,
    Number,
    RandomState,
    count,
    non_negative,
    positive,
    unsaved_run,
)
from langevax.sklearn.saved import saved_class
from langevax.sklearn.table import (
    DistinctRows,
    NumberTargets,
    RowEstimator,
    bucket,
    padded,
)
from langevax.sklearn.training import keep_few_programs, root_key
from langevax.teacher_student import (
    Converge,
    Explore,
    ReLUNetwork,
    TwoPhaseFit,
    two_phase,
)
from langevax.teacher_student.phases import curvature_bound

DECAYS = (0.0, 1e-4, 1e-3, 1e-2)
"""Tried by weight_decay="auto". Strong ones compensate for a poor exploration."""


@saved_class
@dataclass(frozen=True)
class NetworkUnits:
    """Map from the user's columns and targets to those of the network, and back."""

    inputs: Standardiser
    constant: float
    """Value of the last column."""
    target_mean: float
    target_scale: float

    @classmethod
    def fit(cls, rows: DistinctRows) -> "NetworkUnits":
        mean, deviation = weighted_moments(rows.targets, rows.weights)
        inputs = Standardiser.fit(rows.inputs, rows.weights, "columns")
        varying = np.count_nonzero(np.isfinite(inputs.scale))
        return cls(
            inputs, float(max(1, varying) ** -0.5), float(mean), float(deviation)
        )

    def prepared(self, inputs: np.ndarray) -> np.ndarray:
        """Return the network's inputs (n, d + 1) float32."""
        standardised = self.inputs(inputs)
        return np.column_stack(
            [standardised, np.full(len(inputs), self.constant, np.float32)]
        )


@dataclass(eq=False, repr=False)
class TwoPhaseReLURegressor(NumberTargets, RowEstimator):
    """Least squares by a small ReLU network, trained in two phases from several starts.

    The network sees standardised columns and a constant one, and learns standardised targets (Akiyama and Suzuki, ICLR
    2023, Algorithm 1):

        f(x) = b + sum_j outer_j relu(inner_j . x)
        I   theta <- theta - h grad [ error(clip(theta)) + precision / 2 |theta|^2 ] + sqrt(2 h T) xi
        II  inner <- inner - h grad [ error + weight_decay |inner|^2 ],           outer = -1, 0 or 1 fixed

    with theta = (outer, inner), error half the mean square and b the best intercept at every step. Phase I explores:
    noise determines the signs of the neurons, which phase II cannot change. All restarts are one program; the one of
    least training loss is returned.

    Args:
        num_particles: neurons m; the theorem asks for at most as many as columns, the code does not.
        num_restarts: independent starts.
        temperature: T at the start of phase I, in units of the targets' variance.
        annealing: T falls geometrically to T / annealing in `num_explore_steps`. 1 leaves it constant, as in the paper;
            then phase I ends sooner, once the losses of all restarts have stopped falling.
        precision: of the quadratic penalty of phase I.
        weight_decay: of phase II. The paper has 0, which overfits where targets are noisy: "auto" uses the best of
            0, 1e-4, 1e-3 and 1e-2 on a fifth of the rows, then trains on all; with fewer than 20 distinct rows it is
            1e-2.
        bound: R of clip(r) = R tanh(r |r| / 2R), above the largest expected weight.
        num_explore_steps, num_converge_steps: of the phases, at most.
        relative_explore_step_size, relative_converge_step_size: in units of the inverse curvature bound; the second
            must be below 2.
        tolerance: phase II ends once its second half reduced the best restart's loss by no more than this share.
        run: a `langevax.Run`, which says whether a progress line is shown; it saves nothing. None is `Run()`.
        random_state: int or `numpy.random.RandomState`.

    Attributes:
        network_: `ReLUNetwork`, `outer` (m,) and `inner` (m, d + 1), on the standardised columns over sqrt(d) and a
            constant 1 / sqrt(d) after them, whose weights are biases.
        intercept_: b, of the standardised targets.
        history_: "steps" (records,) and "loss" (restarts, records) through both phases: half the mean square error.
        switch_step_, switch_reason_: the step where phase II began, and a sentence that says why.
        restart_losses_, best_restart_: training losses at the end, and the index of the least.
        num_positive_: (restarts,) neurons with a positive outer weight.
        weight_decay_, held_out_: the decay used, and the mean square errors that it was chosen by.
        n_iter_, converged_: steps of both phases, and whether phase II ended before it ran out of steps.

    Example:
        >>> from sklearn.datasets import make_friedman1
        >>> X, y = make_friedman1(300, 5, noise=0.5, random_state=0)
        >>> model = TwoPhaseReLURegressor(5, random_state=0).fit(X[:200], y[:200])
        >>> model.score(X[200:], y[200:]) > 0.9
        True
    """

    num_particles: int = 5
    _: KW_ONLY
    num_restarts: int = 12
    temperature: float = 2e-3
    annealing: float = 200.0
    precision: float = 4e-4
    weight_decay: float | Auto = "auto"
    bound: float = 5.0
    num_explore_steps: int = 1000
    num_converge_steps: int = 4000
    relative_explore_step_size: float = 0.1
    relative_converge_step_size: float = 1.5
    tolerance: float = 1e-3
    run: Run | None = None
    random_state: RandomState = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "num_particles": count(1),
        "num_restarts": count(1),
        "temperature": non_negative(),
        "annealing": positive(),
        "precision": non_negative(),
        "weight_decay": non_negative("auto"),
        "bound": positive(),
        "num_explore_steps": count(0),
        "num_converge_steps": count(1),
        "relative_explore_step_size": positive(),
        "relative_converge_step_size": [Number(Real, 0, 2, closed="neither")],
        "tolerance": non_negative(),
        **SHARED,
    }

    def fit(
        self,
        X: Table,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Choose the weight decay, explore, converge.

        Args:
            X: (n, d) numbers, at least two rows; NumPy, pandas or polars.
            y: (n,).
            sample_weight: (n,) >= 0; a row of weight 2 is the same row twice, to the last bit.

        Raises:
            ValueError, TypeError: not numbers, NaN or infinity, fewer than two rows, a parameter out of range.
            DivergenceError: a step size is too large.
        """
        self._validate_params()
        unsaved_run(self)  # before anything is computed
        rows = self._training_rows(X, y, sample_weight)
        seed = self._seed()
        self.units_: NetworkUnits = NetworkUnits.fit(rows)
        trained = train(self, rows, root_key(seed))
        fit = trained.fit
        self.intercept_: float = trained.intercept
        self.weight_decay_: float = trained.decay
        self.held_out_: dict[float, float] = trained.errors
        self.network_: ReLUNetwork = fit.network
        self.restart_losses_: np.ndarray = fit.losses
        self.best_restart_: int = fit.best
        self.num_positive_: np.ndarray = fit.num_positive
        self.switch_step_: int = fit.switch
        self.n_iter_: int = int(fit.result.steps)
        self.switch_reason_: str = self._reason(fit.switch)
        self.converged_: bool = (
            self.n_iter_ - self.switch_step_ < self.num_converge_steps
        )
        trace = fit.result.trace
        assert trace is not None
        losses = np.asarray(trace.values["loss"])
        self.history_: dict[str, np.ndarray] = {"steps": trace.steps, "loss": losses}
        return self

    def predict(self, X: Table) -> np.ndarray:
        """Return (n,), in the units of the targets."""
        columns = self._columns(X)
        z = self.intercept_ + outputs(self.network_, self.units_.prepared(columns))
        return self.units_.target_mean + self.units_.target_scale * z

    @property
    def record_every(self) -> int:
        """Steps between records."""
        return max(1, (self.num_explore_steps or self.num_converge_steps) // 50)

    def converge_phase(self, curvature: float, decay: float) -> Converge:
        """Return phase II, to whose curvature the weight decay is added."""
        step_size = self.relative_converge_step_size / (curvature + 2 * decay)
        return Converge(step_size, self.num_converge_steps, 2 * decay, self.tolerance)

    def _reason(self, switch: int) -> str:
        if switch < self.num_explore_steps:
            return (
                f"the losses of all {self.num_restarts} restarts stopped falling by "
                f"step {switch:,}"
            )
        if self.annealing == 1:
            return (
                f"all {switch:,} exploration steps were made; the losses were still "
                "falling"
            )
        cold = self.temperature / self.annealing
        return (
            f"all {switch:,} exploration steps were made; the temperature had fallen "
            f"to {cold:.2g}"
        )


class TrainedNetwork(NamedTuple):
    """Result of both phases, with the choice of weight decay."""

    fit: TwoPhaseFit
    intercept: float
    decay: float
    errors: dict[float, float]
    """Mean square error on held-out rows by weight decay; empty where none was chosen."""


class PaddedRows(NamedTuple):
    """Rows of the network, padded."""

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


def train(
    model: TwoPhaseReLURegressor, rows: DistinctRows, key: PRNGKey
) -> TrainedNetwork:
    """Choose the weight decay where it is "auto", then run both phases on all rows."""
    split_key, choice_key, fit_key = random.split(key, 3)
    units = model.units_
    length = bucket(len(rows.inputs))
    size = units.target_scale or 1.0  # targets that are all equal are predicted as such
    targets = ((rows.targets - units.target_mean) / size).astype(np.float32)
    weights = np.zeros(length, np.float32)
    weights[: len(rows.weights)] = rows.weights
    problem = PaddedRows(
        padded(units.prepared(rows.inputs), length), padded(targets, length), weights
    )
    keep_few_programs(
        "two phases", problem.inputs.shape, model.num_particles, model.num_restarts
    )
    curvature = curvature_bound(problem.inputs, model.num_particles, problem.weights)
    decay = model.weight_decay
    errors = {}
    if isinstance(decay, str):
        decay = max(DECAYS)
        if len(rows.inputs) >= 20:
            chosen = np.asarray(
                random.permutation(split_key, length)
            )  # of a length that is compiled once
            held_out = chosen[chosen < len(rows.inputs)][: len(rows.inputs) // 5]
            errors = held_out_errors(model, problem, held_out, curvature, choice_key)
            decay = min(errors, key=lambda decay: errors[decay])
    fit = run_phases(
        model, problem, curvature, model.converge_phase(curvature, decay), fit_key
    )
    return TrainedNetwork(fit, intercept(fit.network, problem), float(decay), errors)


def run_phases(
    model: TwoPhaseReLURegressor,
    rows: PaddedRows,
    curvature: float,
    converge: Converge,
    key: PRNGKey,
) -> TwoPhaseFit:
    """Run both phases on these rows; phase I ends at a plateau where the temperature is constant."""
    explore = Explore(
        step_size=model.relative_explore_step_size / curvature,
        temperature=model.temperature,
        annealing=model.annealing,
        precision=model.precision,
        bound=model.bound,
        num_steps=model.num_explore_steps,
        plateau=model.annealing == 1,
    )
    return two_phase(
        rows.inputs,
        rows.targets,
        model.num_particles,
        key=key,
        explore=explore,
        converge=converge,
        num_restarts=model.num_restarts,
        record_every=model.record_every,
        weights=rows.weights,
        intercept=True,
        run=unsaved_run(model),
    )


def held_out_errors(
    model: TwoPhaseReLURegressor,
    problem: PaddedRows,
    held_out: np.ndarray,
    curvature: float,
    key: PRNGKey,
) -> dict[float, float]:
    """Return errors on held-out rows by decay, each after the same exploration and a quarter of the steps of phase II.

    Each is that of the restart of least training loss, as in the fit.
    """
    weights = problem.weights.copy()
    weights[held_out] = 0
    training = problem._replace(weights=weights)
    errors = {}
    for decay in DECAYS:
        converge = model.converge_phase(curvature, decay)
        steps = max(1, converge.num_steps // len(DECAYS))
        converge = replace(converge, num_steps=steps)
        network = run_phases(model, training, curvature, converge, key).network
        residuals = problem.targets - outputs(network, problem.inputs)
        squares = (residuals - intercept(network, training))[held_out] ** 2
        errors[decay] = float(np.average(squares, weights=problem.weights[held_out]))
    return errors


def intercept(network: ReLUNetwork, problem: PaddedRows) -> float:
    """Return the mean residual of the network."""
    return float(
        np.average(
            problem.targets - outputs(network, problem.inputs), weights=problem.weights
        )
    )


def outputs(network: ReLUNetwork, prepared: np.ndarray) -> np.ndarray:
    """Return the outputs (n,) float64 without the intercept."""
    outer, inner = (np.asarray(leaf, np.float64) for leaf in network)
    return np.maximum(prepared @ inner.T, 0) @ outer
