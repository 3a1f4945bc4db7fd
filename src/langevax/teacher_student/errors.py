"""Squared errors of a ReLU network over rows, with their gradient in closed form.

    value(theta) = (1/2n) sum_i w_i e_i^2,    e_i = sum_j a_j relu(v_j . x_i) - y_i,    (a, v) = loss.effective(theta)

    grad_{v_j} = a_j G_j,    grad_{a_j} = v_j . G_j,    G_j = (1/n) sum_i w_i e_i 1[v_j . x_i > 0] x_i

the second since relu(p) = p 1[p > 0]. Cost: two products of matrices, and a few operations on m n numbers, where
differentiating automatically turns a mask over and back. What theta has to do with (a, v), such as phase I's clip, is
m (d + 1) numbers and is differentiated automatically.
"""

from abc import abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from langevax import checks
from langevax.problems import blocks
from langevax.problems.problem import Problem
from langevax.teacher_student.networks import ReLUNetwork
from langevax.teacher_student.rows import BLOCK_SIZE, Rows, in_blocks


class NetworkErrors(Problem):
    """(1/2n) sum_i w_i (e_i - centre)^2, for a centre whose own gradient drops out.

    Args:
        loss: has `effective(position) -> ReLUNetwork`, the network whose errors count, such as phase I's
            `ClippedError`.
        data: (inputs (n, d), targets (n,)).
        weights: (n,) >= 0, or None for all alike; rows of weight 0 are padding.
        precision: the quadratic part, a prefix of the position.
        block_size: rows of one block at most; see `rows.block_size_for`.
    """

    loss: Any
    rows: Rows
    precision: PyTree
    num_rows: int

    def __init__(
        self, loss: Any, data: Any, weights: Any = None, precision: PyTree = 0.0, block_size: int = BLOCK_SIZE
    ):
        for leaf in jax.tree.leaves(precision):
            checks.number("precision", leaf)
        self.loss, self.precision = loss, precision
        self.rows, self.num_rows = in_blocks(data, weights, block_size)

    @abstractmethod
    def centre(self, network: ReLUNetwork) -> Any:
        """What is subtracted from the errors of a network."""

    @property
    def max_size(self) -> int:
        return self.num_rows

    @property
    def size(self) -> int:
        return self.num_rows

    def value(self, position: PyTree) -> Float[Array, ""]:
        return self.value_and_gradient(position)[0]

    def gradient(self, position: PyTree) -> PyTree:
        return self.value_and_gradient(position)[1]

    def value_and_gradient(self, position: PyTree) -> tuple[Float[Array, ""], PyTree]:
        network, pull = jax.vjp(self.loss.effective, position)
        centre = self.centre(network)
        value, slopes = self.mean(lambda block: squares(network, block, centre))
        return value, pull(_chained(network, slopes))[0]

    def mean(self, of_block: Any) -> PyTree:
        """(1/n) sum over blocks of `of_block(block)`."""
        total = blocks.block_sum(lambda rows: of_block(jax.tree.map(lambda a: a[0], rows)), self.rows, 1)
        return jax.tree.map(lambda leaf: leaf / self.num_rows, total)


class SquaredErrors(NetworkErrors):
    """Half the mean square of the errors.

    Example:
        >>> from langevax.teacher_student.phases import SignedError
        >>> X, y = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([1.0, 2.0])
        >>> problem = SquaredErrors(SignedError(), (X, y))
        >>> problem.gradient(ReLUNetwork(jnp.ones(1), jnp.array([[2.0, -1.0]]))).inner
        Array([[0.5, 0. ]], dtype=float32)
    """

    def centre(self, network: ReLUNetwork) -> float:
        return 0.0

    def gradient_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        network, pull = jax.vjp(self.loss.effective, position)
        slopes = squares(network, self.rows.at(indices), 0.0)[1] / len(indices)
        return pull(_chained(network, slopes))[0]

    def gradients_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        return jax.vmap(lambda index: self.gradient_at(position, index[None]))(indices)


def projected(network: ReLUNetwork, block: Rows) -> tuple[Float[Array, "m s"], Float[Array, " s"]]:
    """(v_j . x_i, e_i) on one block."""
    projections = network.inner @ block.inputs
    return projections, network.outer @ jnp.maximum(projections, 0) - block.targets


def squares(network: ReLUNetwork, block: Rows, centre: Any) -> tuple[Float[Array, ""], Float[Array, "m d"]]:
    """(half the sum of w_i (e_i - centre)^2, n G_j) on one block."""
    projections, errors = projected(network, block)
    centred = errors - centre
    weighted = block.weights * centred
    return jnp.sum(weighted * centred) / 2, jnp.where(projections > 0, weighted, 0) @ block.inputs.T


def _chained(network: ReLUNetwork, slopes: Float[Array, "m d"]) -> ReLUNetwork:
    """(grad_a, grad_v) from G, in the network's dtypes."""
    outer = jnp.sum(network.inner * slopes, axis=1)
    inner = network.outer[:, None] * slopes
    return ReLUNetwork(outer.astype(network.outer.dtype), inner.astype(network.inner.dtype))
