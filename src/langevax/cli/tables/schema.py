"""What training learned of a table of numbers, dates and words.

Per input column its kind, the median that stands in for missing numbers, the categories that have a
column each, and whether training rows lacked it. Everything the encoder does follows from this file.
"""

from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Self

import polars as pl

from langevax.cli.errors import count, listing
from langevax.cli.tables.columns import Column, Kind, as_kind, read_column
from langevax.cli.tables.encoder import Encoder
from langevax.cli.tables.given import Given, check_columns
from langevax.cli.tables.target import Task

MOST_CATEGORIES = 50  # the rest of them share the code of a category never seen: none of the columns


@dataclass(frozen=True)
class Schema:
    """A table's columns and target, as training saw them."""

    target: str
    task: Task
    classes: tuple[str | int, ...]
    """In the order of the probabilities; empty for regression."""
    columns: tuple[Column, ...]

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """From what `asdict` made and JSON kept."""
        columns = [Column(**{**column, "categories": tuple(column["categories"])}) for column in content["columns"]]
        return cls(content["target"], content["task"], tuple(content["classes"]), tuple(columns))

    @property
    def known(self) -> dict[str, Any]:
        """Nothing: the encoder's columns are all that the estimator sees."""
        return {}

    def given(self, frame: pl.DataFrame) -> Given:
        """The rows of a table, encoded."""
        converted, notes = self.convert(frame)
        known = {column.name for column in self.columns} | {self.target}
        if extra := [name for name in frame.columns if name not in known]:
            notes.insert(0, f"Ignored, unknown to the model: {listing(extra)}.")
        return Given(Encoder(self.columns)(converted), pl.DataFrame(), notes)

    def convert(self, frame: pl.DataFrame, argument: str = "TABLE") -> tuple[pl.DataFrame, list[str]]:
        """The schema's columns of a table as numbers and words, and what the user should know of them."""
        check_columns(frame, [column.name for column in self.columns], argument)
        notes, converted = [], []
        for column in self.columns:
            values, infinite = as_kind(frame[column.name], column.kind)
            converted.append(values.alias(column.name))
            notes += _surprises(column, frame[column.name], values, infinite)
        return pl.DataFrame(converted), notes


def useful(frame: pl.DataFrame, keep: Container[str] = ()) -> tuple[pl.DataFrame, dict[str, Kind], list[str]]:
    """The columns something can be learned from, as numbers and words; their kinds; why the others are left out."""
    columns, kinds, notes = [], {}, []
    for series in frame:
        reading = read_column(series)
        kept = reading.identifies_rows and series.name in keep
        if reading.useless and not kept:
            remedy = f"; --keep {series.name} uses it all the same" if reading.identifies_rows else ""
            notes.append(f"Column {series.name!r} is left out: {reading.useless}{remedy}.")
            continue
        columns.append(reading.values.alias(series.name))
        kinds[series.name] = reading.kind
        if reading.kind == "date":
            notes.append(f"Column {series.name!r} holds dates: it enters as days since 1970.")
        if reading.infinite:
            notes.append(_infinite(series.name, reading.infinite))
    return pl.DataFrame(columns), kinds, notes


def learn(frame: pl.DataFrame, kinds: dict[str, Kind]) -> tuple[tuple[Column, ...], list[str]]:
    """The columns of the training rows, as `useful` gave them, and what the user should know of them."""
    columns, notes = [], []
    for values in frame:
        missing = values.null_count() > 0
        if kinds[values.name] != "categorical":
            middle: Any = values.median()
            columns.append(Column(values.name, kinds[values.name], missing, fill=0.0 if middle is None else middle))
            continue
        frequent = values.drop_nulls().alias("word").value_counts().sort(["count", "word"], descending=[True, False])
        kept = frequent["word"].head(MOST_CATEGORIES).to_list()
        columns.append(Column(values.name, "categorical", missing, categories=tuple(sorted(kept))))
        if len(frequent) > len(kept):
            rows = int(frequent["count"].tail(len(frequent) - len(kept)).sum())
            notes.append(
                f"Column {values.name!r} has {len(frequent):,} categories: the {MOST_CATEGORIES} most frequent have an "
                f"input each, the others ({count(rows, 'row')}) share the code of one never seen."
            )
    return tuple(columns), notes


def _infinite(name: str, number: int) -> str:
    return f"Column {name!r}: {count(number, 'infinite value')} counted as missing."


def _surprises(column: Column, given: pl.Series, values: pl.Series, infinite: int) -> list[str]:
    """What a table holds that training did not, counted."""
    notes = []
    if infinite:
        notes.append(_infinite(column.name, infinite))
    if column.kind == "categorical":
        there = values.drop_nulls()
        unseen = there.filter(~there.is_in(list(column.categories)))
        if len(unseen):
            words = listing(unseen.unique(maintain_order=True).to_list(), most=3)
            notes.append(
                f"Column {column.name!r}: {count(len(unseen), 'row')} with a category unknown to the model ({words}), "
                "treated as none of the known ones."
            )
    else:
        lost = values.null_count() - as_kind(given, "categorical")[0].null_count() - infinite
        lost -= int(given.is_nan().fill_null(False).sum()) if given.dtype.is_float() else 0
        if lost > 0:
            noun = "number" if column.kind == "numeric" else "date"
            notes.append(f"Column {column.name!r}: {count(lost, 'value')} that is no {noun} counted as missing.")
    if values.null_count() and not column.missing and column.kind == "categorical":
        notes.append(
            f"Column {column.name!r}: {count(values.null_count(), 'missing value')}, which no training row had; "
            "treated as none of the known categories."
        )
    return notes
