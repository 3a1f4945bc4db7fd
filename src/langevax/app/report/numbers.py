"""Numbers in reports: few digits, and one exponent for a value and its error."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

MINUS = "−"
NEGLIGIBLE = 1e-4  # share of a value, below which its error is not written
EPOCH, MOST_DAYS = (
    datetime(1970, 1, 1, tzinfo=UTC),
    700_000,
)  # further dates are beyond Python's
YEARS = 1500, 2200
PLAIN_FROM, PLAIN_BELOW = 1e-3, 1e8  # other numbers are written with an exponent


def number(value: Any, digits: int = 4) -> str:
    """Return a number in `digits` significant digits, or words where it is not finite.

    Example:
        >>> number(0.48712), number(-3.1e-5), number(None), number(float("nan")), number(float("inf"))
        ('0.4871', '−3.1e-5', 'not known', 'not known', 'unbounded')
        >>> number(131167.3, 3), number(71420.028)
        ('131,000', '71,420')
    """
    if value is None or math.isnan(value):
        return "not known"
    value = float(value)
    if math.isinf(value):
        return "unbounded" if value > 0 else "unbounded below"
    if value and not PLAIN_FROM <= abs(value) < PLAIN_BELOW:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{_trimmed(mantissa)}e{int(exponent)}".replace(
            "-", MINUS, 1 if value < 0 else 0
        )
    return _trimmed(
        _rounded(
            value, digits - 1 - (math.floor(math.log10(abs(value))) if value else 0)
        )
    )


def in_full(value: float) -> str:
    """Return a number with all digits before the decimal point, which readers compare with their table.

    Example:
        >>> in_full(10001.0), in_full(548351.29), in_full(16.1283), in_full(-3e9)
        ('10,001', '548,351', '16.13', '−3e9')
    """
    return (
        whole(round(value)).replace("-", MINUS)
        if 1e3 <= abs(value) < PLAIN_BELOW
        else number(value)
    )


def are_years(values: np.ndarray) -> bool:
    """Return whether numbers are whole and in the range of calendar years, which have no separated thousands.

    Example:
        >>> are_years(np.array([1926.0, 2007.0])), are_years(np.array([1926.5])), are_years(np.array([12.0, 2007.0]))
        (True, False, False)
    """
    return bool(
        np.all(
            (values == np.round(values)) & (values >= YEARS[0]) & (values <= YEARS[1])
        )
    )


def year(value: Any) -> str:
    """Return the year of a number.

    Example:
        >>> year(2007.0)
        '2007'
    """
    return f"{value:.0f}"


def with_error(value: Any, error: Any) -> str:
    """Return a value and its standard error with one exponent, rounded to the digits that the error allows.

    Example:
        >>> with_error(3.14e-4, 0.42e-4), with_error(2.3456, 0.012), with_error(2.0, None)
        ('3.1e-4 ± 0.4e-4', '2.346 ± 0.012', '2')
        >>> with_error(131167.3, 4321.0)
        '131,000 ± 4,000'
    """
    if (
        not _positive(error)
        or value is None
        or not math.isfinite(value)
        or error < NEGLIGIBLE * abs(value)
    ):
        return number(value)
    largest = math.floor(math.log10(max(abs(value), error)))
    exponent = 0 if PLAIN_FROM <= 10.0**largest < PLAIN_BELOW else largest
    value, error = value / 10.0**exponent, error / 10.0**exponent
    leading = math.floor(math.log10(error))
    digits = (
        2 if error < 2 * 10.0**leading else 1
    )  # a leading 1 alone would round by half of itself
    places = digits - 1 - leading
    suffix = f"e{exponent}" if exponent else ""
    return f"{_rounded(value, places)}{suffix} ± {_rounded(error, places)}{suffix}"


def whole(value: Any) -> str:
    """Return a whole number with separated thousands.

    Example:
        >>> whole(12000)
        '12,000'
    """
    return f"{int(value):,}"


def fixed(value: float, places: int) -> str:
    """Return a number with this many decimals, or a dash where it is not finite.

    Example:
        >>> fixed(-0.5, 2), fixed(float("nan"), 2)
        ('−0.50', '–')
    """
    return f"{value:.{places}f}".replace("-", MINUS) if math.isfinite(value) else "–"


def hours(days: float) -> str:
    """Return a time of day, or a duration in days, as hours and minutes.

    Example:
        >>> hours(0.1), hours(1.25)
        ('2:24', '30:00')
    """
    minutes = round(days * 1440)
    return f"{minutes // 60:,}:{minutes % 60:02d}"


def day(days: float) -> str:
    """Return the date of a number of days since 1970.

    Example:
        >>> day(16436.5), day(1e7)
        ('2015-01-01', 'day 10,000,000')
    """
    return (
        f"{EPOCH + timedelta(days=days):%Y-%m-%d}"
        if abs(days) < MOST_DAYS
        else f"day {number(days)}"
    )


def _rounded(value: float, places: int) -> str:
    """Return a number rounded to so many decimals, of tens or more where negative."""
    return f"{round(value, places):,.{max(places, 0)}f}".replace("-", MINUS)


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _positive(value: Any) -> bool:
    return value is not None and math.isfinite(value) and value > 0
