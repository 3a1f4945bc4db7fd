"""Tables of curves: a row per curve whose columns are times, or a row per reading with columns id, time and values."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count, listing
from langevax.app.evaluation import Task
from langevax.app.tables.columns import ReadColumn, read_columns, reread, use_it
from langevax.app.tables.records import (
    Decision,
    Examples,
    check_columns,
    data_row,
    first_place,
    gathered,
    option,
)
from langevax.app.tables.styles import Style, as_words

Curve = tuple[tuple[np.ndarray, np.ndarray], ...]
"""(times, values) of each channel."""
NUMBER_IN_NAME = re.compile(
    r"(?P<before>[^0-9]*?)(?P<number>[-+]?[0-9]+(?:\.[0-9]+|,[0-9]{1,2})?)(?P<after>[^0-9]*)"
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
    """Order columns by the numbers in their names; keep the order of words. Columns that identify rows are left out.

    Args:
        frame: all columns but the target.
        keep: names of columns to use although they identify rows.
        readings: of the columns, where they are known.

    Example:
        >>> columns = curve_columns(pl.DataFrame({"X852": [1.0], "X850": [2.0]}))
        >>> columns.names, columns.times, columns.notes
        (('X850', 'X852'), array([850., 852.]), ["Columns are sorted by the numbers in their names: 'X850' at 850."])
    """
    if readings is None:
        readings = read_columns(frame)
    times = _times_of(frame.columns)
    words = [name for name in frame.columns if name not in times]
    left_out = [name for name in words if readings[name].identifies_rows]
    left_out = [name for name in left_out if name not in keep]
    notes = [
        (
            f"Column {name!r} is left out: {readings[name].useless}; "
            f"{use_it(name, readings[name])}."
        )
        for name in left_out
    ]
    words = [name for name in words if name not in left_out]
    if not times:
        return CurveColumns(tuple(words), None, notes)
    if words:
        raise BadInput(
            f"--curves wide reads the names of columns as times, and {listing(words)} "
            "have no number as the others have; pass "
            f"{' '.join(option('--drop', name) for name in words[:6])}."
        )
    names = sorted(times, key=lambda name: times[name])
    ordered = np.array([times[name] for name in names])
    equal = np.flatnonzero(np.diff(ordered) == 0)
    if len(equal):
        pair = names[equal[0] : equal[0] + 2]
        raise BadInput(
            f"columns {listing(pair)} have the same time; pass --drop with one of them."
        )
    if names != list(times) or any(NUMBER_IN_NAME.fullmatch(name)[1] for name in names):  # type: ignore[index]
        notes.append(
            f"Columns are sorted by the numbers in their names: {names[0]!r} at "
            f"{ordered[0]:g}."
        )
    return CurveColumns(tuple(names), ordered, notes)


def _times_of(names: Sequence[str]) -> dict[str, float]:
    """Return the numbers in names, those with the letters around them that most names share."""
    matches = {
        name: match for name in names if (match := NUMBER_IN_NAME.fullmatch(name))
    }
    around = Counter(map(_around, matches.values()))
    times = {
        name: float(match["number"].replace(",", "."))
        for name, match in matches.items()
        if around.most_common(1)[0][0] == _around(match)
    }
    if any(
        match["before"] for match in matches.values()
    ):  # a hyphen is not a sign there
        times = {name: abs(time) for name, time in times.items()}
    return times


def _around(match: re.Match[str]) -> tuple[str, str]:
    """Return the letters around the number in a name."""
    return match["before"], match["after"]


@dataclass(frozen=True)
class CurveCells:
    """Columns of numbers, NaN where missing, and how they are written."""

    values: dict[str, np.ndarray]
    styles: dict[str, Style]
    """Of the columns that are not plain numbers."""
    notes: list[str]


def cells_of(
    frame: pl.DataFrame, readings: Mapping[str, ReadColumn], remedy: str
) -> CurveCells:
    """Return the cells of columns as numbers; raise `BadInput` where a column does not hold numbers.

    Args:
        frame: the columns as they are in the file.
        readings: of the columns.
        remedy: what to do.
    """
    values = {}
    styles = {}
    decisions = list[Decision]()
    for column in frame:
        reading = readings[column.name]
        words = as_words(column)
        if reading.kind != "numeric" and words.is_not_null().any():
            raise BadInput(
                f"column {column.name!r} must hold numbers, but holds "
                f"{first_place(words, words.is_not_null())}; {remedy}."
            )
        numbers = reading.values.cast(pl.Float64, strict=False)
        values[column.name] = numbers.to_numpy()  # null becomes NaN
        decisions += reading.decisions
        if reading.style != Style("numeric") and reading.kind == "numeric":
            styles[column.name] = reading.style
    return CurveCells(values, styles, gathered(decisions))


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
        styles: of times and values as training read them; None where they follow from the cells.

    Raises:
        BadInput: times or values that are words, an id with two rows of the same time, no reading.

    Example:
        >>> frame = pl.DataFrame({"id": list("baab"), "t": [2, 1, 0, 0], "x": [5.0, 4.0, 3.0, None]})
        >>> readings_of(frame, "id", "t", ["x"]).curves
        [((array([2.]), array([5.])),), ((array([0., 1.]), array([3., 4.])),)]
    """
    used = frame.select(time, *values)
    cells = _cells_of_readings(used, time, readings, styles)
    dates = cells.styles.get(time, Style("numeric")).kind == "date"
    notes = cells.notes
    words = as_words(frame[id])
    times = pl.Series(cells.values[time]).fill_nan(None)
    rows = pl.DataFrame({"id": words, "time": times})
    notes += _missing(words, cells.values)
    known = pl.col("id").is_not_null() & pl.col("time").is_not_null()
    if dates:
        since = pl.col("time") - pl.col("time").min().over("id")
        rows = rows.with_columns(time=since)
        notes.append(f"Times are days since the first reading of each {id!r}.")
    channels = [
        _channel(rows.with_columns(value=cells.values[name]).filter(known), id, time)
        for name in values
    ]
    names = words.drop_nulls().unique(maintain_order=True).to_list()
    ids = [name for name in names if all(name in channel for channel in channels)]
    if lost := [name for name in names if name not in set(ids)]:
        notes.append(
            f"{id!r} without a reading of every --value left out: {listing(lost)}."
        )
    if not ids:
        raise BadInput(
            f"no {id!r} has a reading of every --value ({listing(values)}) at a --time."
        )
    place = pl.col("id").replace_strict(ids, range(len(ids)), default=-1)
    codes = pl.when(known).then(place).otherwise(-1).cast(pl.Int64)
    codes = rows.select(codes=codes)["codes"].to_numpy()
    return Readings(
        ids=ids,
        curves=[tuple(channel[name] for channel in channels) for name in ids],
        first_rows=np.unique(codes[codes >= 0], return_index=True)[1],
        codes=codes,
        dates=dates,
        notes=notes,
        styles=cells.styles,
    )


def _cells_of_readings(
    used: pl.DataFrame,
    time: str,
    readings: Mapping[str, ReadColumn] | None,
    styles: Mapping[str, Style] | None,
) -> CurveCells:
    """Return times and values as numbers, read as training read them or as they are written."""
    if styles is not None:
        values, notes = reread_all(used, styles)
        return CurveCells(values, dict(styles), notes)
    readings = readings or read_columns(used)
    remedy = "correct it, or name another column"
    of_time = readings[time]
    if of_time.kind != "date":
        return cells_of(used, readings, remedy)
    cells = cells_of(used.drop(time), readings, remedy)
    return CurveCells(
        cells.values | {time: of_time.values.to_numpy()},
        cells.styles | {time: of_time.style},
        gathered(of_time.decisions) + cells.notes,
    )


def reread_all(
    frame: pl.DataFrame, styles: Mapping[str, Style]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return columns of a new table as numbers, NaN where missing, read as training read them, and notes."""
    values = {}
    notes = []
    for column in frame:
        style = styles.get(column.name, Style("numeric"))
        try:
            numbers, remarks = reread(column, style, "the training rows")
        except BadInput as error:
            raise BadInput(f"TABLE: {error}") from error
        values[column.name] = numbers.to_numpy()
        notes += remarks
    return values, notes


def _missing(ids: pl.Series, table: Mapping[str, np.ndarray]) -> list[str]:
    """Return notes on rows and cells without a value."""
    missing = {ids.name: ids.null_count()}
    missing |= {name: int(np.isnan(values).sum()) for name, values in table.items()}
    return [
        f"{count(number, 'row')} without {name!r} left out."
        for name, number in missing.items()
        if number
    ]


def _channel(
    rows: pl.DataFrame, id: str, time: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return (times, values) of each id, by time."""
    rows = rows.filter(pl.col("value").is_not_nan()).sort("id", "time")
    repeated = rows.filter(rows.select("id", "time").is_duplicated())
    if repeated.height:
        name = repeated.row(0, named=True)["id"]
        when = repeated["time"][0]
        raise BadInput(
            f"{id} {name!r} has two readings at {time} {when:g} "
            f"({count(repeated.height, 'reading')} repeated); average them, or keep "
            "one."
        )
    parts = rows.partition_by("id", as_dict=True)
    return {
        str(name): (part["time"].to_numpy(), part["value"].to_numpy())
        for (name,), part in parts.items()
    }


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

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the encoder: the times, and that missing values are interpolated."""
        return {"grid": list(self.grid), "missing": "interpolate"}

    def examples(self, frame: pl.DataFrame) -> Examples:
        """Return the rows of a table, (n, G), NaN where missing."""
        check_columns(frame, self.columns)
        table, notes = reread_all(frame.select(self.columns), self.styles)
        values = np.stack(list(table.values()), 1)
        empty = np.flatnonzero(np.isnan(values).all(1))
        if len(empty):
            raise BadInput(
                f"TABLE has no value in {count(len(empty), 'row')}, the first of them "
                f"{data_row(empty[0])}; delete them."
            )
        notes = _ignored(frame, {*self.columns, self.target}) + notes
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

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the encoder: the domain, since held-out curves may be the longest."""
        return {"domain": self.domain}

    def examples(self, frame: pl.DataFrame) -> Examples:
        """Return a curve for each id, in the order in which the ids first appear."""
        used = (self.id, self.time, *self.values)
        check_columns(frame, used)
        readings = readings_of(
            frame, self.id, self.time, self.values, styles=self.styles
        )
        left, right = self.domain
        for name, curve in zip(readings.ids, readings.curves, strict=True):
            first = min(t[0] for t, _ in curve)
            last = max(t[-1] for t, _ in curve)
            if first < left or last > right:
                raise BadInput(
                    f"TABLE: {self.id} {name!r} has readings from {self.time} "
                    f"{first:g} to {last:g}, outside the domain {left:g} to {right:g} "
                    "of the training; leave out those beyond, or fit on curves that "
                    "reach as far."
                )
        notes = _ignored(frame, {*used, self.target}) + readings.notes
        return Examples(readings.curves, pl.DataFrame({self.id: readings.ids}), notes)


def _ignored(frame: pl.DataFrame, known: set[str]) -> list[str]:
    """Return a note on columns that a model does not know."""
    extra = [name for name in frame.columns if name not in known]
    return [f"Ignored, unknown to the model: {listing(extra)}."] if extra else []
