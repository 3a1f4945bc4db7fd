"""Columns of a new table, read as training read them, with notes on the cells that are written otherwise."""

import re
from collections.abc import Mapping

import polars as pl

from langevax.app.errors import BadInput, count
from langevax.app.tables.columns import plain_columns, words_of
from langevax.app.tables.dates import EITHER, days_of
from langevax.app.tables.inference import BOUND, FIRST
from langevax.app.tables.numbers import (
    CURRENCY,
    NAMES,
    OTHER,
    UNITS,
    decimal_shown,
    take_apart,
)
from langevax.app.tables.records import first_place, places
from langevax.app.tables.styles import Style, as_words, parse

FEWEST_UNREADABLE = 5  # values of a column, at least, none of which can be read, so that a table is refused


def reread(
    frame: pl.DataFrame, styles: Mapping[str, Style]
) -> tuple[list[pl.Series], list[str]]:
    """Return columns of numbers and dates as float64, null where missing, and notes for the user.

    Args:
        frame: the columns as they are in the file.
        styles: how they were written in training; plain numbers where a column is not named.

    Example:
        >>> columns, notes = reread(pl.DataFrame({"x": ["1,5", "?"], "y": ["2", "high"]}), {"x": Style("numeric", ",")})
        >>> [column.to_list() for column in columns], notes
        ([[1.5, None], [2.0, None]], ["Column 'y': 1 non-numeric value counted as missing ('high' in data row 2)."])
    """
    columns, notes = [], []
    plain = plain_columns(
        words_of(frame.select(name for name in frame.columns if name not in styles))
    )
    for column in frame:
        name, style = column.name, styles.get(column.name, Style("numeric"))
        if (reading := plain.get(name)) is not None:
            values, infinite = reading.values, reading.infinite
        else:
            values, infinite = parse(column, style)
            if values.null_count() > infinite:
                notes += unreadable_values(name, style, as_words(column), values)
        notes += [infinite_values(name, infinite)] if infinite else []
        columns.append(values.alias(name))
    return columns, notes


def _refuse_other_notation(
    name: str, style: Style, words: pl.Series, strange: pl.Series
) -> None:
    """Refuse cells that say something in another notation than training's: a date, a number in a unit, a bound."""
    place = first_place(words, strange)
    if style.kind == "date" and style.order in EITHER:
        other = EITHER[1 - EITHER.index(style.order)]
        if days_of(words.filter(strange), other).is_not_null().any():
            raise BadInput(
                f"TABLE has dates with {FIRST[other]} in column {name!r} ({place}), where training had "
                f"{FIRST[style.order]}; write them as in training."
            )
    if style.kind != "numeric":
        return
    bounds = strange & words.str.contains(BOUND).fill_null(False)
    if bounds.any():
        raise BadInput(
            f"TABLE has bounds among the numbers of column {name!r} ({first_place(words, bounds)}); replace or empty "
            "them."
        )
    units = take_apart(words, style.multiples).units
    in_another = (
        strange
        & (units != "")
        & (units != style.unit)
        & take_apart(words).body.is_not_null()
    )
    known = in_another & units.is_in(
        [
            unit
            for unit in units.unique()
            if unit in UNITS or re.fullmatch(CURRENCY, unit)
        ]
    )
    if known.any():
        training = f"{style.unit!r}" if style.unit else "no unit"
        raise BadInput(
            f"TABLE has numbers in another unit in column {name!r} ({first_place(words, known)}), where training had "
            f"{training}; convert them."
        )


def infinite_values(name: str, number: int) -> str:
    """Return a note on infinite values of a column."""
    return f"Column {name!r}: {count(number, 'infinite value')} counted as missing."


def unreadable_values(
    name: str, style: Style, words: pl.Series, values: pl.Series
) -> list[str]:
    """Return a note on cells that cannot be read as in training; refuse a column of which none can."""
    infinite = words.cast(pl.Float64, strict=False).is_finite().not_().fill_null(False)
    strange = (
        words.is_not_null()
        & values.is_null()
        & ~(infinite & pl.Series([style.kind == "numeric"]))
    )
    number = int(strange.sum())
    if not number:
        return []
    _refuse_other_notation(name, style, words, strange)
    where, noun = (
        places(words, strange, most=1),
        {"numeric": "numbers", "date": "dates"}[style.kind],
    )
    if style.kind == "numeric":
        parts, decimal = take_apart(words), style.decimal
        if not style.whole and decimal_shown(parts) not in (None, decimal):
            raise BadInput(
                f"TABLE has {NAMES[OTHER[decimal]]} in column {name!r} ({where}), where training had "
                f"{NAMES[decimal]}; write it as in training."
            )
    if number >= FEWEST_UNREADABLE and not values.is_not_null().any():
        raise BadInput(
            f"TABLE has no {noun} in column {name!r} that are written as in training, but {where}; correct it."
        )
    kind = "numeric" if style.kind == "numeric" else "date"
    return [
        f"Column {name!r}: {count(number, f'non-{kind} value')} counted as missing ({where})."
    ]
