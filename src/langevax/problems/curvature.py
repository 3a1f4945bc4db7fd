"""The largest curvature of a problem at a position, which sets the step sizes that are stable there."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from langevax import checks, trees
from langevax.problems.problem import Problem

ITERATIONS = 30


@eqx.filter_jit
def _power_iteration(problem: Problem, position: PyTree, key: Key[Array, ""], iterations: Any) -> Float[Array, ""]:
    def image(direction: PyTree) -> PyTree:
        return jax.jvp(problem.potential_gradient, (position,), (direction,))[1]

    def turn(_: Any, carry: tuple[PyTree, Array]) -> tuple[PyTree, Array]:
        direction, _ = carry
        found = image(direction)
        length = jnp.sqrt(trees.dot(found, found))
        unit = jnp.where(length > 0, length, 1)
        return jax.tree.map(lambda a: a / unit.astype(a.dtype), found), length

    start = trees.normal_like(key, position)
    length = jnp.sqrt(trees.dot(start, start))
    start = jax.tree.map(lambda a: a / length.astype(a.dtype), start)
    return lax.fori_loop(0, iterations, turn, (start, jnp.zeros_like(length)))[1]


def largest_curvature(
    problem: Problem, position: PyTree, *, key: Key[Array, ""], iterations: int = ITERATIONS
) -> Float[Array, ""]:
    """The largest |eigenvalue| of the potential's Hessian at `position`, by power iteration; from below.

        u  <-  H u / |H u|,      L = |H u|

    Cost: `iterations` products with the Hessian, two passes over the data each. After k of them the error is that of
    (second / first eigenvalue)^2k, so that 30 leave a few percent at worst where eigenvalues crowd.

    Raises:
        TypeError, ValueError: an old-style key, iterations < 1.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> problem = langevax.FiniteSum(lambda x, a: jnp.sum(a * x**2) / 2, jnp.array([[1.0, 3.0], [3.0, 5.0]]))
        >>> largest_curvature(problem, jnp.zeros(2), key=jax.random.key(0)).round(3)
        Array(4., dtype=float32)
    """
    checks.typed_key(key)
    checks.positive_int("iterations", iterations)
    return _power_iteration(problem, position, key, jnp.int32(iterations))
