"""Arithmetic on positions: a position is any pytree of floating arrays.

A *prefix* (a precision, a step size) is a pytree that stops early: one leaf of it serves a whole
branch of the position, and broadcasts against every array there.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Key

from langevax._typing import FloatScalar, PRNGKey, PyTree
from langevax.keys import is_unrolled, normal_columns, unrolled
from langevax.platforms import not_forked

SHORT_ROW = 64
LONG_TABLE = 4096
"""Length of the last axis below which, and count of numbers from which, a draw gets its own branch."""


def map_prefix(
    function: Callable[..., PyTree],
    prefix: PyTree,
    position: PyTree,
    *others: PyTree,
) -> PyTree:
    """`function(prefix leaf, position leaf, ...)` for every leaf of `position`."""
    return jax.tree.map(
        function, jax.tree.broadcast(prefix, position), position, *others
    )


def normal_like(position: PyTree, *, key: PRNGKey) -> PyTree:
    """Independent standard normal draws of the shape and dtype of every leaf.

    Drawn in one dimension, which gives the same numbers in a quarter of the time to compile.
    """
    leaves, structure = jax.tree.flatten(position)
    keys = [key] if len(leaves) == 1 else jax.random.split(key, len(leaves))
    draws = [
        normal(leaf.shape, leaf.dtype, key=k)
        for k, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, draws)


def normal(shape: tuple[int, ...], dtype: DTypeLike, *, key: PRNGKey) -> Array:
    """One leaf of `normal_like`; below 32 bits drawn wider and rounded, since JAX's own are biased there."""
    wide = jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype
    straight = unrolled(key)
    length = math.prod(shape)

    def drawn() -> Array:
        return jax.random.normal(straight, (length,), wide)

    short_rows = len(shape) > 1 and shape[-1] < SHORT_ROW and length >= LONG_TABLE
    numbers = (
        lax.platform_dependent(cpu=lambda: _unfused(drawn), default=drawn)
        if short_rows
        else drawn()
    )
    return numbers.astype(dtype).reshape(shape)


def _unfused(drawn: Callable[[], Array]) -> Array:
    """The same, in a branch that is always taken, which XLA does not know and so does not fuse with what comes after.

    A fused draw is computed in the shape of what it is added to, row by row of the last axis. Rows of a few particles'
    coordinates are too short for vector instructions: 10,240 x 11 normals took 22 ns each, and take 6.
    """
    shape = jax.eval_shape(drawn)
    always = lax.optimization_barrier(jnp.bool_(True))
    return lax.cond(always, drawn, lambda: jnp.zeros(shape.shape, shape.dtype))


def normal_rows(length: int, dtype: DTypeLike, *, keys: Key[Array, " rows"]) -> Array:
    """Return a row of each key, with the numbers that `normal` draws.

    Where rows are short, they are drawn as columns, which vector instructions run along: 1,000 rows of 11 numbers took
    30 ns a number, and take 6.
    """
    straight = unrolled(keys)
    many = length < SHORT_ROW and len(keys) * length >= LONG_TABLE
    if many and is_unrolled(straight) and jnp.dtype(dtype) == jnp.float32:
        return _unfused(lambda: normal_columns(straight, length)).T
    return jax.vmap(lambda key: normal((length,), dtype, key=key))(straight)


def ball_like(position: PyTree, radius: ArrayLike, *, key: PRNGKey) -> PyTree:
    """A point uniform in the ball of that radius around 0, in all coordinates of `position` together.

    Standard normals z over sqrt(|z|^2 + chi^2_2): a uniform point of the sphere in two dimensions more, without these
    two coordinates (Barthe, Guedon, Mendelson, Naor, Ann. Probab. 2005). `jax.random.ball` does the same to gamma
    variates, which it draws by rejection.
    """
    normal_key, length_key = jax.random.split(key)
    z = normal_like(position, key=normal_key)
    dtype = dtype_of(position)
    wide = jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype
    squares = 2 * jax.random.exponential(length_key, (), wide)
    for leaf in jax.tree.leaves(z):
        squares += jnp.sum(jnp.square(leaf.astype(wide)))
    scale = jnp.asarray(radius, wide) / jnp.sqrt(squares)

    def scaled(leaf: Array) -> Array:
        return (leaf.astype(wide) * scale).astype(leaf.dtype)

    return jax.tree.map(scaled, z)


def host_normal(
    shape: tuple[int, ...], dtype: DTypeLike, *, key: PRNGKey
) -> np.ndarray:
    """The numbers of `normal` outside of any program, by one program for each power of two instead of each shape."""
    length = math.prod(shape)
    power_of_two = 1 << max(length - 1, 0).bit_length()
    drawn = _normals(key, power_of_two, jnp.dtype(dtype).name)
    return np.asarray(drawn)[:length].reshape(shape)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _normals(key: PRNGKey, length: int, dtype: str) -> Array:
    return normal((length,), jnp.dtype(dtype), key=key)


def in_double(array: Any) -> np.ndarray:
    """Return an array in NumPy, in float64."""
    return np.asarray(array, np.float64)


def dot(left: PyTree, right: PyTree) -> FloatScalar:
    """Inner product of two positions."""
    products = jax.tree.map(lambda a, b: jnp.sum(a * b), left, right)
    return jax.tree.reduce(jnp.add, products)


def where(condition: Array, one: PyTree, other: PyTree) -> PyTree:
    """Every leaf of `one` where the condition holds, of `other` elsewhere."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)


def without_chains(tree: PyTree) -> PyTree:
    """Leaves with their first two axes, such as (chain, draw), as one."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)


def zeros_like(tree: PyTree) -> PyTree:
    """Zeros of the shape and dtype of every leaf."""
    return jax.tree.map(jnp.zeros_like, tree)


def subtract(left: PyTree, right: PyTree) -> PyTree:
    """`left - right`, leaf by leaf."""
    return jax.tree.map(jnp.subtract, left, right)


def add(left: PyTree, right: PyTree) -> PyTree:
    """`left + right`, leaf by leaf."""
    return jax.tree.map(jnp.add, left, right)


def dtype_of(position: PyTree) -> jnp.dtype:
    """The one floating dtype in which a run of this position is computed; raise in a forked process."""
    not_forked()
    return jnp.result_type(*jax.tree.leaves(position))


__all__ = [
    "add",
    "ball_like",
    "dot",
    "dtype_of",
    "host_normal",
    "map_prefix",
    "normal",
    "normal_like",
    "normal_rows",
    "subtract",
    "zeros_like",
]
__dir__: object = __all__.copy
