"""Laws as densities on a grid, exactly: mean-field problems of any neuron, and one-dimensional Langevin chains.

P, D, the Gibbs laws p_g and the notation are those of `langevax.theory.mean_field`. A grid is a measure of its own:
duality, the sandwich and the identities between P, D and KL hold on it to rounding, whatever its spacing. The
trapezoidal rule is spectrally accurate for smooth densities that vanish at both ends of the grid. Derived.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh_tridiagonal
from scipy.special import entr, logsumexp, rel_entr
from scipy.stats import norm

OnGrid = Float[np.ndarray, " grid"]
"""A density or a function on the grid, or its points."""
Rows = Float[np.ndarray, " n"]
"""One number a row."""


def quadrature_weights(grid: OnGrid) -> OnGrid:
    """Trapezoidal weights of an increasing grid: the measure against which densities below are meant."""
    steps = np.diff(np.asarray(grid, float))
    return (np.append(steps, 0) + np.insert(steps, 0, 0)) / 2


def tensor_grid(axis: Float[np.ndarray, " axis"], dimension: int) -> tuple[Float[np.ndarray, "grid dimension"], OnGrid]:
    """Points and weights of the `dimension`-fold product of one axis; the last coordinate varies fastest."""
    axis = np.asarray(axis, float)
    points = np.stack(np.meshgrid(*[axis] * dimension, indexing="ij"), axis=-1).reshape(-1, dimension)
    return points, reduce(np.multiply.outer, [quadrature_weights(axis)] * dimension).ravel()


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
            raise ValueError(f"points has shape {self.points.shape} and no weights; pass both from `tensor_grid`.")

    @cached_property
    def measure(self) -> OnGrid:
        """The weights of the quadrature: the integral of f is measure @ f."""
        return quadrature_weights(self.points) if self.weights is None else self.weights

    @cached_property
    def squared_norms(self) -> OnGrid:
        """|theta|^2 at every point."""
        return self.points**2 if self.points.ndim == 1 else np.sum(self.points**2, axis=1)

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
        return np.exp(-self.potential(dual) / self.temperature - self.log_partition(dual))

    def log_partition(self, dual: Rows) -> float:
        """log Z(g)."""
        return float(np.asarray(logsumexp(-self.potential(dual) / self.temperature, b=self.measure)))

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
        return float(risk + self.ridge * second_moment - self.temperature * self.measure @ entr(density))

    def dual_objective(self, dual: Rows) -> float:
        """D(g)."""
        return float(-np.mean(self.conjugate(dual, self.targets)) - self.temperature * self.log_partition(dual))

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
            if residual == 0 or (residual < 1e-10 and residual > last / 2):  # only rounding is left
                return dual
            last = residual
            # a difference quotient steers the step as well as loss'' does, and leaves no trace in the limit
            bend = np.maximum((self.derivative(u + nudge, y) - self.derivative(u - nudge, y)) / (2 * nudge), 0)
            step = np.linalg.solve(np.eye(n) + self.covariance(density) * bend / (self.temperature * n), z - u)
            value, slope = self.dual_objective(dual), 1e-4 * np.mean(bend * (z - u) * step)
            least, size = value - 1e-12 * (1 + abs(value)), 1.0
            while size > 1e-9 and self.dual_objective(self.derivative(u + size * step, y)) < least + size * slope:
                size /= 2
            u = u + size * step
        raise RuntimeError(f"Newton's method left a residual of {last:.1e} in g = loss'(E h); raise the temperature.")


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
        diagonal / spacing**2, np.full(len(ratio), -1 / spacing**2), eigvals_only=True, select="i", select_range=(0, 1)
    )
    return float(eigenvalues[1])
