"""Dates and times as people write them, as days since 1970.

`2024-01-31` is year, month, day; `31.01.2024` is day first by convention; whether `31/01/2024` is day first or month
first is decided by the values of the column that are possible in one order only. Times with an offset are moved to
UTC; times of day and durations alone are in days.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import polars as pl

Order = Literal["year-first", "day-first", "month-first", "short-year-first", "time"]
EITHER: tuple[Order, Order] = ("day-first", "month-first")
EVERY_ORDER: tuple[Order, ...] = ("year-first", *EITHER, "time", "short-year-first")
CELLS_TOGETHER = 1_000_000  # of several columns
SECONDS_PER_DAY = 86_400
CENTURY_TURNS = 69  # 69 is 1969, 68 is 2068, as in POSIX

_TIME = (
    r"(?:(?:[T\s]|,\s)\s*(?P<hour>[0-9]{1,2})[:.h](?P<minute>[0-9]{2})(?:[:.](?P<second>[0-9]{2})(?P<fraction>[.,][0-9]+)?)?"
    r"\s*(?:(?P<half>[AaPp])\.?[Mm]\.?)?\s*(?P<zone>Z|(?:UTC|GMT)?[-+][0-9]{1,2}(?::?[0-9]{2})?|UTC|GMT)?(?:\[[^\]]*\]|\s*Uhr)?)?"
)
_WEEKDAY = r"(?:[A-Za-z]{2,9}\.?,?\s+)?"
_NAMED_MONTH = r"(?:de\s+)?(?P<month>[A-Za-zäéûçÇ]{3,10})"
NUMERIC = (
    rf"^{_WEEKDAY}(?P<a>[0-9]{{1,4}})(?P<first>[-/.])\s?(?P<b>[0-9]{{1,2}})(?P<last>[-/.])\s?(?P<c>[0-9]{{1,4}})"
    rf"{_TIME}$"
)
DAY_NAMED = (
    rf"^{_WEEKDAY}(?P<a>[0-9]{{1,2}})(?:st|nd|rd|th|er|\.)?[\s/-]*{_NAMED_MONTH}\.?,?[\s/-]*(?:de\s+)?"
    rf"(?P<c>[0-9]{{4}}|[0-9]{{2}}){_TIME}$"
)
MONTH_NAMED = rf"^{_WEEKDAY}{_NAMED_MONTH}\.?\s+(?P<a>[0-9]{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<c>[0-9]{{4}}){_TIME}$"
MONTH_YEAR = rf"^{_NAMED_MONTH}(?:\.?[\s/-]*(?P<c>(?:19|20)[0-9]{{2}})|(?:-|\s?')(?P<short>[0-9]{{2}}))$"
"""With a hyphen as spreadsheets shorten it; `Jan 24` may be a day."""
YEAR_MONTH = r"^(?P<a>[0-9]{4})[-/](?P<b>[0-9]{1,2})$"
WEEK = r"^(?P<a>[0-9]{4})-?W(?P<b>[0-5][0-9])(?:-?(?P<c>[1-7]))?$"
OTHERWISE = (
    (
        r"^((?:19|20)[0-9]{2})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})",
        "${1}-${2}-${3}T${4}:${5}:${6}",
    ),
    (
        r"^((?:19|20)[0-9]{2})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})",
        "${1}-${2}-${3}T${4}:${5}",
    ),
    (r"^([0-9]{1,2})[/-]((?:19|20)[0-9]{2})$", "${2}-${1}"),
    (
        r"^([0-9]{4})\s*[年년]\s*([0-9]{1,2})\s*[月월]\s*([0-9]{1,2})\s*[日일]",
        "${1}-${2}-${3}",
    ),
    (r"^([0-9]{4})\s*[年년]\s*([0-9]{1,2})\s*[月월]$", "${1}-${2}"),
)
"""Dates such as 20240131T1015, 01/2024 and 2024年1月31日, and how they are written otherwise."""
COMPACT = r"^(?P<a>(?:19|20)[0-9]{2})(?P<b>0[1-9]|1[0-2])(?P<c>0[1-9]|[12][0-9]|3[01])$"
CLOCK = (
    r"^(?:(?P<days>[0-9]{1,5}) days?,? )?"
    r"(?P<hour>[0-9]{1,2}|[0-9]{3,5})(?::|\s?h\s?)(?P<minute>[0-5][0-9])(?:\s?m(?:in)?)?(?::(?P<second>[0-5][0-9])(?P<fraction>[.,][0-9]+)?)?"
    r"\s*(?:(?P<half>[AaPp])\.?[Mm]\.?|Uhr)?$"
)
DOTTED_CLOCK = (r"^([0-9]{1,2})\.([0-9]{2})\s*Uhr$", "${1}:${2} Uhr")
SHORT_MINUTES = (r"^([0-9]{1,3})\s?h\s?([0-9])\s?(?:m|min)$", "${1}h0${2}")
WHOLE_HOUR = (r"^([0-9]{1,2})\s*Uhr$", "${1}:00 Uhr")
_MONTHS = (
    ("jan", "gen", "ene"),
    ("feb", "fév", "fev"),
    ("mar", "mär", "mrz", "maa", "mrt"),
    ("apr", "avr", "abr"),
    ("may", "mai", "mag", "maj", "mei"),
    ("jun", "giu", "juin"),
    ("jul", "lug", "juil"),
    ("aug", "aou", "aoû", "ago"),
    ("sep", "set"),
    ("oct", "okt", "ott", "out"),
    ("nov",),
    ("dec", "dez", "déc", "dic"),
)
MONTHS = {name: number for number, names in enumerate(_MONTHS, 1) for name in names}
"""Of the first three letters of a month in English, German, French, Spanish, Italian, Portuguese or Dutch, four where
French needs them.
"""
OPEN_END = r"^(?:9999-12-31|31[./-]12[./-]9999|12/31/9999|99991231)(?:[T\s].*)?$"
"""The date that data bases write where there is none yet."""
SERIAL, FIRST_SERIAL = r"^([1-9][0-9]{4}(?:[.,][0-9]+)?)$", 25_569
"""Days as spreadsheets count them, from 1927 to 2173, and that of 1970."""
NEVER = 2_932_532  # days from 1970 to the year 9999


def days_of(words: pl.Series, order: Order) -> pl.Series:
    """Return days since 1970 as float64, null where a word is not a date in this order.

    Example:
        >>> words = pl.Series(["1970-01-03T12:00:00Z", "3.1.1970", "Jan 3, 1970", "13/01/1970", "1970-02-30"])
        >>> days_of(words, "day-first").to_list()
        [2.5, 2.0, 2.0, 12.0, None]
    """
    return days_by_order(words, (order,))[order]


def serial_days(words: pl.Series) -> pl.Series:
    """Return days since 1970 of numbers of five digits, by which spreadsheets count days since 1899-12-30.

    Example:
        >>> serial_days(pl.Series(["25570", "25569.5", "1970", "1/2/1970"])).to_list()
        [1.0, 0.5, None, None]
    """
    return (
        words.str.extract(SERIAL, 1).str.replace(",", ".").cast(pl.Float64)
        - FIRST_SERIAL
    )


def days_by_order(words: pl.Series, orders: Iterable[Order]) -> dict[Order, pl.Series]:
    """Return days since 1970 in each of several orders: words are taken apart once, which takes most of the time.

    Example:
        >>> days = days_by_order(pl.Series(["2/1/1970", "1.2.1970", "12:00"]), ("day-first", "month-first", "time"))
        >>> [days[order].to_list() for order in days]
        [[1.0, 31.0, None], [31.0, 1.0, None], [None, None, 0.5]]
    """
    distinct = words.drop_nulls().unique().sort()  # dates repeat
    if not len(distinct):
        return {
            order: pl.Series([None] * len(words), dtype=pl.Float64) for order in orders
        }
    place, dates, by_order = words.rank("dense") - 1, None, {}
    for order in orders:
        if order == "time":
            clocks = (
                distinct.str.replace(*DOTTED_CLOCK)
                .str.replace(*WHOLE_HOUR)
                .str.replace(*SHORT_MINUTES)
            )
            parts = _parts(clocks, CLOCK, "hour")
            days = _none(distinct) if parts is None else _clock(parts)
        else:
            dates = _Dates.taken_apart(distinct) if dates is None else dates
            days = dates.days(order)
        by_order[order] = pl.Series(days, dtype=pl.Float64).fill_nan(None).gather(place)
    return by_order


def days_of_columns(words: pl.DataFrame) -> dict[str, dict[Order, pl.Series]]:
    """Return the days of the columns whose first word is a date, by name and order.

    They are read together: thousands of columns take the time of their words, not that of thousands of calls.

    Example:
        >>> words = pl.DataFrame({"x": ["3/1/1970", None], "y": ["red", "1970-01-02"], "z": ["1970-01-02", "2"]})
        >>> {name: days["year-first"].to_list() for name, days in days_of_columns(words).items()}
        {'x': [None, None], 'z': [1.0, None]}
    """
    firsts = pl.Series(
        [column.drop_nulls().first() for column in words], dtype=pl.String
    )
    tried = [
        days.is_not_null().to_numpy()
        for days in days_by_order(firsts, EVERY_ORDER).values()
    ]
    names = [
        name for name, date in zip(words.columns, np.any(tried, 0), strict=True) if date
    ]
    rows, read = words.height, dict[str, dict[Order, pl.Series]]()
    at_once = max(1, CELLS_TOGETHER // max(1, rows))
    for group in (
        names[start : start + at_once] for start in range(0, len(names), at_once)
    ):
        days = days_by_order(
            pl.concat([words[name].alias("") for name in group]), EVERY_ORDER
        )
        for i, name in enumerate(group):
            read[name] = {
                order: of_group.slice(i * rows, rows)
                for order, of_group in days.items()
            }
    return read


@dataclass(frozen=True)
class _Dates:
    """Words taken apart: the parts of those in numbers, whose order is open, and the days of all others."""

    numeric: pl.DataFrame | None
    moment: np.ndarray
    """The time of day of dates in numbers."""
    others: np.ndarray
    """NaN where the cell is not a date, or is a date in digits alone."""

    @classmethod
    def taken_apart(cls, words: pl.Series) -> Self:
        """Take words apart; no word fits both the pattern of dates in numbers and another one."""
        for pattern, replacement in OTHERWISE:
            words = words.str.replace(pattern, replacement)
        numeric = _parts(words, NUMERIC, "a")
        others = _none(words)
        left = (
            np.full(len(words), True)
            if numeric is None
            else numeric["a"].is_null().to_numpy()
        )
        for read in (_named, _year_and_month, _week, _compact):
            if not left.any():
                break
            others[left] = read(words.filter(pl.Series(left)))
            left &= np.isnan(others)
        return cls(
            numeric, _none(words) if numeric is None else _moment(numeric), others
        )

    def days(self, order: Order) -> np.ndarray:
        """Return days since 1970, NaN where a word is not a date in this order."""
        if self.numeric is None:
            return self.others
        return np.where(
            np.isnan(self.others),
            _numeric(self.numeric, order) + self.moment,
            self.others,
        )


def _numbers(table: pl.DataFrame, name: str, default: float = np.nan) -> np.ndarray:
    if name not in table.columns:
        return np.full(table.height, default)
    return table[name].cast(pl.Float64, strict=False).fill_null(default).to_numpy()


def _parts(words: pl.Series, pattern: str, name: str) -> pl.DataFrame | None:
    """Return the groups of a pattern, None where no word has the group of this name: most patterns fit no column."""
    parts = words.str.extract_groups(pattern).struct.unnest()
    return None if parts[name].null_count() == len(words) else parts


def _none(words: pl.Series) -> np.ndarray:
    return np.full(len(words), np.nan)


def _numeric(parts: pl.DataFrame, order: Order) -> np.ndarray:
    """Return the days of dates in numbers, without their times of day."""
    a, b, c = (_numbers(parts, name) for name in "abc")
    digits = [parts[name].str.len_bytes().fill_null(0).to_numpy() for name in "ac"]
    leading_year = (digits[0] == 4) | ((digits[0] == 2) & (order == "short-year-first"))
    dotted = (parts["first"] == ".").fill_null(False).to_numpy()
    day_first = (order == "day-first") | (dotted & (order != "month-first"))
    month_first = (
        ~dotted & (order == "month-first")
        if order != "month-first"
        else np.full(len(parts), True)
    )
    year = _four_digits(np.where(leading_year, a, c))
    month = np.where(leading_year | day_first, b, a)
    day = np.where(leading_year, c, np.where(day_first, a, b))
    same = (parts["first"] == parts["last"]).fill_null(False).to_numpy()
    trailing_year = (
        np.isin(digits[1], (2, 4)) & (digits[0] < 3) & (day_first | month_first)
    )
    valid = same & np.where(leading_year, digits[1] < 3, trailing_year)
    return np.where(valid, _days(year, month, day), np.nan)


def _named(words: pl.Series) -> np.ndarray:
    days = _none(words)
    for pattern in (DAY_NAMED, MONTH_NAMED):
        if (parts := _parts(words, pattern, "a")) is None:
            continue
        read = _days(
            _four_digits(_numbers(parts, "c")), _month(parts), _numbers(parts, "a")
        ) + _moment(parts)
        days = np.where(np.isnan(days), read, days)
    if (parts := _parts(words, MONTH_YEAR, "month")) is None:
        return days
    year = np.where(
        parts["c"].is_null().to_numpy(),
        _four_digits(_numbers(parts, "short")),
        _numbers(parts, "c"),
    )
    return np.where(
        np.isnan(days), _days(year, _month(parts), np.ones(len(words))), days
    )


def _month(parts: pl.DataFrame) -> np.ndarray:
    names = parts["month"].str.to_lowercase()
    names = names.str.slice(0, 3).zip_with(
        ~(names.str.slice(0, 3) == "jui").fill_null(False), names.str.slice(0, 4)
    )
    return (
        names.replace_strict(MONTHS, default=None, return_dtype=pl.Float64)
        .fill_null(np.nan)
        .to_numpy()
    )


def _year_and_month(words: pl.Series) -> np.ndarray:
    if (parts := _parts(words, YEAR_MONTH, "a")) is None:
        return _none(words)
    return _days(_numbers(parts, "a"), _numbers(parts, "b"), np.ones(len(words)))


def _week(words: pl.Series) -> np.ndarray:
    """Return the days of ISO weeks, their Mondays where the day is left out."""
    if (parts := _parts(words, WEEK, "a")) is None:
        return _none(words)
    year, week, day = (
        _numbers(parts, "a"),
        _numbers(parts, "b"),
        _numbers(parts, "c", 1.0),
    )
    fourths = [
        _days(year + i, np.ones(len(words)), np.full(len(words), 4.0)) for i in (0, 1)
    ]
    first, next_first = (
        fourth - (fourth + 3) % 7 for fourth in fourths
    )  # 4 January is in week 1
    monday = first + 7 * (week - 1)
    return np.where((week > 0) & (monday < next_first), monday + day - 1, np.nan)


def _compact(words: pl.Series) -> np.ndarray:
    if (parts := _parts(words, COMPACT, "a")) is None:
        return _none(words)
    return _days(*(_numbers(parts, name) for name in "abc"))


def _four_digits(year: np.ndarray) -> np.ndarray:
    return np.where(
        year < CENTURY_TURNS, year + 2000, np.where(year < 100, year + 1900, year)
    )


def _days(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Return days since 1970, NaN where a date does not exist, and in 9999, which stands for no date."""
    known = (month >= 1) & (month <= 12) & (day >= 1) & (year >= 1) & ~np.isnan(year)
    months = np.where(known, (year - 1970) * 12 + month - 1, 0).astype(np.int64)
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    after = (
        (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    )
    exists = known & (day <= after - first) & (first < NEVER)
    return np.where(exists, first + np.where(known, day, 1) - 1, np.nan)


def _moment(parts: pl.DataFrame) -> np.ndarray:
    """Return the time of day in UTC in days, 0 without a time, NaN where it does not exist."""
    if parts["hour"].null_count() == len(parts):
        return np.zeros(len(parts))
    clock = np.where(parts["hour"].is_null().to_numpy(), 0.0, _clock(parts))
    zone = (
        parts["zone"]
        .str.replace(r"^(?:UTC|GMT)([-+])", "$1")
        .str.replace(r"^(?:Z|UTC|GMT)$", "+00")
    )
    zone = zone.str.replace(":", "", literal=True).str.replace(
        r"^([-+])([0-9]|[0-9]{3})$", "${1}0$2"
    )
    sign = np.where((zone.str.slice(0, 1) == "-").fill_null(False).to_numpy(), -1, 1)
    hours = (
        zone.str.slice(1, 2).cast(pl.Float64, strict=False).fill_null(0.0).to_numpy()
    )
    minutes = (
        zone.str.slice(3, 2).cast(pl.Float64, strict=False).fill_null(0.0).to_numpy()
    )
    return np.where(clock < 1, clock, np.nan) - sign * (hours / 24 + minutes / 1440)


def _clock(parts: pl.DataFrame) -> np.ndarray:
    """Return hours, minutes and seconds in days, NaN where they do not exist."""
    hour, minute = _numbers(parts, "hour"), _numbers(parts, "minute")
    second = _numbers(parts, "second", 0.0)
    fraction = (
        parts["fraction"]
        .str.replace(",", ".")
        .cast(pl.Float64, strict=False)
        .fill_null(0.0)
        .to_numpy()
    )
    half = parts["half"].str.to_lowercase()
    morning, afternoon = ((half == name).fill_null(False).to_numpy() for name in "ap")
    exists = (
        (minute < 60)
        & (second < 60)
        & ~((morning | afternoon) & ((hour < 1) | (hour > 12)))
    )
    hour = np.where((morning | afternoon) & (hour == 12), 0, hour) + 12 * afternoon
    seconds = (
        _numbers(parts, "days", 0.0) * SECONDS_PER_DAY
        + hour * 3600
        + minute * 60
        + second
        + fraction
    )
    return np.where(exists, seconds / SECONDS_PER_DAY, np.nan)
