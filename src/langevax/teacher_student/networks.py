"""Two-layer ReLU networks, the clipping that makes their loss smooth, teachers, and what teachers generate.

    f(x) = sum_j outer_j relu(inner_j . x),      clip(r) = R tanh(r |r| / (2R)),

clip acts on every number of (outer, inner): it is bounded by R and flat at 0 (Akiyama and Suzuki, ICLR 2023, where R is
not printed). Numbers below sqrt(R) pass as r |r| / 2.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from langevax import checks, trees


class ReLUNetwork(NamedTuple):
    """A network as a position: `outer` (m,) and `inner` (m, d), in records with axes of chains and draws before."""

    outer: Any
    inner: Any

    def outputs(self, inputs: Float[Array, "*rows d"]) -> Float[Array, "*rows"]:
        """Outputs of one network at inputs (..., d).

        Example:
            >>> network = ReLUNetwork(jnp.array([1.0, -1.0]), jnp.array([[1.0, 0.0], [0.0, 2.0]]))
            >>> network.outputs(jnp.array([[1.0, 1.0], [-1.0, 1.0]]))
            Array([-1., -2.], dtype=float32)
        """
        hidden = jax.nn.relu(jnp.tensordot(self.inner, inputs, axes=(-1, -1)))  # neurons outside, rows inside
        return jnp.tensordot(self.outer, hidden, axes=1)


def clip(number: Float[Array, "..."], bound: Any) -> Float[Array, "..."]:
    """`bound tanh(r |r| / (2 bound))`, elementwise.

    Example:
        >>> clip(jnp.array([0.0, 100.0, -100.0]), 5.0)
        Array([ 0.,  5., -5.], dtype=float32)
    """
    bound = jnp.asarray(bound, number.dtype)
    return bound * jnp.tanh(number * jnp.abs(number) / (2 * bound))


def clipped(position: ReLUNetwork, bound: Any) -> ReLUNetwork:
    """The network f(x; clip(theta)) of the parameters theta."""
    return ReLUNetwork(clip(position.outer, bound), clip(position.inner, bound))


def signed(network: ReLUNetwork) -> ReLUNetwork:
    """The same function with outer weights -1, 0 or 1: `outer <- sgn(outer), inner <- |outer| inner`.

    The paper prints `inner <- outer inner`, which for negative outer weights is another function.

    Example:
        >>> signed(ReLUNetwork(jnp.array([2.0, -3.0]), jnp.ones((2, 1)))).inner[:, 0]
        Array([2., 3.], dtype=float32)
    """
    return ReLUNetwork(jnp.sign(network.outer), jnp.abs(network.outer)[..., None] * network.inner)


def orthogonal_teacher(
    num_neurons: int, dim: int, num_positive: int | None = None, dtype: Any = jnp.float32
) -> ReLUNetwork:
    """The paper's teacher: `inner` the first rows of the identity, `outer` 1 for `num_positive` neurons, then -1.

    Args:
        num_neurons: m <= dim.
        num_positive: None: half of them, rounded up.

    Raises:
        ValueError: more neurons than dimensions, which cannot be orthogonal.

    Example:
        >>> orthogonal_teacher(3, 5).outer
        Array([ 1.,  1., -1.], dtype=float32)
    """
    checks.positive_int("num_neurons", num_neurons)
    if num_neurons > dim:
        raise ValueError(f"num_neurons is {num_neurons} but dim is {dim}; orthogonal neurons need num_neurons <= dim.")
    num_positive = -(-num_neurons // 2) if num_positive is None else num_positive
    outer = np.where(np.arange(num_neurons) < num_positive, 1, -1)
    return ReLUNetwork(jnp.asarray(outer, dtype), jnp.eye(num_neurons, dim, dtype=dtype))


def on_sphere(key: Key[Array, ""], size: int, dim: int, dtype: Any = jnp.float32) -> Float[Array, "size dim"]:
    """`size` uniform draws of the unit sphere."""
    normals = trees.normal(key, (size, dim), dtype)
    return normals / jnp.linalg.norm(normals, axis=1, keepdims=True)


def teach(
    teacher: ReLUNetwork, key: Key[Array, ""], size: int, noise: float
) -> tuple[Float[Array, "size d"], Float[Array, " size"]]:
    """Data of a teacher: x uniform on the sphere, `y = f*(x) + noise e`, e uniform of variance 1, so bounded.

    Args:
        noise: standard deviation v >= 0; |y - f*(x)| <= sqrt(3) v.

    Returns:
        Inputs (size, d) and targets (size,), in the teacher's dtype.

    Example:
        >>> X, y = teach(orthogonal_teacher(2, 3), jax.random.key(0), 100, noise=0.1)
        >>> X.shape, y.shape
        ((100, 3), (100,))
    """
    checks.positive_int("size", size)
    checks.number("noise", noise)
    input_key, noise_key = jax.random.split(key)
    dtype = teacher.inner.dtype
    inputs = on_sphere(input_key, size, teacher.inner.shape[-1], dtype)
    unit = jax.random.uniform(noise_key, (size,), dtype, -1.0, 1.0) * jnp.sqrt(jnp.asarray(3, dtype))
    return inputs, teacher.outputs(inputs) + jnp.asarray(noise, dtype) * unit
