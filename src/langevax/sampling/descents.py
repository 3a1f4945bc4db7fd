"""Many descents at once, in coordinates in which the curvature at a mode is 1.

L-BFGS (Nocedal, Math. Comp. 1980) with backtracking, from the inverse Hessian 1: about a normal law the first step ends
in the mode. One compiled program evaluates all descents, in turn, and leaves out those that have ended; a descent by
SciPy takes as many Python calls as evaluations. Where the curvature along a step is not positive, steps grow.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy.typing import DTypeLike

from langevax.problems.problem import Problem
from langevax.sampling.evaluations import Numbers, Points, evaluate
from langevax.trees import in_double

ARMIJO = 1e-4
"""Share of the expected decrease that a step has to reach."""


Flags = Bool[np.ndarray, " m"]


class Descents(NamedTuple):
    """The ends of descents, and their potentials, the lowest first; starts where it is not finite stay."""

    ends: Points
    values: Numbers
    evaluations: int
    """Potentials with their gradients."""


def descend(
    problem: Problem,
    starts: Points,
    centre: Float[Array, " d"] | None,
    temperature: float,
    least_decrease: float = 1e-6,
    max_evaluations: int = 60,
    shortest: float = 1e-8,
) -> Descents:
    """Return where descents from the starts end; no step is longer than the way from its start to the centre, if any.

    Args:
        problem: in coordinates in which the curvature at a mode is 1.
        starts: where descents begin.
        centre: beyond which no step goes; None leaves steps as long as they are.
        temperature: of the law.
        least_decrease: temperatures by which a step lowers the potential that is not the last.
        max_evaluations: of each descent.
        shortest: share of a step that is tried last.
    """
    dtype = jnp.result_type(float)
    reach = np.full(len(starts), np.inf)
    if centre is not None:
        dtype = centre.dtype
        reach = np.linalg.norm(starts - in_double(centre), axis=1)
    x = np.array(starts, np.float64)
    f, g = _evaluated(problem, x, np.ones(len(x), bool), dtype)
    is_active = np.isfinite(f)
    evaluations = len(x)
    memory = Memory.of(x)
    direction = memory.directions(g, reach)
    share = np.ones(len(x))
    for _ in range(max_evaluations - 1):
        if not is_active.any():
            break
        trial = x + share[:, None] * direction
        value, gradient = _evaluated(problem, trial, is_active, dtype)
        evaluations += int(is_active.sum())
        slope = _dot(g, direction) * share
        noise = float(jnp.finfo(dtype).eps) * np.abs(f)
        is_taken = is_active & (value <= f + ARMIJO * slope + noise)
        memory.add(is_taken, trial - x, gradient - g)
        is_falling = f - value > least_decrease * temperature + noise
        share = np.where(is_taken, 1.0, share * _cut(value - f, slope))
        is_active &= np.where(is_taken, is_falling, share > shortest)
        x[is_taken] = trial[is_taken]
        g[is_taken] = gradient[is_taken]
        f = np.where(is_taken, value, f)
        direction = np.where(is_taken[:, None], memory.directions(g, reach), direction)
    lowest_first = np.argsort(f, kind="stable")
    return Descents(x[lowest_first], f[lowest_first], evaluations)


def _cut(rise: Numbers, slope: Numbers) -> Numbers:
    """Return the factors by which steps are cut: to the minimum of a parabola, within a range."""
    with np.errstate(invalid="ignore", divide="ignore"):
        lowest = -slope / (2 * (rise - slope))
    return np.nan_to_num(lowest).clip(0.1, 0.5)


def _evaluated(
    problem: Problem,
    points: Points,
    is_active: Flags,
    dtype: DTypeLike,
) -> tuple[Numbers, Points]:
    """Return potentials and gradients at the active points: inf and 0 where they are not finite, and 0 elsewhere."""
    values = np.zeros(len(points))
    gradients = np.zeros_like(points)
    some_values, some_gradients = evaluate(problem, points[is_active].astype(dtype))
    is_finite = np.isfinite(some_values) & np.isfinite(some_gradients).all(1)
    values[is_active] = np.where(is_finite, some_values, np.inf)
    gradients[is_active] = np.where(is_finite[:, None], some_gradients, 0)
    return values, gradients


def descend_steeply(
    problem: Problem,
    starts: Float[Array, "m d"],
    temperature: float,
) -> tuple[Float[Array, "m d"], int]:
    """Return where descents from the starts lower the potential by less than d temperatures a step, and evaluations.

    Draws of a law have about the same potential, up to d temperatures. Far from them potentials may be so large that
    floating-point numbers do not resolve differences of a temperature, and chains stand still. A slow approach to a
    mode, which may be a peak with hardly any of the mass, is not followed. Starts where the potential is not finite
    stay.
    """
    least_decrease = float(starts.shape[1])
    options = {"least_decrease": least_decrease, "max_evaluations": 300}
    descents = descend(problem, np.asarray(starts), None, temperature, **options)
    return jnp.asarray(descents.ends, starts.dtype), descents.evaluations


class Memory(NamedTuple):
    """The latest steps s of each descent and the changes y of its gradient, oldest first, and a scale <s, y>/<y, y>."""

    steps: Float[np.ndarray, "memory m d"]
    changes: Float[np.ndarray, "memory m d"]
    weights: Float[np.ndarray, "memory m"]
    """1 / <s, y> of the stored pairs; 0 in empty places."""
    scale: Numbers

    @classmethod
    def of(cls, x: Points, size: int = 8) -> "Memory":
        pairs = np.zeros((size, *x.shape))
        weights = np.zeros((size, len(x)))
        return cls(pairs, pairs.copy(), weights, np.ones(len(x)))

    def add(
        self,
        is_taken: Flags,
        step: Points,
        change: Points,
    ) -> None:
        """Remember steps of positive curvature; where it is not, forget all and take longer steps."""
        product = _dot(step, change)
        is_convex = is_taken & (product > 0)
        with np.errstate(divide="ignore"):
            weight = 1 / product
        for pairs, new in zip(self[:3], (step, change, weight), strict=True):
            pairs[:-1, is_convex] = pairs[1:, is_convex]
            pairs[-1, is_convex] = new[is_convex]
        self.scale[is_convex] = product[is_convex] / _dot(change, change)[is_convex]
        is_concave = is_taken & ~is_convex
        self.weights[:, is_concave] = 0
        self.scale[is_concave] *= 4

    def directions(self, gradient: Points, reach: Numbers) -> Points:
        """Return the steps of the two-loop recursion, cut to the reach."""
        q = gradient.copy()
        pairs = list(zip(*self[:3], strict=True))
        shares = []
        for step, change, weight in pairs[::-1]:
            shares.append(weight * _dot(step, q))
            q -= shares[-1][:, None] * change
        q *= self.scale[:, None]
        for (step, change, weight), share in zip(pairs, shares[::-1], strict=True):
            q += step * (share - weight * _dot(change, q))[:, None]
        length = np.maximum(np.linalg.norm(q, axis=1), np.finfo(float).tiny)
        share = np.minimum(length, reach) / length
        return -q * share[:, None]


def _dot(one: Points, other: Points) -> Numbers:
    return np.sum(one * other, axis=1)
