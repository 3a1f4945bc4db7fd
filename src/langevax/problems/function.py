"""A function as a problem of one component: no data, no batches."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from langevax import checks
from langevax.problems.problem import Problem


class Function(Problem):
    """A function as a problem: `value(x) = fun(x)`, one component.

    Args:
        fun: `fun(position) -> scalar`, differentiable by JAX.
        precision: the quadratic part `1/2 <x, precision x>`, added to `fun`; a prefix of the position, >= 0.

    Raises:
        TypeError: `fun` is not callable. ValueError: at first use, if it does not return a scalar.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> rosenbrock = langevax.Function(lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2)
        >>> mala = langevax.MALA(step_size=1e-3, temperature=0.01)
        >>> options = {"key": jax.random.key(0), "num_steps": 2000, "num_chains": 4}
        >>> result = langevax.simulate(mala, rosenbrock, jnp.zeros(2), **options)
        >>> bool(jnp.all(jax.vmap(rosenbrock.value)(result.position) < 0.1))
        True
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
