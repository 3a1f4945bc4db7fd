"""The schema of a table: what training learned of its columns, and the encoding that follows from it.

For each input column: how its cells are written, the median that replaces missing numbers, the categories that have an
input of their own, and whether training rows had missing values. Decisions on reading the table are stored beside it.
`schema.json` names the model that it belongs to by the hash of that file, and has a hash of its own content.
"""

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import polars as pl

from langevax._version import __version__
from langevax.app.errors import BadInput, count, enumerated, listing
from langevax.app.evaluation import Task
from langevax.app.tables.columns import (
    ReadColumn,
    constant,
    reread,
    use_it,
)
from langevax.app.tables.curves import LongCurves, WideCurves
from langevax.app.tables.exposures import check_values
from langevax.app.tables.records import Decision, Examples, check_columns, in_lines
from langevax.app.tables.styles import Kind, Style, as_words
from langevax.storage import HASH, hash_of, read_as, read_object

SCHEMA_FORMAT = 6
MOST_CATEGORIES = 50  # the others are encoded as a category that training never saw


@dataclass(frozen=True)
class Column:
    """An input column of the training rows."""

    name: str
    style: Style
    missing: bool
    """Whether a training row had no value; then being missing is an input of its own."""
    fill: float | None = None
    """Numbers and dates: the median of the training rows, which replaces missing values."""
    categories: tuple[str, ...] = ()
    """Words with an input of their own, in alphabetical order."""
    span: tuple[float, float] | None = None
    """Numbers: the least and the largest of the training rows."""

    @property
    def kind(self) -> Kind:
        """Numbers, dates or words."""
        return self.style.kind

    def outside(self, values: pl.Series, share: float = 0.1) -> int:
        """Return how many numbers are beyond those of the training rows by more than a share of their span.

        Of positive numbers, those below this share of the lowest are so, too.
        """
        if self.span is None:
            return 0
        low, high = self.span
        margin = share * (high - low)
        start = low - margin
        end = high + margin
        if low > 0:
            start = max(start, share * low)  # 6.877 where training had thousands
        numbers = values.to_numpy()
        return int(np.count_nonzero((numbers < start) | (numbers > end)))

    def convert(self, original: pl.Series) -> tuple[pl.Series, list[str]]:
        """Return a column of a new table read as in training, and notes on values that the training rows did not have."""
        if self.kind != "categorical":
            return reread(original, self.style, "the training rows")
        values = as_words(original, self.style)
        notes = []
        known = "read as none of the words of training"
        unknown = values.drop_nulls().filter(
            ~values.drop_nulls().is_in(list(self.categories))
        )
        if len(unknown):
            words = listing(unknown.unique(maintain_order=True))
            notes.append(
                f"Column {self.name!r}: {count(len(unknown), 'row')} with a word that "
                f"training never saw ({words}), {known}."
            )
        if values.null_count() and not self.missing:
            notes.append(
                f"Column {self.name!r}: {count(values.null_count(), 'missing value')}, "
                f"which no training row had, {known}."
            )
        return values, notes


class Encoder:
    """From converted tables to a matrix of float64, with a name for each of its columns.

    Numbers come first, missing ones replaced by the fill value, then an indicator of missing ones for each column that
    had some in training, then the categories of words; an unknown category is 0 in all of them.

    Example:
        >>> age = Column("age", Style("numeric"), True, fill=30.0)
        >>> sex = Column("sex", Style("categorical"), False, None, ("f", "m"))
        >>> encoder = Encoder((age, sex))
        >>> encoder.names
        ('age', 'age missing', 'sex=f', 'sex=m')
        >>> encoder(pl.DataFrame({"age": [None, 40.0], "sex": ["m", "x"]})).tolist()
        [[30.0, 1.0, 0.0, 1.0], [40.0, 0.0, 0.0, 0.0]]
    """

    def __init__(self, columns: Sequence[Column]):
        numbers = [column for column in columns if column.kind != "categorical"]
        words = [column for column in columns if column.kind == "categorical"]
        values = [(c, c.name, pl.col(c.name).fill_null(c.fill)) for c in numbers]
        gaps = [_indicator(c, None) for c in numbers if c.missing]
        categories = [
            _indicator(column, word)
            for column in words
            for word in (*column.categories, *[None] * column.missing)
        ]
        self._inputs = [*values, *gaps, *categories]
        self.names: tuple[str, ...] = tuple(name for _, name, _ in self._inputs)
        self.quantities: tuple[int, ...] = tuple(range(len(numbers)))

    def __call__(self, frame: pl.DataFrame) -> np.ndarray:
        inputs = (
            expression.cast(pl.Float64).alias(str(place))
            for place, (_, _, expression) in enumerate(self._inputs)
        )
        return np.array(frame.select(inputs).to_numpy(), order="C")

    @property
    def groups(self) -> dict[str, list[int]]:
        """For each column of the table, its columns in the matrix."""
        groups: dict[str, list[int]] = {}
        for place, (column, _, _) in enumerate(self._inputs):
            groups.setdefault(column.name, []).append(place)
        return groups


def _indicator(column: Column, word: str | None) -> tuple[Column, str, pl.Expr]:
    """Return an input that is 1 where a column holds a word, or none."""
    cells = pl.col(column.name)
    if word is None:
        return column, f"{column.name} missing", cells.is_null()
    return column, f"{column.name}={word}", (cells == word).fill_null(False)


@dataclass(frozen=True)
class Schema:
    """The columns and the target of a table of numbers, dates and words."""

    target: str
    task: Task
    classes: tuple[str | int, ...]
    """In the order of the probabilities; empty for regression."""
    columns: tuple[Column, ...]
    decisions: tuple[Decision, ...] = ()
    """On reading the training table."""
    never_negative: bool = False
    """Whether the target is a number that is at least 0 in all rows, as counts and amounts are."""
    exposure: str = ""
    """The column that multiplies the mean of each row's count; empty without one."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the estimator that follow from the table: none."""
        return {}

    def examples(self, frame: pl.DataFrame) -> Examples:
        """Encode the rows of a table."""
        converted, notes = self.convert(frame)
        if name := self.exposure:
            check_values(converted[name], f"TABLE: column {name!r}")
        known = {self.target, *(column.name for column in self.columns)}
        known |= {one.column for one in self.decisions if one.topic == "left out"}
        if extra := [name for name in frame.columns if name not in known]:
            notes.insert(0, f"Ignored, unknown to the model: {listing(extra)}.")
        return Examples(Encoder(self.columns)(converted), pl.DataFrame(), notes)

    def convert(
        self, frame: pl.DataFrame, argument: str = "TABLE"
    ) -> tuple[pl.DataFrame, list[str]]:
        """Return the columns of the schema as numbers and words, read as in training, and notes for the user."""
        names = [column.name for column in self.columns]
        check_columns(frame, names, argument, self.target)
        notes = list[str]()
        problems = list[BadInput]()
        converted = []
        imputed = list[str]()
        outside = list[str]()
        for column in self.columns:
            try:
                values, remarks = column.convert(frame[column.name])
            except BadInput as error:
                problems.append(error)
                continue
            notes += remarks
            converted.append(values.alias(column.name))
            if column.kind != "categorical" and values.null_count():
                imputed.append(f"{column.name!r} ({values.null_count():,})")
            if (number := column.outside(values)) and column.span:
                low, high = column.span
                outside.append(
                    f"{column.name!r} ({count(number, 'row')}; trained on {low:.6g} to "
                    f"{high:.6g})"
                )
        if problems:
            several = f"{count(len(problems), 'column')} cannot be read"
            raise BadInput(f"{argument}: {in_lines(problems, several)}")
        if imputed:
            notes.append(
                "Missing values replaced by the median of the training rows: "
                f"{enumerated(imputed)}."
            )
        if outside:
            notes.append(
                f"Outside of what the training rows have: {enumerated(outside)}. Do "
                "not trust predictions and intervals there."
            )
        return pl.DataFrame(converted), notes


def useful(
    readings: Mapping[str, ReadColumn],
    keep: Container[str] = (),
    rows: np.ndarray | None = None,
) -> tuple[pl.DataFrame, dict[str, Style], list[Decision]]:
    """Return the useful columns as numbers and words, how they are written, and decisions on all columns.

    Args:
        readings: as `read_columns` returned them.
        keep: names of columns to use although they identify rows.
        rows: those to return; None for all.
    """
    columns = []
    styles = {}
    decisions = []
    places = None if rows is None else pl.Series(rows)
    for name, reading in readings.items():
        values = reading.values
        useless = reading.useless
        if places is not None:
            values = values.gather(places)
        is_wanted = reading.identifies_rows and name in keep
        if is_wanted or not useless:
            useless = constant(values)
        if not useless:
            columns.append(values.alias(name))
            styles[name] = reading.style
            decisions += reading.decisions
            continue
        guess = reading.identifies_rows and not is_wanted
        remedy = f"; {use_it(name, reading)}" if guess else ""
        sentence = f"Column {name!r} is left out: {useless}{remedy}."
        decisions.append(Decision("left out", sentence, name))
    return pl.DataFrame(columns), styles, decisions


def learn(
    frame: pl.DataFrame, styles: dict[str, Style]
) -> tuple[tuple[Column, ...], list[Decision]]:
    """Return the schema of the training rows of columns that `useful` returned, and decisions on categories."""
    columns = []
    decisions = []
    for values in frame:
        name = values.name
        style = styles[values.name]
        missing = values.has_nulls()
        if style.kind != "categorical":
            fill, low, high = (
                float(statistic or 0.0)  # type: ignore[arg-type]
                for statistic in (values.median(), values.min(), values.max())
            )
            span = (low, high) if style.kind == "numeric" else None
            columns.append(Column(name, style, missing, fill, span=span))
            continue
        tally = values.drop_nulls().alias("word").value_counts()
        tally = tally.sort(["count", "word"], descending=[True, False])
        frequent = tally.head(MOST_CATEGORIES)
        rare = tally.slice(MOST_CATEGORIES)
        categories = tuple(frequent["word"].sort())
        columns.append(Column(name, style, missing, categories=categories))
        if rare.height:
            sentence = (
                f"Column {name!r} has {tally.height:,} categories in the training "
                f"rows: the {MOST_CATEGORIES} most frequent have an input each, the "
                f"others ({count(int(rare['count'].sum()), 'row')}) are treated as "
                "unknown."
            )
            decisions.append(Decision("words", sentence, name))
    return tuple(columns), decisions


AnySchema = Schema | WideCurves | LongCurves
SCHEMAS: dict[str, type[AnySchema]] = {
    "columns": Schema,
    "wide curves": WideCurves,
    "long curves": LongCurves,
}


_hints = cache(get_type_hints)


def restored(kind: Any, value: Any) -> Any:
    """Return a value of a type from what `asdict` returned and JSON stored.

    Example:
        >>> restored(Column, {"name": "x", "style": {"kind": "numeric"}, "missing": False, "span": [0.0, 1.0]}).span
        (0.0, 1.0)
    """
    parts = get_args(kind)
    if is_dataclass(kind):
        types = _hints(kind)
        fields = {name: restored(types[name], one) for name, one in value.items()}
        return kind(**fields)  # type: ignore[operator]
    if isinstance(value, dict):
        return {name: restored(parts[1], one) for name, one in value.items()}
    if isinstance(value, list):
        (inner,) = (part for part in (kind, *parts) if get_origin(part) is tuple)
        return tuple(restored(get_args(inner)[0], one) for one in value)
    return value


def write_schema(schema: AnySchema, path: Path, model: str = "") -> None:
    """Write a schema as JSON; `model` is the hash of the model that it belongs to."""
    (kind,) = (name for name, type_ in SCHEMAS.items() if isinstance(schema, type_))
    content = {
        "format": SCHEMA_FORMAT,
        "langevax": __version__,
        "model": model,
        "kind": kind,
        "schema": asdict(schema),
    }
    content[HASH] = hash_of(content)
    text = json.dumps(content, indent=1, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def read_schema(path: Path, model: str = "") -> AnySchema:
    """Read a schema; raise `BadInput` where langevax did not write it, or not for the model of that hash."""
    where = f"MODEL {str(path)!r}"
    damaged = (
        f"{where} is damaged or was not written by langevax ({{}}); name a folder made "
        "by `langevax fit`."
    )
    with read_as(BadInput, damaged):
        content = read_object(path)
        version = content["format"]
        written_by = content["langevax"]
        if version != SCHEMA_FORMAT:
            raise BadInput(
                f"{where} has format {version}, where this langevax reads "
                f"{SCHEMA_FORMAT}; fit again, or predict with langevax {written_by}."
            )
        if content[HASH] != hash_of(content):
            raise BadInput(
                f"{where} is damaged: its content is not what was saved; copy it or "
                "fit again."
            )
        if content["model"] != model:
            raise BadInput(
                f"{where} belongs to another model than the one beside it; copy the "
                "whole folder of a fit."
            )
        return restored(SCHEMAS[content["kind"]], content["schema"])
