"""What training learned of a table, small enough to read: schema.json beside the model.

Per input column its kind, the median that stands in for missing numbers, the categories that have a
column each, and whether training rows lacked it. Everything the encoder does follows from this file.
"""

import json
from collections.abc import Container
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import polars as pl

from langevax._version import __version__
from langevax.cli.columns import Kind, as_kind, read_column
from langevax.cli.errors import BadInput, count, listing, nearest

FORMAT = 1
MOST_CATEGORIES = 50  # the rest of them share the code of a category never seen: none of the columns

Task = Literal["regression", "classification"]


@dataclass(frozen=True)
class Column:
    """One input column."""

    name: str
    kind: Kind
    missing: bool
    """Whether a training row had no value; then being absent is an input of its own."""
    fill: float | None = None
    """Numbers and dates: the median of the training rows, put where a value is missing."""
    categories: tuple[str, ...] = ()
    """Words: those with an input of their own, in alphabetical order."""


@dataclass(frozen=True)
class Schema:
    """A table's columns and target, as training saw them."""

    target: str
    task: Task
    classes: tuple[str | int, ...]
    """In the order of the probabilities; empty for regression."""
    columns: tuple[Column, ...]

    def write(self, path: Path) -> None:
        """As JSON."""
        content = {"format": FORMAT, "langevax": __version__, **asdict(self)}
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Schema":
        """From JSON; raise `BadInput` where it is not one of ours."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version, written_by = content["format"], content["langevax"]
            if version != FORMAT:
                raise BadInput(f"MODEL {str(path)!r} has format {version}; read it with langevax {written_by}.")
            columns = [{**column, "categories": tuple(column["categories"])} for column in content["columns"]]
            known = {field.name: content[field.name] for field in fields(cls)}
            columns = tuple(Column(**column) for column in columns)
            return cls(**{**known, "classes": tuple(known["classes"]), "columns": columns})
        except OSError as error:
            raise BadInput(f"MODEL {str(path)!r} cannot be read ({error.strerror}).") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, BadInput):
                raise
            raise BadInput(
                f"MODEL {str(path)!r} is damaged or was not written by langevax; name a folder made by `langevax fit`."
            ) from error

    def convert(self, frame: pl.DataFrame, argument: str = "TABLE") -> tuple[pl.DataFrame, list[str]]:
        """The schema's columns of a table as numbers and words, and what the user should know of them."""
        absent = [column.name for column in self.columns if column.name not in frame.columns]
        if absent:
            hint = nearest(absent[0], frame.columns)
            raise BadInput(
                f"{argument} lacks {count(len(absent), 'column')} that the model was trained on: {listing(absent)}; "
                f"{hint if hint.startswith('did') else 'add or rename them.'}"
            )
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
