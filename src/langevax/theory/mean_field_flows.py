"""Laws on a grid that flow to the mean-field optimum: the nonlinear Fokker-Planck equation and fictitious play.

    Fokker-Planck:              dq/dt = temperature div(q grad log(q / p_q)),       -dP/dt = temperature^2 I(q || p_q)
    entropic fictitious play:   dq/dt = p_q - q,         -dP/dt = temperature (KL(q || p_q) + KL(p_q || q))

with p_q the proximal Gibbs law of q and I the relative Fisher information. The first is the law of infinitely many
Langevin particles (Nitanda, Wu, Suzuki, AISTATS 2022). For the second P - P* <= exp(-t) times the start's gap, whatever
the log-Sobolev constant (Chen, Ren, Wang, 2022; Nitanda et al., 2023). The discretisations are derived.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from langevax.theory.grid_risk import GridRisk


class GridFlow(NamedTuple):
    """A path of densities and what they are worth; axis 0 is time, the start included."""

    times: Float[np.ndarray, " times"]
    density: Float[np.ndarray, "times grid"]
    dual: Float[np.ndarray, "times n"]
    """g of the proximal Gibbs law: loss'(E_q h)."""
    objective: Float[np.ndarray, " times"]
    """P(q)."""
    dual_objective: Float[np.ndarray, " times"]
    """D(g): P(q) - D(g) = temperature KL(q || p_q)."""


def fokker_planck_flow(risk: GridRisk, start: Float[np.ndarray, " grid"], step_size: float, num_steps: int) -> GridFlow:
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


def fisher_on_grid(
    density: Float[np.ndarray, " grid"], reference: Float[np.ndarray, " grid"], grid: Float[np.ndarray, " grid"]
) -> float:
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


def fictitious_play_flow(
    risk: GridRisk, start: Float[np.ndarray, " grid"], step_size: float, num_steps: int
) -> GridFlow:
    """dq/dt = p_q - q by Runge and Kutta's classical steps of time `step_size` <= 1; grids of any dimension.

    >>> grid, squared = np.linspace(-6, 6, 121), (lambda z, y: (z - y) ** 2 / 2, lambda z, y: z - y)
    >>> risk = GridRisk(grid, grid[None], np.ones(1), 0.5, 0.5, *squared, lambda g, y: g**2 / 2 + g * y)
    >>> flow = fictitious_play_flow(risk, risk.prior(), step_size=0.1, num_steps=40)
    >>> gap = flow.objective - risk.dual_objective(risk.optimal_dual())
    >>> bool(np.all(gap <= np.exp(-flow.times) * gap[0]))
    True
    """
    return _repeat(risk, start, step_size, num_steps, lambda q: _runge_kutta(risk, q, step_size))


def fictitious_play_rounds(risk: GridRisk, start: Float[np.ndarray, " grid"], rate: float, num_steps: int) -> GridFlow:
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
        moved = _linear_step(risk, density, dual, step_size)
        new = risk.dual_of(moved)
        if np.max(np.abs(new - dual)) <= 1e-14 + 1e-13 * np.max(np.abs(new)):
            return moved
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
