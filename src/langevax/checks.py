"""Checks of a user's arguments and installation: each names the argument, the value and the remedy.

They read only concrete values; inside a traced function the same objects are rebuilt unchecked.
"""

import math
import os
from typing import Any, ParamSpec, TypeVar
from weakref import WeakValueDictionary

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from langevax._typing import PyTree
from langevax.imports import needs as needs
from langevax.platforms import not_forked
from langevax.storage import local_path as local_path

Value = TypeVar("Value", bound=ArrayLike)
Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

LONGEST_VALUE = 60  # letters of a value in a message
LARGEST_INT = 2**31 - 1  # steps, rows and batches are counted in 32 bits

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


def shown(value: object) -> str:
    """Return a value for a message, on one line: numbers and words as they are written, others by what they are.

    >>> shown(np.float64(0.5)), shown("svrg"), shown(np.zeros((2, 3))), shown(object())
    ('0.5', "'svrg'", 'an array of float64 of shape (2, 3)', 'an object')
    """
    value = value.item() if isinstance(value, np.generic) else value
    dtype = getattr(value, "dtype", None)
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        is_array = isinstance(value, np.ndarray | jax.Array) and not isinstance(
            value, np.ma.MaskedArray
        )
        kind = "an array" if is_array else f"a {type(value).__name__}"
        return f"{kind}{'' if dtype is None else f' of {dtype}'} of shape {shape}"
    text = repr(value)
    if (
        len(text) <= LONGEST_VALUE
        and "\n" not in text
        and " at 0x" not in text
        and "np." not in text
    ):
        return text
    return _with_article(type(value).__name__)


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiouAEIO' else 'a'} {noun}"


def number(
    name: str,
    value: object,
    *,
    positive: bool = False,
    schedule: bool = False,
    auto: bool = False,
    most: float = math.inf,
) -> None:
    """Raise unless `value` is a finite number >= 0 (> 0 with `positive`) or an array of such, up to `most`.

    `schedule` allows functions of the step as well, and `auto` the word "auto".
    """
    if (
        (auto and is_auto(value))
        or (schedule and callable(value))
        or not is_concrete(value)
    ):
        return
    bound = "> 0" if positive else ">= 0"
    if not is_real(value):
        kinds = " or ".join(
            ["a number", *["a schedule of the step"] * schedule, *["'auto'"] * auto]
        )
        raise TypeError(
            f"{name} must be {kinds}, got {shown(value)}; pass a float {bound}."
        )
    values = np.asarray(value)
    good = np.isfinite(values) & (values > 0 if positive else values >= 0)
    if not good.all():
        worst = values[~good].flat[0]
        raise ValueError(
            f"{name} must be finite and {bound}, got {worst}; pass a number {bound}."
        )
    if np.any(values > most):
        raise ValueError(
            f"{name} must be at most {most:.4g}, got {values.max()}; pass a number in "
            f"(0, {most:.4g}]."
        )


def one_number(
    name: str,
    value: object,
    *,
    positive: bool = False,
    auto: bool = False,
) -> None:
    """Raise unless `value` is one number, as in `number`, or a schedule; `auto` allows the word "auto" as well."""
    number(name, value, positive=positive, schedule=True, auto=auto)
    if isinstance(value, np.ndarray | jax.Array) and value.ndim:
        raise ValueError(
            f"{name} must be one number, got an array of shape {value.shape}; pass a "
            "float."
        )


def is_real(value: object) -> bool:
    """True for real numbers and arrays of them; booleans are not numbers."""
    if isinstance(value, int | float):
        return not isinstance(value, bool)
    if not isinstance(value, np.ndarray | np.generic | jax.Array):
        return False
    return any(
        jnp.issubdtype(value.dtype, kind) for kind in (jnp.integer, jnp.floating)
    )


def numbers(name: str, tree: PyTree) -> None:
    """Raise unless every leaf is a finite number >= 0 or an array of such, and there is one."""
    if not jax.tree.leaves(tree):
        raise TypeError(
            f"{name} holds no number, got {shown(tree)}; pass a float >= 0."
        )
    for leaf in jax.tree.leaves(tree):
        number(name, leaf)


def flag(name: str, value: object) -> None:
    """Raise unless `value` is a boolean."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(
            f"{name} must be True or False, got {shown(value)}; pass a boolean."
        )


def instance(
    name: str,
    value: object,
    kind: type | tuple[type, ...],
    example: str,
) -> None:
    """Raise unless `value` is of a kind, of which `example` is one."""
    if not isinstance(value, kind):
        kinds = " or ".join(
            _with_article(k.__name__)
            for k in (kind if isinstance(kind, tuple) else (kind,))
        )
        raise TypeError(
            f"{name} must be {kinds}, got {shown(value)}; pass for instance {example}."
        )


def function(
    name: str,
    value: object,
    signature: str,
    *,
    optional: bool = False,
) -> None:
    """Raise unless `value` can be called; `optional` allows None as well."""
    if not (callable(value) or (optional and value is None)):
        words = "a function or None" if optional else "a function"
        raise TypeError(
            f"{name} must be {words}, got {shown(value)}; pass {name}{signature}."
        )


def stops(name: str, answer: object) -> bool:
    """Return whether the answer of the callback `name` stops a run; raise unless it is a boolean or None."""
    if answer is None or isinstance(answer, bool):
        return bool(answer)
    if (
        isinstance(answer, np.ndarray | np.generic | jax.Array)
        and answer.dtype == bool
        and answer.shape == ()
    ):
        return bool(answer)
    raise TypeError(
        f"{name} must return a boolean or None, got {shown(answer)}; return True to "
        "stop the run."
    )


def scalar(name: str, value: Value, remedy: str) -> Value:
    """Return what a user's function returned; raise unless it is a scalar."""
    if not isinstance(
        value,
        jax.Array
        | np.ndarray
        | np.number
        | np.bool
        | bool
        | int
        | float
        | complex
        | list
        | tuple,
    ):
        raise TypeError(
            f"{name} must return a scalar, got {shown(value)}; return its value, a "
            "number."
        )
    if jnp.shape(value) != ():
        raise ValueError(
            f"{name} must return a scalar, got shape {jnp.shape(value)}; {remedy}."
        )
    return value


def fraction(
    name: str,
    value: object,
    *,
    schedule: bool = False,
    auto: bool = False,
) -> None:
    """Raise unless `value` is a number in (0, 1]; `schedule` and `auto` as in `number`."""
    number(name, value, positive=True, schedule=schedule, auto=auto, most=1.0)


def share(name: str, value: object) -> None:
    """Raise unless `value` is a number in [0, 1)."""
    number(name, value)
    if is_concrete(value) and not np.all(np.asarray(value) < 1):
        raise ValueError(
            f"{name} must be below 1, got {value}; pass a number in [0, 1)."
        )


def one_of(name: str, value: object, options: tuple[str, ...]) -> None:
    """Raise unless `value` is one of the words in `options`."""
    if value not in options:
        *first, last = map(repr, options)
        raise ValueError(
            f"{name} must be {', '.join(first)} or {last}, got {shown(value)}."
        )


def all_positive(name: str, values: np.ndarray, remedy: str) -> None:
    """Raise unless all values of a vector are finite and > 0, naming the first that is not."""
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(bad):
        raise ValueError(
            f"{name} must be finite and > 0, but number {bad[0]} is {values[bad[0]]}; "
            f"{remedy}."
        )


def is_auto(value: object) -> bool:
    """True for "auto", by which a user leaves a choice to the library."""
    return isinstance(value, str) and value == "auto"


def whole(
    name: str,
    value: object,
    *,
    minimum: int = 1,
    maximum: int = LARGEST_INT,
) -> int:
    """Return a count as an int, whichever kind of integer it is; raise unless it lies in these bounds."""
    if (
        isinstance(value, np.ndarray | jax.Array)
        and value.shape == ()
        and jnp.issubdtype(value.dtype, jnp.integer)
    ):
        value = int(value)
    positive_int(name, value, minimum=minimum, maximum=maximum)
    return int(value)  # pyright: ignore[reportArgumentType]


def positive_int(
    name: str,
    value: object,
    *,
    minimum: int = 1,
    maximum: int = LARGEST_INT,
    auto: bool = False,
) -> None:
    """Raise unless `value` is an int in these bounds; `auto` allows the word "auto" as well."""
    if auto and is_auto(value):
        return
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        kinds = "an int or 'auto'" if auto else "an int"
        raise TypeError(
            f"{name} must be {kinds}, got {shown(value)} of type "
            f"{type(value).__name__}; pass an int."
        )
    if value < minimum:
        raise ValueError(
            f"{name} must be at least {minimum}, got {value}; pass an int >= {minimum}."
        )
    if value > maximum:
        raise ValueError(
            f"{name} must be at most {maximum}, got {value}; pass an int <= {maximum}."
        )


def fits_memory(name: str, count: int, bytes_each: int) -> None:
    """Raise unless `count` items of `bytes_each` fit the memory of this machine's processes or devices."""
    needed = count * bytes_each
    if needed <= 2**28:  # too small to measure anything
        return
    host = 0
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    devices = sum(
        (device.memory_stats() or {}).get("bytes_limit", 0)
        for device in jax.local_devices()
    )
    memory = max(host, devices) * jax.process_count()
    if memory and needed > memory:
        raise ValueError(
            f"{name} is {count}, which needs {needed / 1e9:,.0f} GB of memory where "
            f"there are {memory / 1e9:,.0f} GB; pass at most {memory // bytes_each}, "
            "and fewer in practice."
        )


def typed_key(key: object, name: str = "key") -> None:
    """Raise unless `key` is one typed key, as `jax.random.key(0)` makes, and JAX can run in this process."""
    not_forked()
    if not (
        isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    ):
        kind = (
            "an old-style uint32 key"
            if getattr(key, "dtype", None) == np.uint32
            else f"{type(key).__name__}"
        )
        remedy = (
            "jax.random.wrap_key_data(old_key)"
            if kind.startswith("an old")
            else "jax.random.key(seed)"
        )
        raise TypeError(f"{name} must be a typed key, got {kind}; pass {remedy}.")
    if key.shape != ():
        raise ValueError(
            f"{name} must be one key, got an array of keys of shape {key.shape}; pass "
            "one of them."
        )


def finite(name: str, tree: PyTree, *, remedy: str) -> None:
    """Raise if a floating leaf holds NaN or infinity, naming the leaf and where it is."""
    for path, leaf in jax.tree.leaves_with_path(tree):
        if (
            not is_concrete(leaf)
            or known_finite(leaf)
            or not jnp.issubdtype(leaf.dtype, jnp.inexact)
        ):
            continue
        if not _sum_is_finite(
            leaf
        ):  # a sum is one fast pass; only where it is not finite are entries searched
            bad = np.argwhere(~np.isfinite(np.asarray(leaf)))
            if len(bad):
                place = (
                    f"{name}{jax.tree_util.keystr(path)}[{', '.join(map(str, bad[0]))}]"
                )
                value = np.asarray(leaf)[tuple(bad[0])]
                raise ValueError(
                    f"{place} is {value} ({len(bad)} non-finite entries); {remedy}."
                )


def _sum_is_finite(leaf: jax.Array | np.ndarray) -> bool:
    """On the host where the numbers lie there: that needs no program for each shape."""
    if isinstance(leaf, jax.Array) and any(
        device.platform != "cpu" for device in leaf.devices()
    ):
        return bool(jnp.isfinite(jnp.sum(leaf)))
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.sum(np.asarray(leaf))))


def arrays(name: str, tree: PyTree) -> PyTree:
    """Return numbers and arrays as arrays that keep their dtype among others; raise where a leaf is neither."""

    def as_array(path: tuple[Any, ...], leaf: object) -> jax.Array:
        label = f"{name}{jax.tree_util.keystr(path)}"
        if hasattr(leaf, "__array__") and not isinstance(leaf, jax.Array | np.generic):
            leaf = plain_array(label, leaf, complete=False)
            numbers_fit(label, leaf)
        if not eqx.is_array_like(leaf):
            raise TypeError(
                f"{label} must be an array, got {shown(leaf)}; pass a pytree of "
                "floating arrays."
            )
        array = jnp.asarray(leaf)
        return jnp.asarray(
            array, array.dtype
        )  # an explicit dtype makes it strongly typed

    return jax.tree.map_with_path(as_array, tree)


def position(name: str, tree: PyTree) -> None:
    """Raise unless the arrays of a position are floating and finite, and hold at least one number each."""
    leaves = jax.tree.leaves_with_path(tree)
    if not leaves:
        raise ValueError(
            f"{name} holds no array, got {shown(tree)}; pass a pytree of floating "
            "arrays."
        )
    for path, leaf in leaves:
        label = f"{name}{jax.tree_util.keystr(path)}"
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"{label} must be floating, got {leaf.dtype}; pass for instance "
                f"{name}.astype(float)."
            )
        if leaf.size == 0:
            raise ValueError(
                f"{label} is empty, of shape {leaf.shape}; pass at least one number."
            )
    finite(name, tree, remedy="start from finite numbers")


def plain_array(name: str, value: object, *, complete: bool = True) -> np.ndarray:
    """Return real numbers as a NumPy array in the byte order of this machine; raise where they are not such.

    Arrays of NumPy and JAX, lists, and the columns and tables of pandas and polars are numbers in other clothes.
    Words, dates, objects, complex numbers, masked entries and sparse matrices are not: NumPy would convert some of
    them in silence. `complete` refuses empty arrays as well.
    """
    remedy = "pass an array of floats"
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.getmaskarray(value).any():
            raise ValueError(
                f"{name} has masked entries; fill them, by {name}.filled(number), or "
                "drop their rows."
            )
        value = np.ma.getdata(value)
    if hasattr(value, "toarray"):
        raise TypeError(
            f"{name} must be an array of numbers, got {shown(value)}; pass "
            f"{name}.toarray()."
        )
    if not (
        hasattr(value, "__array__")
        or isinstance(value, int | float | complex | list | tuple)
    ):
        raise TypeError(
            f"{name} must be an array of numbers, got {shown(value)}; {remedy}."
        )
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be an array of numbers, got rows of different lengths; "
            f"{remedy}."
        ) from None
    if (
        not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool)
        or array.dtype.kind in "cm"
    ):
        kinds = {
            "O": "Python objects",
            "U": "words",
            "S": "bytes",
            "M": "dates",
            "m": "durations",
            "c": "complex numbers",
        }
        kind = kinds.get(array.dtype.kind, str(array.dtype))
        raise TypeError(
            f"{name} must be an array of real numbers, but holds {kind}; {remedy}."
        )
    if complete and array.size == 0:
        raise ValueError(
            f"{name} is empty, of shape {array.shape}; pass at least one number."
        )
    return (
        array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    )


def real_array(name: str, value: object) -> np.ndarray:
    """Return `plain_array` in float64."""
    return plain_array(name, value).astype(np.float64)


def numbers_fit(name: str, array: object) -> None:
    """Raise if a NumPy array holds a number that 32 bits cannot, to which JAX cuts it outside of `jax.enable_x64`."""
    if (
        not isinstance(array, np.ndarray)
        or array.dtype.kind not in "iuf"
        or not array.size
    ):
        return
    dtype = jax.dtypes.canonicalize_dtype(array.dtype)
    is_float = array.dtype.kind == "f"
    bounds = jnp.finfo(dtype) if is_float else np.iinfo(dtype)
    if dtype == array.dtype or (
        bounds.min <= array.min() and array.max() <= bounds.max
    ):
        return
    too_large = ((array < bounds.min) | (array > bounds.max)) & np.isfinite(array)
    if not too_large.any():  # nan and infinity stay what they are
        return
    place = tuple(np.argwhere(too_large)[0])
    remedy = (
        "divide the column by a constant, drop the row if the number is an error,"
        if is_float
        else (
            "number ids from 0 (np.unique with return_inverse=True), pass measurements "
            "as floats,"
        )
    )
    raise ValueError(
        f"{name}[{', '.join(map(str, place))}] is {array[place]}, which JAX would cut "
        f"to {dtype}; {remedy} or make the data and run inside `with "
        "jax.enable_x64():`."
    )


def defined_start(state: object) -> None:
    """Raise where a Metropolis method starts at a potential of NaN: it would reject every proposal."""
    for name in ("potential", "value"):
        number = getattr(state, name, None)
        if (
            isinstance(number, jax.Array)
            and number.is_fully_addressable
            and bool(jnp.any(jnp.isnan(number)))
        ):
            raise ValueError(
                f"the {name} at start is NaN; pass a start at which the problem is "
                "finite."
            )


def line(text: str, length: int = 300) -> str:
    """Return words from elsewhere as one line that is not long and moves no cursor.

    >>> line("a\\nb" + "c" * 999, length=5)
    'a bcc...'
    """
    words = "".join(c if c.isprintable() else " " for c in text[: length + 1])
    return words if len(words) <= length else f"{words[:length]}..."


def first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of its message."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


def same_structure(name: str, tree: PyTree, like: PyTree) -> None:
    """Raise unless `tree` has the structure and the shapes of the position `like`."""
    structure = jax.tree.structure(tree)
    expected = jax.tree.structure(like)
    if structure != expected:
        raise ValueError(
            f"{name} has the structure {structure} but the position has {expected}; "
            "pass one of that structure."
        )
    for (path, leaf), other in zip(
        jax.tree.leaves_with_path(tree), jax.tree.leaves(like), strict=True
    ):
        if jnp.shape(leaf) != jnp.shape(other):
            label = f"{name}{jax.tree_util.keystr(path)}"
            raise ValueError(
                f"{label} has shape {jnp.shape(leaf)} but the position has "
                f"{jnp.shape(other)} there."
            )


def leading_axis(name: str, tree: PyTree) -> int:
    """The common length of axis 0 of all leaves; raise if there are none, they disagree or it is 0."""
    leaves = jax.tree.leaves_with_path(tree)
    if not leaves:
        raise ValueError(
            f"{name} holds no array, got {shown(tree)}; pass arrays with one row per "
            "component."
        )
    lengths = {}
    for path, leaf in leaves:
        label = f"{name}{jax.tree_util.keystr(path)}"
        if not hasattr(leaf, "shape") or leaf.shape == ():
            raise ValueError(
                f"{label} must have a leading axis of rows, got {shown(leaf)}; pass an "
                "array."
            )
        lengths[label] = leaf.shape[0]
    if len(set(lengths.values())) > 1:
        listing = ", ".join(f"{label}: {length}" for label, length in lengths.items())
        raise ValueError(
            f"the leading axes of {name} disagree ({listing}); pass the same number of "
            "rows in each."
        )
    (length,) = set(lengths.values())
    if length == 0:
        raise ValueError(f"{name} is empty (0 rows); pass at least one row.")
    return length
