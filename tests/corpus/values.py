"""Values that users pass in place of a valid one: the same number in another form, or what has to be refused."""

import datetime
import decimal
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import polars
import scipy.sparse


class Kind(Enum):
    """Values that an argument takes."""

    COUNT = auto()
    OPTIONAL_COUNT = auto()
    COUNTS = auto()
    LABELS = auto()
    POSITIVE = auto()
    NON_NEGATIVE = auto()
    OPTIONAL_NUMBER = auto()
    FRACTION = auto()
    SHARE = auto()
    BOUND = auto()
    WORD = auto()
    FLAG = auto()
    KEY = auto()
    FUNCTION = auto()
    OPTIONAL_FUNCTION = auto()
    OBJECT = auto()
    OPTIONAL_OBJECT = auto()
    PATH = auto()
    ARRAY = auto()
    VECTOR = auto()
    TREE = auto()
    """An array, where a list is a pytree of several."""
    SPARSE_OR_DENSE = auto()
    CLASSES = auto()
    """Labels that may be words."""


COUNT, OPTIONAL_COUNT, POSITIVE, NON_NEGATIVE = (
    Kind.COUNT,
    Kind.OPTIONAL_COUNT,
    Kind.POSITIVE,
    Kind.NON_NEGATIVE,
)
WORD, FLAG, KEY, FUNCTION, OBJECT, PATH = (
    Kind.WORD,
    Kind.FLAG,
    Kind.KEY,
    Kind.FUNCTION,
    Kind.OBJECT,
    Kind.PATH,
)
ARRAY, VECTOR, TREE = Kind.ARRAY, Kind.VECTOR, Kind.TREE

NUMBERS = (
    Kind.POSITIVE,
    Kind.NON_NEGATIVE,
    Kind.OPTIONAL_NUMBER,
    Kind.FRACTION,
    Kind.SHARE,
    Kind.BOUND,
)
ARRAYS = (
    Kind.ARRAY,
    Kind.VECTOR,
    Kind.LABELS,
    Kind.COUNTS,
    Kind.TREE,
    Kind.SPARSE_OR_DENSE,
    Kind.CLASSES,
)

SOMETHING = object()


def refused(kind: Kind, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and values that no argument of this kind takes."""
    yield "an object", SOMETHING
    if kind in (Kind.COUNT, Kind.OPTIONAL_COUNT):
        yield from {
            "negative": -1,
            "a share": 2.5,
            "digits": "3",
            "nan": float("nan"),
            "a list": [3],
            "bytes": b"3",
        }.items()
        yield from {
            "True": True,
            "an array": np.array([3, 4]),
            "a decimal": decimal.Decimal("2.5"),
        }.items()
    if kind in NUMBERS:
        yield from {
            "digits": "0.1",
            "nan": float("nan"),
            "complex": 1j,
            "bytes": b"1",
            "a list of words": ["a"],
        }.items()
        yield from {
            "True": True,
            "a decimal": decimal.Decimal("0.1"),
            "a date": datetime.date(2020, 1, 1),
        }.items()
        yield "an array of words", np.array(["a", "b"])
    if kind in NUMBERS and kind is not Kind.BOUND:
        yield from {
            "negative": -1.0,
            "infinite": float("inf"),
            "minus infinity": -float("inf"),
        }.items()
    if kind is Kind.POSITIVE:
        yield "zero", 0.0
    if kind in (Kind.FRACTION, Kind.SHARE):
        yield "above one", 1.5
    if kind is Kind.WORD:
        yield from {
            "another word": "no such word",
            "empty": "",
            "a number": 3,
            "bytes": b"full",
            "a list": ["a"],
        }.items()
    if kind is Kind.FLAG:
        yield from {
            "a word": "yes",
            "a number": 2,
            "None": None,
            "an array": np.array([True, False]),
        }.items()
    if kind is Kind.KEY:
        yield from {
            "a seed": 0,
            "None": None,
            "a word": "key",
            "numbers": np.zeros(2, np.uint32),
        }.items()
        yield from {
            "an old key": jax.random.PRNGKey(0),
            "two keys": jax.random.split(jax.random.key(0)),
        }.items()
    if kind in (Kind.FUNCTION, Kind.OPTIONAL_FUNCTION):
        yield from {"a number": 3, "a word": "loss", "an array": np.ones(3)}.items()
    if kind in (Kind.OBJECT, Kind.OPTIONAL_OBJECT):
        yield from {
            "a number": 3,
            "a word": "nothing",
            "an array": np.ones(3),
            "a class": dict,
        }.items()
    if kind is Kind.PATH:
        yield from {
            "a number": 3,
            "a list": [3],
            "a bucket": "gs://bucket/table",
        }.items()
    if (
        kind
        in (
            Kind.COUNT,
            Kind.FUNCTION,
            Kind.OBJECT,
            Kind.PATH,
            *NUMBERS,
            Kind.ARRAY,
            Kind.TREE,
        )
        and kind is not Kind.OPTIONAL_NUMBER
    ):
        yield "None", None
    if kind in ARRAYS:
        yield from refused_arrays(kind, np.asarray(value))


def refused_arrays(kind: Kind, value: np.ndarray) -> Iterator[tuple[str, Any]]:
    """Yield what an array cannot be made of, or what a conversion would change."""
    words = value.astype(str)
    yield "a word", "numbers"
    if kind is not Kind.CLASSES:
        yield from {"words": words, "a list of words": words.tolist()}.items()
    yield "objects", np.full(value.shape, SOMETHING)
    yield (
        "mixed objects",
        np.array([*value.ravel().tolist()[:-1], "last"], object).reshape(value.shape),
    )
    yield (
        "dates",
        value.astype("datetime64[D]")
        if value.dtype.kind in "iu"
        else value.astype(int).astype("datetime64[D]"),
    )
    yield "durations", value.astype(int).astype("timedelta64[s]")
    yield "complex", value + 1j
    yield "no rows", value[:0]
    if kind is not Kind.TREE:
        yield "a ragged list", [[1.0, 2.0], [3.0]]
    yield "a generator", (row for row in value)
    yield "a dictionary of words", {"a": "b"}
    yield (
        "masked",
        np.ma.masked_array(value, np.arange(value.size).reshape(value.shape) == 1),
    )
    if value.ndim == 2 and kind is not Kind.SPARSE_OR_DENSE:
        yield "sparse", scipy.sparse.csr_matrix(value)
    if value.dtype.kind == "f":
        for name, number in (("nan", np.nan), ("infinity", np.inf)):
            changed = value.copy()
            changed.flat[-1] = number
            yield f"with {name}", changed
        yield "a frame of words", pandas.DataFrame({"a": ["b"] * len(value)})
    if kind is Kind.COUNTS:
        yield "negative", -1 - np.abs(value)


def equal(kind: Kind, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield other ways to write a valid value, on which a call is right or refuses."""
    if kind in (Kind.COUNT, Kind.OPTIONAL_COUNT):
        yield from {
            "int64": np.int64(value),
            "int32": np.int32(value),
            "uint8": np.uint8(value),
        }.items()
        yield from {"a float": float(value), "an array": np.array(value)}.items()
    if kind in NUMBERS:
        yield from {
            "float64": np.float64(value),
            "float32": np.float32(value),
            "of JAX": jnp.float32(value),
        }.items()
        yield from {"float16": np.float16(value), "an array": np.array(value)}.items()
        if float(value).is_integer():
            yield "an int", int(value)
    if kind is Kind.WORD:
        yield "a word of NumPy", np.str_(value)
    if kind is Kind.FLAG:
        yield "a flag of NumPy", np.bool_(value)
    if kind in ARRAYS:
        array = np.asarray(value)
        if kind is not Kind.TREE:
            yield from {
                "a list": array.tolist(),
                "a tuple": tuple(array.tolist()),
            }.items()
        yield "of JAX", jnp.asarray(array)
        yield "big-endian", array.astype(array.dtype.newbyteorder(">"))
        yield "by columns", np.asfortranarray(array)
        yield "a strided view", np.repeat(array, 2, axis=0)[::2]
        yield "read-only", _read_only(array)
        yield "masked, nothing masked", np.ma.masked_array(array)
        yield "objects that are numbers", array.astype(object)
        if array.ndim == 1:
            yield from {
                "a series of pandas": pandas.Series(array),
                "of polars": polars.Series(array),
            }.items()
            yield (
                "a series with another index",
                pandas.Series(array, index=range(len(array) + 5, 5, -1)),
            )
        if array.ndim == 2:
            yield from {
                "a frame of pandas": pandas.DataFrame(array),
                "a frame of polars": polars.DataFrame(array),
            }.items()


def _read_only(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy
