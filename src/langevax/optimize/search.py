"""The chains of `anneal`: starts, default options, and the run."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float

from langevax import trees
from langevax._typing import FloatScalar, PRNGKey
from langevax.algorithm import State, at_step
from langevax.gradients import SVRG, Full, GradientEstimator
from langevax.integrators import Explicit, Exponential
from langevax.keys import unrolled
from langevax.optimize import arguments
from langevax.optimize.arguments import WHOLE_SUM_ROWS, Box, Schedule
from langevax.problems.problem import CURVATURE_ITERATIONS, Problem, largest_curvature
from langevax.run import DivergenceError, Stacked, Trace, simulate
from langevax.run.options import Run
from langevax.samplers import Langevin, Reflected
from langevax.samplers.reflected import fold
from langevax.trees import in_double


class Survey(NamedTuple):
    """Values and derivatives at places drawn like the starts; the first of them are the starts."""

    places: Float[Array, "places d"]
    values: Float[np.ndarray, " places"]
    curvature: float
    """The largest over the places where it was computed; 0 where it was not."""
    scale: float
    """Root mean square distance of a coordinate from its mean over the places."""
    evaluations: int

    @property
    def size_of_values(self) -> float:
        """Absolute size of the values, without the largest quarter."""
        return float(np.quantile(np.abs(self.values), 0.75))

    def spread_above(self, lowest: float) -> float:
        """Return by how much the upper quartile of the values exceeds the lowest known value."""
        return max(0.0, float(np.quantile(self.values, 0.75)) - lowest)


@eqx.filter_jit
def draw(
    x0: Float[Array, " d"],
    lower: Array,
    upper: Array,
    key: PRNGKey,
    number: int,
) -> Float[Array, "places d"]:
    """Draw places around x0, which is the first: uniform between finite bounds, with standard deviation 1 elsewhere."""
    uniform_key, normal_key = random.split(unrolled(key))
    shape = (number - 1, *x0.shape)
    noise = trees.normal(shape, x0.dtype, key=normal_key)
    places, _ = fold(x0 + noise, lower, upper)
    bounded = jnp.isfinite(upper - lower)
    low = jnp.where(bounded, lower, 0)
    high = jnp.where(bounded, upper, 1)
    inside = low + (high - low) * random.uniform(uniform_key, shape, x0.dtype)
    places = jnp.where(bounded, jnp.minimum(inside, high), places)
    return jnp.concatenate([x0[None], places])


def survey(
    problem: Problem,
    places: Float[Array, "places d"],
    with_curvature: bool,
    key: PRNGKey,
    most: int = 20_000_000,
) -> Survey:
    """Evaluate the places.

    Raise ValueError unless all are finite. Curvatures cost at most `most` component gradients: where rows are many,
    they are computed at fewer places.
    """
    arguments.check_scalar(problem, places[0])
    size = int(problem.size)
    values, gradients = (in_double(a) for a in _evaluate(problem, places))
    slopes = np.linalg.norm(gradients, axis=1)
    bad = np.flatnonzero(~(np.isfinite(values) & np.isfinite(slopes)))
    if len(bad):
        raise ValueError(
            f"fun is {values[bad[0]]} with a gradient of norm {slopes[bad[0]]} at "
            f"{np.asarray(places[bad[0]])}, and not finite at {len(bad)} of "
            f"{len(places)} starts; pass bounds or x0 where fun and its gradient are "
            "finite."
        )
    evaluations = 2 * size * len(places)
    curvature = 0.0
    if with_curvature:
        number = min(len(places), max(1, most // (2 * CURVATURE_ITERATIONS * size)))
        curvatures = in_double(_curvatures(problem, places[:number], key))
        curvature = float(np.max(curvatures[np.isfinite(curvatures)], initial=0.0))
        evaluations += 2 * CURVATURE_ITERATIONS * size * number
    scale = float(np.sqrt(np.mean(np.var(in_double(places), axis=0))))
    return Survey(places, values, curvature, scale, evaluations)


def equipartition_temperature(
    values: Float[np.ndarray, " places"],
    dimension: int,
    interquartile: float = 1.349,
) -> float:
    """Return the temperature at which `fun` fluctuates as much as these values: `T = sqrt(2 / d) * their spread`.

    Near a minimum, at temperature T, a function of d coordinates has mean d T / 2 and standard deviation
    sqrt(d / 2) T. The spread is that between the quartiles, in units of that of a normal law of unit variance, which a
    few very large values do not change.
    """
    low, high = np.quantile(values, [0.25, 0.75])
    spread = (high - low) / interquartile or np.std(values)
    return float(np.sqrt(2 / dimension) * spread)


def choose_gradient(
    problem: Problem,
    num_steps: int,
    batch_size: int = 32,
    min_epochs: int = 20,
) -> GradientEstimator:
    """Return full gradients for few components; else SVRG with small batches and n / B steps from anchor to anchor.

    An epoch then costs about three passes. It is shorter where a run would have fewer than `min_epochs` of them.
    """
    size = int(problem.size)
    if size <= WHOLE_SUM_ROWS:
        return Full()
    return SVRG(batch_size, max(1, min(size // batch_size, num_steps // min_epochs)))


def choose_step_size(survey: Survey, hottest: float, fraction: float = 0.25) -> float:
    """Return `fraction / L`, or less where the noise would move a coordinate by the scale of the starts in one step.

    L is the largest curvature over the starts: at .25 / L a chain is a seventh too hot in the stiffest direction. The
    second bound serves functions without curvature.
    """
    stable = fraction / survey.curvature if survey.curvature > 0 else math.inf
    wide = (
        survey.scale**2 / (2 * hottest)
        if hottest > 0 and survey.scale > 0
        else math.inf
    )
    if not math.isfinite(min(stable, wide)):
        raise ValueError(
            "step_size='auto' needs the curvature of fun, which is 0 at the starts; "
            "pass a float, or start elsewhere."
        )
    return min(stable, wide)


class SearchState(NamedTuple):
    """All chains at one step."""

    step: int
    evaluations: int
    """So far."""
    values: Float[np.ndarray, " chains"]
    best_value: float


@dataclass
class Search:
    """The chains of one call, and the best position that any of them has visited."""

    problem: Problem
    survey: Survey
    num_chains: int
    num_steps: int
    step_size: float | Schedule
    temperature: float | Schedule
    gradient: GradientEstimator
    box: Box | None
    stops: Callable[[SearchState, Array], bool]
    """`stops(state, positions)` is called after each record and says whether to stop."""
    steps: int = 0
    diverged_at: int | None = None
    stopped: bool = False
    num_records: int = 100
    """Evaluations of all chains in a run."""

    def __post_init__(self) -> None:
        self.starts: Array = self.survey.places[: self.num_chains]
        self.size: int = int(self.problem.size)
        best = int(np.argmin(self.survey.values))
        self.best: Array = self.survey.places[best]
        self.best_value: float = float(self.survey.values[best])
        self.positions: Array = self.starts
        self.evaluations: int = self.survey.evaluations
        self.history: list[SearchState] = []

    def run(self, key: PRNGKey, run: Run) -> None:
        """Run the chains to their end, or to where they diverge."""
        precision = jax.tree.leaves(self.problem.precision)
        curved = any(np.any(np.asarray(part)) for part in precision)
        integrator = Exponential() if curved else Explicit()
        every = max(
            math.ceil(self.num_steps / self.num_records),
            min(getattr(self.gradient, "period", 1), self.num_steps),
        )
        algorithm = Langevin(
            self.step_size, self.temperature, self.gradient, integrator
        )
        if self.box is not None:
            algorithm = Reflected(algorithm, self.box.lower, self.box.upper)
        try:
            result = simulate(
                algorithm,
                self.problem,
                Stacked(self.starts),
                key=key,
                num_steps=self.num_steps,
                record=potential_of,
                record_every=every,
                callbacks=[self.record],
                callback_every=every,
                run=run,
            )
            self.stopped = result.steps < self.num_steps
        except DivergenceError as error:
            result = error.result
            self.diverged_at = error.step
        self.positions = result.position
        self.steps = result.steps
        records = len(self.history) * self.num_chains * self.size
        self.evaluations += result.evaluations + records

    def record(self, trace: Trace | None, state: State) -> bool:
        """Keep the values and the best position so far; a callback of `simulate`."""
        assert trace is not None
        values = in_double(trace.values[:, -1])
        self.update_best(values, state.position)
        in_run = (
            int(trace.info["evaluations"][:, -1].sum())
            + len(trace) * values.size * self.size
        )
        evaluations = self.evaluations + in_run
        self.history.append(
            SearchState(int(trace.steps[-1]), evaluations, values, self.best_value)
        )
        return self.stops(self.history[-1], state.position)

    def update_best(
        self, values: Float[np.ndarray, " chains"], positions: Array
    ) -> None:
        """Keep the best of these positions if it is the best so far."""
        if np.isfinite(values).any() and np.nanmin(values) < self.best_value:
            self.best_value = float(np.nanmin(values))
            self.best = _row(positions, jnp.int32(np.nanargmin(values)))


def value_at(value: float | Schedule, step: int) -> float:
    """Return the value of a schedule at a step, or the number itself."""
    return float(np.asarray(at_step(value, jnp.int32(step))))


def potential_of(problem: Problem, state: State) -> FloatScalar:
    """Return the value of a chain, to be recorded."""
    return problem.potential(state.position)


@eqx.filter_jit
def potentials(
    problem: Problem, positions: Float[Array, "chains d"]
) -> Float[Array, " chains"]:
    """Return the values of all chains."""
    return jax.vmap(problem.potential)(positions)


@eqx.filter_jit
def _evaluate(
    problem: Problem, places: Array
) -> tuple[Float[Array, " places"], Float[Array, "places d"]]:
    return jax.vmap(problem.potential_and_gradient)(places)


@eqx.filter_jit
def _curvatures(
    problem: Problem, places: Array, key: PRNGKey
) -> Float[Array, " places"]:
    keys = random.split(unrolled(key), len(places))
    return jax.vmap(lambda x, key: largest_curvature(problem, x, key=key))(places, keys)


@jax.jit
def _row(positions: Array, i: Array) -> Array:
    return positions[i]
