"""What is to be predicted: the task, the classes, and the rows that have a target at all."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from langevax.cli.errors import BadInput, count, listing, nearest
from langevax.cli.tables.columns import as_kind, as_words, kind_of

Task = Literal["regression", "classification"]

FEW_INTEGERS = 10  # distinct integers up to which they are classes
ROWS_PER_INTEGER = 5  # at least, on average, where there are more than two
CLASS_SHARE = 0.5  # of the rows: a target of words with more classes identifies its rows


@dataclass(frozen=True)
class Target:
    """The target of the rows that have one."""

    task: Task
    reason: str
    """Why it was taken for this task, in a few words."""
    rows: np.ndarray
    """Indices of the rows that have a target."""
    values: np.ndarray
    """Numbers, or indices into `classes`."""
    classes: tuple[str | int, ...]
    numeric: bool
    """Whether its values are numbers, so that either task could be meant."""


def read_target(frame: pl.DataFrame, name: str, task: Task | None) -> Target:
    """The target column as numbers or classes; raise `BadInput` where there is nothing to learn."""
    if name not in frame.columns:
        raise BadInput(f"--target {name!r} is no column of the table; {nearest(name, frame.columns)}")
    column = frame[name]
    where = f"--target {name!r}"
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        raise BadInput(f"{where} holds {column.dtype}; name a column of numbers or words.")
    kind = kind_of(column)
    if kind == "date":
        raise BadInput(f"{where} holds dates; name a column of numbers or words.")
    words = as_words(column)
    numbers, _ = as_kind(column, "numeric")
    there = (numbers if kind == "numeric" else words).is_not_null().to_numpy()
    if not there.any():
        raise BadInput(f"{where} is missing in every row; name another column.")
    if there.sum() < 2:
        raise BadInput(f"{where} is there in 1 row only; a fit needs at least 2, and a few dozen to be of use.")
    rows = np.flatnonzero(there)
    if kind == "categorical" and task != "classification":
        _refuse_mixture(where, words, numbers, task)
    distinct = (numbers if kind == "numeric" else words).drop_nulls().n_unique()
    if distinct == 1:
        raise BadInput(f"{where} is {words.drop_nulls()[0]!r} in every row; there is nothing to learn.")
    inferred, reason = _infer(kind, numbers.drop_nulls(), distinct)
    if (task or inferred) == "regression":
        values = numbers.to_numpy()[rows].astype(np.float64)
        return Target("regression", reason if task is None else "as --task says", rows, values, (), True)
    if kind == "categorical" and distinct > 2 and distinct > CLASS_SHARE * len(rows):
        raise BadInput(
            f"{where} has {distinct:,} classes in {count(len(rows), 'row')}; name a column whose words recur."
        )
    classes, values = _classes(words if kind == "categorical" else numbers, rows)
    return Target(
        "classification", reason if task is None else "as --task says", rows, values, classes, kind == "numeric"
    )


def _infer(kind: str, numbers: pl.Series, distinct: int) -> tuple[Task, str]:
    if kind == "categorical":
        return "classification", f"its values are {distinct:,} words"
    whole = bool((numbers == numbers.round()).all())
    if whole and (distinct == 2 or (distinct <= FEW_INTEGERS and len(numbers) >= ROWS_PER_INTEGER * distinct)):
        return "classification", f"its values are {distinct} integers"
    return "regression", f"its values are {distinct:,} {'integers' if whole else 'numbers'}"


def _classes(values: pl.Series, rows: np.ndarray) -> tuple[tuple[str | int, ...], np.ndarray]:
    """Classes in order, and each row's index; whole numbers as integers."""
    kept = values[rows.tolist()].to_numpy()
    labels, indices = np.unique(kept.astype(str) if kept.dtype == object else kept, return_inverse=True)
    if labels.dtype.kind == "f":
        whole = np.array_equal(labels, labels.round())
        return tuple(int(x) if whole else f"{x:g}" for x in labels), indices
    return tuple(str(label) for label in labels), indices


def _refuse_mixture(where: str, words: pl.Series, numbers: pl.Series, task: Task | None) -> None:
    """Numbers and words in one target are a mistake more often than classes."""
    strange = words.is_not_null() & numbers.is_null()
    examples = listing(words.filter(strange).unique(maintain_order=True).to_list(), most=3)
    place = f"{examples} in data row {int(strange.arg_true()[0]) + 1}"
    remedy = "mend or empty them, or pass --task classification."
    if task == "regression":
        raise BadInput(f"--task regression needs numbers, but {where} holds {place}; {remedy}")
    if numbers.is_not_null().any():
        strangers = count(int(strange.sum()), "value")
        raise BadInput(f"{where} mixes numbers with {strangers} that are none, such as {place}; {remedy}")
