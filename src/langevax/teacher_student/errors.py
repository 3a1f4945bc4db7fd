"""Squared errors of a ReLU network over rows, with their gradient in closed form.

    value(theta) = (1/2n) sum_i w_i e_i^2,    e_i = sum_j a_j relu(v_j . x_i) - y_i,    (a, v) = loss.effective(theta)

    grad_{v_j} = a_j G_j,    grad_{a_j} = v_j . G_j,    G_j = (1/n) sum_i w_i e_i 1[v_j . x_i > 0] x_i

the second since relu(p) = p 1[p > 0]. Cost: two products of matrices, and a few operations on m n numbers. What maps
theta to (a, v), such as phase I's clip, is m (d + 1) numbers and is differentiated automatically.

Rows lie in blocks whose projections stay in the cache, by columns: the layout in which both products are fastest.

With a free intercept, which is never a parameter, the value is

    (1/2) sum_i w_i (e_i - mean)^2,    mean = sum_i w_i e_i,    sum_i w_i = 1,

the least over b of the squared errors of f + b, so that its gradient is that of the network at the best b = -mean. An
intercept with a step of its own has curvature 1, where that of neurons is m / d: it would limit every step.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from langevax import checks
from langevax._typing import FloatScalar, PyTree
from langevax.platforms import sizes
from langevax.problems import blocks
from langevax.problems.blocks import tree_as_rows
from langevax.problems.problem import Problem
from langevax.teacher_student.networks import ReLUNetwork

ROWS_PER_BLOCK = 1024
"""By default, of what is computed together."""


class RowBlocks(NamedTuple):
    """B blocks of s rows, as even as possible; the last ones are padding of weight 0. One block: without axis B."""

    inputs: Float[Array, "*B d s"]
    targets: Float[Array, "*B s"]
    weights: Float[Array, "*B s"]
    """Of mean one over the rows without padding."""

    def at(self, indices: Int[Array, " batch"]) -> "RowBlocks":
        """Return these rows as one block."""
        block, place = jnp.divmod(indices, self.targets.shape[1])
        inputs = self.inputs[block, :, place]  # (batch, d)
        return RowBlocks(
            inputs.T, self.targets[block, place], self.weights[block, place]
        )


def block_size_for(num_neurons: int, dim: int, wide: int = 16) -> int:
    """Return the rows of a block for the neurons of all restarts together, on `dim` columns.

    On a CPU with 1 MiB of cache a core, of 256, 512, 1,024 and 2,048 rows the fastest are 1,024 for 30 neurons (55 us;
    65 us of 256 rows), 512 for 60 (57; 86 of 1,024) and 256 for 240 (214; 361 of 512), with d = 10 or 11. Beyond `wide`
    columns products take most of the time, and small blocks cost more than the cache saves (1.1 times at 50 columns and
    blocks of 512, 1.2 to 1.3 at 256).

    Example:
        >>> block_size_for(5, 10), block_size_for(30, 10), block_size_for(240, 10), block_size_for(240, 50)
        (2048, 1024, 256, 4096)
    """
    best = sizes()
    if dim > wide:
        return best.pass_rows
    fitting = max(1, best.projections // int(num_neurons))
    return min(
        best.largest_block,
        max(best.fewest_rows, 2 ** (fitting.bit_length() - 1)),
    )


def in_blocks(
    data: tuple[Any, Any], weights: Float[Any, " n"] | None, block_size: int
) -> tuple[RowBlocks, int]:
    """Return (rows in even blocks of at most `block_size`, their number without padding), in the dtype of the inputs.

    Data must be finite and of one length.
    """
    checks.positive_int("block_size", block_size)
    inputs, targets = tree_as_rows("data", data)
    size = checks.leading_axis("data", (inputs, targets))
    checks.finite("data", (inputs, targets), remedy="drop or impute these rows")
    dtype = (
        inputs.dtype
        if jnp.issubdtype(inputs.dtype, jnp.floating)
        else jnp.result_type(float)
    )
    normalised = blocks.normalised_weights(weights, size, dtype)
    parts = inputs, targets, np.ones(size) if normalised is None else normalised
    xp: Any = (
        np if all(map(checks.is_concrete, parts)) else jnp
    )  # NumPy needs no program for each shape
    num_blocks = -(-size // block_size)
    length = -(-size // num_blocks)

    def cut(array: Any) -> Any:
        padded = xp.pad(
            xp.asarray(array, dtype),
            [(0, num_blocks * length - size)] + [(0, 0)] * (array.ndim - 1),
        )
        return padded.reshape(num_blocks, length, *array.shape[1:])

    inputs, targets, normalised = map(cut, parts)
    return RowBlocks(
        *map(jnp.asarray, (xp.swapaxes(inputs, 1, 2), targets, normalised))
    ), size


class PhaseLoss(Protocol):
    """Loss of one phase."""

    def effective(self, position: ReLUNetwork) -> ReLUNetwork:
        """Return the network whose errors count."""
        ...

    def network(self, position: ReLUNetwork) -> ReLUNetwork:
        """Return the same function with outer weights -1, 0 or 1."""
        ...


class NetworkErrors(Problem):
    """(1/2n) sum_i w_i (e_i - centre)^2, for a centre whose own gradient drops out.

    Args:
        loss: of either phase, such as phase I's `ClippedError`.
        data: (inputs (n, d), targets (n,)).
        weights: (n,) >= 0, or None for all alike; rows of weight 0 are padding.
        precision: the quadratic part, a prefix of the position.
        block_size: rows of one block at most; see `rows.block_size_for`.
    """

    loss: PhaseLoss
    rows: RowBlocks
    precision: PyTree
    num_rows: int

    def __init__(
        self,
        loss: PhaseLoss,
        data: tuple[Any, Any],
        weights: Float[Any, " n"] | None = None,
        precision: PyTree = 0.0,
        block_size: int = ROWS_PER_BLOCK,
    ):
        for leaf in jax.tree.leaves(precision):
            checks.number("precision", leaf)
        self.loss = loss
        self.precision = precision
        self.rows, self.num_rows = in_blocks(data, weights, block_size)

    @abstractmethod
    def centre(self, network: ReLUNetwork) -> float | FloatScalar:
        """Return what is subtracted from the errors of a network."""

    @property
    def max_size(self) -> int:
        return self.num_rows

    @property
    def size(self) -> int:
        return self.num_rows

    def value(self, position: PyTree) -> FloatScalar:
        return self.value_and_gradient(position)[0]

    def gradient(self, position: PyTree) -> PyTree:
        return self.value_and_gradient(position)[1]

    def value_and_gradient(self, position: PyTree) -> tuple[FloatScalar, PyTree]:
        network, vjp = jax.vjp(self.loss.effective, position)
        centre = self.centre(network)
        value, slopes = self.mean(lambda block: squares(network, block, centre))
        return value, vjp(_chained(network, slopes))[0]

    def mean(self, of_block: Callable[[RowBlocks], PyTree]) -> PyTree:
        """Return (1/n) times the sum over blocks of `of_block(block)`."""
        total = blocks.block_sum(
            lambda rows: of_block(jax.tree.map(lambda a: a[0], rows)), self.rows, 1
        )
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
        network, vjp = jax.vjp(self.loss.effective, position)
        slopes = squares(network, self.rows.at(indices), 0.0)[1] / len(indices)
        return vjp(_chained(network, slopes))[0]

    def gradients_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        return jax.vmap(lambda index: self.gradient_at(position, index[None]))(indices)


def projected(
    network: ReLUNetwork, block: RowBlocks
) -> tuple[Float[Array, "m s"], Float[Array, " s"]]:
    """Return (v_j . x_i, e_i) on one block."""
    projections = network.inner @ block.inputs
    return projections, network.outer @ jnp.maximum(projections, 0) - block.targets


def squares(
    network: ReLUNetwork, block: RowBlocks, centre: float | Array
) -> tuple[FloatScalar, Float[Array, "m d"]]:
    """Return (half the sum of w_i (e_i - centre)^2, n G_j) on one block."""
    projections, errors = projected(network, block)
    centred = errors - centre
    weighted = block.weights * centred
    return jnp.sum(weighted * centred) / 2, jnp.where(
        projections > 0, weighted, 0
    ) @ block.inputs.T


def _chained(network: ReLUNetwork, slopes: Float[Array, "m d"]) -> ReLUNetwork:
    """Return (grad_a, grad_v) from G, in the network's dtypes."""
    outer = jnp.sum(network.inner * slopes, axis=1)
    inner = network.outer[:, None] * slopes
    return ReLUNetwork(
        outer.astype(network.outer.dtype), inner.astype(network.inner.dtype)
    )


class CentredErrors(NetworkErrors):
    """Half the variance of the errors over weighted rows, for full gradients only.

    Cost: a third product of matrices where there are several blocks.
    """

    def centre(self, network: ReLUNetwork) -> FloatScalar:
        """Return the mean error, minus the best intercept; its own gradient drops out, as errors around it sum to 0."""
        return self.mean(lambda block: block.weights @ projected(network, block)[1])

    def gradient_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        raise ValueError(
            "the best intercept needs all rows, not a batch; pass "
            "gradient=gradients.Full()."
        )

    gradients_at = gradient_at
