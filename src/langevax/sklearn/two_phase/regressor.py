"""Regression by a small ReLU network, trained in two phases."""

import os
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from langevax import checks
from langevax.sklearn import persistence
from langevax.sklearn.table import Standardiser, Table, distinct_rows
from langevax.sklearn.training import root_key
from langevax.sklearn.two_phase.inspection import Inspection
from langevax.sklearn.two_phase.training import Settings, Units, outputs, train
from langevax.teacher_student import ReLUNetwork

COUNTS = {"num_neurons": 1, "num_restarts": 1, "explore_steps": 0, "converge_steps": 0}
POSITIVE = ("bound", "annealing", "explore_step_size", "converge_step_size")
AT_LEAST_ZERO = ("temperature", "penalty", "tolerance")


class TwoPhaseReLURegressor(RegressorMixin, Inspection, BaseEstimator):
    """Least squares by a small ReLU network, trained in two phases from several starts.

    The network sees standardised columns and a constant one, and learns standardised targets (Akiyama and Suzuki, ICLR
    2023, Algorithm 1):

        f(x) = b + sum_j outer_j relu(inner_j . x)
        I   theta <- theta - h grad [ error(clip(theta)) + penalty |theta|^2 ] + sqrt(2 h T) xi,  theta = (outer, inner)
        II  inner <- inner - h grad [ error + weight_decay |inner|^2 ],           outer = -1, 0 or 1 fixed

    with error half the mean square and b the best intercept at every step. Phase I explores: noise settles which
    neurons push up and which down, which phase II cannot change. All restarts are one program; the one of least
    training loss is taken.

    Args:
        num_neurons: m; the theorem asks for at most as many as columns, the code does not.
        num_restarts: independent starts.
        temperature: T at the start of phase I, in units of the targets' variance.
        annealing: T falls geometrically to T / annealing in `explore_steps`. 1 keeps it, as in the paper; then phase I
            ends sooner, once the losses of all restarts have stopped falling.
        penalty: of phase I.
        weight_decay: of phase II. The paper has 0, which overfits where targets are noisy: "auto" takes the best of
            0, 1e-4, 1e-3 and 1e-2 on a fifth of the rows, then trains on all; of fewer than 20 distinct rows it takes
            1e-2.
        bound: R of clip(r) = R tanh(r |r| / 2R), above the largest weight that is expected.
        explore_steps, converge_steps: of the phases, at most.
        explore_step_size, converge_step_size: in units of the inverse curvature bound; the second must be below 2.
        tolerance: phase II ends once its second half took away no more than this share of the best restart's loss.
        progress: show a progress line; None shows it on a terminal after a second.
        random_state: int or `numpy.random.RandomState`.

    Attributes:
        network_: `ReLUNetwork`, `outer` (m,) and `inner` (m, d + 1), on the standardised columns over sqrt(d) and a
            constant 1 / sqrt(d) behind them, whose weights are biases.
        intercept_: b, of the standardised targets.
        history_: "steps" (records,) and "loss" (restarts, records) through both phases: half the mean square error.
        switch_step_, switch_reason_: when phase II began, and a sentence that says why.
        restart_losses_, best_restart_: training losses at the end, and the index of the least.
        num_positive_: (restarts,) neurons that push up.
        weight_decay_, held_out_: the decay taken, and the mean square errors that it was chosen by.
        n_iter_, converged_: steps of both phases, and whether phase II ended before it ran out of steps.

    Example:
        >>> from sklearn.datasets import make_friedman1
        >>> X, y = make_friedman1(300, 5, noise=0.5, random_state=0)
        >>> model = TwoPhaseReLURegressor(5, random_state=0).fit(X[:200], y[:200])
        >>> model.score(X[200:], y[200:]) > 0.9
        True
    """

    def __init__(
        self,
        num_neurons: int = 5,
        *,
        num_restarts: int = 12,
        temperature: float = 2e-3,
        annealing: float = 200.0,
        penalty: float = 2e-4,
        weight_decay: float | Literal["auto"] = "auto",
        bound: float = 5.0,
        explore_steps: int = 1000,
        converge_steps: int = 4000,
        explore_step_size: float = 0.1,
        converge_step_size: float = 1.5,
        tolerance: float = 1e-3,
        progress: bool | None = None,
        random_state: Any = None,
    ):
        self.num_neurons = num_neurons
        self.num_restarts = num_restarts
        self.temperature = temperature
        self.annealing = annealing
        self.penalty = penalty
        self.weight_decay = weight_decay
        self.bound = bound
        self.explore_steps = explore_steps
        self.converge_steps = converge_steps
        self.explore_step_size = explore_step_size
        self.converge_step_size = converge_step_size
        self.tolerance = tolerance
        self.progress = progress
        self.random_state = random_state

    def fit(self, X: Table, y: Any, sample_weight: Any = None) -> Self:
        """Choose the weight decay, explore, converge.

        Args:
            X: (n, d) numbers, at least two rows; NumPy, pandas or polars.
            y: (n,).
            sample_weight: (n,) >= 0; a row of weight 2 is the same row twice, to the last bit.

        Raises:
            ValueError, TypeError: no numbers, NaN or infinity, fewer than two rows, a parameter out of range.
            DivergenceError: a step size is too large.
        """
        settings = self._checked()
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        rows = distinct_rows(X, np.asarray(y, np.float64), weights)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        self.units_ = Units.fit(rows)
        if self.units_.target_scale == 0:
            return self._constant()
        fitted = train(rows, self.units_, settings, root_key(seed))
        fit = fitted.fit
        self.network_, self.intercept_ = fit.network, fitted.intercept
        self.restart_losses_, self.best_restart_ = fit.losses, fit.best
        self.num_positive_ = fit.num_positive
        self.switch_step_, self.n_iter_ = fit.switch, int(fit.result.steps)
        self.switch_reason_ = self._reason(fit.switch)
        self.converged_ = self.n_iter_ - self.switch_step_ < self.converge_steps
        self.weight_decay_, self.held_out_ = fitted.decay, fitted.errors
        trace = fit.result.trace
        steps, loss = (
            (np.empty(0, int), np.empty((self.num_restarts, 0)))
            if trace is None
            else (
                trace.steps,
                np.asarray(trace.values["loss"]),
            )
        )
        self.history_ = {"steps": steps, "loss": loss}
        return self

    def predict(self, X: Table) -> np.ndarray:
        """(n,), in the units of the targets."""
        check_is_fitted(self)
        columns = np.asarray(validate_data(self, X, dtype=np.float64, reset=False))
        z = self.intercept_ + outputs(self.network_, self.units_.prepared(columns))
        return self.units_.target_mean + self.units_.target_scale * z

    def save(self, file: str | os.PathLike) -> None:
        """Write the fitted model as one safetensors file, without pickle; `langevax.sklearn.load` reads it."""
        check_is_fitted(self)
        units = self.units_
        arrays = {"outer": self.network_.outer, "inner": self.network_.inner, "num_positive": self.num_positive_}
        arrays |= {"input_mean": units.inputs.mean, "input_scale": units.inputs.scale}
        arrays |= {"restart_losses": self.restart_losses_, **self.history_}
        names = ("intercept_", "best_restart_", "switch_step_", "switch_reason_", "n_iter_", "converged_")
        header = {
            "class": type(self).__name__,
            "parameters": {name: _plain(value) for name, value in self.get_params(deep=False).items()},
            "units": {name: getattr(units, name) for name in ("constant", "target_mean", "target_scale")},
            "fitted": {name: getattr(self, name) for name in (*names, "weight_decay_")},
            "held_out": list(self.held_out_.items()),
            "feature_names": [str(name) for name in getattr(self, "feature_names_in_", ())],
        }
        persistence.write(file, header, arrays)

    def _restore(self, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Become the model that `save` wrote."""
        self.network_ = ReLUNetwork(arrays["outer"], arrays["inner"])
        self.units_ = Units(Standardiser(arrays["input_mean"], arrays["input_scale"]), **header["units"])
        self.restart_losses_, self.num_positive_ = arrays["restart_losses"], arrays["num_positive"]
        self.history_ = {"steps": arrays["steps"], "loss": arrays["loss"]}
        for name, value in header["fitted"].items():
            setattr(self, name, value)
        self.held_out_ = {float(decay): float(error) for decay, error in header["held_out"]}
        self.n_features_in_ = len(arrays["input_mean"])
        if header["feature_names"]:
            self.feature_names_in_ = np.array(header["feature_names"], object)

    def _checked(self) -> Settings:
        """The parameters; raise ValueError or TypeError naming the first that is out of range."""
        given = self.get_params(deep=False)
        for name, minimum in COUNTS.items():
            checks.positive_int(name, given[name], minimum=minimum)
        decay = given["weight_decay"]
        if isinstance(decay, str) and decay != "auto":
            raise ValueError(f"weight_decay must be a number >= 0 or 'auto', got {decay!r}.")
        numbers = {name: given[name] for name in (*POSITIVE, *AT_LEAST_ZERO)}
        numbers |= {} if isinstance(decay, str) else {"weight_decay": decay}
        for name, value in numbers.items():
            checks.number(name, value, positive=name in POSITIVE)
        if given["converge_step_size"] >= 2:
            raise ValueError(f"converge_step_size must be below 2, got {given['converge_step_size']}; pass 1.5.")
        return Settings(**{name: given[name] for name in Settings._fields})

    def _constant(self) -> Self:
        """Targets that do not vary are predicted as they are."""
        m, d = self.num_neurons, self.n_features_in_
        self.network_, self.intercept_ = ReLUNetwork(np.ones(m, np.float32), np.zeros((m, d + 1), np.float32)), 0.0
        self.restart_losses_, self.best_restart_ = np.zeros(self.num_restarts, np.float32), 0
        self.num_positive_ = np.full(self.num_restarts, m)
        self.switch_step_, self.n_iter_, self.converged_ = 0, 0, True
        self.switch_reason_ = "all targets are equal, so that there is nothing to learn"
        self.weight_decay_, self.held_out_ = 0.0, {}
        self.history_ = {"steps": np.empty(0, int), "loss": np.empty((self.num_restarts, 0), np.float32)}
        return self

    def _reason(self, switch: int) -> str:
        if switch < self.explore_steps:
            return f"the losses of all {self.num_restarts} restarts stood still at step {switch:,}"
        if self.annealing == 1:
            return f"all {switch:,} steps of exploration were made; the losses had not yet stood still"
        cold = self.temperature / self.annealing
        return f"all {switch:,} steps of exploration were made; the temperature had fallen to {cold:.2g}"


def _plain(value: Any) -> Any:
    """A parameter as JSON; a generator becomes None."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, str | int | float | None) else None
