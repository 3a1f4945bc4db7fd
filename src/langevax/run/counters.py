"""Counts of 64 bits on a device that has 32: two uint32 limbs with a carry."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt32

from langevax.run import processes


class Count(NamedTuple):
    low: UInt32[Array, "..."]
    high: UInt32[Array, "..."]


def zero_like(increment: Array) -> Count:
    """A count of 0 for increments of this shape."""
    zero = jnp.zeros(increment.shape, jnp.uint32)
    return Count(zero, zero)


def add(count: Count, increment: Array) -> Count:
    """`count + increment`, for 0 <= increment < 2^32."""
    low = count.low + increment.astype(jnp.uint32)
    return Count(low, count.high + (low < count.low).astype(jnp.uint32))


def to_int64(count: Any) -> np.ndarray:
    """The counts as NumPy int64."""
    low, high = processes.whole(count.low), processes.whole(count.high)
    return np.asarray((high.astype(np.int64) << 32) + low.astype(np.int64))
