"""Rows of a file that are not data: titles, comments, units, repeated headers, totals, empty rows and remarks.

They are left out where their place and what they hold show what they are, and each is recorded. A first line that
looks like the rows below it is refused, since without a header the columns have no names.
"""

import csv
import functools
import io
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count, listing
from langevax.app.tables.dates import days_of
from langevax.app.tables.numbers import CURRENCY, UNITS, take_apart
from langevax.app.tables.records import Decision, data_row
from langevax.app.tables.styles import STAND_FOR_MISSING
from langevax.app.tables.totals import find_totals

FOOTER = re.compile(r".*[^\W\d_].*[\s:]|#")  # a remark in a line without separators
SOURCE = re.compile(
    r"\"?\s*(?:sources?|(?:foot)?notes?|quellen?|anmerkung(?:en)?|hinweise?|fuentes?|notas?|fonti?|fontes?|remarques?"
    r"|bron|źródło|källa|kilde|lähde|источник|примечание|出典|資料|来源|注)\s*[:：]",
    re.IGNORECASE,
)
"""The start of a remark below a table."""
RULE = re.compile(r"[|+\s:=-]*-{3}[|+\s:=-]*|\([0-9]+ rows?\)")
"""A line that data bases and Markdown draw between rows, or their count below them."""
RULED_LINES = 4  # the first ones, one of which is a rule where there are rules
_MORE_UNITS = """
% ‰ µg μg ug ng dl dL L mL µL μL mol mmol µmol μmol nm µm μm dm ha Pa hPa kPa MPa bar mbar Hz kHz MHz GHz V mV A mA J kJ
a.u. kcal cal N kN ° deg ppm ppb MW kWh MWh GB MB year month week day hours mins mmHg IU
"""
UNIT_WORDS = UNITS | set(_MORE_UNITS.split())
"""Units that may stand in a row below the header."""
UNIT_BREAK = r"[/·*\s^]+|[-−]?[0-9]+|[²³⁻¹]+"
DATE = re.compile(r"^[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}\b")  # with a day
END_OF_HEADER = "***End_of_Header***"  # as LabVIEW writes it
LEAST_MERGED = 2  # columns of numbers with a name in the second header
HEAD = 30  # rows to which a header is compared
FIRST_ROWS = 20  # in which columns with units must hold numbers
LAST_LETTERS = 4_000  # in which remarks below the table are searched for


# In all rows


def without_rules(text: str, decisions: list[Decision]) -> str:
    """Return the lines of a table that a data base printed, or of one in Markdown, without its rules and outer bars."""
    first = [line for line in text[:LAST_LETTERS].split("\n") if line.strip()][
        :RULED_LINES
    ]
    if not any(RULE.fullmatch(line) for line in first) or not any(
        "|" in line for line in first
    ):
        return text
    rows = [
        line for line in text.split("\n") if line.strip() and not RULE.fullmatch(line)
    ]
    framed = all(
        re.fullmatch(r"\s*\|.*\|\s*", line) for line in rows if "|" in line
    )  # titles above have no bars
    rows = [
        " | ".join(cell.strip() for cell in line.strip().strip("|" * framed).split("|"))
        for line in rows
    ]
    decisions.append(
        Decision(
            "file",
            "The lines between the rows, and the count below them, are left out.",
        )
    )
    return "\n".join(rows) + "\n"


# Above the rows


def header_row(rows: Sequence[Sequence[str]], decisions: list[Decision]) -> int:
    """Return the index of the header: titles and comments above it have one field, or start with #."""
    if marks := [
        i for i, row in enumerate(rows[:-1]) if row[0].strip() == END_OF_HEADER
    ]:
        first = marks[-1] + 1 + header_row(rows[marks[-1] + 1 :], [])
        decisions.append(
            Decision(
                "file", f"{count(first, 'line')} up to {END_OF_HEADER!r} are left out."
            )
        )
        return first
    width = Counter(map(len, rows)).most_common(1)[0][0]
    comments = max(_comments(rows), _entries(rows, width))
    above = 0
    for row in rows[:-1]:
        filled = [field for field in row if field.strip()]
        comment = above < comments or (
            row[0].lstrip().startswith("#") and len(row) != width
        )
        named = len(filled) > 1 or (
            filled and not row[0].strip()
        )  # pandas leaves the name of an index empty
        if (width == 1 and above >= comments) or (named and not comment):
            break
        above += 1
    if above and (
        above == len(rows) - 1
        or all(_is_number(field) for field in rows[above] if field.strip())
    ):
        return 0
    if above:
        titles = listing(
            (next((f.strip() for f in row if f.strip()), "") for row in rows[:above]),
            most=2,
        )
        verb = "is" if above == 1 else "are"
        decisions.append(
            Decision(
                "file",
                f"{count(above, 'line')} above the header {verb} left out: {titles}.",
            )
        )
    return above


def _comments(rows: Sequence[Sequence[str]]) -> int:
    """Return how many lines that start with # are comments, where numbers below a line show that it is the header."""
    marked = next(
        (i for i, row in enumerate(rows) if not row[0].lstrip().startswith("#")), 0
    )
    return next(
        (
            i
            for i in (marked, marked - 1)
            if i > 0 and _names_numbers(rows[i], rows[i + 1 :])
        ),
        0,
    )


def _entries(rows: Sequence[Sequence[str]], width: int) -> int:
    """Return how many lines above the header are entries such as "Account:", 123, which have fewer fields than rows."""
    first = next((i for i, row in enumerate(rows) if len(row) == width), 0)
    above, header, below = rows[:first], rows[first], rows[first + 1 :]
    entries = all(
        len([f for f in row if f.strip()]) <= 2 and re.search(r"[:：=]\s*$", row[0])
        for row in above
    )
    digits = all(re.search("[0-9]", "".join(row)) for row in below)
    return (
        first
        if above
        and below
        and entries
        and digits
        and not re.search("[0-9]", "".join(header))
        else 0
    )


def _names_numbers(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a line has no number and the rows below it have a column of numbers."""
    columns = zip(*(row for row in rows if len(row) == len(header)), strict=True)
    filled = ([field for field in column if field.strip()] for column in columns)
    return not any(map(_is_number, header)) and any(
        column and all(map(_is_number, column)) for column in filled
    )


def refuse_missing_header(
    header: Sequence[str], rows: Sequence[Sequence[str]], problem: str, line: int
) -> None:
    """Refuse a first line whose fields are like those below it, with numbers or dates among them."""
    names = [name.strip() for name in header]
    numbers, dates = (
        list(map(_is_number, names)),
        [bool(DATE.match(name)) for name in names],
    )
    rows = [
        row
        for row in rows[:HEAD]
        if len(row) == len(names) and [field.strip() for field in row] != names
    ]
    if not any(numbers + dates) or len(names) < 2 or len(rows) < 2:
        return
    columns = [
        [field.strip() for field in column if field.strip()]
        for column in zip(*rows, strict=True)
    ]
    like_rows = next(
        (
            n
            for n, c, date in zip(names, columns, dates, strict=True)
            if date and c and _are_dates(c)
        ),
        "",
    )
    if any(numbers) and not like_rows:
        if not all(
            all(map(_is_number, c))
            for c, number in zip(columns, numbers, strict=True)
            if number
        ):
            return
        in_rows = (
            n
            for n, c, number in zip(names, columns, numbers, strict=True)
            if not number and n and n in c
        )
        like_rows = _unlike_names(names) if all(numbers) else next(in_rows, "")
    if like_rows:
        raise BadInput(
            f"{problem}: {like_rows!r} in line {line:,} is like the values below it; add a line with the names of the "
            "columns."
        )


def _unlike_names(names: Sequence[str]) -> str:
    """Return one of the numbers of a line that are not names: years, positions and wavelengths are in order."""
    steps = [
        float(b.replace(",", ".")) - float(a.replace(",", "."))
        for a, b in pairwise(names)
    ]
    in_order = all(step > 0 for step in steps) or all(step < 0 for step in steps)
    decimal = next((name for name in names if not name.lstrip("+-").isdecimal()), "")
    repeated = next((name for name, times in Counter(names).items() if times > 1), "")
    return "" if in_order else decimal or repeated


def _is_number(text: str) -> bool:
    with suppress(ValueError):
        float(text.replace(",", ".", 1))
        return True
    return False


def _are_dates(texts: Sequence[str]) -> bool:
    words = pl.Series(texts, dtype=pl.String)
    full = words.str.contains(DATE.pattern).all()
    return full and any(
        not days_of(words, order).null_count() for order in ("day-first", "month-first")
    )


# Among the rows


def without_other_rows(
    frame: pl.DataFrame,
    names: Sequence[str],
    decisions: list[Decision],
    every_row: bool,
) -> tuple[pl.DataFrame, pl.DataFrame, list[int]]:
    """Return rows without units, repeated headers, totals and, unless `every_row`, empty rows.

    Then the totals, and the places of all rows that are left out.
    """
    if frame.width < 2 or not frame.height:
        return frame, frame[:0], []
    places, rows = np.arange(frame.height), frame.height
    repeated = functools.partial(_headers, names)
    for other_rows in (_units, repeated, *([] if every_row else [_empty])):
        other = other_rows(frame, decisions)
        frame, places = frame.filter(~other), places[~other.to_numpy()]
    totals = find_totals(frame, decisions)
    left = set(places[~totals.to_numpy()].tolist())
    return (
        frame.filter(~totals),
        frame.filter(totals),
        [row for row in range(rows) if row not in left],
    )


def without_second_header(
    frame: pl.DataFrame, names: Sequence[str], decisions: list[Decision]
) -> tuple[pl.DataFrame, list[str]]:
    """Return rows and names where a second header stands below one with merged or repeated names.

    A merged name stands at the first of its columns. The second header holds words above columns of numbers.
    """
    names = [name.strip() for name in names]
    merged = any(before and not name for before, name in pairwise(names))
    repeated = any(before == name != "" for before, name in pairwise(names))
    if not (merged or repeated) or frame.height < 3:
        return frame, names
    second = [(cell or "").strip() for cell in frame.row(0)]
    numeric = 0
    for i, word in enumerate(second):
        below = frame[1 : 1 + FIRST_ROWS, i].str.strip_chars()
        below = below.filter(below != "")
        if len(below) > 1 and not take_apart(below).body.null_count():
            if not word and names[i]:
                continue  # it stands in the first row alone
            if not word or _is_number(word) or word.lower() in STAND_FOR_MISSING:
                return frame, names
            numeric += 1
    if numeric < LEAST_MERGED:
        return frame, names
    above, joined = "", []
    for name, word in zip(names, second, strict=True):
        above = name or above
        joined.append(f"{above} {word}".strip() if word else name)
    sentence = f"The names of the columns stand in two rows and are joined: {listing(joined, most=4)}."
    decisions.append(Decision("file", sentence))
    return frame[1:], joined


def _units(frame: pl.DataFrame, decisions: list[Decision]) -> pl.Series:
    """Return whether a row is the first and holds the units of the numbers below it."""
    rows = pl.Series(np.arange(frame.height) == 0)
    return rows if _holds_units(frame, decisions) else rows & False


def _holds_units(frame: pl.DataFrame, decisions: list[Decision]) -> bool:
    first = [(cell or "").strip() for cell in frame.row(0)]
    units = {i: cell for i, cell in enumerate(first) if cell and cell != "-"}
    if not units or not all(map(_is_unit, units.values())):
        return False
    for i in units:
        below = frame[1 : 1 + FIRST_ROWS, i].str.strip_chars()
        below = below.filter(below != "")
        if len(below) < 2 or take_apart(below).body.null_count():
            return False
    sentence = f"The row below the header holds units and is left out: {listing(units.values(), most=4)}."
    decisions.append(Decision("file", sentence))
    return True


def _is_unit(text: str) -> bool:
    if re.fullmatch(r"\[[^\]]{1,12}\]|\([^)]{1,12}\)", text) and not _is_number(
        text[1:-1]
    ):
        return True
    parts = [part for part in re.split(UNIT_BREAK, text) if part]
    return bool(parts) and all(
        part in UNIT_WORDS or re.fullmatch(CURRENCY, part) for part in parts
    )


def _headers(
    names: Sequence[str], frame: pl.DataFrame, decisions: list[Decision]
) -> pl.Series:
    """Return which rows repeat the header, as in files that were put together."""
    header = [name.strip() for name in names]
    same = (frame[:, 0].str.strip_chars() == header[0]).fill_null(False).arg_true()
    rows = [
        i for i in same if [(cell or "").strip() for cell in frame.row(i)] == header
    ]
    if rows:
        verb = (
            "repeats the header and is"
            if len(rows) == 1
            else "repeat the header and are"
        )
        sentence = f"{count(len(rows), 'row')} {verb} left out, the first before {data_row(rows[0])}."
        decisions.append(Decision("file", sentence))
    return pl.Series(np.isin(np.arange(frame.height), rows))


def _empty(frame: pl.DataFrame, decisions: list[Decision]) -> pl.Series:
    """Return which rows have no value at all, as spreadsheets write them; none where all are so."""
    none = pl.Series(np.zeros(frame.height, bool))
    if not frame[:, 0].null_count() and not (frame[:, 0].str.strip_chars() == "").any():
        return none
    empty = ~frame.select(
        pl.any_horizontal((pl.all().str.strip_chars() != "").fill_null(False))
    ).to_series()
    if not empty.any() or empty.all():
        return none
    rows = empty.arg_true()
    verb = "is" if len(rows) == 1 else "are"
    sentence = f"{count(len(rows), 'row')} without any value {verb} left out, the first before {data_row(int(rows[0]))}."
    decisions.append(Decision("file", sentence))
    return empty


def with_blank_rows(body: str, separator: str, width: int) -> str:
    """Return the lines of a table in which blank ones are rows without values, which readers of CSV skip."""
    if width < 2 or not re.search(r"\n[ \t]*\n", f"\n{body}"):
        return body
    copy = io.StringIO()
    rows = csv.reader(
        io.StringIO(body, newline=""),
        delimiter=separator,
        skipinitialspace=separator != "\t",
    )
    writer = csv.writer(copy, delimiter=separator, lineterminator="\n")
    writer.writerows(
        row if any(field.strip() for field in row) else [""] * width for row in rows
    )
    return copy.getvalue()


# Below the rows


def without_remarks(
    body: str, separator: str, width: int, decisions: list[Decision]
) -> str:
    """Return the lines of a table without remarks at its end, such as its source.

    A remark is a line that no separator divides in a table of three columns or more, or one that starts with a word
    such as "Source:" and has the other fields empty, or stands below an empty line.
    """
    tail = body[-LAST_LETTERS:]
    lines = tail.rstrip("\n ").split("\n")
    blank = [not line.strip(separator + " ") for line in lines]
    last = len(lines)
    while last > 1 and width > 1:
        line = lines[last - 1].rstrip(separator + " ")
        undivided = separator not in line and line.count('"') % 2 == 0
        source = SOURCE.match(line) and (
            undivided or (blank[last - 2] and '"' not in line)
        )
        remark = (
            width > 2
            and separator not in lines[last - 1]
            and '"' not in line
            and FOOTER.match(lines[last - 1])
        )
        if not (blank[last - 1] or source or remark):
            break
        last -= 1
    remarks = [
        line.strip(separator + " ")
        for line, empty in zip(lines[last:], blank[last:], strict=True)
        if not empty
    ]
    if not remarks:
        return body
    verb = "is" if len(remarks) == 1 else "are"
    sentence = f"{count(len(remarks), 'line')} below the table {verb} left out: {listing(remarks, most=2)}."
    decisions.append(Decision("file", sentence))
    return body[: len(body) - len(tail)] + "\n".join(lines[:last]) + "\n"
