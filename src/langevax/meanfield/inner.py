"""The inner loop of methods that freeze the dual vector for a while: Langevin steps on the linearized risk.

Or pCNL moves, which are exact at any step, for weights that are functions; they look at all rows.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Float, Int, Key

from langevax import checks
from langevax.gradients import Full
from langevax.meanfield.moves import LONGEST, check_proposal
from langevax.meanfield.pcnl_moves import moved_as_functions
from langevax.problems.mean_field import MeanFieldRisk
from langevax.samplers import Langevin, LangevinState, PCNLState

Cloud = Float[Array, "particles size"]
Inner = Literal["langevin", "pcnl"]


def moved_towards(
    inner: Langevin, frozen: MeanFieldRisk, cloud: Cloud, key: Key[Array, ""], number: Any
) -> tuple[Cloud, Int[Array, ""]]:
    """The cloud after `number` steps, and the component gradients these used; step k has key fold_in(key, k)."""

    def move(k: Array, carry: tuple[LangevinState, Array]) -> tuple[LangevinState, Array]:
        state, used = carry
        state, info = inner.step(frozen, state, random.fold_in(key, k), k)
        return state, used + jnp.asarray(info["evaluations"], jnp.int32)

    gradient, used = inner.gradient.init(frozen, cloud)
    start = LangevinState(cloud, gradient), jnp.asarray(used, jnp.int32)
    end, used = lax.fori_loop(0, jnp.asarray(number, jnp.int32), move, start)
    return end.position, used


def moved_exactly(
    step_size: Any, temperature: Any, frozen: MeanFieldRisk, cloud: Cloud, key: Key[Array, ""], number: Any
) -> tuple[Cloud, Int[Array, ""], Float[Array, ""]]:
    """The cloud after `number` pCNL moves, the component gradients these used, and their mean acceptance."""
    dtype = cloud.dtype
    problem = frozen.of_one_particle(frozen.targets)
    start = PCNLState(cloud, *jax.vmap(problem.value_and_gradient)(cloud))
    step_size, temperature = jnp.asarray(step_size, dtype), jnp.asarray(temperature, dtype)
    end, acceptance = moved_as_functions(problem, start, temperature, step_size, key, number)
    return end.position, (1 + jnp.asarray(number, jnp.int32)) * jnp.asarray(frozen.size, jnp.int32), acceptance


def check_inner(proposal: Any, step_size: Any, gradient: Any) -> None:
    """Raise unless the settings of the inner loop go together."""
    check_proposal(proposal, ("langevin", "pcnl"))
    if proposal == "langevin":
        return
    if not isinstance(gradient, Full):
        raise ValueError(f"proposal='pcnl' accepts by the whole potential; leave gradient=Full(), not {gradient!r}.")
    if callable(step_size) or (checks.is_concrete(step_size) and bool(jnp.any(jnp.asarray(step_size) > LONGEST))):
        raise ValueError(f"step_size must be a number of at most {LONGEST:g} for proposal='pcnl', got {step_size!r}.")
