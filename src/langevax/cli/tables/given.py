"""Examples as an estimator takes them, and what every kind of schema.json can do: read a table the way training did."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

from langevax.cli.errors import BadInput, count, listing, nearest
from langevax.cli.tables.target import Task


@dataclass(frozen=True)
class Given:
    """What predictions are asked for."""

    inputs: Any
    """An entry an example: rows of a matrix, or a list of curves."""
    named: pl.DataFrame
    """Columns that name the examples beside their predictions; none where they are the rows of the table."""
    notes: list[str]
    """What the user should know."""


class AnySchema(Protocol):
    """What training learned of a table, small enough to read; a dataclass of JSON's types."""

    @property
    def target(self) -> str: ...

    @property
    def task(self) -> Task: ...

    @property
    def classes(self) -> tuple[str | int, ...]:
        """In the order of the probabilities; empty for regression."""
        ...

    @property
    def known(self) -> dict[str, Any]:
        """What the estimator must be told of the data, as its parameters."""
        ...

    def given(self, frame: pl.DataFrame) -> Given:
        """The examples of another table; raise `BadInput` where it is not of this kind."""
        ...


def check_columns(frame: pl.DataFrame, names: Iterable[str], argument: str = "TABLE") -> None:
    """Raise `BadInput` where a table lacks columns that the model was trained on."""
    if absent := [name for name in names if name not in frame.columns]:
        hint = nearest(absent[0], frame.columns)
        raise BadInput(
            f"{argument} lacks {count(len(absent), 'column')} that the model was trained on: {listing(absent)}; "
            f"{hint if hint.startswith('did') else 'add or rename them.'}"
        )
