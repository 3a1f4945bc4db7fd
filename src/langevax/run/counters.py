"""Counts of 64 bits on a device that has 32: two words of uint32 with a carry, in one array.

In one, because a step that does little is measured in kernels, and an array that a step changes costs one.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Integer, UInt32

from langevax.run import processes

Count = UInt32[Array, "... 2"]  # the lower word first


def zero_like(increment: Integer[Array, "..."]) -> Count:
    """A count of 0 for increments of this shape."""
    return jnp.zeros((*increment.shape, 2), jnp.uint32)


def add(count: Count, increment: Integer[Array, "..."]) -> Count:
    """`count + increment`, for 0 <= increment < 2^32."""
    low, more = count[..., :1], increment.astype(jnp.uint32)[..., None]
    carried = (low + more < low).astype(jnp.uint32)
    is_low = lax.broadcasted_iota(jnp.int32, count.shape, count.ndim - 1) == 0
    return count + jnp.where(is_low, more, carried)


def to_int64(count: Any) -> np.ndarray:
    """The counts as NumPy int64."""
    words = processes.whole(count).astype(np.int64)
    return np.asarray((words[..., 1] << 32) + words[..., 0])
