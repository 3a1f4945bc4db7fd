"""The contract of gradient estimators, what those share that draw batches, and the two that remember nothing."""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.gradients import batches
from langevax.problems.problem import Problem, Size
from langevax.renamed import refuse_former

RandomKey = PRNGKey
Step = IntScalar


class GradientEstimator(eqx.Module):
    """Estimates `problem.gradient(position)`, and counts what it costs.

    The count is of component gradients: n for a full pass, B for a batch at one point, 2B at two. `step`
    is an int32 counted from `init` and shared by all chains, so that a periodic full pass stays a true
    branch under `vmap`.
    """

    def check_sizes(self) -> None:
        """Raise where a size is "auto", which `langevax.sample` alone chooses."""
        for name in ("batch_size", "period"):
            if checks.is_auto(getattr(self, name, None)):
                raise ValueError(
                    f"{name} of {type(self).__name__} is 'auto', which langevax.sample "
                    "alone chooses; pass an int."
                )

    @abstractmethod
    def init(self, problem: Problem, position: PyTree) -> tuple[PyTree, Size]:
        """The state before step 0, and the component gradients used to make it."""

    @abstractmethod
    def estimate(
        self,
        problem: Problem,
        position: PyTree,
        state: PyTree,
        key: RandomKey,
        step: Step,
    ) -> tuple[PyTree, PyTree, Size]:
        """The gradient for this step, the next state, and the component gradients used."""


def check_estimator(gradient: object) -> None:
    """Raise unless the argument `gradient` is an estimator."""
    example = "langevax.gradients.SVRG(batch_size=32, period=100)"
    checks.instance("gradient", gradient, GradientEstimator, example)


class Full(GradientEstimator):
    """The exact gradient, `v = gradient(x)`; cost n.

    Example:
        >>> import langevax
        >>> langevax.Langevin(step_size=0.1, temperature=1.0, gradient=langevax.gradients.Full())
        Langevin(step_size=0.1, temperature=1.0, gradient=Full())
    """

    def init(self, problem: Problem, position: PyTree) -> tuple[tuple[()], Size]:
        return (), 0

    def estimate(
        self,
        problem: Problem,
        position: PyTree,
        state: tuple[()],
        key: RandomKey,
        step: Step,
    ) -> tuple[PyTree, tuple[()], Size]:
        return problem.gradient(position), state, problem.size


class ReferenceState(NamedTuple):
    """A position of the past and the gradient there, or an estimate of it, to which batches are compared."""

    position: PyTree
    gradient: PyTree


class BatchEstimator(GradientEstimator):
    """Estimators that draw a batch of components a step, without replacement."""

    batch_size: int

    def __check_init__(self) -> None:
        checks.positive_int("batch_size", self.batch_size, auto=True)

    def init(self, problem: Problem, position: PyTree) -> tuple[PyTree, Size]:
        """The state of estimators whose step 0 sets the reference."""
        self.check_batches(problem)
        return ReferenceState(position, trees.zeros_like(position)), 0

    def check_batches(self, problem: Problem) -> None:
        """Raise where the problem has fewer components than a batch."""
        self.check_sizes()
        batches.check_batch_size(self.batch_size, problem)

    def corrected(
        self,
        problem: Problem,
        position: PyTree,
        reference: ReferenceState,
        *,
        key: RandomKey,
    ) -> tuple[PyTree, Size]:
        """`gradient_I(x) - gradient_I(reference) + gradient of the reference`; cost 2B."""
        indices = batches.draw(key, problem, self.batch_size)
        change = trees.subtract(
            problem.gradient_at(position, indices),
            problem.gradient_at(reference.position, indices),
        )
        return trees.add(change, reference.gradient), jnp.int32(2 * self.batch_size)


@refuse_former
class Minibatch(BatchEstimator):
    """`v = (1/B) sum_{i in I} gradient_i(x)` with a fresh uniform batch I each step; cost B (SGLD).

    Welling and Teh, ICML 2011. Its variance is Xi times that of the component gradients, see `batches.draw`, and heats
    the chain: at small temperatures (posteriors have 1/n) it dominates the noise, and `SVRG` is the remedy.

    Args:
        batch_size: B, components per step, drawn without replacement; "auto" for `langevax.sample`.

    Example:
        >>> import langevax
        >>> langevax.gradients.Minibatch(batch_size=32)
        Minibatch(batch_size=32)
    """

    batch_size: batches.Count = "auto"

    def init(self, problem: Problem, position: PyTree) -> tuple[tuple[()], Size]:
        self.check_batches(problem)
        return (), 0

    def estimate(
        self,
        problem: Problem,
        position: PyTree,
        state: tuple[()],
        key: RandomKey,
        step: Step,
    ) -> tuple[PyTree, tuple[()], Size]:
        indices = batches.draw(key, problem, self.batch_size)
        return problem.gradient_at(position, indices), state, self.batch_size
