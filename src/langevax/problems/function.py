"""Any function as a problem of one component: no data, no batches."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from langevax import checks
from langevax.problems.problem import Problem


class Function(Problem):
    """`value(x) = fun(x)`, one component.

    Args:
        fun: `fun(position) -> scalar`, differentiable by JAX.
        precision: the quadratic part `1/2 <x, precision x>`, added to `fun`; a prefix of the position, >= 0.

    Raises:
        TypeError: `fun` is not callable. ValueError: at first use, where it does not return a scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> from langevax.problems.function import Function
        >>> Function(lambda x: jnp.sum(x**2)).gradient(jnp.array([1.0, 2.0]))
        Array([2., 4.], dtype=float32)
    """

    fun: Callable[[PyTree], Float[Array, ""]]
    precision: PyTree

    def __init__(self, fun: Callable[[PyTree], Any], precision: PyTree = 0.0):
        if not callable(fun):
            raise TypeError(f"fun must be a function of the position, got {fun!r}.")
        for leaf in jax.tree.leaves(precision):
            checks.number("precision", leaf)
        self.fun = fun
        self.precision = precision

    @property
    def size(self) -> int:
        return 1

    @property
    def max_size(self) -> int:
        return 1

    def value(self, position: PyTree) -> Float[Array, ""]:
        value = self.fun(position)
        if jnp.shape(value) != ():
            raise ValueError(f"fun must return a scalar, got shape {jnp.shape(value)}; sum or average its entries.")
        return value

    def gradient(self, position: PyTree) -> PyTree:
        return jax.grad(self.value)(position)

    def value_and_gradient(self, position: PyTree) -> tuple[Float[Array, ""], PyTree]:
        return jax.value_and_grad(self.value)(position)

    def gradient_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        return self.gradient(position)

    def gradients_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        return jax.tree.map(lambda g: jnp.broadcast_to(g, (len(indices), *g.shape)), self.gradient(position))
