"""Climbing the dual objective, from the clouds that a certificate looks through anyway.

Weighed by exp(-(V_g - V_0) / T), particles of one dual stand for those of another one near by, so that D is a known
concave function as far as the weights stay even. Newton steps climb it. In each only T log Z is replaced by its second
cumulants, the conjugate is kept as it is: the best dual of that model is

    g' = loss'(u),      u = z - Cov_{p_g}(h) W (g' - g) / (T n),      W the row weights

solved for u. So every g' is feasible, and the noise of z counts loss'' times, which vanishes on rows that are well
classified. The climbed dual is kept only where fresh particles of its own law, which know nothing of the climb and
err downwards, say by the same weighing that D rose.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax.meanfield.looks import SUSPICIOUS, Look, project
from langevax.problems.losses import Loss
from langevax.problems.matmul import in_float32
from langevax.problems.mean_field import MeanFieldRisk

CLIMB, EVEN = 3, 0.1  # Newton steps with one cloud, and the share of effective particles below which it tells no more
DAMPING = (1.0, 0.5, 0.25, 0.125)
ENOUGH = 0.002  # of the gap that the untrained prior leaves: what is left below that is noise of the runs
MAX_SIZE = 4000  # outputs times rows up to which the step's matrix is solved
ITERATIONS, TOLERANCE, SMALLEST = 10, 1e-4, 2**-6  # of the search for u; the tolerance is that of z, single precision


def polished(look: Look, look_at: Callable[[Array], Look], rounds: int) -> tuple[Array, int]:
    """The dual after at most so many climbs that raised D, and how many did; `look_at` makes fresh runs."""
    for kept in range(rounds):
        if look.families < SUSPICIOUS:  # neither a direction nor the test of it would mean anything
            return look.dual, kept
        if look.gap < ENOUGH * (look.prior_objective - look.bound):
            return look.dual, kept
        candidate = look_at(_climbed(look))
        if not -candidate.rise_to(look.dual).mean() > 0:  # also where a run broke off and says NaN
            return look.dual, kept
        look = candidate
    return look.dual, rounds


def _climbed(look: Look) -> Array:
    """The dual at the top of D as the cloud sees it, or where the cloud thins out on the way there."""
    particles = jnp.concatenate([sample.particles for sample in look.samples])
    activations = np.asarray(_activations(look.risk, particles))
    dual, rise = look.dual, 0.0
    for _ in range(CLIMB):
        importance = look.importance(dual)
        if 1 / np.sum(importance**2) < EVEN * len(importance):
            break
        direction = _best_dual(look, dual, activations, importance) - dual
        candidates = [project(look.risk, dual + damping * direction) for damping in DAMPING]
        rises = [look.rise_to(candidate).mean() for candidate in candidates]
        best = int(np.argmax(rises))
        if not rises[best] > rise:
            break
        dual, rise = candidates[best], rises[best]
    return dual


def _best_dual(look: Look, dual: Array, activations: np.ndarray, importance: np.ndarray) -> Array:
    """Of the model of second cumulants around `dual`, by a damped Newton search for u from u = z."""
    risk, shape = look.risk, dual.shape
    z = importance @ activations
    centred = np.asarray((activations - z) * np.sqrt(importance)[:, None], np.float32)
    weights = np.repeat(np.asarray(risk.row_weights(), np.float64), int(np.prod(shape[1:])))
    covariance = (centred.T @ centred).astype(np.float64)  # in single precision: its noise is far larger
    response = covariance * weights / (look.temperature * float(risk.size))

    def residual(u: np.ndarray) -> tuple[np.ndarray, Array, np.ndarray]:
        slopes, curvatures = _derivatives(risk.loss, jnp.asarray(u.reshape(shape), dual.dtype), risk.targets)
        change = np.asarray(slopes - dual, np.float64).ravel()
        return u - z + response @ change, slopes, np.asarray(curvatures, np.float64)

    u, (missed, slopes, curvatures) = z, residual(z)
    for _ in range(ITERATIONS):
        if np.abs(missed).max() < TOLERANCE:
            break
        blocks = response.reshape(len(u), shape[0], -1)
        jacobian = np.eye(len(u)) + np.einsum("ujc,jcd->ujd", blocks, curvatures).reshape(len(u), -1)
        step = np.linalg.solve(jacobian, missed)
        share, tried = 1.0, residual(u - step)
        while share > SMALLEST and np.linalg.norm(tried[0]) >= np.linalg.norm(missed):
            share /= 2
            tried = residual(u - share * step)
        u, (missed, slopes, curvatures) = u - share * step, tried
    return slopes


@in_float32
@eqx.filter_jit
def _activations(risk: MeanFieldRisk, particles: Array) -> Float[Array, "particles outputs"]:
    h = jax.vmap(jax.vmap(risk.neuron, in_axes=(None, 0)), in_axes=(0, None))(particles, risk.inputs)
    return h.reshape(len(particles), -1)


@eqx.filter_jit
def _derivatives(loss: Loss, outputs: Array, targets: Array) -> tuple[Array, Float[Array, "n outputs outputs"]]:
    """loss' and loss'' at each row's outputs."""
    size = int(np.prod(outputs.shape[1:]))
    curvatures = jax.vmap(jax.jacfwd(loss.derivative))(outputs, targets)
    return jax.vmap(loss.derivative)(outputs, targets), curvatures.reshape(len(outputs), size, size)
