"""SVRG: a full gradient at an anchor every `period` steps, corrected by batches in between.

Kinoshita and Suzuki, NeurIPS 2022, Algorithm SVRG-LD; Johnson and Zhang, NIPS 2013. On a mean-field
risk the anchor cloud is both parts of the paper's anchor: the old measure, through its outputs, and
each particle's own old position (Suzuki, Wu, Nitanda, NeurIPS 2023).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, Key, PyTree

from langevax import checks, trees
from langevax.gradients import batches
from langevax.gradients.estimator import GradientEstimator
from langevax.problems.problem import Problem


class SVRGState(NamedTuple):
    anchor: PyTree
    anchor_gradient: PyTree
    deck: Any = ()


class SVRG(GradientEstimator):
    """Unbiased, with a variance that vanishes as the chain stays near its anchor.

        step % m == 0:   s = x,  v = gradient(s)                                cost n
        otherwise:       v = gradient_I(x) - gradient_I(s) + gradient(s)        cost 2B

    n + 2B(m - 1) component gradients per epoch. The theorem takes B = m = sqrt(n); in practice a
    small B with m up to 1/(step_size * smallest curvature) is several times cheaper. Stationary
    variance in excess of full-gradient Langevin, to leading order: Xi Var(curvatures) step_size^2 (m-1)/2.

    Args:
        batch_size: B, components per inner step.
        period: m, steps per epoch.
        replace: draw with replacement; by default the indices of a batch are distinct.
        reshuffle: take the batches in blocks of one permutation per pass over the data.

    Example:
        >>> import langevax
        >>> langevax.gradients.SVRG(batch_size=8, period=100)
        SVRG(batch_size=8, period=100)
    """

    batch_size: int
    period: int
    replace: bool = False
    reshuffle: bool = False

    def __check_init__(self) -> None:
        checks.positive_int("batch_size", self.batch_size)
        checks.positive_int("period", self.period)
        batches.check_drawing(self.replace, self.reshuffle)

    def init(self, problem: Problem, position: PyTree) -> tuple[SVRGState, int]:
        batches.check_batch_size(self.batch_size, problem, self.replace)
        no_gradient = jax.tree.map(jnp.zeros_like, position)  # step 0 takes the first anchor
        return SVRGState(position, no_gradient, batches.new_deck(self.reshuffle)), 0

    def estimate(
        self, problem: Problem, position: PyTree, state: SVRGState, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[PyTree, SVRGState, Any]:
        def refresh(state: SVRGState) -> tuple[PyTree, SVRGState, Any]:
            gradient = problem.gradient(position)
            return gradient, SVRGState(position, gradient, state.deck), jnp.asarray(problem.size, jnp.int32)

        def correct(state: SVRGState) -> tuple[PyTree, SVRGState, Any]:
            number = batches.batches_before(step, self.period)
            indices, deck = batches.draw(key, problem, self.batch_size, self.replace, state.deck, number)
            change = two_point_change(problem, position, state.anchor, indices)
            return trees.add(change, state.anchor_gradient), state._replace(deck=deck), jnp.int32(2 * self.batch_size)

        return lax.cond(step % self.period == 0, refresh, correct, state)

    def step_size_theorem(self) -> tuple[str, dict[str, Any]]:
        return "SVRG", {"batch_size": self.batch_size, "period": self.period, "replace": self.replace}


def two_point_change(problem: Problem, here: PyTree, there: PyTree, indices: Int[Array, " batch"]) -> PyTree:
    """`gradient_I(here) - gradient_I(there)` on one batch."""
    return trees.subtract(problem.gradient_at(here, indices), problem.gradient_at(there, indices))
