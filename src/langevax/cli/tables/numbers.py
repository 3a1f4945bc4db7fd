"""Numbers as people write them: currencies, percent signs, units, thousands and decimal commas.

Whether a comma is a decimal comma is decided by all values of a column: `1,5` can only be a decimal, `1,234.5` only be
thousands, and `1,234` either. Where no value decides, other columns of the file may; otherwise the column is refused.
"""

import re
from dataclasses import dataclass
from typing import Literal

import polars as pl

Decimal = Literal[".", ","]
OTHER: dict[Decimal, Decimal] = {".": ",", ",": "."}
NAMES: dict[Decimal, str] = {".": "decimal points", ",": "decimal commas"}

CURRENCY = (
    r"(?:US|CA|AU|NZ|HK|SG|[ACRS])?\$|[€£¥₹₽₩₺₫₪฿]|USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK"
    r"|Euro|Kč|zł|kr\.?|Rs\.?|Fr\."
)
NUMBER = (
    rf"^(?P<open>\()?\s*(?P<sign>[-+])?\s*(?P<prefix>{CURRENCY})?\s*(?P<second>[-+])?\s*"
    r"(?P<body>[0-9][0-9.,' ]*|[.,][0-9]+)(?P<exponent>[eE][-+]?[0-9]+)?\s*"
    r"(?P<suffix>[^0-9\s.,'+()<>~*_#?!:;/-][^0-9()]{0,11}?)?\s*(?P<after>-)?(?P<close>\))?$"
)
DECIMAL_POINT = (
    r"^(?:(?:[0-9]+|[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?: [0-9]{3})+|(?:'[0-9]{3})+)"
    r"|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3})(?:\.[0-9]*)?|\.[0-9]+)$"
)
DECIMAL_COMMA = r"^(?:(?:[0-9]+|[1-9][0-9]{0,2}(?:(?:\.[0-9]{3})+|(?: [0-9]{3})+|(?:'[0-9]{3})+))(?:,[0-9]*)?|,[0-9]+)$"
SHAPES: dict[Decimal, str] = {".": DECIMAL_POINT, ",": DECIMAL_COMMA}
MULTIPLES = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9}
MIXED_MULTIPLES = "K/M/B"
PERCENT = "%"


def tidy(words: pl.Series) -> pl.Series:
    """Return words with plain spaces, minus signs and apostrophes."""
    plain = words.str.replace_all(r"[\u00a0\u2007\u2009\u202f]", " ").str.replace_all("[−–]", "-")
    return plain.str.replace_all("[’´`]", "'")


@dataclass(frozen=True)
class NumberParts:
    """The cells of a column taken apart; null where a cell is not a number."""

    table: pl.DataFrame
    """Columns open, sign, prefix, second, body, exponent, suffix, after, close."""

    @property
    def body(self) -> pl.Series:
        return self.table["body"]

    @property
    def units(self) -> pl.Series:
        """Return the currency, percent sign or unit of each cell, empty for none."""
        return pl.Series(self.table["prefix"].fill_null("") + self.table["suffix"].fill_null("").str.strip_chars())

    def fits(self, decimal: Decimal) -> pl.Series:
        """Return which cells are numbers with this decimal separator."""
        return self.body.str.contains(SHAPES[decimal]).fill_null(False)

    def values(self, decimal: Decimal, unit: str) -> pl.Series:
        """Return float64, null where a cell has another shape or another unit."""
        digits = self.body.str.replace_all(rf"[' {'.' if decimal == ',' else ','}]", "")
        digits = digits.str.replace(",", ".", literal=True) + self.table["exponent"].fill_null("")
        numbers = digits.cast(pl.Float64, strict=False)
        units = self.units
        if unit == MIXED_MULTIPLES:
            numbers = numbers * units.replace_strict(MULTIPLES, default=1.0, return_dtype=pl.Float64)
            same = units.is_in(["", *MULTIPLES])
        else:
            same = units.is_in(["", unit])
        minus = (self.table["sign"] == "-").fill_null(False) | (self.table["second"] == "-").fill_null(False)
        minus |= self.table["after"].is_not_null()
        minus |= self.table["open"].is_not_null() & self.table["close"].is_not_null()
        numbers = numbers.zip_with(~minus, -numbers)
        balanced = self.table["open"].is_null() == self.table["close"].is_null()
        return numbers.zip_with(self.fits(decimal) & same & balanced, pl.Series([None], dtype=pl.Float64))


def take_apart(words: pl.Series) -> NumberParts:
    """Return the parts of cells without missing words.

    Example:
        >>> parts = take_apart(pl.Series(["$1,234.50", "(7)", "3 kg", "x"]))
        >>> parts.units.to_list(), parts.values(".", "$").to_list()
        (['$', '', 'kg', ''], [1234.5, -7.0, None, None])
    """
    return NumberParts(
        tidy(words).str.extract_groups(NUMBER).struct.unnest().with_columns(pl.col("body").str.strip_chars())
    )


def unit_of(parts: NumberParts) -> str | tuple[str, str]:
    """Return the unit that the numbers of a column share, empty for none; two that cannot be mixed as a pair."""
    units = parts.units.filter(parts.body.is_not_null())
    names = units.alias("unit").value_counts(sort=True)["unit"].to_list()
    bare = "" in names
    names = [name for name in names if name]
    if not names:
        return ""
    if set(names) <= MULTIPLES.keys() and (bare or len(names) > 1):
        return MIXED_MULTIPLES
    currencies = [name for name in names if re.fullmatch(CURRENCY, name)]
    if currencies:
        return currencies[0] if len(currencies) == 1 else (currencies[0], currencies[1])
    if names[0] == PERCENT and bare:
        without = parts.body.filter((parts.units == "") & parts.body.is_not_null())
        return PERCENT if without.str.contains(r"^0*[.,]?0*$").all() else (PERCENT, "no percent sign")
    return "" if bare else names[0]


def decimal_shown(parts: NumberParts) -> Decimal | None:
    """Return the decimal separator that some numbers show and none contradicts."""
    only: list[Decimal] = [decimal for decimal in NAMES if (parts.fits(decimal) & ~parts.fits(OTHER[decimal])).any()]
    return only[0] if len(only) == 1 else None
