"""Random keys whose draws compile to straight-line code instead of a loop.

JAX lowers Threefry on processors to a loop over its five groups of rounds. A draw is then a loop within the loop of a
run, which passes five times over all its numbers and moves twelve bytes per number. Written out, the 20 rounds are one
pass that XLA fuses with the conversion of the bits: 4.3 instead of 6 ns per normal, 5.9 instead of 12.3 for two million
of them, and 7.9 instead of 17 us for a step of eight chains of SVRG-LD on a small table, written as a scan. It also
compiles in less time. All bits are the same.

Barriers keep XLA from looking through a key at its derivation: without them a step took twice as long to compile, and a
quarter longer to run.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.extend.random import define_prng_impl, threefry_prng_impl
from jaxtyping import Array, Float, Key, UInt32

from langevax import platforms

Words = UInt32[Array, "..."]

ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)
PARITY = 0x1BD11BDA
LARGEST_DRAW = 2**32
"""Numbers of one draw whose index fits in one word."""


def unrolled(key: Key[Array, "*keys"]) -> Key[Array, "*keys"]:
    """Return the same key with the same draws, for use inside a compiled program.

    Keys of another kind than `threefry2x32` are returned unchanged, and so are all keys on accelerators, where JAX has
    no such loop, and if JAX draws in another order (`jax_threefry_partitionable=False`).

    >>> key = jax.random.key(0)
    >>> bool(jnp.all(jax.random.normal(unrolled(key), (3,)) == jax.random.normal(key, (3,))))
    True
    """
    in_order = jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]
    if (
        random.key_impl(key) != "threefry2x32"
        or not in_order
        or platforms.platform() != "cpu"
    ):
        return key
    return random.wrap_key_data(random.key_data(key), impl=UNROLLED)


def is_unrolled(key: Key[Array, "*keys"]) -> bool:
    """Return whether a key was made by `unrolled`, not returned unchanged."""
    return random.key_impl(key) == UNROLLED


@jax.jit  # traced once per shape
def hashed(
    first: Words,
    second: Words,
    left: Words,
    right: Words,
) -> tuple[Words, Words]:
    """Return Threefry-2x32-20 of the words of a counter (Salmon, Moraes, Dror, Shaw, SC 2011)."""
    schedule = first, second, first ^ second ^ jnp.uint32(PARITY)
    left = left + first
    right = right + second
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            left = left + right
            right = left ^ (
                right << jnp.uint32(rotation) | right >> jnp.uint32(32 - rotation)
            )
        left = left + schedule[(group + 1) % 3]
        right = right + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return left, right


def normal_columns(
    column_keys: Key[Array, " columns"], length: int
) -> Float[Array, "length columns"]:
    """Return `jax.random.normal(key, (length,))` in float32 of each unrolled key, as columns."""
    first, second = jnp.moveaxis(random.key_data(column_keys), -1, 0)
    indices = lax.broadcasted_iota(jnp.uint32, (length, len(column_keys)), 0)
    left, right = hashed(first, second, jnp.zeros_like(indices), indices)
    # as in JAX: 23 bits are the mantissa of a number in [1, 2), shifted to (-1, 1) and mapped by the normal quantile
    mantissa = (left ^ right) >> jnp.uint32(9) | jnp.uint32(0x3F800000)
    least = np.nextafter(np.float32(-1), np.float32(0))
    uniform = (lax.bitcast_convert_type(mantissa, jnp.float32) - 1) * (
        np.float32(1) - least
    ) + least
    return np.float32(np.sqrt(2)) * lax.erf_inv(jnp.maximum(uniform, least))


def _hash_of_indices(
    key: UInt32[Array, "2"], shape: tuple[int, ...]
) -> tuple[Words, Words]:
    indices = lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return hashed(key[0], key[1], jnp.zeros_like(indices), indices)


def _split(
    key: UInt32[Array, "2"], shape: tuple[int, ...]
) -> UInt32[Array, "*shape 2"]:
    return lax.optimization_barrier(jnp.stack(_hash_of_indices(key, shape), axis=-1))


def _fold_in(key: UInt32[Array, "2"], data: Any) -> UInt32[Array, "2"]:
    return lax.optimization_barrier(
        jnp.stack(hashed(key[0], key[1], jnp.uint32(0), jnp.asarray(data, jnp.uint32)))
    )


def _bits(key: UInt32[Array, "2"], width: int, shape: tuple[int, ...]) -> Array:
    if math.prod(shape) >= LARGEST_DRAW:
        return threefry_prng_impl.random_bits(key, width, shape)
    left, right = lax.optimization_barrier(_hash_of_indices(key, shape))
    if width == 64:
        return left.astype(jnp.uint64) << jnp.uint64(32) | right.astype(jnp.uint64)
    return (left ^ right).astype(f"uint{width}")


UNROLLED = define_prng_impl(
    key_shape=(2,),
    seed=threefry_prng_impl.seed,
    split=_split,
    random_bits=_bits,
    fold_in=_fold_in,
    name="threefry2x32, unrolled",
    tag="fry",
)
