"""Kinds of columns: evidence for numbers and dates, one decision on it, and values.

A column is numbers or dates where all of its cells are, in one notation, or stand for a missing value. Where two
notations fit, other columns of the file decide on the decimal separator, and the user is asked about the order of
dates. Where most cells are numbers or dates and some are not, the user is asked too. All other columns hold words, and
those that look like numbers or dates are named. Columns that identify their rows are left out.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count, enumerated, listing, quoted
from langevax.app.tables.dates import (
    DATE_PATTERNS,
    ORDERS,
    Order,
    as_date,
    days_of,
)
from langevax.app.tables.numbers import (
    DATED,
    ONE_GROUP,
    PLAIN,
    POINT,
    SHAPES,
    Decimal,
    numbers_of,
    take_apart,
    unit_of,
)
from langevax.app.tables.records import (
    Asked,
    Decision,
    all_asked,
    as_missing,
    data_row,
    first_place,
    option,
    places,
    rows_apart,
)
from langevax.app.tables.styles import (
    TRUTHS,
    Choices,
    Kind,
    Style,
    as_text,
    as_words,
    order_in_words,
    parse,
    stands_for_missing,
)

CODES = {
    "starts with a zero": "^0[0-9]+$",
    "has an E among digits": "^[0-9]+E[0-9]+$",
    "is an address": r"^(?:[0-9]{1,3}\.){3}[0-9]{1,3}$",
    "has more digits than a number keeps": "^[0-9]{16,}$",
}
"""Why a cell is a code although it could be read as a number."""
DIGIT = r"\d"
"""Any digit, those of other scripts too: a word with one does not stand for a missing value."""
RESPELT = r"^\+|\.[0-9]*[1-9]0$"
"""Numbers of which the value does not keep the spelling, as versions and telephone numbers."""
DOUBTS = {
    r"^[1-9][0-9]?:[1-5][0-9]$": "a ratio",
    r"^[12][0-9](?:00-01|01-02|02-03|03-04|04-05|05-06|06-07|07-08|08-09|09-10|10-11|11-12)$": "a season or fiscal year",
    DATED: "a date, which is written 2024-01 or 2024-01-31",
}
"""What cells of numbers, dates or times may be instead where all of a column are written so: the user is asked."""
SHORT_YEAR = r"^[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2}(?:[ T].*)?$"
HOW_TO_WRITE = "write numbers as 1234.5 and dates as 2024-01-31"
WORD_STYLES = {
    "words": Style("categorical", verbatim=True),
    "ignore-case": Style("categorical", ignore_case=True),
}
"""Styles of words by the value of --read."""
ANSWERS: dict[Decimal, str] = {".": "decimal-point", ",": "decimal-comma"}
IDENTIFIER = re.compile(
    r"(?i:(?:.*[ _.-])?(?:id|uuid|index|no|nr)\.?)|column 1|.*[a-z]I[dD]"
)
"""Names of columns whose distinct integers identify rows."""
DISTINCT_SHARE = 0.95  # of words, from which they identify rows


@dataclass(frozen=True)
class ReadColumn:
    """A column read in one style, the decisions that led to it, and why it is useless, if it is."""

    values: pl.Series
    """float64 or words, null where missing."""
    style: Style
    decisions: tuple[Decision, ...] = ()
    useless: str = ""
    identifies_rows: bool = False
    """Whether it is useless because it identifies rows, a guess that the user may override."""
    strays: int = 0
    """Words that count as missing in a column of numbers or dates."""
    why_words: str = ""
    """Of words that look like numbers or dates: why they are not."""
    shows: str = ""
    """What its values show of how the file is written: an answer of --read."""
    whole: bool = False
    """Of numbers: whether none of them has a decimal separator."""

    @property
    def kind(self) -> Kind:
        """Numbers, dates or words."""
        return self.style.kind


@dataclass(frozen=True)
class Reading:
    """One way to read a column."""

    values: pl.Series
    style: Style
    answer: str = ""
    """Of --read, which chooses this way."""


@dataclass(frozen=True)
class KindEvidence:
    """Evidence of a column for one kind."""

    noun: str
    recognised: pl.Series
    """Which cells are of this kind in any notation."""
    readings: list[Reading]

    def most(self) -> int:
        """Return how many cells one of the readings reads at most."""
        return max((way.values.count() for way in self.readings), default=0)

    def mostly(self, words: pl.Series, present: pl.Series) -> bool:
        """Return whether more than half of the cells, or of the different ones, are of this kind in any notation."""
        recognised = words.filter(self.recognised)
        every = words.filter(present)
        shares = (
            (len(recognised), len(every)),
            (recognised.n_unique(), every.n_unique()),
        )
        return any(2 * part > whole for part, whole in shares)

    def best_ways(self) -> list[Reading]:
        """Return the readings of the most cells."""
        return [way for way in self.readings if way.values.count() == self.most()]


@dataclass(frozen=True)
class Question:
    """A column that can be read in two ways."""

    words: pl.Series
    ways: tuple[Reading, Reading]
    default: str = ""
    """The answer where nothing else decides; empty where the user is asked."""

    def answered(self, shown: Mapping[str, str], choices: Choices) -> ReadColumn:
        """Return the way that --read, another column or the default says; raise `BadInput` where nothing does."""
        name = self.words.name
        rows = (self.ways[0].values != self.ways[1].values).fill_null(False)
        row = int(rows.arg_true()[0])
        place = first_place(self.words, rows)
        sources = (
            dict.fromkeys(choices.default, "as --read says"),
            {answer: f"as column {other!r} shows" for answer, other in shown.items()},
            {self.default: "since commas separate the columns"},
        )
        for reasons in sources:
            chosen = [way for way in self.ways if way.answer in reasons]
            others = [way for way in self.ways if way.answer not in reasons]
            if len(chosen) == 1:
                meaning = _shown(chosen[0], row)
                other = _shown(others[0], row)
                why = (
                    f"{place} is {meaning} and not {other}, {reasons[chosen[0].answer]}"
                )
                return _read(self.words, chosen[0], why)
        options = [option("--read", name, way.answer) for way in self.ways]
        meanings = " or ".join(_shown(way, row) for way in self.ways)
        columns = [f"column {other!r} shows {way}" for way, other in shown.items()]
        beside = f" ({', '.join(columns)})" if len(columns) > 1 else ""
        raise Asked(
            f"column {name!r} can be read in two ways: {place} is {meanings}, and no "
            f"value shows which{beside}; pass {' or '.join(options)}.",
            option("--read", name, "/".join(way.answer for way in self.ways)),
        )


def _shown(way: Reading, row: int) -> str:
    value = way.values[row]
    return as_date(value) if way.style.kind == "date" else f"{value:.15g}"


def read_columns(
    frame: pl.DataFrame, choices: Choices | None = None, separator: str = ","
) -> dict[str, ReadColumn]:
    """Return by name of what kind each column is, and whether it is useful; raise `BadInput` where the user has to be asked.

    Args:
        frame: the columns as they are in the file.
        choices: what the user says.
        separator: of the columns of the file; commas leave none for decimals.

    Example:
        >>> frame = pl.DataFrame({"price": ["1,5", "2"] * 2, "sold": ["1,234", "0"] * 2})
        >>> [column.values.to_list() for column in read_columns(frame, separator=";").values()]
        [[1.5, 2.0, 1.5, 2.0], [1.234, 0.0, 1.234, 0.0]]
    """
    columns, questions = _read_all(frame, choices or Choices(), separator)
    if not questions:
        return columns
    apart = rows_apart(questions)
    if apart:  # what is asked beside does not mention these rows
        rows = pl.int_range(frame.height, eager=True).is_in(apart[0].rows)
        blank = frame.with_columns(pl.when(~rows).then(pl.all()))
        _, questions = _read_all(blank, choices or Choices(), separator)
    raise all_asked(questions, apart)


def _read_all(
    frame: pl.DataFrame, choices: Choices, separator: str
) -> tuple[dict[str, ReadColumn], list[Asked]]:
    """Return the columns that can be read, and the questions on the others."""
    plain = _plain_columns(frame, choices, separator)
    read: list[ReadColumn | Question] = []
    questions = list[Asked]()
    for column in frame:
        try:
            read.append(plain.get(column.name) or _decide(column, choices, separator))
        except Asked as question:
            questions.append(question)
    known = [column for column in read if isinstance(column, ReadColumn)]
    shown = {column.shows: column.values.name for column in known if column.shows}
    only_commas = "decimal-comma" in shown and "decimal-point" not in shown
    columns = {}
    for column in read:
        try:
            if isinstance(column, Question):
                column = column.answered(shown, choices)
        except Asked as question:
            questions.append(question)
        else:
            if column.whole and only_commas:
                column = replace(column, style=replace(column.style, decimal=","))
            columns[column.values.name] = _judged(column)
    return columns, questions


def _plain_columns(
    frame: pl.DataFrame, choices: Choices, separator: str
) -> dict[str, ReadColumn]:
    """Return the columns of plain numbers, their cells as one long column: many columns are read in a second so."""
    names = [
        column.name
        for column in frame
        if column.dtype == pl.String and column.name not in choices.columns
    ]
    if not names:
        return {}
    words = as_words(
        pl.concat((frame[name].alias("cells") for name in names), rechunk=True)
    )
    cells = pl.col("cells")
    facts = words.to_frame().select(
        present=cells.is_not_null(),
        plain=cells.str.contains(PLAIN).fill_null(True),
        point=cells.str.contains(".", literal=True).fill_null(False),
        certain=cells.str.contains(POINT).fill_null(False),
        grouped=cells.str.contains(ONE_GROUP[","]).fill_null(False),
        dated=cells.str.contains(DATED).fill_null(True),
    )
    present, all_plain, points, certain, grouped, dated = (
        fact.to_numpy().reshape(len(names), -1) for fact in facts
    )
    has_points = np.any(points, axis=1).tolist()
    is_certain = np.any(certain, axis=1).tolist()
    used = present.any(1) & all_plain.all(1) & np.logical_not(dated.all(1))
    used &= np.logical_not(has_points) | is_certain | (separator == ",")
    used &= 2 * grouped.sum(1) <= points.sum(1)
    values = words.cast(pl.Float64, strict=False)
    plain = {}
    for place in np.flatnonzero(used).tolist():
        name = names[place]
        plain[name] = ReadColumn(
            values.slice(place * frame.height, frame.height).alias(name),
            Style("numeric"),
            shows=ANSWERS["."] if is_certain[place] else "",
            whole=not has_points[place],
        )
    return plain


def _typed(column: pl.Series) -> ReadColumn:
    """Read a column that is not text, from Parquet."""
    dtype = column.dtype
    name = column.name
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        empty = pl.Series(name, [None] * len(column), dtype=pl.String)
        return ReadColumn(empty, Style("categorical"), useless=f"it holds {dtype}")
    if dtype.is_numeric():
        values = parse(column, Style("numeric"))
        return ReadColumn(
            values,
            Style("numeric"),
            strays=values.null_count() - column.null_count(),
            whole=dtype.is_integer(),
        )
    if not dtype.is_temporal():
        return _words(column)
    clock = dtype in (pl.Duration, pl.Time)
    style = Style("date", order="time" if clock else "year-first")
    return _read(as_text(column), Reading(parse(column, style), style))


# Evidence


def _of_numbers(words: pl.Series) -> KindEvidence:
    parts = take_apart(words)
    unit = unit_of(parts)
    shaped = [
        parts["body"].str.contains(SHAPES[mark]).fill_null(False) for mark in SHAPES
    ]
    readings = [
        Reading(
            numbers_of(parts, mark, unit).alias(words.name),
            Style("numeric", mark, unit),
            ANSWERS[mark],
        )
        for mark in SHAPES
    ]
    return KindEvidence("numbers", shaped[0] | shaped[1], readings)


def _of_dates(words: pl.Series, tried_first: int = 100) -> KindEvidence:
    sample = words.drop_nulls().unique(maintain_order=True).head(tried_first).to_list()
    tried: list[Order] = [
        order for order in ORDERS if any(map(DATE_PATTERNS[order].fullmatch, sample))
    ]
    recognised = words.str.contains(SHORT_YEAR).fill_null(False)
    readings = []
    for order in tried:
        local, zoned = (days_of(words, order, zoned) for zoned in (False, True))
        recognised |= local.is_not_null() | zoned.is_not_null()
        mostly = zoned.count() > local.count()
        values = (zoned if mostly else local).alias(words.name)
        style = Style("date", order=order, zoned=mostly)
        readings.append(Reading(values, style, order))
    return KindEvidence("dates", recognised, readings)


DETECTORS: dict[Kind, Callable[[pl.Series], KindEvidence]] = {
    "date": _of_dates,
    "numeric": _of_numbers,
}
"""In the order in which they are believed: eight digits are a date where all cells are."""


# Decision


def _decide(
    column: pl.Series, choices: Choices, separator: str
) -> ReadColumn | Question:
    """Return a column in the one way in which it can be read, or the question which; ask about cells unlike the others."""
    if column.dtype != pl.String:
        return _typed(column)
    words = as_words(column)
    choice = choices.columns.get(column.name, "")
    if choice in WORD_STYLES:
        return _words(column, WORD_STYLES[choice])
    present = words.is_not_null() & ~stands_for_missing(words)
    if choice and present.any():
        return _as_chosen(words, choice)
    codes = _why_codes(words)
    if codes or not (present & words.str.contains(DIGIT)).any():
        return _words(column, why=codes)
    return _inferred(column, words, present, separator)


def _inferred(
    column: pl.Series,
    words: pl.Series,
    present: pl.Series,
    separator: str,
) -> ReadColumn | Question:
    """Return a column with digits by the kind that most of its present cells are of."""
    number = int(present.sum())
    evidence = list[KindEvidence]()
    for detect in DETECTORS.values():
        evidence.append(detect(words))
        if evidence[-1].most() == number:
            break
    mostly = (one for one in evidence if one.mostly(words, present))
    best = next(mostly, max(evidence, key=lambda one: one.recognised.sum()))
    recognised = int(best.recognised.sum())
    if best.mostly(words, present):
        _ask_about_others(words, best)
        return _one_way(words, best.best_ways(), separator)
    digits = present & words.str.contains(DIGIT)
    if recognised:
        return _words(column, why=f"{places(words, best.recognised)} can be read so")
    often = 2 * digits.sum() >= number
    return _words(column, why=first_place(words, digits) if often else "")


def _as_chosen(words: pl.Series, choice: str) -> ReadColumn | Question:
    """Return a column as the user says, words that are neither numbers nor dates missing."""
    for detect in DETECTORS.values():
        evidence = detect(words)
        ways = [
            replace(way, style=replace(way.style, lenient=True))
            for way in evidence.readings
            if choice in (evidence.noun, way.answer)
        ]
        chosen = replace(evidence, readings=ways)
        if chosen.most():
            _ask_about_others(words, chosen, lenient=True)
            return _one_way(words, chosen.best_ways())
    place = first_place(words, words.is_not_null())
    as_they_are = option("--read", words.name, "words")
    raise Asked(
        f"{option('--read', words.name, choice)}: none of its cells can be read so, "
        f"such as {place}; {HOW_TO_WRITE}, or pass {as_they_are}.",
        as_they_are,
    )


def _one_way(
    words: pl.Series, ways: list[Reading], separator: str = ""
) -> ReadColumn | Question:
    """Return the column where one way is left, or all are the same, else the question which."""
    first, *others = ways
    if not others or (first.values == others[0].values).all():
        return _read(words, first, alone=not others)
    commas = separator == "," and first.style.kind == "numeric"
    return Question(words, (first, others[0]), ANSWERS["."] if commas else "")


def _why_codes(words: pl.Series) -> str:
    """Return why the words of a column are codes, empty where they are not."""
    if not words.str.contains("|".join(CODES.values())).any():
        return ""
    for reason, pattern in CODES.items():
        rows = words.str.contains(pattern).fill_null(False)
        if rows.any():
            return f"{first_place(words, rows)} {reason}"
    return ""


def _ask_about_others(
    words: pl.Series, evidence: KindEvidence, lenient: bool = False
) -> None:
    """Raise `BadInput` about cells that may be something else, or are not read as most of a column are.

    Args:
        words: the cells.
        evidence: of the kind that most cells are.
        lenient: whether words count as missing, as the user says; cells with digits never do.
    """
    name = words.name
    as_they_are = option("--read", name, "words")
    short = words.str.contains(SHORT_YEAR).fill_null(False)
    if evidence.noun == "dates" and short.any():
        raise Asked(
            f"column {name!r} holds dates with years of two digits "
            f"({first_place(words, short)}); write four, or pass {as_they_are} or "
            f"{option('--drop', name)}.",
            as_they_are,
        )
    way = evidence.best_ways()[0]
    read = way.values.is_not_null()
    as_kind = option("--read", name, evidence.noun)
    either = option("--read", name, f"{evidence.noun}/words")
    for pattern, other in DOUBTS.items():
        if not lenient and words.filter(read).str.contains(pattern).all():
            raise Asked(
                f"column {name!r} can be read in two ways: {first_place(words, read)} "
                f"is {way.style.describe()} or {other}, and no value shows which; pass "
                f"{as_kind} or {as_they_are}.",
                either,
            )
    if evidence.noun == "numbers" and not lenient:
        _ask_about_marks(words)
    others = words.is_not_null() & ~stands_for_missing(words) & ~read
    unlike = others & words.str.contains(DIGIT)
    if not (unlike if lenient else others).any():
        return
    answer = as_they_are
    remedy = f"{as_they_are}, or leave the column out with {option('--drop', name)}"
    if unlike.any():
        others = unlike
    else:
        answer = either
        remedy = f"{as_kind} to count others as missing, or {as_they_are}"
    raise Asked(
        f"column {name!r} holds {way.style.describe()} in "
        f"{count(way.values.count(), 'row')}, but also {places(words, others)}; "
        f"correct these cells, or pass {remedy}.",
        answer,
        words,
        others.arg_true().to_list(),
    )


def _ask_about_marks(words: pl.Series) -> None:
    """Raise `BadInput` where points and commas before three digits may each be of thousands or of decimals."""
    points, commas = (
        words.str.contains(ONE_GROUP[mark]).fill_null(False) for mark in (",", ".")
    )
    marked = words.str.contains("[.,]").fill_null(False)
    if points.any() and commas.any() and (points | commas | ~marked).all():
        name = words.name
        answers = [*ANSWERS.values(), "words"]
        ways = " or ".join(option("--read", name, answer) for answer in answers)
        raise Asked(
            f"column {name!r} holds {first_place(words, points)} and "
            f"{first_place(words, commas)}: which mark is of thousands no value shows; "
            f"write all cells alike, or pass {ways}.",
            option("--read", name, "/".join(answers)),
        )


def _read(
    words: pl.Series,
    way: Reading,
    why: str = "",
    alone: bool = False,
) -> ReadColumn:
    """Return a column of numbers or dates with the decisions on it.

    Args:
        words: the cells.
        way: how they are read.
        why: it was chosen among two ways; empty where it is the only one.
        alone: whether no other decimal separator or order of days would do.
    """
    values = way.values
    style = way.style
    name = words.name
    strays = words.is_not_null() & values.is_null()
    decisions = []
    if strays.any():
        sentence = f"{as_missing(words, strays)}."
        decisions.append(Decision("missing", sentence, name))
    if style.kind == "date":
        style = replace(style, mark=_mark_of(words.filter(values.is_not_null())))
        decisions.append(Decision("dates", _of_days(words, way, why), name))
    else:
        other = {".": ",", ",": "."}[style.decimal]
        style = replace(
            style, grouped=bool(words.str.contains(other, literal=True).any())
        )
        plain = words.cast(pl.Float64, strict=False)
        rows = values.is_not_null() & (plain.is_null() | (plain != values))
        grouped = words.str.contains(ONE_GROUP[","]).fill_null(False)
        if 2 * grouped.sum() > words.str.contains(".", literal=True).sum():
            rows |= grouped
        if rows.any() and not why:
            row = int(rows.arg_true()[0])
            why = f"{first_place(words, rows)} is {_shown(way, row)}"
        if why:
            how = style.describe().removeprefix("a number")
            sentence = f"Column {name!r} holds numbers{how}: {why}."
            decisions.append(Decision("numbers", sentence, name))
    return ReadColumn(
        values,
        style,
        tuple(decisions),
        strays=int(strays.sum()),
        shows=way.answer if alone and style.kind == "numeric" else "",
        whole=style.kind == "numeric" and not alone,
    )


def _mark_of(dates: pl.Series) -> str:
    """Return what separates the numbers of all of the dates, empty where they differ."""
    marks = (mark for mark in "-/." if dates.str.contains(mark, literal=True).all())
    return next(marks, "")


def _of_days(words: pl.Series, way: Reading, why: str) -> str:
    """Return the sentence on a column of dates or times."""
    values = way.values
    style = way.style
    noun = "dates"
    use = "days since 1970"
    if style.clock:
        noun = "times"
        use = "fractions of a day"
    elif values.count():
        low, high = as_date(values.min()), as_date(values.max())  # type: ignore[arg-type]
        use += f", {low} to {high}"
    either: dict[Order, Order] = {
        "day-first": "month-first",
        "month-first": "day-first",
    }
    other = either.get(style.order)
    if other and not why:
        shows = values.is_not_null() & days_of(words, other, style.zoned).is_null()
        why = f"{first_place(words, shows)} shows it" if shows.any() else ""
    present = values.is_not_null()
    example = f", such as {first_place(words, present)}" if present.any() else ""
    beside = f": {why}" if why else example
    return (
        f"Column {words.name!r} holds {noun}{order_in_words(style.order)}, used as "
        f"{use}{beside}."
    )


# Words


def _words(column: pl.Series, style: Style | None = None, why: str = "") -> ReadColumn:
    """Return a column of words with the decisions on it."""
    name = column.name
    text = as_text(column)
    style = style or Style("categorical", truth=_truth_of(as_words(column)))
    values = as_words(column, style)
    decisions = []
    missing = text.is_not_null() & values.is_null()
    if missing.any():
        remedy = f"if it is a word, pass {option('--read', name, 'words')}"
        sentence = f"{as_missing(text, missing)}; {remedy}."
        decisions.append(Decision("missing", sentence, name))
    if style.truth and text.filter(~missing).n_unique() > 2:
        spellings = text.filter(~missing).drop_nulls().unique(maintain_order=True)
        sentence = (
            f"Column {name!r} holds {style.truth.replace('/', ' and ')}, written "
            f"{listing(spellings)}."
        )
        decisions.append(Decision("words", sentence, name))
    elif alike := _same_but_for_case(values):
        sentence = (
            f"Column {name!r}: {alike} differ only in case or in spaces and are kept "
            f"apart; spell them alike, or pass {option('--read', name, 'ignore-case')}."
        )
        decisions.append(Decision("warning", sentence, name))
    strays = int(missing.sum()) if style.truth else 0
    return ReadColumn(values, style, tuple(decisions), strays=strays, why_words=why)


def _truth_of(words: pl.Series) -> str:
    """Return the two opposite words that a column holds, in any spelling, or nothing.

    Example:
        >>> _truth_of(pl.Series(["Y", "no", None, "YES"])), _truth_of(pl.Series(["F", "M"]))
        ('yes/no', '')
    """
    known = words.filter(~stands_for_missing(words)).drop_nulls()
    lower = set(known.str.to_lowercase().unique())
    for truth, letters in TRUTHS.items():
        yes, no = (
            {word, letter}
            for word, letter in zip(truth.split("/"), letters, strict=True)
        )
        if lower & yes and lower & no and lower <= yes | no:
            return truth
    return ""


def _same_but_for_case(words: pl.Series) -> str:
    """Return the first words that differ only in case or in spaces, empty for none."""
    spellings = words.drop_nulls().unique().sort()
    same = spellings.str.to_lowercase().str.replace_all(r"\s+", " ")
    repeated = same.filter(same.is_duplicated())
    return listing(spellings.filter(same == repeated[0])) if len(repeated) else ""


# Columns that are of no use


def _judged(reading: ReadColumn) -> ReadColumn:
    if reading.useless:
        return reading
    identifies = _identifies_rows(reading)
    return replace(
        reading,
        useless=identifies or constant(reading.values),
        identifies_rows=bool(identifies),
    )


def constant(values: pl.Series) -> str:
    """Return why a column without two different values is useless."""
    missing = values.null_count()
    if missing == len(values):
        return "it has no values"
    if not missing and values.min() == values.max():
        return f"it is {values[0]!r} in every row"
    return ""


def _identifies_rows(reading: ReadColumn) -> str:
    values = reading.values
    number = reading.values.count()
    if number <= 2 or reading.kind == "date":
        return ""
    if reading.kind == "categorical":
        words = values.drop_nulls()
        if words.n_unique() < DISTINCT_SHARE * number:
            return ""
        return f"its words, such as {quoted(words[0])}, identify rows"
    low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
    counts = low in (0, 1) and high - low + 1 == number == len(values)
    if not (counts or IDENTIFIER.fullmatch(values.name)):
        return ""
    numbers = values.drop_nulls()
    if numbers.n_unique() < number or not (numbers == numbers.round()).all():
        return ""
    if counts:
        return "it numbers the rows"
    return "its name and its distinct integers identify rows"


def use_it(name: str, reading: ReadColumn) -> str:
    """Return how to use a column that identifies rows all the same."""
    kind = "numbers" if reading.kind == "numeric" else "words"
    return f"use it with {option('--read', name, kind)}"


def of_kinds(frame: pl.DataFrame, readings: Mapping[str, ReadColumn]) -> list[Decision]:
    """Return sentences on columns of which no other decision says how they are read: of plain numbers, and of words with digits.

    Example:
        >>> frame = pl.DataFrame({"version": ["2.9", "2.10"] * 2, "zip": ["01234", "90210"] * 2})
        >>> numbers, words = of_kinds(frame, read_columns(frame))
        >>> numbers.sentence, words.sentence[:65]
        ("Read as numbers: 'version' ('2.10' is 2.1).", "Read as words: 'zip' ('01234' in data row 1 starts with a zero). ")
    """
    numbers = []
    words = []
    for name, reading in readings.items():
        is_plain = frame.schema[name] == pl.String and reading.kind == "numeric"
        if reading.why_words:
            words.append(f"{name!r} ({reading.why_words})")
        if not is_plain or reading.decisions or reading.useless:
            continue
        cells = as_text(frame[name])
        changed = cells.str.contains(RESPELT).fill_null(False)
        changed &= reading.values.is_not_null()
        numbers.append(repr(name))
        if changed.any():
            row = int(changed.arg_true()[0])
            numbers[-1] += f" ({quoted(cells[row])} is {reading.values[row]:.15g})"
    numbers.sort(key=lambda one: not one.endswith(")"))
    decisions = []
    if numbers:
        sentence = f"Read as numbers: {enumerated(numbers)}."
        decisions.append(Decision("numbers", sentence))
    if words:
        sentence = (
            f"Read as words: {enumerated(words, len(words))}. Where numbers or dates "
            f"are meant, {HOW_TO_WRITE}, or pass --read COLUMN=numbers."
        )
        decisions.append(Decision("words", sentence))
    return decisions


def of_totals(readings: Mapping[str, ReadColumn]) -> list[Decision]:
    """Return a warning where rows may be totals, or the last one a remark.

    A total is the sum of all other rows, or of those since the total before, in each column of numbers where the last
    row has a value; a grand total of such is half the sum of the others. A remark has one value only.

    Example:
        >>> frame = pl.DataFrame({"place": list("abt"), "kg": ["1.5", "2", "3.5"]})
        >>> len(of_totals(read_columns(frame)))
        1
    """
    used = [one for one in readings.values() if one.useless != "it has no values"]
    present = [one for one in used if one.values[-1] is not None]
    numbers = [one.values.fill_null(0) for one in present if one.kind == "numeric"]
    values = np.stack(numbers or [[0.0]], 1)
    last = values[-1]
    several = np.count_nonzero(values[:-1]) > len(last)
    what = ""
    if several and np.any(last) and (rows := _totals(values)):
        named = enumerated(map(data_row, rows))
        what = (
            f"Sums of the rows above in each column of numbers: {named}; delete totals"
        )
    elif len(present) == 1 and len(used) > 2:
        what = (
            "The last row has a value in one column only; if it is a remark, delete it"
        )
    return [Decision("warning", f"{what}.")] if what else []


def _totals(values: np.ndarray) -> list[int]:
    """Return the rows that are sums: the last, of all others or of totals, or those that divide the table into parts."""
    others = values[:-1].sum(0)
    if np.allclose(others, values[-1]):
        return [len(values) - 1]
    above = np.cumsum(values, 0) - values
    largest = int(np.abs(values).sum(0).argmax())  # others are compared where it agrees
    pairs = np.stack([above, values], 1)[..., largest].tolist()
    rows = list[int]()
    first = 0
    for row, (total, value) in enumerate(pairs):
        near = math.isclose(total - pairs[first][0], value, rel_tol=1e-5)
        if (
            near
            and row > first + 1
            and np.allclose(above[row] - above[first], values[row])
        ):
            rows.append(row)
            first = row + 1
    grand = np.allclose(others, 2 * values[-1])
    return [*rows, *range(first, len(values))] if first + grand == len(values) else []


def of_rows_apart(
    readings: Mapping[str, ReadColumn], nearly_all: float = 0.9
) -> list[Decision]:
    """Return a warning on rows that may be totals, means or remarks: without the words and dates that others have.

    They fill at most one of the columns of words and dates that `nearly_all` rows fill, of three and more.

    Example:
        >>> rows = [(f"n{k}", "a", "b", "1") for k in range(30)] + [("Total", None, None, "30")]
        >>> frame = pl.DataFrame(rows, ["id", "x", "y", "z"], orient="row")
        >>> of_rows_apart(read_columns(frame))[0].sentence[:49]
        'Data row 31 lacks the words and dates that nearly'
    """
    named = [one for one in readings.values() if one.kind != "numeric"]
    filled = [one.values.is_not_null().to_numpy() for one in named]
    present = np.stack(filled, 1) if filled else np.zeros((1, 0))
    usual = present[:, present.mean(0) > nearly_all]
    apart = np.flatnonzero(usual.sum(1) <= 1).tolist()
    if usual.shape[1] < 3 or not apart:
        return []
    verb = "lacks" if len(apart) == 1 else "lack"
    sentence = (
        f"{enumerated(map(data_row, apart))} {verb} the words and dates that nearly "
        "all rows have; totals, means and remarks are not data: delete them."
    )
    return [Decision("warning", f"{sentence[0].upper()}{sentence[1:]}")]


def of_far_values(readings: Mapping[str, ReadColumn]) -> list[Decision]:
    """Return a warning on each column with values that may stand for missing ones, such as -999, or be in another unit.

    Example:
        >>> frame = pl.DataFrame({"age": ["31", "54", "-999", "40", "-999"]})
        >>> of_far_values(read_columns(frame))[0].sentence
        "Column 'age': 2 rows with -999, far from the others, 31 to 54; check the unit, and empty cells that stand for missing."
    """
    decisions = []
    for name, reading in readings.items():
        if reading.kind == "categorical" or reading.useless or reading.style.clock:
            continue
        numbers = reading.values.drop_nulls().to_numpy()
        values, rows = np.unique(numbers, return_counts=True)
        shown = as_date if reading.kind == "date" else "{:.15g}".format
        far = []
        while len(values) > 3 and (beyond := _beyond_a_gap(values, rows)).any():
            ends = dict.fromkeys(map(shown, values[beyond][[0, -1]]))
            far.append(f"{count(rows[beyond].sum(), 'row')} with {' to '.join(ends)}")
            values = values[~beyond]
            rows = rows[~beyond]
        if far:
            sentence = (
                f"Column {name!r}: {enumerated(far)}, far from the others, "
                f"{shown(values[0])} to {shown(values[-1])}; check the unit, and empty "
                "cells that stand for missing."
            )
            decisions.append(Decision("warning", sentence, name))
    return decisions


def _beyond_a_gap(values: np.ndarray, rows: np.ndarray, fewest: int = 3) -> np.ndarray:
    """Return which of the values in increasing order, each with a number of rows, are beyond the widest gap.

    They all repeat, and the gap is wider than the range of the others; or all are positive, and they are `fewest` or more
    and another factor away than most of the others are from each other, of 2 at least.
    """
    beyond, gap = _fewer(values, np.ones(len(values)))
    if rows[beyond].min() > 1 and gap > np.ptp(values[~beyond]):
        return beyond
    if values[0] <= 0:
        return np.zeros(len(values), bool)
    logarithms = np.log2(values)
    beyond, gap = _fewer(logarithms, rows)
    most = np.quantile(np.repeat(logarithms, rows * ~beyond), (0.1, 0.9))
    is_far = beyond.sum() >= fewest and gap > max(1, np.ptp(most))
    return beyond & is_far


def _fewer(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Return which values are on the side of the widest gap that weighs less, and this gap."""
    gaps = np.diff(values)
    cut = int(gaps.argmax()) + 1
    low = np.arange(len(values)) < cut
    return low if 2 * weights[low].sum() <= weights.sum() else ~low, gaps.max()


# New tables


def reread(
    column: pl.Series,
    style: Style,
    where: str,
    start: int = 0,
) -> tuple[pl.Series, list[str]]:
    """Return a column of a new table in the style of an earlier one, and notes.

    Cells of another notation are refused; words without digits are, too, unless the user had them counted as missing.

    Args:
        column: the cells.
        style: of numbers or dates.
        where: the table whose style it is, in words.
        start: rows of the table before these.

    Example:
        >>> values, notes = reread(pl.Series("x", ["1,5", "?"]), Style("numeric", ","), "the training rows")
        >>> values.to_list(), notes
        ([1.5, None], [])
    """
    values = parse(column, style)
    if values.null_count() == column.null_count():
        return values, []
    words = as_words(column)
    strange = words.is_not_null() & values.is_null() & ~stands_for_missing(words)
    if not strange.any():
        return values, []
    refused = strange & words.str.contains(DIGIT) if style.lenient else strange
    if refused.any():
        raise BadInput(
            f"column {column.name!r} holds {first_place(words, refused, start)}, which "
            f"is not {style.describe()} as {where} have it; correct or empty it."
        )
    return values, [f"{as_missing(words, strange, start)}."]
