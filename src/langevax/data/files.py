"""One file of a table, CSV or Parquet, in parts of bounded size, by polars.

Numbers are recognised as `langevax fit` recognises them: text is read as text, so that types do not depend on
the first rows. Parts of a Parquet file are slices of `PART_BYTES`, each read by itself,
since polars' own stream holds several row groups at once: 2.3 GB where groups have 5 million rows of 21
columns (450 to 480 MB in the file), against 0.25.
"""

import csv
import glob
import gzip
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from langevax import checks

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "?", "NaT", "<NA>", "(null)", "\\N")
MISSING += ("#N/A", "#NA", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!")
"""Words that stand for a missing number in a text file, those of `langevax fit`."""

SEPARATORS = ",;\t|"
PARQUET, GZIP = b"PAR1", b"\x1f\x8b"
PART_BYTES = 1 << 24  # of the numbers of one part of a Parquet file
FIRST_ROWS = 1000  # of text, checked before the whole is read
REMEDY = "encode it as numbers first, or drop it"


class TableFile:
    """Types of the columns, and rows, of one file."""

    def __init__(self, path: Path):
        self.path = path
        with path.open("rb") as stream:
            start = stream.read(4)
        self.is_text: bool = start != PARQUET
        self.scan: pl.LazyFrame
        separator = ","
        with self.readable():
            if self.is_text:
                separator = _separator(path)
                self.scan = pl.scan_csv(path, glob=False, infer_schema=False, separator=separator)
            else:
                self.scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
            self.types: dict[str, pl.DataType] = dict(self.scan.collect_schema())
        renamed = [name for name in self.types if f"{name}_duplicated_0" in self.types]  # by polars, or so named
        names = _header(path, separator) if self.is_text and renamed else []
        if twice := [name for name in renamed if names.count(name) > 1]:
            raise ValueError(f"{path} has two columns named {twice[0]!r}; rename one of them.")

    def refuse_words(self, columns: Sequence[str]) -> None:
        """Raise on columns that are not numbers, by the types of Parquet and by the first rows of text."""
        for name in columns:
            kind = self.types[name]
            if not (self.is_text or kind.is_numeric() or kind == pl.Boolean):
                raise ValueError(f"column {name!r} of {self.path} holds {kind}; {REMEDY}.")
        if self.is_text:
            with self.readable():
                head = self.scan.select(columns).head(FIRST_ROWS).collect()
            for name in columns:
                as_numbers(head[name], 0)

    def lengths_and_wholeness(self, column: str) -> Iterator[tuple[int, bool]]:
        """Yield the number of rows of each part, and whether the column is integer in it."""
        if self.is_text:
            for part in self.parts([column]):
                whole = part[column].str.strip_chars().cast(pl.Int64, strict=False)
                yield len(part), not whole.has_nulls()
        else:
            yield self.num_rows(), self.types[column].is_integer() or self.types[column] == pl.Boolean

    def blocks(
        self, inputs: Sequence[str], target: str, whole: bool, start: int, digits: int
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield all rows as arrays of inputs and targets.

        `start` counts the rows of the files before. Integers that floats of `digits` binary digits would round are
        refused.
        """
        for part in self.parts([*inputs, target]):
            for name in [*inputs, *[target] * (not whole)]:
                refuse_rounded_integers(part[name], digits, start)
            numbers = part.select(as_numbers(part[name], start) for name in part.columns)
            targets, floats = numbers[target], numbers.select(inputs)
            if whole and self.is_text:
                targets = part[target].str.strip_chars().cast(pl.Int64)  # by floats, large ones would be rounded
            elif whole != targets.dtype.is_integer():
                targets = targets.cast(pl.Int64 if whole else pl.Float64)
            if any(kind != pl.Float32 for kind in floats.dtypes):
                floats = floats.cast(pl.Float64)
            yield {"inputs": floats.to_numpy(order="c"), "targets": targets.to_numpy()}
            start += len(part)

    def parts(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield the rows of `columns`, in order."""
        scan = self.scan.select(columns)
        with self.readable():
            if self.is_text:
                yield from scan.collect_batches(lazy=True, engine="streaming")
                return
            size = max(1, PART_BYTES // (8 * len(columns)))
            for start in range(0, self.num_rows(), size):
                yield scan.slice(start, size).collect(engine="streaming")

    def num_rows(self) -> int:
        """Return the number of rows by the footer of a Parquet file."""
        with self.readable():
            return self.scan.select(pl.len()).collect().item()

    @contextmanager
    def readable(self) -> Iterator[None]:
        """Name the file in the errors of polars."""
        try:
            yield
        except pl.exceptions.PolarsError as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            kind = "columns of text in UTF-8 under a header" if self.is_text else "Parquet"
            raise ValueError(f"{self.path} cannot be read as {kind} ({first}); export it again.") from error


def as_numbers(column: pl.Series, start: int) -> pl.Series:
    """Return a column as numbers, missing ones as null; `start` counts the rows before.

    Example:
        >>> as_numbers(pl.Series("age", ["31", " 4.5", "NA"]), 0).to_list()
        [31.0, 4.5, None]
        >>> as_numbers(pl.Series("age", ["31", "old"]), 1000)
        Traceback (most recent call last):
        ValueError: column 'age' holds words, 'old' in data row 1,002; encode it as numbers first, or drop it.
    """
    if column.dtype == pl.Boolean:
        return column.cast(pl.Int32)  # as labels are; unsigned ones would wrap around in -y
    if column.dtype.is_decimal():
        return column.cast(pl.Float64)
    if column.dtype != pl.String:
        return column
    words = column.str.strip_chars()
    numbers = words.cast(pl.Float64, strict=False)
    if numbers.null_count() > words.null_count():
        wrong = (numbers.is_null() & words.is_not_null() & ~words.is_in(MISSING)).arg_true()
        if len(wrong):
            row = wrong[0]
            raise ValueError(
                f"column {column.name!r} holds words, {words[row]!r} in data row {start + row + 1:,}; {REMEDY}."
            )
    return numbers


def refuse_rounded_integers(column: pl.Series, digits: int, start: int) -> None:
    """Raise on an integer that a float of `digits` binary digits cannot hold; `start` counts the rows before.

    Example:
        >>> refuse_rounded_integers(pl.Series("id", [2**24, 2**24 + 1]), 24, 0)
        Traceback (most recent call last):
        ValueError: column 'id' holds 16,777,217 in data row 2, an integer that floats of 24 binary digits round; ...
    """
    if column.dtype == pl.String:
        column = column.str.strip_chars().cast(pl.Int64, strict=False)
    if not column.dtype.is_integer():
        return
    whole = column.fill_null(0)
    back = whole.cast(pl.Float32 if digits < 53 else pl.Float64).cast(whole.dtype, strict=False)
    rounded = (back != whole).fill_null(True)
    if rounded.any():
        row = int(rounded.arg_true()[0])
        raise ValueError(
            f"column {column.name!r} holds {column[row]:,} in data row {start + row + 1:,}, an integer that floats of "
            f"{digits} binary digits round; drop it where it numbers rows, divide it, or pass dtype=None (--double)."
        )


def matching_files(table: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return the files named, those of a pattern in alphabetical order."""
    files: list[Path] = []
    for name in [table] if isinstance(table, str | os.PathLike) else table:
        checks.local_path("table", name)
        matches = [name] if Path(name).exists() else sorted(glob.glob(os.fspath(name)))
        if not matches:
            raise FileNotFoundError(f"table {os.fspath(name)!r} does not exist; name CSV or Parquet files.")
        files += map(Path, matches)
    if not files:
        raise ValueError("table names no file; pass at least one.")
    for path in files:
        if path.is_dir():
            raise IsADirectoryError(f"table {str(path)!r} is a folder; name its files, such as '{path}/*.parquet'.")
    return files


def _first_line(path: Path) -> str:
    with path.open("rb") as stream:
        gzipped = stream.read(2) == GZIP
    with gzip.open(path) if gzipped else path.open("rb") as stream:
        return stream.readline(1 << 24).decode("utf-8-sig", "replace")


def _separator(path: Path) -> str:
    return max(SEPARATORS, key=_first_line(path).count)


def _header(path: Path, separator: str) -> list[str]:
    """Return the names of the columns as they are in the file."""
    return next(csv.reader([_first_line(path)], delimiter=separator), [])
