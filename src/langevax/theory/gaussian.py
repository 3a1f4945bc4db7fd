"""Gaussian laws of linear Langevin chains: where they settle.

One mode of the potential `1/2 (precision + curvature) x^2` has the target law N(0, t) at `temperature`,
t = temperature / (precision + curvature). The integrator handles the precision, the gradient is `curvature * x`, and
every integrator is the linear recursion

    x  <-  a x  -  b curvature x  +  c sqrt(temperature) xi,      xi ~ N(0, 1).

Sources: Muzellec, Sato, Massias, Suzuki (COLT 2022), eqs. 3 to 6 (semi-implicit scheme); the rest is
derived. The exact moments of chains with noisy gradients are in `moments`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Point = Float[np.ndarray, " d"]
Covariance = Float[np.ndarray, "d d"]
Modes = float | np.ndarray
"""(modes,), or one number for all of them."""


def linear_gains(
    integrator: str, step_size: float, precision: Modes
) -> tuple[np.ndarray, np.ndarray]:
    """(b, c^2) of one step; in all four a = 1 - b p, which would lose digits at small steps.

    >>> linear_gains("semi_implicit", 0.5, np.array([0.0, 2.0]))
    (array([0.5 , 0.25]), array([1.  , 0.25]))
    """
    h = float(step_size)
    p = np.asarray(precision, float)
    match integrator:
        case "explicit":
            return np.full(p.shape, h), np.full(p.shape, 2 * h)
        case "semi_implicit":
            return h / (1 + h * p), 2 * h / (1 + h * p) ** 2
        case "exponential":
            positive = np.where(p > 0, p, 1)
            b = -np.expm1(-h * positive) / positive
            c2 = -np.expm1(-2 * h * positive) / positive
            return np.where(p > 0, b, h), np.where(p > 0, c2, 2 * h)
        case "crank_nicolson":
            return h / (1 + h * p / 2), 2 * h / (1 + h * p / 2) ** 2
    known = "explicit, semi_implicit, exponential, crank_nicolson"
    raise ValueError(f"integrator is {integrator!r}; pass one of {known}.")


def stationary_variance(
    integrator: str,
    step_size: float | np.ndarray,
    precision: float | np.ndarray,
    curvature: float | np.ndarray,
    temperature: float | np.ndarray,
) -> float | np.ndarray:
    """Variance at which one mode settles; arguments broadcast, `inf` where the recursion does not settle.

    With h = step_size, p = precision, q = curvature and t = temperature / (p + q), derived:

        explicit          t / (1 - h (p + q) / 2)
        semi_implicit     t / (1 + h (p - q) / 2)                (noise inside the resolvent)
        exponential       t / (1 - (q / p) tanh(h p / 2))        (exact where q = 0)
        crank_nicolson    t / (1 - h q / 2)                      (exact where q = 0)

    The four agree where p = 0. p + q must be positive.

    >>> round(stationary_variance("explicit", 0.5, 1.0, 1.0, temperature=2.0), 6)
    2.0
    >>> stationary_variance("exponential", 0.5, np.array([1.0, 4.0]), 0.0, temperature=2.0)
    array([2. , 0.5])
    """
    h, p, q, temperature = (
        np.asarray(v, float) for v in (step_size, precision, curvature, temperature)
    )
    match integrator:
        case "explicit":
            denominator = 1 - h * (p + q) / 2
        case "semi_implicit":
            denominator = 1 + h * (p - q) / 2
        case "exponential":
            denominator = 1 - q * _tanh_ratio(h, p)
        case "crank_nicolson":
            denominator = 1 - h * q / 2 + 0 * p
        case _:
            known = "explicit, semi_implicit, exponential, crank_nicolson"
            raise ValueError(f"integrator is {integrator!r}; pass one of {known}.")
    if np.any(p + q <= 0):
        raise ValueError(
            f"precision + curvature must be > 0, got {np.min(p + q)}; there is no law "
            "to settle to."
        )
    settles = denominator > 0
    variance = np.where(
        settles, temperature / (p + q) / np.where(settles, denominator, 1), np.inf
    )
    return float(variance) if variance.ndim == 0 else variance


def _tanh_ratio(step_size: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """tanh(step_size * precision / 2) / precision, and its limit step_size / 2 at precision 0."""
    is_zero = precision == 0
    return np.where(
        is_zero,
        step_size / 2,
        np.tanh(step_size * precision / 2) / np.where(is_zero, 1, precision),
    )


class GaussianLaw(NamedTuple):
    """N(mean, covariance)."""

    mean: Point
    covariance: Covariance


def gaussian_process(
    kernel_matrix: Float[np.ndarray, "rows rows"],
    cross: Float[np.ndarray, "points rows"],
    targets: Float[np.ndarray, " rows"],
    noise: float,
    prior_covariance: Float[np.ndarray, "points points"],
) -> GaussianLaw:
    """The function at new points, given `targets = function + noise xi` at the rows (noise a standard deviation).

        mean  K_* (K + noise^2)^{-1} targets,      covariance  K_** - K_* (K + noise^2)^{-1} K_*^T

    with K the `kernel_matrix`, K_* the `cross` and K_** the `prior_covariance`, that among the new points.

    >>> one = np.ones((1, 1))
    >>> gaussian_process(one, one, np.array([2.0]), 1.0, one)
    GaussianLaw(mean=array([1.]), covariance=array([[0.5]]))
    """
    from scipy.linalg import cholesky, solve_triangular

    factor = cholesky(
        np.asarray(kernel_matrix, float) + noise**2 * np.eye(len(targets)), lower=True
    )
    half = solve_triangular(factor, np.asarray(cross, float).T, lower=True)
    mean = half.T @ solve_triangular(factor, np.asarray(targets, float), lower=True)
    return GaussianLaw(mean, prior_covariance - half.T @ half)
