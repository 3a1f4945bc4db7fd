"""PAGE: a full gradient with some probability, else SARAH's correction (Li, Bao, Zhang, Richtarik, ICML 2021)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Int, Key, PyTree

from langevax import checks, trees
from langevax.gradients import batches
from langevax.gradients.estimator import GradientEstimator
from langevax.gradients.sarah import SARAHState
from langevax.gradients.svrg import two_point_change
from langevax.keys import unrolled
from langevax.problems.problem import Problem


class PAGE(GradientEstimator):
    """`SARAH` whose epochs have a random length; its errors persist through one of them.

        with probability p, and at step 0:   v = gradient(x)                                    cost n
        otherwise:                           v = gradient_I(x) - gradient_I(x_previous) + v     cost 2B

    With p = B / (n + B) a step costs about 2B on average. The coin is tossed for the step, not for the chain: chains of
    one run share it, so that a full pass is a branch and not taken at every step by all (a condition that differs
    between chains is a selection under `vmap`). Each chain still has the law of PAGE.

    Args:
        batch_size: B, components per step.
        probability: p, in (0, 1]; None takes B / (n + B). 1 is the full gradient.
        seed: which sequence of coins, the same in each run.
        replace: draw with replacement; by default the indices of a batch are distinct.

    Example:
        >>> import langevax
        >>> langevax.gradients.PAGE(batch_size=8)
        PAGE(batch_size=8)
    """

    batch_size: int
    probability: Any = None
    seed: int = 0
    replace: bool = False

    def __check_init__(self) -> None:
        checks.positive_int("batch_size", self.batch_size)
        checks.positive_int("seed", self.seed, minimum=0)
        if self.probability is not None:
            check_fraction("probability", self.probability)

    def init(self, problem: Problem, position: PyTree) -> tuple[SARAHState, int]:
        batches.check_batch_size(self.batch_size, problem, self.replace)
        return SARAHState(position, jax.tree.map(jnp.zeros_like, position)), 0  # step 0 takes a full one

    def estimate(
        self, problem: Problem, position: PyTree, state: SARAHState, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[PyTree, SARAHState, Any]:
        def refresh() -> tuple[PyTree, Any]:
            return problem.gradient(position), jnp.asarray(problem.size, jnp.int32)

        def correct() -> tuple[PyTree, Any]:
            indices, _ = batches.draw(key, problem, self.batch_size, self.replace)
            change = two_point_change(problem, position, state.previous, indices)
            return trees.add(change, state.gradient), jnp.int32(2 * self.batch_size)

        v, used = lax.cond((step == 0) | self.coin(problem, step), refresh, correct)
        return v, SARAHState(position, v), used

    def coin(self, problem: Problem, step: Int[Array, ""]) -> Any:
        """Whether `step` takes a full gradient, step 0 aside."""
        size = jnp.asarray(problem.size, jnp.float32)
        probability = self.batch_size / (size + self.batch_size) if self.probability is None else self.probability
        drawn = random.uniform(random.fold_in(unrolled(random.key(self.seed)), step), (), jnp.float32)
        return drawn < jnp.asarray(probability, jnp.float32)


def check_fraction(name: str, value: Any) -> None:
    """Raise unless `value` is a number in (0, 1]."""
    if callable(value):
        raise TypeError(f"{name} must be a number in (0, 1], got {value!r}.")
    checks.number(name, value, positive=True)
    if checks.is_concrete(value) and not np.all(np.asarray(value) <= 1):
        raise ValueError(f"{name} must be at most 1, got {value}; pass a number in (0, 1].")
