"""The exposure of counts, known of a row beforehand: the time, area or number of people in which a count arose."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count
from langevax.app.tables.records import data_row, option
from langevax.app.tables.styles import Style


def check_column(styles: Mapping[str, Style], name: str) -> None:
    """Raise `BadInput` where the column of the exposure does not hold numbers that vary.

    Args:
        styles: of the useful columns.
        name: of the column.
    """
    where = option("--exposure", name)
    if name not in styles:
        raise BadInput(f"{where} is the same in all rows or empty; leave it out.")
    if styles[name].kind != "numeric":
        raise BadInput(
            f"{where} must be a column of numbers, and each of its cells is "
            f"{styles[name].describe()}; pass another one."
        )


def check_values(values: pl.Series, where: str, rows: np.ndarray | None = None) -> None:
    """Raise `BadInput` where a value is missing or not positive.

    Args:
        values: numbers, null where missing.
        where: what messages call the column.
        rows: the place of each value in the file; None where these are all rows.

    Example:
        >>> check_values(pl.Series([1.0, 2.0]), "--exposure x")
    """
    wrong = ~(values > 0).fill_null(False)
    if not wrong.any():
        return
    first = int(wrong.arg_true()[0])
    value = "missing" if values[first] is None else f"{values[first]:g}"
    row = data_row(first if rows is None else int(rows[first]))
    such = count(int(wrong.sum()), "such row")
    raise BadInput(
        f"{where} must be positive in every row, and is {value} in {row} ({such}); "
        "correct or remove them."
    )
