"""Mean-field Langevin dynamics: noisy gradient descent on a cloud of neurons, its step sizes, stopping.

Nitanda, Wu, Suzuki, AISTATS 2022 (noisy gradient descent); for each of N particles

    theta_r <- theta_r - h [ (1/n) sum_i loss'(z_i) grad h(theta_r, x_i) + 2 ridge theta_r ] + sqrt(2 h T) xi_r

with the ridge integrated exactly by default, which has no bias and no step limit of its own. Noise is
per particle and coordinate, not scaled by N. It is `Langevin` on a `MeanFieldRisk`, nothing else.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from langevax import checks
from langevax.gradients import Full, GradientEstimator
from langevax.integrators import Exponential, Integrator
from langevax.meanfield.antithetic import AntitheticLangevin
from langevax.meanfield.moves import Schedule
from langevax.problems.mean_field import MeanFieldRisk
from langevax.run.result import is_stationary
from langevax.samplers import Langevin

RELATIVE_STEP_SIZE = {"overdamped": 1.5, "frozen": 0.6}
"""Step sizes in units of the inverse curvature, for all losses: 2 is the limit of stability. "frozen" is that of
particles that do not interact, since their dual vector is fixed."""


def MFLD(
    step_size: Schedule,
    temperature: Schedule,
    gradient: GradientEstimator = Full(),  # noqa: B008 - immutable
    integrator: Integrator = Exponential(),  # noqa: B008 - immutable
    antithetic: bool = False,
) -> Langevin:
    """Return `Langevin` with the integrator that suits the ridge of a mean-field risk.

    Args:
        step_size: h, a float or a schedule.
        temperature: lambda, the weight of the entropy.
        gradient: `gradients.SVRG` gives SVRG-MFLD, `gradients.Minibatch` SGD-MFLD.
        integrator: of the ridge.
        antithetic: give every second neuron the noise of the one before it, reflected, which takes most of the noise
            of finitely many neurons away where the temperature is high (`langevax.meanfield.antithetic`).

    Example:
        >>> import langevax
        >>> langevax.meanfield.MFLD(step_size=0.1, temperature=0.01).integrator
        Exponential()
    """
    checks.flag("antithetic", antithetic)
    algorithm = AntitheticLangevin if antithetic else Langevin
    return algorithm(step_size, temperature, gradient, integrator)


def coordinate_steps(
    risk: MeanFieldRisk, relative: ArrayLike
) -> Float[Array, " coordinates"]:
    """Return the step size of each coordinate of a particle, for `MFLD(step_size=...)`.

        h_j = relative / (c S_j + precision),      S_j >= (1/n) sum_i |dh(theta, x_i) / dtheta_j|^2

    with c the curvature bound of the loss. Moving all particles along coordinate j bends the risk by c S_j at most, so
    `relative` below 2 is stable. The law is invariant under any positive step per coordinate: only the speed changes.
    On inputs in their eigenbasis (`X^T X` diagonal) the same gap took four times fewer steps than with one step size
    for all. Where the loss bends less than its bound, `adaptive_steps` makes larger steps.

    Args:
        risk: inputs (n, d), best in their eigenbasis.
        relative: > 0, in units of the inverse curvature bound; see `RELATIVE_STEP_SIZE`.

    Example:
        >>> import jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0, 0.1], [-1.0, 0.1]]), jnp.array([1.0, -1.0])
        >>> risk = langevax.MeanFieldRisk(langevax.neurons.Tanh(), langevax.losses.squared, X, y, precision=0.1)
        >>> coordinate_steps(risk, 1.1).round(2)
        Array([ 1., 10.,  1.], dtype=float32)
    """
    checks.number("relative", relative, positive=True)
    if checks.is_concrete(risk.loss.curvature) and not float(
        risk.loss.curvature
    ) < float("inf"):
        raise ValueError(
            f"the curvature of {type(risk.loss).__name__} has no bound, to which steps "
            "could be relative; pass MFLD a step_size, or use "
            "adaptive_steps.LossCurvatureSteps, which measures the curvature at the "
            "outputs."
        )
    return _coordinate_steps(risk, jnp.asarray(relative, risk.inputs.dtype))


@eqx.filter_jit
def _coordinate_steps(
    risk: MeanFieldRisk, relative: Array
) -> Float[Array, " coordinates"]:
    return steps_at(
        risk, relative, jnp.full(risk.max_size, risk.loss.curvature, relative.dtype)
    )


def steps_at(
    risk: MeanFieldRisk, relative: ArrayLike, curvatures: Float[Array, "n *outputs"]
) -> Float[Array, " coordinates"]:
    """Return the step size of each coordinate where the loss of row i bends by `curvatures[i]`.

        h_j = relative / (max_k S_jk + precision),      S_jk >= (1/n) sum_i curvature_ik |dh(theta, x_i) / dtheta_j|^2

    with k the outputs of the network.
    """
    squares = risk.inputs**2
    weighted = curvatures.reshape(len(curvatures), -1).T

    def bound(curvature: Float[Array, " n"]) -> Float[Array, " coordinates"]:
        mean = jnp.maximum(
            risk.mean_over_rows(curvature), jnp.finfo(curvature.dtype).tiny
        )
        second_moments = jax.vmap(
            lambda x: risk.mean_over_rows(curvature * x), in_axes=1
        )(squares)
        return mean * risk.neuron.slope_bounds(second_moments / mean)

    largest = jnp.max(jax.vmap(bound)(weighted), axis=0)
    return jnp.asarray(relative, largest.dtype) / (
        largest + jnp.asarray(risk.precision, largest.dtype)
    )


def stop_at_plateau(trace: Any, _state: Any, min_records: int = 50) -> bool:
    """Callback of `simulate` for runs that record `{"dual": ...}`: stop once the dual vector has settled.

    With fewer than `min_records` records that is not known.
    """
    return trace is not None and is_stationary(trace.values["dual"], min_records)
