"""From tables to curves: a row a curve, whose columns are times; or a row a reading, with columns id, t and values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from langevax.cli.errors import BadInput, count, listing
from langevax.cli.tables.columns import as_kind, as_words, kind_of, read_column

Curve = tuple[tuple[np.ndarray, np.ndarray], ...]
"""(times, values) of each channel."""


@dataclass(frozen=True)
class Grid:
    """The columns that are values of the curve, in the order of their times."""

    names: tuple[str, ...]
    times: np.ndarray | None
    """(G,) increasing; None where the names are words."""
    notes: list[str]


def grid_of(frame: pl.DataFrame, keep: Sequence[str] = ()) -> Grid:
    """Of names that are numbers their order; of words that of the table, without columns that name or number the rows.

    Example:
        >>> grid = grid_of(pl.DataFrame({"852": [1.0], "850": [2.0]}))
        >>> grid.names, grid.times, grid.notes
        (('850', '852'), array([850., 852.]), ['Columns are sorted by the numbers that name them.'])
    """
    names = frame.columns
    numbers = [_number(name) for name in names]
    words = [name for name, number in zip(names, numbers, strict=True) if number is None]
    if len(words) == len(names):
        readings = {name: read_column(frame[name]) for name in names if name not in keep}
        left_out = [name for name, reading in readings.items() if reading.identifies_rows]
        notes = [f"Column {name!r} is left out: {readings[name].useless}; --keep {name} uses it." for name in left_out]
        return Grid(tuple(name for name in names if name not in left_out), None, notes)
    if words:
        they = "it is no number, as the names" if len(words) == 1 else "they are no numbers, as those"
        raise BadInput(
            f"--curves wide takes every column for a value of the curve and its name for the time, but "
            f"{listing(words)}: {they} of the others are; pass {' '.join(f'--drop {name}' for name in words[:6])}."
        )
    times = np.array(numbers, float)
    order = np.argsort(times, kind="stable")
    names, times = [names[i] for i in order], times[order]
    if len(same := np.flatnonzero(np.diff(times) == 0)):
        pair = names[same[0] : same[0] + 2]
        raise BadInput(f"columns {listing(pair)} have the same time; pass --drop with one of them.")
    ordered = np.array_equal(order, np.arange(len(order)))
    return Grid(tuple(names), times, [] if ordered else ["Columns are sorted by the numbers that name them."])


def _number(name: str) -> float | None:
    try:
        number = float(name)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def table_values(frame: pl.DataFrame, names: Sequence[str], remedy: str) -> np.ndarray:
    """(rows, names) float64, NaN where missing; raise `BadInput` for words. `remedy` has a place {name}."""
    return np.stack([numbers_of(frame[name], f"column {name!r}", remedy.format(name=name)) for name in names], 1)


def numbers_of(column: pl.Series, what: str, remedy: str) -> np.ndarray:
    """(rows,) float64, NaN where missing."""
    if kind_of(column) != "numeric":
        words, numbers = as_words(column), as_kind(column, "numeric")[0]
        strange = (words.is_not_null() & numbers.is_null()).arg_true()
        place = f"{words[int(strange[0])]!r} in data row {int(strange[0]) + 1}" if len(strange) else str(column.dtype)
        raise BadInput(f"{what} must hold numbers, but holds {place}; {remedy}.")
    return as_kind(column, "numeric")[0].to_numpy().astype(np.float64)  # null becomes NaN


@dataclass(frozen=True)
class Readings:
    """Curves of a long table, in the order in which their ids come first."""

    ids: list[str]
    curves: list[Curve]
    first_rows: np.ndarray
    """(curve,) a row of the table that has the id."""
    codes: np.ndarray
    """(row,) which of the curves each row of the table belongs to; -1 where to none."""
    dates: bool
    notes: list[str]

    @property
    def range(self) -> tuple[float, float]:
        """The first and the last time of all."""
        ends = [t[[0, -1]] for curve in self.curves for t, _ in curve]
        return float(np.min(ends)), float(np.max(ends))


def readings_of(frame: pl.DataFrame, id: str, time: str, values: Sequence[str]) -> Readings:
    """Rows (id, t, values...) as curves, sorted by time; dates count in days from each id's first reading.

    Raises:
        BadInput: times or values that are words, an id with two rows of the same time, no reading at all.

    Example:
        >>> frame = pl.DataFrame({"id": list("baab"), "t": [2, 1, 0, 0], "x": [5.0, 4.0, 3.0, None]})
        >>> readings_of(frame, "id", "t", ["x"]).curves
        [((array([2.]), array([5.])),), ((array([0., 1.]), array([3., 4.])),)]
    """
    words = as_words(frame[id])
    names = words.drop_nulls().unique(maintain_order=True).to_list()
    place = {name: i for i, name in enumerate(names)}
    codes = np.array([place.get(word, -1) for word in words.to_list()], int)
    times, dates = _times(frame[time], time)
    remedy = "mend it, or name another column"
    table = {name: numbers_of(frame[name], f"--value {name!r}", remedy) for name in values}
    notes = _dropped(codes, times, table, id, time)
    codes = np.where(np.isnan(times), -1, codes)
    if dates and names:
        first = np.full(len(names), np.inf)
        np.minimum.at(first, codes[codes >= 0], times[codes >= 0])
        times = np.where(codes >= 0, times - np.where(codes >= 0, first[codes], 0.0), np.nan)
        notes.append(f"--time {time!r} holds dates: days since the first reading of each {id!r}.")
    channels = [_split(codes, times, x, len(names), names, id, time) for x in table.values()]
    whole = [i for i in range(len(names)) if all(len(channel[i][0]) for channel in channels)]
    if lost := [names[i] for i in range(len(names)) if i not in set(whole)]:
        notes.append(f"{id!r} without a reading of every --value left out: {listing(lost)}.")
    if not whole:
        raise BadInput(f"no {id!r} has a reading of every --value ({listing(values)}) at a --time.")
    curves = [tuple(channel[i] for channel in channels) for i in whole]
    if single := sum(all(len(t) == 1 for t, _ in curve) for curve in curves):
        notes.append(f"{count(single, 'curve')} of a single reading: what is known of all curves fills in the rest.")
    renumbered = np.full(len(names) + 1, -1)
    renumbered[whole] = np.arange(len(whole))
    rows = {code: row for row, code in reversed(list(enumerate(codes.tolist())))}
    first_rows = np.array([rows[i] for i in whole])
    return Readings([names[i] for i in whole], curves, first_rows, renumbered[codes], dates, notes)


def _times(column: pl.Series, name: str) -> tuple[np.ndarray, bool]:
    """(rows,) numbers, or days since 1970 of dates, NaN where missing; and whether they are dates."""
    if kind_of(column) == "date":
        return as_kind(column, "date")[0].to_numpy().astype(np.float64), True
    return numbers_of(column, f"--time {name!r}", "write numbers, or dates such as 2024-01-31 12:00:00"), False


def _dropped(codes: np.ndarray, times: np.ndarray, table: dict[str, np.ndarray], id: str, time: str) -> list[str]:
    """What is said of rows and cells that hold nothing."""
    notes = []
    for number, what in (((codes < 0).sum(), f"--id {id!r}"), (np.isnan(times).sum(), f"--time {time!r}")):
        if number:
            notes.append(f"{count(int(number), 'row')} without {what} left out.")
    for name, values in table.items():
        if number := int(np.isnan(values).sum()):
            notes.append(f"{count(number, 'reading')} without --value {name!r} left out.")
    return notes


def _split(
    codes: np.ndarray, times: np.ndarray, values: np.ndarray, size: int, names: list[str], id: str, time: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(times, values) of each id, by time."""
    kept = np.flatnonzero((codes >= 0) & ~np.isnan(values))
    kept = kept[np.lexsort((times[kept], codes[kept]))]
    codes, times, values = codes[kept], times[kept], values[kept]
    twice = np.flatnonzero((np.diff(codes) == 0) & (np.diff(times) == 0))
    if len(twice):
        where = f"{id} {names[codes[twice[0]]]!r} has two readings at {time} {times[twice[0]]:g}"
        more = f", and {count(len(twice) - 1, 'other reading')} come twice" if len(twice) > 1 else ""
        raise BadInput(f"{where}{more}; average them, or keep one.")
    cuts = np.searchsorted(codes, np.arange(1, size))
    return list(zip(np.split(times, cuts), np.split(values, cuts), strict=True))
