"""A messy file, what it must be read as, and the verdict on how it was read.

To add a case, add a `Case` to a list in a file beside this one whose name starts with `cases_`. No knowledge of the
reader is needed: a case says what a careful person would read. For example:

    Case(
        "german excel",
        "preis;ort\\n1.234,5;Bonn\\n2,25;Köln\\n".encode("cp1252"),
        {"preis": number(1234.5, 2.25), "ort": words("Bonn", "Köln")},
    )

Expectations by column, in the order of the rows, None where a value is missing:

- `number(...)`: floats. A percentage is the number before the sign: 12.3 for 12.3%.
- `words(...)`: strings, without spaces around them. They keep their spelling.
- `date(...)`: ISO dates or times in UTC ("2024-01-31", "2024-01-31T12:30"), or times of day ("12:30").
- `boolean(...)`: True and False, for columns that say yes and no in any way; 0 and 1 are numbers.
- `dropped()`: a column that says nothing of the rows or only numbers them: an index, an id, a constant, no values.
- `classes=`, with `target=`: the labels of the target in order, strings, or int where they are plain integers.

A file that can be read in two ways must be refused: pass `None` instead of columns, and `refusal`, the words that must
be in the message, such as the name of the column and the option that settles it. Where a file is readable but a refusal
would do as well, pass both. `options` are values of --read: COLUMN=words, ignore-case, numbers, dates, decimal-point,
decimal-comma, day-first, month-first or year-first.

A column of words that are all different identifies its rows and is dropped, and so is one that counts 1, 2, 3; so
repeat words, in four rows or more. Columns without a name are called `column 1` by their position, and the second of
two columns named x is called `x (2)`.
"""

import functools
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from langevax.app.errors import BadInput
from langevax.app.tables.columns import ReadColumn, read_columns
from langevax.app.tables.files import read_table
from langevax.app.tables.styles import Choices
from langevax.app.tables.targets import read_target

Value = float | str | bool | None
Verdict = Literal["read right", "refused by name", "misread"]


@dataclass(frozen=True)
class Expected:
    """A column: its kind, and its values."""

    kind: Literal["number", "words", "date", "boolean", "dropped"]
    values: tuple[Value, ...] = ()


def number(*values: float | None) -> Expected:
    """Return a column of numbers."""
    return Expected("number", values)


def words(*values: str | None) -> Expected:
    """Return a column of words."""
    return Expected("words", values)


def date(*values: str | None) -> Expected:
    """Return a column of dates or times of day in ISO format."""
    return Expected("date", values)


def boolean(*values: bool | None) -> Expected:
    """Return a column of True and False."""
    return Expected("boolean", values)


def dropped() -> Expected:
    """Return a column that is left out."""
    return Expected("dropped")


@dataclass(
    frozen=True, eq=False
)  # each case is itself alone, so that its verdict can be cached
class Case:
    """A messy file."""

    name: str
    content: bytes
    columns: Mapping[str, Expected] | None
    """All columns but the target, in their order; None where the file must be refused."""
    refusal: tuple[str, ...] = ()
    """Words that a refusal must hold."""
    target: str | None = None
    classes: tuple[str | int, ...] | None = None
    """Labels of the target; None where it is not checked."""
    options: tuple[str, ...] = ()
    """Values of --read."""
    encoding: str | None = None
    """The value of --encoding."""
    file: str = "table.csv"


@functools.cache
def judge(case: Case) -> tuple[Verdict, str]:
    """Return the verdict on a case, and what was read or refused in a few words."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / case.file
        path.write_bytes(case.content)
        try:
            problem = _difference(case, path)
        except BadInput as error:
            message = str(error)
            named = bool(case.refusal) and all(word in message for word in case.refusal)
            return ("refused by name" if named else "misread"), message.replace(
                folder, ""
            )
    return ("misread", problem) if problem else ("read right", "")


def _difference(case: Case, path: Path) -> str:
    """Read a file; return how it differs from what is expected."""
    table = read_table(path, encoding=case.encoding)
    frame = table.frame
    choices = Choices.parse(case.options, frame.columns)
    readings = read_columns(frame, choices, table.separator)
    if case.target is not None:
        target = read_target(frame, case.target, None, readings.pop(case.target))
        if case.classes is not None and _typed(target.classes) != _typed(case.classes):
            return f"classes {target.classes!r}, not {case.classes!r}"
    if case.columns is None:
        return f"read as {[(n, r.kind, r.values.to_list()[:3]) for n, r in readings.items()]} where it must be refused"
    if list(readings) != list(case.columns):
        return f"columns {list(readings)}, not {list(case.columns)}"
    for name, expected in case.columns.items():
        if problem := _column_difference(readings[name], expected):
            return f"column {name!r} {problem}"
        chosen = any(one.startswith(f"{name}=") for one in case.options)
        if not chosen and _is_silent(readings[name]):
            return f"column {name!r} is words with digits, and no decision says so"
    return ""


def _is_silent(reading: ReadColumn) -> bool:
    """Return whether half of the words of a column have digits, and nothing is printed of it."""
    cells = reading.values.drop_nulls()
    if reading.kind != "categorical" or reading.useless or not len(cells):
        return False
    digits = cells.str.contains("[0-9]").sum()
    return 2 * digits >= len(cells) and not reading.why_words


def _typed(labels: Sequence[str | int]) -> list[tuple[str, str]]:
    return [(type(label).__name__, str(label)) for label in labels]


def _column_difference(reading: ReadColumn, expected: Expected) -> str:
    kinds = {"numeric": "number", "date": "date", "categorical": "words"}
    kind = (
        "dropped"
        if reading.useless
        else "boolean"
        if reading.style.truth
        else kinds[reading.kind]
    )
    if kind != expected.kind:
        return f"is {kind} ({reading.useless or reading.values.to_list()[:4]}), not {expected.kind}"
    if expected.kind == "dropped":
        return ""
    values = reading.values.to_list()
    if expected.kind == "boolean":
        first = reading.style.truth.split("/")[0]
        values = [None if value is None else value == first for value in values]
    right_values = [
        _days(value) if expected.kind == "date" else value for value in expected.values
    ]
    if len(values) != len(right_values):
        return f"has {len(values)} values, not {len(right_values)}"
    for row, (value, right) in enumerate(zip(values, right_values, strict=True), 1):
        if not _same(value, right):
            return f"is {value!r} in data row {row}, not {right!r}"
    return ""


def _same(value: Value, right: Value) -> bool:
    if (
        isinstance(value, float)
        and isinstance(right, float | int)
        and not isinstance(right, bool)
    ):
        return math.isclose(value, right, rel_tol=1e-12, abs_tol=1e-9)
    return value == right


def _days(value: Value) -> float | None:
    """Return an ISO date in days since 1970, or a time of day as a fraction of a day."""
    if value is None:
        return None
    assert isinstance(value, str)
    if "-" not in value:
        clock = [float(part) for part in value.split(":")]
        return sum(
            part / size for part, size in zip(clock, (24, 1440, 86_400), strict=False)
        )
    moment = datetime.fromisoformat(value)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.timestamp() / 86_400


__all__ = [
    "Case",
    "Expected",
    "Verdict",
    "boolean",
    "date",
    "dropped",
    "judge",
    "number",
    "words",
]
