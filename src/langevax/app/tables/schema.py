"""The schema of a table: what training learned of its columns, and the encoding that follows from it.

For each input column: how its cells are written, the median that replaces missing numbers, the categories that have an
input of their own, and whether training rows had missing values. Decisions on reading the table are stored beside it.
`schema.json` names the model that it belongs to by the hash of that file, and has a hash of its own content.
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
from langevax.app.errors import BadInput, count, listing
from langevax.app.evaluation import Task
from langevax.app.tables.columns import (
    constant,
    plain_columns,
    stands_for_missing,
    words_of,
)
from langevax.app.tables.curves import LongCurves, WideCurves
from langevax.app.tables.cycles import Cycle, position
from langevax.app.tables.exposures import check_new_exposure, check_new_offset
from langevax.app.tables.inference import ReadColumn
from langevax.app.tables.records import (
    Decision,
    Examples,
    check_columns,
    option,
    same_but_for_case,
)
from langevax.app.tables.rereading import infinite_values, unreadable_values
from langevax.app.tables.styles import Kind, Style, as_words, parse
from langevax.data.integrity import HASH, hash_of

FORMAT, READABLE = 5, (3, 4, 5)  # 3 has no cycles of dates, 4 fewer notations
BEYOND = 0.1  # of the span of the training rows, by which a number may lie outside without a note
BELOW = 0.1  # of the lowest positive number
MAX_CATEGORIES = 50  # the others are encoded as a category that training never saw


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
    cycles: tuple[Cycle, ...] = ()
    """Dates: the cycles whose positions are inputs beside the date."""

    @property
    def kind(self) -> Kind:
        """Numbers, dates or words."""
        return self.style.kind

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read what `asdict` returned and JSON stored."""
        missing, fill, categories = (
            content[name] for name in ("missing", "fill", "categories")
        )
        low, high = content.get("span") or (None, None)
        span = None if low is None or high is None else (float(low), float(high))
        cycles = tuple(content.get("cycles", ()))
        return cls(
            content["name"],
            Style(**content["style"]),
            missing,
            fill,
            tuple(categories),
            span,
            cycles,
        )

    def outside(self, values: pl.Series) -> int:
        """Return how many numbers are beyond those of the training rows by more than a tenth of their span.

        Of positive numbers, those below a tenth of the lowest are so, too.
        """
        if self.span is None:
            return 0
        low, high = self.span
        margin = BEYOND * (high - low)
        beyond = (values < low - margin) | (values > high + margin)
        if low > 0:
            beyond |= values < BELOW * low  # 6.877 where training had thousands
        return int(beyond.sum())


class Encoder:
    """A scikit-learn transformer from converted tables to a matrix of float64, with a name for each of its columns.

    It is fitted on two rows made from the schema, so that schema.json is all that is stored: the imputer's median of
    (m, missing) is m, and a column without missing values gets no indicator.

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
        self.numbers: list[Column] = [
            column for column in columns if column.kind != "categorical"
        ]
        self.words: list[Column] = [
            column for column in columns if column.kind == "categorical"
        ]
        imputer = SimpleImputer(strategy="median", add_indicator=True)
        categories: Any = [_categories(column) for column in self.words]
        one_hot = OneHotEncoder(
            categories=categories, handle_unknown="ignore", sparse_output=False
        )
        numbers, words = (
            len(self.numbers),
            len(self.words),
        )  # positions, since names are searched for one by one
        parts = [
            ("numbers", imputer, range(numbers)),
            ("words", one_hot, range(numbers, numbers + words)),
        ]
        self.transformer: ColumnTransformer = ColumnTransformer(
            [(name, part, list(places)) for name, part, places in parts if places]
        )
        self.transformer.fit(self._two_rows())
        self._waves: list[tuple[int, Cycle]] = [
            (i, cycle) for i, c in enumerate(self.numbers) for cycle in c.cycles
        ]
        self.names: tuple[str, ...] = tuple(name for _, name in self._inputs())

    def __call__(self, frame: pl.DataFrame) -> np.ndarray:
        ordered = frame.select(column.name for column in [*self.numbers, *self.words])
        encoded = np.asarray(self.transformer.transform(ordered), np.float64)
        return np.hstack(
            [
                encoded,
                *(position(encoded[:, place], cycle) for place, cycle in self._waves),
            ]
        )

    @property
    def groups(self) -> dict[str, list[int]]:
        """For each column of the table, its columns in the matrix."""
        groups: dict[str, list[int]] = {}
        for place, (column, _) in enumerate(self._inputs()):
            groups.setdefault(column.name, []).append(place)
        return groups

    @property
    def cycles(self) -> dict[str, dict[Cycle, tuple[int, int]]]:
        """For columns of dates with positions in cycles, the columns of sine and cosine in the matrix."""
        cycles: dict[str, dict[Cycle, tuple[int, int]]] = {}
        first = len(self.names) - 2 * len(self._waves)
        for i, (place, cycle) in enumerate(self._waves):
            cycles.setdefault(self.numbers[place].name, {})[cycle] = (
                first + 2 * i,
                first + 2 * i + 1,
            )
        return cycles

    @property
    def quantities(self) -> tuple[int, ...]:
        """Columns of the matrix that are quantities; the others are indicators."""
        return tuple(range(len(self.numbers)))

    def _inputs(self) -> list[tuple[Column, str]]:
        numbers = [(column, column.name) for column in self.numbers]
        indicators = [
            (column, f"{column.name} missing")
            for column in self.numbers
            if column.missing
        ]
        categories = [
            (
                column,
                f"{column.name} missing" if word is None else f"{column.name}={word}",
            )
            for column in self.words
            for word in _categories(column)
        ]
        waves = [
            (self.numbers[place], f"{self.numbers[place].name} {wave} of the {cycle}")
            for place, cycle in self._waves
            for wave in ("sine", "cosine")
        ]
        return numbers + indicators + categories + waves

    def _two_rows(self) -> pl.DataFrame:
        """Return the fill values, and the same with missing values where training rows had them."""
        fill = np.array(
            [
                [c.fill for c in self.numbers],
                [None if c.missing else c.fill for c in self.numbers],
            ],
            float,
        )
        numbers = pl.DataFrame(fill, schema=[c.name for c in self.numbers])
        words = [
            pl.Series(c.name, [_categories(c)[0]] * 2, dtype=pl.String)
            for c in self.words
        ]
        return numbers.hstack(words)


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
    decisions: tuple[Decision, ...] = ()
    """On reading the training table."""
    never_negative: bool = False
    """Whether the target is a number that is at least 0 in all rows, as counts and amounts are."""
    exposure: str = ""
    """The column that multiplies the mean of each row's count; empty without one."""
    offset: str = ""
    """The column that is added to the linear predictor; empty without one."""

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read what `asdict` returned and JSON stored."""
        columns = tuple(Column.from_json(column) for column in content["columns"])
        decisions = tuple(Decision(**decision) for decision in content["decisions"])
        classes, never_negative = (
            tuple(content["classes"]),
            content.get("never_negative", False),
        )
        known = content.get("exposure", ""), content.get("offset", "")
        return cls(
            content["target"],
            content["task"],
            classes,
            columns,
            decisions,
            never_negative,
            *known,
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the estimator that follow from the table: none."""
        return {}

    def examples(self, frame: pl.DataFrame) -> Examples:
        """Encode the rows of a table."""
        converted, notes = self.convert(frame)
        if self.exposure:
            check_new_exposure(converted[self.exposure])
        if self.offset:
            check_new_offset(converted[self.offset])
        known = {column.name for column in self.columns} | {self.target}
        known |= {
            decision.column
            for decision in self.decisions
            if decision.topic == "left out"
        }
        if extra := [name for name in frame.columns if name not in known]:
            notes.insert(0, f"Ignored, unknown to the model: {listing(extra)}.")
        return Examples(Encoder(self.columns)(converted), pl.DataFrame(), notes)

    def convert(
        self, frame: pl.DataFrame, argument: str = "TABLE"
    ) -> tuple[pl.DataFrame, list[str]]:
        """Return the columns of the schema as numbers and words, read as in training, and notes for the user."""
        check_columns(
            frame, [column.name for column in self.columns], argument, self.target
        )
        notes, converted, imputed, outside = [], [], {}, []
        numbers = [
            column.name for column in self.columns if column.style == Style("numeric")
        ]
        plain = plain_columns(words_of(frame.select(numbers)))
        for column in self.columns:
            if (reading := plain.get(column.name)) is not None:
                values, infinite = reading.values, reading.infinite
                notes += [infinite_values(column.name, infinite)] if infinite else []
            else:
                values, infinite = parse(frame[column.name], column.style)
                notes += _differences(column, frame[column.name], values, infinite)
            converted.append(values.alias(column.name))
            if column.kind != "categorical" and values.null_count():
                imputed[column.name] = values.null_count()
            if (number := column.outside(values)) and column.span:
                outside.append(
                    f"{column.name!r} ({count(number, 'row')}; trained on {_span(*column.span)})"
                )
        if imputed:
            columns = ", ".join(
                f"{name!r} ({number:,})" for name, number in list(imputed.items())[:6]
            )
            more = (
                f" and {count(len(imputed) - 6, 'more column')}"
                if len(imputed) > 6
                else ""
            )
            total = count(sum(imputed.values()), "missing value")
            notes.append(
                f"{total} replaced by the median of the training rows: {columns}{more}."
            )
        if outside:
            more = (
                f" and {count(len(outside) - 6, 'more column')}"
                if len(outside) > 6
                else ""
            )
            notes.append(
                f"Outside of what the training rows have: {', '.join(outside[:6])}{more}. Do not trust predictions and "
                "intervals there."
            )
        return pl.DataFrame(converted), notes


def _span(low: float, high: float) -> str:
    return f"{low:.6g} to {high:.6g}"


def useful(
    frame: pl.DataFrame,
    readings: Sequence[ReadColumn],
    keep: Container[str] = (),
    rows: np.ndarray | None = None,
) -> tuple[pl.DataFrame, dict[str, Style], list[Decision]]:
    """Return the useful columns as numbers and words, how they are written, and decisions on all columns.

    Args:
        frame: the columns as they are in the file.
        readings: the same, as `read_columns` returned them.
        keep: names of columns to use although they identify rows.
        rows: of the frame, those to return; None for all.
    """
    columns, styles, decisions = [], {}, []
    shorter = rows is not None and len(rows) < frame.height
    for series, reading in zip(frame, readings, strict=True):
        name = series.name
        values = (
            reading.values[rows.tolist()]
            if rows is not None and shorter
            else reading.values
        )
        forced = reading.identifies_rows and name in keep
        useless = (
            constant(values)
            if forced or (shorter and not reading.useless)
            else reading.useless
        )
        if useless:
            remedy = (
                f"; use it with {option('--keep', name)}"
                if reading.identifies_rows and not forced
                else ""
            )
            decisions += [
                decision for decision in reading.decisions if decision.topic == "mixed"
            ]
            decisions.append(
                Decision(
                    "left out", f"Column {name!r} is left out: {useless}{remedy}.", name
                )
            )
            continue
        columns.append(values.alias(name))
        styles[name] = reading.style
        decisions += reading.decisions
        if reading.resembles_id and name not in keep:
            decisions.append(
                Decision("numbers", f"Column {name!r} {reading.resembles_id}.", name)
            )
        if reading.kind == "categorical" and (differ := same_but_for_case(values)):
            remedy = f"spell them alike if they are one, or pass {option('--read', name, 'ignore-case')}"
            sentence = (
                f"Column {name!r}: {differ} and are categories of their own; {remedy}."
            )
            decisions.append(Decision("words", sentence, name))
        if reading.kind != "categorical" and (
            far := stands_for_missing(
                values, reading.kind == "date" and not reading.style.clock
            )
        ):
            sentence = f"Column {name!r}: {far}; if it stands for a missing value, empty these cells."
            decisions.append(Decision("missing", sentence, name))
        if reading.infinite:
            decisions.append(
                Decision("missing", infinite_values(name, reading.infinite), name)
            )
    return pl.DataFrame(columns), styles, decisions


def learn(
    frame: pl.DataFrame, styles: dict[str, Style]
) -> tuple[tuple[Column, ...], list[Decision]]:
    """Return the schema of the training rows of columns that `useful` returned, and decisions on categories."""
    columns, decisions = [], []
    numeric = frame.select(
        name for name, style in styles.items() if style.kind != "categorical"
    )
    statistics = (
        of_all.rows()[0] if numeric.width else ()
        for of_all in (numeric.median(), numeric.min(), numeric.max())
    )
    of_numbers = dict(zip(numeric.columns, zip(*statistics, strict=True), strict=True))
    for values in frame:
        name, style, missing = values.name, styles[values.name], values.null_count() > 0
        if (numbers := of_numbers.get(name)) is not None:
            fill, low, high = (
                value if isinstance(value, float) else 0.0 for value in numbers
            )
            columns.append(
                Column(
                    name,
                    style,
                    missing,
                    fill,
                    span=(low, high) if style.kind == "numeric" else None,
                )
            )
            continue
        frequent = (
            values.drop_nulls()
            .alias("word")
            .value_counts()
            .sort(["count", "word"], descending=[True, False])
        )
        categories = frequent["word"].head(MAX_CATEGORIES).to_list()
        columns.append(
            Column(name, style, missing, categories=tuple(sorted(categories)))
        )
        if len(frequent) > len(categories):
            rows = int(frequent["count"].tail(len(frequent) - len(categories)).sum())
            sentence = (
                f"Column {name!r} has {len(frequent):,} categories in the training rows: the {MAX_CATEGORIES} most "
                f"frequent have an input each, the others ({count(rows, 'row')}) are treated as unknown."
            )
            decisions.append(Decision("words", sentence, name))
    return tuple(columns), decisions


def _differences(
    column: Column, original: pl.Series, values: pl.Series, infinite: int
) -> list[str]:
    """Return notes on values that the training rows did not have."""
    notes = []
    if infinite:
        notes.append(infinite_values(column.name, infinite))
    if column.kind == "categorical":
        present = values.drop_nulls()
        unknown = present.filter(~present.is_in(list(column.categories)))
        if len(unknown):
            distinct = unknown.unique(maintain_order=True).to_list()
            known = {category.lower() for category in column.categories}
            cased = [word for word in distinct if word.lower() in known]
            of_case = (
                f" {listing(cased, most=3)} differ{'s' * (len(cased) == 1)} from known ones only in case."
                if cased
                else ""
            )
            words = listing(distinct, most=3)
            notes.append(
                f"Column {column.name!r}: {count(len(unknown), 'row')} with a category unknown to the model ({words}), "
                f"encoded as none of its categories.{of_case}"
            )
    elif values.null_count() > infinite:
        notes += unreadable_values(
            column.name, column.style, as_words(original), values
        )
    if values.null_count() and not column.missing and column.kind == "categorical":
        notes.append(
            f"Column {column.name!r}: {count(values.null_count(), 'missing value')}, which no training row had; "
            "encoded as none of its categories."
        )
    return notes


AnySchema = Schema | WideCurves | LongCurves
KINDS: dict[str, type[AnySchema]] = {
    "columns": Schema,
    "wide curves": WideCurves,
    "long curves": LongCurves,
}


def write_schema(schema: AnySchema, path: Path, model: str = "") -> None:
    """Write a schema as JSON; `model` is the hash of the model that it belongs to."""
    (kind,) = (name for name, type_ in KINDS.items() if isinstance(schema, type_))
    content = {
        "format": FORMAT,
        "langevax": __version__,
        "model": model,
        "kind": kind,
        **asdict(schema),
    }
    content[HASH] = hash_of(content)
    path.write_text(
        json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def read_schema(path: Path, model: str = "") -> AnySchema:
    """Read a schema; raise `BadInput` where langevax did not write it, or not for the model of that hash."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, written_by = content["format"], content["langevax"]
        if version not in READABLE:
            raise BadInput(
                f"MODEL {str(path)!r} has format {version}; read it with langevax {written_by}."
            )
        if content[HASH] != hash_of(content):
            raise BadInput(
                f"MODEL {str(path)!r} is damaged: its content is not what was saved; copy it or fit again."
            )
        if content["model"] != model:
            raise BadInput(
                f"MODEL {str(path)!r} belongs to another model than the one beside it; copy the whole folder of a fit."
            )
        return KINDS[content["kind"]].from_json(content)
    except OSError as error:
        raise BadInput(
            f"MODEL {str(path)!r} cannot be read ({error.strerror})."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"MODEL {str(path)!r} is damaged or was not written by langevax; name a folder made by `langevax fit`."
        ) from error
