"""Functions without derivatives: called in NumPy where JAX cannot trace them, differentiated by forward differences.

g_i = (f(x + h_i e_i) - f(x)) / h_i,      h_i = sqrt(eps) max(|x_i|, s_i),  backwards where x + h_i leaves the box
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import checks, trees
from langevax._typing import PyTree, Vector
from langevax.problems import host
from langevax.problems.problem import Function, Problem, Scalar


class HostFunction(Function):
    """A function of NumPy arrays, one position at a time."""

    def __init__(self, fun: Callable[[PyTree], object]):
        super().__init__(fun)

    def value(self, position: PyTree) -> Scalar:
        return host.call(
            self._checked, jax.ShapeDtypeStruct((), trees.dtype_of(position)), position
        )

    def _checked(self, position: PyTree) -> np.ndarray:
        value = self.fun(
            jax.tree.map(np.array, position)
        )  # a copy, which the function may overwrite
        return np.asarray(
            checks.scalar("fun", value, "sum or average its entries"), np.float64
        )


class FiniteDifferences(Function):
    """A problem on vectors whose gradient takes d more values."""

    scale: Vector
    upper: Vector

    def __init__(
        self,
        problem: Problem,
        scale: Vector,
        upper: Vector,
    ):
        super().__init__(problem.potential)
        self.scale = scale
        self.upper = upper

    def gradient(self, position: PyTree) -> PyTree:
        return self.value_and_gradient(position)[1]

    def value_and_gradient(self, position: PyTree) -> tuple[Scalar, PyTree]:
        return forward_differences(self.value, position, self.scale, self.upper)


def forward_differences(
    fun: Callable[[Array], Array],
    x: Vector,
    scale: Vector,
    upper: Vector,
) -> tuple[Float[Array, "*values"], Float[Array, "*values d"]]:
    """Return the value or the values at x, and their slopes."""
    value = fun(x)
    share = float(np.sqrt(jnp.finfo(x.dtype).eps))
    steps = share * jnp.maximum(jnp.abs(x), scale)
    steps = jnp.where(x + steps > upper, -steps, steps)
    ahead = jax.vmap(fun)(x + jnp.diag(steps))
    return value, jnp.moveaxis(ahead - value, 0, -1) / steps


def as_values(fun: Callable[[PyTree], object] | Problem, position: PyTree) -> Problem:
    """Return a problem that has values, by JAX where it can trace `fun`, and in NumPy elsewhere."""
    if isinstance(fun, Problem):
        return fun
    try:
        jax.eval_shape(fun, position)
    except (
        Exception
    ):  # whatever a function of NumPy raises where its argument has no numbers
        return HostFunction(fun)
    return Function(fun)
