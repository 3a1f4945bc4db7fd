"""What travels: trees as lists of arrays, and what is refused when it arrives.

Both sides know the tree from the method and the model, so that names, nesting and code never travel: a record holds
leaves in order, serialised by Flower through NumPy's format with pickling off.
"""

import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from jaxtyping import PyTree

ARRAYS, WORDS = "arrays", "words"
"""The two records of each message and reply."""


class Refused(ValueError):
    """What arrived is not taken in; the message says why."""


def packed(tree: PyTree, names: list[str] | None = None) -> ArrayRecord:
    """The leaves of a tree, in order; numbered, or by `names`."""
    leaves = [Array(_storable(np.asarray(leaf))) for leaf in jax.tree.leaves(tree)]
    labels = [f"{i:06d}" for i in range(len(leaves))] if names is None else names
    return ArrayRecord(dict(zip(labels, leaves, strict=True)))


def names_of(record: ArrayRecord, like: PyTree) -> list[str]:
    """Names of arrays that a user hands over, in the order of the leaves of `like`: by its keys where `like` is a dict
    of these names, such as a module's parameters; else as they stand."""
    return sorted(record) if isinstance(like, dict) and sorted(like) == sorted(record) else list(record)


def unpacked(record: ArrayRecord, like: PyTree, names: list[str] | None = None) -> PyTree:
    """The tree of the shapes `like` from its leaves, in the order of their numbers or of `names`, as NumPy arrays.

    Raises:
        Refused: another number of arrays, a shape or a dtype that differs, bytes that are no array.
    """
    labelled, structure = jax.tree.flatten_with_path(like)
    names = sorted(record.keys()) if names is None else names
    if len(names) != len(labelled):
        raise Refused(f"it has {len(names)} arrays where {len(labelled)} belong")
    pairs = zip(names, labelled, strict=True)
    leaves = [_checked(record[name], shape, jax.tree_util.keystr(path)) for name, (path, shape) in pairs]
    return jax.tree.unflatten(structure, leaves)


def _checked(stored: Array, like: Any, label: str) -> np.ndarray:
    try:
        array = stored.numpy()
    except Exception as error:
        raise Refused(f"{label} is no array ({type(error).__name__})") from error
    wanted = np.dtype(like.dtype)
    if wanted.kind == "V" or wanted.name == "bfloat16":
        array = array.view(wanted) if array.dtype == f"u{wanted.itemsize}" else array
    if array.shape != like.shape or array.dtype != wanted:
        raise Refused(f"{label} has shape {array.shape} and dtype {array.dtype}, not {like.shape} and {wanted}")
    return array


def _storable(array: np.ndarray) -> np.ndarray:
    """Dtypes that NumPy's format does not know, bfloat16 among them, as integers of their size."""
    return array.view(f"u{array.dtype.itemsize}") if array.dtype.isbuiltin != 1 else array


def norm(tree: PyTree) -> float:
    """Euclidean, over all numbers; infinite where one is not finite.

    Raises:
        Refused: a number that is not finite, named by its leaf.
    """
    total = 0.0
    for path, leaf in jax.tree.leaves_with_path(tree):
        wide = np.asarray(leaf, np.float64).ravel()
        square = float(wide @ wide)
        if not np.isfinite(square):
            wrong = np.flatnonzero(~np.isfinite(wide))
            where = f"{wide[wrong[0]]} at {wrong[0]}" if len(wrong) else "numbers too large to square"
            raise Refused(f"{jax.tree_util.keystr(path)} is not finite: {len(wrong)} of {wide.size} numbers, {where}")
        total += square
    return total**0.5


def content(words: dict[str, Any], arrays: ArrayRecord | None = None) -> RecordDict:
    """A message or reply: words, and arrays where there are any."""
    record = ConfigRecord({name: value for name, value in words.items() if value is not None})
    return RecordDict({WORDS: record} if arrays is None else {WORDS: record, ARRAYS: arrays})


def words_of(records: RecordDict, name: str = WORDS) -> dict[str, Any]:
    """Its words.

    Raises:
        Refused: there are none.
    """
    record = records.get(name)
    if not isinstance(record, ConfigRecord):
        raise Refused("it is no message of langevax's")
    return dict(record.items())


def arrays_of(records: RecordDict) -> ArrayRecord:
    """Its arrays.

    Raises:
        Refused: there are none.
    """
    record = records.get(ARRAYS)
    if not isinstance(record, ArrayRecord):
        raise Refused("it carries no arrays")
    return record


def metrics(numbers: Mapping[str, Any]) -> MetricRecord:
    """Numbers by name, as Flower keeps them."""
    return MetricRecord({**numbers})


def text(described: dict[str, str]) -> str:
    """What a run is, as one string."""
    return json.dumps(described, sort_keys=True)


def difference(ours: str, theirs: str) -> str | None:
    """The first thing in which two such strings differ, in words; None where they agree."""
    if ours == theirs:
        return None
    try:
        here, there = json.loads(ours), dict(json.loads(theirs))
    except (ValueError, TypeError):
        return "it does not say which algorithm it belongs to"
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            return f"{name} is {there.get(name, 'absent')} there and {here.get(name, 'absent')} here"
    return None
