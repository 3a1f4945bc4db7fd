"""Decisions on reading a table, with their evidence, and the words in which messages name rows and options."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from langevax.app.errors import BadInput, count, enumerated, listing, nearest, quoted

Topic = Literal[
    "file", "missing", "numbers", "dates", "words", "left out", "leak", "warning"
]


@dataclass(frozen=True)
class Decision:
    """One decision on reading a table; the terminal, schema.json and result.json print its sentence."""

    topic: Topic
    sentence: str
    column: str = ""
    """Empty where the decision concerns the whole file."""


def sentences(decisions: Iterable[Decision]) -> list[str]:
    """Return the sentences of decisions, in order."""
    return [decision.sentence for decision in decisions]


def gathered(decisions: Iterable[Decision], most: int = 3) -> list[str]:
    """Return the sentences of decisions; where a topic has many, the first ones and the names of the other columns."""
    by_topic: dict[str, list[Decision]] = {}
    for decision in decisions:
        by_topic.setdefault(decision.topic, []).append(decision)
    notes = list[str]()
    for alike in by_topic.values():
        notes += [decision.sentence for decision in alike[:most]]
        if others := [decision.column for decision in alike[most:]]:
            notes.append(
                f"Likewise {count(len(others), 'other column')}: "
                f"{listing(others, most)}."
            )
    return notes


@dataclass(frozen=True)
class Examples:
    """Rows or curves to predict for."""

    inputs: Any
    """Rows of a matrix, or a list of curves."""
    names: pl.DataFrame
    """Columns that identify the examples beside their predictions; none where they are the rows of the table."""
    notes: list[str]
    """Messages for the user."""


def option(name: str, column: str, value: str = "") -> str:
    """Return an option with a column, as it is typed in a shell.

    Example:
        >>> option("--drop", "sold on"), option("--read", "day", "day-first")
        ("--drop 'sold on'", '--read day=day-first')
        >>> option("--drop", "No.")
        "--drop 'No.'"
    """
    word = shlex.quote(f"{column}={value}" if value else column)
    if word[-1] in ".,":  # or it ends with the sentence
        word = f"'{word}'"
    return f"{name} {word}"


def data_row(index: int) -> str:
    """Return the name of a row in every message: rows below the header, counted from 1.

    Example:
        >>> data_row(0)
        'data row 1'
    """
    return f"data row {index + 1:,}"


def first_place(words: pl.Series, rows: pl.Series, start: int = 0) -> str:
    """Return the word in the first of some rows, with the row.

    Example:
        >>> first_place(pl.Series(["1", "x", "y"]), pl.Series([False, True, True]))
        "'x' in data row 2"
    """
    row = int(rows.arg_true()[0])
    return f"{quoted(words[row])} in {data_row(start + row)}"


def places(words: pl.Series, rows: pl.Series, start: int = 0, most: int = 3) -> str:
    """Return the words in some rows, each with its first row and the number of its rows, the most frequent first.

    Example:
        >>> places(pl.Series(["1", "x", "y", "y"]), pl.Series([False, True, True, True]))
        "'y' in data row 3 (2 rows) and 'x' in data row 2"
    """
    cells = words.alias("word").to_frame().with_row_index("row").filter(rows)
    tally = cells.group_by("word", maintain_order=True).agg("row")
    named = [
        f"{quoted(word)} in {data_row(start + among[0])}"
        + (f" ({len(among):,} rows)" if len(among) > 1 else "")
        for word, among in sorted(tally.rows(), key=lambda pair: -len(pair[1]))
    ]
    return enumerated(named, most)


def as_missing(words: pl.Series, rows: pl.Series, start: int = 0) -> str:
    """Return that some cells count as missing, with every word in them; `start` rows of the table are before these.

    Example:
        >>> as_missing(pl.Series("x", ["-", "1", "none", "-"]), pl.Series([True, False, True, True]))
        "Column 'x': '-' in data row 1 (2 rows) and 'none' in data row 3 count as missing"
    """
    verb = "counts" if rows.sum() == 1 else "count"
    named = places(words, rows, start, len(words))
    return f"Column {words.name!r}: {named} {verb} as missing"


class Asked(BadInput):
    """A column that is not read without an answer of the user."""

    def __init__(
        self,
        sentence: str,
        answer: str,
        words: pl.Series | None = None,
        rows: Sequence[int] = (),
    ):
        super().__init__(sentence)
        self.answer = answer
        """An option of --read that settles it."""
        self.words = words
        """Its cells, where some of them, in `rows`, are unlike the others."""
        self.rows = tuple(rows)


def rows_apart(questions: Sequence[Asked]) -> list[Asked]:
    """Return the questions on several columns that are on the very same row, or the same rows in sequence.

    Such lines are of units, of types or a second header, and are named as lines instead of by column.
    """
    together = (
        one.rows
        for one in questions
        if one.rows and one.rows[-1] - one.rows[0] < len(one.rows)
    )
    rows, times = next(iter(Counter(together).most_common(1)), ((), 0))
    if times < 2:
        return []
    return [one for one in questions if one.rows == rows]


def all_asked(questions: Sequence[Asked], apart: Sequence[Asked] = ()) -> BadInput:
    """Return the questions on all columns as one error, a line each; those on the same rows are one question."""
    lines = [str(one) for one in questions]
    cells = [
        f"{quoted(one.words[one.rows[0]])} in {one.words.name!r}"
        for one in apart
        if one.words is not None
    ]
    if cells:
        rows = enumerated(map(data_row, apart[0].rows))
        verb = "is" if len(apart[0].rows) == 1 else "are"
        lines.append(
            f"{rows} {verb} unlike the others: {', '.join(cells)}; delete what is a "
            "line of units or a second header, and these columns need no answer."
        )
    if len(lines) == 1 and not cells:
        return questions[0]
    answers = " ".join(one.answer for one in [*questions, *apart])
    asked = in_lines(lines, f"{count(len(lines), 'question')} on how to read the table")
    return BadInput(
        f"{asked}\n"
        f"Pass one answer of each, or leave a column out with --drop COLUMN: {answers}"
    )


def in_lines(problems: Sequence[object], heading: str) -> str:
    """Return messages a line each below a heading; one alone as it is."""
    if len(problems) == 1:
        return str(problems[0])
    return "\n- ".join([f"{heading}:", *map(str, problems)])


def check_columns(
    frame: pl.DataFrame,
    names: Iterable[str],
    argument: str = "TABLE",
    target: str = "",
) -> None:
    """Raise `BadInput` where a table lacks columns that the model was trained on."""
    names = dict.fromkeys(names)
    columns = dict.fromkeys(frame.columns)
    missing = [name for name in names if name not in columns]
    if not missing:
        return
    others = [name for name in columns if name not in names and name != target]
    hint = nearest(missing[0], others)
    remedy = hint if hint.startswith("did") else "add or rename them."
    raise BadInput(
        f"{argument} lacks {count(len(missing), 'column')} that the model was trained "
        f"on: {listing(missing)}; {remedy}"
    )
