"""What problems seen through other coordinates share: values through `to_position`, gradients through `pull_back`."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, Int, PyTree

from langevax.problems.problem import Problem


class Reparametrised(Problem):
    """`problem` in coordinates z with `position = to_position(z)`, a linear map; subclasses say which."""

    problem: eqx.AbstractVar[Problem]

    @abstractmethod
    def to_position(self, z: Any) -> PyTree:
        """The position of coordinates z."""

    @abstractmethod
    def pull_back(self, gradient: PyTree) -> Any:
        """The transposed map: a gradient in the position as one in z."""

    @property
    def size(self) -> Int[Array, ""] | int:
        return self.problem.size

    @property
    def max_size(self) -> int:
        return self.problem.max_size

    def value(self, position: Any) -> Float[Array, ""]:
        return self.problem.value(self.to_position(position))

    def gradient(self, position: Any) -> Any:
        return self.pull_back(self.problem.gradient(self.to_position(position)))

    def value_and_gradient(self, position: Any) -> tuple[Float[Array, ""], Any]:
        value, gradient = self.problem.value_and_gradient(self.to_position(position))
        return value, self.pull_back(gradient)

    def gradient_at(self, position: Any, indices: Int[Array, " batch"]) -> Any:
        return self.pull_back(self.problem.gradient_at(self.to_position(position), indices))

    def gradients_at(self, position: Any, indices: Int[Array, " batch"]) -> Any:
        return jax.vmap(self.pull_back)(self.problem.gradients_at(self.to_position(position), indices))
