"""Curves seen at some points -> coefficients: by quadrature where points are many, by regression where they are few."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from langevax import checks
from langevax.spaces.basis import Basis, Coefficients, Interval
from langevax.spaces.fourier import Fourier
from langevax.spaces.prior import GaussianPrior


def trapezoid_weights(grid: Any, domain: tuple[float, float] | None = None, periodic: bool = False) -> np.ndarray:
    """(G,) of sum 1: `sum_j w_j v(t_j)` is the mean of v over the domain, but for O(spacing^2).

        w_j = (t_{j+1} - t_{j-1}) / 2 / length

    Args:
        grid: (G,) numbers that do not decrease.
        domain: over which; from the first to the last point where it is not given. Towards its ends v is constant, or
            with `periodic` goes on to the other end of the grid.
        periodic: whether the domain is one period.

    Raises:
        ValueError: a grid that decreases, is not finite or leaves the domain; one point, or a period, without a domain.

    >>> trapezoid_weights([0.0, 1.0, 4.0])
    array([0.125, 0.5  , 0.375])
    >>> trapezoid_weights([0.25, 0.75], domain=(0.0, 1.0))
    array([0.5, 0.5])
    """
    grid = np.asarray(grid, np.float64)
    if grid.ndim != 1 or len(grid) == 0 or not np.isfinite(grid).all() or (np.diff(grid) < 0).any():
        raise ValueError(f"grid must be finite numbers in increasing order, of shape (G,), got {grid!r}; sort them.")
    if periodic and domain is None:
        raise ValueError("domain must be given where periodic; pass one period, such as (0.0, 1.0).")
    left, right = (grid[0], grid[-1]) if domain is None else domain
    if not left < right:
        raise ValueError(
            f"domain must have a length, got {(float(left), float(right))}; pass more points, or a domain."
        )
    if grid[0] < left or grid[-1] > right:
        raise ValueError(f"grid must lie in the domain {left, right}, got {grid[0]} to {grid[-1]}; widen the domain.")
    if periodic:
        gaps = np.diff(grid, append=grid[0] + right - left)
        return (gaps + np.roll(gaps, 1)) / 2 / (right - left)
    borders = np.concatenate([[left], (grid[1:] + grid[:-1]) / 2, [right]])
    return np.diff(borders) / (right - left)


def project(basis: Basis, points: Any, values: Any, weights: Any = None) -> Coefficients:
    """Coefficients by quadrature, `x_k = sum_j w_j v_j f_k(t_j)`: for points so dense that f_N is smooth between them.

    Args:
        basis: any.
        points: (n,) of its domain, in any order; (n, d) with weights.
        values: (..., n) at them; may be traced.
        weights: (n,) of sum 1; those of the trapezoidal rule over the domain where they are not given.

    Raises:
        ValueError: values of another length than points; points of several variables without weights.

    Example:
        >>> import numpy as np
        >>> from langevax import spaces
        >>> t = np.sort(np.random.default_rng(0).uniform(size=2000))
        >>> spaces.project(spaces.Cosine(3), t, 1 + np.cos(np.pi * t))[:2].round(2)  # 1 + f_1 / sqrt(2)
        Array([1.  , 0.71], dtype=float32)
    """
    values = _values(values, len(points))
    functions = basis.evaluate(points).astype(values.dtype)
    weights = _law_of(basis, points) if weights is None else weights
    if np.shape(weights) != (len(points),):
        raise ValueError(f"weights must have shape ({len(points)},), one for each point, got {np.shape(weights)}.")
    return (values * jnp.asarray(weights, values.dtype)) @ functions


def regress(prior: GaussianPrior, points: Any, values: Any, noise: Any) -> Coefficients:
    """Coefficients given noisy values at few points: the mean of the posterior of the prior, of the functions f with

        v_j = f(t_j) + noise_j e_j,      e_j ~ N(0, 1)

    which is the minimiser of `sum_j (v_j - f(t_j))^2 / noise_j^2 + |f|_HK^2`.

    Args:
        prior: `GaussianPrior` of any basis.
        points: n of its domain, however irregular.
        values: (..., n) at them.
        noise: the standard deviation > 0, one number or (n,).

    In float64 on the host, by the smaller of the n x n and N x N systems.

    Raises:
        ValueError: values of another length than points, or not finite; noise that is not > 0.

    Example:
        >>> import numpy as np
        >>> from langevax import spaces
        >>> basis = spaces.Cosine(32)
        >>> prior = spaces.GaussianPrior(basis, spaces.spectra.matern(basis, length_scale=0.5))
        >>> t = np.array([0.1, 0.4, 0.7])
        >>> x = spaces.regress(prior, t, np.array([1.0, 0.0, 2.0]), noise=0.01)
        >>> basis.at(x, t).round(2)
        Array([1., 0., 2.], dtype=float32)
    """
    checks.number("noise", noise, positive=True)
    observed = np.asarray(_values(np.asarray(values, np.float64), len(points), xp=np))
    checks.finite("values", observed, remedy="drop the points without a value")
    if np.ndim(noise) > 0 and np.shape(noise) != (len(points),):
        raise ValueError(f"noise must be one number or have shape ({len(points)},), got {np.shape(noise)}.")
    with jax.enable_x64():
        functions = np.asarray(prior.basis.evaluate(points), np.float64)
    noise = np.broadcast_to(np.asarray(noise, np.float64), len(points))
    deviations = np.sqrt(np.asarray(prior.eigenvalues, np.float64))
    rows = functions * deviations / noise[:, None]  # of standard normal unknowns and noise
    goal = (observed / noise).reshape(-1, len(points)).T
    n, num_modes = rows.shape
    if n <= num_modes:
        unknowns = rows.T @ np.linalg.solve(rows @ rows.T + np.eye(n), goal)
    else:
        unknowns = np.linalg.solve(rows.T @ rows + np.eye(num_modes), rows.T @ goal)
    coefficients = (deviations[:, None] * unknowns).T.reshape(*observed.shape[:-1], num_modes)
    return jnp.asarray(coefficients, jnp.result_type(float))


def _values(values: Any, num_points: int, xp: Any = jnp) -> Any:
    values = xp.asarray(values)
    if values.ndim == 0 or values.shape[-1] != num_points:
        raise ValueError(f"values must have the {num_points} points on the last axis, got shape {values.shape}.")
    return values


def _law_of(basis: Basis, points: Any) -> Float[np.ndarray, " points"]:
    """Weights of the trapezoidal rule, for points in any order."""
    points = np.asarray(points, np.float64)
    if points.ndim != 1 or basis.dim != 1:
        raise ValueError(f"weights must be given for a basis of {basis.dim} variables; pass (n,) numbers of sum 1.")
    order = np.argsort(points, kind="stable")
    weights = np.empty(len(points))
    domain = basis.domain if isinstance(basis, Interval) else None
    weights[order] = trapezoid_weights(points[order], domain, periodic=isinstance(basis, Fourier))
    return weights
