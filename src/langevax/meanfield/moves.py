"""Moves that keep a cloud of particles at a proximal Gibbs law, or take it there.

`mala_moves` and `pcnl_moves` are Metropolis moves: the law is invariant whatever the step size, which is adapted
between calls. Each coordinate has a step size of its own, from the mean curvature E (dU_j)^2 / T over the cloud (an
identity at the law, by integration by parts). pCNL leaves the prior N(0, T / precision) invariant and weighs V_g alone,
so that its acceptance does not depend on the number of modes where weights are functions; its steps are

    t_j = step_size share_j,      share_j = min(1, T precision_j / E (dU_j)^2),

the share of the prior in the curvature. `inner_loop` is that of methods that freeze the dual vector for a while.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Float

from langevax import checks, trees
from langevax._typing import FloatScalar, IntScalar, PRNGKey
from langevax.algorithm import Info, at_step
from langevax.gradients import Full, GradientEstimator
from langevax.problems.coordinates import affine
from langevax.problems.mean_field import MeanFieldRisk
from langevax.problems.problem import Problem
from langevax.samplers import MALA, PCNL, Langevin, LangevinState, MALAState, PCNLState

Cloud = Float[Array, "particles size"]
Scalar = float | Array
Schedule = Scalar | Callable[..., Any]
"""A number, or a function of the step."""

Proposal = Literal["mala", "pcnl"]
"""Metropolis proposal: "pcnl" where weights are functions, with a prior precision for each mode."""
InnerProposal = Literal["langevin", "pcnl"]

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
    proposal: Proposal = "mala",
    *,
    low: float = 0.5,
    high: float = 0.75,
    shrink: float = 0.75,
    grow: float = 1.3,
) -> Array:
    """Return the step size of the next moves: smaller after low acceptance, larger after high acceptance."""
    smaller = jnp.where(acceptance < low, shrink, 1.0)
    factor = jnp.where(acceptance > high, grow, smaller)
    step_size = step_size * factor
    return (
        step_size if proposal == "mala" else jnp.minimum(step_size, LONGEST_PCNL_STEP)
    )


def inner_loop(
    inner: Langevin,
    proposal: InnerProposal,
    frozen: MeanFieldRisk,
    cloud: Cloud,
    num_steps: int | IntScalar,
    key: PRNGKey,
) -> tuple[Cloud, IntScalar, Info]:
    """Move the cloud under a frozen dual; return it, the component gradients used, and the acceptance of pCNL moves.

    Langevin step k has key fold_in(key, k).
    """
    num_steps = jnp.asarray(num_steps, jnp.int32)
    if proposal == "pcnl":
        problem = frozen.of_one_particle(frozen.targets)
        start = PCNLState(cloud, *jax.vmap(problem.value_and_gradient)(cloud))
        heat, h = (
            jnp.asarray(at_step(value, num_steps), cloud.dtype)
            for value in (inner.temperature, inner.step_size)
        )
        end, acceptance = pcnl_moves(problem, start, heat, h, key, num_steps)
        return (
            end.position,
            (1 + num_steps) * jnp.asarray(frozen.size, jnp.int32),
            {"acceptance": acceptance},
        )

    def move(
        k: Array, carry: tuple[LangevinState, Array]
    ) -> tuple[LangevinState, Array]:
        state, used = carry
        state, info = inner.step(frozen, state, random.fold_in(key, k), k)
        return state, used + jnp.asarray(info["evaluations"], jnp.int32)

    state, used = inner.gradient.init(frozen, cloud)
    end, used = lax.fori_loop(
        0, num_steps, move, (LangevinState(cloud, state), jnp.asarray(used, jnp.int32))
    )
    return end.position, used, {}


def check_proposal(proposal: str, known: tuple[str, ...] = ("mala", "pcnl")) -> None:
    """Raise unless `proposal` is one of `known`."""
    if proposal not in known:
        raise ValueError(
            f"proposal must be {' or '.join(map(repr, known))}, got {checks.shown(proposal)}."
        )


def check_inner_loop(
    proposal: str, step_size: Schedule, gradient: GradientEstimator
) -> None:
    """Raise unless the settings of an inner loop go together."""
    check_proposal(proposal, ("langevin", "pcnl"))
    if proposal == "langevin":
        return
    if not isinstance(gradient, Full):
        raise ValueError(
            f"proposal='pcnl' accepts by the whole potential; leave gradient=Full(), not {gradient!r}."
        )
    largest = LONGEST_PCNL_STEP
    if callable(step_size) or (
        checks.is_concrete(step_size)
        and bool(jnp.any(jnp.asarray(step_size) > largest))
    ):
        raise ValueError(
            f"step_size must be a number of at most {largest:g} for proposal='pcnl', got {checks.shown(step_size)}."
        )
