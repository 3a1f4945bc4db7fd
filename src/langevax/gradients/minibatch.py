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

    Example:
        >>> import langevax
        >>> langevax.gradients.Minibatch(batch_size=32)
        Minibatch(batch_size=32)
    """

    batch_size: int
    replace: bool = False

    def __check_init__(self) -> None:
        checks.positive_int("batch_size", self.batch_size)

    def init(self, problem: Problem, position: PyTree) -> tuple[tuple[()], int]:
        batches.check_batch_size(self.batch_size, problem, self.replace)
        return (), 0

    def estimate(
        self, problem: Problem, position: PyTree, state: tuple[()], key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[PyTree, tuple[()], Any]:
        indices = batches.draw(key, problem, self.batch_size, self.replace)
        return problem.gradient_at(position, indices), state, self.batch_size
