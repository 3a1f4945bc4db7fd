"""Checks of a user's arguments and installation: each names the argument, the value and the remedy.

They read only concrete values; inside a traced function the same objects are rebuilt unchecked.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from langevax._typing import PyTree

Value = TypeVar("Value", bound=ArrayLike)

_finite: WeakValueDictionary[int, jax.Array] = WeakValueDictionary()


def mark_finite(array: jax.Array) -> None:
    """Record that all numbers of `array` are finite, so that they are not checked again."""
    _finite[id(array)] = array


def known_finite(array: object) -> bool:
    """True if `mark_finite` was called with this very array."""
    return array is not None and _finite.get(id(array)) is array


def is_concrete(value: object) -> bool:
    """False for tracers and abstract shapes, which have no values."""
    return not isinstance(value, Tracer | jax.ShapeDtypeStruct)


def number(name: str, value: object, *, positive: bool = False, schedule: bool = False, auto: bool = False) -> None:
    """Raise unless `value` is a finite number >= 0 (> 0 with `positive`) or an array of such.

    `schedule` allows functions of the step as well, and `auto` the word "auto".
    """
    if (auto and is_auto(value)) or (schedule and callable(value)) or not is_concrete(value):
        return
    bound = "> 0" if positive else ">= 0"
    if not _is_real(value):
        kinds = " or ".join(["a number", *["a schedule of the step"] * schedule, *["'auto'"] * auto])
        raise TypeError(f"{name} must be {kinds}, got {value!r}; pass a float {bound}.")
    values = np.asarray(value)
    good = np.isfinite(values) & (values > 0 if positive else values >= 0)
    if not good.all():
        worst = values[~good].flat[0]
        raise ValueError(f"{name} must be finite and {bound}, got {worst}; pass a number {bound}.")


def one_number(name: str, value: object, *, positive: bool = False, auto: bool = False) -> None:
    """Raise unless `value` is one number, as in `number`, or a schedule; `auto` allows the word "auto" as well."""
    number(name, value, positive=positive, schedule=True, auto=auto)
    if isinstance(value, np.ndarray | jax.Array) and value.ndim:
        raise ValueError(f"{name} must be one number, got an array of shape {value.shape}; pass a float.")


def _is_real(value: object) -> bool:
    """True for real numbers and arrays of them; booleans are not numbers."""
    if isinstance(value, int | float):
        return not isinstance(value, bool)
    if not isinstance(value, np.ndarray | np.generic | jax.Array):
        return False
    return any(jnp.issubdtype(value.dtype, kind) for kind in (jnp.integer, jnp.floating))


def numbers(name: str, tree: PyTree) -> None:
    """Raise unless every leaf is a finite number >= 0 or an array of such."""
    for leaf in jax.tree.leaves(tree):
        number(name, leaf)


def stops(name: str, answer: object) -> bool:
    """Return whether the answer of the callback `name` stops a run; raise unless it is a boolean or None."""
    if answer is None or isinstance(answer, bool):
        return bool(answer)
    if isinstance(answer, np.ndarray | np.generic | jax.Array) and answer.dtype == bool and answer.shape == ():
        return bool(answer)
    raise TypeError(f"{name} must return a boolean or None, got {answer!r}; return True to stop the run.")


def scalar(name: str, value: Value, remedy: str) -> Value:
    """Return what a user's function returned; raise unless it is a scalar."""
    if jnp.shape(value) != ():
        raise ValueError(f"{name} must return a scalar, got shape {jnp.shape(value)}; {remedy}.")
    return value


def fraction(name: str, value: object, *, auto: bool = False) -> None:
    """Raise unless `value` is a number in (0, 1]; `auto` allows the word "auto" as well."""
    number(name, value, positive=True, auto=auto)
    if is_concrete(value) and not is_auto(value) and not np.all(np.asarray(value) <= 1):
        raise ValueError(f"{name} must be at most 1, got {value}; pass a number in (0, 1].")


def is_auto(value: object) -> bool:
    """True for "auto", by which a user leaves a choice to the library."""
    return isinstance(value, str) and value == "auto"


def positive_int(name: str, value: object, *, minimum: int = 1, auto: bool = False) -> None:
    """Raise unless `value` is an int of at least `minimum`; `auto` allows the word "auto" as well."""
    if auto and is_auto(value):
        return
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        kinds = "an int or 'auto'" if auto else "an int"
        raise TypeError(f"{name} must be {kinds}, got {value!r} of type {type(value).__name__}; pass an int.")
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


def typed_key(key: object, name: str = "key") -> None:
    """Raise unless `key` is one typed key, as `jax.random.key(0)` makes."""
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        kind = "an old-style uint32 key" if getattr(key, "dtype", None) == np.uint32 else f"{type(key).__name__}"
        remedy = "jax.random.wrap_key_data(old_key)" if kind.startswith("an old") else "jax.random.key(seed)"
        raise TypeError(f"{name} must be a typed key, got {kind}; pass {remedy}.")
    if key.shape != ():
        raise ValueError(f"{name} must be one key, got an array of keys of shape {key.shape}; pass one of them.")


def finite(name: str, tree: PyTree, *, remedy: str) -> None:
    """Raise if a floating leaf holds NaN or infinity, naming the leaf and where it is."""
    for path, leaf in jax.tree.leaves_with_path(tree):
        if not is_concrete(leaf) or known_finite(leaf) or not jnp.issubdtype(leaf.dtype, jnp.inexact):
            continue
        if not _sum_is_finite(leaf):  # a sum is one fast pass; only where it is not finite are entries searched
            bad = np.argwhere(~np.isfinite(np.asarray(leaf)))
            if len(bad):
                place = f"{name}{jax.tree_util.keystr(path)}[{', '.join(map(str, bad[0]))}]"
                value = np.asarray(leaf)[tuple(bad[0])]
                raise ValueError(f"{place} is {value} ({len(bad)} non-finite entries); {remedy}.")


def _sum_is_finite(leaf: jax.Array | np.ndarray) -> bool:
    """On the host where the numbers lie there: that needs no program for each shape."""
    if isinstance(leaf, jax.Array) and any(device.platform != "cpu" for device in leaf.devices()):
        return bool(jnp.isfinite(jnp.sum(leaf)))
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.sum(np.asarray(leaf))))


def arrays(name: str, tree: PyTree) -> PyTree:
    """Return numbers and arrays as arrays that keep their dtype among others; raise where a leaf is neither."""

    def as_array(path: tuple[Any, ...], leaf: object) -> jax.Array:
        if not eqx.is_array_like(leaf):
            label = f"{name}{jax.tree_util.keystr(path)}"
            raise TypeError(f"{label} must be an array, got {leaf!r}; pass a pytree of floating arrays.")
        array = jnp.asarray(leaf)
        return jnp.asarray(array, array.dtype)  # an explicit dtype makes it strongly typed

    return jax.tree.map_with_path(as_array, tree)


def position(name: str, tree: PyTree) -> None:
    """Raise unless the arrays of a position are floating and finite, and hold at least one number each."""
    leaves = jax.tree.leaves_with_path(tree)
    if not leaves:
        raise ValueError(f"{name} holds no array, got {tree!r}; pass a pytree of floating arrays.")
    for path, leaf in leaves:
        label = f"{name}{jax.tree_util.keystr(path)}"
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(f"{label} must be floating, got {leaf.dtype}; pass for instance {name}.astype(float).")
        if leaf.size == 0:
            raise ValueError(f"{label} is empty, of shape {leaf.shape}; pass at least one number.")
    finite(name, tree, remedy="start from finite numbers")


def integers_fit(name: str, array: object) -> None:
    """Raise if a NumPy array holds an integer that JAX would cut to 32 bits, as it does outside of `jax.enable_x64`."""
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, np.integer) or not array.size:
        return
    dtype = jax.dtypes.canonicalize_dtype(array.dtype)
    bounds = np.iinfo(dtype)
    if dtype == array.dtype or (bounds.min <= array.min() and array.max() <= bounds.max):
        return
    place = tuple(np.argwhere((array < bounds.min) | (array > bounds.max))[0])
    raise ValueError(
        f"{name}[{', '.join(map(str, place))}] is {array[place]}, which JAX would cut to {dtype}; number ids from 0 "
        "(np.unique with return_inverse=True), pass measurements as floats, or make the data and run inside "
        "`with jax.enable_x64():`."
    )


def same_structure(name: str, tree: PyTree, like: PyTree) -> None:
    """Raise unless `tree` has the structure and the shapes of the position `like`."""
    structure, expected = jax.tree.structure(tree), jax.tree.structure(like)
    if structure != expected:
        raise ValueError(
            f"{name} has the structure {structure} but the position has {expected}; pass one of that structure."
        )
    for (path, leaf), other in zip(jax.tree.leaves_with_path(tree), jax.tree.leaves(like), strict=True):
        if jnp.shape(leaf) != jnp.shape(other):
            label = f"{name}{jax.tree_util.keystr(path)}"
            raise ValueError(f"{label} has shape {jnp.shape(leaf)} but the position has {jnp.shape(other)} there.")


def leading_axis(name: str, tree: PyTree) -> int:
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


@contextmanager
def needs(extra: str | None, feature: str) -> Iterator[None]:
    """Turn a failed import within into an error that names the line which installs what is missing.

    `extra` is that of langevax; None names the missing package itself. Raises ImportError.

    Example:
        >>> with needs("plot", "plot_path"):
        ...     import absent
        Traceback (most recent call last):
        ImportError: plot_path needs the package absent, which is not installed; run: pip install 'langevax[plot]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "langevax":
            raise
        line = f"pip install 'langevax[{extra}]'" if extra else f"pip install {package}"
        message = f"{feature} needs the package {package}, which is not installed; run: {line}"
        raise ImportError(message, name=package) from None
