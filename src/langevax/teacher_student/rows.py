"""Rows in blocks whose projections stay in the cache, by columns: the layout in which both products are fastest.

A gradient multiplies weights by inputs, v X^T, and what comes of it by inputs again. In one piece the numbers between
the two products are neurons x n, which leave the cache; rows outside and columns inside make both products slower.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from langevax import checks
from langevax.problems import blocks
from langevax.problems.blocks import tree_as_rows

BLOCK_SIZE = 1024
CACHED = 2**15
"""Numbers of (neurons of all restarts) x (rows of a block). With 1 MiB of cache a core, of 256, 512, 1,024 and 2,048
rows the fastest are 1,024 for 30 neurons (55 us; 65 us of 256 rows), 512 for 60 (57; 86 of 1,024) and 256 for 240 (214;
361 of 512); with XLA on a CPU, d = 10 or 11."""
FEWEST, MOST = 256, 2048
WIDE, UNCUT = 16, 4096
"""Of more columns the products are most of the time, and cutting them costs more than the cache saves (1.1 times at 50
columns and blocks of 512, 1.2 to 1.3 at 256)."""


class Rows(NamedTuple):
    """B blocks of s rows, as even as possible; the last ones are padding of weight 0. One block: without axis B."""

    inputs: Float[Array, "*B d s"]
    targets: Float[Array, "*B s"]
    weights: Float[Array, "*B s"]
    """Of mean one over the rows that are given."""

    def at(self, indices: Int[Array, " batch"]) -> "Rows":
        """These rows as one block."""
        block, place = jnp.divmod(indices, self.targets.shape[1])
        inputs = self.inputs[block, :, place]  # (batch, d)
        return Rows(inputs.T, self.targets[block, place], self.weights[block, place])


def block_size_for(num_neurons: int, dim: int) -> int:
    """Rows of a block for so many neurons, those of all restarts together, on so many columns.

    Example:
        >>> block_size_for(5, 10), block_size_for(30, 10), block_size_for(240, 10), block_size_for(240, 50)
        (2048, 1024, 256, 4096)
    """
    if dim > WIDE:
        return UNCUT
    fitting = max(1, CACHED // num_neurons)
    return min(MOST, max(FEWEST, 2 ** (fitting.bit_length() - 1)))


def in_blocks(data: tuple[Any, Any], weights: Any, block_size: int) -> tuple[Rows, int]:
    """(rows in even blocks of at most `block_size`, their number without padding), in the dtype of the inputs.

    Raises:
        ValueError: non-finite or empty data, leading axes that disagree, bad weights or block_size.
    """
    checks.positive_int("block_size", block_size)
    inputs, targets = tree_as_rows("data", data)
    size = checks.leading_axis("data", (inputs, targets))
    checks.finite("data", (inputs, targets), remedy="drop or impute these rows")
    dtype = inputs.dtype if jnp.issubdtype(inputs.dtype, jnp.floating) else jnp.result_type(float)
    normalised = blocks.normalised_weights(weights, size, dtype)
    parts = inputs, targets, np.ones(size) if normalised is None else normalised
    xp: Any = np if all(map(checks.is_concrete, parts)) else jnp  # NumPy needs no program for each shape
    num_blocks = -(-size // block_size)
    length = -(-size // num_blocks)

    def cut(array: Any) -> Any:
        padded = xp.pad(xp.asarray(array, dtype), [(0, num_blocks * length - size)] + [(0, 0)] * (array.ndim - 1))
        return padded.reshape(num_blocks, length, *array.shape[1:])

    inputs, targets, normalised = map(cut, parts)
    return Rows(*map(jnp.asarray, (xp.swapaxes(inputs, 1, 2), targets, normalised))), size
