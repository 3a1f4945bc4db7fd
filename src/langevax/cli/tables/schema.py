"""The schema of a table: what training learned of its columns, and the encoding that follows from it.

For each input column: its kind, the median that replaces missing numbers, the categories that have an input of their
own, and whether training rows had missing values.
"""

import json
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from langevax._version import __version__
from langevax.cli.errors import BadInput, count, listing
from langevax.cli.tables.curves import LongCurves, WideCurves
from langevax.cli.tables.reading import Examples, Kind, as_kind, check_columns, read_column
from langevax.evaluation import Task

FORMAT = 1
MAX_CATEGORIES = 50  # the others are encoded as a category that training never saw


@dataclass(frozen=True)
class Column:
    """An input column of the training rows."""

    name: str
    kind: Kind
    missing: bool
    """Whether a training row had no value; then being missing is an input of its own."""
    fill: float | None = None
    """Numbers and dates: the median of the training rows, which replaces missing values."""
    categories: tuple[str, ...] = ()
    """Words with an input of their own, in alphabetical order."""


class Encoder:
    """A scikit-learn transformer from converted tables to a matrix of float64, with a name for each of its columns.

    It is fitted on two rows made from the schema, so that schema.json is all that is stored: the imputer's median of
    (m, missing) is m, and a column without missing values gets no indicator.

    Example:
        >>> columns = (Column("age", "numeric", True, fill=30.0), Column("sex", "categorical", False, None, ("f", "m")))
        >>> encoder = Encoder(columns)
        >>> encoder.names
        ('age', 'age missing', 'sex=f', 'sex=m')
        >>> encoder(pl.DataFrame({"age": [None, 40.0], "sex": ["m", "x"]})).tolist()
        [[30.0, 1.0, 0.0, 1.0], [40.0, 0.0, 0.0, 0.0]]
    """

    def __init__(self, columns: Sequence[Column]):
        self.numbers: list[Column] = [column for column in columns if column.kind != "categorical"]
        self.words: list[Column] = [column for column in columns if column.kind == "categorical"]
        imputer = SimpleImputer(strategy="median", add_indicator=True)
        categories: Any = [_categories(column) for column in self.words]
        one_hot = OneHotEncoder(categories=categories, handle_unknown="ignore", sparse_output=False)
        parts = [("numbers", imputer, self.numbers), ("words", one_hot, self.words)]
        self.transformer: ColumnTransformer = ColumnTransformer(
            [(name, part, [column.name for column in columns]) for name, part, columns in parts if columns]
        )
        self.transformer.fit(self._two_rows())
        self.names: tuple[str, ...] = tuple(name for _, name in self._inputs())

    def __call__(self, frame: pl.DataFrame) -> np.ndarray:
        return np.asarray(self.transformer.transform(frame), np.float64)

    @property
    def groups(self) -> dict[str, list[int]]:
        """For each column of the table, its columns in the matrix."""
        groups: dict[str, list[int]] = {}
        for place, (column, _) in enumerate(self._inputs()):
            groups.setdefault(column.name, []).append(place)
        return groups

    @property
    def quantities(self) -> tuple[int, ...]:
        """Columns of the matrix that are quantities; the others are indicators."""
        return tuple(range(len(self.numbers)))

    def _inputs(self) -> list[tuple[Column, str]]:
        numbers = [(column, column.name) for column in self.numbers]
        indicators = [(column, f"{column.name} missing") for column in self.numbers if column.missing]
        categories = [
            (column, f"{column.name} missing" if word is None else f"{column.name}={word}")
            for column in self.words
            for word in _categories(column)
        ]
        return numbers + indicators + categories

    def _two_rows(self) -> pl.DataFrame:
        """Return the fill values, and the same with missing values where training rows had them."""
        numbers = {c.name: pl.Series([c.fill, None if c.missing else c.fill], dtype=pl.Float64) for c in self.numbers}
        words = {c.name: pl.Series([_categories(c)[0]] * 2, dtype=pl.String) for c in self.words}
        return pl.DataFrame(numbers | words)


def _categories(column: Column) -> list[str | None]:
    return [*column.categories, None] if column.missing else list(column.categories)


@dataclass(frozen=True)
class Schema:
    """The columns and the target of a table of numbers, dates and words."""

    target: str
    task: Task
    classes: tuple[str | int, ...]
    """In the order of the probabilities; empty for regression."""
    columns: tuple[Column, ...]

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read what `asdict` returned and JSON stored."""
        columns = [Column(**{**column, "categories": tuple(column["categories"])}) for column in content["columns"]]
        return cls(content["target"], content["task"], tuple(content["classes"]), tuple(columns))

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the estimator that follow from the table: none."""
        return {}

    def examples(self, frame: pl.DataFrame) -> Examples:
        """Encode the rows of a table."""
        converted, notes = self.convert(frame)
        known = {column.name for column in self.columns} | {self.target}
        if extra := [name for name in frame.columns if name not in known]:
            notes.insert(0, f"Ignored, unknown to the model: {listing(extra)}.")
        return Examples(Encoder(self.columns)(converted), pl.DataFrame(), notes)

    def convert(self, frame: pl.DataFrame, argument: str = "TABLE") -> tuple[pl.DataFrame, list[str]]:
        """Return the columns of the schema as numbers and words, and notes for the user."""
        check_columns(frame, [column.name for column in self.columns], argument)
        notes, converted = [], []
        for column in self.columns:
            values, infinite = as_kind(frame[column.name], column.kind)
            converted.append(values.alias(column.name))
            notes += _differences(column, frame[column.name], values, infinite)
        return pl.DataFrame(converted), notes


def useful(frame: pl.DataFrame, keep: Container[str] = ()) -> tuple[pl.DataFrame, dict[str, Kind], list[str]]:
    """Return the useful columns as numbers and words, their kinds, and notes on the columns left out."""
    columns, kinds, notes = [], {}, []
    for series in frame:
        reading = read_column(series)
        if reading.useless and not (reading.identifies_rows and series.name in keep):
            remedy = f"; use it with --keep {series.name}" if reading.identifies_rows else ""
            notes.append(f"Column {series.name!r} is left out: {reading.useless}{remedy}.")
            continue
        columns.append(reading.values.alias(series.name))
        kinds[series.name] = reading.kind
        if reading.kind == "date":
            notes.append(f"Column {series.name!r} holds dates, used as days since 1970.")
        if reading.infinite:
            notes.append(_infinite(series.name, reading.infinite))
    return pl.DataFrame(columns), kinds, notes


def learn(frame: pl.DataFrame, kinds: dict[str, Kind]) -> tuple[tuple[Column, ...], list[str]]:
    """Return the schema of the training rows of columns that `useful` returned, and notes for the user."""
    columns, notes = [], []
    for values in frame:
        missing = values.null_count() > 0
        if kinds[values.name] != "categorical":
            median: Any = values.median()
            columns.append(Column(values.name, kinds[values.name], missing, fill=0.0 if median is None else median))
            continue
        frequent = values.drop_nulls().alias("word").value_counts().sort(["count", "word"], descending=[True, False])
        categories = frequent["word"].head(MAX_CATEGORIES).to_list()
        columns.append(Column(values.name, "categorical", missing, categories=tuple(sorted(categories))))
        if len(frequent) > len(categories):
            rows = int(frequent["count"].tail(len(frequent) - len(categories)).sum())
            notes.append(
                f"Column {values.name!r} has {len(frequent):,} categories: the {MAX_CATEGORIES} most frequent have an "
                f"input each, the others ({count(rows, 'row')}) are treated as unknown."
            )
    return tuple(columns), notes


def _infinite(name: str, number: int) -> str:
    return f"Column {name!r}: {count(number, 'infinite value')} counted as missing."


def _differences(column: Column, original: pl.Series, values: pl.Series, infinite: int) -> list[str]:
    """Return notes on values that the training rows did not have."""
    notes = []
    if infinite:
        notes.append(_infinite(column.name, infinite))
    if column.kind == "categorical":
        present = values.drop_nulls()
        unknown = present.filter(~present.is_in(list(column.categories)))
        if len(unknown):
            words = listing(unknown.unique(maintain_order=True).to_list(), most=3)
            notes.append(
                f"Column {column.name!r}: {count(len(unknown), 'row')} with a category unknown to the model ({words}), "
                "encoded as none of its categories."
            )
    else:
        lost = values.null_count() - as_kind(original, "categorical")[0].null_count() - infinite
        lost -= int(original.is_nan().fill_null(False).sum()) if original.dtype.is_float() else 0
        if lost > 0:
            kind = "numeric" if column.kind == "numeric" else "date"
            notes.append(f"Column {column.name!r}: {count(lost, f'non-{kind} value')} counted as missing.")
    if values.null_count() and not column.missing and column.kind == "categorical":
        notes.append(
            f"Column {column.name!r}: {count(values.null_count(), 'missing value')}, which no training row had; "
            "encoded as none of its categories."
        )
    return notes


AnySchema = Schema | WideCurves | LongCurves
KINDS: dict[str, type[AnySchema]] = {"columns": Schema, "wide curves": WideCurves, "long curves": LongCurves}


def write_schema(schema: AnySchema, path: Path) -> None:
    """Write a schema as JSON."""
    (kind,) = (name for name, type_ in KINDS.items() if isinstance(schema, type_))
    content = {"format": FORMAT, "langevax": __version__, "kind": kind, **asdict(schema)}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_schema(path: Path) -> AnySchema:
    """Read a schema; raise `BadInput` where langevax did not write it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, written_by = content["format"], content["langevax"]
        if version != FORMAT:
            raise BadInput(f"MODEL {str(path)!r} has format {version}; read it with langevax {written_by}.")
        return KINDS[content.get("kind", "columns")].from_json(content)
    except OSError as error:
        raise BadInput(f"MODEL {str(path)!r} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"MODEL {str(path)!r} is damaged or was not written by langevax; name a folder made by `langevax fit`."
        ) from error
