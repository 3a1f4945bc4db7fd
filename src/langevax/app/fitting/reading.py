"""Readings of the columns of a table, for the report and the results."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from langevax.app.errors import count
from langevax.app.report.contents import ColumnReading, TableReading
from langevax.app.report.numbers import are_years, day, hours, in_full, year
from langevax.app.tables.columns import ReadColumn
from langevax.app.tables.records import Decision, sentences
from langevax.app.tables.styles import Kind
from langevax.app.tables.targets import TargetColumn

KINDS: dict[Kind, str] = {"numeric": "numbers", "categorical": "words", "date": "dates"}
WORDS_SHOWN = 6


def table_reading(
    rows: int,
    description: str,
    readings: Mapping[str, ReadColumn],
    target: str,
    used: Iterable[str],
    dropped: Mapping[str, str],
    decisions: Sequence[Decision],
    suspects: Sequence[Decision],
) -> TableReading:
    """Return the target, the inputs and the columns left out, each with the decisions on it.

    Args:
        rows: of the table.
        description: of the inputs.
        readings: of all columns that were not dropped.
        target: its name.
        used: names of the inputs.
        dropped: columns that the user left out, and the option that said so.
        decisions: on the file and its columns.
        suspects: decisions on columns that may leak the target.
    """
    inputs = set(used)
    remarks: dict[str, list[str]] = {}
    for decision in [*decisions, *suspects]:
        remarks.setdefault(decision.column, []).append(decision.sentence)
    names = [target, *(name for name in readings if name != target)]
    columns = [
        _column(
            name,
            "target" if name == target else "input" if name in inputs else "left out",
            readings[name],
            tuple(remarks.get(name, ())),
        )
        for name in names
    ]
    because = {
        "--drop": "Left out by --drop.",
        "--group": "--group: rows with the same value stay together; it is not used as an input.",
    }
    columns += [
        ColumnReading(name, "left out", "", 0, 0, 0, "", (because[option],))
        for name, option in dropped.items()
    ]
    of_file = tuple(remarks.get("", ()))
    return TableReading(
        rows, description, tuple(columns), of_file, tuple(sentences(suspects))
    )


def class_counts(target: TargetColumn) -> tuple[int, ...]:
    """Return the rows of each class."""
    return tuple(
        int((target.values == place).sum()) for place in range(len(target.classes))
    )


def _column(
    name: str, role: str, reading: ReadColumn, remarks: tuple[str, ...]
) -> ColumnReading:
    missing = reading.values.null_count() - reading.strays
    read = len(reading.values) - reading.values.null_count()
    values = _summary(reading.values.drop_nulls(), reading.kind, reading.style.clock)
    return ColumnReading(
        name, role, KINDS[reading.kind], read, reading.strays, missing, values, remarks
    )


def _summary(values: pl.Series, kind: Kind, clock: bool = False) -> str:
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
        first = ", ".join(
            f"{word} ({rows:,})"
            for word, rows in frequent.head(WORDS_SHOWN).iter_rows()
        )
        return f"{count(len(frequent), 'word')}: {first}" + (
            ", …" if len(frequent) > WORDS_SHOWN else ""
        )
    numbers = values.to_numpy()
    low, high = float(numbers.min()), float(numbers.max())
    if clock:
        return (
            f"{hours(low)} to {hours(high)}, median {hours(float(np.median(numbers)))}"
        )
    if kind == "date":
        return f"{day(low)} to {day(high)}"
    shown = year if are_years(numbers) else in_full
    return f"{shown(low)} to {shown(high)}, median {shown(np.median(numbers))}"
