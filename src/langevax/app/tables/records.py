"""Records of reading a table, beside its values: decisions with their evidence, and examples to predict for."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from langevax.app.errors import BadInput, count, listing, nearest, quoted

Topic = Literal[
    "file",
    "missing",
    "numbers",
    "dates",
    "words",
    "left out",
    "leak",
    "mixed",
    "warning",
]


@dataclass(frozen=True)
class Decision:
    """One decision that reading a table took; the terminal, schema.json and result.json print its sentence."""

    topic: Topic
    sentence: str
    column: str = ""
    """Empty where the decision concerns the whole file."""


def sentences(decisions: Iterable[Decision]) -> list[str]:
    """Return the sentences of decisions, in order."""
    return [decision.sentence for decision in decisions]


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


def places(words: pl.Series, rows: pl.Series, most: int = 3) -> str:
    """Return the distinct words of some rows, each with the first row that holds it.

    Example:
        >>> places(pl.Series(["1", "x", "x", "y"]), pl.Series([False, True, True, True]))
        "'x' in data row 2 (2 times) and 'y' in data row 4"
    """
    indices = rows.arg_true()
    table = pl.DataFrame({"word": words.gather(indices), "row": indices})
    first = table.group_by("word", maintain_order=True).agg(
        pl.col("row").first(), pl.len().alias("times")
    )
    named = [
        f"{quoted(word)} in {data_row(row)}"
        + (f" ({times:,} times)" if times > 1 else "")
        for word, row, times in first.head(most).iter_rows()
    ]
    if more := len(first) - len(named):
        return f"{', '.join(named)} and {count(more, 'other value')}"
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def same_but_for_case(words: pl.Series) -> str:
    """Return which distinct words differ only in case or in spaces, empty for none.

    Example:
        >>> same_but_for_case(pl.Series(["Wien", "Graz", "wien", "WIEN", "graz"]))
        "'Graz' and 'graz' (and 1 other word in several spellings) differ only in case"
    """
    spellings = words.drop_nulls().unique().alias("word").sort().to_frame()
    lower = spellings["word"].str.to_lowercase()
    groups = spellings.group_by(
        lower.str.replace_all(r"\s+", " ").alias("same"), maintain_order=True
    ).all()
    groups = groups.filter(pl.col("word").list.len() > 1)
    if not groups.height:
        return ""
    others = (
        f" (and {count(groups.height - 1, 'other word')} in several spellings)"
        if groups.height > 1
        else ""
    )
    cased = lower.n_unique() < len(lower)
    spaced = lower.str.replace_all(r"\s+", " ").n_unique() < lower.n_unique()
    where = "case or in spaces" if cased and spaced else "case" if cased else "spaces"
    return f"{listing(groups['word'][0])}{others} differ only in {where}"


def first_place(words: pl.Series, rows: pl.Series) -> str:
    """Return the word in the first of some rows, with the row."""
    row = int(rows.arg_true()[0])
    return f"{quoted(words[row])} in {data_row(row)}"


def check_columns(
    frame: pl.DataFrame, names: Iterable[str], argument: str = "TABLE", target: str = ""
) -> None:
    """Raise `BadInput` where a table lacks columns that the model was trained on."""
    present, names = set(frame.columns), list(names)
    if missing := [name for name in names if name not in present]:
        hint = nearest(
            missing[0], [name for name in frame.columns if name not in (*names, target)]
        )
        raise BadInput(
            f"{argument} lacks {count(len(missing), 'column')} that the model was trained on: {listing(missing)}; "
            f"{hint if hint.startswith('did') else 'add or rename them.'}"
        )
