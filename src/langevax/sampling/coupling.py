"""Langevin and underdamped dynamics at a step size and at half of it, driven by the same noise.

Two chains of equal law up to their bias stay close to each other, so that the difference of their variances is known
far better than either of them. A step of the first takes xi = (xi_1 + xi_2) / sqrt(2) of two steps of the second; with
a velocity, the noise of each flow without force is that of two consecutive flows of half its length.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, Int, Key

from langevax import trees
from langevax.algorithm import Algorithm, Info
from langevax.problems.problem import Problem
from langevax.samplers import Langevin, Underdamped
from langevax.samplers.langevin import LangevinState
from langevax.samplers.underdamped import UnderdampedState

DynamicsState = LangevinState | UnderdampedState


class CoupledState(NamedTuple):
    """Both positions, stacked, and both states."""

    position: Float[Array, "2 d"]
    coarse: Any
    fine: Any

    @classmethod
    def of(cls, coarse: DynamicsState, fine: DynamicsState) -> "CoupledState":
        return cls(jnp.stack([coarse.position, fine.position]), coarse, fine)


class CoupledChains(Algorithm):
    """`coarse`, and `fine` at half its step size."""

    coarse: Langevin | Underdamped
    fine: Langevin | Underdamped

    def init(
        self, problem: Problem, position: Array, key: Key[Array, ""]
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
        key: Key[Array, ""],
        step: Int[Array, ""],
    ) -> tuple[CoupledState, Info]:
        first_key, second_key, *gradient_keys = random.split(key, 5)
        both, first, second = self._noises(
            state.fine.position, (first_key, second_key), step
        )
        coarse_step: Any = self.coarse.step_with_noise
        fine_step: Any = self.fine.step_with_noise
        coarse, a = coarse_step(problem, state.coarse, both, gradient_keys[0], step)
        fine, b = fine_step(problem, state.fine, first, gradient_keys[1], 2 * step)
        fine, c = fine_step(problem, fine, second, gradient_keys[2], 2 * step + 1)
        used = a["evaluations"] + b["evaluations"] + c["evaluations"]
        return CoupledState.of(coarse, fine), {"evaluations": used}

    def _noises(
        self, like: Array, keys: tuple[Key[Array, ""], ...], step: Int[Array, ""]
    ) -> tuple[Any, Any, Any]:
        """Return the noise of a step of `coarse`, and those of two steps of `fine`."""
        if isinstance(self.fine, Underdamped):
            steps = 2 * step, 2 * step + 1
            first, second = (
                tuple(self.fine.flow_noise(like, at, key=k) for k in random.split(key))
                for key, at in zip(keys, steps, strict=True)
            )
            both = tuple(
                self.fine.joined_noise(before, after, at)
                for (before, after), at in zip((first, second), steps, strict=True)
            )
            return both, first, second
        first, second = (trees.normal_like(like, key=key) for key in keys)
        return (first + second) * np.sqrt(0.5).astype(first.dtype), first, second
