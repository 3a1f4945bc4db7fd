"""Numbers in reports: few digits, and one exponent for a value and its error."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

MINUS = "−"


def number(value: Any, digits: int = 4) -> str:
    """Return a number in `digits` significant digits, or words where it is not finite.

    Thousands are separated from 10,000 on, so that years are written as usual.

    Example:
        >>> number(0.48712), number(-3.1e-5), number(None), number(float("nan")), number(float("inf"))
        ('0.4871', '−3.1e-5', 'not known', 'not known', 'unbounded')
        >>> number(131167.3, 3), number(71420.028), number(2007)
        ('131,000', '71,420', '2007')
    """
    if value is None or math.isnan(value):
        return "not known"
    if math.isinf(value):
        return "unbounded" if value > 0 else "unbounded below"
    value = float(f"{value:.{digits - 1}e}")
    exponent = _exponent(value)
    places = digits - 1 - _magnitude(value)
    return _rounded(value / 10.0**exponent, places + exponent, exponent, trim=True)


def short(value: Any) -> str:
    """Return a number in three significant digits."""
    return number(value, digits=3)


def with_error(value: Any, error: Any) -> str:
    """Return a value and its standard error with one exponent, rounded to the digits that the error allows.

    Example:
        >>> with_error(3.14e-4, 0.42e-4), with_error(2.3456, 0.012), with_error(2.0, None)
        ('3.1e-4 ± 0.4e-4', '2.346 ± 0.012', '2')
        >>> with_error(131167.3, 4321.0)
        '131,000 ± 4000'
    """
    if value is None or error is None or not math.isfinite(value):
        return number(value)
    if not math.isfinite(error) or error <= 1e-4 * abs(value):
        return number(value)
    exponent = _exponent(max(abs(value), error))
    scale = 10.0**exponent
    value = value / scale
    error = error / scale
    leading = _magnitude(error)
    # a leading 1 alone would round by half of itself
    places = (1 if error < 2 * 10.0**leading else 0) - leading
    return f"{_rounded(value, places, exponent)} ± {_rounded(error, places, exponent)}"


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
    try:
        return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days):%Y-%m-%d}"
    except OverflowError:
        return f"day {number(days)}"


def _magnitude(value: float) -> int:
    """Return the power of ten of the leading digit."""
    return math.floor(math.log10(abs(value))) if value else 0


def _exponent(value: float) -> int:
    """Return the exponent that a number is written with: 0 where it reads well without."""
    size = _magnitude(value)
    return 0 if -3 <= size < 8 else size


def _rounded(
    value: float,
    places: int,
    exponent: int = 0,
    trim: bool = False,
) -> str:
    """Return a number rounded to so many decimals, of tens or more where negative."""
    value = round(value, places)
    text = f"{value:{',' if abs(value) >= 10_000 else ''}.{max(places, 0)}f}"
    if trim and "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", MINUS) + (f"e{exponent}" if exponent else "")
