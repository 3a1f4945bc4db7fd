"""Paths to the mean-field optimum on a grid: flows of laws, and dual methods with exact Gibbs laws.

    Fokker-Planck:              dq/dt = temperature div(q grad log(q / p_q)),       -dP/dt = temperature^2 I(q || p_q)
    entropic fictitious play:   dq/dt = p_q - q,         -dP/dt = temperature (KL(q || p_q) + KL(p_q || q))

with p_q the proximal Gibbs law of q and I the relative Fisher information. The first is the law of infinitely many
Langevin particles (Nitanda, Wu, Suzuki, AISTATS 2022). For the second P - P* <= exp(-t) times the start's gap, whatever
the log-Sobolev constant (Chen, Ren, Wang, 2022; Nitanda et al., 2023). The discretisations are derived.

Particle methods estimate E_{p_g} h by particles; here it is a quadrature, so that only the outer loop of the theorems
remains. Dual averaging: Nitanda, Wu, Suzuki (NeurIPS 2021); its form with KL to the prior is ours. Coordinate ascent:
Oko, Suzuki, Nitanda, Wu (ICLR 2022).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from grid_laws import GridRisk, OnGrid, Rows

Coordinate = Callable[[float, float, float, float], float]
"""(z, g, y, c) -> argmax_u -loss*(u) + z u - (c / 2)(u - g)^2."""


class GridFlow(NamedTuple):
    """A path of densities with objectives; axis 0 is time, the start included."""

    times: Float[np.ndarray, " times"]
    density: Float[np.ndarray, "times grid"]
    dual: Float[np.ndarray, "times n"]
    """g of the proximal Gibbs law: loss'(E_q h)."""
    objective: Float[np.ndarray, " times"]
    """P(q)."""
    dual_objective: Float[np.ndarray, " times"]
    """D(g): P(q) - D(g) = temperature KL(q || p_q)."""


def fokker_planck_flow(risk: GridRisk, start: OnGrid, step_size: float, num_steps: int) -> GridFlow:
    """The Fokker-Planck equation of a one-dimensional particle, by implicit steps of time `step_size`.

    Space: Scharfetter and Gummel's flux temperature / h (B(s) q_j - B(-s) q_{j+1}) over an edge of length h, where s
    is the rise of U_g / temperature along it and B(s) = s / (e^s - 1). It vanishes at q = p_g, so that the optimum on
    the grid is stationary to rounding; and before time is cut up the dissipation identity is exact, with I as in
    `fisher_on_grid`. Time: everything at the end of the step, g included, by iteration. Since P is convex it falls
    for any step size, by at least step_size temperature^2 I, I at the end of the step.

    >>> grid, squared = np.linspace(-6, 6, 121), (lambda z, y: (z - y) ** 2 / 2, lambda z, y: z - y)
    >>> risk = GridRisk(grid, grid[None], np.ones(1), 0.5, 0.5, *squared, lambda g, y: g**2 / 2 + g * y)
    >>> flow = fokker_planck_flow(risk, risk.prior(), step_size=0.01, num_steps=200)
    >>> gap = flow.objective - risk.dual_objective(risk.optimal_dual())
    >>> round(float(np.log(gap[0] / gap[200])) / 2)  # the mean alone moves, at the rate 1 + 2 ridge = 2
    4
    """
    if risk.points.ndim > 1:
        raise ValueError(f"points has shape {risk.points.shape}; the Fokker-Planck flow is for one-dimensional grids.")
    return _repeat(risk, start, step_size, num_steps, lambda q: _implicit_step(risk, q, step_size))


def fisher_on_grid(density: OnGrid, reference: OnGrid, grid: OnGrid) -> float:
    """Relative Fisher information I(q || p), the integral of q ((log q / p)')^2, on a one-dimensional grid.

    sum over edges of (1 / h) m (r_{j+1} - r_j) (log r_{j+1} - log r_j), r = q / p, with m = p_j p_{j+1} over the
    logarithmic mean of both: the form in which the Fokker-Planck flow above dissipates. Second order in h.

    >>> grid = np.linspace(-10, 10, 2001)
    >>> normal = lambda mean: np.exp(-((grid - mean) ** 2) / 2) / np.sqrt(2 * np.pi)
    >>> round(fisher_on_grid(normal(0.7), normal(0.0), grid), 3)  # of two normals: the squared distance
    0.49
    """
    q, p = np.asarray(density, float), np.asarray(reference, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = np.log(p[:-1]) - np.log(p[1:])
        out, back = _bernoulli(rise), _bernoulli(-rise)
        terms = (out * q[:-1] - back * q[1:]) * (np.log(q[:-1]) - np.log(q[1:]) - rise) / np.diff(grid)
    return float(np.sum(terms[(q[:-1] > 0) | (q[1:] > 0)]))


def fictitious_play_flow(risk: GridRisk, start: OnGrid, step_size: float, num_steps: int) -> GridFlow:
    """dq/dt = p_q - q by Runge and Kutta's classical steps of time `step_size` <= 1; grids of any dimension.

    >>> grid, squared = np.linspace(-6, 6, 121), (lambda z, y: (z - y) ** 2 / 2, lambda z, y: z - y)
    >>> risk = GridRisk(grid, grid[None], np.ones(1), 0.5, 0.5, *squared, lambda g, y: g**2 / 2 + g * y)
    >>> flow = fictitious_play_flow(risk, risk.prior(), step_size=0.1, num_steps=40)
    >>> gap = flow.objective - risk.dual_objective(risk.optimal_dual())
    >>> bool(np.all(gap <= np.exp(-flow.times) * gap[0]))
    True
    """
    return _repeat(risk, start, step_size, num_steps, lambda q: _runge_kutta(risk, q, step_size))


def fictitious_play_rounds(risk: GridRisk, start: OnGrid, rate: float, num_steps: int) -> GridFlow:
    """q <- (1 - rate) q + rate p_q: the law of fictitious play whose inner loops reach their Gibbs laws.

    >>> grid, squared = np.linspace(-6, 6, 121), (lambda z, y: (z - y) ** 2 / 2, lambda z, y: z - y)
    >>> risk = GridRisk(grid, grid[None], np.ones(1), 0.5, 0.5, *squared, lambda g, y: g**2 / 2 + g * y)
    >>> rounds = fictitious_play_rounds(risk, risk.prior(), rate=0.2, num_steps=60)
    >>> bool(np.allclose(rounds.dual[-1], risk.optimal_dual()))
    True
    """
    return _repeat(risk, start, rate, num_steps, lambda q: (1 - rate) * q + rate * risk.gibbs(risk.dual_of(q)))


def _implicit_step(risk: GridRisk, density: np.ndarray, step_size: float) -> np.ndarray:
    dual = risk.dual_of(density)
    for _ in range(100):
        end = _linear_step(risk, density, dual, step_size)
        new = risk.dual_of(end)
        if np.max(np.abs(new - dual)) <= 1e-14 + 1e-13 * np.max(np.abs(new)):
            return end
        dual = new
    raise ValueError(f"step_size is {step_size}, for which the implicit step does not settle; pass a smaller one.")


def _linear_step(risk: GridRisk, density: np.ndarray, dual: np.ndarray, step_size: float) -> np.ndarray:
    """The implicit step under the potential of a given g: a tridiagonal system for the density."""
    from scipy.linalg import solve_banded

    rise = np.diff(risk.potential(dual)) / risk.temperature
    conductance = step_size * risk.temperature / np.diff(risk.points)
    out, back = conductance * _bernoulli(rise), conductance * _bernoulli(-rise)  # from j to j + 1, and back
    diagonal = risk.measure + np.append(out, 0) + np.insert(back, 0, 0)
    bands = np.stack([np.insert(-back, 0, 0), diagonal, np.append(-out, 0)])
    return solve_banded((1, 1), bands, risk.measure * density)


def _bernoulli(s: np.ndarray) -> np.ndarray:
    """s / (e^s - 1), which is 1 at 0."""
    from scipy.special import exprel

    return 1 / exprel(s)


def _runge_kutta(risk: GridRisk, density: np.ndarray, step_size: float) -> np.ndarray:
    def slope(q: np.ndarray) -> np.ndarray:
        return risk.gibbs(risk.dual_of(q)) - q

    first = slope(density)
    second = slope(density + step_size / 2 * first)
    third = slope(density + step_size / 2 * second)
    fourth = slope(density + step_size * third)
    return density + step_size / 6 * (first + 2 * second + 2 * third + fourth)


def _repeat(
    risk: GridRisk, start: np.ndarray, time: float, num_steps: int, step: Callable[[np.ndarray], np.ndarray]
) -> GridFlow:
    densities = [np.asarray(start, float)]
    for _ in range(num_steps):
        densities.append(step(densities[-1]))
    duals = [risk.dual_of(density) for density in densities]
    return GridFlow(
        time * np.arange(num_steps + 1),
        np.array(densities),
        np.array(duals),
        np.array([risk.primal_objective(density) for density in densities]),
        np.array([risk.dual_objective(dual) for dual in duals]),
    )


class DualAveraging(NamedTuple):
    """Laws and slopes of T rounds of dual averaging; law t = 1..T + 1 is made by the rounds before it."""

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
    sums, slopes, weights = np.zeros(n), np.zeros(n), np.zeros(n)
    law = risk.prior()
    objective, duals, averages = [risk.primal_objective(law)], [np.zeros(n)], []
    for t, batch_rows in enumerate(rows, start=1):
        slope = risk.dual_of(law)
        np.add.at(sums, batch_rows, t * slope[batch_rows] * n / batch)
        np.add.at(slopes, batch_rows, t * slope[batch_rows])
        np.add.at(weights, batch_rows, t)
        dual = 2 / ((t + 1) * (t + 2)) * sums
        held = replace(risk, ridge=risk.ridge * t / (t + 2)) if tempered else risk
        law = held.gibbs(dual)
        objective.append(risk.primal_objective(law))
        duals.append(dual)
        averages.append(slopes / np.maximum(weights, 1))
    return DualAveraging(np.array(objective), np.array(duals), np.array(averages))


def coordinate_ascent(
    risk: GridRisk, coordinate: Coordinate, rows: Int[np.ndarray, " steps"], bound: float, start: Rows | None = None
) -> CoordinateAscent:
    """SDCA with exact expectations: coordinate i = `rows[t]` of g moves in step t.

    `coordinate` is evaluated at z = E_{p_g} h_i and c = bound^2 / (n temperature): for |h| <= bound, n temperature
    log Z bends by at most c in g_i, and D never falls. The start is 0 by default.

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


def expected_ascent(risk: GridRisk, coordinate: Coordinate, dual: Rows, bound: float) -> float:
    """Mean over the n coordinates of D(g after its step) - D(g): one random step of SDCA, in expectation.

    At least 1 / kappa of D* - D(g) and of P(p_g) - D(g), kappa as in `mean_field.sdca_condition`.

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
    risk: GridRisk, coordinate: Coordinate, dual: np.ndarray, i: int, bound: float, z: np.ndarray
) -> np.ndarray:
    curvature = bound**2 / (len(dual) * risk.temperature)
    new = dual.copy()
    new[i] = coordinate(float(z[i]), float(dual[i]), float(risk.targets[i]), curvature)
    return new
