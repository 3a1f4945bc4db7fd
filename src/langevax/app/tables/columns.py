"""Kinds of columns, decided over whole columns and with the evidence of the other columns of the file.

- numbers: nearly all values present are numbers; other words and infinite numbers count as missing.
- dates: as days since 1970; times of day as fractions of a day.
- words: everything else, also two opposite words such as yes and no. Columns that identify their rows are left out.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count, quoted
from langevax.app.tables.dates import days_of_columns
from langevax.app.tables.doubts import CODE_WITH_E, MOST_VERSIONS, not_told_apart
from langevax.app.tables.inference import (
    ANSWER,
    SEPARATES_DECIMAL_COMMAS,
    THOUSANDS,
    Ambiguity,
    ReadColumn,
    infer,
)
from langevax.app.tables.numbers import decimal_shown, take_apart
from langevax.app.tables.records import Decision, option
from langevax.app.tables.styles import Choices, Kind, Style, as_words, finite, parse
from langevax.data.files import MISSING
from langevax.sklearn.folds import FEWEST_GROUPS

DISTINCT_SHARE = (
    0.95  # of the values present: a column with more distinct words identifies its rows
)
EXACT = 2.0**53  # beyond which distinct integers may be the same float64
IDENTIFIERS = re.compile(
    r"(?:unnamed: ?\d+|column 1|row[ _.]?names?|index|idx|id|uid|uuid|pk|seq|level_0|nr\.?|no\.?|#"
    r"|lfd\.?(?:[ _.-]?(?:nr\.?|no\.?|nummer))?|laufnummer"
    r"|row|row[ _]?(?:id|no|nr|num|number)|.*[ _.-](?:id|no|nr))|(?-i:.*[a-z]I[dD])",
    re.IGNORECASE,
)
"""Names of columns whose distinct integers identify rows."""
_WITH_NUMBERS = (
    "customer|client|patient|user|member|subject|employee|student|passenger|participant|respondent|person|household|visitor"
    "|subscriber|supplier|vendor|sample|specimen|serial|record|row|obs|observation|case|entry|kunden?|mitglied|proband"
    "|teilnehmer|patienten?|client[ei]|paciente|usuario|utilisateur|abonn[eé]|klant|kund|asiakas|klient"
)
_BOOKED = (
    "account|order|invoice|transaction|loan|policy|contract|ticket|booking|reservation|shipment|claim|payment|receipt"
    "|konto|auftrag|bestellung|rechnung|vertrag|beleg|pedido|cuenta|factura|commande|facture|compte|dossier"
)
_NUMBER = r"(?:s?[ _.-]?(?:no\.?|nr\.?|num|number|nummer|key|ref|reference|code))"
NUMBERED = re.compile(
    rf"(?:{_WITH_NUMBERS}){_NUMBER}?|(?:{_BOOKED}){_NUMBER}|.{{3,}}(?:nummer|nr\.?)|id[ _.-].+"
    rf"|n[uú]m[eé]ro[ _](?:d[eu][ _])?(?:{_WITH_NUMBERS}|{_BOOKED})",
    re.IGNORECASE,
)
"""Names of what has a number of its own, whose distinct integers identify rows."""
BOOKED = re.compile(rf"{_BOOKED}|.*[ _.-]{_NUMBER}", re.IGNORECASE)
"""Names of what has a number or an amount: distinct integers of equal length identify rows."""
FEWEST_RUNNING = 20  # integers that run from row to row, at least, to be those of rows
LOWEST_RUNNING = 1000  # of them: small ones may be times, doses or ages
LEAST_DIGITS, LARGEST_ROUND = (
    6,
    0.3,
)  # of integers that may be ids: digits, and the share that ends in 0, as prices do
FAR_NUMBERS = {
    sign * float(f"{'9' * digits}") for digits in range(1, 7) for sign in (-1, 1)
} - {9.0} | {-1.0}
"""Numbers that stand for missing values in many files."""
FAR_DATES = {
    float(np.datetime64(date, "D").astype(int))
    for date in ("1900-01-01", "1899-12-30", "1899-12-31")
}
FAR_DATES |= {0.0} | {
    float(np.datetime64(date, "D").astype(int))
    for date in ("1753-01-01", "2099-12-31", "2999-12-31")
}
"""Dates that do so, in days since 1970."""
YEARS = (1500, 2200)
COMPACT_DATES = (19_000_101, 20_991_231)
WITNESSES = 200  # columns of plain numbers in which a decimal point is searched for


def read_columns(
    frame: pl.DataFrame,
    choices: Choices | None = None,
    separator: str = ",",
    totals: pl.DataFrame | None = None,
) -> list[ReadColumn]:
    """Decide what kind each column is, and whether it is useful; raise `BadInput` where one can be read in two ways.

    Args:
        frame: the columns as they are in the file.
        choices: what the user says.
        separator: of the columns of the file.
        totals: rows that were left out, whose numbers may show how others are written.

    Example:
        >>> frame = pl.DataFrame({"price": ["1,5", "2"] * 2, "sold": ["1,234", "0"] * 2})
        >>> [column.values.to_list() for column in read_columns(frame)]
        [[1.5, 2.0, 1.5, 2.0], [1.234, 0.0, 1.234, 0.0]]
    """
    choices = choices or Choices()
    words = words_of(frame)
    plain = plain_columns(words)
    of_words = {column.name: column for column in words}
    days = days_of_columns(
        words.drop([*plain, *(choices.columns.keys() & of_words.keys() - plain.keys())])
    )
    read: list[ReadColumn | Ambiguity] = []
    for column in frame:
        if column.name not in of_words:
            read.append(_typed(column))
        elif column.name in plain and column.name not in choices.columns:
            read.append(plain[column.name])
        else:
            read.append(
                infer(
                    column,
                    of_words[column.name],
                    choices,
                    separator,
                    days.get(column.name),
                )
            )
    columns = _resolved(read, of_words, choices, separator, totals)
    return [
        _judged(reading, column) for reading, column in zip(columns, frame, strict=True)
    ]


def words_of(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of text without surrounding spaces, null where a word stands for a missing value."""
    text = [name for name, kind in frame.schema.items() if kind == pl.String]
    words = frame.select(text).select(pl.all().str.strip_chars())
    return (
        words.select(pl.when(~pl.all().is_in(MISSING)).then(pl.all()))
        if text
        else words
    )


def plain_columns(words: pl.DataFrame) -> dict[str, ReadColumn]:
    """Return the columns whose words are all plain numbers, neither codes with leading zeros nor dates.

    All columns at once, since thousands of them are read in a second so.
    """
    if not words.width:
        return {}
    numbers = words.cast(pl.Float64, strict=False)
    low, high = COMPACT_DATES
    facts = zip(
        numbers,
        words.null_count().row(0),
        numbers.null_count().row(0),
        numbers.select(pl.all().is_finite().all()).row(0),
        numbers.select(pl.all().is_between(low, high).all()).row(0),
        words.select(pl.all().str.contains("^0[0-9]+$").any()).row(0),
        words.select(pl.all().str.contains(".", literal=True).any()).row(0),
        numbers.select((pl.all().abs() >= EXACT).any()).row(0),
        words.select(pl.all().str.contains(CODE_WITH_E).all()).row(0),
        numbers.select(pl.all().n_unique()).row(0),
        strict=True,
    )
    plain = {}
    for (
        column,
        missing,
        unread,
        all_finite,
        like_dates,
        zeros,
        points,
        inexact,
        codes,
        distinct,
    ) in facts:
        if (
            missing < unread
            or missing == len(column)
            or like_dates
            or zeros
            or (inexact and not points)
            or codes
        ):
            continue
        values, infinite = (column, 0) if all_finite else finite(column)
        remark = (
            not_told_apart(words[column.name], values)
            if points and distinct <= MOST_VERSIONS
            else ""
        )
        decisions = (Decision("numbers", remark, column.name),) if remark else ()
        plain[column.name] = ReadColumn(
            values, Style("numeric", whole=not points), decisions, infinite=infinite
        )
    return plain


def _typed(column: pl.Series) -> ReadColumn:
    """Read a column that is not text, from Parquet."""
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        empty = pl.Series(column.name, [None] * len(column), dtype=pl.String)
        return ReadColumn(
            empty, Style("categorical"), useless=f"it holds {column.dtype}"
        )
    style = Style(
        "date"
        if column.dtype.is_temporal()
        else "numeric"
        if column.dtype.is_numeric()
        else "categorical"
    )
    clock = column.dtype in (pl.Duration, pl.Time)
    style = replace(style, order="time") if clock else style
    values, infinite = parse(column, style)
    decisions: tuple[Decision, ...] = ()
    if style.kind == "date":
        noun = (
            "durations, used in days"
            if column.dtype == pl.Duration
            else "times of day, used as fractions of a day"
        )
        sentence = f"Column {column.name!r} holds {noun if clock else 'dates, used as days since 1970'}."
        decisions = (Decision("dates", sentence, column.name),)
        if never := values.null_count() - column.null_count():
            sentence = f"Column {column.name!r}: {count(never, 'date')} in the year 9999 stand for none, and are missing."
            decisions = (Decision("missing", sentence, column.name), *decisions)
    return ReadColumn(values, style, decisions, infinite=infinite)


def _resolved(
    read: Sequence[ReadColumn | Ambiguity],
    words: dict[str, pl.Series],
    choices: Choices,
    separator: str,
    totals: pl.DataFrame | None,
) -> list[ReadColumn]:
    """Decide what can be read in two ways, by what other columns show or the user says."""
    shown: dict[str, str] = {}
    for column in read:
        if isinstance(column, ReadColumn) and column.evidence:
            shown.setdefault(column.evidence, column.values.name)
    if (
        "decimal-comma" in shown
        or separator in SEPARATES_DECIMAL_COMMAS
        or "decimal-comma" in choices.default
    ):
        read = [_grouped(column, words, choices, separator) for column in read]
    if "decimal-point" not in shown and any(_of_decimals(column) for column in read):
        shown |= _witness(read, words)
    of_totals = {column.name: column for column in (() if totals is None else totals)}
    columns = [
        column
        if isinstance(column, ReadColumn)
        else _answered(column, shown, choices, of_totals.get(column.name))
        for column in read
    ]
    if "decimal-comma" not in shown or "decimal-point" in shown:
        return columns
    return [  # new values of whole numbers will be written as the file writes others
        replace(c, style=replace(c.style, decimal=","))
        if c.style.whole and c.kind == "numeric"
        else c
        for c in columns
    ]


def _of_decimals(column: ReadColumn | Ambiguity) -> bool:
    return isinstance(column, Ambiguity) and "decimal-comma" in column.readings


def _grouped(
    column: ReadColumn | Ambiguity,
    words: dict[str, pl.Series],
    choices: Choices,
    separator: str,
) -> ReadColumn | Ambiguity:
    """Return numbers such as 1.234 as ambiguous, where the file may write thousands so."""
    if (
        isinstance(column, Ambiguity)
        or column.style != Style("numeric")
        or column.values.name not in words
    ):
        return column
    text = words[column.values.name]
    if column.values.name in choices.columns or column.strays:
        return column
    points = text.filter(text.str.contains(".", literal=True))
    if not len(points) or not points.str.contains(THOUSANDS[","]).all():
        return column
    return infer(text, text, choices, separator)


def _witness(
    read: Iterable[ReadColumn | Ambiguity], words: dict[str, pl.Series]
) -> dict[str, str]:
    """Return a column of plain numbers in which a point can only be that of decimals, if there is one."""
    plain = [
        c.values.name
        for c in read
        if isinstance(c, ReadColumn) and c.style == Style("numeric")
    ]
    for name in [name for name in plain if name in words][:WITNESSES]:
        parts = take_apart(words[name])
        if (parts.fits(".") & ~parts.fits(",")).any():
            return {"decimal-point": name}
    return {}


def _answered(
    column: Ambiguity,
    shown: dict[str, str],
    choices: Choices,
    total: pl.Series | None = None,
) -> ReadColumn:
    chosen = [answer for answer in column.readings if answer in choices.default]
    if len(chosen) == 1:
        return column.answered(chosen[0], "as --read says")
    witnesses = [answer for answer in column.readings if answer in shown]
    if len(witnesses) == 1:
        return column.answered(witnesses[0], f"as column {shown[witnesses[0]]!r} is")
    decimal = (
        None if total is None else decimal_shown(take_apart(total.str.strip_chars()))
    )
    if decimal is not None and ANSWER[decimal] in column.readings:
        return column.answered(ANSWER[decimal], "as its total is")
    if column.default:
        return column.answered(column.default)
    raise BadInput(column.refusal())


# Columns that are of no use


def _judged(reading: ReadColumn, column: pl.Series) -> ReadColumn:
    if reading.useless:
        return reading
    identifies = _identifies_rows(reading, column)
    useless = identifies or constant(reading.values)
    resembles = "" if useless else _resembles_id(reading)
    return replace(
        reading,
        useless=useless,
        identifies_rows=bool(identifies),
        resembles_id=resembles,
    )


def constant(values: pl.Series) -> str:
    """Return why a column without two different values is useless."""
    missing = values.null_count()
    if missing == len(values):
        return "it has no values"
    if not missing and values.min() == values.max():
        return f"it is {values[0]!r} in every row"
    return ""


def _identifies_rows(reading: ReadColumn, column: pl.Series) -> str:
    values, number = reading.values, len(reading.values) - reading.values.null_count()
    if number < 3 or reading.kind == "date":
        return ""
    if reading.kind == "categorical":
        if values.drop_nulls().n_unique() < DISTINCT_SHARE * number:
            return ""
        if 2 * number <= len(values):
            merged = "if it had merged cells, copy each value into the rows below"
            return f"it has values in {number:,} of {count(len(values), 'row')}, all different ({merged})"
        return f"its words, such as {quoted(values.drop_nulls()[0])}, identify rows"
    low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
    large = max(-low, high) >= EXACT and column.n_unique() >= DISTINCT_SHARE * len(
        column
    )
    if (
        large
        and not column.cast(pl.String)
        .str.contains("[0-9][eEdD][-+0-9]|[.,][0-9]*[1-9]")
        .any()
    ):
        return "its integers, larger than 2^53, identify rows"
    if number == len(values) == high - low + 1 and low in (0, 1) and _counts(values):
        return "it numbers the rows"
    present = values.drop_nulls()
    if not _whole(present) or present.n_unique() < number:
        return ""
    if _named_as_id(column.name) or (
        BOOKED.fullmatch(column.name) and len(f"{low:.0f}") == len(f"{high:.0f}")
    ):
        return "its name and its distinct integers identify rows"
    if (
        number == len(values) == high - low + 1
        and number >= FEWEST_RUNNING
        and _beyond_years(low, high)
    ):
        return f"it numbers the rows from {low:,.0f} to {high:,.0f}"
    return ""


def _whole(numbers: pl.Series) -> bool:
    """Return whether all numbers are integers."""
    values = numbers.to_numpy()
    return bool((values == np.round(values)).all())


def _named_as_id(name: str) -> bool:
    return bool(IDENTIFIERS.fullmatch(name) or NUMBERED.fullmatch(name))


def _beyond_years(low: float, high: float) -> bool:
    """Return whether integers are too large for counts, and not years."""
    return low >= LOWEST_RUNNING and not YEARS[0] <= low <= high <= YEARS[1]


def _resembles_id(reading: ReadColumn) -> str:
    """Return why a column, which is used, may only identify rows or groups of them."""
    values, name = reading.values.drop_nulls(), reading.values.name
    if len(values) < FEWEST_RUNNING or reading.kind == "date":
        return ""
    distinct, together = values.n_unique(), option("--group", name)
    repeats = _named_as_id(name) and FEWEST_GROUPS <= distinct < len(values)
    if reading.kind == "categorical":
        by_name = f"has the name of an id: pass {together} if its rows of one value belong together"
        return by_name if repeats else ""
    if not _whole(values):
        return ""
    if repeats:
        words = option("--read", name, "words")
        return (
            f"is used as a number, but its name is that of an id: pass {option('--drop', name)} or {words} if it is, "
            f"or {together} if its rows of one value belong together"
        )
    if FEWEST_GROUPS <= distinct <= len(values) / 2 and _long_codes(values.unique()):
        return (
            f"is used as a number, but holds {count(distinct, 'integer')} of the same length that repeat, as ids do: "
            f"pass {option('--drop', name)} if they are, or {together} if its rows of one value belong together"
        )
    low, high = float(values[0]), float(values[-1])
    one_by_one = high - low + 1 == distinct and not YEARS[0] <= low <= high <= YEARS[1]
    if (
        distinct == len(values)
        and values.is_sorted()
        and (one_by_one or _beyond_years(low, high))
    ):
        return f"holds integers that rise from row to row; if they only number the rows, pass {option('--drop', name)}"
    return ""


def _long_codes(values: pl.Series) -> bool:
    """Return whether integers are long, of one length, and do not end in 0 more often than ids do."""
    low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
    long_enough = low >= 10 ** (LEAST_DIGITS - 1) and high < 10 ** len(f"{low:.0f}")
    return long_enough and float((values % 10 == 0).mean()) <= LARGEST_ROUND  # type: ignore[arg-type]


def stands_for_missing(values: pl.Series, dates: bool = False) -> str:
    """Return what is said of a number such as -999, or a date such as 1900-01-01, that is far from all others.

    Example:
        >>> stands_for_missing(pl.Series([1.0, 2.0, 3.0, -999.0, -999.0]))
        '-999 in 2 rows is far from its other values, 1 to 3'
    """
    numbers = values.drop_nulls().to_numpy()
    if not len(numbers):
        return ""
    for extreme in (float(numbers.min()), float(numbers.max())):
        if extreme not in (FAR_DATES if dates else FAR_NUMBERS):
            continue
        others = numbers[numbers != extreme]
        times = len(numbers) - len(others)
        if times < 2 or not len(others):
            continue
        least, most = float(others.min()), float(others.max())
        alone = (
            not dates and extreme < 0 <= least and most > -extreme
        )  # the only number below 0
        if alone or min(abs(extreme - least), abs(extreme - most)) > most - least:
            if dates:
                first, low, high = (
                    str(pl.Series([int(one)]).cast(pl.Date)[0])
                    for one in (extreme, least, most)
                )
                return f"{first} in {times:,} rows is far from its other dates, {low} to {high}"
            what = (
                "is the only number below 0, beside"
                if alone
                else "is far from its other values,"
            )
            return f"{extreme:.0f} in {times:,} rows {what} {least:g} to {most:g}"
    return ""


def _counts(numbers: pl.Series) -> bool:
    """Return whether the values are 0..n-1 or 1..n in some order."""
    ordered = np.sort(numbers.to_numpy())
    return bool(
        ordered[0] in (0, 1)
        and np.array_equal(ordered - ordered[0], np.arange(len(ordered)))
    )


# One column


def read_column(column: pl.Series, choices: Choices | None = None) -> ReadColumn:
    """Decide what kind a column is, and whether it is useful.

    Example:
        >>> read_column(pl.Series("x", ["1", " 2.5", "NA"])).values.to_list()
        [1.0, 2.5, None]
        >>> read_column(pl.Series("x", ["2024-01-31", "2024-02-01"])).kind
        'date'
    """
    return read_columns(pl.DataFrame([column]), choices)[0]


def kind_of(column: pl.Series) -> Kind:
    """Return numeric or date where nearly every value present is one, else categorical."""
    return read_column(column).kind


def as_kind(column: pl.Series, kind: Kind) -> tuple[pl.Series, int]:
    """Return numbers (float64) or words in the plainest style of a kind, and the number of infinite values."""
    return parse(column, Style(kind))


__all__ = ["as_kind", "as_words", "constant", "kind_of", "read_column", "read_columns"]
