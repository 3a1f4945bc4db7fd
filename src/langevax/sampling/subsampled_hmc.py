"""Hamiltonian Monte Carlo along the gradient of a batch, accepted with the potential of all rows: exact.

A trajectory follows one batch I, corrected at the origin of the coordinates:

    slope(x) = gradient_I(x) - gradient_I(0) + gradient(0) + precision x

A leapfrog step with any slope that depends on the position alone is reversible and keeps volumes, so that the
Metropolis test with the exact potential at both ends makes every transition exact, whatever the batch (Neal, JASA 1994,
uses such surrogates). The batch costs acceptance instead: the potential that it implies is off by the deviation of a
mean over B rows. A step costs a pass for the potential, and B row gradients at each of the path's points.
"""

import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from langevax._typing import FloatScalar, IntScalar, PRNGKey, Vector
from langevax.algorithm import Algorithm, Info
from langevax.gradients import batches
from langevax.problems.problem import Problem
from langevax.samplers.metropolis import accepted
from langevax.sampling.nuts import Adaptation
from langevax.sampling.tolerances import PROBED_ROWS, SMALLEST_BATCH

CEILING = 0.75
"""About the acceptance that batches leave where they add 0.5 to the deviation of a point's energy: with independent
errors of both ends, 2 Phi(-0.5 / sqrt(2)) = 0.72."""


class SubsampledState(NamedTuple):
    """Position, potential there, gradient of the value at 0, and the adaptation of the step size."""

    position: Vector
    potential: FloatScalar
    centre_gradient: Vector
    adaptation: Adaptation


class SubsampledHMC(Algorithm):
    """Hamiltonian Monte Carlo on vectors whose trajectories follow batches, and whose law is exact.

    Args:
        step_size: at which the adaptation starts, or which is kept where `num_adapted` is 0.
        temperature: T > 0.
        num_adapted: steps during which the step size follows the acceptance.
        ceiling: acceptance that batches leave at a step size of 0; the adaptation is for 0.8 of it.
        scales: (d,) unit of each coordinate, by which momenta are scaled.
        batch_size: rows of a trajectory.

    The metric `acceptance` is the mean acceptance probability.
    """

    step_size: FloatScalar | float
    temperature: FloatScalar | float
    num_adapted: IntScalar
    ceiling: FloatScalar | float
    scales: Vector
    batch_size: int
    mean_path: ClassVar[float] = math.pi / 2
    """Time of a trajectory, where the curvature is 1: a quarter of a period. Times vary from 0 to twice as long."""
    max_leapfrogs: ClassVar[int] = 64
    factors: ClassVar[tuple[float, ...]] = (1.0, 0.3, 1.0, 1.0, 0.1)
    """Of the step size in turn: short steps leave narrow places where others are rejected."""
    lengths: ClassVar[tuple[float, ...]] = (1.0, 2.0, 1.0, 1.0, 4.0)
    """Factors of the number of steps, in turn."""

    def init(
        self,
        problem: Problem,
        position: Array,
        key: PRNGKey,
    ) -> tuple[SubsampledState, Info]:
        potential = problem.potential(position)
        gradient = problem.gradient(jnp.zeros_like(position))
        adaptation = Adaptation.of(
            jnp.asarray(self.step_size, position.dtype), jnp.zeros(1, position.dtype)
        )
        state = SubsampledState(position, potential, gradient, adaptation)
        return state, {
            "evaluations": jnp.int32(2 * problem.size),
            "acceptance": jnp.ones_like(potential),
        }

    def step(
        self,
        problem: Problem,
        state: SubsampledState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[SubsampledState, Info]:
        batch_key, momentum_key, accept_key = random.split(key, 3)
        x = state.position
        temperature = jnp.asarray(self.temperature, x.dtype)
        longest = within_limits(jnp.exp(state.adaptation.log_step), len(x))
        h = longest * self._in_turn(self.factors, step, x.dtype)
        num_leapfrogs = self._num_leapfrogs(longest, step)
        slope = self._slope(problem, state.centre_gradient, batch_key)
        p = jnp.sqrt(temperature) * random.normal(momentum_key, x.shape, x.dtype)
        end, q = leapfrog(slope, x, p, h * self.scales, h, num_leapfrogs)
        before = x, state.potential
        after = end, problem.potential(end)
        rise = after[1] - before[1] + (q @ q - p @ p) / 2
        chosen, acceptance = accepted(accept_key, -rise / temperature, after, before)
        is_adapted = (step < self.num_adapted) & (h == longest)
        adaptation = self._adapted(state.adaptation, acceptance, is_adapted)
        new = SubsampledState(*chosen, state.centre_gradient, adaptation)
        return new, {
            "evaluations": problem.size + (num_leapfrogs + 2) * self.batch_size,
            "acceptance": acceptance,
        }

    def _adapted(
        self,
        adaptation: Adaptation,
        acceptance: FloatScalar,
        is_adapted: Bool[Array, ""],
    ) -> Adaptation:
        """Return the adaptation to an acceptance, relative to that which batches leave."""
        ceiling = jnp.asarray(self.ceiling, acceptance.dtype)
        adapted = adaptation.with_acceptance(jnp.minimum(acceptance / ceiling, 1))
        return jax.tree.map(
            lambda a, b: jnp.where(is_adapted, a, b), adapted, adaptation
        )

    def _in_turn(
        self,
        numbers: tuple[float, ...],
        step: IntScalar,
        dtype: DTypeLike,
    ) -> FloatScalar:
        return jnp.asarray(numbers, dtype)[step % len(numbers)]

    def _num_leapfrogs(self, longest: FloatScalar, step: IntScalar) -> IntScalar:
        """Return the number of leapfrog steps of a trajectory."""
        golden = (math.sqrt(5) - 1) / 2  # its multiples modulo 1 are spread evenly
        share = jnp.mod((step + 1).astype(longest.dtype) * golden, 1)
        length = 2 * self.mean_path * share / longest
        length = length * self._in_turn(self.lengths, step, longest.dtype)
        return jnp.clip(jnp.round(length), 1, self.max_leapfrogs).astype(jnp.int32)

    def _slope(
        self,
        problem: Problem,
        centre_gradient: Array,
        key: PRNGKey,
    ) -> Callable[[Array], Array]:
        """Return the scaled gradient of a batch, corrected at 0."""
        indices = batches.draw(key, problem, self.batch_size)
        zero = jnp.zeros_like(centre_gradient)
        shift = centre_gradient - problem.gradient_at(zero, indices)
        precision = jnp.asarray(problem.precision, zero.dtype)
        return lambda x: (
            self.scales * (problem.gradient_at(x, indices) + shift + precision * x)
        )


def leapfrog(
    slope: Callable[[Array], Array],
    x: Vector,
    p: Vector,
    moves: Vector,
    h: FloatScalar,
    count: IntScalar,
) -> tuple[Vector, Vector]:
    """Return position and momentum after `count` steps of h; `moves` is h in units of the coordinates."""

    def step(
        _: IntScalar,
        carry: tuple[Array, Array, Array],
    ) -> tuple[Array, Array, Array]:
        x, p, g = carry
        p = p - h / 2 * g
        x = x + moves * p
        g = slope(x)
        return x, p - h / 2 * g, g

    end, q, _ = lax.fori_loop(0, count, step, (x, p, slope(x)))
    return end, q


def within_limits(
    step_size: FloatScalar | float,
    dimension: int,
    shortest: float = 0.05,
    longest: float = 1.5,
) -> FloatScalar:
    """Return the step size that is taken where the adaptation asks for another, however far from it.

    Limits are in units of d^(-1/4).
    """
    unit = dimension**-0.25
    return jnp.clip(step_size, shortest * unit, longest * unit)


def surrogate_batch_size(
    problem: Problem,
    points: Float[Array, "m d"],
    temperature: float,
    key: PRNGKey,
    energy_error: float = 0.5,
    most_batches: int = 20,
) -> int:
    """Return the batch size at which the surrogate's energy is off by `energy_error` at the median point.

    The change of the surrogate from 0 to x is off by the mean over B rows of r_i, their integrals of <x, g_i(t x) -
    g_i(0)> over t in (0, 1), less its expectation. Simpson's rule is exact for potentials of degree 4. More
    than `most_batches` of them would save nothing, as a step takes about ten, and a pass. A power of two, or n: of few
    sizes there are few programs.
    """
    n = int(problem.size)
    indices = random.randint(key, (min(n, PROBED_ROWS),), 0, n, jnp.int32)
    changes = np.asarray(
        _row_changes(problem, points, indices), np.float64
    )  # single precision has no squares of 1e20
    if not np.isfinite(changes).all():
        return n
    error = float(np.median(changes.std(axis=1))) / temperature
    rows = max(SMALLEST_BATCH, n / most_batches, (error / energy_error) ** 2)
    return n if rows >= n else min(n, 2 ** math.ceil(math.log2(rows)))


@eqx.filter_jit
def _row_changes(
    problem: Problem,
    points: Float[Array, "m d"],
    indices: Int[Array, " b"],
) -> Float[Array, "m b"]:
    at_centre = problem.gradients_at(jnp.zeros_like(points[0]), indices)

    def changes(x: Vector) -> Float[Array, " b"]:
        halfway, whole = (
            problem.gradients_at(x * share, indices) - at_centre for share in (0.5, 1.0)
        )
        return (4 * halfway + whole) @ x / 6

    return lax.map(changes, points)
