"""One-dimensional Langevin chains evolved exactly, as densities on a uniform grid.

The trapezoidal rule is spectrally accurate for smooth densities that vanish at both ends of the grid, so that
potentials without any closed form can hold a theorem to account. `grid_risk` has the weights, the Gibbs
density and the divergences of laws on a grid. Everything here is derived.
"""

import numpy as np
from jaxtyping import Float

from langevax.theory.grid_risk import quadrature_weights


def langevin_kernel_on_grid(
    gradient: Float[np.ndarray, " grid"], grid: Float[np.ndarray, " grid"], step_size: float, temperature: float
) -> Float[np.ndarray, "grid grid"]:
    """Matrix K of one explicit Langevin step on densities: p_{k+1} = K p_k, with `gradient` given on the grid.

    K_ij = N(x_i; x_j - step_size gradient_j, 2 step_size temperature) w_j. The grid may be no coarser than the
    standard deviation of the noise, for a quadrature error near 5e-9.

    >>> grid = np.linspace(-8, 8, 161)
    >>> kernel = langevin_kernel_on_grid(grid, grid, step_size=0.5, temperature=1.0)
    >>> density = stationary_density_on_grid(kernel, grid)
    >>> round(float(quadrature_weights(grid) @ (density * grid**2)), 6)  # 1 / (1 - 0.5 / 2)
    1.333333
    """
    x, variance = np.asarray(grid, float), 2 * step_size * temperature
    spacing = float(np.max(np.diff(x)))
    if spacing > np.sqrt(variance):
        raise ValueError(
            f"grid has spacing {spacing:.3g}, above the standard deviation {np.sqrt(variance):.3g} of the noise; "
            "pass a finer one."
        )
    moves = x[:, None] - (x - step_size * np.asarray(gradient, float))[None, :]
    return np.exp(-(moves**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance) * quadrature_weights(x)


def stationary_density_on_grid(
    kernel: Float[np.ndarray, "grid grid"], grid: Float[np.ndarray, " grid"]
) -> Float[np.ndarray, " grid"]:
    """The density p = K p of total mass 1, for a kernel that keeps mass.

    >>> kernel = np.array([[0.5, 0.25], [0.5, 0.75]])
    >>> stationary_density_on_grid(kernel, np.array([0.0, 2.0])).round(6)
    array([0.333333, 0.666667])
    """
    weights = quadrature_weights(grid)
    uniform = np.full(len(weights), 1 / weights.sum())
    # (I - K) p = 0 leaves the mass open; adding u (w . p - 1) fixes it without touching the solution
    return np.linalg.solve(np.eye(len(weights)) - kernel + np.outer(uniform, weights), uniform)


def poincare_on_grid(
    potential: Float[np.ndarray, " grid"], grid: Float[np.ndarray, " grid"], temperature: float
) -> float:
    """Poincare constant lambda of exp(-potential / temperature): lambda Var(f) <= E f'^2, on a uniform grid.

    It is never below a log-Sobolev constant of the law; the generator of the dynamics has spectral gap
    temperature lambda. Finite differences, of second order in the spacing.

    >>> grid = np.linspace(-8, 8, 1601)
    >>> round(poincare_on_grid(grid**2, grid, temperature=0.5), 3)  # curvature 2, so 2 / 0.5
    4.0
    """
    from scipy.linalg import eigh_tridiagonal

    log_density = -np.asarray(potential, float) / temperature
    spacing = (grid[-1] - grid[0]) / (len(grid) - 1)
    # conductance between neighbours, at the geometric mean of their densities, over the density of either one
    ratio = np.exp(np.diff(log_density) / 2)
    diagonal = np.append(ratio, 0) + np.insert(1 / ratio, 0, 0)
    eigenvalues = eigh_tridiagonal(
        diagonal / spacing**2, np.full(len(ratio), -1 / spacing**2), eigvals_only=True, select="i", select_range=(0, 1)
    )
    return float(eigenvalues[1])
