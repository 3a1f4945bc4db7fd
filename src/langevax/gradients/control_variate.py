"""A control variate at a fixed center: SVRG whose anchor never moves.

Baker, Fearnhead, Fox, Nemeth, Statistics and Computing 2019; Chewi, Log-Concave Sampling, 10.1.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PyTree

from langevax import checks, trees
from langevax.gradients import batches
from langevax.gradients.estimator import GradientEstimator
from langevax.gradients.svrg import two_point_change
from langevax.problems.problem import Problem


class ControlVariateState(NamedTuple):
    center: PyTree
    center_gradient: PyTree
    deck: Any = ()


class ControlVariate(GradientEstimator):
    """Unbiased, with a variance that grows with the distance from the center.

        v = gradient_I(x) - gradient_I(center) + gradient(center)               cost n once, then 2B a step

    At the mode of a posterior that is nearly Gaussian, and for n large, it is as good as `SVRG` and never takes a
    full pass again; far from the center it is worse than `Minibatch`.

    Args:
        batch_size: B, components per step.
        center: a position, best the mode; None takes where each chain starts.
        replace: draw with replacement; by default the indices of a batch are distinct.
        reshuffle: take the batches in blocks of one permutation per pass over the data.

    Example:
        >>> import langevax
        >>> langevax.gradients.ControlVariate(batch_size=8)
        ControlVariate(batch_size=8)
    """

    batch_size: int
    center: PyTree = eqx.field(default=None, converter=lambda tree: jax.tree.map(jnp.asarray, tree))
    replace: bool = False
    reshuffle: bool = False

    def __check_init__(self) -> None:
        checks.positive_int("batch_size", self.batch_size)
        batches.check_drawing(self.replace, self.reshuffle)
        checks.finite("center", self.center, remedy="pass a finite position, such as the mode")

    def init(self, problem: Problem, position: PyTree) -> tuple[ControlVariateState, Any]:
        batches.check_batch_size(self.batch_size, problem, self.replace)
        center = position if self.center is None else self.center
        checks.same_structure("center", center, position)
        return ControlVariateState(center, problem.gradient(center), batches.new_deck(self.reshuffle)), problem.size

    def estimate(
        self, problem: Problem, position: PyTree, state: ControlVariateState, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[PyTree, ControlVariateState, Any]:
        indices, deck = batches.draw(key, problem, self.batch_size, self.replace, state.deck, step)
        change = two_point_change(problem, position, state.center, indices)
        return trees.add(change, state.center_gradient), state._replace(deck=deck), 2 * self.batch_size
