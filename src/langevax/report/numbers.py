"""How reports write numbers: few digits, one exponent for a value and its error, aligned at the decimal point."""

import math
from collections.abc import Sequence
from typing import Any

MINUS = "−"
PLAIN_FROM, PLAIN_BELOW = 1e-3, 1e5  # outside, a number is written with an exponent


def number(value: Any, digits: int = 4) -> str:
    """A number in `digits` significant digits; words where there is none.

    Example:
        >>> number(0.48712), number(-3.1e-5), number(None), number(float("nan")), number(float("inf"))
        ('0.4871', '−3.1e-5', 'not known', 'not known', 'unbounded')
    """
    if value is None or math.isnan(value):
        return "not known"
    value = float(value)
    if math.isinf(value):
        return "unbounded" if value > 0 else "unbounded below"
    if value and not PLAIN_FROM <= abs(value) < PLAIN_BELOW:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{_trimmed(mantissa)}e{int(exponent)}".replace("-", MINUS, 1 if value < 0 else 0)
    decimals = max(digits - 1 - (math.floor(math.log10(abs(value))) if value else 0), 0)
    return _trimmed(f"{value:.{decimals}f}").replace("-", MINUS)


def with_error(value: Any, error: Any) -> str:
    """A value and its standard error under one exponent, cut where the error is uncertain.

    Example:
        >>> with_error(3.14e-4, 0.42e-4), with_error(2.3456, 0.012), with_error(2.0, None)
        ('3.1e-4 ± 0.4e-4', '2.346 ± 0.012', '2')
    """
    if not _positive(error) or value is None or not math.isfinite(value):
        return number(value)
    largest = math.floor(math.log10(max(abs(value), error)))
    exponent = 0 if PLAIN_FROM <= 10.0**largest < PLAIN_BELOW else largest
    value, error = value / 10.0**exponent, error / 10.0**exponent
    leading = math.floor(math.log10(error))
    digits = 2 if error < 2 * 10.0**leading else 1  # a leading 1 alone would round by half of itself
    decimals = max(digits - 1 - leading, 0)
    suffix = f"e{exponent}" if exponent else ""
    return f"{value:.{decimals}f}{suffix} ± {error:.{decimals}f}{suffix}".replace("-", MINUS, 1 if value < 0 else 0)


def whole(value: Any) -> str:
    """A whole number with its thousands apart.

    Example:
        >>> whole(12000)
        '12,000'
    """
    return f"{int(value):,}"


def aligned(texts: Sequence[str]) -> list[str]:
    """Number texts as HTML that stand with their decimal points under one another, in tabular figures.

    Example:
        >>> aligned(["1.5", "12"])[1]
        '<span class="whole" style="min-width:2ch">12</span><span class="part" style="min-width:1.5ch"></span>'
    """
    parts = [text.partition(".") for text in texts]
    before = max((len(whole) for whole, _, _ in parts), default=0)
    after = max((len(point + part) for _, point, part in parts), default=0)
    return [
        f'<span class="whole" style="min-width:{before}ch">{whole}</span>'
        f'<span class="part" style="min-width:{max(after - 0.5, 0):g}ch">{point}{part}</span>'
        for whole, point, part in parts
    ]


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _positive(value: Any) -> bool:
    return value is not None and math.isfinite(value) and value > 0
