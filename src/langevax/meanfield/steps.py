"""Step sizes of mean-field Langevin dynamics, one for each coordinate of a particle.

    h_j = relative / (c S_j + precision),      S_j >= (1/n) sum_i |dh(theta, x_i) / dtheta_j|^2
    h_j = relative / (S_j / bound + precision)      where the dual is frozen, so that neurons bend alone

with c the curvature bound of the loss. Moving all particles along coordinate j bends the risk by c S_j at
most, so `relative` below 2 is stable where the bound is sharp. A law is invariant under any positive step
per coordinate, so this changes the speed alone: on inputs in their eigenbasis (`X^T X` diagonal) the same
gap took four times fewer steps than one step size for all. Squared loss is near its bound; logistic and
softmax losses are far from theirs, and take much larger steps.
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from langevax import checks
from langevax.problems.losses import Logistic, Loss, Softmax, Squared
from langevax.problems.mean_field import MeanFieldRisk

Kind = Literal["overdamped", "underdamped", "frozen"]

RELATIVE: dict[Kind, dict[type[Loss], float]] = {
    "overdamped": {Squared: 1.5, Logistic: 16.0, Softmax: 32.0},
    "underdamped": {Squared: 0.5, Logistic: 8.0, Softmax: 4.0},
    "frozen": {Squared: 1.0, Logistic: 20.0, Softmax: 6.0},
}


def relative_step(loss: Loss, kind: Kind = "overdamped") -> float:
    """What `relative` was best for the loss, on tables of 8 to 64 columns.

    Of underdamped dynamics it is in units of the squared step; frozen is what `coordinate_steps` says.
    """
    return RELATIVE[kind].get(type(loss), 1.0)


def coordinate_steps(risk: MeanFieldRisk, relative: Any, frozen: bool = False) -> Float[Array, " coordinates"]:
    """The step of each coordinate, for `MFLD(step_size=...)`.

    Args:
        risk: inputs (n, d), best in their eigenbasis.
        relative: > 0, in units of the inverse curvature bound; see `relative_step`.
        frozen: for the inner steps of `PDA` and `FictitiousPlay`; needs a bounded neuron.

    Example:
        >>> import jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0, 0.1], [-1.0, 0.1]]), jnp.array([1.0, -1.0])
        >>> risk = langevax.MeanFieldRisk(langevax.neurons.Tanh(), langevax.losses.squared, X, y, precision=0.1)
        >>> coordinate_steps(risk, 1.1).round(2)
        Array([ 1., 10.,  1.], dtype=float32)
    """
    checks.number("relative", relative, positive=True)
    return _coordinate_steps(risk, jnp.asarray(relative, risk.inputs.dtype), frozen)


@eqx.filter_jit
def _coordinate_steps(risk: MeanFieldRisk, relative: Array, frozen: bool) -> Float[Array, " coordinates"]:
    second_moments = jax.vmap(risk.mean_over_rows, in_axes=1)(risk.inputs**2)
    factor = 1 / jnp.asarray(risk.neuron.bound, relative.dtype) if frozen else risk.loss.curvature
    curvature = jnp.asarray(factor, relative.dtype) * risk.neuron.slope_bounds(second_moments)
    return relative / (curvature + jnp.asarray(risk.precision, curvature.dtype))
