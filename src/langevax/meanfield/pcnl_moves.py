"""Metropolis moves of independent particles whose acceptance does not know how many coordinates there are.

For weights that are functions, with a prior N(0, T / precision) of finite trace, one precision for each mode. Every
particle moves by `PCNL`, whose proposal leaves that prior as it is, so that only V_g is weighed; coordinate j at

    t_j = step_size share_j,      share_j = min(1, T precision_j / E (dU_j)^2)

with E over the cloud: at the law E (dU_j)^2 is T times the mean curvature, by integration by parts, so that the share
is that of the prior in it. Where the data say nothing it is 1, up to the noise of the cloud.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Float, Key

from langevax.problems.problem import Problem
from langevax.samplers import PCNL, PCNLState


def moved_as_functions(
    problem: Problem, particles: PCNLState, temperature: Array, step_size: Array, key: Key[Array, ""], number: Any
) -> tuple[PCNLState, Float[Array, ""]]:
    """`number` pCNL moves of every particle and their mean acceptance.

    `problem` is that of one particle; the state holds all of them, with values and gradients that leave the quadratic
    part out. `step_size` is at most 2. Cost: `number` passes over the data for each particle.
    """
    pcnl = PCNL(step_size * prior_shares(problem, particles, temperature), temperature)
    size = len(particles.position)

    def move(step: Array, carry: tuple[PCNLState, Array]) -> tuple[PCNLState, Array]:
        state, accepted = carry
        keys = random.split(random.fold_in(key, step), size)
        state, info = jax.vmap(lambda s, k: pcnl.step(problem, s, k, step))(state, keys)
        return state, accepted + jnp.mean(info["acceptance"])

    number = jnp.asarray(number, jnp.int32)
    end, accepted = lax.fori_loop(0, number, move, (particles, jnp.zeros_like(temperature)))
    return end, accepted / number.astype(accepted.dtype)


def prior_shares(problem: Problem, particles: PCNLState, temperature: Array) -> Float[Array, " coordinates"]:
    """Of the prior in the mean curvature of each coordinate, at most 1."""
    dtype = particles.position.dtype
    precision = jnp.asarray(problem.precision, dtype)
    slopes = particles.gradient + precision * particles.position
    return jnp.minimum(1, temperature * precision / (jnp.mean(slopes**2, axis=0) + jnp.finfo(dtype).tiny))
