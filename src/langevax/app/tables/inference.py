"""The kind and the style of one column of text, with the evidence for it.

What can be read in two ways, such as 1,234 or 01/02/2024, is decided by a value that can be read in one way only. Where
the column has none, it is returned as an `Ambiguity`, which the other columns of the file or the user decide. skrub
takes the month first in such a case, and polars infers numbers and dates from the first rows of a file.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from langevax.app.errors import BadInput, count, quoted
from langevax.app.tables.dates import (
    COMPACT,
    EITHER,
    EVERY_ORDER,
    OPEN_END,
    SERIAL,
    Order,
    days_by_order,
    days_of,
    serial_days,
)
from langevax.app.tables.doubts import (
    digits_of_something,
    not_told_apart,
    refuse_exchanged,
    refuse_letters_of_thousands,
    refuse_two_centuries,
    refuse_two_durations,
)
from langevax.app.tables.numbers import (
    ANNOTATED,
    CURRENCY,
    MIXED_UNITS,
    NAMES,
    OTHER,
    UNITS,
    Decimal,
    NumberParts,
    take_apart,
    unit_of,
)
from langevax.app.tables.readings import Ambiguity, ReadColumn, stray_words
from langevax.app.tables.records import Decision, data_row, first_place, option
from langevax.app.tables.styles import (
    ORDERS,
    STAND_FOR_MISSING,
    As,
    Choices,
    Style,
    as_words,
    finite,
)
from langevax.app.tables.words import DIGIT, SAMPLE, categorical, opposites, truth_of

FEW = 20  # distinct integers, at most, that may be codes
FEWEST_NUMBERS = (
    4  # beside words that count as missing although they may have a meaning
)
STRAY_SHARE = 0.1  # of the values present, at most, that such words have
CODE_SHARE = 0.02  # the same of words with digits, such as 4+ or 12A, and of numbers with another decimal separator
THOUSANDS: dict[Decimal, str] = {
    ",": r"^[-+]?[1-9][0-9]{0,2}(\.[0-9]{3})+$",
    ".": r"^[-+]?[1-9][0-9]{0,2}(,[0-9]{3})+$",
}
"""Numbers in groups of thousands, by the decimal separator that they would have."""
BOUND = (
    r"^(?:[<>]=?|[≤≥]|&[lg]t;=?|(?i:under|over|below|above|less than|more than|at least|at most|up to|unter|über"
    r"|mehr als|weniger als|moins de|plus de|menos de|más de))"
    r"\s*[^\s0-9<>=]{0,3}\s?[0-9][0-9.,]*(?:[eE][-+]?[0-9]+)?(?:\s*[^\s0-9]{1,9})?$"
    r"|^[0-9]{2,}[0-9.,]*\s?\+$"
)
MARKED = r"^\(?[-+−]?[0-9][0-9.,\s]*\)?\s(?P<mark>[a-z]{1,2}|CR|DR|Cr|Dr)$"
"""A number with a flag, as statistical offices and banks write it."""
FEWEST_MARKS, DISTINCT_NUMBERS = 2, 0.5
"""Flags that differ, and the share of distinct values, at least: less may be units, or the numbers of houses."""
HOUSES = re.compile(
    r"(?:h[ao]use?|huis|stra(?:ß|ss)en|street|building|apartment|flat)[ _.-]*(?:no|nr|num|number|nummer)\b|\bhnr\b",
    re.IGNORECASE,
)
"""Names of columns in which a letter after a number belongs to it."""
IN_ADDRESSES = r"^[0-9]{1,5}\s?[A-Za-z]?$"
NO_FLAGS = UNITS | {"am", "pm"}
FEW_YEARS = 12  # between the last numbers of dates whose first one, the same in all rows, is a day
YEAR = 366  # days, by which dates that a spreadsheet counted may be beyond the others
NO_DATE = "00000000"  # as SAP writes it
WITH_ERROR = r"^[-+−]?[0-9][0-9.,]*\s*(?:±|\+/-|\+-)\s*[0-9][0-9.,]*$"
CLOCK_WORD = "Uhr"
SEPARATES_DECIMAL_COMMAS = (";", "\t")
"""Separators of columns of files that may write decimal commas, and 1.234 for a thousand and more."""
ANSWER: dict[Decimal, As] = {".": "decimal-point", ",": "decimal-comma"}
FIRST: dict[str, str] = {"day-first": "the day first", "month-first": "the month first"}


def infer(
    column: pl.Series,
    words: pl.Series,
    choices: Choices,
    separator: str,
    days: Mapping[Order, pl.Series] | None = None,
) -> ReadColumn | Ambiguity:
    """Return a column of text read as what it holds.

    Args:
        column: the cells as they are in the file.
        words: the same without surrounding spaces, null where they stand for a missing value.
        choices: what the user says.
        separator: of the columns of the file; semicolons let points separate thousands.
        days: the words as dates in each order, where they were read beforehand.
    """
    choice = choices.columns.get(words.name)
    if choice == "words":
        style = Style("categorical", verbatim=True)
        return ReadColumn(as_words(column, style), style)
    if choice == "ignore-case":
        style = Style("categorical", ignore_case=True)
        return ReadColumn(as_words(column, style), style)
    if choice is None:
        if truth := truth_of(words):
            return opposites(column, words, truth)
        if (
            days is not None
            and (
                dates := _nothing_but_dates(words, days, _or_leave(words.name, choices))
            )
            is not None
        ):
            return dates
        if not words.str.contains(DIGIT).any():
            return categorical(column, words)
        if (dates := _compact(words, choices, separator)) is not None:
            return dates
        if len(led := words.str.contains(r"^0[0-9]+$").fill_null(False).arg_true()):
            place = f"{words[led[0]]!r} in {data_row(led[0])} starts with a zero"
            remedy = f"else pass {option('--read', words.name, 'numbers')}"
            sentence = (
                f"Column {words.name!r} holds words, not numbers: {place}; {remedy}."
            )
            return categorical(column, words, Decision("words", sentence, words.name))
        if words.name != choices.target and (why := digits_of_something(words)):
            remedy = f"else pass {option('--read', words.name, 'numbers')}"
            sentence = (
                f"Column {words.name!r} holds words, not numbers: {why}; {remedy}."
            )
            return categorical(column, words, Decision("words", sentence, words.name))
        lettered = words.str.contains("[A-Za-z]$")
        if (
            HOUSES.search(words.name)
            and lettered.any()
            and words.drop_nulls().str.contains(IN_ADDRESSES).all()
        ):
            place = first_place(words, lettered)
            sentence = f"Column {words.name!r} holds words: by its name the numbers of houses, such as {place}."
            return categorical(column, words, Decision("words", sentence, words.name))
        _refuse_inexact(words, choices)
    attempts = dict.fromkeys(("dates", *ORDERS), (_dates,))
    default = (_numbers, _dates) if choice is None else (_numbers,)
    for attempt in attempts.get(choice or "", default):
        if (reading := attempt(words, choices, separator)) is not None:
            return reading if choice is None else reading.as_chosen()
    if choice is not None:
        raise BadInput(
            f"{option('--read', words.name, choice)}: no value of the column can be read so; leave it out."
        )
    return categorical(column, words)


def _or_leave(name: str, choices: Choices) -> str:
    """Return the options by which a column is not read as numbers, which a target does not have."""
    return (
        ""
        if name == choices.target
        else f", or pass {option('--read', name, 'words')} or {option('--drop', name)}"
    )


def _refuse_inexact(words: pl.Series, choices: Choices) -> None:
    """Refuse bounds such as <0.5 among numbers, and numbers with errors or flags: neither words nor missing."""
    bounds, errors = (
        words.str.contains(pattern).fill_null(False) for pattern in (BOUND, WITH_ERROR)
    )
    remedy = _or_leave(words.name, choices)
    if 2 * errors.sum() > len(words) - words.null_count():
        raise BadInput(
            f"column {words.name!r} holds numbers with their errors ({first_place(words, errors)}); write them in two "
            f"columns{remedy}."
        )
    _refuse_flags(words, remedy)
    if not bounds.any():
        return
    parts = take_apart(words)
    numeric = parts.fits(".") | parts.fits(",")
    small = parts.body.str.contains("^[0-9]$|^1[0-9]$|^20$")
    codes = (
        _codes(parts) and small.filter(parts.body.is_not_null()).all()
    )  # 1 to 4 and 4+, unlike ages and 90+
    if (
        numeric.sum() >= 2
        and not codes
        and _prevail(words.filter(~bounds), numeric.filter(~bounds), False)
    ):
        what = (
            "leave their rows out"
            if words.name == choices.target
            else "count them as missing"
        )
        raise BadInput(
            f"column {words.name!r} holds bounds among its numbers ({first_place(words, bounds)}); replace them, or "
            f"pass {option('--read', words.name, 'numbers')} to {what}{remedy}."
        )


def _refuse_flags(words: pl.Series, remedy: str) -> None:
    """Refuse numbers of which several have a flag behind them, such as 12.3 e, or CR and DR."""
    marks = words.str.extract(MARKED, 1)
    present = words.filter(
        words.is_not_null() & ~words.str.to_lowercase().is_in(STAND_FOR_MISSING)
    )
    distinct = set(marks.drop_nulls().unique())
    if len(
        distinct - NO_FLAGS
    ) < FEWEST_MARKS or present.n_unique() < DISTINCT_NUMBERS * len(present):
        return
    plain = take_apart(present).body.is_not_null() | present.str.contains(MARKED)
    if plain.all():
        raise BadInput(
            f"column {words.name!r} holds numbers with flags behind them ({first_place(words, marks.is_not_null())}); "
            f"move these to a column of their own{remedy}."
        )


# Numbers


def _numbers(
    words: pl.Series, choices: Choices, separator: str
) -> ReadColumn | Ambiguity | None:
    name, parts = words.name, take_apart(words)
    choice = choices.columns.get(name)
    infinite = words.cast(pl.Float64, strict=False).is_infinite().fill_null(False)
    numeric = parts.fits(".") | parts.fits(",")
    if choice is None and not _prevail(words, numeric | infinite, _codes(parts)):
        return None
    if not numeric.any():
        return None
    unit = unit_of(parts)
    if unit == CLOCK_WORD and choice is None:
        return None  # 9.30 Uhr
    letter = (
        isinstance(unit, str)
        and len(unit) == 1
        and unit.isalpha()
        and unit not in UNITS
    )
    if choice is None and letter and _codes(parts):
        return None  # classes such as 1A and 2A, seats and sizes
    if choice is None:
        refuse_letters_of_thousands(words, parts, _or_leave(name, choices))
    if isinstance(unit, tuple):
        first, second = (f"{u!r}" if u and u in parts.units else u for u in unit)
        raise BadInput(
            f"column {name!r} mixes numbers with {first} and with {second}; write them in one unit"
            f"{_or_leave(name, choices)}."
        )
    readings = {d: _read_numbers(words, parts, d, unit, infinite) for d in NAMES}
    decimal = choices.decimal(name) or _decimal_of(words, parts, choice == "numbers")
    if decimal is not None:
        tolerated = choice is not None or _prevail(
            words, readings[decimal].values.is_not_null() | infinite, _codes(parts)
        )
        return readings[decimal] if tolerated else None
    grouped = parts.body.str.contains("[.,]").fill_null(False).arg_true()
    if choice is None and not _prevail(
        words, readings["."].values.is_not_null() | infinite, _codes(parts)
    ):
        return None
    if not len(grouped):
        return readings["."]
    row = grouped[0]
    if re.fullmatch(CURRENCY, unit):
        sold: Decimal = "." if "," in (parts.body[row] or "") else ","
        return readings[sold]  # no amount of money has three decimals in every row
    meanings = {ANSWER[d]: f"{readings[d].values[row]:.15g}" for d in NAMES}
    comma = "," in (parts.body[row] or "")
    plain = (
        parts.body.filter(~parts.body.str.contains("[.,]").fill_null(True))
        .cast(pl.Float64, strict=False)
        .drop_nulls()
    )
    thousands: Decimal = "." if comma else ","
    default = "" if comma or separator in SEPARATES_DECIMAL_COMMAS else ANSWER["."]
    either = {ANSWER[d]: readings[d] for d in NAMES}
    ambiguity = Ambiguity(
        either, f"{quoted(words[row])} in {data_row(row)}", meanings, default
    )
    if (
        (comma or separator in SEPARATES_DECIMAL_COMMAS)
        and len(plain)
        and 100 <= (plain.max() or 0) < 1000
    ):  # type: ignore[operator]
        return ambiguity.answered(
            ANSWER[thousands], "since numbers below 1,000 have no separator"
        )
    return ambiguity


def _codes(parts: NumberParts) -> bool:
    """Return whether the numbers of a column are few distinct integers, which may be codes."""
    whole = parts.body.drop_nulls()
    return bool(whole.str.contains(r"^[0-9]+$").all()) and whole.n_unique() <= FEW


def _prevail(words: pl.Series, good: pl.Series, codes: bool) -> bool:
    """Return whether the other words of a column can count as missing."""
    strays = words.filter(words.is_not_null() & ~good.fill_null(False))
    strays = strays.str.replace(
        rf"^(?:{CURRENCY})\s+|\s+(?:{CURRENCY})$", ""
    ).str.to_lowercase()  # such as "$ -"
    number, present = int(good.sum()), len(words) - words.null_count()
    rest = strays.filter(~strays.is_in(STAND_FOR_MISSING))
    if not len(rest):
        return number >= min(2, present)
    if number < max(FEWEST_NUMBERS, 2 * len(rest)):
        return False
    if rest.str.contains("[0-9]|^.$").any():
        return not codes and len(rest) <= max(1.0, CODE_SHARE * present)
    return len(rest) <= max(2.0, STRAY_SHARE * present) or (
        not codes and rest.n_unique() == 1
    )


def _decimal_of(words: pl.Series, parts: NumberParts, majority: bool) -> Decimal | None:
    """Return the decimal separator that values of a column show, None where they show none."""
    only = {d: parts.fits(d) & ~parts.fits(OTHER[d]) for d in NAMES}
    more, fewer = sorted(NAMES, key=lambda d: -int(only[d].sum()))
    if not only[more].any():
        return None
    if (
        only[fewer].any()
        and not majority
        and only[fewer].sum() > CODE_SHARE * len(words)
    ):
        both = " and ".join(
            f"{NAMES[d]} ({first_place(words, only[d])})" for d in (more, fewer)
        )
        options = " or ".join(
            option("--read", words.name, ANSWER[d]) for d in (more, fewer)
        )
        raise BadInput(
            f"column {words.name!r} mixes {both}; correct them, or pass {options} to count others as missing."
        )
    return more


def _read_numbers(
    words: pl.Series,
    parts: NumberParts,
    decimal: Decimal,
    unit: str,
    infinite: pl.Series,
) -> ReadColumn:
    name, style = (
        words.name,
        Style(
            "numeric",
            decimal=decimal,
            unit=unit,
            multiples=bool((parts.multiples != 1.0).any()),
        ),
    )
    if not parts.body.str.contains("[.,]").any():
        style = replace(style, whole=True)
    plain = words.cast(pl.Float64, strict=False)
    values, number = finite(
        parts.values(decimal, unit).alias(name).zip_with(~infinite, plain)
    )
    good = values.is_not_null() | infinite
    strays = words.is_not_null() & ~good
    decisions = []
    if strays.any():
        decisions.append(stray_words(words, good, strays, "numbers"))
    separators = "[.,' ]" if decimal == "," else "[,' ]"
    annotated = words.str.contains("|".join(f"(?:{pattern})" for pattern in ANNOTATED))
    marked = good & (
        annotated
        | parts.body.str.contains(separators)
        | (parts.units != "")
        | (parts.multiples != 1.0)
    )
    marked = marked.fill_null(False)
    if len(rows := marked.arg_true()):
        having = f" with {NAMES[decimal]}" if decimal == "," else ""
        having += (" and" if having else " with") + f" {unit!r}" if unit else ""
        places_shown = sorted({rows[0], *(good & annotated).arg_true()[:1]})
        examples = " and ".join(
            f"{quoted(words[row])} in {data_row(row)} is {values[row]:.15g}"
            for row in places_shown
        )
        without = (
            int((good & (parts.units == "") & parts.body.is_not_null()).sum())
            if unit in MIXED_UNITS
            else 0
        )
        bare = (
            f"; {count(without, 'number')} without {unit!r} counted in it"
            if without
            else ""
        )
        decisions.append(
            Decision(
                "numbers",
                f"Column {name!r} holds numbers{having}: {examples}{bare}.",
                name,
            )
        )
    if remark := not_told_apart(words, values):
        decisions.append(Decision("numbers", remark, name))
    shown = (parts.fits(decimal) & ~parts.fits(OTHER[decimal])).any()
    return ReadColumn(
        values,
        style,
        tuple(decisions),
        infinite=number,
        strays=int(strays.sum()),
        evidence=ANSWER[decimal] if shown else "",
    )


# Dates


def _compact(words: pl.Series, choices: Choices, separator: str) -> ReadColumn | None:
    """Return dates such as 20240131, where all values are one, or stand for none."""
    none = (words == NO_DATE) | words.str.contains(OPEN_END)
    present = words.filter(~none).drop_nulls()
    if present.n_unique() < 3 or not present.str.contains(COMPACT).all():
        return None
    days = days_of(words, "year-first")
    return (
        _read_dates(words, days, "year-first") if days.count() == len(present) else None
    )


def _nothing_but_dates(
    words: pl.Series, days: Mapping[Order, pl.Series], remedy: str
) -> ReadColumn | None:
    """Return a column of which every word is a date, and neither a number nor a date in another order.

    It is what `_dates` returns; most columns of dates are such, and are read several times faster so.
    """
    present = len(words) - words.null_count()
    whole: list[Order] = [
        order for order in ("year-first", *EITHER) if days[order].count() == present
    ]
    if not present or not whole or words.str.contains(r"^[0-9]{8}$").any():
        return None
    refuse_exchanged(words, days["day-first"], days["month-first"], remedy)
    refuse_two_centuries(words, remedy)
    order = whole[0]
    if order == "year-first":
        return _read_dates(words, days[order], order)
    if len(whole) > 1:
        return None
    _refuse_short_years(words)
    other = EITHER[1 - EITHER.index(order)]
    place = first_place(words, days[order].is_not_null() & days[other].is_null())
    return _read_dates(
        words, days[order], order, f", {FIRST[order]}, as {place} shows", evidence=order
    )


def _dates(
    words: pl.Series, choices: Choices, separator: str
) -> ReadColumn | Ambiguity | None:
    name, forced = words.name, choices.columns.get(words.name) is not None
    sample = words.head(20 * SAMPLE).drop_nulls().unique(maintain_order=True)
    sample = sample.filter(~sample.str.to_lowercase().is_in(STAND_FOR_MISSING)).head(
        SAMPLE
    )
    tried = days_by_order(sample, EVERY_ORDER)
    if not forced and not any(
        2 * days.count() >= len(sample) > 0 for days in tried.values()
    ):
        return None
    days = days_by_order(words, EVERY_ORDER)
    serials = _serials(words, days, choices)
    days = {
        o: d if serials is None else d.zip_with(d.is_not_null(), serials)
        for o, d in days.items()
    }
    numbers = {o: len(words) - days[o].null_count() for o in EVERY_ORDER}
    if choices.order(name) is not None:
        order = choices.order(name)
        assert order is not None
        return _read_dates(words, days[order], order) if numbers[order] else None
    best = max(EVERY_ORDER, key=lambda o: numbers[o])  # the first of equal ones
    either = days["day-first"].is_not_null() | days["month-first"].is_not_null()
    good = (
        either if best in EITHER else days[best].is_not_null()
    ) | words.str.contains(OPEN_END)
    if not numbers[best] or not (forced or _prevail(words, good, False)):
        return None
    remedy = _or_leave(name, choices)
    refuse_exchanged(words, days["day-first"], days["month-first"], remedy)
    refuse_two_centuries(words, remedy)
    if best == "time":
        refuse_two_durations(words, remedy)
    if best not in EITHER:
        return _read_dates(
            words,
            days[best],
            best,
            ", the year first" if best == "short-year-first" else "",
        )
    _refuse_short_years(words)
    only = {
        a: days[a].is_not_null() & days[b].is_null() for a, b in (EITHER, EITHER[::-1])
    }
    more, fewer = sorted(EITHER, key=lambda o: -int(only[o].sum()))
    if only[more].any():
        if only[fewer].sum() > CODE_SHARE * len(words):
            both = " and ".join(
                f"{FIRST[o]} ({first_place(words, only[o])})" for o in (more, fewer)
            )
            options = " or ".join(option("--read", name, o) for o in (more, fewer))
            raise BadInput(
                f"column {name!r} mixes dates with {both}; correct them, or pass {options}."
            )
        shown = f", {FIRST[more]}, as {first_place(words, only[more])} shows"
        return _read_dates(words, days[more], more, shown, evidence=more)
    differ = (days["day-first"] != days["month-first"]).fill_null(False).arg_true()
    readings = {o: _read_dates(words, days[o], o, f", {FIRST[o]}") for o in EITHER}
    if not len(differ):
        return readings["day-first"]
    row = differ[0]
    meanings = {o: str(pl.Series([int(days[o][row])]).cast(pl.Date)[0]) for o in EITHER}
    return Ambiguity(readings, f"{quoted(words[row])} in {data_row(row)}", meanings)


def _serials(
    words: pl.Series, days: Mapping[Order, pl.Series], choices: Choices
) -> pl.Series | None:
    """Return numbers among dates as days, where they are such by which spreadsheets count days within the dates.

    Programs that expect the month first turn 05/03/2024 into the number of May 3 and leave 25/03/2024 as text: where
    no text could be in that order, the numbers are refused.
    """
    best = max(("year-first", *EITHER), key=lambda o: days[o].count())
    dates, serials = days[best].drop_nulls(), serial_days(words)
    if not len(dates) or not 0 < (number := serials.count()) <= len(dates):
        return None
    low, high = dates.min(), dates.max()
    if not serials.drop_nulls().is_between(low - YEAR, high + YEAR).all():  # type: ignore[operator]
        return None
    either = days["day-first"].is_not_null() & days["month-first"].is_not_null()
    if best in EITHER and len(dates) >= FEWEST_NUMBERS and not either.any():
        place = first_place(words, serials.is_not_null())
        raise BadInput(
            f"column {words.name!r} holds dates and {count(number, 'number')}, such as {place}, which may be dates of "
            "which a spreadsheet exchanged day and month, since none of the others could be read so; export it "
            f"again as text{_or_leave(words.name, choices)}."
        )
    return serials


def _refuse_short_years(words: pl.Series) -> None:
    """Refuse dates such as 24/01/31, whose first numbers are closer to each other than their last, as years are."""
    parts = words.str.extract_groups(
        r"^([0-9]{2})[-/][0-9]{2}[-/]([0-9]{2})(?:[^0-9].*)?$"
    ).struct.unnest()
    first, last = (parts[name].cast(pl.Int64) for name in parts.columns)
    if not len(days := words.drop_nulls()) or first.null_count() > words.null_count():
        return
    spread = [max(part.drop_nulls()) - min(part.drop_nulls()) for part in (first, last)]
    if not spread[0] and (first.drop_nulls()[0] == 1 or spread[1] < FEW_YEARS):
        return  # the first of months, or a day of a few years
    if 4 * spread[0] < spread[1]:
        options = " or ".join(
            option("--read", words.name, order) for order in ("year-first", *EITHER)
        )
        raise BadInput(
            f"column {words.name!r} holds dates whose year may be the first or the last number, such as {days[0]!r}; "
            f"pass {options}."
        )


def _read_dates(
    words: pl.Series, days: pl.Series, order: Order, shown: str = "", evidence: str = ""
) -> ReadColumn:
    name, good = words.name, days.is_not_null()
    strays = words.is_not_null() & ~good
    if (
        not shown
        and order == "year-first"
        and words.str.contains(r"^[0-9]{1,2}\.[0-9]{1,2}\.").any()
    ):
        evidence = "day-first"
    offset = (
        words.filter(good).str.contains(
            r"[0-9MmTC](?:Z|\s?(?:GMT|UTC)?[-+][0-9]{1,2}(?::?[0-9]{2})?)$"
        )
        if order != "time"
        else pl.Series([False])
    )
    utc = (
        " in UTC" if words.filter(good).str.contains(":").any() and offset.any() else ""
    )
    serial = (
        words.str.contains(SERIAL) & good if order != "time" else pl.Series([False])
    )
    counted = ""
    if serial.any():
        row = int(serial.arg_true()[0])
        date = pl.Series([int(days[row])]).cast(pl.Date)[0]
        counted = (
            f"; {first_place(words, serial)} is {date}, as spreadsheets count days"
        )
    sentence = (
        f"Column {name!r} holds dates{shown}, used as days since 1970{utc}{counted}."
    )
    if order != "time" and days.n_unique() > 2:
        first, last = (
            pl.Series([int(end)]).cast(pl.Date)[0] for end in (days.min(), days.max())
        )  # type: ignore[arg-type]
        sentence = f"{sentence[:-1]}: {first} to {last}."
    if order == "time":
        long = (days >= 1).any()
        what = (
            "durations, used in days"
            if long
            else "times of day, used as fractions of a day"
        )
        if not long and words.str.contains("[0-9] ?h ?[0-9]").any():
            what = "times of day or durations in hours and minutes, used as fractions of a day"
        sentence = f"Column {name!r} holds {what}."
    decisions = [Decision("dates", sentence, name)]
    if strays.any():
        decisions.insert(0, stray_words(words, good, strays, "dates"))
    style = Style("date", order=order, serials=bool(serial.any()))
    return ReadColumn(
        days.alias(name),
        style,
        tuple(decisions),
        strays=int(strays.sum()),
        evidence=evidence,
    )
