"""Two-layer ReLU networks, the clipping that makes their loss smooth, teachers and their data, and matching neurons.

    f(x) = sum_j outer_j relu(inner_j . x),      clip(r) = R tanh(r |r| / (2R)),

clip acts on every number of (outer, inner): it is bounded by R and flat at 0 (Akiyama and Suzuki, ICLR 2023, where R is
not printed). Numbers below sqrt(R) pass as r |r| / 2.

Matching: a neuron is a sign and a vector, sgn(outer_j) and |outer_j| inner_j, since a relu(w . x) = relu(a w . x) for
a > 0. Pairs have the least sum of squared distances (the Hungarian method); between neurons of different signs the
squared distance is |u|^2 + |v|^2, as if one had to shrink to nothing and the other to grow from it. By Proposition 4.4
of Akiyama and Suzuki each neuron of the student is close to a distinct one of the teacher after phase I.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Bool, Float, Int

from langevax import checks, trees
from langevax._typing import PRNGKey


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
        hidden = jax.nn.relu(
            jnp.tensordot(self.inner, inputs, axes=(-1, -1))
        )  # neurons outside, rows inside
        return jnp.tensordot(self.outer, hidden, axes=1)


def clip(number: Float[Array, "..."], bound: float | Array) -> Float[Array, "..."]:
    """`bound tanh(r |r| / (2 bound))`, elementwise.

    Example:
        >>> clip(jnp.array([0.0, 100.0, -100.0]), 5.0)
        Array([ 0.,  5., -5.], dtype=float32)
    """
    bound = jnp.asarray(bound, number.dtype)
    return bound * jnp.tanh(number * jnp.abs(number) / (2 * bound))


def clipped(position: ReLUNetwork, bound: float | Array) -> ReLUNetwork:
    """The network f(x; clip(theta)) of the parameters theta."""
    return ReLUNetwork(clip(position.outer, bound), clip(position.inner, bound))


def signed(network: ReLUNetwork) -> ReLUNetwork:
    """The same function with outer weights -1, 0 or 1: `outer <- sgn(outer), inner <- |outer| inner`.

    The paper prints `inner <- outer inner`, which for negative outer weights is another function.

    Example:
        >>> signed(ReLUNetwork(jnp.array([2.0, -3.0]), jnp.ones((2, 1)))).inner[:, 0]
        Array([2., 3.], dtype=float32)
    """
    return ReLUNetwork(
        jnp.sign(network.outer), jnp.abs(network.outer)[..., None] * network.inner
    )


def orthogonal_teacher(
    num_neurons: int,
    dim: int,
    num_positive: int | Literal["auto"] = "auto",
    dtype: DTypeLike = jnp.float32,
) -> ReLUNetwork:
    """Return the paper's teacher: `inner` the first rows of the identity, `outer` 1 for `num_positive` neurons, then
    -1.

    Args:
        num_neurons: m <= dim.
        num_positive: "auto" is half of them, rounded up.

    Raises:
        ValueError: more neurons than dimensions, which cannot be orthogonal.

    Example:
        >>> orthogonal_teacher(3, 5).outer
        Array([ 1.,  1., -1.], dtype=float32)
    """
    num_neurons = checks.whole("num_neurons", num_neurons)
    dim = checks.whole("dim", dim)
    if num_neurons > dim:
        raise ValueError(
            f"num_neurons is {num_neurons} but dim is {dim}; orthogonal neurons need "
            "num_neurons <= dim."
        )
    checks.positive_int("num_positive", num_positive, minimum=0, auto=True)
    num_positive = (
        -(-num_neurons // 2) if isinstance(num_positive, str) else num_positive
    )
    outer = np.where(np.arange(num_neurons) < num_positive, 1, -1)
    return ReLUNetwork(
        jnp.asarray(outer, dtype), jnp.eye(num_neurons, dim, dtype=dtype)
    )


def on_sphere(
    key: PRNGKey,
    size: int,
    dim: int,
    dtype: DTypeLike = jnp.float32,
) -> Float[Array, "size dim"]:
    """Return `size` uniform draws of the unit sphere."""
    normals = trees.normal((size, dim), dtype, key=key)
    return normals / jnp.linalg.norm(normals, axis=1, keepdims=True)


def teach(
    teacher: ReLUNetwork,
    size: int,
    noise: float,
    *,
    key: PRNGKey,
) -> tuple[Float[Array, "size d"], Float[Array, " size"]]:
    """Draw data of a teacher: x uniform on the sphere, `y = f*(x) + noise e`, e uniform of variance 1, so bounded.

    Args:
        noise: standard deviation v >= 0; |y - f*(x)| <= sqrt(3) v.

    Returns:
        Inputs (size, d) and targets (size,), in the teacher's dtype.

    Example:
        >>> X, y = teach(orthogonal_teacher(2, 3), 100, noise=0.1, key=jax.random.key(0))
        >>> X.shape, y.shape
        ((100, 3), (100,))
    """
    checks.instance("teacher", teacher, ReLUNetwork, "orthogonal_teacher(2, 3)")
    checks.positive_int("size", size)
    checks.number("noise", noise)
    checks.typed_key(key)
    input_key, noise_key = jax.random.split(key)
    dtype = teacher.inner.dtype
    inputs = on_sphere(input_key, size, teacher.inner.shape[-1], dtype)
    unit = jax.random.uniform(noise_key, (size,), dtype, -1.0, 1.0) * jnp.sqrt(
        jnp.asarray(3, dtype)
    )
    return inputs, teacher.outputs(inputs) + jnp.asarray(noise, dtype) * unit


Network = ReLUNetwork | tuple[ArrayLike, ArrayLike]
"""(outer, inner) of shapes (m,) and (m, d)."""


class Matching(NamedTuple):
    """Pairs of neurons, in the teacher's order; fewer than the teacher has where the student is smaller."""

    teacher: Int[np.ndarray, " pairs"]
    student: Int[np.ndarray, " pairs"]
    same_sign: Bool[np.ndarray, " pairs"]
    angles: Float[np.ndarray, " pairs"]
    """Between the inner weights, in radians; 90 degrees where one of them is 0."""
    sizes: Float[np.ndarray, " pairs"]
    """|outer| |inner| of the student's over that of the teacher's neuron."""
    distances: Float[np.ndarray, " pairs"]
    """Between the neurons, relative to the teacher's size."""
    spare: Int[np.ndarray, " spare"]
    """Neurons of the student without a partner."""


def match_neurons(student: Network, teacher: Network) -> Matching:
    """Pair the neurons of two networks, each (outer, inner) of shapes (m,) and (m, d).

    Raises:
        ValueError: networks of several chains, or of other inputs.

    Example:
        >>> teacher = ReLUNetwork(np.array([1.0, -1.0]), np.eye(2))
        >>> student = ReLUNetwork(np.array([-2.0, 1.0]), np.array([[0.0, 0.5], [1.0, 1.0]]))
        >>> matching = match_neurons(student, teacher)
        >>> matching.student, np.degrees(matching.angles).round(), matching.distances.round(2)
        (array([1, 0]), array([45.,  0.]), array([1., 0.]))
    """
    from scipy.optimize import linear_sum_assignment

    signs, vectors = _neurons("student", student)
    true_signs, true_vectors = _neurons("teacher", teacher)
    if vectors.shape[1] != true_vectors.shape[1]:
        raise ValueError(
            f"student has {vectors.shape[1]} inputs but teacher has "
            f"{true_vectors.shape[1]}."
        )
    products = true_vectors @ vectors.T
    sizes = np.linalg.norm(vectors, axis=1)
    true_sizes = np.linalg.norm(true_vectors, axis=1)
    same = true_signs[:, None] == signs[None, :]
    squares = (
        true_sizes[:, None] ** 2 + sizes[None, :] ** 2 - 2 * np.where(same, products, 0)
    )
    rows, columns = linear_sum_assignment(squares)
    lengths = true_sizes[rows] * sizes[columns]
    cosines = np.divide(
        products[rows, columns], lengths, out=np.zeros(len(rows)), where=lengths > 0
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # a teacher's neuron of size 0
        ratios = sizes[columns] / true_sizes[rows]
        distances = np.sqrt(np.maximum(squares[rows, columns], 0)) / true_sizes[rows]
    return Matching(
        rows,
        columns,
        same[rows, columns],
        np.arccos(np.clip(cosines, -1, 1)),
        ratios,
        distances,
        np.setdiff1d(np.arange(len(vectors)), columns),
    )


def _neurons(
    name: str, network: Network
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, "m d"]]:
    """(sgn outer, |outer| inner)."""
    checks.instance(name, network, tuple, "orthogonal_teacher(2, 3)")
    outer, inner = (checks.real_array(name, leaf) for leaf in network)
    if outer.ndim != 1 or inner.ndim != 2 or len(outer) != len(inner):
        raise ValueError(
            f"{name} must be one network, outer (m,) and inner (m, d), got "
            f"{outer.shape} and {inner.shape}; take one restart, such as fit.network."
        )
    return np.sign(outer), np.abs(outer)[:, None] * inner
