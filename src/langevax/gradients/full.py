"""The exact gradient, n component gradients a step."""

from typing import Any

from jaxtyping import Array, Int, Key, PyTree

from langevax.gradients.estimator import GradientEstimator
from langevax.problems.problem import Problem


class Full(GradientEstimator):
    """`v = gradient(x)`; cost n.

    Example:
        >>> import langevax
        >>> langevax.Langevin(step_size=0.1, temperature=1.0, gradient=langevax.gradients.Full())
        Langevin(step_size=0.1, temperature=1.0, gradient=Full())
    """

    def init(self, problem: Problem, position: PyTree) -> tuple[tuple[()], int]:
        return (), 0

    def estimate(
        self, problem: Problem, position: PyTree, state: tuple[()], key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[PyTree, tuple[()], Any]:
        return problem.gradient(position), state, problem.size

    def step_size_theorem(self) -> tuple[str, dict[str, Any]]:
        return "Full", {}
