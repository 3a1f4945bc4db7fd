"""SARAH: a running gradient, corrected at each step by the change since the last one.

Kinoshita and Suzuki, NeurIPS 2022, Algorithm SARAH-LD; Nguyen et al., ICML 2017.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, Key, PyTree

from langevax import checks, trees
from langevax.gradients import batches
from langevax.gradients.estimator import GradientEstimator
from langevax.gradients.svrg import two_point_change
from langevax.problems.problem import Problem


class SARAHState(NamedTuple):
    previous: PyTree
    gradient: PyTree
    deck: Any = ()


class SARAH(GradientEstimator):
    """Biased given the past; its errors persist through an epoch.

        step % m == 0:   v = gradient(x)                                        cost n
        otherwise:       v = gradient_I(x) - gradient_I(x_previous) + v         cost 2B

    n + 2B(m - 1) component gradients per epoch. On quadratics its stationary variance in excess of
    full-gradient Langevin is (2m - 1)/3 times that of `SVRG`: Xi Var(curvatures) step_size^2 (m-1)(2m-1)/6.

    Args:
        batch_size: B, components per inner step.
        period: m, steps per epoch.
        replace: draw with replacement; by default the indices of a batch are distinct.
        reshuffle: take the batches in blocks of one permutation per pass over the data.

    Example:
        >>> import langevax
        >>> langevax.gradients.SARAH(batch_size=8, period=100)
        SARAH(batch_size=8, period=100)
    """

    batch_size: int
    period: int
    replace: bool = False
    reshuffle: bool = False

    def __check_init__(self) -> None:
        checks.positive_int("batch_size", self.batch_size)
        checks.positive_int("period", self.period)
        batches.check_drawing(self.replace, self.reshuffle)

    def init(self, problem: Problem, position: PyTree) -> tuple[SARAHState, int]:
        batches.check_batch_size(self.batch_size, problem, self.replace)
        no_gradient = jax.tree.map(jnp.zeros_like, position)  # step 0 takes a full one
        return SARAHState(position, no_gradient, batches.new_deck(self.reshuffle)), 0

    def estimate(
        self, problem: Problem, position: PyTree, state: SARAHState, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[PyTree, SARAHState, Any]:
        def refresh(state: SARAHState) -> tuple[PyTree, Any, Any]:
            return problem.gradient(position), state.deck, jnp.asarray(problem.size, jnp.int32)

        def correct(state: SARAHState) -> tuple[PyTree, Any, Any]:
            number = batches.batches_before(step, self.period)
            indices, deck = batches.draw(key, problem, self.batch_size, self.replace, state.deck, number)
            change = two_point_change(problem, position, state.previous, indices)
            return trees.add(change, state.gradient), deck, jnp.int32(2 * self.batch_size)

        gradient, deck, used = lax.cond(step % self.period == 0, refresh, correct, state)
        return gradient, SARAHState(position, gradient, deck), used

    def step_size_theorem(self) -> tuple[str, dict[str, Any]]:
        return "SARAH", {"batch_size": self.batch_size, "period": self.period, "replace": self.replace}
