"""What training learned of a table of curves: which columns, and where in time."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from langevax import spaces
from langevax.cli.errors import BadInput, count, listing
from langevax.cli.tables.curves import readings_of, table_values
from langevax.cli.tables.given import Given, check_columns
from langevax.cli.tables.target import Task


@dataclass(frozen=True)
class WideCurves:
    """A row a curve."""

    target: str
    task: Task
    classes: tuple[str | int, ...]
    columns: tuple[str, ...]
    """In the order of their times."""
    grid: tuple[float, ...]

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """From what `asdict` made and JSON kept."""
        lists = (tuple(content[name]) for name in ("classes", "columns", "grid"))
        return cls(content["target"], content["task"], *lists)

    @property
    def known(self) -> dict[str, Any]:
        """The times, and that missing values are interpolated."""
        return {"grid": list(self.grid), "missing": "interpolate"}

    def given(self, frame: pl.DataFrame) -> Given:
        """The rows of a table, (n, G), NaN where missing."""
        check_columns(frame, self.columns)
        extra = [name for name in frame.columns if name not in {*self.columns, self.target}]
        values = table_values(frame, self.columns, "mend it")
        empty = np.flatnonzero(np.isnan(values).all(1))
        if len(empty):
            rows = listing(map(str, empty + 1)).replace("'", "")
            raise BadInput(f"TABLE has no value at all in {count(len(empty), 'row')} ({rows}); leave out such rows.")
        notes = [f"Ignored, unknown to the model: {listing(extra)}."] if extra else []
        if lacking := int(np.isnan(values).sum()):
            notes.append(f"{count(lacking, 'missing value')} interpolated.")
        return Given(values, pl.DataFrame(), notes)


@dataclass(frozen=True)
class LongCurves:
    """A row a reading."""

    target: str
    task: Task
    classes: tuple[str | int, ...]
    id: str
    time: str
    values: tuple[str, ...]
    """A channel each."""
    domain: tuple[float, float]
    """First and last time of all curves."""
    dates: bool
    modes: int

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """From what `asdict` made and JSON kept."""
        lists = {name: tuple(content[name]) for name in ("classes", "values", "domain")}
        plain = {name: content[name] for name in ("target", "task", "id", "time", "dates", "modes")}
        known: dict[str, Any] = {**plain, **lists}
        return cls(**known)

    @property
    def known(self) -> dict[str, Any]:
        """The channels, and the domain: curves held out may be longer than those trained on."""
        basis = spaces.Cosine(self.modes, self.modes, self.domain)
        return {"channels": len(self.values), "num_modes": self.modes, "basis": basis}

    def given(self, frame: pl.DataFrame) -> Given:
        """A curve each id, in the order in which they come first."""
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
        return Given(readings.curves, pl.DataFrame({self.id: readings.ids}), notes + readings.notes)
