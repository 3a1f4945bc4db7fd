"""What a column is: numbers, dates, words, or nothing to learn from; and its values as such.

- numbers: every value that is there reads as one; infinite ones count as missing.
- dates: ISO dates and times, turned into days since 1970.
- words: everything else, true and false included. Whole columns that identify their rows are left out.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "?")
"""Words that stand for a missing value in a text file."""

DISTINCT_SHARE = 0.95  # of the values that are there: a column of words with more identifies its rows
MICROSECONDS_PER_DAY = 86_400 * 1_000_000

Kind = Literal["numeric", "date", "categorical"]


@dataclass(frozen=True)
class Reading:
    """A column as its kind, and why it is of no use where it is not."""

    kind: Kind
    values: pl.Series
    useless: str = ""
    identifies_rows: bool = False
    """Why it is useless, where that is a guess that the user may overrule."""
    infinite: int = 0


@dataclass(frozen=True)
class Column:
    """An input column as training saw it."""

    name: str
    kind: Kind
    missing: bool
    """Whether a training row had no value; then being absent is an input of its own."""
    fill: float | None = None
    """Numbers and dates: the median of the training rows, put where a value is missing."""
    categories: tuple[str, ...] = ()
    """Words: those with an input of their own, in alphabetical order."""


def read_column(column: pl.Series) -> Reading:
    """Decide what a column is.

    Example:
        >>> read_column(pl.Series(["1", " 2.5", "NA"])).values.to_list()
        [1.0, 2.5, None]
        >>> read_column(pl.Series(["2024-01-31", "2024-02-01"])).kind
        'date'
    """
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        nothing = pl.Series(column.name, [None] * len(column), dtype=pl.String)
        return Reading("categorical", nothing, useless=f"it holds {column.dtype}")
    kind = kind_of(column)
    values, infinite = as_kind(column, kind)
    naming = _naming_rows(values, kind)
    return Reading(kind, values, naming or _empty(values), bool(naming), infinite)


def kind_of(column: pl.Series) -> Kind:
    """Numbers and dates where every value that is there is one, else words."""
    if column.dtype.is_temporal():
        return "date"
    if column.dtype.is_numeric():
        return "numeric"
    if column.dtype == pl.Boolean:
        return "categorical"
    words = as_words(column)
    there = len(words) - words.null_count()
    if len(words) - _parsed(words).null_count() == there:
        return "numeric"
    return "date" if len(words) - _dates(words).null_count() == there else "categorical"


def as_kind(column: pl.Series, kind: Kind) -> tuple[pl.Series, int]:
    """The values as numbers (float64) or words, null where missing or where they cannot be; how many were infinite."""
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
    """Text without surrounding spaces, null where missing; true and false in small letters."""
    words = column.cast(pl.String, strict=False).str.strip_chars()
    absent = words.is_in(MISSING).fill_null(False)
    words = words.set(absent, None)
    low = words.str.to_lowercase()
    boolean = low.is_in(["true", "false"])
    return low if boolean.all() and len(words) > words.null_count() else words


def _parsed(words: pl.Series) -> pl.Series:
    return words.cast(pl.Float64, strict=False)


def _dates(words: pl.Series) -> pl.Series:
    for pattern in ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"):
        found = words.str.to_datetime(pattern, strict=False, time_unit="us")
        if found.null_count() < len(found):
            return found
    return pl.Series(words.name, [None] * len(words), dtype=pl.Datetime("us"))


def _days(moments: pl.Series) -> pl.Series:
    """Days since 1970; durations and times of the day in days too."""
    if moments.dtype == pl.Duration:
        return moments.dt.total_microseconds().cast(pl.Float64) / MICROSECONDS_PER_DAY
    if moments.dtype == pl.Time:
        return moments.cast(pl.Int64).cast(pl.Float64) / (1000 * MICROSECONDS_PER_DAY)
    return moments.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / MICROSECONDS_PER_DAY


def _empty(values: pl.Series) -> str:
    there = values.drop_nulls()
    if len(there) == 0:
        return "it has no values"
    if there.n_unique() == 1 and len(there) == len(values):
        return f"it is {there[0]!r} in every row"
    return ""


def _naming_rows(values: pl.Series, kind: Kind) -> str:
    there = values.drop_nulls()
    if len(there) < 3:
        return ""
    distinct = there.n_unique()
    if kind == "categorical" and distinct >= DISTINCT_SHARE * len(there):
        return "its words name single rows"
    if kind == "numeric" and distinct == len(values) and _counts(there):
        return "it numbers the rows"
    return ""


def _counts(numbers: pl.Series) -> bool:
    """Whether the values are 0..n-1 or 1..n in some order."""
    ordered = np.sort(numbers.to_numpy())
    return bool(ordered[0] in (0, 1) and np.array_equal(ordered - ordered[0], np.arange(len(ordered))))
