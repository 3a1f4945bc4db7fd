"""Files larger than memory, read as `langevax fit` reads tables: by their first rows, to which the others must conform.

Encoding, separator, header and the style of each column are found from the first megabytes. A cell further down that is
not written in the style of its column is refused with its row, so that nothing is misread.
"""

import gzip
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from langevax.app.errors import BadInput
from langevax.app.tables.columns import ReadColumn, read_columns, reread
from langevax.app.tables.files import (
    MAGIC,
    TO_UTF8,
    LoadedTable,
    from_text,
)
from langevax.app.tables.records import Decision, data_row, first_place, option
from langevax.app.tables.styles import Choices, Style, as_words
from langevax.data.files import Reader, TextLayout

HEAD_BYTES = 4 << 20  # by which a file is read
HEAD_ROWS = 20_000  # of Parquet


@dataclass(frozen=True)
class FirstRows:
    """The first rows of a file and how it is divided."""

    table: LoadedTable
    layout: TextLayout | None
    """None for Parquet."""


def first_rows(path: Path) -> FirstRows:
    """Return the first rows of a file; raise `BadInput` where it is text that polars cannot stream."""
    where = f"TABLE {str(path)!r}"
    try:
        with path.open("rb") as stream:
            start = stream.read(len(MAGIC["parquet"]))
        if start == MAGIC["parquet"]:
            scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
            return FirstRows(LoadedTable(scan.head(HEAD_ROWS).collect()), None)
        gzipped = start.startswith(MAGIC["gzip"])
        with gzip.open(path) if gzipped else path.open("rb") as stream:
            data = stream.read(HEAD_BYTES)
            complete = not stream.read(1)
    except (OSError, EOFError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{where} cannot be read ({error}); export it again.") from error
    if not complete:
        data = _whole_rows(data)
    with suppress(UnicodeError):
        if "\r" not in data.decode().replace("\r\n", ""):
            table = from_text(data, where)
            names = table.frame.columns
            layout = TextLayout(path, names, table.above, table.separator)
            return FirstRows(table, layout)
    raise BadInput(
        f"{where} is not UTF-8, or has line ends of old Macs; {TO_UTF8}, as files "
        "larger than memory are read as they are."
    )


def _whole_rows(data: bytes) -> bytes:
    """Return bytes up to the last line end that is not within quotation marks."""
    end = len(data)
    while (end := max(data.rfind(b"\n", 0, end), data.rfind(b"\r", 0, end))) > 0:
        if data.count(b'"', 0, end) % 2 == 0:
            return data[: end + 1]
    return data


def readings_of_head(
    table: LoadedTable, choices: Choices, drop: Sequence[str]
) -> dict[str, ReadColumn]:
    """Return how the columns of the first rows are read; raise `BadInput` where one holds words."""
    frame = table.frame.drop(drop)
    readings = read_columns(frame, choices, table.separator)
    words = [
        name
        for name, reading in readings.items()
        if reading.kind == "categorical" and not reading.style.truth
    ]
    words = [name for name in words if readings[name].values.count()]
    if words:
        values = readings[words[0]].values
        raise BadInput(
            f"column {words[0]!r} holds words, "
            f"{first_place(values, values.is_not_null())}; encode it as numbers first, "
            f"or pass {' '.join(option('--drop', word) for word in words)}."
        )
    return readings


def decisions_on(readings: Mapping[str, ReadColumn]) -> list[Decision]:
    """Return the decisions on columns, and which columns may only identify rows."""
    decisions: list[Decision] = []
    for name, reading in readings.items():
        decisions += reading.decisions
        if reading.style.truth:
            first, second = reading.style.truth.split("/")
            sentence = f"Column {name!r}: {first!r} is 1 and {second!r} is 0."
            decisions.append(Decision("words", sentence, name))
        if reading.identifies_rows:
            sentence = (
                f"Column {name!r} is an input although {reading.useless}; leave it out "
                f"with {option('--drop', name)}."
            )
            decisions.append(Decision("left out", sentence, name))
    return decisions


def reader(reading: ReadColumn, missing: bool) -> Reader:
    """Return the function that reads the cells of a column as its first rows were read.

    Args:
        reading: of the first rows.
        missing: whether cells may be missing.
    """
    style = reading.style
    if style.kind == "categorical" and not style.truth:  # without a value so far
        style = Style("numeric")

    def read(column: pl.Series, start: int) -> pl.Series:
        if style.truth:
            values = _as_numbers(column, style, start)
        else:
            values, _ = reread(column, style, "the first rows", start)
        if values.has_nulls() and not missing:
            row = int(values.is_null().arg_true()[0])
            word = as_words(column)[row]
            raise BadInput(
                f"column {column.name!r} is missing in "
                f"{data_row(start + row)}{'' if word is None else f' ({word!r})'}; "
                "pass --missing drop to leave such rows out, --missing median to fill "
                "them by the median of the first rows, or "
                f"{option('--drop', column.name)}."
            )
        return values

    return read


def _as_numbers(column: pl.Series, style: Style, start: int) -> pl.Series:
    """Return 1 for the first of two opposite words and 0 for the second; refuse others."""
    words = as_words(column, style)
    first, second = style.truth.split("/")
    values = words.replace_strict(
        {first: 1.0, second: 0.0}, default=None, return_dtype=pl.Float64
    )
    others = values.is_null() & words.is_not_null()
    if others.any():
        raise BadInput(
            f"column {column.name!r} holds {first_place(words, others, start)}, which "
            f"is neither {first!r} nor {second!r} as in the first rows; correct or "
            "empty it."
        )
    return values
