"""Paths to the mean-field optimum on a grid: the flow of laws, and dual methods with exact Gibbs laws.

    Fokker-Planck:              dq/dt = temperature div(q grad log(q / p_q)),       -dP/dt = temperature^2 I(q || p_q)
    entropic fictitious play:   q <- (1 - rate) q + rate p_q

with p_q the proximal Gibbs law of q and I the relative Fisher information. The first is the law of infinitely many
Langevin particles (Nitanda, Wu, Suzuki, AISTATS 2022), the second that of Chen, Ren, Wang (2022) and Nitanda et al.
(2023) in rounds. The discretisations are derived.

E_{p_g} h is a quadrature here, so that only the outer loop of the theorems remains. Dual averaging: Nitanda, Wu,
Suzuki (NeurIPS 2021); its form with KL to the prior is ours. Coordinate ascent:
Oko, Suzuki, Nitanda, Wu (ICLR 2022).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import solve_banded
from scipy.special import exprel

from grid_laws import GridRisk, OnGrid, Rows


class GridFlow(NamedTuple):
    """A path of densities, axis 0 is time, the start included; P(q) - D(g) = temperature KL(q || p_q)."""

    times: Float[np.ndarray, " times"]
    density: Float[np.ndarray, "times grid"]
    dual: Float[np.ndarray, "times n"]  # g of the proximal Gibbs law: loss'(E_q h)
    objective: Float[np.ndarray, " times"]  # P(q)
    dual_objective: Float[np.ndarray, " times"]  # D(g)


def fokker_planck_flow(risk: GridRisk, start: OnGrid, step_size: float, num_steps: int) -> GridFlow:
    """The Fokker-Planck equation of a one-dimensional particle, by implicit steps of time `step_size`.

    Space: Scharfetter and Gummel's flux temperature / h (B(s) q_j - B(-s) q_{j+1}) over an edge of length h, where s
    is the rise of U_g / temperature along it and B(s) = s / (e^s - 1): the optimum on the grid is stationary to
    rounding. Time: everything at the end of the step, g included, by iteration, so that P falls for any step size, by
    at least step_size temperature^2 I, I at the end of the step.
    """
    if risk.points.ndim > 1:
        raise ValueError(f"points has shape {risk.points.shape}; the Fokker-Planck flow is for one-dimensional grids.")
    conductance = step_size * risk.temperature / np.diff(risk.points)

    def step(density: OnGrid) -> OnGrid:
        dual = risk.dual_of(density)
        for _ in range(100):
            rise = np.diff(risk.potential(dual)) / risk.temperature
            out, back = conductance / exprel(rise), conductance / exprel(-rise)  # from j to j + 1, and back
            diagonal = risk.measure + np.append(out, 0) + np.insert(back, 0, 0)
            bands = np.stack([np.insert(-back, 0, 0), diagonal, np.append(-out, 0)])
            end = solve_banded((1, 1), bands, risk.measure * density)
            before, dual = dual, risk.dual_of(end)
            if np.max(np.abs(dual - before)) <= 1e-14 + 1e-13 * np.max(np.abs(dual)):
                return end
        raise ValueError(f"step_size is {step_size}, for which the implicit step does not settle; pass a smaller one.")

    return _repeat(risk, start, step_size, num_steps, step)


def fisher_on_grid(density: OnGrid, reference: OnGrid, grid: OnGrid) -> float:
    """Relative Fisher information I(q || p), the integral of q ((log q / p)')^2, on a one-dimensional grid.

    sum over edges of (1 / h) m (r_{j+1} - r_j) (log r_{j+1} - log r_j), r = q / p, with m = p_j p_{j+1} over the
    logarithmic mean of both: the form in which the Fokker-Planck flow above dissipates. Second order in h.
    """
    q, p = np.asarray(density, float), np.asarray(reference, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = -np.diff(np.log(p))
        flux = q[:-1] / exprel(rise) - q[1:] / exprel(-rise)
        terms = flux * (-np.diff(np.log(q)) - rise) / np.diff(grid)
    return float(np.sum(terms[(q[:-1] > 0) | (q[1:] > 0)]))


def fictitious_play_rounds(risk: GridRisk, start: OnGrid, rate: float, num_steps: int) -> GridFlow:
    """q <- (1 - rate) q + rate p_q: the law of fictitious play whose inner loops reach their Gibbs laws."""
    return _repeat(risk, start, rate, num_steps, lambda q: (1 - rate) * q + rate * risk.gibbs(risk.dual_of(q)))


def _repeat(risk: GridRisk, start: OnGrid, time: float, num_steps: int, step: Callable[[OnGrid], OnGrid]) -> GridFlow:
    densities = [np.asarray(start, float)]
    for _ in range(num_steps):
        densities.append(step(densities[-1]))
    duals = [risk.dual_of(density) for density in densities]
    objective, lower = map(risk.primal_objective, densities), map(risk.dual_objective, duals)
    return GridFlow(time * np.arange(num_steps + 1), *(np.array(list(a)) for a in (densities, duals, objective, lower)))


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


def dual_averaging(risk: GridRisk, rows: Int[np.ndarray, "rounds batch"], tempered: bool = False) -> DualAveraging:
    """Dual averaging with exact inner loops; round t reads the rows `rows[t - 1]`.

    Law t + 1 is prop. to exp(-(w sum_{s <= t} s mean_{i in batch s} loss'_i(z_i^{(s)}) h_i + ridge |theta|^2) /
    temperature), w = 2 / ((t + 1)(t + 2)). `tempered`, as in print, weighs the ridge by w sum s = t / (t + 2) too.
    All rows in every round, `np.tile(np.arange(n), (rounds, 1))`, is the full batch; one row each is the online form.
    """
    n, batch = len(risk.targets), rows.shape[1]
    slopes, weights, duals, averages, laws = np.zeros(n), np.zeros(n), [np.zeros(n)], [], [risk.prior()]
    for t, batch_rows in enumerate(rows, start=1):
        slope = risk.dual_of(laws[-1])
        np.add.at(slopes, batch_rows, t * slope[batch_rows])
        np.add.at(weights, batch_rows, t)
        duals.append(2 / ((t + 1) * (t + 2)) * slopes * n / batch)
        laws.append((replace(risk, ridge=risk.ridge * t / (t + 2)) if tempered else risk).gibbs(duals[-1]))
        averages.append(slopes / np.maximum(weights, 1))
    return DualAveraging(np.array([risk.primal_objective(law) for law in laws]), np.array(duals), np.array(averages))


def coordinate_ascent(
    risk: GridRisk,
    coordinate: Callable[[float, float, float, float], float],
    rows: Int[np.ndarray, " steps"],
    bound: float,
    start: Rows | None = None,
) -> Float[np.ndarray, "steps n"]:
    """The duals of SDCA with exact expectations, the start, 0 by default, included: step t moves g_i, i = `rows[t]`.

    `coordinate(z, g, y, c)` is argmax_u -loss*(u) + z u - (c / 2)(u - g)^2, at z = E_{p_g} h_i and c = bound^2 /
    (n temperature): for |h| <= bound, n temperature log Z bends by at most c in g_i, and D never falls.
    """
    duals = [np.zeros(len(risk.targets)) if start is None else np.array(start, float)]
    curvature = bound**2 / (len(risk.targets) * risk.temperature)
    for i in map(int, rows):
        dual = duals[-1].copy()
        z = float(risk.outputs(risk.gibbs(dual))[i])
        dual[i] = coordinate(z, float(dual[i]), float(risk.targets[i]), curvature)
        duals.append(dual)
    return np.array(duals)
