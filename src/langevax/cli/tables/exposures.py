"""The exposure of counts: a column of a table that says in which time, area or number of people each of them arose."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from langevax.cli.errors import BadInput, count
from langevax.cli.tables.records import data_row, option
from langevax.cli.tables.styles import Style


def check_exposure(frame: pl.DataFrame, styles: Mapping[str, Style], name: str, rows: np.ndarray) -> None:
    """Raise `BadInput` where a column cannot be the exposure of the rows to learn from.

    Args:
        frame: the useful columns, read.
        styles: how they are written.
        name: the column.
        rows: the place of each row in the file.
    """
    where = option("--exposure", name)
    if name not in styles:
        raise BadInput(f"{where} is the same in all rows or empty, and says nothing of their rates; leave it out.")
    if styles[name].kind != "numeric":
        kind = "dates or durations" if styles[name].kind == "date" else "words"
        raise BadInput(f"{where} must be a column of numbers, and holds {kind}; pass another one, or leave it out.")
    wrong = not_positive(frame[name])
    if len(wrong):
        value, number = frame[name][int(wrong[0])], count(len(wrong), "such row")
        first = "no number" if value is None else f"{value:g}"
        raise BadInput(
            f"{where} must be positive, and is {first} in {data_row(int(rows[wrong[0]]))} ({number}); correct or "
            "remove them."
        )


def check_new_exposure(values: pl.Series) -> None:
    """Raise `BadInput` where rows to predict for lack a positive exposure."""
    wrong = not_positive(values)
    if len(wrong):
        value = values[int(wrong[0])]
        first = "no number" if value is None else f"{value:g}"
        raise BadInput(
            f"TABLE has {count(len(wrong), 'row')} without a positive {values.name!r}, the exposure that the model was "
            f"fitted with (the first has {first}); correct them, or write 1 for counts per unit of it."
        )


def not_positive(values: pl.Series) -> np.ndarray:
    """Return the places of values that are missing or not positive.

    Example:
        >>> not_positive(pl.Series([1.0, None, 0.0, float("nan")])).tolist()
        [1, 2, 3]
    """
    return np.flatnonzero(~(values.cast(pl.Float64).fill_null(float("nan")).to_numpy() > 0))
