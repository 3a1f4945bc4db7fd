"""The contract of problems: a potential that is a mean of components plus a quadratic.

    potential(x) = value(x) + 1/2 <x, precision x>,      the law sampled is exp(-potential / temperature)

`value` is always a mean over components, never a sum. The quadratic part is separate because
integrators treat it exactly or implicitly, and priors are drawn from it: `gradient` leaves it out.
"""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import jaxpr_as_fun
from jax.typing import ArrayLike
from jaxtyping import Array, Int

from langevax import checks, trees
from langevax._typing import FloatScalar, IntScalar, PRNGKey, PyTree
from langevax.problems import tracing

Scalar = FloatScalar
Indices = Int[Array, " batch"]
Size = IntScalar | int
Number = float | int | np.floating | Scalar
Numbers = ArrayLike | Sequence[int | float] | Sequence[Sequence[int | float]]

CURVATURE_ITERATIONS = 30
NO_FORWARD_MODE = (
    "do not support JVP",
    "forward-mode differentiation",
    "forward-mode autodiff",
)
"""Words of JAX's errors for functions without forward-mode products: callbacks, and `jax.custom_vjp`."""


class Problem(eqx.Module):
    """A mean of `size` differentiable components plus the quadratic `1/2 <x, precision x>`.

    `precision` is a prefix of the position: a scalar for all of it, an array that broadcasts, or a
    pytree of those. `0.` means that there is no quadratic part.
    """

    precision: eqx.AbstractVar[PyTree]

    @property
    @abstractmethod
    def size(self) -> Size:
        """Number of components; traced where rows are padded."""

    @property
    @abstractmethod
    def max_size(self) -> int:
        """Static bound of `size`: the rows that are stored, padding included."""

    @abstractmethod
    def value(self, position: PyTree) -> Scalar:
        """Mean over the components, without the quadratic part."""

    @abstractmethod
    def gradient(self, position: PyTree) -> PyTree:
        """Gradient of `value`; costs `size` component gradients."""

    @abstractmethod
    def gradient_at(self, position: PyTree, indices: Indices) -> PyTree:
        """Mean of the component gradients at `indices`; unbiased for `gradient` under uniform draws."""

    @abstractmethod
    def gradients_at(self, position: PyTree, indices: Indices) -> PyTree:
        """The component gradients at `indices`, stacked along axis 0."""

    def value_and_gradient(self, position: PyTree) -> tuple[Scalar, PyTree]:
        """Both, in one pass where a problem has one."""
        return self.value(position), self.gradient(position)

    def potential(self, position: PyTree) -> Scalar:
        """`value(x) + 1/2 <x, precision x>`."""
        return self.value(position) + quadratic(self.precision, position)

    def potential_gradient(self, position: PyTree) -> PyTree:
        """Gradient of `potential`."""
        return trees.map_prefix(
            _with_quadratic, self.precision, position, self.gradient(position)
        )

    def potential_and_gradient(self, position: PyTree) -> tuple[Scalar, PyTree]:
        """Both, in one pass."""
        value, gradient = self.value_and_gradient(position)
        potential = value + quadratic(self.precision, position)
        return potential, trees.map_prefix(
            _with_quadratic, self.precision, position, gradient
        )


def _with_quadratic(precision: ArrayLike, position: Array, gradient: Array) -> Array:
    return gradient + jnp.asarray(precision, gradient.dtype) * position


def quadratic(precision: PyTree, position: PyTree) -> Scalar:
    """`1/2 <x, precision x>`."""
    halves = trees.map_prefix(
        lambda p, x: jnp.sum(jnp.asarray(p, x.dtype) * x * x) / 2, precision, position
    )
    return jax.tree.reduce(jnp.add, halves)


class Function(Problem):
    """A function as a problem of one component: `value(x) = fun(x)`, no data, no batches.

    Args:
        fun: `fun(position) -> scalar`, differentiable by JAX.
        precision: the quadratic part `1/2 <x, precision x>`, added to `fun`; a prefix of the position, >= 0.

    Raises:
        TypeError: `fun` is not callable. ValueError: at first use, where it does not return a scalar.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> rosenbrock = langevax.Function(lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2)
        >>> mala = langevax.MALA(step_size=1e-3, temperature=0.01)
        >>> options = {"key": jax.random.key(0), "num_steps": 2000, "num_chains": 4}
        >>> result = langevax.simulate(mala, rosenbrock, jnp.zeros(2), **options)
        >>> bool(jnp.all(jax.vmap(rosenbrock.value)(result.position) < 0.1))
        True
    """

    fun: Callable[[PyTree], Any]
    precision: PyTree

    def __init__(self, fun: Callable[[PyTree], Any], precision: PyTree = 0.0):
        checks.function("fun", fun, "(position) -> scalar")
        tracing.forget_old_numbers(fun)
        checks.numbers("precision", precision)
        self.fun = fun
        self.precision = precision

    @property
    def size(self) -> int:
        return 1

    @property
    def max_size(self) -> int:
        return 1

    def value(self, position: PyTree) -> Scalar:
        return checks.scalar("fun", self.fun(position), "sum or average its entries")

    def gradient(self, position: PyTree) -> PyTree:
        return jax.grad(self.value)(position)

    def value_and_gradient(self, position: PyTree) -> tuple[Scalar, PyTree]:
        return jax.value_and_grad(self.value)(position)

    def gradient_at(self, position: PyTree, indices: Indices) -> PyTree:
        return self.gradient(position)

    def gradients_at(self, position: PyTree, indices: Indices) -> PyTree:
        return jax.tree.map(
            lambda g: jnp.broadcast_to(g, (len(indices), *g.shape)),
            self.gradient(position),
        )


def forward_product(
    function: Callable[[PyTree], PyTree], position: PyTree, direction: PyTree
) -> PyTree | None:
    """Return the derivative of a function along a direction, or None where JAX has no forward mode of the function.

    Where that is a rule that JAX lacks, such as the second derivative of `gammaincc`, it is a warning.
    """
    try:
        traced, shapes = jax.make_jaxpr(
            lambda x, u: jax.jvp(function, (x,), (u,))[1], return_shape=True
        )(position, direction)
    except NotImplementedError as error:
        warnings.warn(
            "second derivatives are differences of gradients, since JAX has none here "
            f"({checks.first_line(error)}).",
            stacklevel=2,
        )
        return None
    except (TypeError, ValueError) as error:
        if any(words in str(error) for words in NO_FORWARD_MODE):
            return None
        raise
    names = {equation.primitive.name for equation in tracing.equations(traced.jaxpr)}
    if tracing.NO_TANGENT in names:
        return None
    leaves = jaxpr_as_fun(traced)(*jax.tree.leaves((position, direction)))
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)


def hessian_product(problem: Problem, position: PyTree, direction: PyTree) -> PyTree:
    """Return the Hessian of the potential times a direction.

    By forward-mode differentiation, or by a central difference of gradients where these have none: they call functions
    outside of JAX, or `jax.custom_vjp`, as solvers of differential equations do, or JAX lacks a rule.
    """
    gradient = problem.potential_gradient
    product = forward_product(gradient, position, direction)
    if product is not None:
        return product
    length = jnp.sqrt(trees.dot(direction, direction))
    size = 1 + jnp.sqrt(
        trees.dot(position, position)
        / sum(leaf.size for leaf in jax.tree.leaves(position))
    )
    step = (
        float(np.cbrt(jnp.finfo(length.dtype).eps))
        * size
        / jnp.where(length > 0, length, 1)
    )
    ahead, behind = (
        gradient(
            jax.tree.map(
                lambda x, u, h=h: x + h.astype(x.dtype) * u, position, direction
            )
        )
        for h in (step, -step)
    )
    return jax.tree.map(
        lambda a, b: (a - b) / (2 * step.astype(a.dtype)), ahead, behind
    )


@eqx.filter_jit
def _power_iteration(
    problem: Problem,
    position: PyTree,
    key: PRNGKey,
    num_iterations: IntScalar,
) -> Scalar:
    def normalised(direction: PyTree) -> tuple[PyTree, Scalar]:
        length = jnp.sqrt(trees.dot(direction, direction))
        divisor = jnp.where(length > 0, length, 1)
        return jax.tree.map(lambda a: a / divisor.astype(a.dtype), direction), length

    def iterate(_: IntScalar, carry: tuple[PyTree, Scalar]) -> tuple[PyTree, Scalar]:
        return normalised(hessian_product(problem, position, carry[0]))

    start, length = normalised(trees.normal_like(position, key=key))
    return lax.fori_loop(0, num_iterations, iterate, (start, jnp.zeros_like(length)))[1]


def largest_curvature(
    problem: Problem,
    position: PyTree,
    *,
    key: PRNGKey,
    iterations: int = CURVATURE_ITERATIONS,
) -> Scalar:
    """Return the largest |eigenvalue| of the potential's Hessian at `position`, by power iteration; from below.

        u  <-  H u / |H u|,      L = |H u|

    It sets the step sizes that are stable there. Cost: `iterations` products with the Hessian, two passes over the data
    each. After k of them the error is that of (second / first eigenvalue)^2k, so that 30 leave a few percent at worst
    where eigenvalues crowd.

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
