"""Sums over rows in blocks, so that n x (anything) is never whole in memory; particles are rows, too.

Numbers agree to rounding whatever the block. Blocks are cut by `dynamic_slice` from the arrays as
they lie, so a mapped table is read where it is and never copied. Where rows are split over devices, each
cuts its own blocks: XLA would gather what a slice reaches across.
"""

from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float

from langevax import checks, trees
from langevax._typing import IntScalar, PyTree
from langevax.problems.problem import Indices, Numbers
from langevax.problems.sharding import RowSharding

Rows = PyTree[Array]
Weights = Float[Array, " n"] | None
Count = IntScalar | None


def num_rows(rows: Rows) -> int:
    """The common length of axis 0."""
    return jax.tree.leaves(rows)[0].shape[0]


def take(rows: Rows, indices: Indices) -> Rows:
    """The rows at `indices`, which are within bounds."""
    return jax.tree.map(lambda a: jnp.take(a, indices, axis=0, mode="clip"), rows)


def floating_dtype(rows: Rows) -> DTypeLike:
    """The floating dtype of the first rows that have one; float32 where none has."""
    dtypes = (leaf.dtype for leaf in jax.tree.leaves(rows))
    return next((d for d in dtypes if jnp.issubdtype(d, jnp.inexact)), jnp.float32)


def _block_sizes(size: int, block_size: int) -> tuple[int, int]:
    """(block, whole blocks): as even as possible, so that the remainder is small or none."""
    blocks = -(-size // block_size)
    block = -(-size // blocks)
    return block, size // block


def _slice(rows: Rows, start: ArrayLike, length: int) -> Rows:
    return jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, start, length), rows)


def block_sum(
    function: Callable[[Rows], PyTree],
    rows: Rows,
    block_size: int,
    sharding: RowSharding | None = None,
) -> PyTree:
    """`sum over blocks of function(block)`, one scan; a single block runs without a loop."""
    if sharding is not None:
        return sharding(
            lambda own: lax.psum(block_sum(function, own, block_size), sharding.axes),
            rows,
            summed=True,
        )
    size = num_rows(rows)
    block, whole = _block_sizes(size, block_size)
    if whole == 1 and block == size:
        return function(rows)

    def add_block(total: PyTree, index: IntScalar) -> tuple[PyTree, None]:
        return jax.tree.map(
            jnp.add, total, function(_slice(rows, index * block, block))
        ), None

    shapes = jax.eval_shape(function, _slice(rows, 0, block))
    indices = jnp.arange(whole, dtype=jnp.int32)
    total, _ = lax.scan(add_block, trees.zeros_like(shapes), indices)
    if whole * block < size:
        total = jax.tree.map(
            jnp.add, total, function(_slice(rows, whole * block, size - whole * block))
        )
    return total


def block_map(
    function: Callable[[Rows], Array],
    rows: Rows,
    block_size: int,
    sharding: RowSharding | None = None,
) -> Array:
    """Concatenate `function(block)`, which has one row for each row of the block."""
    if sharding is not None:
        return sharding(lambda own: block_map(function, own, block_size), rows)
    size = num_rows(rows)
    block, whole = _block_sizes(size, block_size)
    if whole == 1 and block == size:
        return function(rows)
    starts = jnp.arange(whole, dtype=jnp.int32) * block
    mapped = lax.map(lambda start: function(_slice(rows, start, block)), starts)
    head = mapped.reshape(whole * block, *mapped.shape[2:])
    if whole * block == size:
        return head
    return jnp.concatenate(
        [head, function(_slice(rows, whole * block, size - whole * block))]
    )


def normalised_weights(weights: Numbers | None, size: int, dtype: DTypeLike) -> Weights:
    """Row weights scaled to mean one, or None; raise unless they are non-negative numbers, one per row."""
    if weights is None:
        return None
    if checks.is_concrete(weights):
        weights = checks.plain_array("weights", weights)
    if np.shape(weights) != (size,):
        raise ValueError(
            f"weights must have shape ({size},), one per row, got {np.shape(weights)}."
        )
    if not checks.is_concrete(weights):
        traced = jnp.asarray(weights, dtype)
        return traced * (size / jnp.sum(traced))
    host = np.asarray(
        weights, dtype
    )  # needs no program for each shape, and nor does `device_put`
    checks.number("weights", host)
    if not host.sum() > 0:
        raise ValueError("weights are all 0; give at least one row a positive weight.")
    scale = size / host.sum(dtype=np.float64)
    return jax.device_put(host * scale.astype(host.dtype))


def checked_count(count: ArrayLike | None, size: int) -> Count:
    """Rows in use as an int32, so that another count is not another program; None means all."""
    if count is None:
        return None
    if checks.is_concrete(count):
        number = checks.whole("count", count, minimum=-checks.LARGEST_INT)
        if not 1 <= number <= size:
            raise ValueError(
                f"count must lie in 1..{size}, the rows that are stored, got {number}."
            )
    return jnp.asarray(count, jnp.int32)


def row_weights(
    weights: Weights,
    count: Count,
    size: int,
    dtype: DTypeLike,
) -> Weights:
    """The weight of each row in a sum over rows: 0 for padding; None where all are 1."""
    if count is None:
        return weights
    used = (jnp.arange(size, dtype=jnp.int32) < count).astype(dtype)
    # weights are of mean one over the stored rows; here they are made so over the rows in use
    return (
        used
        if weights is None
        else weights * used * (count.astype(dtype) / jnp.sum(weights * used))
    )


def tree_as_rows(name: str, data: PyTree) -> PyTree:
    """Every array of a pytree by `as_rows`, each named by its path."""
    return jax.tree.map_with_path(
        lambda path, array: as_rows(f"{name}{jax.tree_util.keystr(path)}", array), data
    )


def as_rows(name: str, array: Numbers) -> Array:
    """An array of rows on the device, whose numbers must fit; a mapped file is aliased, where the device can."""
    if not checks.is_concrete(array):
        return cast(Array, array)
    if isinstance(array, jax.Array):
        if jnp.issubdtype(array.dtype, jnp.complexfloating):
            raise TypeError(
                f"{name} must be an array of real numbers, but holds complex ones; "
                "pass two real columns."
            )
        return array
    plain = checks.plain_array(name, array, complete=False)
    checks.numbers_fit(name, plain)
    return jax.device_put(plain, may_alias=True)
