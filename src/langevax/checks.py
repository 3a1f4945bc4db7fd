"""Checks of what a user hands over: each names the argument, the value and the remedy.

They look only at concrete values; inside a traced function the same objects are rebuilt unchecked.
"""

import os
from typing import Any
from weakref import WeakValueDictionary

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

_finite: WeakValueDictionary[int, jax.Array] = WeakValueDictionary()


def mark_finite(array: jax.Array) -> None:
    """Spare `array` further looks: its numbers were found finite, such as when a row file was written."""
    _finite[id(array)] = array


def known_finite(array: Any) -> bool:
    """Whether `mark_finite` was told of this very array."""
    return array is not None and _finite.get(id(array)) is array


def is_concrete(value: Any) -> bool:
    """False for tracers and abstract shapes, which cannot be looked into."""
    return not isinstance(value, Tracer | jax.ShapeDtypeStruct)


def number(name: str, value: Any, *, positive: bool = False) -> None:
    """Raise unless `value` is a finite number >= 0 (> 0 with `positive`), an array of such, or a schedule."""
    if callable(value) or not is_concrete(value):
        return
    bound = "> 0" if positive else ">= 0"
    if isinstance(value, bool) or not isinstance(value, int | float | np.ndarray | np.generic | jax.Array):
        raise TypeError(f"{name} must be a number or a schedule of the step, got {value!r}; pass a float {bound}.")
    values = np.asarray(value)
    good = np.isfinite(values) & (values > 0 if positive else values >= 0)
    if not good.all():
        worst = values[~good].flat[0]
        raise ValueError(f"{name} must be finite and {bound}, got {worst}; pass a number {bound}.")


def positive_int(name: str, value: Any, *, minimum: int = 1) -> None:
    """Raise unless `value` is an int of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an int, got {value!r} of type {type(value).__name__}; pass an int.")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}; pass an int >= {minimum}.")


def fits_memory(name: str, count: int, bytes_each: int) -> None:
    """Raise unless `count` items of `bytes_each` fit the memory of this machine's processes or devices."""
    needed = count * bytes_each
    if needed <= 2**28:  # too small to measure anything
        return
    host = 0
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    devices = sum((device.memory_stats() or {}).get("bytes_limit", 0) for device in jax.local_devices())
    memory = max(host, devices) * jax.process_count()
    if memory and needed > memory:
        raise ValueError(
            f"{name} is {count}, which needs {needed / 1e9:,.0f} GB of memory where there are {memory / 1e9:,.0f} GB; "
            f"pass at most {memory // bytes_each}, and fewer in practice."
        )


def typed_key(key: Any, name: str = "key") -> None:
    """Raise unless `key` is one typed key, as `jax.random.key(0)` makes."""
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        kind = "an old-style uint32 key" if getattr(key, "dtype", None) == np.uint32 else f"{type(key).__name__}"
        remedy = "jax.random.wrap_key_data(old_key)" if kind.startswith("an old") else "jax.random.key(seed)"
        raise TypeError(f"{name} must be a typed key, got {kind}; pass {remedy}.")
    if key.shape != ():
        raise ValueError(f"{name} must be one key, got an array of keys of shape {key.shape}; pass one of them.")


def finite(name: str, tree: Any, *, remedy: str) -> None:
    """Raise if a floating leaf holds NaN or infinity, naming the leaf and where it is."""
    for path, leaf in jax.tree.leaves_with_path(tree):
        if not is_concrete(leaf) or known_finite(leaf) or not jnp.issubdtype(leaf.dtype, jnp.inexact):
            continue
        if not _sum_is_finite(leaf):  # a sum is one fast pass; only a suspect is looked into
            bad = np.argwhere(~np.isfinite(np.asarray(leaf)))
            if len(bad):
                place = f"{name}{jax.tree_util.keystr(path)}[{', '.join(map(str, bad[0]))}]"
                found = np.asarray(leaf)[tuple(bad[0])]
                raise ValueError(f"{place} is {found} ({len(bad)} non-finite entries); {remedy}.")


def _sum_is_finite(leaf: Any) -> bool:
    """On the host where the numbers lie there: that needs no program for each shape."""
    if isinstance(leaf, jax.Array) and any(device.platform != "cpu" for device in leaf.devices()):
        return bool(jnp.isfinite(jnp.sum(leaf)))
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.sum(np.asarray(leaf))))


def integers_fit(name: str, array: Any) -> None:
    """Raise if a NumPy array holds an integer that JAX would cut: it keeps 32 bits of 64, unless told otherwise."""
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, np.integer) or not array.size:
        return
    kept = jax.dtypes.canonicalize_dtype(array.dtype)
    bounds = np.iinfo(kept)
    if kept == array.dtype or (bounds.min <= array.min() and array.max() <= bounds.max):
        return
    place = tuple(np.argwhere((array < bounds.min) | (array > bounds.max))[0])
    raise ValueError(
        f"{name}[{', '.join(map(str, place))}] is {array[place]}, which JAX would cut to {kept}; number ids from 0 "
        "(np.unique with return_inverse=True), pass measurements as floats, or make the data and run inside "
        "`with jax.enable_x64():`."
    )


def same_structure(name: str, tree: Any, like: Any) -> None:
    """Raise unless `tree` has the structure and the shapes of the position `like`."""
    found, wanted = jax.tree.structure(tree), jax.tree.structure(like)
    if found != wanted:
        raise ValueError(f"{name} has the structure {found} but the position has {wanted}; pass one of that structure.")
    for (path, leaf), other in zip(jax.tree.leaves_with_path(tree), jax.tree.leaves(like), strict=True):
        if jnp.shape(leaf) != jnp.shape(other):
            label = f"{name}{jax.tree_util.keystr(path)}"
            raise ValueError(f"{label} has shape {jnp.shape(leaf)} but the position has {jnp.shape(other)} there.")


def leading_axis(name: str, tree: Any) -> int:
    """The common length of axis 0 of all leaves; raise if there are none, they disagree or it is 0."""
    leaves = jax.tree.leaves_with_path(tree)
    if not leaves:
        raise ValueError(f"{name} holds no array, got {tree!r}; pass arrays with one row per component.")
    lengths = {}
    for path, leaf in leaves:
        label = f"{name}{jax.tree_util.keystr(path)}"
        if not hasattr(leaf, "shape") or leaf.shape == ():
            raise ValueError(f"{label} must have a leading axis of rows, got {leaf!r}; pass an array.")
        lengths[label] = leaf.shape[0]
    if len(set(lengths.values())) > 1:
        listing = ", ".join(f"{label}: {length}" for label, length in lengths.items())
        raise ValueError(f"the leading axes of {name} disagree ({listing}); pass the same number of rows in each.")
    (length,) = set(lengths.values())
    if length == 0:
        raise ValueError(f"{name} is empty (0 rows); pass at least one row.")
    return length
