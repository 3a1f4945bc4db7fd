"""Columns known of a row beforehand, without a slope: the exposure of counts, and the offset of any regression.

An exposure says in which time, area or number of people a count arose; an offset is a term of the linear predictor.
"""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, count
from langevax.app.tables.records import data_row, option
from langevax.app.tables.styles import Style

Condition = tuple[str, Callable[[np.ndarray], np.ndarray]]
CONDITIONS: dict[str, Condition] = {
    "--exposure": ("positive", lambda values: values > 0),
    "--offset": ("a number", np.isfinite),
}
"""What every value must be, by the option that names the column."""


def check_column(asked: str, styles: Mapping[str, Style], name: str) -> None:
    """Raise `BadInput` where a column that an option names does not hold numbers that vary.

    Args:
        asked: the option.
        styles: of the useful columns.
        name: of the column.
    """
    where = option(asked, name)
    if name not in styles:
        raise BadInput(f"{where} is the same in all rows or empty; leave it out.")
    if styles[name].kind != "numeric":
        raise BadInput(
            f"{where} must be a column of numbers, and each of its cells is {styles[name].describe()}; pass another one."
        )


def check_values(
    asked: str, values: pl.Series, where: str, rows: np.ndarray | None = None
) -> None:
    """Raise `BadInput` where values cannot be those of an exposure or an offset.

    Args:
        asked: the option.
        values: numbers, null where missing.
        where: what messages call the column.
        rows: the place of each value in the file; None where these are all rows.

    Example:
        >>> check_values("--offset", pl.Series([1.0, -2.0]), "--offset x")
    """
    what, holds = CONDITIONS[asked]
    numbers = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    wrong = np.flatnonzero(~holds(numbers))
    if not len(wrong):
        return
    first = int(wrong[0])
    value = "missing" if np.isnan(numbers[first]) else f"{numbers[first]:g}"
    row = data_row(first if rows is None else int(rows[first]))
    raise BadInput(
        f"{where} must be {what} in every row, and is {value} in {row} ({count(len(wrong), 'such row')}); correct or "
        "remove them."
    )
