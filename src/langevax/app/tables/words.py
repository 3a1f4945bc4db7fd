"""Columns of words: two opposite words in any spelling, categories, and numbers or dates that a few words spoil."""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from langevax.app.errors import count, listing, quoted
from langevax.app.tables.dates import EVERY_ORDER, Order, days_by_order
from langevax.app.tables.numbers import NAMES, OTHER_DIGITS, take_apart
from langevax.app.tables.readings import ReadColumn, stray_words
from langevax.app.tables.records import Decision, first_place, option, places
from langevax.app.tables.styles import (
    MARKS,
    STAND_FOR_MISSING,
    TRUTHS,
    Style,
    as_text,
    as_words,
    spellings_of,
    with_lower_truths,
)
from langevax.data.files import MISSING

MOST_SPELLINGS = 24  # of two opposite words in all their cases and languages
SHOWN_SPELLINGS = 12
BY_LETTERS = ("true/false", "yes/no", "ja/nein", "oui/non")
"""Opposite words that letters alone may stand for; S and N may be south and north."""
LIKE_DATES = "^[^0-9]{0,14}[0-9]{1,4}[-/. :h]"
SAMPLE = 200  # distinct words that are tried first as dates
DIGIT = f"[0-9０-９{OTHER_DIGITS}]"  # without one no word is a number or a date: most of the time of reading words
QUANTITY = rf"^[-+(~]?\s?{DIGIT}.*[^0-9\s]|^PT?{DIGIT}"
QUANTITIES, FEWEST_QUANTITIES = (
    0.9,
    12,
)  # share of such words, and distinct ones, from which they may be quantities
MOST_LOST = 0.05  # share of the values, at most, that are counted as missing although they hold digits
SOME_NUMBER = f"{DIGIT}|^[-—]|[-—]$"  # or a dash for none, as spreadsheets show it


def truth_of(words: pl.Series) -> str:
    """Return the two opposite words that a column holds, in any spelling, or nothing.

    They may be of several languages, and 1 and 0, where one of them has three letters: NO and NE may be winds.
    A mark such as x stands beside both of them.

    Example:
        >>> truth_of(pl.Series(["Y", "no", None, "YES"])), truth_of(pl.Series(["F", "M"]))
        ('yes/no', '')
        >>> truth_of(pl.Series(["N", "S"])), truth_of(pl.Series(["true", "0", "1", "falsch", "x"]))
        ('', 'true/false')
    """
    if words.head(SAMPLE).n_unique() > MOST_SPELLINGS:
        return ""
    spellings = (
        set(words.str.to_lowercase().drop_nulls().unique().to_list())
        - STAND_FOR_MISSING
    )
    letters = all(len(spelling) == 1 for spelling in spellings)
    unmarked = spellings - MARKS
    for truth, (first, second) in TRUTHS.items():
        if letters and truth not in BY_LETTERS:
            continue
        full = spellings <= set(truth.split("/")) | first | second and spellings & set(
            truth.split("/")
        )
        if unmarked <= first | second and (
            full or (unmarked & first and unmarked & second)
        ):
            return truth
    return _truth_of_languages(unmarked)


def _truth_of_languages(spellings: set[str]) -> str:
    """Return the two opposite words of the language that most spellings are of, where all are yes or no in one."""
    sides = [
        {
            word
            for both in TRUTHS.values()
            for word in both[side] & spellings
            if len(word) > 1
        }
        for side in (0, 1)
    ]
    if not all(sides) or not any(len(word) > 2 for side in sides for word in side):
        return ""
    truth = max(TRUTHS, key=lambda truth: len(spellings & set().union(*TRUTHS[truth])))
    return truth if spellings <= spellings_of(truth).keys() else ""


def opposites(column: pl.Series, words: pl.Series, truth: str) -> ReadColumn:
    style, decisions = Style("categorical", truth=truth), []
    values = as_words(column, style)
    strays = words.is_not_null() & values.is_null()
    if strays.any():
        decisions.append(
            stray_words(words, values.is_not_null(), strays, truth.replace("/", " or "))
        )
    spellings = words.filter(~strays).drop_nulls().unique(maintain_order=True).to_list()
    if len(spellings) > 2 or not set(spellings) <= set(truth.split("/")):
        marks = [word for word in spellings if word.lower() in MARKS]
        listed = ", ".join(
            quoted(word) for word in spellings[:SHOWN_SPELLINGS] if word not in marks
        )
        apart = f"; {listing(marks)} is a category of its own" if marks else ""
        sentence = f"Column {words.name!r} holds {truth.replace('/', ' and ')}, written {listed}{apart}."
        decisions.append(Decision("words", sentence, words.name))
    return ReadColumn(values, style, tuple(decisions), strays=int(strays.sum()))


def categorical(
    column: pl.Series, words: pl.Series, *decisions: Decision
) -> ReadColumn:
    """Return a column of words, with the words that count as missing, and the numbers among them where they prevail."""
    style, name = Style("categorical"), words.name
    values = with_lower_truths(words)
    if (
        words.null_count() > column.null_count()
        and (missing := as_text(column).is_in(MISSING).fill_null(False)).any()
    ):
        tally = as_text(column).filter(missing).alias("word").value_counts(sort=True)
        listed = ", ".join(
            f"{word!r} in {count(times, 'row')}" for word, times in tally.iter_rows()
        )
        sentence = f"Column {name!r}: {listed} counts as missing; if it is a word, pass {option('--read', name, 'words')}."
        decisions = (*decisions, Decision("missing", sentence, name))
    if (of := mostly(words)) is not None and not (
        decisions and decisions[0].topic == "words"
    ):
        remedy = f"to count these as missing, pass {option('--read', name, of.noun)}"
        if of.harmful:
            remedy = f"write all of them alike, since --read {of.noun} would count these as missing"
        decisions = (
            *decisions,
            Decision(
                "mixed", f"Column {name!r} holds words: {of.sentence}; {remedy}.", name
            ),
        )
    elif not decisions and (of := like_quantities(words)):
        sentence = f"Column {name!r} holds words, such as {of}; if they are quantities, write each as one number."
        decisions = (Decision("mixed", sentence, name),)
    return ReadColumn(values, style, decisions)


def like_quantities(words: pl.Series) -> str:
    """Return the first word of a column of many different ones that start with digits, empty where they do not.

    Example:
        >>> like_quantities(pl.Series([f"{i}.5 ({i % 7})" for i in range(30)]))
        "'0.5 (0)' in data row 1"
    """
    like = words.str.contains(QUANTITY).fill_null(False)
    present = len(words) - words.null_count()
    if (
        like.sum() < max(1.0, QUANTITIES * present)
        or words.drop_nulls().n_unique() < FEWEST_QUANTITIES
    ):
        return ""
    return first_place(words, like)


@dataclass(frozen=True)
class Majority:
    """The kind of most values of a column of words."""

    noun: Literal["numbers", "dates"]
    sentence: str
    harmful: bool = False
    """Whether many of the others hold digits, and would be lost as missing values."""


def mostly(words: pl.Series) -> Majority | None:
    """Return the numbers or dates that most values of a column of words are, if they are.

    Example:
        >>> mostly(pl.Series(["1.5 kg", "2 kg", "heavy", "7 kg"])).sentence
        "3 of 4 values are numbers, but not 'heavy' in data row 3"
    """
    if not words.str.contains(SOME_NUMBER).any():
        return None
    parts = take_apart(words)
    units = (
        parts.units.filter(parts.body.is_not_null())
        .alias("unit")
        .value_counts()
        .sort("count", "unit")["unit"]
    )
    numbers = [
        parts.values(d, unit).is_not_null() for d in NAMES for unit in units[-1:]
    ]
    sample = words.drop_nulls().unique(maintain_order=True).head(SAMPLE)
    tried: dict[Order, pl.Series] = (
        days_by_order(sample, EVERY_ORDER)
        if 3 * sample.str.contains(LIKE_DATES).sum() >= len(sample)
        else {}
    )
    orders: list[Order] = [
        order for order, days in tried.items() if 3 * days.count() >= len(sample)
    ]
    dates = [days.is_not_null() for days in days_by_order(words, orders).values()]
    kinds: list[tuple[Literal["numbers", "dates"], list[pl.Series]]] = [
        ("numbers", numbers),
        ("dates", dates),
    ]
    for noun, readings in kinds:
        good = max(readings, key=lambda good: int(good.sum()), default=words.is_null())
        number, present = int(good.sum()), len(words) - words.null_count()
        if 2 * number >= present > number:
            rest = words.is_not_null() & ~good
            with_digits = words.filter(rest).str.contains(DIGIT).sum()
            otherwise = (
                noun == "numbers" and (rest & parts.body.is_not_null()).any()
            )  # in another unit
            harmful = bool(otherwise or with_digits > MOST_LOST * present)
            sentence = f"{number:,} of {present:,} values are {noun}, but not {places(words, rest, most=2)}"
            return Majority(noun, sentence, harmful)
    return None
