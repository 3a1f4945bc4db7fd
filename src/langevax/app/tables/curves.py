"""Tables of curves: a row per curve whose columns are times, or a row per reading with columns id, time and values."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count, listing
from langevax.app.evaluation import Task
from langevax.app.tables.columns import read_columns
from langevax.app.tables.dates import days_of
from langevax.app.tables.inference import THOUSANDS, ReadColumn
from langevax.app.tables.records import (
    Decision,
    Examples,
    check_columns,
    data_row,
    option,
)
from langevax.app.tables.rereading import reread
from langevax.app.tables.styles import Style, as_words

Curve = tuple[tuple[np.ndarray, np.ndarray], ...]
"""(times, values) of each channel."""
PLAIN = Style("numeric")
SENTENCES_OF_A_TOPIC = 3  # that are printed, of columns read alike
NAME = re.compile(
    r"(?P<before>[^0-9]*?)(?P<number>[-+]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+))(?P<after>[^0-9]*)"
)
"""A number in the name of a column, such as those of X850 and 850,5 nm."""


@dataclass(frozen=True)
class CurveColumns:
    """The columns that are values of a curve, in the order of their times."""

    names: tuple[str, ...]
    times: np.ndarray | None
    """(G,) increasing; None where the names are words."""
    notes: list[str]


def curve_columns(
    frame: pl.DataFrame,
    keep: Sequence[str] = (),
    readings: Mapping[str, ReadColumn] | None = None,
) -> CurveColumns:
    """Order columns by the numbers or dates in their names; keep the order of words.

    Columns that identify rows are left out.

    Args:
        frame: all columns but the target.
        keep: names of columns to use although they identify rows.
        readings: of the columns, where they are known.

    Example:
        >>> columns = curve_columns(pl.DataFrame({"852": [1.0], "850": [2.0]}))
        >>> columns.names, columns.times, columns.notes
        (('850', '852'), array([850., 852.]), ['Columns are sorted by the numbers that name them.'])
        >>> curve_columns(pl.DataFrame({"X850": [1.0], "X852": [2.0]})).notes
        ["Columns are values at the numbers in their names: 'X850' at 850."]
    """
    names = frame.columns
    words, times, note = _times_of(names)
    left_out = []
    if words:
        readings = readings or dict(zip(names, read_columns(frame), strict=True))
        left_out = [
            name
            for name in words
            if readings[name].identifies_rows and name not in keep
        ]
        words = [name for name in words if name not in left_out]
        names = [name for name in names if name not in left_out]
    notes = [
        f"Column {name!r} is left out: {readings[name].useless}; use it with {option('--keep', name)}."
        for name in left_out
        if readings
    ]
    if len(words) == len(names) or (words and note):
        return CurveColumns(tuple(names), None, notes)
    if words:
        names_words = f"{listing(words)} {'is' if len(words) == 1 else 'are'} not"
        raise BadInput(
            f"--curves wide reads the name of every column as a time: {names_words} numeric, but the other names are; "
            f"pass {' '.join(option('--drop', name) for name in words[:6])}."
        )
    notes += [note] if note else []
    order = np.argsort(times, kind="stable")
    names, times = [names[i] for i in order], times[order]
    if len(equal := np.flatnonzero(np.diff(times) == 0)):
        pair = names[equal[0] : equal[0] + 2]
        raise BadInput(
            f"columns {listing(pair)} have the same time; pass --drop with one of them."
        )
    ordered = np.array_equal(order, np.arange(len(order)))
    if not ordered:
        notes.append("Columns are sorted by the numbers that name them.")
    return CurveColumns(tuple(names), times, notes)


def _times_of(names: Sequence[str]) -> tuple[list[str], np.ndarray, str]:
    """Return the names that have no time, the times of the others, and how they were found, empty for plain numbers.

    A plain number is a time. Where there is none, a date is, or the number between letters that most names share.
    """
    plain = {name: number for name in names if (number := _number(name)) is not None}
    matches = {name: match for name in names if (match := NAME.fullmatch(name.strip()))}
    around = [(match["before"], match["after"]) for match in matches.values()]
    shared = ("", "") if plain else max(around, key=around.count, default=("", ""))
    digits = {
        name: match["number"]
        for name, match in matches.items()
        if (match["before"], match["after"]) == shared
    }
    commas = [text for text in digits.values() if "," in text]
    if plain and not commas:
        return (
            [name for name in names if name not in plain],
            np.array(list(plain.values())),
            "",
        )
    if not plain and len(days := _dates_of(names)) > len(names) / 2:
        first = str(pl.Series([int(min(days.values()))]).cast(pl.Date)[0])
        times = np.array(list(days.values())) - min(days.values())
        note = f"The columns are named by dates: times are days since {first}."
        return [name for name in names if name not in days], times, note
    if len(digits) < 2:
        return list(names), np.zeros(0), ""
    if shared[0]:
        digits = {
            name: text.removeprefix("-") for name, text in digits.items()
        }  # a hyphen between word and number
    comma = (
        ""
        if commas and all(re.fullmatch(THOUSANDS["."], text) for text in commas)
        else "."
    )
    times = np.array([float(text.replace(",", comma)) for text in digits.values()])
    i = next((i for i, text in enumerate(digits.values()) if "," in text), 0)
    note = f"Columns are values at the numbers in their names: {list(digits)[i]!r} at {times[i]:.15g}."
    return [name for name in names if name not in digits], times, note


def _dates_of(names: Sequence[str]) -> dict[str, float]:
    """Return the days of names that are dates; refuse those that can be read in two ways."""
    words = pl.Series(names, dtype=pl.String)
    either = [
        days_of(words, order) for order in ("year-first", "day-first", "month-first")
    ]
    days = max(either, key=lambda read: len(read) - read.null_count())
    if any(
        read.null_count() == days.null_count() and not read.equals(days)
        for read in either
    ):
        row = int(days.is_not_null().arg_true()[0])
        raise BadInput(
            f"the names of the columns are dates that can be read in two ways, such as {names[row]!r}; write them as "
            "2024-01-31."
        )
    return {name: day for name, day in zip(names, days, strict=True) if day is not None}


def _number(name: str) -> float | None:
    try:
        number = float(name)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


@dataclass(frozen=True)
class CurveCells:
    """Columns of numbers, NaN where missing, and how they are written."""

    values: dict[str, np.ndarray]
    styles: dict[str, Style]
    """Of the columns that are not plain numbers."""
    notes: list[str]


def cells_of(
    frame: pl.DataFrame, readings: Mapping[str, ReadColumn], what: str, remedy: str
) -> CurveCells:
    """Return the cells of columns as numbers; raise `BadInput` where a column does not hold numbers.

    Args:
        frame: the columns as they are in the file.
        readings: of the columns.
        what: a column is called in messages.
        remedy: what to do; may contain {name}.
    """
    values, styles, decisions = {}, {}, []
    for column in frame:
        name, reading = column.name, readings[column.name]
        values[name] = _numbers(
            column, reading, f"{what} {name!r}", remedy.format(name=name)
        )
        decisions += reading.decisions
        if reading.style != PLAIN and reading.kind == "numeric":
            styles[name] = reading.style
    return CurveCells(values, styles, gathered(decisions))


def _numbers(
    column: pl.Series, reading: ReadColumn, what: str, remedy: str
) -> np.ndarray:
    """Return (rows,) float64, NaN where missing."""
    words = as_words(column)
    if reading.kind != "numeric" and words.is_not_null().any():
        strange = words.is_not_null()
        if (
            reading.kind == "categorical"
            and (
                others := strange & words.cast(pl.Float64, strict=False).is_null()
            ).any()
        ):
            strange = others
        row = int(strange.arg_true()[0])
        raise BadInput(
            f"{what} must hold numbers, but holds {words[row]!r} in {data_row(row)}; {remedy}."
        )
    if reading.kind != "numeric":
        return np.full(len(column), np.nan)
    return reading.values.to_numpy().astype(np.float64)  # null becomes NaN


def gathered(decisions: Sequence[Decision]) -> list[str]:
    """Return the sentences of decisions; where a topic has many, the first one and the names of the other columns."""
    by_topic: dict[str, list[Decision]] = {}
    for decision in decisions:
        by_topic.setdefault(decision.topic, []).append(decision)
    notes = []
    for alike in by_topic.values():
        if len(alike) <= SENTENCES_OF_A_TOPIC:
            notes += [decision.sentence for decision in alike]
            continue
        others = [decision.column for decision in alike[1:]]
        notes.append(
            f"{alike[0].sentence} Likewise {count(len(others), 'other column')}: {listing(others, most=3)}."
        )
    return notes


@dataclass(frozen=True)
class Readings:
    """Curves of a long table, in the order in which their ids first appear."""

    ids: list[str]
    curves: list[Curve]
    first_rows: np.ndarray
    """(curve,) the first row of the table with the id."""
    codes: np.ndarray
    """(row,) the curve of each row of the table; -1 for none."""
    dates: bool
    notes: list[str]
    styles: dict[str, Style]
    """Of the columns of times and values that are not plain numbers."""


def readings_of(
    frame: pl.DataFrame,
    id: str,
    time: str,
    values: Sequence[str],
    readings: Mapping[str, ReadColumn] | None = None,
    styles: Mapping[str, Style] | None = None,
) -> Readings:
    """Return rows (id, time, values...) as curves sorted by time; dates become days since the first reading of each id.

    Args:
        frame: the table as it is in the file.
        id, time, values: names of its columns.
        readings: of times and values, where they are known.
        styles: of times and values as training read them; None where they are to be found.

    Raises:
        BadInput: times or values that are words, an id with two rows of the same time, no reading.

    Example:
        >>> frame = pl.DataFrame({"id": list("baab"), "t": [2, 1, 0, 0], "x": [5.0, 4.0, 3.0, None]})
        >>> readings_of(frame, "id", "t", ["x"]).curves
        [((array([2.]), array([5.])),), ((array([0., 1.]), array([3., 4.])),)]
    """
    words = as_words(frame[id])
    names = words.drop_nulls().unique(maintain_order=True).to_list()
    place = {name: i for i, name in enumerate(names)}
    codes = np.array([place.get(word, -1) for word in words.to_list()], int)
    if styles is None:
        readings = readings or dict(
            zip((time, *values), read_columns(frame.select(time, *values)), strict=True)
        )
        times, dates, notes = _times(frame[time], readings[time], id)
        cells = cells_of(
            frame.select(values),
            readings,
            "--value",
            "correct it, or name another column",
        )
    else:
        dates = styles.get(time, PLAIN).kind == "date"
        columns, notes = reread(frame.select(time, *values), styles)
        times, *channels = (column.to_numpy().astype(np.float64) for column in columns)
        cells = CurveCells(dict(zip(values, channels, strict=True)), {}, [])
    table = cells.values
    notes += cells.notes
    notes += _missing(codes, times, table, id, time)
    codes = np.where(np.isnan(times), -1, codes)
    if dates and names:
        first = np.full(len(names), np.inf)
        np.minimum.at(first, codes[codes >= 0], times[codes >= 0])
        times = np.where(
            codes >= 0, times - np.where(codes >= 0, first[codes], 0.0), np.nan
        )
    channels = [_channel(codes, times, x, names, id, time) for x in table.values()]
    complete = [
        i for i in range(len(names)) if all(len(channel[i][0]) for channel in channels)
    ]
    if lost := [names[i] for i in range(len(names)) if i not in set(complete)]:
        notes.append(
            f"{id!r} without a reading of every --value left out: {listing(lost)}."
        )
    if not complete:
        raise BadInput(
            f"no {id!r} has a reading of every --value ({listing(values)}) at a --time."
        )
    curves = [tuple(channel[i] for channel in channels) for i in complete]
    if single := sum(all(len(t) == 1 for t, _ in curve) for curve in curves):
        notes.append(
            f"{count(single, 'curve')} of a single reading, completed by what all curves have in common."
        )
    renumbered = np.full(len(names) + 1, -1)
    renumbered[complete] = np.arange(len(complete))
    rows = {code: row for row, code in reversed(list(enumerate(codes.tolist())))}
    first_rows = np.array([rows[i] for i in complete])
    of_times = (
        {time: readings[time].style}
        if readings and readings[time].style != PLAIN
        else {}
    )
    columns = [names[i] for i in complete], curves, first_rows, renumbered[codes]
    return Readings(*columns, dates=dates, notes=notes, styles=of_times | cells.styles)


def _times(
    column: pl.Series, reading: ReadColumn, id: str
) -> tuple[np.ndarray, bool, list[str]]:
    """Return (rows,) numbers, or days since 1970, NaN where missing, whether they are dates, and notes."""
    notes = [
        decision.sentence.replace(
            "used as days since 1970",
            f"used as days since the first reading of each {id!r}",
        )
        for decision in reading.decisions
    ]
    if reading.kind == "date":
        return reading.values.to_numpy().astype(np.float64), True, notes
    remedy = "write numbers, or dates such as 2024-01-31 12:00:00"
    return _numbers(column, reading, f"--time {column.name!r}", remedy), False, notes


def _missing(
    codes: np.ndarray,
    times: np.ndarray,
    table: dict[str, np.ndarray],
    id: str,
    time: str,
) -> list[str]:
    """Return notes on rows and cells without a value."""
    notes = []
    for number, what in (
        ((codes < 0).sum(), f"--id {id!r}"),
        (np.isnan(times).sum(), f"--time {time!r}"),
    ):
        if number:
            notes.append(f"{count(int(number), 'row')} without {what} left out.")
    for name, values in table.items():
        if number := int(np.isnan(values).sum()):
            notes.append(
                f"{count(number, 'reading')} without --value {name!r} left out."
            )
    return notes


def _channel(
    codes: np.ndarray,
    times: np.ndarray,
    values: np.ndarray,
    names: list[str],
    id: str,
    time: str,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (times, values) of each id, by time."""
    rows = np.flatnonzero((codes >= 0) & ~np.isnan(values))
    rows = rows[np.lexsort((times[rows], codes[rows]))]
    codes, times, values = codes[rows], times[rows], values[rows]
    repeated = np.flatnonzero((np.diff(codes) == 0) & (np.diff(times) == 0))
    if len(repeated):
        where = f"{id} {names[codes[repeated[0]]]!r} has two readings at {time} {times[repeated[0]]:g}"
        more = (
            f", and {count(len(repeated) - 1, 'other reading')} repeated"
            if len(repeated) > 1
            else ""
        )
        raise BadInput(f"{where}{more}; average them, or keep one.")
    cuts = np.searchsorted(codes, np.arange(1, len(names)))
    return list(zip(np.split(times, cuts), np.split(values, cuts), strict=True))


@dataclass(frozen=True)
class WideCurves:
    """The schema of a table with a row per curve."""

    target: str
    task: Task
    classes: tuple[str | int, ...]
    columns: tuple[str, ...]
    """In the order of their times."""
    grid: tuple[float, ...]
    styles: Mapping[str, Style] = field(default_factory=dict)
    """How columns are written that do not hold plain numbers."""

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read what `asdict` returned and JSON stored."""
        lists = (tuple(content[name]) for name in ("classes", "columns", "grid"))
        return cls(content["target"], content["task"], *lists, styles=_styles(content))

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the encoder: the times, and that missing values are interpolated."""
        return {"grid": list(self.grid), "missing": "interpolate"}

    def examples(self, frame: pl.DataFrame) -> Examples:
        """Return the rows of a table, (n, G), NaN where missing."""
        check_columns(frame, self.columns)
        extra = [
            name for name in frame.columns if name not in {*self.columns, self.target}
        ]
        columns, notes = reread(frame.select(self.columns), self.styles)
        values = np.stack(
            [column.to_numpy().astype(np.float64) for column in columns], 1
        )
        empty = np.flatnonzero(np.isnan(values).all(1))
        if len(empty):
            rows = listing(map(str, empty + 1)).replace("'", "")
            raise BadInput(
                f"TABLE has no value in {count(len(empty), 'row')} ({rows}); leave out such rows."
            )
        notes = [f"Ignored, unknown to the model: {listing(extra)}."] * bool(
            extra
        ) + notes
        if lacking := int(np.isnan(values).sum()):
            notes.append(f"{count(lacking, 'missing value')} interpolated.")
        return Examples(values, pl.DataFrame(), notes)


@dataclass(frozen=True)
class LongCurves:
    """The schema of a table with a row per reading."""

    target: str
    task: Task
    classes: tuple[str | int, ...]
    id: str
    time: str
    values: tuple[str, ...]
    """One for each channel."""
    domain: tuple[float, float]
    """First and last time of all curves."""
    dates: bool
    styles: Mapping[str, Style] = field(default_factory=dict)
    """How times and values are written where they are not plain numbers."""

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read what `asdict` returned and JSON stored."""
        names = (
            "target",
            "task",
            "classes",
            "id",
            "time",
            "values",
            "domain",
            "dates",
        )
        values: dict[str, Any] = {name: content[name] for name in names}
        values |= {
            name: tuple(values[name]) for name in ("classes", "values", "domain")
        }
        return cls(**values, styles=_styles(content))

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the encoder: the domain, since held-out curves may be the longest."""
        return {"domain": self.domain}

    def examples(self, frame: pl.DataFrame) -> Examples:
        """Return a curve for each id, in the order in which the ids first appear."""
        check_columns(frame, (self.id, self.time, *self.values))
        self._refuse_other_times(frame[self.time])
        readings = readings_of(
            frame, self.id, self.time, self.values, styles=self.styles
        )
        left, right = self.domain
        for name, curve in zip(readings.ids, readings.curves, strict=True):
            first, last = min(t[0] for t, _ in curve), max(t[-1] for t, _ in curve)
            if first < left or last > right:
                raise BadInput(
                    f"TABLE: {self.id} {name!r} has readings from {self.time} {first:g} to {last:g}, outside the "
                    f"domain {left:g} to {right:g} of the training; leave out those beyond, or fit on curves "
                    "that reach as far."
                )
        known = {self.id, self.time, *self.values, self.target}
        extra = [name for name in frame.columns if name not in known]
        notes = [f"Ignored, unknown to the model: {listing(extra)}."] if extra else []
        return Examples(
            readings.curves,
            pl.DataFrame({self.id: readings.ids}),
            notes + readings.notes,
        )

    def _refuse_other_times(self, column: pl.Series) -> None:
        """Refuse dates where training had numbers, and numbers where it had dates."""
        words = as_words(column)
        dates = column.dtype.is_temporal() or any(
            days_of(words, order).is_not_null().any()
            for order in ("year-first", "day-first", "month-first")
        )
        numbers = not dates and words.cast(pl.Float64, strict=False).is_not_null().any()
        if numbers if self.dates else dates:
            kinds = ("numbers", "dates") if self.dates else ("dates", "numbers")
            raise BadInput(
                f"TABLE has {kinds[0]} in column {self.time!r}, where training had {kinds[1]}; convert them."
            )


def _styles(content: dict[str, Any]) -> dict[str, Style]:
    """Return the styles of columns that JSON stored."""
    return {name: Style(**style) for name, style in content.get("styles", {}).items()}
