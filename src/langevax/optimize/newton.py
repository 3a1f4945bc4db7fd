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

from langevax.optimize.local_search import Frame, value_and_gradient
from langevax.problems.problem import Problem

STEPS = 500
FIRST_DAMPING, LEAST_DAMPING, LARGEST_DAMPING = 1e-3, 1e-12, 1e12
ROUNDINGS = 100
"""Roundings of the value that a step may still promise at a minimum."""


class Polished(NamedTuple):
    """The end of a polish, in units of the frame."""

    y: Float[np.ndarray, " d"]
    fun: float
    gradient: Float[np.ndarray, " d"]
    reached: bool
    """True where a Newton step promises no more than rounding."""
    evaluations: int
    """Values with gradients."""


class Derivatives(NamedTuple):
    """Value, gradient and Hessian at a place."""

    fun: float
    gradient: Float[np.ndarray, " d"]
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
    problem: Problem, frame: Frame, y: Float[Array, " d"]
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
    start: Float[np.ndarray, " d"],
    size: float,
    steps: int = STEPS,
) -> Polished:
    """Return where damped Newton steps end; `size` is that of values whose rounding errors the function has."""
    dtype = frame.scale.dtype
    lower, upper, eps = (
        np.asarray(frame.lower),
        np.asarray(frame.upper),
        float(jnp.finfo(dtype).eps),
    )

    def at(y: np.ndarray) -> Derivatives:
        value, gradient, hessian = _derivatives(problem, frame, jnp.asarray(y, dtype))
        return Derivatives(
            float(value),
            np.asarray(gradient, np.float64),
            np.asarray(hessian, np.float64),
        )

    y, now, damping, evaluations = start, at(start), FIRST_DAMPING, 1 + len(start)
    if not now.finite:
        return Polished(y, now.fun, now.gradient, False, evaluations)
    promise = np.inf
    for _ in range(min(steps, STEPS)):
        unbound = ~(
            ((y <= lower) & (now.gradient > 0)) | ((y >= upper) & (now.gradient < 0))
        )
        pure, promise = newton_step(now, unbound, 0.0)
        settled = promise <= eps * abs(
            now.fun
        )  # values are equal to rounding: the smaller gradient decides
        ahead = at(
            trial := np.clip(
                y + (pure if settled else newton_step(now, unbound, damping)[0]),
                lower,
                upper,
            )
        )
        evaluations += 1 + len(start)
        if settled:
            smaller = (
                ahead.finite
                and np.abs(ahead.gradient * unbound).max()
                < np.abs(now.gradient * unbound).max()
            )
            if not (smaller and ahead.fun <= now.fun + eps * abs(now.fun)):
                break
            y, now = trial, ahead
        elif ahead.finite and ahead.fun < now.fun:
            y, now, damping = trial, ahead, max(damping / 5, LEAST_DAMPING)
        elif damping >= LARGEST_DAMPING or promise <= ROUNDINGS * eps * size:
            break
        else:
            damping *= 4
    return Polished(
        y,
        now.fun,
        now.gradient,
        promise <= ROUNDINGS * eps * max(abs(now.fun), size),
        evaluations,
    )


def newton_step(
    at: Derivatives, unbound: np.ndarray, damping: float
) -> tuple[Float[np.ndarray, " d"], float]:
    """Return a damped step on the free coordinates, and what the model of it gains."""
    step = np.zeros(len(unbound))
    gradient, hessian = at.gradient[unbound], at.hessian[np.ix_(unbound, unbound)]
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
