"""The plain minibatch gradient (SGLD; Welling and Teh, ICML 2011)."""

from typing import Any

from jaxtyping import Array, Int, Key, PyTree

from langevax import checks
from langevax.gradients import batches
from langevax.gradients.estimator import GradientEstimator
from langevax.problems.problem import Problem


class Minibatch(GradientEstimator):
    """`v = (1/B) sum_{i in I} gradient_i(x)` with a fresh uniform batch I each step; cost B.

    Its variance is Xi times that of the component gradients, see `batches.draw`, and heats the chain:
    at small temperatures (posteriors have 1/n) it dominates the noise, and `SVRG` is the remedy.

    Args:
        batch_size: B, components per step.
        replace: draw with replacement; by default the indices of a batch are distinct.
        reshuffle: take the batches in blocks of one permutation per pass over the data.

    Example:
        >>> import langevax
        >>> langevax.gradients.Minibatch(batch_size=32)
        Minibatch(batch_size=32)
    """

    batch_size: int
    replace: bool = False
    reshuffle: bool = False

    def __check_init__(self) -> None:
        checks.positive_int("batch_size", self.batch_size)
        batches.check_drawing(self.replace, self.reshuffle)

    def init(self, problem: Problem, position: PyTree) -> tuple[Any, int]:
        batches.check_batch_size(self.batch_size, problem, self.replace)
        return batches.new_deck(self.reshuffle), 0

    def estimate(
        self, problem: Problem, position: PyTree, state: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[PyTree, Any, Any]:
        indices, deck = batches.draw(key, problem, self.batch_size, self.replace, state, step)
        return problem.gradient_at(position, indices), deck, self.batch_size
