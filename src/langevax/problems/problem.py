"""What every method is given: a potential that is a mean of components plus a quadratic.

    potential(x) = value(x) + 1/2 <x, precision x>,      the law sampled is exp(-potential / temperature)

`value` is always a mean over components, never a sum. The quadratic part is kept apart because
integrators treat it exactly or implicitly, and priors are drawn from it: `gradient` leaves it out.
"""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from langevax import trees


class Problem(eqx.Module):
    """A mean of `size` differentiable components plus the quadratic `1/2 <x, precision x>`.

    `precision` is a prefix of the position: a scalar for all of it, an array that broadcasts, or a
    pytree of those. `0.` means that there is no quadratic part.
    """

    precision: eqx.AbstractVar[PyTree]

    @property
    @abstractmethod
    def size(self) -> Int[Array, ""] | int:
        """Number of components; traced where rows are padded."""

    @property
    @abstractmethod
    def max_size(self) -> int:
        """Static bound of `size`: the rows that are stored, padding included."""

    @abstractmethod
    def value(self, position: PyTree) -> Float[Array, ""]:
        """Mean over the components, without the quadratic part."""

    @abstractmethod
    def gradient(self, position: PyTree) -> PyTree:
        """Gradient of `value`; costs `size` component gradients."""

    @abstractmethod
    def gradient_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        """Mean of the component gradients at `indices`; unbiased for `gradient` under uniform draws."""

    @abstractmethod
    def gradients_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        """The component gradients at `indices`, stacked along axis 0."""

    def value_and_gradient(self, position: PyTree) -> tuple[Float[Array, ""], PyTree]:
        """Both, in one pass where a problem has one."""
        return self.value(position), self.gradient(position)

    def potential(self, position: PyTree) -> Float[Array, ""]:
        """`value(x) + 1/2 <x, precision x>`."""
        return self.value(position) + _quadratic(self.precision, position)

    def potential_gradient(self, position: PyTree) -> PyTree:
        """Gradient of `potential`."""
        return trees.map_prefix(_with_quadratic, self.precision, position, self.gradient(position))

    def potential_and_gradient(self, position: PyTree) -> tuple[Float[Array, ""], PyTree]:
        """Both, in one pass."""
        value, gradient = self.value_and_gradient(position)
        potential = value + _quadratic(self.precision, position)
        return potential, trees.map_prefix(_with_quadratic, self.precision, position, gradient)


def _with_quadratic(precision: Any, position: Array, gradient: Array) -> Array:
    return gradient + jnp.asarray(precision, gradient.dtype) * position


def _quadratic(precision: PyTree, position: PyTree) -> Float[Array, ""]:
    halves = trees.map_prefix(lambda p, x: jnp.sum(jnp.asarray(p, x.dtype) * x * x) / 2, precision, position)
    return jax.tree.reduce(jnp.add, halves)
