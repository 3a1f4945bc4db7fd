"""Tables of numbers by name, and the statistics of draws."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False)
class SummaryTable:
    """Summary statistics, a row for each number of the position; what `summary` returns where pandas is not installed.

    Example:
        >>> SummaryTable(["x[0]", "x[1]"], {"mean": np.array([1.0, -2.5]), "r_hat": np.array([1.002, 1.0])})
              mean  r_hat
        x[0]     1  1.002
        x[1]  -2.5      1
    """

    names: list[str]
    columns: dict[str, np.ndarray]

    def __getitem__(self, column: str) -> np.ndarray:
        return self.columns[column]

    def as_frame(self) -> "pandas.DataFrame | SummaryTable":
        """Return a data frame where pandas is installed, else the table itself."""
        try:
            import pandas as pd
        except ModuleNotFoundError:
            return self
        return pd.DataFrame(self.columns, index=pd.Index(self.names, name="name"))

    def __repr__(self) -> str:
        texts = [[f"{x:.4g}" for x in column] for column in self.columns.values()]
        rows = [("", *self.columns), *zip(self.names, *texts, strict=True)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)


def of_draws(
    statistic: str,
    draws: Float[np.ndarray, "chain draw ..."],
    **options: Any,
) -> np.ndarray:
    """Return a statistic of ArviZ: "ess", "mcse" or "rhat"; chains that stand still have infinite ones."""
    from arviz_stats.base.array import array_stats

    with np.errstate(divide="ignore", invalid="ignore"):
        values = getattr(array_stats, statistic)(
            draws, chain_axis=0, draw_axis=1, **options
        )
    return np.asarray(values)


def pareto_shapes(values: Float[np.ndarray, "chain draw m"]) -> np.ndarray:
    """Return the Pareto k of the heavier tail of each column.

    It is NaN where all values of a tail are the same, or the draws are fewer than 500, whose tails say little.
    """
    from arviz_stats.base.array import array_stats

    if values.shape[0] * values.shape[1] < 500:
        return np.full(values.shape[2], np.nan)

    def of_column(column: Float[np.ndarray, "chain draw"]) -> float:
        try:
            shape: Any = array_stats.pareto_khat(column, chain_axis=0, draw_axis=1)
            return float(shape)
        except ValueError:
            return float("nan")

    with warnings.catch_warnings(action="ignore"):  # of few draws, or constants
        return np.array([of_column(column) for column in np.moveaxis(values, 2, 0)])


def statistics(
    names: list[str],
    values: Float[np.ndarray, "chain draw m"],
) -> SummaryTable:
    """Return mean, sd, mcse_mean, ess_bulk, ess_tail and r_hat of each column of draws, by ArviZ."""
    table = {
        "mean": values.mean((0, 1)),
        "sd": values.std((0, 1)),
        "mcse_mean": of_draws("mcse", values),
        "ess_bulk": of_draws("ess", values),
        "ess_tail": of_draws("ess", values, method="tail", prob=0.05),
        "r_hat": of_draws("rhat", values),
    }
    return SummaryTable(names, table)
