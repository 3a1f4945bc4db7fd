"""Laws as densities on a grid, exactly: mean-field problems of any neuron and paths to their optimum, Langevin chains.

P, D, the Gibbs laws p_g and the notation are those of `langevax.theory.mean_field`. A grid is a measure of its own:
duality, the sandwich and the identities between P, D and KL hold on it to rounding, whatever its spacing. The
trapezoidal rule is spectrally accurate for smooth densities that vanish at both ends of the grid. Derived.

    Fokker-Planck:              dq/dt = temperature div(q grad log(q / p_q)),       -dP/dt = temperature^2 I(q || p_q)
    entropic fictitious play:   q <- (1 - rate) q + rate p_q

with p_q the proximal Gibbs law of q and I the relative Fisher information. The first is the law of infinitely many
Langevin particles (Nitanda, Wu, Suzuki, AISTATS 2022), the second that of Chen, Ren, Wang (2022) and Nitanda et al.
(2023) in rounds. Of dual averaging (Nitanda, Wu, Suzuki, NeurIPS 2021; its form with KL to the prior is ours) and
coordinate ascent (Oko, Suzuki, Nitanda, Wu, ICLR 2022) only the outer loop remains, as E_{p_g} h is a quadrature.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import eigh_tridiagonal, solve_banded
from scipy.special import entr, exprel, logsumexp, rel_entr
from scipy.stats import norm

OnGrid = Float[np.ndarray, " grid"]
"""A density or a function on the grid, or its points."""
Rows = Float[np.ndarray, " n"]
"""One number a row."""


def quadrature_weights(grid: OnGrid) -> OnGrid:
    """Trapezoidal weights of an increasing grid: the measure against which densities below are meant."""
    steps = np.diff(np.asarray(grid, float))
    return (np.append(steps, 0) + np.insert(steps, 0, 0)) / 2


def tensor_grid(
    axis: Float[np.ndarray, " axis"], dimension: int
) -> tuple[Float[np.ndarray, "grid dimension"], OnGrid]:
    """Points and weights of the `dimension`-fold product of one axis; the last coordinate varies fastest."""
    axis = np.asarray(axis, float)
    points = np.stack(np.meshgrid(*[axis] * dimension, indexing="ij"), axis=-1).reshape(
        -1, dimension
    )
    return points, reduce(
        np.multiply.outer, [quadrature_weights(axis)] * dimension
    ).ravel()


@dataclass(frozen=True)
class GridRisk:
    """P and D for particles whose laws are densities on a grid; `values` holds h_i on it.

    `weights` are those of the quadrature; left out, they are trapezoidal, which needs one dimension. `loss(z, y)`, its
    derivative in z, and its conjugate `conjugate(g, y)` are NumPy functions of (n,) arrays.
    """

    points: OnGrid | Float[np.ndarray, "grid d"]
    values: Float[np.ndarray, "n grid"]
    targets: Rows
    ridge: float
    temperature: float
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray]
    derivative: Callable[[np.ndarray, np.ndarray], np.ndarray]
    conjugate: Callable[[np.ndarray, np.ndarray], np.ndarray]
    weights: OnGrid | None = None

    def __post_init__(self) -> None:
        if self.weights is None and self.points.ndim > 1:
            raise ValueError(
                f"points has shape {self.points.shape} and no weights; pass both from `tensor_grid`."
            )

    @cached_property
    def measure(self) -> OnGrid:
        """The weights of the quadrature: the integral of f is measure @ f."""
        return quadrature_weights(self.points) if self.weights is None else self.weights

    @cached_property
    def squared_norms(self) -> OnGrid:
        """|theta|^2 at every point."""
        return (
            self.points**2 if self.points.ndim == 1 else np.sum(self.points**2, axis=1)
        )

    def outputs(self, density: OnGrid) -> Rows:
        """z_i = E_q h_i."""
        return self.values @ (self.measure * density)

    def covariance(self, density: OnGrid) -> Float[np.ndarray, "n n"]:
        """Cov_q(h_i, h_j)."""
        centred = self.values - self.outputs(density)[:, None]
        return centred * (self.measure * density) @ centred.T

    def dual_of(self, density: OnGrid) -> Rows:
        """g_i = loss'_i(z_i): the dual vector whose Gibbs law is the proximal Gibbs law of q."""
        return self.derivative(self.outputs(density), self.targets)

    def potential(self, dual: Rows) -> OnGrid:
        """U_g on the grid."""
        return dual @ self.values / len(self.targets) + self.ridge * self.squared_norms

    def gibbs(self, dual: Rows) -> OnGrid:
        """The density p_g."""
        return np.exp(
            -self.potential(dual) / self.temperature - self.log_partition(dual)
        )

    def log_partition(self, dual: Rows) -> float:
        """log Z(g)."""
        return float(
            np.asarray(
                logsumexp(-self.potential(dual) / self.temperature, b=self.measure)
            )
        )

    def prior(self) -> OnGrid:
        """The density p_0, N(0, temperature / (2 ridge)) as far as the grid knows it."""
        return self.gibbs(np.zeros(len(self.targets)))

    def kl(self, density: OnGrid, reference: OnGrid) -> float:
        """KL(density || reference), in nats."""
        return float(self.measure @ rel_entr(density, reference))

    def primal_objective(self, density: OnGrid) -> float:
        """P(q), with the entropy."""
        risk = np.mean(self.loss(self.outputs(density), self.targets))
        second_moment = self.measure @ (density * self.squared_norms)
        return float(
            risk
            + self.ridge * second_moment
            - self.temperature * self.measure @ entr(density)
        )

    def dual_objective(self, dual: Rows) -> float:
        """D(g)."""
        return float(
            -np.mean(self.conjugate(dual, self.targets))
            - self.temperature * self.log_partition(dual)
        )

    def optimal_dual(self) -> Rows:
        """The maximiser of D, the root of g = loss'(E_{p_g} h), to rounding, by damped Newton.

        Steps are taken in u = loss*'(g), where g is feasible whatever u is: Newton's direction for D, halved until D
        grows as it should, solves (I + Cov_{p_g}(h) diag(loss''(u)) / (temperature n)) step = z - u.
        """
        n, y, nudge = len(self.targets), self.targets, 1e-5
        u, last = self.outputs(self.prior()), np.inf
        for _ in range(200):
            dual = self.derivative(u, y)
            density = self.gibbs(dual)
            z = self.outputs(density)
            residual = np.max(np.abs(self.derivative(z, y) - dual))
            if residual == 0 or (
                residual < 1e-10 and residual > last / 2
            ):  # only rounding is left
                return dual
            last = residual
            # a difference quotient steers the step as well as loss'' does, and leaves no trace in the limit
            bend = np.maximum(
                (self.derivative(u + nudge, y) - self.derivative(u - nudge, y))
                / (2 * nudge),
                0,
            )
            step = np.linalg.solve(
                np.eye(n) + self.covariance(density) * bend / (self.temperature * n),
                z - u,
            )
            value, slope = (
                self.dual_objective(dual),
                1e-4 * np.mean(bend * (z - u) * step),
            )
            least, size = value - 1e-12 * (1 + abs(value)), 1.0
            while (
                size > 1e-9
                and self.dual_objective(self.derivative(u + size * step, y))
                < least + size * slope
            ):
                size /= 2
            u = u + size * step
        raise RuntimeError(
            f"Newton's method left a residual of {last:.1e} in g = loss'(E h); raise the temperature."
        )


class GridFlow(NamedTuple):
    """A path of densities, axis 0 is time, the start included; P(q) - D(g) = temperature KL(q || p_q)."""

    times: Float[np.ndarray, " times"]
    density: Float[np.ndarray, "times grid"]
    dual: Float[np.ndarray, "times n"]  # g of the proximal Gibbs law: loss'(E_q h)
    objective: Float[np.ndarray, " times"]  # P(q)
    dual_objective: Float[np.ndarray, " times"]  # D(g)


def fokker_planck_flow(
    risk: GridRisk, start: OnGrid, step_size: float, num_steps: int
) -> GridFlow:
    """The Fokker-Planck equation of a one-dimensional particle, by implicit steps of time `step_size`.

    Space: Scharfetter and Gummel's flux temperature / h (B(s) q_j - B(-s) q_{j+1}) over an edge of length h, where s
    is the rise of U_g / temperature along it and B(s) = s / (e^s - 1): the optimum on the grid is stationary to
    rounding. Time: everything at the end of the step, g included, by iteration, so that P falls for any step size, by
    at least step_size temperature^2 I, I at the end of the step.
    """
    if risk.points.ndim > 1:
        raise ValueError(
            f"points has shape {risk.points.shape}; the Fokker-Planck flow is for one-dimensional grids."
        )
    conductance = step_size * risk.temperature / np.diff(risk.points)

    def step(density: OnGrid) -> OnGrid:
        dual = risk.dual_of(density)
        for _ in range(100):
            rise = np.diff(risk.potential(dual)) / risk.temperature
            out, back = (
                conductance / exprel(rise),
                conductance / exprel(-rise),
            )  # from j to j + 1, and back
            diagonal = risk.measure + np.append(out, 0) + np.insert(back, 0, 0)
            bands = np.stack([np.insert(-back, 0, 0), diagonal, np.append(-out, 0)])
            end = solve_banded((1, 1), bands, risk.measure * density)
            before, dual = dual, risk.dual_of(end)
            if np.max(np.abs(dual - before)) <= 1e-14 + 1e-13 * np.max(np.abs(dual)):
                return end
        raise ValueError(
            f"step_size is {step_size}, for which the implicit step does not settle; pass a smaller one."
        )

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


def fictitious_play_rounds(
    risk: GridRisk, start: OnGrid, rate: float, num_steps: int
) -> GridFlow:
    """q <- (1 - rate) q + rate p_q: the law of fictitious play whose inner loops reach their Gibbs laws."""
    return _repeat(
        risk,
        start,
        rate,
        num_steps,
        lambda q: (1 - rate) * q + rate * risk.gibbs(risk.dual_of(q)),
    )


def _repeat(
    risk: GridRisk,
    start: OnGrid,
    time: float,
    num_steps: int,
    step: Callable[[OnGrid], OnGrid],
) -> GridFlow:
    densities = [np.asarray(start, float)]
    for _ in range(num_steps):
        densities.append(step(densities[-1]))
    duals = [risk.dual_of(density) for density in densities]
    objective, lower = (
        map(risk.primal_objective, densities),
        map(risk.dual_objective, duals),
    )
    return GridFlow(
        time * np.arange(num_steps + 1),
        *(np.array(list(a)) for a in (densities, duals, objective, lower)),
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


def dual_averaging(
    risk: GridRisk, rows: Int[np.ndarray, "rounds batch"], tempered: bool = False
) -> DualAveraging:
    """Dual averaging with exact inner loops; round t reads the rows `rows[t - 1]`.

    Law t + 1 is prop. to exp(-(w sum_{s <= t} s mean_{i in batch s} loss'_i(z_i^{(s)}) h_i + ridge |theta|^2) /
    temperature), w = 2 / ((t + 1)(t + 2)). `tempered`, as in print, weighs the ridge by w sum s = t / (t + 2) too.
    All rows in every round, `np.tile(np.arange(n), (rounds, 1))`, is the full batch; one row each is the online form.
    """
    n, batch = len(risk.targets), rows.shape[1]
    slopes, weights, duals, averages, laws = (
        np.zeros(n),
        np.zeros(n),
        [np.zeros(n)],
        [],
        [risk.prior()],
    )
    for t, batch_rows in enumerate(rows, start=1):
        slope = risk.dual_of(laws[-1])
        np.add.at(slopes, batch_rows, t * slope[batch_rows])
        np.add.at(weights, batch_rows, t)
        duals.append(2 / ((t + 1) * (t + 2)) * slopes * n / batch)
        laws.append(
            (replace(risk, ridge=risk.ridge * t / (t + 2)) if tempered else risk).gibbs(
                duals[-1]
            )
        )
        averages.append(slopes / np.maximum(weights, 1))
    return DualAveraging(
        np.array([risk.primal_objective(law) for law in laws]),
        np.array(duals),
        np.array(averages),
    )


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


def langevin_kernel_on_grid(
    gradient: OnGrid, grid: OnGrid, step_size: float, temperature: float
) -> Float[np.ndarray, "grid grid"]:
    """Matrix K of one explicit Langevin step on densities: p_{k+1} = K p_k, with `gradient` given on the grid.

    K_ij = N(x_i; x_j - step_size gradient_j, 2 step_size temperature) w_j. The grid may be no coarser than the
    standard deviation of the noise, for a quadrature error near 5e-9.
    """
    x, variance = np.asarray(grid, float), 2 * step_size * temperature
    spacing = float(np.max(np.diff(x)))
    if spacing > np.sqrt(variance):
        raise ValueError(
            f"grid has spacing {spacing:.3g}, above the standard deviation {np.sqrt(variance):.3g} of the noise; "
            "pass a finer one."
        )
    ends = x - step_size * np.asarray(gradient, float)
    return norm.pdf(x[:, None], ends, np.sqrt(variance)) * quadrature_weights(x)


def poincare_on_grid(potential: OnGrid, grid: OnGrid, temperature: float) -> float:
    """Poincare constant lambda of exp(-potential / temperature): lambda Var(f) <= E f'^2, on a uniform grid.

    The generator of the dynamics has spectral gap temperature lambda. Of second order in the spacing.
    """
    log_density = -np.asarray(potential, float) / temperature
    spacing = (grid[-1] - grid[0]) / (len(grid) - 1)
    # conductance between neighbours, at the geometric mean of their densities, over the density of either one
    ratio = np.exp(np.diff(log_density) / 2)
    diagonal = np.append(ratio, 0) + np.insert(1 / ratio, 0, 0)
    eigenvalues = eigh_tridiagonal(
        diagonal / spacing**2,
        np.full(len(ratio), -1 / spacing**2),
        eigvals_only=True,
        select="i",
        select_range=(0, 1),
    )
    return float(eigenvalues[1])
