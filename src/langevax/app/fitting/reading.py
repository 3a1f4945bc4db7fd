"""Readings of the columns of a table, for the report and the results."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from langevax.app.errors import MOST_NAMED, count
from langevax.app.options import FitOptions
from langevax.app.report.contents import ColumnReading, TableReading
from langevax.app.report.numbers import day, hours, number
from langevax.app.tables.columns import ReadColumn
from langevax.app.tables.records import Decision, gathered
from langevax.app.tables.styles import Kind, Style
from langevax.app.tables.targets import TargetColumn

SHOWN_KINDS: dict[Kind, str] = {
    "numeric": "numbers",
    "categorical": "words",
    "date": "dates",
}


@dataclass(frozen=True)
class ColumnsRead:
    """The target and the columns to learn from, as they are read."""

    options: FitOptions
    target: TargetColumn
    readings: dict[str, ReadColumn]
    """Of all columns that were not dropped."""
    frame: pl.DataFrame
    """The useful columns, as numbers and words, in the rows with a target."""
    styles: dict[str, Style]
    """How these are written."""
    left_out: list[Decision]


def table_reading(
    read: ColumnsRead,
    description: str,
    decisions: Sequence[Decision],
    suspects: Sequence[Decision],
) -> TableReading:
    """Return the target, the inputs and the columns left out, each with the decisions on it.

    Args:
        read: the columns.
        description: of the inputs.
        decisions: on the file and its columns.
        suspects: decisions on columns that may leak the target.
    """
    options = read.options
    remarks: dict[str, list[str]] = {}
    for decision in [*decisions, *suspects]:
        remarks.setdefault(decision.column, []).append(decision.sentence)
    roles = {options.target: "target"}
    for name in read.readings:
        roles.setdefault(name, "input" if name in read.styles else "left out")
    columns = [
        _column(name, role, read.readings[name], tuple(remarks.get(name, ())))
        for name, role in roles.items()
    ]
    because = dict.fromkeys(options.drop, "Left out by --drop.")
    if options.group:
        because[options.group] = (
            "--group: rows with the same value stay together; it is not used as an "
            "input."
        )
    columns += [
        ColumnReading(name, "left out", "", 0, 0, 0, "", (reason,))
        for name, reason in because.items()
    ]
    return TableReading(
        len(read.readings[options.target].values),
        description,
        tuple(columns),
        tuple(remarks.get("", ())),
        tuple(gathered(suspects)),
    )


def _column(
    name: str,
    role: str,
    reading: ReadColumn,
    remarks: tuple[str, ...],
) -> ColumnReading:
    missing = reading.values.null_count() - reading.strays
    read = len(reading.values) - reading.values.null_count()
    values = _summary(reading.values.drop_nulls(), reading.kind, reading.style.clock)
    return ColumnReading(
        name,
        role,
        SHOWN_KINDS[reading.kind],
        read,
        reading.strays,
        missing,
        values,
        remarks,
    )


def _summary(
    values: pl.Series,
    kind: Kind,
    clock: bool = False,
    most_words: int = MOST_NAMED,
) -> str:
    """Return the range of numbers or dates, or the most frequent words.

    Example:
        >>> _summary(pl.Series([3.0, 1.0, 2.0]), "numeric"), _summary(pl.Series([0.0, 1.0]), "date")
        ('1 to 3, median 2', '1970-01-01 to 1970-01-02')
        >>> _summary(pl.Series([0.1, 0.5, 1.25]), "date", clock=True)
        '2:24 to 30:00, median 12:00'
        >>> _summary(pl.Series([1926.0, 2007.0, 1990.0]), "numeric")
        '1926 to 2007, median 1990'
        >>> _summary(pl.Series(["a", "b", "a"]), "categorical")
        '2 words: a (2), b (1)'
    """
    if not len(values):
        return ""
    if kind == "categorical":
        frequent = (
            values.alias("word")
            .value_counts()
            .sort(["count", "word"], descending=[True, False])
        )
        first = [f"{word} ({rows:,})" for word, rows in frequent.rows()[:most_words]]
        if len(frequent) > most_words:
            first.append("…")
        return f"{count(len(frequent), 'word')}: {', '.join(first)}"
    numbers = values.to_numpy()
    low = float(numbers.min())
    high = float(numbers.max())
    if clock:
        return (
            f"{hours(low)} to {hours(high)}, median {hours(float(np.median(numbers)))}"
        )
    if kind == "date":
        return f"{day(low)} to {day(high)}"
    low, high, median = (number(value, 6) for value in (low, high, np.median(numbers)))
    return f"{low} to {high}, median {median}"
