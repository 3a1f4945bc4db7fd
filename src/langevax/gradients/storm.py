"""STORM: a running gradient that is drawn a little towards each fresh batch (Cutkosky and Orabona, NeurIPS 2019)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, Key, PyTree

from langevax import checks
from langevax.gradients import batches
from langevax.gradients.estimator import GradientEstimator
from langevax.gradients.page import check_fraction
from langevax.problems.problem import Problem


class STORMState(NamedTuple):
    previous: PyTree
    gradient: PyTree


class STORM(GradientEstimator):
    """Biased given the past, with no full pass and no table; cost B at the first step, 2B at the others.

        v = gradient_I(x) + (1 - a) (v - gradient_I(x_previous)),      at step 0 v = gradient_I(x)

    a = 1 is `Minibatch`; a = 0 would be `SARAH` that never refreshes. In between, errors fade by 1 - a a step, and each
    step adds a times the noise of a batch, which does not vanish at a minimum.

    Args:
        batch_size: B, components per step.
        momentum: a, the weight of the fresh batch, in (0, 1]; the theory takes a constant times step_size^2.
        replace: draw with replacement; by default the indices of a batch are distinct.

    Example:
        >>> import langevax
        >>> langevax.gradients.STORM(batch_size=8, momentum=0.1)
        STORM(batch_size=8, momentum=0.1)
    """

    batch_size: int
    momentum: Any
    replace: bool = False

    def __check_init__(self) -> None:
        checks.positive_int("batch_size", self.batch_size)
        check_fraction("momentum", self.momentum)

    def init(self, problem: Problem, position: PyTree) -> tuple[STORMState, int]:
        batches.check_batch_size(self.batch_size, problem, self.replace)
        return STORMState(position, jax.tree.map(jnp.zeros_like, position)), 0  # step 0 takes a batch alone

    def estimate(
        self, problem: Problem, position: PyTree, state: STORMState, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[PyTree, STORMState, Any]:
        indices, _ = batches.draw(key, problem, self.batch_size, self.replace)
        g = problem.gradient_at(position, indices)

        def first() -> tuple[PyTree, Any]:
            return g, jnp.int32(self.batch_size)

        def correct() -> tuple[PyTree, Any]:
            h = problem.gradient_at(state.previous, indices)

            def one(g: Array, v: Array, h: Array) -> Array:
                return g + (1 - jnp.asarray(self.momentum, v.dtype)) * (v - h)

            return jax.tree.map(one, g, state.gradient, h), jnp.int32(2 * self.batch_size)

        v, used = lax.cond(step == 0, first, correct)
        return v, STORMState(position, v), used
