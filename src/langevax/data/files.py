"""One file of a table, CSV or Parquet, in parts of bounded size, by polars.

Numbers are recognised as `langevax fit` recognises them: text is read as text, so that types do not depend on
the first rows. Parts of a Parquet file are slices of `HASHED_BYTES`, each read by itself,
since polars' own stream holds several row groups at once: 2.3 GB where groups have 5 million rows of 21
columns (450 to 480 MB in the file), against 0.25.
"""

import csv
import glob
import gzip
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from langevax import checks
from langevax.data.integrity import HASHED_BYTES
from langevax.data.missing import MISSING

ENCODE_OR_DROP = "encode it as numbers first, or drop it"


Reader = Callable[[pl.Series, int], pl.Series]
"""From cells and the number of rows before them to numbers, null where missing."""


@dataclass(frozen=True)
class TextLayout:
    """Division of a file of text into rows and columns."""

    path: Path
    """In UTF-8."""
    names: Sequence[str]
    above: int
    """Lines above the first row."""
    separator: str


@dataclass
class MissingCells:
    """Treatment of rows with missing cells, and how many there were."""

    medians: Mapping[str, float] | None = None
    """They replace the missing cells of inputs; None leaves such rows out."""
    rows_left_out: int = 0
    cells_filled: int = 0

    def settle(
        self, numbers: pl.DataFrame, target: str
    ) -> tuple[pl.DataFrame, pl.Series]:
        """Return the rows without missing cells, and which rows these are; a target is never filled."""
        floats = [name for name, kind in numbers.schema.items() if kind.is_float()]
        numbers = numbers.with_columns(
            pl.when(pl.col(name).is_finite()).then(pl.col(name)) for name in floats
        )
        if self.medians is not None:
            inputs = [name for name in numbers.columns if name != target]
            self.cells_filled += (
                sum(numbers.select(inputs).null_count().row(0)) if inputs else 0
            )
            numbers = numbers.with_columns(
                pl.col(name).fill_null(self.medians[name]) for name in inputs
            )
        complete = numbers.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
        self.rows_left_out += int((~complete).sum())
        return numbers.filter(complete), complete


class TableFile:
    """Types of the columns, and rows, of one file.

    Args:
        path: of the file.
        layout: of its text; None for a header in the first line and UTF-8.
        readers: from cells to numbers, of the columns that are not plain numbers.
        missing: what to do about missing cells; None refuses them.
    """

    def __init__(
        self,
        path: Path,
        layout: TextLayout | None = None,
        readers: Mapping[str, Reader] | None = None,
        missing: MissingCells | None = None,
    ):
        self.path = path
        self.readers: Mapping[str, Reader] = readers or {}
        self.missing = missing
        with path.open("rb") as stream:
            start = stream.read(4)
        self.is_text: bool = start != b"PAR1"
        self.scan: pl.LazyFrame
        separator = ","
        with self.readable():
            if layout is not None:
                self.scan = pl.scan_csv(
                    layout.path,
                    glob=False,
                    has_header=False,
                    skip_lines=layout.above,
                    schema=dict.fromkeys(layout.names, pl.String()),
                    separator=layout.separator,
                )
            elif self.is_text:
                separator = _separator(path)
                self.scan = pl.scan_csv(
                    path, glob=False, infer_schema=False, separator=separator
                )
            else:
                self.scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
            self.types: dict[str, pl.DataType] = dict(self.scan.collect_schema())
        renamed = [
            name for name in self.types if f"{name}_duplicated_0" in self.types
        ]  # by polars, or so named
        names = (
            _header(path, separator)
            if self.is_text and renamed and layout is None
            else []
        )
        if twice := [name for name in renamed if names.count(name) > 1]:
            raise ValueError(
                f"{path} has two columns named {twice[0]!r}; rename one of them."
            )

    def refuse_words(self, columns: Sequence[str]) -> None:
        """Raise on columns that are not numbers, by the types of Parquet and by the first rows of text."""
        columns = [name for name in columns if name not in self.readers]
        for name in columns:
            kind = self.types[name]
            if not (self.is_text or kind.is_numeric() or kind == pl.Boolean):
                raise ValueError(
                    f"column {name!r} of {self.path} holds {kind}; {ENCODE_OR_DROP}."
                )
        if self.is_text and columns:
            with self.readable():
                head = self.scan.select(columns).head(1000).collect()
            for name in columns:
                as_numbers(head[name], 0)

    def lengths_and_wholeness(self, column: str) -> Iterator[tuple[int, bool]]:
        """Yield the number of rows of each part, and whether the column is integer in it."""
        if self.is_text or column in self.readers:
            start = 0
            for part in self.parts([column]):
                yield len(part), self._integers(part[column], start) is not None
                start += len(part)
        else:
            yield (
                self.num_rows(),
                self.types[column].is_integer() or self.types[column] == pl.Boolean,
            )

    def blocks(
        self,
        inputs: Sequence[str],
        target: str,
        whole: bool,
        start: int,
        digits: int,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield all rows as arrays of inputs and targets.

        `start` counts the rows of the files before. Integers that floats of `digits` binary digits would round are
        refused.
        """
        for part in self.parts([*inputs, target]):
            for name in [*inputs, *[target] * (not whole)]:
                refuse_rounded_integers(part[name], digits, start)
            numbers = pl.DataFrame(
                [self._numbers(part[name], start) for name in part.columns]
            )
            exact = self._integers(part[target], start) if whole else None
            if self.missing is not None:
                numbers, complete = self.missing.settle(numbers, target)
                exact = exact if exact is None else exact.filter(complete)
            targets = numbers[target]
            floats = numbers.select(inputs)
            if exact is not None:
                targets = exact
            elif whole != targets.dtype.is_integer():
                targets = targets.cast(pl.Int64 if whole else pl.Float64)
            if any(kind != pl.Float32 for kind in floats.dtypes):
                floats = floats.cast(pl.Float64)
            yield {"inputs": floats.to_numpy(order="c"), "targets": targets.to_numpy()}
            start += len(part)

    def _numbers(self, column: pl.Series, start: int) -> pl.Series:
        return self.readers.get(column.name, as_numbers)(column, start).alias(
            column.name
        )

    def _integers(self, column: pl.Series, start: int) -> pl.Series | None:
        """Return integers as they are written, where floats would round large ones; None where some are not integers.

        Missing cells are null where rows with them are left out; otherwise they are not integers.
        """
        text = column.dtype == pl.String
        exact = (
            column.str.strip_chars().cast(pl.Int64, strict=False) if text else column
        )
        if text and not exact.has_nulls():
            return exact
        if column.name not in self.readers:
            return None
        try:
            numbers = self._numbers(column, start)
        except ValueError:  # which is raised again where the rows are written
            return None
        if (self.missing is None and numbers.has_nulls()) or not (
            numbers == numbers.round()
        ).all():
            return None
        return (
            exact
            if text and exact.null_count() == numbers.null_count()
            else numbers.cast(pl.Int64, strict=False)
        )

    def parts(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield the rows of `columns`, in order."""
        scan = self.scan.select(columns)
        with self.readable():
            if self.is_text:
                yield from scan.collect_batches(lazy=True, engine="streaming")
                return
            size = max(1, HASHED_BYTES // (8 * len(columns)))
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
            lines = str(error).strip().splitlines()
            first = lines[0] if lines else type(error).__name__
            kind = (
                "columns of text in UTF-8 under a header" if self.is_text else "Parquet"
            )
            raise ValueError(
                f"{self.path} cannot be read as {kind} ({first}); export it again."
            ) from error


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
        return column.cast(
            pl.Int32
        )  # as labels are; unsigned ones would wrap around in -y
    if column.dtype.is_decimal():
        return column.cast(pl.Float64)
    if column.dtype != pl.String:
        return column
    words = column.str.strip_chars()
    numbers = words.cast(pl.Float64, strict=False)
    if numbers.null_count() > words.null_count():
        wrong = (
            numbers.is_null() & words.is_not_null() & ~words.is_in(MISSING)
        ).arg_true()
        if len(wrong):
            row = wrong[0]
            raise ValueError(
                f"column {column.name!r} holds words, {words[row]!r} in data row "
                f"{start + row + 1:,}; {ENCODE_OR_DROP}."
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
    back = whole.cast(pl.Float32 if digits < 53 else pl.Float64).cast(
        whole.dtype, strict=False
    )
    rounded = (back != whole).fill_null(True)
    if rounded.any():
        row = int(rounded.arg_true()[0])
        raise ValueError(
            f"column {column.name!r} holds {column[row]:,} in data row "
            f"{start + row + 1:,}, an integer that floats of {digits} binary digits "
            "round; drop it where it numbers rows, divide it, or pass dtype=None."
        )


def matching_files(
    table: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> list[Path]:
    """Return the files named, those of a pattern in alphabetical order."""
    files: list[Path] = []
    for name in [table] if isinstance(table, str | os.PathLike) else table:
        checks.local_path("table", name)
        matches = [name]
        if not Path(name).exists():
            matches = sorted(glob.glob(os.fspath(name)))
        if not matches:
            raise FileNotFoundError(
                f"table {os.fspath(name)!r} does not exist; name CSV or Parquet files."
            )
        files += map(Path, matches)
    if not files:
        raise ValueError("table names no file; pass at least one.")
    for path in files:
        if path.is_dir():
            raise IsADirectoryError(
                f"table {str(path)!r} is a folder; name its files, such as "
                f"'{path}/*.parquet'."
            )
    return files


def _first_line(path: Path) -> str:
    with path.open("rb") as stream:
        gzipped = stream.read(2) == b"\x1f\x8b"
    with gzip.open(path) if gzipped else path.open("rb") as stream:
        return stream.readline(1 << 24).decode("utf-8-sig", "replace")


def _separator(path: Path) -> str:
    return max(",;\t|", key=_first_line(path).count)


def _header(path: Path, separator: str) -> list[str]:
    """Return the names of the columns as they are in the file."""
    return next(csv.reader([_first_line(path)], delimiter=separator), [])
