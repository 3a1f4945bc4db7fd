"""Tables of curves: a row per curve whose columns are times, or a row per reading with columns id, time and values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from langevax import spaces
from langevax.cli.errors import BadInput, count, listing
from langevax.cli.tables.columns import read_columns
from langevax.cli.tables.inference import ReadColumn
from langevax.cli.tables.records import Examples, check_columns, data_row, option
from langevax.cli.tables.styles import Choices, as_words
from langevax.evaluation import Task

Curve = tuple[tuple[np.ndarray, np.ndarray], ...]
"""(times, values) of each channel."""


@dataclass(frozen=True)
class CurveColumns:
    """The columns that are values of a curve, in the order of their times."""

    names: tuple[str, ...]
    times: np.ndarray | None
    """(G,) increasing; None where the names are words."""
    notes: list[str]


def curve_columns(frame: pl.DataFrame, keep: Sequence[str] = (), choices: Choices | None = None) -> CurveColumns:
    """Order columns by the numbers that name them; keep the order of words, without columns that identify rows.

    Example:
        >>> columns = curve_columns(pl.DataFrame({"852": [1.0], "850": [2.0]}))
        >>> columns.names, columns.times, columns.notes
        (('850', '852'), array([850., 852.]), ['Columns are sorted by the numbers that name them.'])
    """
    names = frame.columns
    numbers = [_number(name) for name in names]
    words = [name for name, number in zip(names, numbers, strict=True) if number is None]
    if len(words) == len(names):
        others = frame.select(name for name in names if name not in keep)
        readings = dict(zip(others.columns, read_columns(others, choices), strict=True))
        left_out = [name for name, reading in readings.items() if reading.identifies_rows]
        notes = [
            f"Column {name!r} is left out: {readings[name].useless}; use it with {option('--keep', name)}."
            for name in left_out
        ]
        return CurveColumns(tuple(name for name in names if name not in left_out), None, notes)
    if words:
        names_words = f"{listing(words)} {'is' if len(words) == 1 else 'are'} not"
        raise BadInput(
            f"--curves wide reads the name of every column as a time: {names_words} numeric, but the other names are; "
            f"pass {' '.join(f'--drop {name}' for name in words[:6])}."
        )
    times = np.array(numbers, float)
    order = np.argsort(times, kind="stable")
    names, times = [names[i] for i in order], times[order]
    if len(equal := np.flatnonzero(np.diff(times) == 0)):
        pair = names[equal[0] : equal[0] + 2]
        raise BadInput(f"columns {listing(pair)} have the same time; pass --drop with one of them.")
    ordered = np.array_equal(order, np.arange(len(order)))
    return CurveColumns(tuple(names), times, [] if ordered else ["Columns are sorted by the numbers that name them."])


def _number(name: str) -> float | None:
    try:
        number = float(name)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def table_values(frame: pl.DataFrame, names: Sequence[str], remedy: str, choices: Choices | None = None) -> np.ndarray:
    """Return (rows, names) float64, NaN where missing; raise `BadInput` for words. `remedy` may contain {name}."""
    selected = frame.select(names)
    readings = zip(selected, read_columns(selected, choices), strict=True)
    columns = [numbers_of(c, reading, f"column {c.name!r}", remedy.format(name=c.name)) for c, reading in readings]
    return np.stack(columns, 1)


def numbers_of(column: pl.Series, reading: ReadColumn, what: str, remedy: str) -> np.ndarray:
    """Return (rows,) float64, NaN where missing; raise `BadInput` where a cell is a word."""
    if reading.kind != "numeric" or reading.strays:
        words = as_words(column)
        strange = words.is_not_null()
        if reading.kind == "numeric":
            strange &= reading.values.is_null() & words.cast(pl.Float64, strict=False).is_null()
        elif reading.kind == "categorical":
            strange &= words.cast(pl.Float64, strict=False).is_null()
        rows = strange.arg_true()
        place = f"{words[rows[0]]!r} in {data_row(rows[0])}" if len(rows) else str(column.dtype)
        raise BadInput(f"{what} must hold numbers, but holds {place}; {remedy}.")
    return reading.values.to_numpy().astype(np.float64)  # null becomes NaN


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


def readings_of(
    frame: pl.DataFrame, id: str, time: str, values: Sequence[str], choices: Choices | None = None
) -> Readings:
    """Return rows (id, time, values...) as curves sorted by time; dates become days since the first reading of each id.

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
    read = read_columns(frame.select(time, *values), choices)
    times, dates = _times(frame[time], read[0])
    remedy = "correct it, or name another column"
    table = {
        name: numbers_of(frame[name], reading, f"--value {name!r}", remedy)
        for name, reading in zip(values, read[1:], strict=True)
    }
    notes = _missing(codes, times, table, id, time)
    codes = np.where(np.isnan(times), -1, codes)
    if dates and names:
        first = np.full(len(names), np.inf)
        np.minimum.at(first, codes[codes >= 0], times[codes >= 0])
        times = np.where(codes >= 0, times - np.where(codes >= 0, first[codes], 0.0), np.nan)
        notes.append(f"--time {time!r} holds dates: days since the first reading of each {id!r}.")
    channels = [_channel(codes, times, x, names, id, time) for x in table.values()]
    complete = [i for i in range(len(names)) if all(len(channel[i][0]) for channel in channels)]
    if lost := [names[i] for i in range(len(names)) if i not in set(complete)]:
        notes.append(f"{id!r} without a reading of every --value left out: {listing(lost)}.")
    if not complete:
        raise BadInput(f"no {id!r} has a reading of every --value ({listing(values)}) at a --time.")
    curves = [tuple(channel[i] for channel in channels) for i in complete]
    if single := sum(all(len(t) == 1 for t, _ in curve) for curve in curves):
        notes.append(f"{count(single, 'curve')} of a single reading, completed by what all curves have in common.")
    renumbered = np.full(len(names) + 1, -1)
    renumbered[complete] = np.arange(len(complete))
    rows = {code: row for row, code in reversed(list(enumerate(codes.tolist())))}
    first_rows = np.array([rows[i] for i in complete])
    return Readings([names[i] for i in complete], curves, first_rows, renumbered[codes], dates, notes)


def _times(column: pl.Series, reading: ReadColumn) -> tuple[np.ndarray, bool]:
    """Return (rows,) numbers, or days since 1970, NaN where missing, and whether they are dates."""
    if reading.kind == "date" and not reading.strays:
        return reading.values.to_numpy().astype(np.float64), True
    remedy = "write numbers, or dates such as 2024-01-31 12:00:00"
    return numbers_of(column, reading, f"--time {column.name!r}", remedy), False


def _missing(codes: np.ndarray, times: np.ndarray, table: dict[str, np.ndarray], id: str, time: str) -> list[str]:
    """Return notes on rows and cells without a value."""
    notes = []
    for number, what in (((codes < 0).sum(), f"--id {id!r}"), (np.isnan(times).sum(), f"--time {time!r}")):
        if number:
            notes.append(f"{count(int(number), 'row')} without {what} left out.")
    for name, values in table.items():
        if number := int(np.isnan(values).sum()):
            notes.append(f"{count(number, 'reading')} without --value {name!r} left out.")
    return notes


def _channel(
    codes: np.ndarray, times: np.ndarray, values: np.ndarray, names: list[str], id: str, time: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (times, values) of each id, by time."""
    rows = np.flatnonzero((codes >= 0) & ~np.isnan(values))
    rows = rows[np.lexsort((times[rows], codes[rows]))]
    codes, times, values = codes[rows], times[rows], values[rows]
    repeated = np.flatnonzero((np.diff(codes) == 0) & (np.diff(times) == 0))
    if len(repeated):
        where = f"{id} {names[codes[repeated[0]]]!r} has two readings at {time} {times[repeated[0]]:g}"
        more = f", and {count(len(repeated) - 1, 'other reading')} repeated" if len(repeated) > 1 else ""
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

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read what `asdict` returned and JSON stored."""
        lists = (tuple(content[name]) for name in ("classes", "columns", "grid"))
        return cls(content["target"], content["task"], *lists)

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the estimator: the times, and that missing values are interpolated."""
        return {"grid": list(self.grid), "missing": "interpolate"}

    def examples(self, frame: pl.DataFrame) -> Examples:
        """Return the rows of a table, (n, G), NaN where missing."""
        check_columns(frame, self.columns)
        extra = [name for name in frame.columns if name not in {*self.columns, self.target}]
        values = table_values(frame, self.columns, "correct it")
        empty = np.flatnonzero(np.isnan(values).all(1))
        if len(empty):
            rows = listing(map(str, empty + 1)).replace("'", "")
            raise BadInput(f"TABLE has no value in {count(len(empty), 'row')} ({rows}); leave out such rows.")
        notes = [f"Ignored, unknown to the model: {listing(extra)}."] if extra else []
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
    modes: int

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read what `asdict` returned and JSON stored."""
        names = ("target", "task", "classes", "id", "time", "values", "domain", "dates", "modes")
        values: dict[str, Any] = {name: content[name] for name in names}
        values |= {name: tuple(values[name]) for name in ("classes", "values", "domain")}
        return cls(**values)

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the estimator: channels and the domain, since held-out curves may be the longest."""
        basis = spaces.Cosine(self.modes, self.modes, self.domain)
        return {"channels": len(self.values), "num_modes": self.modes, "basis": basis}

    def examples(self, frame: pl.DataFrame) -> Examples:
        """Return a curve for each id, in the order in which the ids first appear."""
        check_columns(frame, (self.id, self.time, *self.values))
        readings = readings_of(frame, self.id, self.time, self.values)
        if readings.dates != self.dates:
            kinds = ("numbers", "dates") if self.dates else ("dates", "numbers")
            raise BadInput(
                f"TABLE has {kinds[0]} in column {self.time!r}, where training had {kinds[1]}; convert them."
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
        return Examples(readings.curves, pl.DataFrame({self.id: readings.ids}), notes + readings.notes)
