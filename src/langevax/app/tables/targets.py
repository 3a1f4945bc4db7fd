"""The target of a table: numbers or classes, and the rows that have one. Classes keep their spelling."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count, listing, nearest
from langevax.app.evaluation import Task
from langevax.app.tables.columns import ReadColumn, read_columns
from langevax.app.tables.records import data_row
from langevax.app.tables.styles import as_words

MAX_INTEGER_CLASSES = 10  # up to this many distinct integers are classes
ROWS_PER_INTEGER = 5  # on average, at least, where there are more than two
MOST_TARGET_CLASSES = 100  # of words; memory grows with them, and so many are names of cases more often than classes
INTEGER = r"^(?:0|-?[1-9][0-9]{0,17})$"
MOST_COUNTED = 1_000_000  # as in `langevax.sklearn.predictive`


@dataclass(frozen=True)
class TargetColumn:
    """The target of the rows that have one."""

    task: Task
    reason: str
    """Why this task was chosen, in a few words."""
    rows: np.ndarray
    """Indices of the rows that have a target."""
    values: np.ndarray
    """Numbers, or indices into `classes`."""
    classes: tuple[str | int, ...]
    numeric: bool
    """Whether its values are numbers, so that either task is possible."""


def read_target(
    frame: pl.DataFrame,
    name: str,
    task: Task | None,
    reading: ReadColumn | None = None,
    asked_by: str = "",
) -> TargetColumn:
    """Return the target column as numbers or classes; raise `BadInput` where there is nothing to learn.

    Args:
        frame: the table as it is in the file.
        name: of the target.
        task: what the user says; None where it follows from the values.
        reading: of the target, where it is known.
        asked_by: the option by which the user says it; empty: --task.
    """
    where = f"--target {name!r}"
    asked_by = asked_by or f"--task {task}"
    if name not in frame.columns:
        raise BadInput(
            f"{where} is not a column of the table; {nearest(name, frame.columns)}"
        )
    reading = reading or read_columns(frame.select(name))[name]
    numeric = reading.kind == "numeric"
    if reading.kind == "date" or reading.useless.startswith("it holds"):
        raise BadInput(
            f"{where} holds "
            f"{'dates' if reading.kind == 'date' else frame[name].dtype}; name a "
            "column of numbers or words."
        )
    if task == "regression" and not numeric:
        example = listing(reading.values.drop_nulls().unique(maintain_order=True))
        raise BadInput(
            f"{asked_by} needs numbers, and {where} holds words, {example}; name a "
            "column of numbers, or leave it out."
        )
    rows = np.flatnonzero(reading.values.is_not_null())
    values = reading.values[rows.tolist()]
    _check_varies(values, where)
    inferred, reason = _infer(values)
    reason = reason if task is None else f"as set by {asked_by}"
    task = task or inferred
    if task == "regression":
        return TargetColumn(task, reason, rows, values.to_numpy(), (), True)
    words = as_words(frame[name])[rows.tolist()] if numeric else values
    classes, indices = _classes(words, values)
    _check_number(len(classes), len(rows), numeric, where)
    return TargetColumn(task, reason, rows, indices, classes, numeric)


def _check_varies(values: pl.Series, where: str) -> None:
    """Raise `BadInput` where a target has no two different values."""
    if values.n_unique() > 1:
        return
    shown = "missing in every row"
    if len(values):
        value = repr(values[0]) if values.dtype == pl.String else f"{values[0]:g}"
        shown = f"{value} in every row that has one"
    raise BadInput(f"{where} is {shown}; there is nothing to learn.")


def _check_number(
    number: int,
    num_rows: int,
    numeric: bool,
    where: str,
) -> None:
    """Raise `BadInput` where so many classes are rather numbers, or names of cases."""
    kind = "classes"
    most = min(MOST_TARGET_CLASSES, max(2, num_rows // 2))
    if numeric:
        kind = "different numbers"
        most = max(MAX_INTEGER_CLASSES, num_rows // ROWS_PER_INTEGER)
    if number > most:
        raise BadInput(
            f"{where} has {number:,} {kind} in {count(num_rows, 'row')}, where at most "
            f"{most} are learned as classes; name a column whose values repeat."
        )


def _infer(values: pl.Series) -> tuple[Task, str]:
    distinct = values.n_unique()
    if values.dtype == pl.String:
        return "classification", f"its values are {distinct:,} words"
    whole = bool((values == values.round()).all())
    few = distinct <= min(MAX_INTEGER_CLASSES, len(values) / ROWS_PER_INTEGER)
    if whole and (distinct == 2 or few):
        return "classification", f"its values are {distinct} integers"
    noun = "integers" if whole else "numbers"
    return "regression", f"its values are {distinct:,} {noun}"


def _classes(
    words: pl.Series, values: pl.Series
) -> tuple[tuple[str | int, ...], np.ndarray]:
    """Return the classes in order, as they are spelt but for plain integers, and the index of each row.

    Integers are distinguished by their words, since float64 does not tell 2^53 from 2^53 + 1.
    """
    if values.dtype == pl.String or words.str.contains(INTEGER).all():
        labels = words.cast(pl.Int64) if values.dtype != pl.String else words
        classes = labels.unique().sort().to_list()
        indices = labels.rank("dense").to_numpy().astype(np.int64) - 1
        return tuple(classes), indices
    numbers, first, indices = np.unique(
        values.to_numpy(), return_index=True, return_inverse=True
    )
    if (numbers == numbers.round()).all():
        return tuple(int(number) for number in numbers), indices
    return tuple(words[int(i)] for i in first), indices


def check_family(target: TargetColumn, name: str, family: str) -> None:
    """Raise `BadInput` where a family of regressions cannot have a target.

    Args:
        target: the column.
        name: its name.
        family: as `langevax fit --family` names it.
    """
    where = f"--target {name!r}"
    asked = f"--family {family}"
    if family in ("poisson", "negative-binomial"):
        _check_counts(target, where, asked)
    names = [str(label) for label in target.classes]
    if family == "logistic" and len(names) != 2:
        raise BadInput(
            f"{asked} is for two classes, and {where} has {len(names)}: "
            f"{listing(names)}; pass --family ordinal where they have an order, or "
            "leave --family out."
        )
    if family == "ordinal" and len(names) > 2 and not target.numeric:
        raise BadInput(
            f"{asked} needs the order of the {len(names)} classes of {where}: write "
            "numbers in place of them, 1 for the lowest."
        )


def _check_counts(target: TargetColumn, where: str, asked: str) -> None:
    values = target.values
    odd = (values < 0) | (values != np.round(values)) | (values > MOST_COUNTED)
    if not odd.any():
        return
    i = int(np.flatnonzero(odd)[0])
    raise BadInput(
        f"{asked} is for counts 0, 1, 2, ... up to {MOST_COUNTED:,}, and {where} has "
        f"{values[i]:g} in {data_row(int(target.rows[i]))} "
        f"({count(int(odd.sum()), 'such row')}); correct them, count in other units, "
        "or leave --family out."
    )


def look_like_counts(target: TargetColumn) -> bool:
    """Return whether classes are whole numbers from 0 on, more than two, which may be counts.

    Example:
        >>> rows = np.arange(4)
        >>> look_like_counts(TargetColumn("classification", "", rows, rows, (0, 1, 2, 3), True))
        True
    """
    number = len(target.classes)
    return number > 2 and target.classes == tuple(range(number))
