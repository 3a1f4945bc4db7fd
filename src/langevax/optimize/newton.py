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

from langevax.optimize.landscape import GRADIENT_COST, Landscape
from langevax.optimize.local_search import (
    Frame,
    Place,
    Vector,
    gradient_at,
    value_and_gradient,
)
from langevax.problems.problem import NO_FORWARD_MODE, Problem


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
        return bool(
            np.isfinite(self.fun)
            and np.isfinite(self.gradient).all()
            and np.isfinite(self.hessian).all()
        )


@eqx.filter_jit
def _derivatives(
    problem: Problem, frame: Frame, y: Vector
) -> tuple[Array, Array, Array]:
    value, gradient = value_and_gradient(problem, frame, y)
    return (
        value,
        gradient,
        jax.jacfwd(lambda y: value_and_gradient(problem, frame, y)[1])(y),
    )


def newton(
    problem: Problem,
    frame: Frame,
    start: Place,
    size: float,
    steps: int,
    *,
    first_damping: float = 1e-3,
    dampings: tuple[float, float] = (1e-12, 1e12),
    roundings: float = 100,
) -> Polished:
    """Return where damped Newton steps end.

    Args:
        problem, frame: the function, and its units.
        start: in units of the frame.
        size: of values whose rounding errors the function has.
        steps: at most.
        first_damping, dampings: the first one, and the ends of the range in which it stays.
        roundings: of the value, that a step may still promise at a minimum.
    """
    dtype = frame.scale.dtype
    eps = float(jnp.finfo(dtype).eps)
    lower = np.asarray(frame.lower)
    upper = np.asarray(frame.upper)

    def at(y: np.ndarray) -> Derivatives:
        value, *slopes = _derivatives(problem, frame, jnp.asarray(y, dtype))
        return Derivatives(float(value), *(np.asarray(a, np.float64) for a in slopes))

    y = start
    now = at(start)
    damping = first_damping
    evaluations = 1 + len(start)
    if not now.finite:
        return Polished(y, now.fun, now.gradient, False, evaluations)
    promise = np.inf
    for _ in range(steps):
        unbound = ~(
            ((y <= lower) & (now.gradient > 0)) | ((y >= upper) & (now.gradient < 0))
        )
        step, promise = newton_step(now, unbound, 0.0)
        settled = promise <= eps * abs(now.fun)
        if not settled:
            step, _ = newton_step(now, unbound, damping)
        trial = np.clip(y + step, lower, upper)
        ahead = at(trial)
        evaluations += 1 + len(start)
        gain = now.fun - ahead.fun
        # values are equal to rounding at the last step
        if ahead.finite and (gain > 0 or (settled and gain >= -eps * abs(now.fun))):
            y = trial
            now = ahead
            damping = max(damping / 5, dampings[0])
        elif damping >= dampings[1] or promise <= roundings * eps * size:
            break
        else:
            damping *= 4
        if settled:
            break
    reached = promise <= roundings * eps * max(abs(now.fun), size)
    return Polished(y, now.fun, now.gradient, reached, evaluations)


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
    most: int = 500,
    most_coordinates: int = 64,
) -> Polished:
    """Go to the minimum below the best place, to rounding; by Newton's method where there are Hessians.

    Newton's steps are for up to `most_coordinates`. They may take a `share` of the budget beyond it, or the `fewest`, and
    are at most so many.
    """
    y = land.best_y
    if land.best_fun == -np.inf:
        return Polished(y, land.best_fun, np.full(len(y), np.nan), False, 0)
    ends = land.descend(y[None])
    settled = float(ends.start_fun[0] - ends.fun[0]) <= land.difference
    slopes = gradient_at(land.problem, land.frame, land.best_y)
    end = Polished(land.best_y, land.best_fun, slopes, settled, 1)
    if len(y) <= most_coordinates and land.gradient_cost == GRADIENT_COST:
        affordable = share * land.budget / (GRADIENT_COST * (1 + len(y)))
        steps = int(np.clip(affordable, fewest, most))
        try:
            end = newton(land.problem, land.frame, land.best_y, land.size, steps)
        except (TypeError, ValueError) as error:
            if not any(words in str(error) for words in NO_FORWARD_MODE):
                raise
    land.update(end.y[None], np.array([end.fun]))
    land.add_gradients(end.evaluations)
    return end
