"""Columns known of a row beforehand, without a slope: the exposure of counts, and the offset of any regression.

An exposure says in which time, area or number of people a count arose; an offset is a term of the linear predictor.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count
from langevax.app.tables.records import data_row, option
from langevax.app.tables.styles import Style


def check_exposure(
    frame: pl.DataFrame, styles: Mapping[str, Style], name: str, rows: np.ndarray
) -> None:
    """Raise `BadInput` where a column cannot be the exposure of the rows to learn from.

    Args:
        frame: the useful columns, read.
        styles: how they are written.
        name: the column.
        rows: the place of each row in the file.
    """
    where = _numbers("--exposure", styles, name, "their rates")
    wrong = not_positive(frame[name])
    if len(wrong):
        value, number = frame[name][int(wrong[0])], count(len(wrong), "such row")
        first = "no number" if value is None else f"{value:g}"
        raise BadInput(
            f"{where} must be positive, and is {first} in {data_row(int(rows[wrong[0]]))} ({number}); correct or "
            "remove them."
        )


def check_offset(
    frame: pl.DataFrame, styles: Mapping[str, Style], name: str, rows: np.ndarray
) -> None:
    """Raise `BadInput` where a column cannot be the offset of the rows to learn from; as `check_exposure`."""
    where = _numbers("--offset", styles, name, "them")
    missing = np.flatnonzero(~np.isfinite(_floats(frame[name])))
    if len(missing):
        number = count(len(missing), "such row")
        raise BadInput(
            f"{where} must be a number in every row, and is missing in {data_row(int(rows[missing[0]]))} ({number}); "
            "correct or remove them."
        )


def _numbers(word: str, styles: Mapping[str, Style], name: str, about: str) -> str:
    """Return the option and its column; raise `BadInput` where it does not hold numbers that vary."""
    where = option(word, name)
    if name not in styles:
        raise BadInput(
            f"{where} is the same in all rows or empty, and says nothing of {about}; leave it out."
        )
    if styles[name].kind != "numeric":
        kind = "dates or durations" if styles[name].kind == "date" else "words"
        raise BadInput(
            f"{where} must be a column of numbers, and holds {kind}; pass another one, or leave it out."
        )
    return where


CHECKS = {"--exposure": check_exposure, "--offset": check_offset}
"""Of a column that an option names."""


def check_new_offset(values: pl.Series) -> None:
    """Raise `BadInput` where rows to predict for lack an offset."""
    if missing := int(np.sum(~np.isfinite(_floats(values)))):
        raise BadInput(
            f"TABLE has {count(missing, 'row')} without a number in {values.name!r}, the offset that the "
            "model was fitted with; correct them."
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
    return np.flatnonzero(~(_floats(values) > 0))


def _floats(values: pl.Series) -> np.ndarray:
    """Return numbers, nan where there is none."""
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
