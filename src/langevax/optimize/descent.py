"""The last descent: SciPy's L-BFGS-B from where a chain ended, in units in which its first trial step is small.

    x = x_end + u y,    u = h |g|,      f = f_end + h |g|^2 phi(y),     so that |grad phi| = 1 at y = 0

L-BFGS-B first tries a step of length one along the gradient. In these units that is a gradient step of size h, the
chain's own, so that the descent ends in the basin that the chain was in, whatever the scale of x and of f.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax.optimize.arguments import Box
from langevax.problems.problem import Problem

MAX_ITERATIONS = 500
ABSURD = 1e10  # phi where fun is not finite: the line search turns back
ROUNDINGS = 100
"""Of fun: what a gradient step may still gain where a minimum counts as reached."""


class Minimum(NamedTuple):
    x: Float[np.ndarray, " d"]
    fun: float
    jac: Float[np.ndarray, " d"]
    slope: float
    """Norm of the gradient without what points out of the box."""
    started: float
    """Value where the descent began."""
    evaluations: int = 0


def value_and_slope(problem: Problem, x: Any, box: Box | None) -> Minimum:
    """What there is at x, minimum or not."""
    value, gradient = _potential_and_gradient(problem, jnp.asarray(x))
    x, gradient = np.asarray(x), np.asarray(gradient, np.float64)
    held = np.zeros(x.shape, bool)
    if box is not None:
        held = ((x <= box.lower) & (gradient > 0)) | ((x >= box.upper) & (gradient < 0))
    return Minimum(x, float(value), gradient, float(np.linalg.norm(np.where(held, 0, gradient))), float(value))


def descend(problem: Problem, x_end: Any, step_size: float, box: Box | None) -> Minimum:
    """The minimum below `x_end`; stops where an iteration gains less than the rounding of `fun`."""
    from scipy.optimize import minimize

    end = value_and_slope(problem, x_end, box)
    calls, size, dtype = 1, int(problem.size), end.x.dtype
    if not (np.isfinite(end.fun) and np.isfinite(end.slope) and end.slope > 0):
        return end._replace(evaluations=size)
    unit, drop, last = step_size * end.slope, step_size * end.slope**2, 0.0

    def to_x(y: np.ndarray) -> np.ndarray:
        x = (end.x + unit * y).astype(dtype)
        return x if box is None else np.clip(x, box.lower, box.upper)

    def phi(y: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal calls
        calls += 1
        value, gradient = _potential_and_gradient(problem, jnp.asarray(to_x(y)))
        value, gradient = float(value), np.asarray(gradient, np.float64)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return ABSURD, np.zeros_like(y)
        return (value - end.fun) / drop, gradient * (unit / drop)

    def stop_at_rounding(intermediate_result: Any) -> None:
        nonlocal last
        gained, last = last - intermediate_result.fun, intermediate_result.fun
        if gained * drop <= np.finfo(dtype).eps * abs(end.fun + drop * last):
            raise StopIteration

    walls = None if box is None else [(side.astype(float) - end.x) / unit for side in box]
    found = minimize(
        phi,
        np.zeros(end.x.shape),
        jac=True,
        method="L-BFGS-B",
        bounds=None if walls is None else list(zip(*walls, strict=True)),
        callback=stop_at_rounding,
        options={"maxiter": MAX_ITERATIONS, "maxfun": 10 * MAX_ITERATIONS, "ftol": 0.0, "gtol": 0.0},
    )
    minimum = value_and_slope(problem, to_x(found.x), box)
    minimum = minimum if minimum.fun <= end.fun else end
    return minimum._replace(started=end.fun, evaluations=size * (calls + 1))


def is_reached(minimum: Minimum, step_size: float, scale: float) -> bool:
    """Whether a gradient step would gain no more than the rounding of a function whose values are of size `scale`.

    Or of that where the descent began, but not where it ended: a function may fall for ever.
    """
    rounding = np.finfo(minimum.x.dtype).eps * max(scale, abs(minimum.started))
    return bool(np.isfinite(minimum.fun) and step_size * minimum.slope**2 <= ROUNDINGS * rounding)


@eqx.filter_jit
def _potential_and_gradient(problem: Problem, x: Array) -> tuple[Float[Array, ""], Array]:
    return problem.potential_and_gradient(x)
