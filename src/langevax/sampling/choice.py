"""The grounds for batches or passes: how close to normal the law is, and what each costs.

NUTS is exact and tunes itself, but every step takes full passes. Batches pay where the rows are many and cost much, and
their bias is understood where the law is close to normal. An effective draw takes about

    SVRG-LD      steps (of_step + 2 B gathered r)      nanoseconds,
    NUTS         passes d^(1/4) n r

with B the rows of a batch that heats the chain by a few percent, and r = of_row + of_operation times the operations of
the gradient of a row. The numbers of `Costs` are of regressions with n = 20,000 and 100,000, d = 10 and 50, on one core of a Xeon.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from langevax._typing import PRNGKey, Vector
from langevax.problems.problem import Problem
from langevax.sampling.evaluations import evaluate
from langevax.sampling.starts import normal_deviates

CHEAP_ROWS = 1_000
"""Rows up to which passes are cheap: a batch has at least 32 rows, so that batches would gain nothing."""
Requested = Literal["auto", "pcn", "pcnl", "hmc"]
"""Algorithms of a loop on the host."""


class Costs(NamedTuple):
    """Costs of an effective draw, of a run of 1,000 draws with all that precedes them."""

    steps: int = 400
    """Of SVRG-LD."""
    passes: float = 2.5
    """Of NUTS, for one dimension."""
    of_step: float = 14_000
    """Nanoseconds, as all below: of a step without its rows."""
    of_row: float = 7.0
    of_operation: float = 0.1
    """Of one floating-point operation of a row's gradient."""
    gathered: float = 1.5
    """Cost of a row of a batch, which is fetched from its place, in rows of a pass."""

    def of_batches(self, batch_size: int, operations: float) -> float:
        """Return the cost of a draw by batches, of rows of so many operations."""
        rows = 2 * batch_size * self.gathered
        return self.steps * (self.of_step + rows * self._row(operations))

    def of_passes(
        self,
        num_rows: int,
        dimension: int,
        operations: float,
    ) -> float:
        """Return the cost of a draw by NUTS."""
        return self.passes * dimension**0.25 * num_rows * self._row(operations)

    def allows_matrix(
        self,
        num_rows: int,
        dimension: int,
        operations: float,
    ) -> bool:
        """Return True where a pass through a matrix and back costs no more than the rest of a step."""
        rest = self.of_step + num_rows * self._row(operations)
        return self.of_operation * (2 * dimension) ** 2 <= rest

    def _row(self, operations: float) -> float:
        return self.of_row + self.of_operation * operations


class NormalFit(NamedTuple):
    """Departure of the law from the normal law of the pilot, at draws of the latter.

    w = log density less log of the normal density, both relative to the mode.
    """

    typical: float
    """Median of |w|."""
    spread: float
    """Standard deviation of w."""
    dimension: int
    step: float = 0.0
    """Newton's at the mode, in deviations of the normal law."""

    @classmethod
    def of(
        cls,
        problem: Problem,
        mode: Vector,
        temperature: float,
        key: PRNGKey,
        num_draws: int = 32,
    ) -> "NormalFit":
        """Compare them, in coordinates of unit curvature."""
        xi = normal_deviates(key, (num_draws, len(mode)))
        points = np.concatenate(
            [np.zeros((1, len(mode))), np.sqrt(temperature) * xi]
        ) + np.asarray(mode, np.float64)
        values, gradients = evaluate(problem, points.astype(mode.dtype))
        step = np.linalg.norm(gradients[0]) / np.sqrt(temperature)
        falls = (values[0] - values[1:]) / temperature
        log_weights = falls + np.sum(xi**2, 1) / 2
        spread = np.std(log_weights) if np.isfinite(log_weights).all() else np.inf
        typical = np.median(np.abs(log_weights))
        return cls(float(typical), float(spread), len(mode), float(step))

    @property
    def is_usable(self) -> bool:
        """True where the pilot's coordinates may serve NUTS: the curvature is right within a factor.

        Log densities then depart by ten nats, or by half a nat a dimension; a mode that misleads is seen by tiny steps.
        A density that goes on to rise, as where the groups of a hierarchy become alike, has no mode.
        """
        return self.typical <= max(10, self.dimension / 2) and self.step <= 10

    @property
    def is_close(self) -> bool:
        """True where a step size that suits the normal law suits the law."""
        return self.spread <= 1 and self.typical <= 1

    def __str__(self) -> str:
        return (
            f"log densities depart by {self.typical:.2g} (median) from those of the "
            "normal law about the mode"
        )


def operations_of_row(problem: Problem, position: Vector, num_rows: int = 256) -> float:
    """Return the floating-point operations of the gradient of a component, as XLA counts them for a batch of rows."""
    gradient: Any = eqx.filter_jit(
        lambda problem, x, indices: problem.gradient_at(x, indices)
    )
    lowered = gradient.lower(problem, position, jnp.zeros(num_rows, jnp.int32)).lowered
    return float((lowered.cost_analysis() or {}).get("flops", 0.0)) / num_rows
