"""Decisions on reading a table, with their evidence, and the words in which messages name rows and options."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from langevax.app.errors import BadInput, count, listing, nearest, quoted

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
                f"Likewise {count(len(others), 'other column')}: {listing(others, most)}."
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


def places(words: pl.Series, rows: pl.Series, start: int = 0) -> str:
    """Return the word in the first of some rows, with the row, and the number of the others.

    Example:
        >>> places(pl.Series(["1", "x", "y"]), pl.Series([False, True, True]))
        "'x' in data row 2 and 1 other value"
    """
    more = int(rows.sum()) - 1
    others = f" and {count(more, 'other value')}" if more else ""
    return first_place(words, rows, start) + others


def as_missing(words: pl.Series, rows: pl.Series, start: int = 0) -> str:
    """Return that some cells count as missing, with every word in them; `start` rows of the table are before these.

    Example:
        >>> as_missing(pl.Series("x", ["-", "1", "none", "-"]), pl.Series([True, False, True, True]))
        "Column 'x': '-' in data row 1 and 2 other values (also 'none') count as missing"
    """
    others = words.filter(rows).unique(maintain_order=True)[1:]
    also = f" (also {listing(others, len(others))})" if len(others) else ""
    verb = "counts" if rows.sum() == 1 else "count"
    return (
        f"Column {words.name!r}: {places(words, rows, start)}{also} {verb} as missing"
    )


class Asked(BadInput):
    """A column that is not read without an answer of the user."""

    def __init__(
        self,
        sentence: str,
        answer: str,
        words: pl.Series | None = None,
        row: int = 0,
    ):
        super().__init__(sentence)
        self.answer = answer
        """An option of --read that settles it."""
        self.words = words
        """Its cells, where a single one of them, in `row`, is unlike the others."""
        self.row = row


def all_asked(questions: Sequence[Asked]) -> BadInput:
    """Return the questions on all columns as one error, a line each; several on cells of one row are one question."""
    if len(questions) == 1:
        return questions[0]
    rows = Counter(one.row for one in questions if one.words is not None)
    same = {row for row, times in rows.items() if times > 1}
    cells: dict[int, list[str]] = {}
    lines = []
    for one in questions:
        if one.words is not None and one.row in same:
            cell = f"{quoted(one.words[one.row])} in {one.words.name!r}"
            cells.setdefault(one.row, []).append(cell)
        else:
            lines.append(str(one))
    lines += [
        f"{data_row(row)} is unlike the others: {', '.join(unlike)}; delete that line where it has units or a second header."
        for row, unlike in cells.items()
    ]
    answers = " ".join(question.answer for question in questions)
    asked = in_lines(lines, f"{count(len(lines), 'question')} on how to read the table")
    return BadInput(f"{asked}\nPass one answer of each: {answers}")


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
        f"{argument} lacks {count(len(missing), 'column')} that the model was trained on: {listing(missing)}; {remedy}"
    )
