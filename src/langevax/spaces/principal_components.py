"""The basis in which given curves vary most (functional principal components)."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import checks
from langevax.spaces.eigenpairs import leading, with_fixed_signs
from langevax.spaces.quadrature import trapezoid_weights
from langevax.spaces.tabulated import Tabulated, probabilities


class PrincipalComponents(Tabulated):
    """Eigenfunctions of the covariance of `curves` in L2(rho), rho the measure of the grid:

        sum_j w_j C(t_i, t_j) f_k(t_j) = mu_k f_k(t_i),      C(s, t) = sum_c (c - mean)(s) (c - mean)(t) / (n - 1)

    Args:
        curves: (n, G), n >= 2 of them on a common grid.
        grid: (G,) numbers, increasing, not necessarily even; the midpoints of G cells of [0, 1] where it is not given.
        num_modes: N; all whose variance is above rounding where it is not given.
        weights: (G,), > 0, of the points of the grid; those of the trapezoidal rule where they are not given.

    Scores are `analyze(curves - basis.mean)`; their variances are `.eigenvalues` (N,), decreasing, and they are
    uncorrelated. Between points of the grid the functions are linear, beyond its ends constant.
    Costs O(n G min(n, G)) once.

    Raises:
        ValueError: curves or a grid of another shape, not finite, not increasing; fewer than two curves, or all equal;
            more modes than there are above rounding.

    Example:
        >>> import numpy as np
        >>> from langevax import spaces
        >>> t = np.linspace(0, 1, 50)
        >>> heights, slopes = np.random.default_rng(0).normal(size=(2, 300, 1))
        >>> basis = spaces.PrincipalComponents(heights + slopes * t, grid=t)
        >>> basis.num_modes, float(basis.eigenvalues[0].round(1))
        (2, 1.3)
    """

    per_mode: ClassVar = ("matrix", "eigenvalues")

    mean: Float[np.ndarray, " grid"]
    eigenvalues: Float[np.ndarray, " modes"]

    def __init__(self, curves: Any, grid: Any = None, num_modes: int | None = None, weights: Any = None):
        curves = np.asarray(curves, np.float64)
        if curves.ndim != 2 or len(curves) < 2 or curves.shape[1] == 0:
            raise ValueError(f"curves must have shape (n, G) with n >= 2, got {curves.shape}.")
        checks.finite("curves", curves, remedy="fill gaps first, such as by `regress` curve by curve")
        if num_modes is not None:
            checks.positive_int("num_modes", num_modes)
        self.points = _grid(grid, curves.shape[1])
        if weights is None and grid is not None:
            weights = trapezoid_weights(self.points)
        self.weights = probabilities(weights, curves.shape[1])
        self.mean = curves.mean(axis=0)
        deviations = curves - self.mean
        if np.abs(deviations).max() <= 1e-14 * np.abs(curves).max():
            raise ValueError("curves are all equal, so nothing varies; pass curves that differ.")
        self.eigenvalues, self.matrix = _components(deviations, np.sqrt(self.weights), num_modes)

    def evaluate(self, points: Any) -> Float[Array, "points modes"]:
        concrete = checks.is_concrete(points) and checks.is_concrete(self.matrix)
        points = np.asarray(points, np.float64) if concrete else jnp.asarray(points, jnp.result_type(float))
        if points.ndim != 1:
            raise ValueError(f"points must be a vector of numbers of the domain, got shape {points.shape}.")
        if concrete:
            columns = [np.interp(points, self.points, column) for column in self.matrix.T]
            return jnp.asarray(np.stack(columns, axis=-1), jnp.result_type(float))
        grid, matrix = (jnp.asarray(array, points.dtype) for array in (self.points, self.matrix))
        return jax.vmap(jnp.interp, in_axes=(None, None, 1), out_axes=1)(points, grid, matrix)


def _grid(grid: Any, num_points: int) -> np.ndarray:
    if grid is None:
        return (np.arange(num_points) + 0.5) / num_points
    grid = np.asarray(grid, np.float64)
    if grid.shape != (num_points,):
        raise ValueError(
            f"grid must have shape ({num_points},), one number for each column of curves, got {grid.shape}."
        )
    if not (np.isfinite(grid).all() and (np.diff(grid) > 0).all()):
        raise ValueError("grid must be finite and increasing; sort its points, and the columns of curves with them.")
    return grid


def _components(deviations: np.ndarray, roots: np.ndarray, num_modes: int | None) -> tuple[np.ndarray, np.ndarray]:
    """(variances, functions on the grid) by the smaller of the two matrices of inner products."""
    scaled = deviations * roots / np.sqrt(len(deviations) - 1)
    if len(scaled) >= len(roots):
        values, vectors = leading(scaled.T @ scaled, num_modes, name="curves")
    else:
        values, combinations = leading(scaled @ scaled.T, num_modes, name="curves")
        vectors, _ = np.linalg.qr(scaled.T @ combinations)  # of orthogonal columns, but for rounding of the last ones
    return values, with_fixed_signs(vectors / roots[:, None])
