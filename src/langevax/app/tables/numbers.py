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
    r"(?P<body>[0-9][0-9.,' ]*|[.,][0-9]+)(?P<exponent>[eE][-+]?[0-9]+|[dD][-+][0-9]+)?\s*"
    r"(?P<suffix>[^0-9\s.,'+()<>~*_#?!:;/-][^0-9()]{0,11}?)?\s*(?P<after>-)?(?P<close>\))?$"
)
DECIMAL_POINT = (
    r"^(?:(?:[0-9]+|[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?: [0-9]{3})+|(?:'[0-9]{3})+)"
    r"|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3})(?:\.[0-9]*)?|\.[0-9]+)$"
)
DECIMAL_COMMA = r"^(?:(?:[0-9]+|[1-9][0-9]{0,2}(?:(?:\.[0-9]{3})+|(?: [0-9]{3})+|(?:'[0-9]{3})+))(?:,[0-9]*)?|,[0-9]+)$"
SHAPES: dict[Decimal, str] = {".": DECIMAL_POINT, ",": DECIMAL_COMMA}
MULTIPLES = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9}
"""Letters right behind a number, such as those of $3.5M, that multiply it."""
MULTIPLE_SHARE = 0.1  # of the numbers, at least, that have such a letter: in few it may be that of an address
PERCENT = "%"
_UNITS = "kg g mg t lb lbs oz km m cm mm mi ft in yd l ml cl h hr min s sec ms d day year °C °F K W kW"
UNITS = frozenset(_UNITS.split())
"""Units of which a column may not have two."""
MIXED_UNITS = UNITS - {"m", "d"}  # letters that may be those of houses and flats
FEWEST_WITH_UNIT = 4  # numbers beside which others may lack it
_MARK = r"(?:\s?(?:\*{1,3}|[†‡§]{1,3}|\[[0-9a-z]{1,2}\])|\s[¹²³⁴-⁹⁰]{1,2})$"
FOOTNOTE = rf"([0-9.,)%]){_MARK}"
UNIT_FOOTNOTE = rf"^([^0-9A-Za-z]{{0,4}}[0-9][0-9.,' ]*[^0-9\s.,'+()<>~*_#?!:;/-][^0-9()\[\]*†‡§]{{0,11}}?){_MARK}"
RAISED = "([0-9][.,][0-9]+)[¹²³⁴-⁹]{1,2}$"
"""Marks that lead to a footnote: behind a number, behind its unit, and raised right behind a decimal."""
APPROXIMATE = r"^(?i:ca\.?|circa|approx\.?|about|etwa|env\.?|environ|aprox\.?|[~≈])\s*([-+]?[0-9])"
"""A word or sign for about before a number."""
APOSTROPHE = "^'((?:[1-9][0-9.,]*|0[.,][0-9]+|0))$"
"""A number that a spreadsheet keeps as text; with leading zeros it is a code."""
ANNOTATED = (FOOTNOTE, UNIT_FOOTNOTE, RAISED, APPROXIMATE, APOSTROPHE)
"""What is left out beside a number."""
BEFORE_BRACKET = rf"^({CURRENCY})\s*\(\s*"
"""A currency before the bracket that stands for a minus sign."""
NO_CENTS = r"([0-9])[.,][-—]{1,2}(\s*[^0-9]*)$"
"""A dash for the cents, as of 7.- and 7,-- €, which is not the minus sign behind a number."""
NOTHING = ((rf"^({CURRENCY})\s*[-—]$", "${1}0"), (rf"^[-—]\s*({CURRENCY})$", "0$1"))
"""A dash beside a currency, as spreadsheets show 0 in their format for accounts."""
RAISED_UNITS = (
    (r"^([-+]?[0-9][0-9.,' ]*\s?(?:[A-Za-z]{1,3}/)?[cdkm]?m)2$", "${1}²"),
    (r"^([-+]?[0-9][0-9.,' ]*\s?(?:[A-Za-z]{1,3}/)?[cdkm]?m)3$", "${1}³"),
)
"""Squares and cubes of units, such as 78 m2 and 1598 cm3."""
OTHER_DIGITS = "٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९"
"""Digits of Arabic, Persian and Devanagari."""
WIDE = range(ord("!"), ord("~") + 1)
"""Letters, digits and signs that East Asian programs also write in full width."""


def singular(unit: str) -> str:
    """Return a unit without the s of its plural: 1 day and 2 days are of one unit.

    Example:
        >>> [singular(unit) for unit in ("days", "stars", "lbs", "class")]
        ['day', 'star', 'lbs', 'class']
    """
    return (
        unit[:-1]
        if len(unit) > 3 and unit.endswith("s") and not unit.endswith("ss")
        else unit
    )


def tidy(words: pl.Series) -> pl.Series:
    """Return words with plain spaces, minus signs and apostrophes, without marks of footnotes and signs for about.

    Example:
        >>> tidy(pl.Series(["12.5*", "7 [1]", "$ (280.00)", "a*", "CHF 7.-", "- €"])).to_list()
        ['12.5', '7', '($280.00)', 'a*', 'CHF 7', '0€']
        >>> tidy(pl.Series(["9 s ¹", "39.9 years[1]", "ca. 3358", "'80", "'007", "343 m²"])).to_list()
        ['9 s', '39.9 years', '3358', '80', "'007", '343 m²']
    """
    plain = words.str.replace_all(r"[\u00a0\u2007\u2009\u202f]", " ").str.replace_all(
        "[−–－‑]", "-"
    )
    plain = (
        plain.str.replace_all("[’‘´`]", "'")
        .str.replace(FOOTNOTE, "$1")
        .str.replace(BEFORE_BRACKET, "($1")
    )
    for pattern in ANNOTATED[1:]:
        if plain.str.contains(pattern).any():
            plain = plain.str.replace(pattern, "$1")
    if plain.str.contains("[-—]").any():
        for pattern, replacement in ((NO_CENTS, "$1$2"), *NOTHING):
            plain = plain.str.replace(pattern, replacement)
    for pattern, replacement in RAISED_UNITS:
        if plain.str.contains(pattern).any():
            plain = plain.str.replace(pattern, replacement)
    if plain.str.contains(f"[{OTHER_DIGITS}]").any():
        plain = plain.str.replace_many(
            list(OTHER_DIGITS + "٫٬"), list("0123456789" * 3 + ".,")
        )
    if not plain.str.contains("[０-９]").any():
        return plain
    return plain.str.replace_many(
        [chr(c + 0xFEE0) for c in WIDE], [chr(c) for c in WIDE]
    )


@dataclass(frozen=True)
class NumberParts:
    """The cells of a column taken apart; null where a cell is not a number."""

    table: pl.DataFrame
    """Columns open, sign, prefix, second, body, exponent, suffix, after, close."""
    units: pl.Series
    """The currency, percent sign or unit of each cell, empty for none."""
    multiples: pl.Series
    """What each number is multiplied by, for a letter behind it."""

    @property
    def body(self) -> pl.Series:
        """Digits and separators."""
        return self.table["body"]

    def fits(self, decimal: Decimal) -> pl.Series:
        """Return which cells are numbers with this decimal separator."""
        return self.body.str.contains(SHAPES[decimal]).fill_null(False)

    def values(self, decimal: Decimal, unit: str) -> pl.Series:
        """Return float64, null where a cell has another shape or another unit."""
        table = self.table
        digits = self.body.str.replace_all(rf"[' {'.' if decimal == ',' else ','}]", "")
        digits = digits.str.replace(",", ".", literal=True) + table[
            "exponent"
        ].str.replace("[dD]", "e").fill_null("")
        numbers = digits.cast(pl.Float64, strict=False) * self.multiples
        minus = (table["sign"] == "-").fill_null(False) | (
            table["second"] == "-"
        ).fill_null(False)
        minus |= table["after"].is_not_null() | table["open"].is_not_null()
        numbers = numbers.zip_with(~minus, -numbers)
        balanced = table["open"].is_null() == table["close"].is_null()
        good = self.fits(decimal) & balanced & self.units.is_in(["", singular(unit)])
        return numbers.zip_with(good, pl.Series([None], dtype=pl.Float64))


def take_apart(words: pl.Series, multiples: bool | None = None) -> NumberParts:
    """Return the parts of cells without missing words.

    Args:
        words: the cells.
        multiples: whether a letter right behind a number multiplies it; None decides by how many have one.

    Example:
        >>> parts = take_apart(pl.Series(["$1,234.50", "(7)", "3 kg", "x"]))
        >>> parts.units.to_list(), parts.values(".", "$").to_list()
        (['$', '', 'kg', ''], [1234.5, -7.0, None, None])
    """
    words = tidy(words)
    table = (
        words.str.extract_groups(NUMBER)
        .struct.unnest()
        .with_columns(pl.col("body").str.strip_chars())
    )
    prefix, suffix = (
        table["prefix"].fill_null(""),
        table["suffix"].fill_null("").str.strip_chars(),
    )
    letters = suffix.is_in(list(MULTIPLES)) & words.str.contains(
        r"[0-9.,][kKMB]\)?$"
    ).fill_null(False)
    bare = letters & (prefix == "")
    thousands = suffix.filter(bare)
    numbers = len(table) - table["body"].null_count()
    if multiples is None:
        multiples = len(thousands) >= MULTIPLE_SHARE * numbers and set(thousands) != {
            "B"
        }
    if not multiples:
        letters &= ~bare
    factors = suffix.replace_strict(MULTIPLES, default=1.0, return_dtype=pl.Float64)
    ones = pl.Series([1.0], dtype=pl.Float64)
    suffix = suffix.zip_with(~letters, pl.Series([""])).str.replace(
        "^(.*[^s].)s$", "${1}"
    )
    return NumberParts(table, prefix + suffix, factors.zip_with(letters, ones))


def unit_of(parts: NumberParts) -> str | tuple[str, str]:
    """Return the unit that the numbers of a column share, empty for none; two that cannot be mixed as a pair."""
    units = parts.units.filter(parts.body.is_not_null())
    names = units.alias("unit").value_counts(sort=True)["unit"].to_list()
    bare = "" in names
    names = [name for name in names if name]
    if not names:
        return ""
    currencies = [name for name in names if re.fullmatch(CURRENCY, name)]
    measures = [name for name in names if name in UNITS]
    for kind in (currencies, measures):
        if len(kind) > 1:
            return kind[0], kind[1]
    if currencies:
        return currencies[0]
    if names[0] == PERCENT and bare:
        without = parts.body.filter((parts.units == "") & parts.body.is_not_null())
        return (
            PERCENT
            if without.str.contains(r"^0*[.,]?0*$").all()
            else (PERCENT, "no percent sign")
        )
    if not bare:
        return names[0]
    return _with_bare_numbers(parts, names[0]) if names[0] in MIXED_UNITS else ""


def _with_bare_numbers(parts: NumberParts, unit: str) -> str | tuple[str, str]:
    """Return the unit of a column where some numbers lack it: those have to be among the others."""
    table = pl.DataFrame({"body": parts.body, "unit": parts.units}).drop_nulls()
    table = table.with_columns(
        pl.col("body").str.replace(",", ".").cast(pl.Float64, strict=False)
    ).drop_nulls()
    with_unit, without = (
        table.filter(pl.col("unit") == name)["body"] for name in (unit, "")
    )
    if len(with_unit) < max(FEWEST_WITH_UNIT, len(without)):
        return ""
    low, high = float(with_unit.min()), float(with_unit.max())  # type: ignore[arg-type]
    among = without.is_between(low - (high - low) / 2, high + (high - low) / 2)
    return unit if among.all() else (unit, "no unit")


def decimal_shown(parts: NumberParts) -> Decimal | None:
    """Return the decimal separator that some numbers show and none contradicts."""
    only: list[Decimal] = [
        decimal
        for decimal in NAMES
        if (parts.fits(decimal) & ~parts.fits(OTHER[decimal])).any()
    ]
    return only[0] if len(only) == 1 else None
