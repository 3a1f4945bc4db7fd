"""Sums over rows in blocks, so that n x (anything) is never whole in memory; a cloud's particles are its rows.

Numbers agree to rounding whatever the block. Blocks are cut by `dynamic_slice` from the arrays as
they lie, so a mapped table is read where it is and never copied. Where rows are split over devices, each
cuts blocks of its own: XLA would gather what a slice reaches across.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, PyTree

from langevax import checks

Rows = PyTree[Array]


class Split(NamedTuple):
    """The axes of a mesh over whose devices rows are split."""

    mesh: Mesh
    axes: tuple[str, ...]

    @property
    def parts(self) -> int:
        return math.prod(self.mesh.shape[axis] for axis in self.axes)

    def __call__(self, function: Callable[..., PyTree], rows: Rows, *others: PyTree, summed: bool = False) -> PyTree:
        """`function(own rows, *others)` on every device; the results side by side, or any device's where all agree.

        A program of each device, not a batch of parts: XLA computes a batch of one product twenty times as slowly.
        """
        split, whole = PartitionSpec(self.axes), PartitionSpec()
        inside = not jax.sharding.get_abstract_mesh().empty  # another split, which has the mesh already
        of_a_device = jax.shard_map(
            function,
            mesh=None if inside else self.mesh,
            in_specs=(split, *[whole] * len(others)),
            out_specs=whole if summed else split,
            axis_names=set(self.axes),
            check_vma=False,
        )
        return of_a_device(rows, *others)


def num_rows(rows: Rows) -> int:
    """The common length of axis 0."""
    return jax.tree.leaves(rows)[0].shape[0]


def take(rows: Rows, indices: Int[Array, " batch"]) -> Rows:
    """The rows at `indices`, which are within bounds."""
    return jax.tree.map(lambda a: jnp.take(a, indices, axis=0, mode="clip"), rows)


def _cuts(size: int, block_size: int) -> tuple[int, int]:
    """(block, whole blocks): as even as possible, so that the remainder is small or none."""
    blocks = -(-size // block_size)
    block = -(-size // blocks)
    return block, size // block


def _slice(rows: Rows, start: Any, length: int) -> Rows:
    return jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, start, length), rows)


def block_sum(function: Callable[[Rows], PyTree], rows: Rows, block_size: int, split: Split | None = None) -> PyTree:
    """`sum over blocks of function(block)`, one scan; a single block runs without a loop."""
    if split is not None:
        return split(lambda own: lax.psum(block_sum(function, own, block_size), split.axes), rows, summed=True)
    size = num_rows(rows)
    block, whole = _cuts(size, block_size)
    if whole == 1 and block == size:
        return function(rows)

    def add_block(total: PyTree, index: Int[Array, ""]) -> tuple[PyTree, None]:
        return jax.tree.map(jnp.add, total, function(_slice(rows, index * block, block))), None

    shapes = jax.eval_shape(function, _slice(rows, 0, block))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    total, _ = lax.scan(add_block, zeros, jnp.arange(whole, dtype=jnp.int32))
    if whole * block < size:
        total = jax.tree.map(jnp.add, total, function(_slice(rows, whole * block, size - whole * block)))
    return total


def block_map(function: Callable[[Rows], Array], rows: Rows, block_size: int, split: Split | None = None) -> Array:
    """`function(block)` gives one row for each row of the block; the results are concatenated."""
    if split is not None:
        return split(lambda own: block_map(function, own, block_size), rows)
    size = num_rows(rows)
    block, whole = _cuts(size, block_size)
    if whole == 1 and block == size:
        return function(rows)
    starts = jnp.arange(whole, dtype=jnp.int32) * block
    mapped = lax.map(lambda start: function(_slice(rows, start, block)), starts)
    head = mapped.reshape(whole * block, *mapped.shape[2:])
    if whole * block == size:
        return head
    return jnp.concatenate([head, function(_slice(rows, whole * block, size - whole * block))])


def normalised_weights(weights: Any, size: int, dtype: Any) -> Float[Array, " n"] | None:
    """Row weights scaled to mean one, or None; raise where they are no weights."""
    if weights is None:
        return None
    weights = jnp.asarray(weights, dtype)
    if weights.shape != (size,):
        raise ValueError(f"weights must have shape ({size},), one per row, got {weights.shape}.")
    if checks.is_concrete(weights):
        checks.number("weights", weights)
        host = np.asarray(weights)  # needs no program for each shape
        if not host.sum() > 0:
            raise ValueError("weights are all 0; give at least one row a positive weight.")
        return jnp.asarray(host * (size / host.sum(dtype=np.float64)).astype(host.dtype))
    return weights * (size / jnp.sum(weights))


def checked_count(count: Any, size: int) -> Int[Array, ""] | None:
    """Rows in use as an int32, so that another count is not another program; None means all."""
    if count is None:
        return None
    if checks.is_concrete(count) and not 1 <= int(count) <= size:
        raise ValueError(f"count must lie in 1..{size}, the rows that are stored, got {int(count)}.")
    return jnp.asarray(count, jnp.int32)


def row_weights(
    weights: Float[Array, " n"] | None, count: Int[Array, ""] | None, size: int, dtype: Any
) -> Float[Array, " n"] | None:
    """What each row counts in a sum over rows: 0 for padding; None where all count 1."""
    if count is None:
        return weights
    used = (jnp.arange(size, dtype=jnp.int32) < count).astype(dtype)
    # weights are of mean one over the stored rows; here they are made so over the rows in use
    return used if weights is None else weights * used * (count.astype(dtype) / jnp.sum(weights * used))
