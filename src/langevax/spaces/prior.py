"""A Gaussian law of functions, and from curves seen at some points to coefficients.

The law has independent coefficients whose variances have a finite sum,

    f = sum_k x_k f_k,      x_k ~ N(0, mu_k),      sum_k mu_k = E |f|^2 < infinity

Its covariance is the kernel K(s, t) = sum_k mu_k f_k(s) f_k(t); the functions of finite Cameron-Martin norm
sum_k x_k^2 / mu_k are the reproducing kernel Hilbert space of K. Coefficients come from curves by quadrature where
points are many (`project`), by regression where they are few (`regress`).
"""

from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import checks, renamed, trees
from langevax._typing import PRNGKey
from langevax.spaces.basis import ArrayLike, Basis, Coefficients, Interval, check_modes
from langevax.spaces.intervals import Fourier
from langevax.spaces.spectra import LEAST_EIGENVALUE
from langevax.trees import in_double

Points = Array | np.ndarray


class GaussianPrior(eqx.Module):
    """N(0, diag(eigenvalues)) on the coefficients of a basis.

    Args:
        basis: any of `langevax.spaces`.
        eigenvalues: mu, one > 0 for each mode, such as `spectra.matern(basis, length_scale=0.2)`.

    Raises:
        ValueError: an eigenvalue that is zero, negative or not finite; another number of them than of modes.

    Example:
        >>> import jax
        >>> from langevax import spaces
        >>> basis = spaces.Cosine(64)
        >>> prior = spaces.GaussianPrior(basis, spaces.spectra.matern(basis, smoothness=1.5, length_scale=0.2))
        >>> functions = basis.synthesize(prior.sample((1000,), key=jax.random.key(0)))
        >>> functions.shape, 0.9 < float((functions[:, 20:44] ** 2).mean()) < 1.1
        ((1000, 64), True)
    """

    basis: Basis
    eigenvalues: Float[Array, " modes"]
    inverse: Float[Array, " modes"]

    def __init__(self, basis: Basis, eigenvalues: ArrayLike):
        checks.instance("basis", basis, Basis, "langevax.spaces.Cosine(64)")
        mu = checks.real_array("eigenvalues", eigenvalues)
        if mu.shape != (basis.num_modes,):
            raise ValueError(
                f"eigenvalues must have shape ({basis.num_modes},), one per mode, got "
                f"{mu.shape}."
            )
        checks.all_positive(
            "eigenvalues",
            mu,
            "a mode without variance is not an unknown: cut the basis off with "
            "`with_modes`, or drop it",
        )
        mu = np.maximum(mu, LEAST_EIGENVALUE)  # inverted in float64
        self.basis = basis
        self.eigenvalues = jnp.asarray(mu, jnp.result_type(float))
        self.inverse = jnp.asarray(1 / mu, jnp.result_type(float))

    @property
    def num_modes(self) -> int:
        """N."""
        return self.basis.num_modes

    @renamed.refuse_former
    def precision(self, temperature: ArrayLike = 1.0) -> Float[Array, " modes"]:
        """`temperature / mu_k`: the quadratic part of a problem whose law at this temperature is this prior.

        It is `temperature / 2 |f|_HK^2` (lambda in Muzellec et al., COLT 2022). At another temperature T its law is
        N(0, T mu / temperature).
        """
        return jnp.asarray(temperature, self.inverse.dtype) * self.inverse

    def sample(self, shape: tuple[int, ...] = (), *, key: PRNGKey) -> Coefficients:
        """Draw coefficients of independent functions, of shape `(*shape, num_modes)`."""
        draws = trees.normal((*shape, self.num_modes), self.eigenvalues.dtype, key=key)
        return jnp.sqrt(self.eigenvalues) * draws

    def norm(self, coefficients: Coefficients) -> Float[Array, "*batch"]:
        """The Cameron-Martin norm `sqrt(sum_k x_k^2 / mu_k)`, that of the reproducing kernel Hilbert space."""
        check_modes(coefficients, self.num_modes)
        root = jnp.sqrt(self.inverse).astype(
            coefficients.dtype
        )  # first, since squares of small numbers vanish
        return jnp.linalg.norm(coefficients * root, axis=-1)

    def features(
        self, points: ArrayLike, smoothing: float = 0.0
    ) -> Float[Array, "points modes"]:
        """`mu_k^{g/2} f_k(points_j)`, g the `smoothing`: the model `T_K^{g/2} x` of Muzellec et al., section 4."""
        checks.number("smoothing", smoothing)
        return self.basis.evaluate(points) * self.eigenvalues ** (smoothing / 2)

    def covariance(
        self, points: ArrayLike, others: ArrayLike | None = None
    ) -> Float[Array, "points others"]:
        """`K(points_i, others_j)`, among the points themselves where no others are given."""
        left = self.basis.evaluate(points)
        right = left if others is None else self.basis.evaluate(others)
        return (left * self.eigenvalues) @ right.T

    def variance(self, points: ArrayLike) -> Float[Array, " points"]:
        """`K(points_j, points_j)`."""
        return self.basis.evaluate(points) ** 2 @ self.eigenvalues

    def with_modes(self, num_modes: int) -> "GaussianPrior":
        """Return the prior on the first modes."""
        if num_modes > self.num_modes:
            raise ValueError(
                f"this prior has {self.num_modes} eigenvalues, so num_modes cannot be "
                f"{num_modes}."
            )
        return GaussianPrior(
            self.basis.with_modes(num_modes), np.asarray(self.eigenvalues)[:num_modes]
        )


def trapezoid_weights(
    grid: ArrayLike, domain: tuple[float, float] | None = None, periodic: bool = False
) -> np.ndarray:
    """Return (G,) weights of sum 1: `sum_j w_j v(t_j)` is the mean of v over the domain, up to O(spacing^2).

        w_j = (t_{j+1} - t_{j-1}) / 2 / length

    Args:
        grid: (G,) numbers that do not decrease.
        domain: by default from the first to the last point. Towards its ends v is constant, or
            with `periodic` goes on to the other end of the grid.
        periodic: whether the domain is one period.

    Raises:
        ValueError: a grid that decreases, is not finite or leaves the domain; one point, or a period, without a domain.

    >>> trapezoid_weights([0.0, 1.0, 4.0])
    array([0.125, 0.5  , 0.375])
    >>> trapezoid_weights([0.25, 0.75], domain=(0.0, 1.0))
    array([0.5, 0.5])
    """
    checks.flag("periodic", periodic)
    grid = checks.real_array("grid", grid)
    if (
        grid.ndim != 1
        or len(grid) == 0
        or not np.isfinite(grid).all()
        or (np.diff(grid) < 0).any()
    ):
        raise ValueError(
            "grid must be finite numbers in increasing order, of shape (G,), got "
            f"{checks.shown(grid)}; sort them."
        )
    if periodic and domain is None:
        raise ValueError(
            "domain must be given where periodic; pass one period, such as (0.0, 1.0)."
        )
    left, right = (grid[0], grid[-1]) if domain is None else domain
    if not left < right:
        raise ValueError(
            f"domain must have a length, got {(float(left), float(right))}; pass more "
            "points, or a domain."
        )
    if grid[0] < left or grid[-1] > right:
        raise ValueError(
            f"grid must lie in the domain {left, right}, got {grid[0]} to {grid[-1]}; "
            "widen the domain."
        )
    if periodic:
        gaps = np.diff(grid, append=grid[0] + right - left)
        return (gaps + np.roll(gaps, 1)) / 2 / (right - left)
    middles = (grid[1:] + grid[:-1]) / 2
    borders = np.concatenate([[left], middles, [right]])
    return np.diff(borders) / (right - left)


def project(
    basis: Basis,
    points: Points,
    values: ArrayLike,
    weights: ArrayLike | None = None,
) -> Coefficients:
    """Coefficients by quadrature, `x_k = sum_j w_j v_j f_k(t_j)`: for points so dense that f_N is smooth between them.

    Args:
        basis: any.
        points: (n,) of its domain, in any order; (n, d) with weights.
        values: (..., n) at them; may be traced.
        weights: (n,) of sum 1; by default those of the trapezoidal rule over the domain.

    Raises:
        ValueError: values of another length than points; points of several variables without weights.

    Example:
        >>> import numpy as np
        >>> from langevax import spaces
        >>> t = np.sort(np.random.default_rng(0).uniform(size=2000))
        >>> spaces.project(spaces.Cosine(3), t, 1 + np.cos(np.pi * t))[:2].round(2)  # 1 + f_1 / sqrt(2)
        Array([1.  , 0.71], dtype=float32)
    """
    checks.instance("basis", basis, Basis, "langevax.spaces.Cosine(64)")
    points = _finite_points(points)
    array = _values(values, len(points))
    functions = basis.evaluate(points).astype(array.dtype)
    weights = (
        _trapezoid_law(basis, points)
        if weights is None
        else checks.real_array("weights", weights)
    )
    if np.shape(weights) != (len(points),):
        raise ValueError(
            f"weights must have shape ({len(points)},), one for each point, got "
            f"{np.shape(weights)}."
        )
    checks.finite("weights", weights, remedy="drop points without a weight")
    return (array * jnp.asarray(weights, array.dtype)) @ functions


def regress(
    prior: GaussianPrior,
    points: Points,
    values: ArrayLike,
    noise: ArrayLike,
) -> Coefficients:
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
    checks.instance(
        "prior", prior, GaussianPrior, "GaussianPrior(basis, spectra.matern(basis))"
    )
    checks.number("noise", noise, positive=True)
    points = _finite_points(points)
    observed = np.asarray(
        _values(checks.real_array("values", values), len(points), xp=np)
    )
    if np.ndim(noise) > 0 and np.shape(noise) != (len(points),):
        raise ValueError(
            f"noise must be one number or have shape ({len(points)},), got "
            f"{np.shape(noise)}."
        )
    with jax.enable_x64():
        functions = in_double(prior.basis.evaluate(points))
    noise = np.broadcast_to(in_double(noise), len(points))
    deviations = np.sqrt(in_double(prior.eigenvalues))
    rows = (
        functions * deviations / noise[:, None]
    )  # of standard normal unknowns and noise
    goal = (observed / noise).reshape(-1, len(points)).T
    n, num_modes = rows.shape
    if n <= num_modes:
        unknowns = rows.T @ np.linalg.solve(rows @ rows.T + np.eye(n), goal)
    else:
        unknowns = np.linalg.solve(rows.T @ rows + np.eye(num_modes), rows.T @ goal)
    coefficients = (deviations[:, None] * unknowns).T.reshape(
        *observed.shape[:-1], num_modes
    )
    return jnp.asarray(coefficients, jnp.result_type(float))


def _values(values: ArrayLike, num_points: int, xp: ModuleType = jnp) -> Any:
    if checks.is_concrete(values):
        values = checks.plain_array("values", values)
        checks.finite("values", values, remedy="drop the points without a value")
    array = xp.asarray(values)
    if array.ndim == 0 or array.shape[-1] != num_points:
        raise ValueError(
            f"values must have the {num_points} points on the last axis, got shape "
            f"{array.shape}."
        )
    return array


def _finite_points(points: Points) -> Points:
    """Return points as numbers, all finite; traced ones as they are."""
    if not checks.is_concrete(points):
        return points
    array = checks.plain_array("points", points)
    checks.finite("points", array, remedy="pass finite points")
    return array


def _trapezoid_law(basis: Basis, points: Points) -> Float[np.ndarray, " points"]:
    """Return the weights of the trapezoidal rule, for points in any order."""
    points = in_double(points)
    if points.ndim != 1 or basis.dim != 1:
        raise ValueError(
            f"weights must be given for a basis of {basis.dim} variables; pass (n,) "
            "numbers of sum 1."
        )
    order = np.argsort(points, kind="stable")
    weights = np.empty(len(points))
    domain = basis.domain if isinstance(basis, Interval) else None
    weights[order] = trapezoid_weights(
        points[order], domain, periodic=isinstance(basis, Fourier)
    )
    return weights
