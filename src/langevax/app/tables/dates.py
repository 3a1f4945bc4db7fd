"""Dates and times in a table of notations, as days since 1970.

`2024-01-31` has the year first, `31.01.2024` the day; `31/01/2024` can have the day or the month first. Years have four
digits. Times with an offset are moved to UTC; times of day and durations alone are in days.
"""

import re
from typing import Literal

import polars as pl

Order = Literal[
    "year-first",
    "day-first",
    "month-first",
    "month-named",
    "month-named-first",
    "year-and-month",
    "eight-digits",
    "time",
]
_MONTH = r"(?P<m>(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))[a-z]*\.?"
NOTATIONS: dict[Order, str] = {
    "year-first": r"(?P<y>[0-9]{4})[-/.](?P<m>[0-9]{1,2})[-/.](?P<d>[0-9]{1,2})",
    "day-first": r"(?P<d>[0-9]{1,2})[-/.](?P<m>[0-9]{1,2})[-/.](?P<y>[0-9]{4})",
    "month-first": r"(?P<m>[0-9]{1,2})[-/](?P<d>[0-9]{1,2})[-/](?P<y>[0-9]{4})",
    "month-named": rf"(?P<d>[0-9]{{1,2}})\.?[ -]{_MONTH}[ -](?P<y>[0-9]{{4}})",
    "month-named-first": rf"{_MONTH} (?P<d>[0-9]{{1,2}}),? (?P<y>[0-9]{{4}})",
    "year-and-month": r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})(?P<d>$)",
    "eight-digits": r"(?P<y>(?:19|20)[0-9]{2})(?P<m>[0-9]{2})(?P<d>[0-9]{2})",
}
"""Patterns of days by their order; each cell of a column has the same."""
ORDERS: list[Order] = [*NOTATIONS, "time"]
ZONE = r"(?P<zone>Z|UTC|(?P<ahead>[-+][0-9]{2}):?(?P<more>[0-9]{2}))"
"""An offset from UTC."""
CLOCK = (
    r"(?P<hour>[0-9]{1,5}):(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9](?:\.[0-9]+)?))?"
    rf"\s?(?P<half>(?i:am|pm))?\s?{ZONE}?"
)

DATE_PATTERNS: dict[Order, re.Pattern[str]] = {
    order: re.compile(rf"{pattern}(?:(?:T|,? ){CLOCK})?")
    for order, pattern in NOTATIONS.items()
}
"""Patterns of dates with their times."""
DATE_PATTERNS["time"] = re.compile(CLOCK)


def days_of(words: pl.Series, order: Order, zoned: bool = False) -> pl.Series:
    """Return days since 1970 as float64, null where a word is not a date in this notation.

    All of them have an offset from UTC, or none.

    Example:
        >>> words = pl.Series(["3.1.1970", "13/01/1970 12:00", "31-02-1970", "1970-01-03"])
        >>> days_of(words, "day-first").to_list()
        [2.0, 12.5, None, None]
        >>> days_of(pl.Series(["1970-01-01 12:00Z", "1970-01-01 12:00"]), "year-first", zoned=True).to_list()
        [0.5, None]
        >>> days_of(pl.Series(["12:00", "6:00 pm", "36:00:00", "41:07"]), "time").to_list()
        [0.5, 0.75, 1.5, None]
    """
    pattern = f"^{DATE_PATTERNS[order].pattern}$"
    parts = words.str.extract_groups(pattern).struct.unnest()
    alike = pl.col("zone").is_not_null() == zoned
    if order == "time":
        days = _clock(longest=True)
        return parts.select(days=pl.when(alike).then(days))["days"]
    month = pl.col("m").str.slice(0, 3)
    day = pl.when(pl.col("d") == "").then(pl.lit("1")).otherwise("d")
    text = pl.concat_str("y", month, day, separator="-")
    number = pl.coalesce(
        text.str.to_date(form, strict=False) for form in ("%Y-%m-%d", "%Y-%b-%d")
    ).cast(pl.Int32)
    clock = pl.when(pl.col("hour").is_null()).then(0.0).otherwise(_clock())
    return parts.select(days=pl.when(alike).then(number + clock))["days"]


def _clock(longest: bool = False) -> pl.Expr:
    """Return hours, minutes and seconds in days, null where they do not exist.

    Args:
        longest: whether hours, minutes and seconds may be a duration of a day or more.
    """
    hour, minute = (pl.col(name).cast(pl.Float64) for name in ("hour", "minute"))
    second = pl.col("second").cast(pl.Float64)
    afternoon = pl.col("half").str.to_lowercase() == "pm"
    of_half = (hour % 12) + pl.when(afternoon).then(12).otherwise(0)
    hours = pl.when(pl.col("half").is_null()).then(hour).otherwise(of_half)
    of_day = hour < 24
    exists = of_day | second.is_not_null() if longest else of_day
    ahead = pl.col("ahead").cast(pl.Float64)
    more = pl.col("more").cast(pl.Float64)
    west = pl.col("ahead").str.starts_with("-")
    more = pl.when(west).then(-more).otherwise(more)
    minutes = minute + second.fill_null(0.0) / 60 - more.fill_null(0.0)
    return pl.when(exists).then((hours - ahead.fill_null(0.0) + minutes / 60) / 24)


def as_date(days: float) -> str:
    """Return days since 1970 as an ISO date.

    Example:
        >>> as_date(1.5)
        '1970-01-02'
    """
    return str(pl.Series([int(days // 1)]).cast(pl.Date)[0])
