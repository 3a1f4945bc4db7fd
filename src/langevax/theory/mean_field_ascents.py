"""Dual methods of mean field with their Gibbs laws exact, on a grid: dual averaging and coordinate ascent.

Particle methods estimate E_{p_g} h by particles; here it is a quadrature, so that what remains is the outer loop that
the theorems speak of. Dual averaging: Nitanda, Wu, Suzuki (NeurIPS 2021); its form with KL to the prior is ours.
Coordinate ascent: Oko, Suzuki, Nitanda, Wu (ICLR 2022).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from langevax.theory.grid_risk import GridRisk


class DualAveraging(NamedTuple):
    """What T rounds of dual averaging leave behind; law t = 1..T + 1 is made by the rounds before it."""

    objective: Float[np.ndarray, " laws"]
    """P of laws 1..T + 1; law 1 is the prior."""
    dual: Float[np.ndarray, "laws n"]
    """What tilts law t, 2 / (t (t + 1)) times the sum of s loss'_s: the law is p_dual, but for a tempered ridge."""
    average: Float[np.ndarray, "rounds n"]
    """After each round, the mean slope of every row over the rounds s that saw it, weighted by s; 0 if none did.

    A mean of feasible values is feasible: a vector for certificates. With all rows it is 2 / (t (t + 1)) times the sum.
    """


class CoordinateAscent(NamedTuple):
    """The path of coordinate ascent, the start included."""

    dual: Float[np.ndarray, "steps n"]
    dual_objective: Float[np.ndarray, " steps"]
    fenchel_young: Float[np.ndarray, " steps"]
    """P(p_g) - D(g)."""


def dual_averaging(risk: GridRisk, rows: Int[np.ndarray, "rounds batch"], tempered: bool = False) -> DualAveraging:
    """Dual averaging with exact inner loops; round t reads the rows `rows[t - 1]`.

    Law t + 1 is prop. to exp(-(w sum_{s <= t} s mean_{i in batch s} loss'_i(z_i^{(s)}) h_i + ridge |theta|^2) /
    temperature), w = 2 / ((t + 1)(t + 2)). `tempered`, as in print, weighs the ridge by w sum s = t / (t + 2) too.
    All rows in every round, `np.tile(np.arange(n), (rounds, 1))`, is the full batch; one row each is the online form.

    >>> grid, squared = np.linspace(-6, 6, 121), (lambda z, y: (z - y) ** 2 / 2, lambda z, y: z - y)
    >>> risk = GridRisk(grid, grid[None], np.ones(1), 0.5, 0.5, *squared, lambda g, y: g**2 / 2 + g * y)
    >>> run = dual_averaging(risk, np.zeros((2, 1), int))
    >>> run.dual[:2].round(6), run.average[0].round(6)  # slope -1 at the prior, and a third of it
    (array([[ 0.      ],
           [-0.333333]]), array([-1.]))
    """
    n, batch = len(risk.targets), rows.shape[1]
    sums, slopes, seen = np.zeros(n), np.zeros(n), np.zeros(n)
    law = risk.prior()
    objective, duals, averages = [risk.primal_objective(law)], [np.zeros(n)], []
    for t, chosen in enumerate(rows, start=1):
        slope = risk.dual_of(law)
        np.add.at(sums, chosen, t * slope[chosen] * n / batch)
        np.add.at(slopes, chosen, t * slope[chosen])
        np.add.at(seen, chosen, t)
        dual = 2 / ((t + 1) * (t + 2)) * sums
        held = replace(risk, ridge=risk.ridge * t / (t + 2)) if tempered else risk
        law = held.gibbs(dual)
        objective.append(risk.primal_objective(law))
        duals.append(dual)
        averages.append(slopes / np.maximum(seen, 1))
    return DualAveraging(np.array(objective), np.array(duals), np.array(averages))


def coordinate_ascent(
    risk: GridRisk,
    coordinate: Callable[[float, float, float, float], float],
    rows: Int[np.ndarray, " steps"],
    bound: float,
    start: Float[np.ndarray, " n"] | None = None,
) -> CoordinateAscent:
    """SDCA with exact expectations: coordinate i = `rows[t]` of g moves in step t.

    `coordinate(z, g, y, c)` is argmax_u -loss*(u) + z u - (c / 2)(u - g)^2, with z = E_{p_g} h_i and
    c = bound^2 / (n temperature): for |h| <= bound, n temperature log Z bends by at most c in g_i, and D never falls.
    The start is 0 if not given.

    >>> grid, squared = np.linspace(-6, 6, 121), (lambda z, y: (z - y) ** 2 / 2, lambda z, y: z - y)
    >>> risk = GridRisk(grid, np.tanh(grid)[None], np.ones(1), 0.5, 0.5, *squared, lambda g, y: g**2 / 2 + g * y)
    >>> step = lambda z, g, y, c: (z + c * g - y) / (1 + c)
    >>> path = coordinate_ascent(risk, step, np.zeros(40, int), bound=1.0)
    >>> bool(np.allclose(path.dual[-1], risk.optimal_dual())), bool(np.all(np.diff(path.dual_objective) > -1e-15))
    (True, True)
    """
    dual = np.zeros(len(risk.targets)) if start is None else np.array(start, float)
    duals = [dual]
    for i in rows:
        dual = _ascend(risk, coordinate, dual, int(i), bound, risk.outputs(risk.gibbs(dual)))
        duals.append(dual)
    return CoordinateAscent(
        np.array(duals),
        np.array([risk.dual_objective(dual) for dual in duals]),
        np.array([risk.fenchel_young(dual) for dual in duals]),
    )


def expected_ascent(
    risk: GridRisk,
    coordinate: Callable[[float, float, float, float], float],
    dual: Float[np.ndarray, " n"],
    bound: float,
) -> float:
    """Mean over the n coordinates of D(g after its step) - D(g): one random step of SDCA, in expectation.

    At least 1 / kappa of D* - D(g) and of P(p_g) - D(g), kappa as in `mean_field_rates.sdca_condition`.

    >>> grid, squared = np.linspace(-6, 6, 121), (lambda z, y: (z - y) ** 2 / 2, lambda z, y: z - y)
    >>> risk = GridRisk(grid, np.tanh(grid)[None], np.ones(1), 0.5, 0.5, *squared, lambda g, y: g**2 / 2 + g * y)
    >>> step = lambda z, g, y, c: (z + c * g - y) / (1 + c)
    >>> gain = expected_ascent(risk, step, np.zeros(1), bound=1.0)
    >>> bool(gain > risk.fenchel_young(np.zeros(1)) / (1 + 1 / 0.5))
    True
    """
    z = risk.outputs(risk.gibbs(dual))
    ahead = [risk.dual_objective(_ascend(risk, coordinate, dual, i, bound, z)) for i in range(len(dual))]
    return float(np.mean(ahead) - risk.dual_objective(dual))


def _ascend(
    risk: GridRisk,
    coordinate: Callable[[float, float, float, float], float],
    dual: np.ndarray,
    i: int,
    bound: float,
    z: np.ndarray,
) -> np.ndarray:
    curvature = bound**2 / (len(dual) * risk.temperature)
    moved = dual.copy()
    moved[i] = coordinate(float(z[i]), float(dual[i]), float(risk.targets[i]), curvature)
    return moved
