"""Message encoding: trees as lists of arrays, checked on arrival.

Both sides know the tree from the method and the model, so that names, nesting and code never travel: a record holds
leaves in order, serialised by Flower through NumPy's format with pickling off.
"""

import json
from math import isfinite
from typing import Any

import jax
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from langevax import checks
from langevax._typing import PyTree
from langevax.federated.rounds import FEDERATED_COUNTS
from langevax.run.identity import describe

LOSS_METRIC = "loss"
METRIC_PREFIX = "metric."  # and its name: a field of a client's reply
SERVER_PREFIX = "server/"  # and its name: a metric of the server in a `RoundRecord`
INTRODUCTION = {"partition": int, "rows": int, "num-partitions": int, "algorithm": str}
EXCHANGE = {"run": str, "number": int, "exchange": str, "partition": int}
EVALUATION = {"partition": int, "rows": int}
"""Fields that each message of a client has, with their types; `checked` says what else it may have."""


class Rejected(ValueError):
    """A message or reply that is not accepted, with the reason, which may quote the other side."""

    def __init__(self, reason: str):
        super().__init__(checks.line(reason))


def checked(fields: dict[str, Any], schema: dict[str, type]) -> dict[str, Any]:
    """Return the fields of a client's message; one that breaks the schema is `Rejected`.

    Whole numbers are exact in float64, a loss is finite, a metric is a number under a name of its own, and no word is
    longer than an algorithm's description can be. Fields of other names are not read.
    """
    for name in schema.keys() - fields.keys():
        raise Rejected(f"its {name!r} is missing")
    kinds = {LOSS_METRIC: float, "lost": bool} | schema
    for name, value in fields.items():
        metric = name.removeprefix(METRIC_PREFIX)
        kind = kinds.get(name, float if metric != name else type(value))
        if type(value) is not kind:
            got = checks.shown(value)
            raise Rejected(f"its {name!r} is {got}, not of type {kind.__name__}")
        if (kind is int and abs(value) > 2**53) or (
            name == LOSS_METRIC and not isfinite(value)
        ):
            raise Rejected(f"its {name!r} is {value}, not finite or too large")
        if kind is str and len(value) > 10**5:
            raise Rejected(f"its {name!r} has {len(value)} characters")
        if metric != name and (fault := fault_of_metric(metric)):
            raise Rejected(fault)
    return fields


def fault_of_metric(name: str) -> str | None:
    """Return why a client's metric may not have this name: langevax uses it, or it fits no line of a log."""
    if name in (LOSS_METRIC, *FEDERATED_COUNTS) or name.startswith(SERVER_PREFIX):
        return (
            f"a client's metrics include {name!r}, a name that langevax uses; give it "
            "another."
        )
    if name != checks.line(name):
        return (
            f"a client's metrics include {checks.line(name)!r}; names have at most 300 "
            "printable characters."
        )
    return None


def pack(tree: PyTree, names: list[str] | None = None) -> ArrayRecord:
    """The leaves of a tree in order, numbered or by `names`."""
    leaves = [Array(_storable(np.asarray(leaf))) for leaf in jax.tree.leaves(tree)]
    labels = [f"{i:06d}" for i in range(len(leaves))] if names is None else names
    return ArrayRecord(dict(zip(labels, leaves, strict=True)))


def names_of(record: ArrayRecord, like: PyTree) -> list[str]:
    """Names of a user's arrays in the order of the leaves of `like`: by key if `like` is a dict of these names, such as
    a module's parameters; else as they stand."""
    return (
        sorted(record)
        if isinstance(like, dict) and sorted(like) == sorted(record)
        else list(record)
    )


def unpack(record: ArrayRecord, like: PyTree, names: list[str] | None = None) -> PyTree:
    """The tree with the shapes of `like` from its leaves, in the order of their numbers or of `names`, as NumPy arrays.

    Another number of arrays, another shape or dtype, and bytes that are not an array are `Rejected`.
    """
    labelled, structure = jax.tree.flatten_with_path(like)
    names = sorted(record.keys()) if names is None else names
    if len(names) != len(labelled):
        raise Rejected(f"it has {len(names)} arrays instead of {len(labelled)}")
    pairs = zip(names, labelled, strict=True)
    leaves = [
        _checked(record[name], shape, jax.tree_util.keystr(path))
        for name, (path, shape) in pairs
    ]
    return jax.tree.unflatten(structure, leaves)


def _checked(stored: Array, like: Any, label: str) -> np.ndarray:
    try:
        array = np.asarray(stored.numpy())  # of an archive: an array of objects
    except Exception as error:
        raise Rejected(f"{label} is not an array ({type(error).__name__})") from error
    dtype = np.dtype(like.dtype)
    if dtype.kind == "V" or dtype.name == "bfloat16":
        array = array.view(dtype) if array.dtype == f"u{dtype.itemsize}" else array
    if array.shape != like.shape or array.dtype != dtype:
        raise Rejected(
            f"{label} has shape {array.shape} and dtype {array.dtype}, not "
            f"{like.shape} and {dtype}"
        )
    return array


def _storable(array: np.ndarray) -> np.ndarray:
    """Dtypes unknown to NumPy's format, such as bfloat16, as integers of their size."""
    return (
        array.view(f"u{array.dtype.itemsize}") if array.dtype.isbuiltin != 1 else array
    )


def norm(tree: PyTree) -> float:
    """The Euclidean norm over all numbers; one that is not finite is `Rejected`, named by its leaf."""
    total = 0.0
    for path, leaf in jax.tree.leaves_with_path(tree):
        wide = np.asarray(leaf, np.float64).ravel()
        square = float(wide @ wide)
        if not np.isfinite(square):
            wrong = np.flatnonzero(~np.isfinite(wide))
            where = (
                f"{wide[wrong[0]]} at {wrong[0]}"
                if len(wrong)
                else "numbers too large to square"
            )
            raise Rejected(
                f"{jax.tree_util.keystr(path)} is not finite: {len(wrong)} of "
                f"{wide.size} numbers, {where}"
            )
        total += square
    return total**0.5


def content(fields: dict[str, Any], arrays: ArrayRecord | None = None) -> RecordDict:
    """The content of a message or reply; fields that are None are left out."""
    record = ConfigRecord(
        {name: value for name, value in fields.items() if value is not None}
    )
    return RecordDict(
        {"fields": record} if arrays is None else {"fields": record, "arrays": arrays}
    )


def fields_of(records: RecordDict, name: str = "fields") -> dict[str, Any]:
    """The fields of a message or reply; one without is `Rejected`."""
    record = records.get(name)
    if not isinstance(record, ConfigRecord):
        raise Rejected("it is not a langevax message")
    return dict(record.items())


def arrays_of(records: RecordDict) -> ArrayRecord:
    """The arrays of a message or reply; one without is `Rejected`."""
    record = records.get("arrays")
    if not isinstance(record, ArrayRecord):
        raise Rejected("it has no arrays")
    return record


def description(**parts: PyTree) -> str:
    """Return what a run is made of, as one string."""
    return json.dumps(describe(parts), sort_keys=True)


def difference(ours: str, theirs: str) -> str | None:
    """The first difference between two descriptions, in words; None where they agree."""
    if ours == theirs:
        return None
    try:
        here = json.loads(ours)
        there = dict(json.loads(theirs))
    except (ValueError, TypeError, RecursionError):
        return "it does not state its algorithm"
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            return (
                f"{name} is {there.get(name, 'absent')} there and "
                f"{here.get(name, 'absent')} here"
            )
    return None
