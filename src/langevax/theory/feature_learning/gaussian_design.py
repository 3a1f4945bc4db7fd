"""Ridge risk on Gaussian features of any covariance: the deterministic equivalent of one sampled design.

With features g ~ N(0, Omega), Psi = E g y, n samples and w = argmin 1/n sum_i (y_i - <w, g_i>)^2 + ridge |w|^2,

    kappa = ridge + (kappa / n) tr Omega (Omega + kappa)^-1
    Q(k)  = Psi^T (Omega + k)^-1 Psi,     df2 = tr Omega^2 (Omega + kappa)^-2
    risk  = (E y^2 - Q + kappa Q') / (1 - df2 / n) - noise^2,     training error = (risk + noise^2) (ridge / kappa)^2

Loureiro et al. (NeurIPS 2021), whose V is kappa / ridge - 1. A network's features stand in for Gaussian ones by
`gaussian_equivalent`. `gaussian_design` is the traced core, of the spectrum.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh

from langevax.theory.feature_learning.arguments import Errors, Numbers, broadcast_call, centred, nonnegative, positive
from langevax.theory.feature_learning.hermite import Function
from langevax.theory.feature_learning.implicit import positive_root

ROUNDING = 1e-8
"""Eigenvalues this far below 0, of the largest, are rounding."""
TOGETHER = 32
"""Points whose sums over the spectrum are taken at once."""


class GaussianDesign(NamedTuple):
    """Second moments of features g and a target y without noise."""

    covariance: Float[np.ndarray, "N N"]
    target_covariance: Float[np.ndarray, " N"]
    """E g y"""
    target_variance: float
    """E y^2"""


def gaussian_equivalent(
    weights: Float[np.ndarray, "d N"], direction: Float[np.ndarray, " d"], student: Function, teacher: Function
) -> GaussianDesign:
    """Moments of student(W^T x) and teacher(<x, direction>), as if W's columns were of length 1 and nearly orthogonal.

        Omega = mu1^2 W^T W + mu2^2 I,     Psi = mu1 s1 W^T beta,     E y^2 = s1^2 + s2^2

    It holds up to steps of size Theta(1); `risk_given_weights` serves longer ones.

    >>> gaussian_equivalent(np.eye(2), np.array([1.0, 0.0]), "centred relu", "erf").target_covariance.round(6)
    array([0.325735, 0.      ])
    """
    (_, s), (_, target) = centred("student", student), centred("teacher", teacher)
    w = np.asarray(weights, float)
    covariance = s.linear**2 * w.T @ w + s.rest**2 * np.eye(w.shape[1])
    return GaussianDesign(covariance, s.linear * target.linear * (w.T @ direction), target.linear**2 + target.rest**2)


def risk_gaussian_design(
    design: GaussianDesign, num_samples: Numbers, ridge: Numbers, noise: Numbers = 0.0
) -> float | np.ndarray:
    """Ridge risk for num_samples draws of the design with label noise; the numbers broadcast.

    Raises:
        ValueError: a covariance that is not symmetric positive semi-definite, or does not allow the target.

    >>> design = GaussianDesign(np.eye(100), np.full(100, 0.1), 1.0)
    >>> risk_gaussian_design(design, np.array([50, 200]), ridge=1e-3).round(4)
    array([0.5, 0. ])
    """
    return errors_gaussian_design(design, num_samples, ridge, noise).risk


def errors_gaussian_design(
    design: GaussianDesign, num_samples: Numbers, ridge: Numbers, noise: Numbers = 0.0
) -> Errors:
    """Risk and training error, of which `risk_gaussian_design`, with the same arguments, is the first."""
    positive(num_samples=num_samples, ridge=ridge)
    nonnegative(noise=noise)
    spectrum = spectrum_of(design)
    return broadcast_call(
        lambda *numbers: _mapped(*spectrum, design.target_variance, *numbers), num_samples, ridge, noise
    )


def spectrum_of(design: GaussianDesign) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of the covariance and squared projections of E g y on its eigenvectors."""
    covariance = np.asarray(design.covariance, float)
    if np.max(np.abs(covariance - covariance.T), initial=0) > ROUNDING * np.max(np.abs(covariance), initial=0):
        raise ValueError("design.covariance must be symmetric; pass (c + c.T) / 2.")
    eigenvalues, vectors = eigh(covariance)
    projections = (vectors.T @ np.asarray(design.target_covariance, float)) ** 2
    if eigenvalues[0] < -ROUNDING * abs(eigenvalues[-1]):
        raise ValueError(f"design.covariance must be positive semi-definite, got an eigenvalue {eigenvalues[0]:.3g}.")
    kept = eigenvalues > ROUNDING**2 * eigenvalues[-1]
    explained = float(np.sum(projections[kept] / eigenvalues[kept]))
    if explained > design.target_variance * (1 + ROUNDING):
        raise ValueError(
            f"design explains {explained:.6g} of a target of variance {design.target_variance:.6g}; pass E y^2 without "
            "noise as target_variance, and E g y of centred features as target_covariance."
        )
    return np.maximum(eigenvalues, 0), np.where(kept, projections, 0)


def gaussian_design(
    eigenvalues: jax.Array,
    projections: jax.Array,
    target_variance: jax.Array,
    num_samples: jax.Array,
    ridge: jax.Array,
    noise: jax.Array,
) -> Errors:
    """Traced, for one point: all but the spectrum, as `spectrum_of` gives it, are scalars."""
    total = target_variance + noise**2

    def df1_share(k: jax.Array) -> jax.Array:
        return jnp.sum(eigenvalues / (eigenvalues + k)) / num_samples

    high = ridge + jnp.sum(eigenvalues) / num_samples
    kappa = positive_root(lambda k: 1 - ridge / k - df1_share(k), ridge, high)
    left = eigenvalues + kappa
    freedom = ridge / kappa + kappa * jnp.sum(eigenvalues / left**2) / num_samples  # 1 - df2 / n, in positive terms
    risk = (total - jnp.sum(projections * (left + kappa) / left**2)) / freedom - noise**2
    return Errors(risk, (risk + noise**2) * (ridge / kappa) ** 2)


@jax.jit
def _mapped(eigenvalues: jax.Array, projections: jax.Array, target_variance: jax.Array, *numbers: jax.Array) -> Errors:
    def one(point: tuple[jax.Array, ...]) -> Errors:
        return gaussian_design(eigenvalues, projections, target_variance, *point)

    return jax.lax.map(one, numbers, batch_size=TOGETHER)
