"""Metropolis moves of independent particles, each coordinate at the pace of its own curvature.

What sequential Monte Carlo, P-SDCA and fictitious play do to keep a cloud at a proximal Gibbs law: the law stays as it
is whatever the step size, so that step is found on the way. `pcnl_moves` has those for weights that are functions.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Float, Key

from langevax import trees
from langevax.problems.coordinates import affine
from langevax.problems.problem import Problem
from langevax.samplers import MALA, MALAState

SLOW, FAST = 0.5, 0.75  # acceptances below and above which the step of the moves shrinks and grows
SHRINK, GROW = 0.75, 1.3
FIRST_STEP = 0.5  # in units of the curvature

Proposal = Literal["mala", "pcnl"]
"""Of the moves: "pcnl" where the weights are functions, whose prior has a precision for each mode."""
LONGEST = 2.0  # step of pCNL, at which it forgets where it comes from


def moved(
    problem: Problem, particles: MALAState, temperature: Array, step_size: Array, key: Key[Array, ""], number: int
) -> tuple[MALAState, Float[Array, ""]]:
    """`number` MALA moves of every particle and their mean acceptance.

    `problem` is that of one particle; the state holds all of them, with potentials and gradients that include the
    quadratic part. Coordinate j moves with step `step_size * T / E (dU_j)^2`: at the law that is the inverse of the
    mean curvature, by integration by parts. Cost: `number` passes over the data for each particle.
    """
    dtype = particles.position.dtype
    scale = jnp.sqrt(temperature) / jnp.sqrt(jnp.mean(particles.gradient**2, axis=0) + jnp.finfo(dtype).tiny)
    scaled, mala = affine(problem, scale), MALA(step_size, temperature)
    size, width = particles.position.shape

    def move(state: MALAState, step: Array) -> tuple[MALAState, Array]:
        noise_keys, accept_keys = jax.vmap(random.split, out_axes=1)(random.split(random.fold_in(key, step), size))
        noise = trees.normal_rows(noise_keys, width, dtype)
        state, info = jax.vmap(lambda s, xi, k: mala.step_with_noise(scaled, s, xi, k, step))(state, noise, accept_keys)
        return state, jnp.mean(info["acceptance"])

    start = MALAState(particles.position / scale, particles.potential, particles.gradient * scale)
    end, acceptances = lax.scan(move, start, jnp.arange(number, dtype=jnp.int32))
    return MALAState(end.position * scale, end.potential, end.gradient / scale), jnp.mean(acceptances)


def adapted(step_size: Array, acceptance: Any, proposal: Proposal = "mala") -> Array:
    """The step for the next moves: smaller where too many were refused, larger where hardly any was."""
    step_size = step_size * jnp.where(acceptance > FAST, GROW, jnp.where(acceptance < SLOW, SHRINK, 1.0))
    return step_size if proposal == "mala" else jnp.minimum(step_size, LONGEST)


def check_proposal(proposal: Any, known: tuple[str, ...] = ("mala", "pcnl")) -> None:
    """Raise unless it is the name of one."""
    if proposal not in known:
        raise ValueError(f"proposal must be {' or '.join(map(repr, known))}, got {proposal!r}.")
