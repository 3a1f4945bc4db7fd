"""The grounds for batches or passes: how close to normal the law is, and what each costs.

NUTS is exact and tunes itself, but every step takes full passes. Batches pay where the rows are many, and their bias is
understood where the law is close to normal. An effective draw takes as long as about

    SVRG-LD      160 (1,000 + 3 B)      gradients of rows,
    NUTS         d^(1/4) n

with B the rows of a batch that heats the chain by a few percent. These numbers are of regressions with n = 20,000
and 100,000, d = 10 and 50, on one core of a Xeon.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Array, Float

from langevax._typing import PRNGKey
from langevax.problems.problem import Problem
from langevax.sampling.evaluations import evaluate
from langevax.sampling.starts import normal_deviates

CHEAP_ROWS = 1_000
"""Rows up to which passes are cheap: a batch has at least 32 rows, so that batches would gain nothing."""
Requested = Literal["auto", "pcn", "pcnl", "hmc"]
"""Algorithms of a loop on the host."""


class Costs(NamedTuple):
    """Relative costs of an effective draw, of a run of 1,000 draws with all that precedes them."""

    steps: int = 160
    """Of SVRG-LD, for each pass of NUTS in one dimension."""
    overhead: int = 1_000
    """Of a step of SVRG-LD without its rows."""
    of_row: int = 3
    """Of a row of a batch: gradients at two points, of a row that is fetched from its place."""

    def of_batches(self, batch_size: int) -> float:
        """Return the cost of a draw by batches."""
        return self.steps * (self.overhead + self.of_row * batch_size)

    def of_passes(self, num_rows: int, dimension: int) -> float:
        """Return the cost of a draw by NUTS."""
        return dimension**0.25 * num_rows


class NormalFit(NamedTuple):
    """Departure of the law from the normal law of the pilot, at draws of the latter.

    w = log density less log of the normal density, both relative to the mode.
    """

    typical: float
    """Median of |w|."""
    spread: float
    """Standard deviation of w."""
    dimension: int

    @classmethod
    def of(
        cls,
        problem: Problem,
        mode: Float[Array, " d"],
        temperature: float,
        key: PRNGKey,
        num_draws: int = 32,
    ) -> "NormalFit":
        """Compare them, in coordinates of unit curvature."""
        xi = normal_deviates(key, (num_draws, len(mode)))
        points = np.concatenate(
            [np.zeros((1, len(mode))), np.sqrt(temperature) * xi]
        ) + np.asarray(mode, np.float64)
        values, _ = evaluate(problem, points.astype(mode.dtype))
        log_weights = (values[0] - values[1:]) / temperature + np.sum(xi**2, 1) / 2
        spread = np.std(log_weights) if np.isfinite(log_weights).all() else np.inf
        return cls(float(np.median(np.abs(log_weights))), float(spread), len(mode))

    @property
    def is_usable(self) -> bool:
        """True where the pilot's coordinates may serve NUTS: the curvature is right within a factor.

        Log densities then depart by ten nats, or by half a nat a dimension; a mode that misleads is seen by tiny steps.
        """
        return self.typical <= max(10, self.dimension / 2)

    @property
    def is_close(self) -> bool:
        """True where a step size that suits the normal law suits the law."""
        return self.spread <= 1 and self.typical <= 1

    def __str__(self) -> str:
        return f"log densities depart by {self.typical:.2g} (median) from those of the normal law about the mode"
