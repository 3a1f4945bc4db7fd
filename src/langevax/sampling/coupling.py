"""Langevin dynamics at a step size and at half of it, driven by the same noise.

Two chains of equal law up to their bias stay close to each other, so that the difference of their variances is known
far better than either of them. A step of the first takes xi = (xi_1 + xi_2) / sqrt(2) of two steps of the second.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float

from langevax import trees
from langevax._typing import IntScalar, PRNGKey
from langevax.algorithm import Algorithm, Info
from langevax.problems.problem import Problem
from langevax.samplers import Langevin
from langevax.samplers.langevin import LangevinState


class CoupledState(NamedTuple):
    """Both positions, stacked, and both states."""

    position: Float[Array, "2 d"]
    coarse: LangevinState
    fine: LangevinState

    @classmethod
    def of(cls, coarse: LangevinState, fine: LangevinState) -> "CoupledState":
        return cls(jnp.stack([coarse.position, fine.position]), coarse, fine)


class CoupledChains(Algorithm):
    """`coarse`, and `fine` at half its step size."""

    coarse: Langevin
    fine: Langevin

    @property
    def step_size(self) -> Any:
        """Of the first, for the error of chains that diverge."""
        return self.coarse.step_size

    def init(
        self,
        problem: Problem,
        position: Array,
        key: PRNGKey,
    ) -> tuple[CoupledState, Info]:
        """Start both at a vector, or go on from the two positions of an earlier run."""
        pair = jnp.broadcast_to(position, (2, position.shape[-1]))
        chains = zip((self.coarse, self.fine), pair, strict=True)
        (coarse, used), (fine, also_used) = (
            chain.init(problem, x, key) for chain, x in chains
        )
        return CoupledState.of(coarse, fine), {
            "evaluations": used["evaluations"] + also_used["evaluations"]
        }

    def step(
        self,
        problem: Problem,
        state: CoupledState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[CoupledState, Info]:
        first_key, second_key, *gradient_keys = random.split(key, 5)
        first, second = (
            trees.normal_like(state.fine.position, key=key)
            for key in (first_key, second_key)
        )
        both = (first + second) * np.sqrt(0.5).astype(first.dtype)
        coarse, a = self.coarse.step_with_noise(
            problem, state.coarse, both, gradient_keys[0], step
        )
        fine, b = self.fine.step_with_noise(
            problem, state.fine, first, gradient_keys[1], 2 * step
        )
        fine, c = self.fine.step_with_noise(
            problem, fine, second, gradient_keys[2], 2 * step + 1
        )
        used = a["evaluations"] + b["evaluations"] + c["evaluations"]
        return CoupledState.of(coarse, fine), {"evaluations": used}
