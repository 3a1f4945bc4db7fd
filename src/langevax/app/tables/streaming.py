"""Files larger than memory, read as `langevax fit` reads tables: by their first rows, to which the others must conform.

Encoding, separator, header and the style of each column are found from the first megabytes. A cell further down that is
not written in the style of its column is refused with its row, so that nothing is misread.
"""

import gzip
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from langevax.app.errors import BadInput, count
from langevax.app.tables.columns import read_columns
from langevax.app.tables.decoding import BYTE_ORDER_MARKS
from langevax.app.tables.files import GZIP, PARQUET, LoadedTable, from_text
from langevax.app.tables.inference import ReadColumn
from langevax.app.tables.records import Decision, data_row, option
from langevax.app.tables.styles import (
    STAND_FOR_MISSING,
    Choices,
    Style,
    as_words,
    parse,
)
from langevax.data.files import Reader, TextLayout

HEAD_BYTES = 4 << 20  # by which a file is read
HEAD_ROWS = 20_000  # of Parquet
BLOCK = 1 << 24  # of text that is encoded anew


@dataclass(frozen=True)
class FirstRows:
    """The first rows of a file and how it is divided."""

    table: LoadedTable
    layout: TextLayout | None
    """None for Parquet."""


def first_rows(path: Path, folder: Path, encoding: str | None = None) -> FirstRows:
    """Return the first rows of a file; text that polars cannot stream is written anew into `folder`."""
    with path.open("rb") as stream:
        start = stream.read(4)
    if start == PARQUET:
        try:
            frame = (
                pl.scan_parquet(path, glob=False, hive_partitioning=False)
                .head(HEAD_ROWS)
                .collect()
            )
        except pl.exceptions.PolarsError as error:
            raise BadInput(
                f"TABLE {str(path)!r} is not a valid Parquet file; export it again."
            ) from error
        return FirstRows(LoadedTable(frame), None)
    gzipped = start.startswith(GZIP)
    try:
        with gzip.open(path) if gzipped else path.open("rb") as stream:
            data = stream.read(HEAD_BYTES)
            complete = not stream.read(1)
    except (OSError, EOFError) as error:
        raise BadInput(
            f"TABLE {str(path)!r} cannot be read ({error}); export it again."
        ) from error
    table = from_text(
        data if complete else _whole_rows(data),
        path,
        f"TABLE {str(path)!r}",
        encoding,
        every_row=True,
    )
    if table.totals is not None and table.totals.height:
        label, rows = (
            next(cell for cell in table.totals.row(0) if (cell or "").strip()),
            table.totals.height,
        )
        which = count(rows, "row of a total", "rows of totals")
        raise BadInput(
            f"TABLE {str(path)!r} has {which}, such as {label!r}, which would be read as data; delete them."
        )
    if table.rewritten:
        raise BadInput(
            f"TABLE {str(path)!r} has columns separated by spaces or frames; export it as CSV."
        )
    text = path
    if table.encoding.lower() not in (
        "utf-8",
        "utf8",
        "utf-8-sig",
    ) or b"\r" in data.replace(b"\r\n", b""):
        text = _in_utf8(path, folder, table.encoding, gzipped)
    return FirstRows(
        table, TextLayout(text, table.frame.columns, table.above, table.separator)
    )


def _whole_rows(data: bytes) -> bytes:
    """Return bytes up to the last line end that is not within quotation marks."""
    width = 4 if data[:4] in BYTE_ORDER_MARKS else 2 if b"\0" in data[:2000] else 1
    end = len(data)
    while (end := max(data.rfind(b"\n", 0, end), data.rfind(b"\r", 0, end))) > 0:
        if data.count(b'"', 0, end) % 2 == 0:
            return data[: -(-(end + 1) // width) * width]
    return data


def _in_utf8(path: Path, folder: Path, encoding: str, gzipped: bool) -> Path:
    """Write the text of a file in UTF-8, with plain line ends."""
    target = folder / f"{path.name}.utf8"
    try:
        with (
            gzip.open(path, "rt", encoding=encoding)
            if gzipped
            else path.open(encoding=encoding) as stream,
            target.open("w", encoding="utf-8", newline="\n") as copy,
        ):
            shutil.copyfileobj(stream, copy, BLOCK)
    except UnicodeError as error:
        raise BadInput(
            f"TABLE {str(path)!r} is not in {encoding} throughout ({error}); pass --encoding with its code page."
        ) from error
    return target


def readings_of_head(
    table: LoadedTable, choices: Choices, drop: Sequence[str]
) -> dict[str, ReadColumn]:
    """Return how the columns of the first rows are read; raise `BadInput` where one holds words."""
    frame = table.frame.drop(drop)
    readings = dict(
        zip(frame.columns, read_columns(frame, choices, table.separator), strict=True)
    )
    words = {
        name: reading
        for name, reading in readings.items()
        if reading.kind == "categorical"
    }
    words = {
        name: reading for name, reading in words.items() if not _opposites(reading)
    }
    words = {
        name: reading
        for name, reading in words.items()
        if as_words(frame[name]).is_not_null().any()
    }
    if words:
        name = next(iter(words))
        strange = as_words(frame[name])
        if (
            others := strange.is_not_null()
            & strange.cast(pl.Float64, strict=False).is_null()
        ).any():
            row = int(others.arg_true()[0])
        else:
            row = int(strange.is_not_null().arg_true()[0])
        raise BadInput(
            f"column {name!r} holds words, {strange[row]!r} in {data_row(row)}; encode it as numbers first, or pass "
            f"{' '.join(option('--drop', word) for word in words)}."
        )
    return readings


def _opposites(reading: ReadColumn) -> bool:
    return bool(reading.style.truth) or set(reading.values.drop_nulls().unique()) == {
        "true",
        "false",
    }


def decisions_on(readings: Mapping[str, ReadColumn]) -> list[Decision]:
    """Return the decisions on columns, and which columns may only identify rows."""
    decisions: list[Decision] = []
    for name, reading in readings.items():
        decisions += reading.decisions
        if _opposites(reading):
            first, second = (reading.style.truth or "true/false").split("/")
            decisions.append(
                Decision(
                    "words",
                    f"Column {name!r}: {first!r} is 1 and {second!r} is 0.",
                    name,
                )
            )
        if reading.identifies_rows:
            sentence = f"Column {name!r} is an input although {reading.useless}; leave it out with {option('--drop', name)}."
            decisions.append(Decision("left out", sentence, name))
    return decisions


def reader(reading: ReadColumn, missing: bool) -> Reader:
    """Return the function that reads the cells of a column as its first rows were read.

    Args:
        reading: of the first rows.
        missing: whether cells may be missing.
    """
    truth = reading.style.truth or ("true/false" if _opposites(reading) else "")
    style = (
        reading.style if truth or reading.kind != "categorical" else Style("numeric")
    )  # without a value so far
    style = replace(
        style, whole=False
    )  # blocks of rows may not differ in their decimal separator

    def read(column: pl.Series, start: int) -> pl.Series:
        if style == Style("numeric") and column.dtype == pl.String:
            plain = column.str.strip_chars().cast(pl.Float64, strict=False)
            if not plain.has_nulls() and plain.is_finite().all():
                return plain
        values, _ = parse(column, style)
        words = as_words(column, style)
        if truth:
            words = as_words(column)
            values = values.replace_strict(
                _codes(truth), default=None, return_dtype=pl.Float64
            )
        if values.has_nulls():
            _refuse(
                column.name, style, words.alias(column.name), values, start, missing
            )
        return values

    return read


def _codes(truth: str) -> dict[str, float]:
    first, second = truth.split("/")
    return {first: 1.0, second: 0.0}


def _refuse(
    name: str,
    style: Style,
    words: pl.Series,
    values: pl.Series,
    start: int,
    missing: bool,
) -> None:
    """Raise `BadInput` on a cell that is not written as the first rows are, or that is missing and may not be."""
    lower = words.str.to_lowercase()
    stands = lower.is_in(list(STAND_FOR_MISSING)) | words.cast(
        pl.Float64, strict=False
    ).is_infinite().fill_null(False)
    strange = (
        words.is_not_null() & values.is_null() & ~stands.fill_null(False)
    ).arg_true()
    nouns = {
        "numeric": "a number",
        "date": "a date",
        "categorical": "one of its two words",
    }
    if len(strange):
        row = int(strange[0])
        raise BadInput(
            f"column {name!r} holds {words[row]!r} in {data_row(start + row)}, which is not {nouns[style.kind]} as the "
            f"first rows write it; correct it, or pass {option('--drop', name)}."
        )
    if not missing:
        row = int(values.is_null().arg_true()[0])
        word = f" ({words[row]!r})" if words[row] is not None else ""
        raise BadInput(
            f"column {name!r} is missing in {data_row(start + row)}{word}; pass --missing drop to leave such rows out, "
            f"--missing median to fill them by the median of the first rows, or {option('--drop', name)}."
        )
