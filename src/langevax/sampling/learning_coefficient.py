"""`learning_coefficient`: the local learning coefficient of trained parameters, by exact chains, with its error.

    coefficient  =  n beta (E L(w) - L(w*)),      w ~ exp(-n beta L(w) - gamma/2 |w - w*|^2)

with L the mean loss over n rows and beta = 1 / log n unless another temperature T = 1 / (n beta) is passed (Lau et al.,
AISTATS 2025; Watanabe, JMLR 2013). It is d/2 at a regular minimum of d parameters, and smaller at a singular
one. The usual estimate takes SGLD, whose steps and batches heat the law; here every transition is exact.

The mean of L is corrected by variables of known mean (`Observation`), which at a regular minimum leave the noise of
the localization alone (`corrected_mean`).
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.core import Tracer
from jaxtyping import Array

from langevax import checks, trees
from langevax._typing import HostVector, PRNGKey, PyTree, Vector
from langevax.problems.coordinates import Raveled
from langevax.problems.problem import Problem, Scalar
from langevax.renamed import refuse_former
from langevax.run import Result, Run, simulate
from langevax.run.options import check_run
from langevax.run.simulate import position_of
from langevax.sampling.coefficient import (
    MAX_EXCESS,
    LearningCoefficient,
    doubts,
)
from langevax.sampling.corrected_mean import (
    CorrectedMean,
    effective_draws_of,
    localization_effect,
    r_hat_of,
)
from langevax.sampling.preconditioning import (
    MAX_COORDINATES,
    CoordinateMap,
    Pilot,
    coordinates_of,
    find_mode,
    run_even_pilot,
)
from langevax.sampling.resolution import check_resolution, normal_deviations
from langevax.sampling.subsampled_hmc import (
    CEILING,
    SubsampledHMC,
    surrogate_batch_size,
    within_limits,
)
from langevax.sampling.tempered_loss import Observation, TemperedLoss, tempered_loss
from langevax.trees import in_double

STEPS_PER_RECORD = 2
"""Along batches: a record costs a pass, as a step does."""
Units = Literal["curvature", "localization"]
"""Of the coordinates, in the order that they are tried: from the curvature at the mode, and of the width that the
localization alone leaves."""


@refuse_former
def learning_coefficient(
    loss: Problem | Callable[[PyTree, PyTree], Scalar],
    params: PyTree,
    data: PyTree = None,
    *,
    key: PRNGKey,
    temperature: float | Literal["auto"] = "auto",
    localization: float | Literal["auto"] = "auto",
    num_samples: int = 1000,
    num_chains: int = 4,
    batch_size: int | Literal["auto"] | None = "auto",
    num_warmup: int = 600,
    run: Run = Run(),
) -> LearningCoefficient:
    """Estimate the local learning coefficient of a model at trained parameters.

    Args:
        loss: `loss(params, example) -> scalar` of ONE row of `data`, in nats: a negative log likelihood, for squares
            `(prediction - target) ** 2 / (2 * noise ** 2)`. Or a problem with its rows, a `FiniteSum`.
        params: a local minimum of the mean loss: any pytree of float32 or float64 arrays, such as the parameters of
            Flax, Equinox or Haiku.
        data: a pytree of arrays with one row per example along axis 0; rows of a file are used where they lie.
        temperature: of the mean loss, T = 1 / (n beta); "auto" is log(n) / n, beta = 1 / log(n) of the summed loss.
        localization: gamma, in 1 / (unit of a parameter)^2; "auto" is one over the mean square of the parameters, and 1
            where these are 0.
        num_samples, num_chains: draws of each chain, and independent chains; at least 2 chains and 4 draws.
        batch_size: rows of one trajectory of Hamiltonian Monte Carlo, which is accepted with the loss of all rows;
            "auto" takes as many as keep four of five trajectories; None takes all rows.
        num_warmup: steps before the first draw, in which the step size follows the acceptance.
        run: a `Run`; the draws are saved, not the warm-up.

    Returns:
        A `LearningCoefficient`: value, standard error and what it consists of, draws, warnings.

    Raises:
        TypeError, ValueError: an invalid argument; a loss that is not finite at `params`; parameters from which descent
            or a chain lowers the loss by more than a minimum allows.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> x = jax.random.normal(jax.random.key(1), (500, 3))
        >>> y = x[:, 0] * 2.0
        >>> loss = lambda w, row: (row[0] @ (w["a"] * w["b"]) - row[1]) ** 2 / 2
        >>> params = {"a": jnp.array(2.0), "b": jnp.array([1.0, 0.0, 0.0])}  # a and b only enter as a product
        >>> result = langevax.learning_coefficient(loss, params, (x, y), key=jax.random.key(0))
        >>> 1.3 < result.value < 1.6, result.num_parameters
        (True, 4)
    """
    began = time.perf_counter()
    if isinstance(key, Tracer):
        raise TypeError(
            "learning_coefficient runs outside of jax.jit, vmap and grad; call it from "
            "there."
        )
    checks.typed_key(key)
    check_run(run)
    heat = _number("temperature", temperature)
    gamma = _number("localization", localization)
    law = tempered_loss(loss, params, data)
    size = int(law.size)
    checks.positive_int("num_samples", num_samples, minimum=4)
    checks.positive_int("num_chains", num_chains, minimum=2)
    checks.positive_int("num_warmup", num_warmup)
    batch = _checked_batch(batch_size, size)
    lengths = _Lengths(int(num_chains), int(num_warmup), int(num_samples), batch)
    heat = math.log(size) / size if heat is None else heat
    minimum = _Minimum.of(law, heat, gamma)
    pilot_key, run_key = random.split(key)
    target = _Target.of(minimum, pilot_key, "curvature", 0)
    chains = target.run(lengths, run_key, run)
    if isinstance(chains, int):
        spent = target.evaluations + chains
        target = _Target.of(minimum, pilot_key, "localization", spent)
        chains = target.run(lengths, run_key, run)
    assert not isinstance(chains, int)
    return _summary(target, chains, time.perf_counter() - began)


def _number(name: str, value: float | str) -> float | None:
    """Return one number, None for "auto"."""
    checks.number(name, value, positive=True, auto=True)
    if np.size(value) != 1:
        raise ValueError(
            f"{name} must be one number, got {checks.shown(value)}; pass a float."
        )
    return None if isinstance(value, str) else float(value)


def _checked_batch(
    batch_size: int | Literal["auto"] | None, num_rows: int
) -> int | Literal["auto"]:
    """Return the rows of a trajectory; raise unless there are so many."""
    batch_size = num_rows if batch_size is None else batch_size
    checks.positive_int("batch_size", batch_size, auto=True)
    if isinstance(batch_size, str):
        return batch_size
    if batch_size > num_rows:
        raise ValueError(
            f"batch_size is {batch_size} but data has {num_rows} rows; pass at most "
            f"{num_rows}, or 'auto'."
        )
    return int(batch_size)


class _Lengths(NamedTuple):
    """Numbers of chains, of steps and draws of each, and of rows along which they move."""

    num_chains: int
    num_warmup: int
    num_samples: int
    batch_size: int | Literal["auto"]


class _Chains(NamedTuple):
    """The recorded run, its component gradients, and the rows of a trajectory."""

    result: Result
    evaluations: int
    batch_size: int


class _Minimum(NamedTuple):
    """The law around parameters that may be a minimum, and the lowest loss that descent from there met."""

    law: TemperedLoss
    temperature: float
    localization: float
    loss: float
    lowest: float
    displacement: Vector
    """Of the mode."""
    passes: int
    is_automatic: bool = False
    """True where the localization is the default's."""

    @classmethod
    def of(
        cls,
        law: TemperedLoss,
        temperature: float,
        localization: float | None,
    ) -> "_Minimum":
        """Return the minimum from the parameters of a law; without a localization, that of the scale found there."""
        gamma = _scale(law) if localization is None else localization
        dtype = trees.dtype_of(law.params)
        law = replace(law, precision=jnp.asarray(temperature * gamma, dtype))
        start = law.start()
        value, gradient = law.value_and_gradient(start)
        loss = float(value)
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss at params is {loss}; pass params at which it is finite."
            )
        flat = Raveled(law, start)
        if not jnp.all(jnp.isfinite(flat.from_position(gradient))):
            raise ValueError(
                "the gradient of the loss at params is not finite; pass params at "
                "which it is."
            )
        mode, used = find_mode(flat, flat.from_position(start))
        minimum = cls(
            law,
            temperature,
            gamma,
            loss,
            lowest=min(loss, float(law.value(flat.to_position(mode)))),
            displacement=mode,
            passes=used + 2,
            is_automatic=localization is None,
        )
        dimension = flat.dimension
        if minimum.rounding > max(0.5, dimension / 4):
            raise ValueError(
                f"{dtype} rounds the mean loss, {loss:.6g} at params, by "
                f"{minimum.rounding:.2g} units of the coefficient, which is at most "
                f"{dimension / 2:g} for {dimension} parameters; subtract a constant "
                "from each row's loss, or use float64 by jax.enable_x64()."
            )
        minimum.refuse_below(minimum.lowest, "descent from there")
        return minimum

    def fall(self, loss: float) -> float:
        """The fall of the loss from params, in units of the coefficient."""
        return (self.loss - loss) / self.temperature

    def refuse_below(self, loss: float, finder: str) -> None:
        """Raise where a nearby loss is so low that params is not a minimum."""
        fall = self.fall(loss)
        dimension = len(self.displacement)
        if fall > max(1.0, dimension / 2):
            raise _no_minimum(
                f"{finder} lowers it from {self.loss:.6g} to {loss:.6g}, {fall:.3g} "
                f"units of the coefficient, which is at most {dimension / 2:g} for "
                f"{dimension} parameters"
            )

    @property
    def half_digit(self) -> float:
        """Relative error of a number that is rounded."""
        return float(jnp.finfo(self.displacement.dtype).eps) / 2

    @property
    def rounding(self) -> float:
        """Rounding of the loss, in units of the coefficient."""
        return self.half_digit * abs(self.loss) / self.temperature


def _scale(law: TemperedLoss) -> float:
    """Return one over the mean square of the parameters."""
    leaves = jax.tree.leaves(law.params)
    squares = sum(float(jnp.sum(leaf**2)) for leaf in leaves)
    count = sum(leaf.size for leaf in leaves)
    return count / squares if squares > 0 else 1.0


class _Target(NamedTuple):
    """The law in the coordinates that are sampled: of unit curvature at the mode, or of a unit for each of them."""

    minimum: _Minimum
    coordinates: CoordinateMap
    mode: Vector
    observation: Observation
    evaluations: int
    units: Units
    phases = (1, 2, 1)
    """Parts of a warm-up, by their shares."""
    num_points = 8
    """Draws of the normal law about the mode, from which the first batch size is chosen."""
    too_short = 1.05
    """Step at the end of a warm-up, over the shortest that is taken."""

    @classmethod
    def of(
        cls,
        minimum: _Minimum,
        key: PRNGKey,
        units: Units,
        spent: int,
    ) -> "_Target":
        """Return the target; `spent` are gradients of what came before it."""
        law = minimum.law
        temperature = minimum.temperature
        mode = minimum.displacement
        spent = spent + minimum.passes * int(law.size)
        flat = coordinates_of(law, law.start(), temperature)
        even = flat
        pilot = Pilot(mode, jnp.full_like(mode, float(law.precision) ** -0.5), 0)
        try:
            if units == "curvature":
                even, pilot = run_even_pilot(flat, mode, temperature, key, False)
        except ValueError:  # a curvature that is not finite
            coordinates = flat.with_units_at(mode, temperature, key)
            mode = coordinates.from_position(flat.to_position(mode))
        else:
            coordinates, mode = even.preconditioned(pilot)
            spent = spent + pilot.evaluations
        shares = float(law.precision) * _squared_scales(coordinates, mode)
        observation = Observation.of(jnp.asarray(temperature, mode.dtype), shares)
        target = cls(minimum, coordinates, mode, observation, spent, units)
        target.check_resolution(1.0, key)
        return target

    @property
    def problem(self) -> Problem:
        """In the coordinates that are sampled."""
        return self.coordinates.problem

    @property
    def temperature(self) -> float:
        return self.minimum.temperature

    def check_resolution(
        self,
        scales: float | HostVector,
        key: PRNGKey,
    ) -> None:
        """Raise where the parameters are too far apart for the law, whose coordinates have scales in sqrt(T)."""
        widths = jnp.broadcast_to(
            jnp.asarray(scales * math.sqrt(self.temperature), self.mode.dtype),
            self.mode.shape,
        )
        deviations = normal_deviations(self.coordinates, widths, key).values()
        moved = self.minimum.law.to_position(self.coordinates.to_position(self.mode))
        centres = {
            f"params{jax.tree_util.keystr(path)}": leaf
            for path, leaf in jax.tree.leaves_with_path(moved)
        }
        check_resolution(
            dict(zip(centres, deviations, strict=True)),
            centres,
            "let params hold its difference from a constant, or compute in float64 "
            "(jax.enable_x64, with data and params of float64).",
        )

    def run(
        self,
        lengths: _Lengths,
        key: PRNGKey,
        run: Run,
    ) -> _Chains | int:
        """Return the recorded run.

        Where the warm-up ends with the shortest step that is allowed, the law has not the curvature of the mode, whose
        units mislead. Then only what was spent.
        """
        num_chains, _, num_samples, _ = lengths
        warm_key, run_key = random.split(key)
        options: dict[str, Any] = {
            "num_chains": num_chains,
            "record": self.observation,
            "average": position_of,  # for the warm-up; with it draws are the same program
        }
        shown = options | {"run": run.unsaved()}
        algorithm, warm, spent = self._warm_up(lengths, warm_key, shown)
        shortest = within_limits(0.0, len(self.mode))
        if (
            self.units == "curvature"
            and algorithm.step_size <= self.too_short * shortest
        ):
            return spent
        scales = np.sqrt(_variance(warm) / self.temperature)
        self.check_resolution(scales, warm_key)
        result = simulate(
            algorithm,
            self.problem,
            warm,
            key=run_key,
            num_steps=num_samples * STEPS_PER_RECORD,
            record_every=STEPS_PER_RECORD,
            run=run,
            **options,
        )
        recorded = num_chains * (1 + num_samples) * int(self.problem.size)
        return _Chains(
            result, spent + result.evaluations + recorded, algorithm.batch_size
        )

    def _warm_up(
        self,
        lengths: _Lengths,
        key: PRNGKey,
        options: dict[str, Any],
    ) -> tuple[SubsampledHMC, Result, int]:
        """Run phases, after each of which the coordinates get the units of the draws so far."""
        dimension = len(self.mode)
        points_key, batch_key, *keys = random.split(key, 2 + len(self.phases))
        shape = self.num_points, dimension
        deviates = random.normal(points_key, shape, self.mode.dtype)
        points = self.mode + math.sqrt(self.temperature) * deviates
        scales = jnp.ones_like(self.mode)
        step_size = dimension**-0.25
        number = lengths.batch_size
        spent = 0
        warm = None
        frozen = None
        for share, phase_key in zip(self.phases, keys, strict=True):
            if lengths.batch_size == "auto":
                number = self._batch_size(number, points, batch_key)
            steps = max(1, round(share / sum(self.phases) * lengths.num_warmup))
            ceiling = 1.0 if number == int(self.problem.size) else CEILING
            adapting = SubsampledHMC(
                step_size,
                self.temperature,
                jnp.int32(steps),
                ceiling,
                scales,
                int(number),
            )
            warm = simulate(
                adapting,
                self.problem,
                self.mode if warm is None else warm,
                key=phase_key,
                num_steps=steps,
                record_every=steps,
                **options,
            )
            spent = spent + warm.evaluations
            points = warm.position
            log_step = jnp.median(warm.state.adaptation.mean_log_step)
            step_size = float(within_limits(jnp.exp(log_step), dimension))
            frozen = replace(adapting, step_size=step_size, num_adapted=jnp.int32(0))
            scales = jnp.asarray(_units(warm, self.temperature), scales.dtype)
        assert warm is not None
        assert frozen is not None
        return frozen, warm, spent

    def _batch_size(
        self,
        before: int | str,
        points: Array,
        key: PRNGKey,
    ) -> int:
        """Return the rows of a trajectory that are enough where chains are.

        It stays where half as many rows would do, as each number is another program.
        """
        enough = surrogate_batch_size(self.problem, points, self.temperature, key)
        if isinstance(before, str) or not enough <= before <= 2 * enough:
            return enough
        return before


def _no_minimum(reason: str) -> ValueError:
    return ValueError(
        f"params is not a local minimum of the loss: {reason}; train further, or raise "
        "localization."
    )


def _units(
    warm: Result,
    temperature: float,
    steps_for_one: float = 50,
) -> HostVector:
    """Return the standard deviations of the draws of all chains, in units of sqrt(T); shrunk towards 1.

    So many steps weigh as much as the curvature, whose unit is 1.
    """
    count = warm.steps * len(warm.position) / steps_for_one
    return np.sqrt((count * _variance(warm) / temperature + 1) / (count + 1))


def _variance(warm: Result) -> HostVector:
    """Return the variances of the draws of all chains."""
    assert warm.average is not None
    means, variances = (
        in_double(a) for a in (warm.average.mean, warm.average.variance)
    )
    return variances.mean(0) + means.var(0)


def _squared_scales(
    coordinates: CoordinateMap,
    mode: Vector,
) -> HostVector:
    """Return the squared length of a unit of each coordinate, in the parameters; 1 / curvature at the mode."""
    dimension = len(mode)
    if dimension > MAX_COORDINATES:  # a rotation, then a scaling
        scales = getattr(coordinates.problem, "matrix", np.ones(dimension))
        return in_double(scales) ** 2
    moves = coordinates.to_positions(jnp.eye(dimension, dtype=mode.dtype)[None])
    squares = [
        in_double(leaf).reshape(dimension, -1) ** 2 for leaf in jax.tree.leaves(moves)
    ]
    return np.concatenate(squares, axis=1).sum(1)


def _summary(
    target: _Target,
    chains: _Chains,
    seconds: float,
) -> LearningCoefficient:
    minimum = target.minimum
    temperature = minimum.temperature
    records = in_double(chains.result.positions)
    if not np.isfinite(records[..., 0]).all():
        raise _no_minimum("chains from there lower it without bound")
    trace = (records[..., 0] - minimum.loss) / temperature
    corrected, error, excess = CorrectedMean.of(trace, records[..., 2:])
    value = float(corrected.mean())
    lowest = min(minimum.lowest, float(records[..., 0].min()))
    gap = minimum.fall(lowest)
    dimension = len(minimum.displacement)
    minimum.refuse_below(lowest, "a chain")
    if value + MAX_EXCESS * error < 0:
        raise _no_minimum(
            f"around it the mean loss is lower than there, by {-value:.3g} units of "
            "the coefficient"
        )
    rounding = minimum.rounding + minimum.half_digit * abs(value)
    errors = {"monte_carlo": error, "baseline": gap, "rounding": rounding}
    # chains that stand still have an infinite R-hat
    with np.errstate(divide="ignore", invalid="ignore"):
        r_hat = r_hat_of(trace)
        effective = effective_draws_of(trace)
        effect = localization_effect(trace, minimum.localization * records[..., 1])
    of_default = effect if minimum.is_automatic else (0.0, 0.0)
    return LearningCoefficient(
        value=value,
        standard_error=math.sqrt(sum(part**2 for part in errors.values())),
        errors=errors,
        chains=corrected.mean(1),
        trace=trace,
        warnings=doubts(value, errors, r_hat, effective, excess, of_default),
        effective_draws=effective,
        r_hat=r_hat,
        loss=minimum.loss,
        lowest_loss=lowest,
        params=jax.tree.map(np.asarray, minimum.law.params),
        temperature=temperature,
        localization=minimum.localization,
        num_rows=int(minimum.law.size),
        num_parameters=dimension,
        method=f"HMC along batches of {chains.batch_size:,}",
        acceptance=chains.result.metrics["acceptance"],
        evaluations=target.evaluations + chains.evaluations,
        seconds=seconds,
        localization_effect=effect[0],
    )
