"""The target of a table: numbers or classes, and the rows that have one. Classes keep their spelling."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count, listing, nearest
from langevax.app.evaluation import Task
from langevax.app.tables.columns import read_column
from langevax.app.tables.inference import ReadColumn
from langevax.app.tables.records import (
    Decision,
    data_row,
    option,
    places,
    same_but_for_case,
)
from langevax.app.tables.styles import (
    STAND_FOR_MISSING,
    Style,
    as_text,
    as_words,
    parse,
)
from langevax.app.tables.words import mostly

MAX_INTEGER_CLASSES = 10  # up to this many distinct integers are classes
ROWS_PER_INTEGER = 5  # on average, at least, where there are more than two
MOST_LOST = (
    0.05  # of the rows, above which a word that counts as missing may be a class
)
MAX_CLASSES = 100  # of words; memory grows with them, and so many are names of cases more often than classes
MAX_CLASS_SHARE = (
    0.5  # of the rows: a target with more distinct words identifies its rows
)
INTEGER = r"^(?:0|-?[1-9][0-9]*)$"
LARGEST = 2**63 - 1
LARGEST_COUNT = 10**6  # as in `langevax.sklearn.predictive`


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
    decisions: tuple[Decision, ...] = ()
    """On the spelling of its classes, a warning where they may be too many."""


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
    asked_by = asked_by or f"--task {task}"
    if name not in frame.columns:
        raise BadInput(
            f"--target {name!r} is not a column of the table; {nearest(name, frame.columns)}"
        )
    column = frame[name]
    where = f"--target {name!r}"
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        raise BadInput(
            f"{where} holds {column.dtype}; name a column of numbers or words."
        )
    reading = reading or read_column(column)
    if reading.kind == "date":
        raise BadInput(f"{where} holds dates; name a column of numbers or words.")
    words = as_words(column, Style("categorical", verbatim=reading.style.verbatim))
    decisions: list[Decision] = []
    if reading.style.truth or reading.style.ignore_case:
        words = _in_one_spelling(words, reading.values, decisions)
    numeric = reading.kind == "numeric" and (
        reading.chosen or not _mixed(words, reading.values)
    )
    numbers = (
        reading.values
        if reading.kind == "numeric"
        else parse(column, Style("numeric"))[0]
    )
    values = numbers if numeric else words
    rows = np.flatnonzero(values.is_not_null().to_numpy())
    if not len(rows):
        raise BadInput(f"{where} is missing in every row; name another column.")
    if len(rows) < 2:
        raise BadInput(
            f"{where} is present in 1 row only; a fit needs at least 2, and a few dozen to be useful."
        )
    if (
        not numeric
        and task != "classification"
        and not (reading.style.truth and task is None)
    ):
        _refuse_mixture(where, words, numbers, task, asked_by)
    classes, indices = _classes(
        words[rows.tolist()], values[rows.tolist()], reading.style, numeric
    )
    distinct = len(classes)
    if distinct == 1:
        empty = len(column) - len(rows)
        others = (
            f", and {count(empty, 'row')} without a value count as missing; write a word there if it is a class"
            if empty
            else ""
        )
        raise BadInput(
            f"{where} is {words.drop_nulls()[0]!r} in every row{others or '; there is nothing to learn'}."
        )
    decisions += _lost(as_text(column), values, len(rows))
    inferred, reason = _infer(numeric, numbers.drop_nulls(), distinct)
    reason = reason if task is None else f"as set by {asked_by}"
    if (task or inferred) == "regression":
        targets = numbers.to_numpy()[rows].astype(np.float64)
        return TargetColumn(
            "regression", reason, rows, targets, (), True, tuple(decisions)
        )
    if not numeric and distinct > MAX_CLASSES:
        raise BadInput(
            f"{where} has {distinct:,} classes, where at most {MAX_CLASSES} are learned; if they are names of cases, "
            "name another column, otherwise merge the rare ones."
        )
    if not numeric and distinct > 2 and distinct > MAX_CLASS_SHARE * len(rows):
        raise BadInput(
            f"{where} has {distinct:,} classes in {count(len(rows), 'row')}; name a column whose words repeat."
        )
    if numeric and distinct > max(MAX_INTEGER_CLASSES, len(rows) / ROWS_PER_INTEGER):
        raise BadInput(
            f"{where} holds numbers, {distinct:,} different ones in {count(len(rows), 'row')}, where classification "
            "needs a few classes; name a column of words or of few integers."
        )
    if not numeric and (differ := same_but_for_case(words)):
        remedy = f"spell them alike if they are one, or pass {option('--read', name, 'ignore-case')}"
        sentence = f"Classes of {name!r}: {differ} and are learned as classes of their own; {remedy}."
        decisions.append(Decision("warning", sentence, name))
    return TargetColumn(
        "classification", reason, rows, indices, classes, numeric, tuple(decisions)
    )


def for_family(
    target: TargetColumn, name: str, family: str, order: Sequence[str]
) -> TargetColumn:
    """Return the target as a family of regressions takes it, classes in their order; raise `BadInput` where it cannot.

    Args:
        target: the column.
        name: its name.
        family: as `langevax fit --family` names it.
        order: the classes from the lowest to the highest; empty: that of numbers.
    """
    where, asked = f"--target {name!r}", f"--family {family}"
    if family in ("poisson", "negative-binomial"):
        odd = np.flatnonzero(
            (target.values < 0) | (target.values != np.round(target.values))
        )
        if len(odd):
            first = " and ".join(
                f"{target.values[i]:g} in {data_row(int(target.rows[i]))}"
                for i in odd[:2]
            )
            others = f", {count(len(odd), 'such value')} in all" if len(odd) > 2 else ""
            raise BadInput(
                f"{asked} is for counts 0, 1, 2, ..., and {where} has {first}{others}; correct them, pass --family "
                "gaussian, or leave --family out."
            )
        if target.values.max() > LARGEST_COUNT:
            raise BadInput(
                f"{asked} is for counts up to {LARGEST_COUNT:,}, and {where} has {target.values.max():,.0f}; count in "
                "larger units, or pass --family gaussian."
            )
    names = [str(label) for label in target.classes]
    if family == "logistic" and len(names) != 2:
        raise BadInput(
            f"{asked} is for two classes, and {where} has {len(names)}: {listing(names)}; pass --family ordinal where "
            "they have an order, or leave --family out."
        )
    if family != "ordinal" or not (order or (len(names) > 2 and not target.numeric)):
        return target
    options = " ".join(f"--order {name}" for name in names[:3]) + (
        " and so on" if len(names) > 3 else ""
    )
    if not order:
        raise BadInput(
            f"{asked} needs the order of the {len(names)} classes of {where}, which are words: pass all of them from "
            f"the lowest to the highest, such as {options}."
        )
    for label in order:
        if label not in names:
            raise BadInput(
                f"--order {label!r} is not a class of {where}; {nearest(label, names)}"
            )
        if order.count(label) > 1:
            raise BadInput(f"--order {label!r} is passed twice; pass each class once.")
    if absent := [label for label in names if label not in order]:
        raise BadInput(
            f"--order lacks {listing(absent)} of {where}; pass all {len(names)} classes."
        )
    places = [names.index(label) for label in order]
    classes = tuple(target.classes[place] for place in places)
    return replace(target, classes=classes, values=np.argsort(places)[target.values])


def look_like_counts(target: TargetColumn) -> bool:
    """Return whether classes are whole numbers from 0 on, more than two, which may be counts.

    Example:
        >>> rows = np.arange(4)
        >>> look_like_counts(TargetColumn("classification", "", rows, rows, (0, 1, 2, 3), True))
        True
    """
    return len(target.classes) > 2 and target.classes == tuple(
        range(len(target.classes))
    )


def _lost(text: pl.Series, values: pl.Series, rows: int) -> list[Decision]:
    """Return a warning where many rows are left out for a word that stands for a missing value, and may be a class."""
    lost = text.is_not_null() & values.is_null()
    if lost.sum() <= MOST_LOST * rows:
        return []
    where, number = places(text, lost, most=2), count(int(lost.sum()), "row")
    verb = "counts" if text.filter(lost).n_unique() == 1 else "count"
    remedy = f"if it is a class, pass {option('--read', text.name, 'words')}"
    sentence = (
        f"{number} of {text.name!r} are left out: {where} {verb} as missing; {remedy}."
    )
    return [Decision("warning", sentence, text.name)]


def _in_one_spelling(
    words: pl.Series, same: pl.Series, decisions: list[Decision]
) -> pl.Series:
    """Return words that are the same in their most frequent spelling, which names the class."""
    table = pl.DataFrame({"word": words, "same": same}).drop_nulls()
    tally = (
        table.group_by("same", "word")
        .len()
        .sort(["len", "word"], descending=[True, False])
    )
    names = tally.unique("same", keep="first", maintain_order=True)
    if len(tally) > len(names):
        classes = listing(names["word"].sort())
        sentence = f"The classes of {words.name!r} are {classes}, each named by its most frequent spelling."
        decisions.append(Decision("words", sentence, words.name))
    return same.replace_strict(names["same"], names["word"], default=None).alias(
        words.name
    )


def _infer(numeric: bool, numbers: pl.Series, distinct: int) -> tuple[Task, str]:
    if not numeric:
        return "classification", f"its values are {distinct:,} words"
    whole = bool((numbers == numbers.round()).all())
    if whole and (
        distinct == 2
        or (
            distinct <= MAX_INTEGER_CLASSES
            and len(numbers) >= ROWS_PER_INTEGER * distinct
        )
    ):
        return "classification", f"its values are {distinct} integers"
    return (
        "regression",
        f"its values are {distinct:,} {'integers' if whole else 'numbers'}",
    )


def _classes(
    words: pl.Series, values: pl.Series, style: Style, numeric: bool
) -> tuple[tuple[str | int, ...], np.ndarray]:
    """Return the classes in order, as they are spelt but for plain integers, and the index of each row.

    Integers are distinguished by their words, since float64 does not tell 2^53 from 2^53 + 1.
    """
    distinct = words.unique()
    classes: list[str | int]
    if (
        numeric
        and distinct.str.contains(INTEGER).all()
        and all(abs(int(word)) <= LARGEST for word in distinct)
    ):
        classes = sorted({int(word) for word in distinct})
        place = {str(label): i for i, label in enumerate(classes)}
        return tuple(classes), np.array([place[word] for word in words])
    if not numeric or distinct.str.contains(INTEGER).all():
        classes = sorted(distinct, key=int) if numeric else sorted(distinct)
        place = {str(label): i for i, label in enumerate(classes)}
        return tuple(classes), np.array([place[word] for word in words])
    numbers = values.to_numpy()
    labels, first, indices = np.unique(numbers, return_index=True, return_inverse=True)
    if (
        style == Style("numeric")
        and np.array_equal(labels, labels.round())
        and np.abs(labels).max() < 2**53
    ):
        return tuple(int(x) for x in labels), indices
    return tuple(words[int(i)] for i in first), indices


def _mixed(words: pl.Series, values: pl.Series) -> bool:
    """Return whether a target of numbers holds a word that may have a meaning."""
    strange = words.filter(words.is_not_null() & values.is_null()).str.to_lowercase()
    strange = strange.filter(
        strange.cast(pl.Float64, strict=False).is_null()
    )  # not infinite
    return bool((~strange.is_in(STAND_FOR_MISSING)).any())


def _refuse_mixture(
    where: str, words: pl.Series, numbers: pl.Series, task: Task | None, asked_by: str
) -> None:
    """Refuse numbers and words in one target, which are a mistake more often than classes."""
    strange = words.is_not_null() & numbers.is_null()
    if not strange.any():
        return
    examples = listing(
        words.filter(strange).unique(maintain_order=True).to_list(), most=3
    )
    place = f"{examples} in {data_row(int(strange.arg_true()[0]))}"
    remedy = f"correct or empty them, or pass {option('--read', words.name, 'numbers')} to leave their rows out"
    remedy += ", or --task classification." if task is None else "."
    if task == "regression" and not numbers.is_not_null().any():
        raise BadInput(
            f"{asked_by} needs numbers, and {where} holds words, {examples} in {data_row(int(strange.arg_true()[0]))}; "
            f"name a column of numbers, or leave {asked_by} out."
        )
    if task == "regression":
        raise BadInput(f"{asked_by} needs numbers, but {where} holds {place}; {remedy}")
    few = 2 * numbers.count() < len(words) - words.null_count()
    if few and task is None and (of := mostly(words)) is not None:
        rest = (
            remedy
            if of.noun == "numbers"
            else "name a column of numbers or words, or pass --task classification."
        )
        raise BadInput(f"{where}: {of.sentence}; {rest}")
    if numbers.is_not_null().any():
        raise BadInput(
            f"{where} contains {count(int(strange.sum()), 'non-numeric value')}, such as {place}; {remedy}"
        )
