"""Numbers as people write them: currencies, percent signs, units, thousands and decimal commas.

`1,5` can only be a decimal and `1,234.5` only thousands; `1,234` can be either. All cells of a column are numbers with
one decimal separator and one unit, or none.
"""

from typing import Literal

import polars as pl

Decimal = Literal[".", ","]
NUMBER_CELL = (
    r"^(?P<before>\(?[-+]?\s*(?:[A-Z]{0,3}\p{Sc}|EUR|USD|GBP|CHF|JPY|CNY|INR)?\s*[-+(]?)\s*(?P<body>[0-9][0-9.,' ]*|[.,][0-9]+)"
    r"(?P<exponent>[eE][-+]?[0-9]+)?\s*(?P<unit>[\p{L}\p{Sc}%°][^0-9()]*?)?(?P<close>\))?$"
)
_WHOLE = r"0|[1-9][0-9]*|[1-9][0-9]{0,2}(?:(?: [0-9]{3})+|(?:'[0-9]{3})+)"
SHAPES: dict[Decimal, str] = {
    ".": rf"^(?:0[0-9]+|(?:{_WHOLE}|[1-9][0-9]{{0,2}}(?:,[0-9]{{3}})+|[1-9][0-9]?(?:,[0-9]{{2}})+,[0-9]{{3}})?(?:\.[0-9]*)?)$",
    ",": rf"^(?:0[0-9]+|(?:{_WHOLE}|[1-9][0-9]{{0,2}}(?:\.[0-9]{{3}})+)?(?:,[0-9]*)?)$",
}
"""Digits with their separators, by the decimal separator; 01.2022 and 08.30 are a month and a time, not numbers."""
PLAIN = r"^[-+]?(?:0|[1-9][0-9]{0,6})(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?$"
"""Numbers that nothing else could be: codes and dates of eight digits may have more."""
DATED = r"^(?:(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])|(?:[012]?[0-9]|3[01])(?:0[1-9]|1[0-2])(?:19|20)[0-9]{2})$"
"""Numbers that may be months, 202401, or days, 31012024."""
POINT = r"^[-+]?0\.|\.[0-9]{1,2}$|\.[0-9]+e|\.[0-9]{4}|[0-9]{4}\."
"""In plain numbers, a point that cannot separate thousands."""
ONE_GROUP: dict[Decimal, str] = {
    ".": r"^[-+]?[1-9][0-9]{0,2},[0-9]{3}$",
    ",": r"^[-+]?[1-9][0-9]{0,2}\.[0-9]{3}$",
}
"""Thousands by the decimal separator, which would be decimals by the other."""


def take_apart(words: pl.Series) -> pl.DataFrame:
    """Return the parts of cells that may be numbers: body, exponent, negative, unit; a null body where one is not.

    Example:
        >>> take_apart(pl.Series(["-$1,234.50", "(7)", "3 kg", "x"]))["unit"].to_list()
        ['$', '', 'kg', '']
    """
    spaced = words.str.replace_all(r"[\u00a0\u2007\u2009\u202f]", " ")
    plain = spaced.str.replace_all("[−–]", "-").str.replace_all("[’‘]", "'")
    parts = plain.str.extract_groups(NUMBER_CELL).struct.unnest()
    before = pl.col("before").fill_null("")
    bracket = before.str.contains("(", literal=True)
    balanced = bracket == pl.col("close").is_not_null()
    return parts.select(
        body=pl.when(balanced).then(pl.col("body").str.strip_chars()),
        exponent=pl.col("exponent").fill_null(""),
        negative=bracket | before.str.contains("-", literal=True),
        unit=before.str.replace_all(r"[-+(\s]", "")
        + pl.col("unit").fill_null("").str.strip_chars(),
    )


def unit_of(parts: pl.DataFrame) -> str:
    """Return the unit that most numbers have, which may be none; none where as many have none."""
    units = parts.filter(pl.col("body").is_not_null())["unit"].rename("unit")
    by_number = units.value_counts().sort("count", "unit", descending=[True, False])
    return by_number["unit"][0] if by_number.height else ""


def numbers_of(
    parts: pl.DataFrame, decimal: Decimal, unit: str, grouped: bool = True
) -> pl.Series:
    """Return float64, null where a cell is not a number with this decimal separator and this unit.

    Unless thousands are known to be `grouped`, cells that the other separator would make decimals are none.

    Example:
        >>> parts = take_apart(pl.Series(["1.234,5 €", "-7 €", "3"]))
        >>> numbers_of(parts, ",", "€").to_list()
        [1234.5, -7.0, None]
    """
    grouping = r"[' ,]" if decimal == "." else r"[' .]"
    digits = pl.col("body").str.replace_all(grouping, "").str.replace(",", ".")
    number = (digits + pl.col("exponent")).cast(pl.Float64, strict=False)
    fits = pl.col("body").str.contains(SHAPES[decimal]) & (pl.col("unit") == unit)
    alone = (pl.col("exponent") == "") & grouped  # powers of ten have no thousands
    fits &= alone | ~pl.col("body").str.contains(ONE_GROUP[decimal])
    signed = pl.when(pl.col("negative")).then(-number).otherwise(number)
    finite = pl.when(fits & number.is_finite()).then(signed)
    return parts.select(value=finite)["value"]
