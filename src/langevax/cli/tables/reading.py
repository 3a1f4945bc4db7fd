"""Tables: files, the kinds of their columns, and the target.

Text is read as text. What is a number, a date or a word is decided over whole columns, and at prediction by the schema
of the training, so that a file is read the same way whatever its first rows.

- numbers: every value present is a number; infinite ones count as missing.
- dates: ISO dates and times, as days since 1970.
- words: everything else, including true and false. Columns that identify their rows are left out.
"""

import gzip
import io
import os
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from langevax.cli.errors import BadInput, count, listing, nearest
from langevax.evaluation import Task

SUFFIXES = ".csv, .tsv, .csv.gz or .parquet"
SEPARATORS = ",;\t|"
GZIP, PARQUET, ZIP = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"
CONTROLS = {chr(c) for c in range(32)} - set("\t\n\r\f")
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "?")
"""Words that stand for a missing value in a text file."""

DISTINCT_SHARE = 0.95  # of the values present: a column with more distinct words identifies its rows
MICROSECONDS_PER_DAY = 86_400 * 1_000_000
MAX_INTEGER_CLASSES = 10  # up to this many distinct integers are classes
ROWS_PER_INTEGER = 5  # on average, at least, where there are more than two
MAX_CLASS_SHARE = 0.5  # of the rows: a target with more distinct words identifies its rows

Kind = Literal["numeric", "date", "categorical"]


def read_table(path: Path, argument: str = "TABLE") -> pl.DataFrame:
    """Return the table in a file; raise `BadInput` where it has no rows or columns.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "t.csv"
        >>> _ = path.write_text("x;y\\n1;a\\n")
        >>> read_table(path).to_dicts()
        [{'x': '1', 'y': 'a'}]
    """
    where = f"{argument} {str(path)!r}"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{where} does not exist{_neighbour(path)}.") from None
    except OSError as error:
        raise BadInput(f"{where} cannot be read ({error.strerror}); name a file in {SUFFIXES}.") from error
    if not data:
        raise BadInput(f"{where} is empty; name a file with a header line and rows.")
    frame = _from_parquet(data, where) if data.startswith(PARQUET) or path.suffix == ".parquet" else None
    frame = _from_text(data, path, where) if frame is None else frame
    if frame.height == 0:
        raise BadInput(f"{where} has a header ({', '.join(frame.columns[:6])}) but no rows; name a table with rows.")
    return frame


def _neighbour(path: Path) -> str:
    """Return a hint at the file in the same folder that the user may have meant."""
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return f"; there is no folder {str(path.parent)!r}"
    hint = nearest(path.name, names) if names else ""
    return f"; {hint.rstrip('?')}?".replace("; did", "; did") if hint.startswith("did") else "; check the path"


def _from_parquet(data: bytes, where: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(data))
    except Exception as error:
        raise BadInput(f"{where} is not a valid Parquet file ({_first_line(error)}); export it again.") from error


def _from_text(data: bytes, path: Path, where: str) -> pl.DataFrame:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    if data.startswith(GZIP):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(f"{where} is a damaged gzip file ({_first_line(error)}); compress it again.") from error
    if data.startswith(ZIP):
        raise BadInput(f"{where} is a spreadsheet or a zip archive; export it as CSV, or unpack it.")
    text = _decode(data)
    if text is None:
        raise BadInput(f"{where} is not a table (it holds binary data); expected a file in {SUFFIXES}.")
    if not text.strip():
        raise BadInput(f"{where} is empty; name a file with a header line and rows.")
    header = text.lstrip("\r\n").split("\n", 1)[0]
    separator = "\t" if suffixes[-1:] in ([".tsv"], [".tab"]) else max(SEPARATORS, key=header.count)
    try:
        frame = pl.read_csv(io.BytesIO(text.encode()), separator=separator, infer_schema=False)
    except Exception as error:
        name = {"\t": "tabs", ",": "commas"}.get(separator, repr(separator))
        raise BadInput(f"{where} cannot be read as columns separated by {name} ({_first_line(error)}).") from error
    names = [name.strip() or f"column {i + 1}" for i, name in enumerate(frame.columns)]
    repeated = [name for name in names if names.count(name) > 1 or f"{name}_duplicated_0" in names]  # polars renames
    if repeated:
        raise BadInput(f"{where} has two columns named {repeated[0]!r}; rename one of them.")
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def _decode(data: bytes) -> str | None:
    """Decode UTF-8, or else the Western code page that spreadsheets write; return None where it is not text."""
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return None if CONTROLS & set(text[: 1 << 20]) else text
    return None


def write_table(frame: pl.DataFrame, path: Path, argument: str = "--out") -> None:
    """Write Parquet, TSV or CSV, by the suffix of the name; a temporary name is used until the file is complete."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        if path.suffix == ".parquet":
            frame.write_parquet(temporary)
        else:
            frame.write_csv(temporary, separator="\t" if path.suffix == ".tsv" else ",")
        os.replace(temporary, path)
    except OSError as error:
        raise BadInput(
            f"{argument} {str(path)!r} cannot be written ({error.strerror or _first_line(error)}); "
            "name a file in a folder that you may write to."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


@dataclass(frozen=True)
class ReadColumn:
    """A column read as one kind, and why it is useless, if it is."""

    kind: Kind
    values: pl.Series
    useless: str = ""
    identifies_rows: bool = False
    """Whether it is useless because it identifies rows, a guess that the user may override."""
    infinite: int = 0


def read_column(column: pl.Series) -> ReadColumn:
    """Decide what kind a column is, and whether it is useful.

    Example:
        >>> read_column(pl.Series(["1", " 2.5", "NA"])).values.to_list()
        [1.0, 2.5, None]
        >>> read_column(pl.Series(["2024-01-31", "2024-02-01"])).kind
        'date'
    """
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        empty = pl.Series(column.name, [None] * len(column), dtype=pl.String)
        return ReadColumn("categorical", empty, useless=f"it holds {column.dtype}")
    kind = kind_of(column)
    values, infinite = as_kind(column, kind)
    identifies = _identifies_rows(values, kind)
    return ReadColumn(kind, values, identifies or _constant(values), bool(identifies), infinite)


def kind_of(column: pl.Series) -> Kind:
    """Return numeric or date where every value present is one, else categorical."""
    if column.dtype.is_temporal():
        return "date"
    if column.dtype.is_numeric():
        return "numeric"
    if column.dtype == pl.Boolean:
        return "categorical"
    words = as_words(column)
    missing = words.null_count()
    if _parsed(words).null_count() == missing:
        return "numeric"
    return "date" if _dates(words).null_count() == missing else "categorical"


def as_kind(column: pl.Series, kind: Kind) -> tuple[pl.Series, int]:
    """Return numbers (float64) or words, null where missing or unreadable, and the number of infinite values."""
    if kind == "categorical":
        return as_words(column), 0
    if kind == "date":
        return (_days(column) if column.dtype.is_temporal() else _days(_dates(as_words(column)))), 0
    if column.dtype.is_temporal():
        return _days(column), 0
    numbers = column.cast(pl.Float64) if column.dtype.is_numeric() else _parsed(as_words(column))
    infinite = int(numbers.is_infinite().sum())
    finite = numbers.is_finite().fill_null(False)
    return numbers.zip_with(finite, pl.Series(numbers.name, [None], dtype=pl.Float64)), infinite


def as_words(column: pl.Series) -> pl.Series:
    """Return text without surrounding spaces, null where missing; true and false in lower case."""
    words = column.cast(pl.String, strict=False).str.strip_chars()
    words = words.set(words.is_in(MISSING).fill_null(False), None)
    lower = words.str.to_lowercase()
    return lower if lower.is_in(["true", "false"]).all() and len(words) > words.null_count() else words


def _parsed(words: pl.Series) -> pl.Series:
    return words.cast(pl.Float64, strict=False)


def _dates(words: pl.Series) -> pl.Series:
    for pattern in ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"):
        moments = words.str.to_datetime(pattern, strict=False, time_unit="us")
        if moments.null_count() < len(moments):
            return moments
    return pl.Series(words.name, [None] * len(words), dtype=pl.Datetime("us"))


def _days(moments: pl.Series) -> pl.Series:
    """Return days since 1970; durations and times of day in days."""
    if moments.dtype == pl.Duration:
        return moments.dt.total_microseconds().cast(pl.Float64) / MICROSECONDS_PER_DAY
    if moments.dtype == pl.Time:
        return moments.cast(pl.Int64).cast(pl.Float64) / (1000 * MICROSECONDS_PER_DAY)
    return moments.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / MICROSECONDS_PER_DAY


def _constant(values: pl.Series) -> str:
    present = values.drop_nulls()
    if len(present) == 0:
        return "it has no values"
    if present.n_unique() == 1 and len(present) == len(values):
        return f"it is {present[0]!r} in every row"
    return ""


def _identifies_rows(values: pl.Series, kind: Kind) -> str:
    present = values.drop_nulls()
    if len(present) < 3:
        return ""
    distinct = present.n_unique()
    if kind == "categorical" and distinct >= DISTINCT_SHARE * len(present):
        return "its words identify rows"
    if kind == "numeric" and distinct == len(values) and _counts(present):
        return "it numbers the rows"
    return ""


def _counts(numbers: pl.Series) -> bool:
    """Return whether the values are 0..n-1 or 1..n in some order."""
    ordered = np.sort(numbers.to_numpy())
    return bool(ordered[0] in (0, 1) and np.array_equal(ordered - ordered[0], np.arange(len(ordered))))


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


def read_target(frame: pl.DataFrame, name: str, task: Task | None) -> TargetColumn:
    """Return the target column as numbers or classes; raise `BadInput` where there is nothing to learn."""
    if name not in frame.columns:
        raise BadInput(f"--target {name!r} is not a column of the table; {nearest(name, frame.columns)}")
    column = frame[name]
    where = f"--target {name!r}"
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        raise BadInput(f"{where} holds {column.dtype}; name a column of numbers or words.")
    kind = kind_of(column)
    if kind == "date":
        raise BadInput(f"{where} holds dates; name a column of numbers or words.")
    words = as_words(column)
    numbers, _ = as_kind(column, "numeric")
    values = numbers if kind == "numeric" else words
    rows = np.flatnonzero(values.is_not_null().to_numpy())
    if not len(rows):
        raise BadInput(f"{where} is missing in every row; name another column.")
    if len(rows) < 2:
        raise BadInput(f"{where} is present in 1 row only; a fit needs at least 2, and a few dozen to be useful.")
    if kind == "categorical" and task != "classification":
        _refuse_mixture(where, words, numbers, task)
    distinct = values.drop_nulls().n_unique()
    if distinct == 1:
        raise BadInput(f"{where} is {words.drop_nulls()[0]!r} in every row; there is nothing to learn.")
    inferred, reason = _infer(kind, numbers.drop_nulls(), distinct)
    reason = reason if task is None else "as set by --task"
    if (task or inferred) == "regression":
        return TargetColumn("regression", reason, rows, numbers.to_numpy()[rows].astype(np.float64), (), True)
    if kind == "categorical" and distinct > 2 and distinct > MAX_CLASS_SHARE * len(rows):
        raise BadInput(
            f"{where} has {distinct:,} classes in {count(len(rows), 'row')}; name a column whose words repeat."
        )
    classes, indices = _classes(values, rows)
    return TargetColumn("classification", reason, rows, indices, classes, kind == "numeric")


def _infer(kind: str, numbers: pl.Series, distinct: int) -> tuple[Task, str]:
    if kind == "categorical":
        return "classification", f"its values are {distinct:,} words"
    whole = bool((numbers == numbers.round()).all())
    if whole and (distinct == 2 or (distinct <= MAX_INTEGER_CLASSES and len(numbers) >= ROWS_PER_INTEGER * distinct)):
        return "classification", f"its values are {distinct} integers"
    return "regression", f"its values are {distinct:,} {'integers' if whole else 'numbers'}"


def _classes(values: pl.Series, rows: np.ndarray) -> tuple[tuple[str | int, ...], np.ndarray]:
    """Return the classes in order, whole numbers as integers, and the index of each row."""
    present = values[rows.tolist()].to_numpy()
    labels, indices = np.unique(present.astype(str) if present.dtype == object else present, return_inverse=True)
    if labels.dtype.kind == "f":
        whole = np.array_equal(labels, labels.round())
        return tuple(int(x) if whole else f"{x:g}" for x in labels), indices
    return tuple(str(label) for label in labels), indices


def _refuse_mixture(where: str, words: pl.Series, numbers: pl.Series, task: Task | None) -> None:
    """Refuse numbers and words in one target, which are a mistake more often than classes."""
    strange = words.is_not_null() & numbers.is_null()
    examples = listing(words.filter(strange).unique(maintain_order=True).to_list(), most=3)
    place = f"{examples} in data row {int(strange.arg_true()[0]) + 1}"
    remedy = "correct or empty them, or pass --task classification."
    if task == "regression":
        raise BadInput(f"--task regression needs numbers, but {where} holds {place}; {remedy}")
    if numbers.is_not_null().any():
        raise BadInput(f"{where} contains {count(int(strange.sum()), 'non-numeric value')}, such as {place}; {remedy}")


@dataclass(frozen=True)
class Examples:
    """Rows or curves to predict for."""

    inputs: Any
    """Rows of a matrix, or a list of curves."""
    names: pl.DataFrame
    """Columns that identify the examples beside their predictions; none where they are the rows of the table."""
    notes: list[str]
    """Messages for the user."""


def check_columns(frame: pl.DataFrame, names: Iterable[str], argument: str = "TABLE") -> None:
    """Raise `BadInput` where a table lacks columns that the model was trained on."""
    if missing := [name for name in names if name not in frame.columns]:
        hint = nearest(missing[0], frame.columns)
        raise BadInput(
            f"{argument} lacks {count(len(missing), 'column')} that the model was trained on: {listing(missing)}; "
            f"{hint if hint.startswith('did') else 'add or rename them.'}"
        )
