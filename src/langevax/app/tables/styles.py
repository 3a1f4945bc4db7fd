"""Notation of the cells of a column, and the user's statements on it by --read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, get_args

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, listing, nearest
from langevax.app.tables.dates import Order, days_of
from langevax.app.tables.numbers import Decimal, numbers_of, take_apart
from langevax.data.missing import MISSING

Kind = Literal["numeric", "date", "categorical"]
Answer = Literal["decimal-point", "decimal-comma", "day-first", "month-first"]
As = Literal[
    "words",
    "ignore-case",
    "numbers",
    "dates",
    "decimal-point",
    "decimal-comma",
    "day-first",
    "month-first",
]
STAND_FOR_MISSING = frozenset(
    """
    -|--|.|*|unknown|missing|undefined|empty|error|tbd|nil|none|null|na|n/a|n.a.|n.a|nd|nan|nat|0000-00-00|inf|+inf|-inf
    |infinity|+infinity|-infinity|not available|not applicable|not measured|not reported
    """.replace("\n    ", "")
    .strip()
    .split("|")
)
"""Words, in lower case, that stand for a missing number, date or yes and no, beside those that do in any column."""
TRUTHS: dict[str, tuple[str, str]] = {"true/false": ("t", "f"), "yes/no": ("y", "n")}
"""Two opposite words, and the letters that stand for them."""


@dataclass(frozen=True)
class Style:
    """Notation of the cells of a column: with the kind, all that reading a cell needs."""

    kind: Kind
    decimal: Decimal = "."
    unit: str = ""
    """Of numbers: what stands beside each of them, such as a currency or a percent sign."""
    grouped: bool = True
    """Of numbers: whether some have marks between thousands."""
    order: Order = "year-first"
    """Of dates."""
    mark: str = ""
    """Of dates: what separates their numbers, where it is the same in all."""
    zoned: bool = False
    """Of dates: whether all have an offset from UTC."""
    lenient: bool = False
    """Of numbers and dates: whether all other words count as missing, as the user says."""
    truth: str = ""
    """Of words: two opposite words, a key of `TRUTHS`, in whose spelling they are stored."""
    verbatim: bool = False
    """Of words: whether NA, None and the like are words."""
    ignore_case: bool = False
    """Of words: whether those that differ only in case or in spaces are one, stored in lower case."""

    @property
    def clock(self) -> bool:
        """Of dates: whether they are times of day or durations, in days."""
        return self.kind == "date" and self.order == "time"

    def describe(self) -> str:
        """Return what a cell is, for a message.

        Example:
            >>> Style("numeric", ",", "€").describe(), Style("date", order="day-first").describe()
            ("a number with decimal commas and '€'", 'a date, the day first')
        """
        if self.kind == "categorical":
            return "a word"
        if self.kind == "date":
            zone = " with its offset from UTC" if self.zoned else ""
            noun = "time" if self.clock else "date"
            return f"a {noun}{order_in_words(self.order)}{zone}"
        with_comma = "decimal commas" if self.decimal == "," else ""
        with_unit = repr(self.unit) if self.unit else ""
        beside = " and ".join(filter(None, (with_comma, with_unit)))
        return f"a number with {beside}" if beside else "a number"


def order_in_words(order: Order) -> str:
    """Return which part of a date comes first, empty where nothing else is possible."""
    words = {"day-first": ", the day first", "month-first": ", the month first"}
    return words.get(order, "")


@dataclass(frozen=True)
class Choices:
    """The user's statements on columns; `default` decides where a column can be read in two ways."""

    columns: Mapping[str, As] = field(default_factory=dict)
    default: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, options: Iterable[str], names: Iterable[str]) -> "Choices":
        """Return the choices in the values of --read.

        Example:
            >>> choices = Choices.parse(["zip=words", "day-first"], ["zip", "day"])
            >>> choices.columns, sorted(choices.default)
            ({'zip': 'words'}, ['day-first'])
        """
        names = list(names)
        columns = {}
        default = set[str]()
        for option in options:
            name, _, value = option.rpartition("=")
            known = get_args(As if name else Answer)
            if value not in known:
                raise BadInput(
                    f"--read {option!r} must be COLUMN=KIND or KIND; of kinds there "
                    f"are {listing(known, len(known))}."
                )
            if name and name not in names:
                raise BadInput(
                    f"--read {name!r} is not a column of the table; "
                    f"{nearest(name, names)}"
                )
            if name:
                columns[name] = value
            else:
                default.add(value)
        return cls(columns, frozenset(default))


def as_text(column: pl.Series) -> pl.Series:
    """Return text without surrounding spaces, null where it is empty."""
    return _words(column, [""])


def _words(column: pl.Series, missing: Iterable[str]) -> pl.Series:
    """Return text without surrounding spaces, null where it is one of the words that are missing."""
    frame = column.alias("cells").to_frame()
    text = pl.col("cells").cast(pl.String, strict=False).str.strip_chars()
    present = pl.when(~text.is_in(list(missing))).then(text)
    return frame.select(present).to_series().alias(column.name)


def as_words(column: pl.Series, style: Style | None = None) -> pl.Series:
    """Return text without surrounding spaces, null where missing; true and false in lower case.

    Example:
        >>> as_words(pl.Series([" Yes", "n", "-", "NA"]), Style("categorical", truth="yes/no")).to_list()
        ['yes', 'no', None, None]
    """
    style = style or Style("categorical")
    if style.verbatim:
        return as_text(column)
    words = _words(column, MISSING)
    if style.ignore_case:
        return words.str.to_lowercase().str.replace_all(r"\s+", " ")
    if not style.truth:
        return words
    full = style.truth.split("/")
    letters = dict(zip(TRUTHS[style.truth], full, strict=True))
    lower = words.str.to_lowercase().replace(letters)
    known = lower.is_in(full) | ~stands_for_missing(words)
    return lower.zip_with(lower.is_in(full), words).set(~known.fill_null(True), None)


def stands_for_missing(words: pl.Series) -> pl.Series:
    """Return which words stand for a missing number, date or yes and no."""
    return words.str.to_lowercase().is_in(list(STAND_FOR_MISSING)).fill_null(False)


def parse(column: pl.Series, style: Style) -> pl.Series:
    """Return numbers (float64), days or words, null where missing or unreadable."""
    if style.kind == "categorical":
        return as_words(column, style)
    if column.dtype.is_temporal():
        return _days(column)
    if column.dtype.is_numeric():
        return _finite(column.cast(pl.Float64))
    if style.kind == "date":
        words = as_words(column)
        marked = words.str.contains(style.mark, literal=True)
        return days_of(words.set(~marked, None), style.order, style.zoned).alias(
            column.name
        )
    plain = column.cast(pl.Float64, strict=False)
    if style.decimal == "." and plain.null_count() == column.null_count():
        return _finite(plain)
    words = as_words(column)
    parts = take_apart(words)
    numbers = numbers_of(parts, style.decimal, style.unit, style.grouped)
    return numbers.alias(column.name)


def _finite(numbers: pl.Series) -> pl.Series:
    """Return numbers, null where they are infinite or not a number."""
    finite = np.isfinite(numbers.to_numpy())
    if finite.sum() == numbers.count():
        return numbers
    return numbers.set(~pl.Series(finite), None)


def _days(moments: pl.Series) -> pl.Series:
    """Return days since 1970; durations and times of day in days."""
    if moments.dtype == pl.Time:
        moments = moments.cast(pl.Duration("ns"))
    elif moments.dtype != pl.Duration:
        moments = moments.cast(pl.Datetime("us")).cast(pl.Int64).cast(pl.Duration("us"))
    return moments / timedelta(days=1)
