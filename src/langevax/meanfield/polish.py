"""Newton's method on the dual objective, from the clouds that a certificate looks through anyway.

    g  <-  g + t (diag loss*'' + Cov_{p_g}(h) W / (T n))^-1 (z - loss*'(g)),      W the row weights

One step on a warm problem cuts the gap ten- to fiftyfold; on a cold one the full step can diverge, so a
step is kept only where D rises. D(g') - D(g) is told by weighing one and the same particles, which is far
sharper than the difference of two estimates of D: first, to choose t, those at g; then, to accept, fresh
ones at g', which know nothing of the direction and err downwards.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax.meanfield.looks import SUSPICIOUS, Look, project
from langevax.problems.losses import Softmax
from langevax.problems.mean_field import MeanFieldRisk

DAMPING = (1.0, 0.5, 0.25, 0.125)
ENOUGH = 0.002  # of the gap that the untrained prior leaves: what is left below that is noise of the runs
MAX_SIZE = 4000  # outputs times rows up to which the step's matrix is solved


def polished(look: Look, look_at: Callable[[Array], Look], steps: int) -> tuple[Array, int]:
    """The dual after at most `steps` Newton steps that raised D, and how many did."""
    for kept in range(steps):
        if look.families < SUSPICIOUS:  # neither a direction nor the test of it would mean anything
            return look.dual, kept
        if look.gaps.mean() < ENOUGH * (look.prior_objective - look.bounds.mean()):
            return look.dual, kept
        direction = _direction(look)
        candidates = [project(look.risk, look.dual + damping * direction) for damping in DAMPING]
        candidate = look_at(max(candidates, key=lambda dual: look.rise_to(dual).mean()))
        if not -candidate.rise_to(look.dual).mean() > 0:  # also where a run broke off and says NaN
            return look.dual, kept
        look = candidate
    return look.dual, steps


def _direction(look: Look) -> Array:
    risk, shape, n = look.risk, look.dual.shape, float(look.risk.size)
    activations = np.concatenate([np.asarray(_activations(risk, s.particles)) for s in look.samples]).astype(np.float64)
    mean = activations.mean(0)
    centred = activations - mean
    covariance = centred.T @ centred / len(centred)
    slope, curvature = (np.asarray(a, np.float64).ravel() for a in _conjugate_derivatives(risk, look.dual))
    inside = np.isfinite(slope) & np.isfinite(curvature)  # on the border of the domain both are infinite: stay there
    weights = np.repeat(np.asarray(risk.row_weights(), np.float64), int(np.prod(shape[1:])))
    matrix = np.diag(np.where(inside, curvature, 1.0)) + covariance * weights / (look.temperature * n) * inside[:, None]
    ascent = np.where(inside, mean - np.where(inside, slope, 0.0), 0.0)
    if isinstance(risk.loss, Softmax):  # the shares of a row keep their sum
        sums = np.repeat(np.eye(shape[0]), shape[1], axis=0) * inside[:, None]
        solved = np.linalg.solve(matrix, np.column_stack([ascent, sums]))
        step = solved[:, 0] - solved[:, 1:] @ np.linalg.lstsq(sums.T @ solved[:, 1:], sums.T @ solved[:, 0])[0]
    else:
        step = np.linalg.solve(matrix, ascent)
    return jnp.asarray(step.reshape(shape), look.dual.dtype)


@eqx.filter_jit
def _activations(risk: MeanFieldRisk, particles: Array) -> Float[Array, "particles outputs"]:
    h = jax.vmap(jax.vmap(risk.neuron, in_axes=(None, 0)), in_axes=(0, None))(particles, risk.inputs)
    return h.reshape(len(particles), -1)


@eqx.filter_jit
def _conjugate_derivatives(risk: MeanFieldRisk, dual: Array) -> tuple[Array, Array]:
    """loss*' and the diagonal of loss*'' at each dual; not finite on the border of the domain."""

    def one(g: Array, y: Array) -> tuple[Array, Array]:
        slope = jax.grad(risk.loss.conjugate)(g, y)
        hessian = jax.hessian(risk.loss.conjugate)(g, y)
        return slope, hessian if hessian.ndim == 0 else jnp.diagonal(hessian)

    return jax.vmap(one)(dual, risk.targets)
