"""The last digits of a minimum: damped Newton steps in coordinates that the curvature scales.

    H = D V diag(l) V^T D,  D = sqrt(diag |H|),      step = -D^-1 V (|l| + m)^-1 V^T D^-1 g

The absolute eigenvalues lead away from saddle points, m is the damping of Levenberg and Marquardt, in Marquardt's
units, which the scales of the coordinates do not change. Few coordinates only: each step costs a Hessian, d gradients.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax.optimize.landscape import GRADIENT_COST, ROUNDINGS, Landscape
from langevax.optimize.local_search import Frame, Place, Vector, free, gradient_at
from langevax.problems.problem import Problem, hessian_product


class Polished(NamedTuple):
    """The end of a polish, in units of the frame."""

    y: Place
    fun: float
    gradient: Place
    reached: bool
    """True where a Newton step promises no more than rounding."""
    evaluations: int
    """Values with gradients."""


class Derivatives(NamedTuple):
    """Value, gradient and Hessian at a place."""

    fun: float
    gradient: Place
    hessian: Float[np.ndarray, "d d"]

    @property
    def finite(self) -> bool:
        """True where all of them are."""
        return all(np.isfinite(part).all() for part in self)


@eqx.filter_jit
def _derivatives(
    problem: Problem, frame: Frame, y: Vector
) -> tuple[Array, Array, Array]:
    x = frame.to_x(y)
    value, gradient = problem.potential_and_gradient(x)
    products = jax.vmap(lambda u: hessian_product(problem, x, u))
    return value, frame.scale * gradient, frame.scale * products(jnp.diag(frame.scale))


def newton(
    problem: Problem,
    frame: Frame,
    start: Place,
    size: float,
    steps: int,
    damping: float = 1e-3,
    roundings: float = ROUNDINGS,
) -> Polished:
    """Return where damped Newton steps end.

    Args:
        problem, frame: the function, and its units.
        start: in units of the frame.
        size: of values whose rounding errors the function has.
        steps: at most.
        damping: the first one.
        roundings: of the value, that a step may still promise at a minimum.
    """
    dtype = frame.scale.dtype
    eps = float(jnp.finfo(dtype).eps)
    lower, upper = np.asarray(frame.lower), np.asarray(frame.upper)

    def at(y: np.ndarray) -> Derivatives:
        fun, *slopes = _derivatives(problem, frame, jnp.asarray(y, dtype))
        return Derivatives(float(fun), *(np.asarray(a, np.float64) for a in slopes))

    y = start
    now = at(start)
    evaluations = 1
    promise = np.inf
    while now.finite and evaluations <= steps:
        unbound = np.asarray(free(frame, jnp.asarray(y), jnp.asarray(now.gradient)))
        step, promise = newton_step(now, unbound, 0.0)
        settled = promise <= eps * abs(now.fun)
        promised = promise
        if not settled:
            step, promised = newton_step(now, unbound, damping)
        trial = np.clip(y + step, lower, upper)
        ahead = at(trial)
        evaluations += 1
        gain = now.fun - ahead.fun
        # values are equal to rounding at the last step
        if ahead.finite and (gain > 0 or (settled and gain >= -eps * abs(now.fun))):
            y = trial
            now = ahead
            damping = max(damping / 5, eps)
        elif promised <= eps * abs(now.fun) or promise <= roundings * eps * size:
            break
        else:
            damping *= 4
        if settled:
            break
    reached = promise <= roundings * eps * max(abs(now.fun), size)
    evaluations *= 1 + len(start)
    return Polished(y, now.fun, now.gradient, bool(reached), evaluations)


def newton_step(
    at: Derivatives, unbound: np.ndarray, damping: float
) -> tuple[Place, float]:
    """Return a damped step on the free coordinates, and what the model of it gains."""
    step = np.zeros(len(unbound))
    gradient = at.gradient[unbound]
    hessian = at.hessian[np.ix_(unbound, unbound)]
    if not gradient.any():
        return step, 0.0
    diagonal = np.sqrt(np.abs(np.diag(hessian)))
    diagonal = np.where(diagonal > 0, diagonal, diagonal.max(initial=0.0) or 1.0)
    eigenvalues, axes = np.linalg.eigh(hessian / np.outer(diagonal, diagonal))
    slopes = axes.T @ (gradient / diagonal)
    sizes = np.maximum(
        np.abs(eigenvalues) + damping, 1e-14 * (np.abs(eigenvalues).max() or 1.0)
    )
    step[unbound] = -(axes @ (slopes / sizes)) / diagonal
    return step, float(np.sum(slopes**2 / sizes)) / 2


def polish(
    land: Landscape,
    share: float = 0.25,
    fewest: int = 16,
    most_coordinates: int = 64,
) -> Polished:
    """Go to the minimum below the best place, to rounding; by Newton's method where there are gradients.

    Newton's steps are for up to `most_coordinates`. They may take a `share` of the budget beyond it, or the `fewest`.
    """
    y = land.best_y
    problem = land.problem
    assert isinstance(problem, Problem)
    if land.best_fun == -np.inf:
        unknown = np.full(len(y), np.nan)
        return Polished(y, land.best_fun, unknown, False, 0)
    ends = land.descend(y[None])
    settled = float(ends.start_fun[0] - ends.fun[0]) <= land.difference
    if len(y) <= most_coordinates and land.gradient_cost == GRADIENT_COST:
        affordable = share * land.budget / (GRADIENT_COST * (1 + len(y)))
        steps = max(fewest, int(affordable))
        end = newton(problem, land.frame, land.best_y, land.size, steps)
    else:
        slopes = gradient_at(problem, land.frame, land.best_y)
        end = Polished(land.best_y, land.best_fun, slopes, settled, 1)
    land.update(end.y[None], np.array([end.fun]))
    land.add_gradients(end.evaluations)
    return end
