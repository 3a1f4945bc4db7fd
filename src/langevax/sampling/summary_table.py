"""Tables of numbers by name, and the statistics of draws."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
        cells = [["", *self.columns]]
        cells += [
            [name, *(f"{column[i]:.4g}" for column in self.columns.values())]
            for i, name in enumerate(self.names)
        ]
        first, *widths = (max(map(len, column)) for column in zip(*cells, strict=True))
        return "\n".join(
            "  ".join(
                [
                    row[0].ljust(first),
                    *(cell.rjust(w) for cell, w in zip(row[1:], widths, strict=True)),
                ]
            )
            for row in cells
        )


def statistics(
    names: list[str], values: Float[np.ndarray, "chain draw m"]
) -> SummaryTable:
    """Return mean, sd, mcse_mean, ess_bulk, ess_tail and r_hat of each column of draws, by ArviZ."""
    from arviz_stats.base.array import array_stats

    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # chains that stand still have an infinite R-hat
        table = {
            "mean": values.mean((0, 1)),
            "sd": values.std((0, 1)),
            "mcse_mean": array_stats.mcse(values, chain_axis=0, draw_axis=1),
            "ess_bulk": array_stats.ess(values, chain_axis=0, draw_axis=1),
            "ess_tail": array_stats.ess(
                values, chain_axis=0, draw_axis=1, method="tail", prob=0.05
            ),
            "r_hat": array_stats.rhat(values, chain_axis=0, draw_axis=1),
        }
    return SummaryTable(
        names, {name: np.asarray(column) for name, column in table.items()}
    )
