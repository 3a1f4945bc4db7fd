"""The inner loop of methods that freeze the dual vector for a while: Langevin steps on the linearized risk."""

from typing import Any

import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Float, Int, Key

from langevax.langevin import Langevin, LangevinState
from langevax.problems.mean_field import MeanFieldRisk

Cloud = Float[Array, "particles size"]


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
