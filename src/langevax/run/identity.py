"""What run this is, as text: what a checkpoint compares before it goes on, and names where it differs."""

import dataclasses
import zlib
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

SAMPLED_BYTES = 2**24  # of an array that is larger, evenly spaced rows are looked at


def describe(parts: dict[str, PyTree]) -> dict[str, str]:
    """Every part by name: modules by class, numbers as they are, arrays by checksum, functions by name."""
    return {name: text for label, part in parts.items() for name, text in _described(label, part)}


def _described(label: str, tree: PyTree) -> Iterator[tuple[str, str]]:
    if isinstance(tree, eqx.Module):
        yield label, f"{type(tree).__module__}.{type(tree).__qualname__}"
        for field in dataclasses.fields(tree):  # static ones too
            yield from _described(f"{label}.{field.name}", getattr(tree, field.name))
        return
    for path, leaf in jax.tree.leaves_with_path(tree, is_leaf=lambda node: isinstance(node, eqx.Module)):
        name = f"{label}{jax.tree_util.keystr(path)}"
        if isinstance(leaf, eqx.Module):
            yield from _described(name, leaf)
        else:
            yield name, _text(leaf)


def _text(leaf: Any) -> str:
    if isinstance(leaf, jax.Array | np.ndarray):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return f"{jax.random.key_impl(leaf)} key {np.asarray(jax.random.key_data(leaf)).tolist()}"
        stride = max(1, -(-leaf.size * leaf.dtype.itemsize // SAMPLED_BYTES))
        rows = leaf if leaf.ndim == 0 else leaf[:: min(stride, max(leaf.shape[0], 1))]
        return f"{leaf.dtype}{list(leaf.shape)} checksum {zlib.crc32(np.asarray(rows).tobytes()):08x}"
    if callable(leaf):
        name = f"{getattr(leaf, '__module__', '?')}.{getattr(leaf, '__qualname__', type(leaf).__qualname__)}"
        numbers = ", ".join(_enclosed_numbers(leaf))
        return f"{name}({numbers})" if numbers else name
    return repr(leaf) if type(leaf).__repr__ is not object.__repr__ else type(leaf).__qualname__


def _enclosed_numbers(function: Any) -> Iterator[str]:
    """`name=value` of the numbers in a function's closure: what tells two optax schedules apart."""
    cells = getattr(function, "__closure__", None) or ()
    names = function.__code__.co_freevars if cells else ()
    for name, cell in zip(names, cells, strict=True):
        if isinstance(cell.cell_contents, int | float):
            yield f"{name}={float(cell.cell_contents)}"  # optax turns some of its ints into floats at the first call
