"""Moves that keep a cloud of particles at a proximal Gibbs law, or take it there.

`mala_moves` and `pcnl_moves` are Metropolis moves: the law is invariant whatever the step size, which is adapted
between calls. Each coordinate has a step size of its own, from the mean curvature E (dU_j)^2 / T over the cloud (an
identity at the law, by integration by parts). pCNL leaves the prior N(0, T / precision) invariant and weighs V_g alone,
so that its acceptance does not depend on the number of modes where weights are functions; its steps are

    t_j = step_size share_j,      share_j = min(1, T precision_j / E (dU_j)^2),

the share of the prior in the curvature.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Float

from langevax import trees
from langevax._typing import FloatScalar, IntScalar, PRNGKey
from langevax.problems.coordinates import affine
from langevax.problems.problem import Problem
from langevax.samplers import MALA, PCNL, MALAState, PCNLState

Cloud = Float[Array, "particles size"]
Scalar = float | Array
Schedule = Scalar | Callable[..., Any]
"""A number, or a function of the step."""

Proposal = Literal["mala", "pcnl"]
"""Metropolis proposal: "pcnl" where weights are functions, with a prior precision for each mode."""

FIRST_RELATIVE_STEP = 0.5  # to the inverse curvature
LONGEST_PCNL_STEP = 2.0  # at which the proposal is independent of the current position


def mala_moves(
    problem: Problem,
    particles: MALAState,
    temperature: Array,
    step_size: Array,
    key: PRNGKey,
    num_moves: int,
) -> tuple[MALAState, FloatScalar]:
    """Move every particle by `num_moves` MALA steps; return the particles and the mean acceptance.

    `problem` is that of one particle; the state holds all of them, with potentials and gradients that include the
    quadratic part. Coordinate j has step size `step_size * T / E (dU_j)^2`. Cost: `num_moves` passes over the data for
    each particle.
    """
    dtype = particles.position.dtype
    scale = jnp.sqrt(temperature) / jnp.sqrt(
        jnp.mean(particles.gradient**2, axis=0) + jnp.finfo(dtype).tiny
    )
    scaled = affine(problem, scale)
    mala = MALA(step_size, temperature)
    size, width = particles.position.shape

    def move(state: MALAState, step: Array) -> tuple[MALAState, Array]:
        noise_keys, accept_keys = jax.vmap(random.split, out_axes=1)(
            random.split(random.fold_in(key, step), size)
        )
        noise = trees.normal_rows(width, dtype, keys=noise_keys)
        state, info = jax.vmap(
            lambda s, xi, k: mala.step_with_noise(scaled, s, xi, k, step)
        )(state, noise, accept_keys)
        return state, jnp.mean(info["acceptance"])

    start = MALAState(
        particles.position / scale, particles.potential, particles.gradient * scale
    )
    end, acceptances = lax.scan(move, start, jnp.arange(num_moves, dtype=jnp.int32))
    return MALAState(
        end.position * scale, end.potential, end.gradient / scale
    ), jnp.mean(acceptances)


def pcnl_moves(
    problem: Problem,
    particles: PCNLState,
    temperature: Array,
    step_size: Array,
    key: PRNGKey,
    num_moves: int | IntScalar,
) -> tuple[PCNLState, FloatScalar]:
    """Move every particle by `num_moves` pCNL steps; return the particles and the mean acceptance.

    As `mala_moves`, but values and gradients leave the quadratic part out and `step_size` is at most 2.
    """
    pcnl = PCNL(step_size * prior_shares(problem, particles, temperature), temperature)
    size = len(particles.position)

    def move(step: Array, carry: tuple[PCNLState, Array]) -> tuple[PCNLState, Array]:
        state, accepted = carry
        keys = random.split(random.fold_in(key, step), size)
        state, info = jax.vmap(lambda s, k: pcnl.step(problem, s, k, step))(state, keys)
        return state, accepted + jnp.mean(info["acceptance"])

    num_moves = jnp.asarray(num_moves, jnp.int32)
    end, accepted = lax.fori_loop(
        0, num_moves, move, (particles, jnp.zeros_like(temperature))
    )
    return end, accepted / num_moves.astype(accepted.dtype)


def prior_shares(
    problem: Problem, particles: PCNLState, temperature: Array
) -> Float[Array, " coordinates"]:
    """Return the share of the prior in the mean curvature of each coordinate, at most 1."""
    dtype = particles.position.dtype
    precision = jnp.asarray(problem.precision, dtype)
    slopes = particles.gradient + precision * particles.position
    return jnp.minimum(
        1,
        temperature * precision / (jnp.mean(slopes**2, axis=0) + jnp.finfo(dtype).tiny),
    )


def adapted_step_size(
    step_size: Array,
    acceptance: Scalar,
    proposal: Proposal,
) -> Array:
    """Return the step size of the next moves: smaller after low acceptance, larger after high acceptance."""
    smaller = jnp.where(acceptance < 0.5, 0.75, 1.0)
    step_size = step_size * jnp.where(acceptance > 0.75, 1.3, smaller)
    return (
        step_size if proposal == "mala" else jnp.minimum(step_size, LONGEST_PCNL_STEP)
    )
