"""From the ends of chains to minima: SciPy's L-BFGS-B from each, and the basins that they share.

    x = x_end + u y,    u = h |g|,      f = f_end + h |g|^2 phi(y),     so that |grad phi| = 1 at y = 0

L-BFGS-B first tries a step of length one along the gradient. In these units that is a gradient step of the chain's own
size h, so that the descent stays in the basin of the chain, whatever the scale of x and of f.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from langevax._typing import FloatScalar, PyTree
from langevax.optimize.arguments import Box
from langevax.optimize.basins import group_ends
from langevax.problems.problem import Problem


class Minimum(NamedTuple):
    """The end of a descent."""

    x: Float[np.ndarray, " d"]
    fun: float
    jac: Float[np.ndarray, " d"]
    slope: float
    """Norm of the gradient without components that point out of the box."""
    start_fun: float
    """Value where the descent began."""
    evaluations: int = 0


def evaluate(problem: Problem, x: Float[ArrayLike, " d"], box: Box | None) -> Minimum:
    """Return value and gradient at x, whether it is a minimum or not."""
    value, gradient = _potential_and_gradient(problem, jnp.asarray(x))
    x = np.asarray(x)
    gradient = np.asarray(gradient, np.float64)
    free = np.ones(x.shape, bool)
    if box is not None:
        free = ~(
            ((x <= box.lower) & (gradient > 0)) | ((x >= box.upper) & (gradient < 0))
        )
    return Minimum(
        x, float(value), gradient, float(np.linalg.norm(gradient * free)), float(value)
    )


def descend(
    problem: Problem,
    x_end: Float[ArrayLike, " d"],
    step_size: float,
    box: Box | None,
    max_iterations: int = 500,
    not_finite: float = 1e10,
) -> Minimum:
    """Return the minimum below `x_end`; stop where an iteration gains less than the rounding of `fun`.

    Where `fun` is not finite, phi is `not_finite`, so that the line search turns back.
    """
    from scipy.optimize import OptimizeResult, minimize

    end = evaluate(problem, x_end, box)
    size = int(problem.size)
    dtype = end.x.dtype
    if not (np.isfinite(end.fun) and np.isfinite(end.slope) and end.slope > 0):
        return end._replace(evaluations=size)
    unit = step_size * end.slope
    drop = step_size * end.slope**2
    last = 0.0

    def to_x(y: np.ndarray) -> np.ndarray:
        x = (end.x + unit * y).astype(dtype)
        return x if box is None else np.clip(x, box.lower, box.upper)

    def phi(y: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = _potential_and_gradient(problem, jnp.asarray(to_x(y)))
        value = float(value)
        gradient = np.asarray(gradient, np.float64)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return not_finite, np.zeros_like(y)
        return (value - end.fun) / drop, gradient * (unit / drop)

    def stop_at_rounding(intermediate_result: OptimizeResult) -> None:
        nonlocal last
        gain = last - intermediate_result.fun
        last = intermediate_result.fun
        if gain * drop <= np.finfo(dtype).eps * abs(end.fun + drop * last):
            raise StopIteration

    optimum = minimize(
        phi,
        np.zeros(end.x.shape),
        jac=True,
        method="L-BFGS-B",
        bounds=None
        if box is None
        else np.stack([(side.astype(float) - end.x) / unit for side in box], axis=1),
        callback=stop_at_rounding,
        options={
            "maxiter": max_iterations,
            "maxfun": 10 * max_iterations,
            "ftol": 0.0,
            "gtol": 0.0,
        },
    )
    minimum = evaluate(problem, to_x(optimum.x), box)
    minimum = minimum if minimum.fun <= end.fun else end
    return minimum._replace(start_fun=end.fun, evaluations=size * (optimum.nfev + 2))


def is_minimum(
    point: Minimum,
    step_size: float,
    scale: float,
    roundings: float = 100,
) -> bool:
    """Return whether a gradient step gains at most `roundings` of a function with values of size `scale`.

    Or of its value where the descent began, but not where it ended: a function may be unbounded below.
    """
    rounding = np.finfo(point.x.dtype).eps * max(scale, abs(point.start_fun))
    return bool(
        np.isfinite(point.fun) and step_size * point.slope**2 <= roundings * rounding
    )


class Basin(NamedTuple):
    """A local minimum, and the share of the chains whose end descends to it."""

    fun: float
    share: float
    x: PyTree[np.ndarray]


class Grouping(NamedTuple):
    """Minima by basin, the best first."""

    best_ends: Int[np.ndarray, " basins"]
    """Index of the best minimum of each."""
    chains: Int[np.ndarray, " basins"]
    """Number of chains that ended in each."""
    at_best: Bool[np.ndarray, " basins"]
    """True of those of the best value."""


def group(
    minima: list[Minimum],
    num_chains: int,
    distance: float,
    difference: float,
) -> Grouping:
    """Assign each minimum, in order of value, to the first basin whose best is near in place and in value.

    Args:
        minima: of the chains, then of other places, which do not count as chains.
        distance, difference: up to which two minima are one, in place and in value.
    """
    fun = np.array([m.fun for m in minima])
    places = np.stack([m.x for m in minima]).astype(float)
    all_moved = np.ones(len(fun), bool)
    # chains that diverged are infinitely high, or far away, each in a basin of its own
    with np.errstate(invalid="ignore", over="ignore"):
        labels, best_ends = group_ends(places, fun, all_moved, difference, distance)
        at_best = fun[best_ends] - np.nanmin(fun) <= difference
    chains = np.bincount(labels[:num_chains], minlength=len(best_ends))
    return Grouping(best_ends, chains, at_best)


def tolerances(
    minima: list[Minimum],
    spread: float,
    scale: float,
    near: float = 1e-2,
) -> tuple[float, float]:
    """Return the (distance, difference) up to which two minima are one.

    The distance is `near` times the `scale` of the starts, or of the minima where all starts are equal; the difference is
    the square root of the rounding, times the `spread` of values at the starts.
    """
    first = minima[0].x
    lowest = float(np.nanmin([m.fun for m in minima]))
    eps = float(np.finfo(first.dtype).eps)
    scale = scale or float(np.abs(first).max()) or 1.0
    return near * scale * float(np.sqrt(first.size)), float(
        np.sqrt(eps)
    ) * spread + 100 * eps * abs(lowest)


def agreement(grouping: Grouping) -> str:
    """Return a sentence on how far the chains agree, and what to do where they do not."""
    chains = grouping.chains
    total = int(chains.sum())
    at_best = int(chains[grouping.at_best].sum())
    best = int(np.sum(chains[grouping.at_best] > 0))
    others = int(np.sum(chains[~grouping.at_best] > 0))
    more = "raise num_steps or num_chains"
    if total == 1 and at_best:
        return (
            "One chain cannot tell whether there is a better basin; raise num_chains."
        )
    if at_best == 0:
        return f"No chain ended in the best basin, which was only met on the way; {more}, or cool further."
    if at_best == 1:
        return f"Only 1 of {total} chains ended in the best basin: there may well be a better one; {more}."
    if at_best < total:
        where = "the best basin" if best == 1 else f"{best} basins of the best value"
        rest = f"{others} worse ones" if others > 1 else "a worse one"
        return f"{at_best} of {total} chains ended in {where}, the others in {rest}; to be surer, {more}."
    if best > 1:
        return f"All {total} chains ended at the best value, in {best} distinct minima."
    return f"All {total} chains ended in one basin."


@eqx.filter_jit
def _potential_and_gradient(problem: Problem, x: Array) -> tuple[FloatScalar, Array]:
    return problem.potential_and_gradient(x)
