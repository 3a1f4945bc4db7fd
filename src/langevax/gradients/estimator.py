"""The contract of gradient estimators: how a step's gradient is had from few components."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
from jaxtyping import Array, Int, Key, PyTree

from langevax.problems.problem import Problem


class GradientEstimator(eqx.Module):
    """Estimates `problem.gradient(position)`, and counts what it costs.

    `used` counts component gradients: n for a full pass, B for a batch at one point, 2B at two. `step`
    is an int32 counted from `init` and shared by all chains, so that a periodic full pass stays a true
    branch under `vmap`.
    """

    @abstractmethod
    def init(self, problem: Problem, position: PyTree) -> tuple[Any, Any]:
        """The state before step 0, and the component gradients used to make it."""

    @abstractmethod
    def estimate(
        self, problem: Problem, position: PyTree, state: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[PyTree, Any, Any]:
        """The gradient for this step, the next state, and the component gradients used."""

    def step_size_theorem(self) -> tuple[str, dict[str, Any]]:
        """Name and arguments of the theorem that bounds the step size, for `theory.step_sizes.theorem_step_size`.

        Raises:
            ValueError: there is no theorem for this estimator.
        """
        raise ValueError(
            f"there is no theorem for {type(self).__name__} gradients; pass Full, SVRG or SARAH, or step_size='auto'."
        )
