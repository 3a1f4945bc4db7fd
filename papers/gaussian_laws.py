"""Gaussian laws: posteriors of linear problems, where chains whose modes mix settle, and how far that is.

Regression has the value |features x - targets|^2 / (2 n), a mean over n rows, and the precision p_k = lambda / mu_k.
Its law exp(-potential / temperature) is the posterior of a linear inverse problem,

    data = matrix x + noise xi,      x_k ~ N(0, v_k),      noise^2 = n temperature,   v_k = temperature / p_k,

and with temperature = lambda that of a Gaussian process of kernel sum_k mu_k phi_k(s) phi_k(t), phi_k the features.
Posteriors are computed in the prior's own scale, x_k = sqrt(v_k) z_k, where no number is large however small v_k gets.

Sources: Suzuki (2020) for temperature = lambda = 1/n; the rest is derived.
"""

import numpy as np
from jaxtyping import Float

from langevax.theory.gaussian import Covariance, GaussianLaw, Point, linear_gains

Vector = Float[np.ndarray, " modes"]
Features = Float[np.ndarray, "rows modes"]
Targets = Float[np.ndarray, " rows"]
Operator = Float[np.ndarray, "data modes"]
Data = Float[np.ndarray, " data"]


def linear_inverse_posterior(
    matrix: Operator, data: Data, noise: float | np.ndarray, prior_variances: Vector
) -> GaussianLaw:
    """x given `data = matrix x + noise xi`, x_k ~ N(0, prior_variances_k); `noise` is a standard deviation.

    With B = matrix diag(sqrt v) / noise = U S V^T, thin, so that the smaller dimension decides what it costs:

        mean        sqrt(v) V S / (1 + S^2) U^T data / noise
        covariance  sqrt(v) (I - V S^2 / (1 + S^2) V^T) sqrt(v)

    >>> law = linear_inverse_posterior(np.array([[1.0, 0.0]]), np.array([2.0]), 1.0, np.array([1.0, 0.5]))
    >>> law.mean, np.diag(law.covariance)
    (array([1., 0.]), array([0.5, 0.5]))
    """
    scale, shrink, basis, mean = _whitened(matrix, data, noise, prior_variances)
    # the square root of I - V S^2/(1+S^2) V^T, so that what comes out is symmetric and positive
    root = np.eye(len(scale)) + (basis.T * (np.sqrt(shrink) - 1)) @ basis
    half = scale[:, None] * root
    return GaussianLaw(scale * mean, half @ half.T)


def linear_inverse_marginals(
    matrix: Operator, data: Data, noise: float | np.ndarray, prior_variances: Vector
) -> tuple[Vector, Vector]:
    """Mean and variances of `linear_inverse_posterior`, without a matrix of modes by modes.

    >>> linear_inverse_marginals(np.array([[1.0, 0.0]]), np.array([2.0]), 1.0, np.array([1.0, 0.5]))
    (array([1., 0.]), array([0.5, 0.5]))
    """
    scale, shrink, basis, mean = _whitened(matrix, data, noise, prior_variances)
    outside = np.maximum(1 - np.sum(basis**2, axis=0), 0)  # the part of a mode that no datum constrains
    return scale * mean, scale**2 * (outside + shrink @ basis**2)


def linear_regression_posterior(
    features: Features, targets: Targets, precision: float | np.ndarray, temperature: float
) -> GaussianLaw:
    """The law exp(-potential / temperature) of mean squared error / 2 with that precision, which must be positive.

        mean        (H + P)^{-1} features^T targets / n,      H = features^T features / n
        covariance  temperature (H + P)^{-1}

    >>> law = linear_regression_posterior(np.ones((4, 1)), np.full(4, 2.0), 1.0, temperature=0.5)
    >>> law.mean, law.covariance
    (array([1.]), array([[0.25]]))
    """
    precision = np.broadcast_to(np.asarray(precision, float), features.shape[1:])
    if np.any(precision <= 0):
        raise ValueError(f"precision must be > 0 in every mode, got {precision.min()}; drop modes without a prior.")
    noise = np.sqrt(len(features) * temperature)
    return linear_inverse_posterior(features, targets, noise, temperature / precision)


def linear_regression_law(
    features: Features,
    targets: Targets,
    precision: float | np.ndarray,
    temperature: float,
    step_size: float,
    integrator: str,
) -> GaussianLaw:
    """Where the Langevin chain with full gradients of that problem settles.

        Sigma = R Sigma R^T + temperature diag(c^2),      R = I - diag(b) (H + P)

    The mean is the target's own for every step size and integrator (derived). In the coordinates x / sqrt(b) the
    matrix R is symmetric, I - U diag(e) U^T, and so the equation is solved entry by entry: D' / (e_k + e_l - e_k e_l)
    with D' = U^T diag(temperature c^2 / b) U.

    Raises:
        ValueError: the chain does not settle at this step.

    >>> law = linear_regression_law(np.ones((4, 1)), np.full(4, 2.0), 1.0, 0.5, step_size=0.5, integrator="explicit")
    >>> law.mean, law.covariance
    (array([1.]), array([[0.5]]))
    """
    precision = np.broadcast_to(np.asarray(precision, float), features.shape[1:])
    b, c2 = linear_gains(integrator, step_size, precision)
    root = np.sqrt(b)
    hessian = np.asarray(features, float).T @ features / len(features) + np.diag(precision)
    rates, basis = np.linalg.eigh(root[:, None] * hessian * root)
    if rates.max() >= 2:
        raise ValueError(
            f"the chain grows by {rates.max() - 1:.6g} a step at step_size {step_size}; take a smaller one."
        )
    noise = (basis.T * (temperature * c2 / b)) @ basis
    settled = noise / (rates[:, None] + rates - rates[:, None] * rates)
    outward = root[:, None] * basis
    mean = linear_regression_posterior(features, targets, precision, temperature).mean
    return GaussianLaw(mean, outward @ settled @ outward.T)


def _whitened(
    matrix: np.ndarray, data: np.ndarray, noise: float | np.ndarray, prior_variances: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (sqrt v, 1 / (1 + S^2), V^T, mean of z)."""
    if np.any(np.asarray(prior_variances) < 0) or np.any(np.asarray(noise) <= 0):
        raise ValueError("prior_variances must be >= 0 and noise > 0.")
    scale = np.sqrt(np.asarray(prior_variances, float))
    deviation = np.broadcast_to(np.asarray(noise, float), np.shape(data))
    left, singular, basis = np.linalg.svd(np.asarray(matrix, float) * scale / deviation[:, None], full_matrices=False)
    coefficients = left.T @ (np.asarray(data, float) / deviation)
    return scale, 1 / (1 + singular**2), basis, (singular / (1 + singular**2) * coefficients) @ basis


def kl_gaussian(mean0: Point, cov0: Covariance, mean1: Point, cov1: Covariance) -> float:
    """KL(N(mean0, cov0) || N(mean1, cov1)), in nats.

        1/2 sum_l (r_l - 1 - log r_l)  +  1/2 <mean0 - mean1, cov1^{-1} (mean0 - mean1)>

    with r_l the eigenvalues of cov1^{-1} cov0; written so that small divergences keep their digits.

    >>> kl_gaussian(np.ones(2), np.eye(2), np.zeros(2), np.eye(2))
    1.0
    """
    from scipy.linalg import cho_factor, cho_solve, eigh

    shift = np.asarray(mean0, float) - np.asarray(mean1, float)
    # eigenvalues of cov1^{-1} (cov0 - cov1), that is r - 1
    excess = eigh(np.asarray(cov0, float) - np.asarray(cov1, float), np.asarray(cov1, float), eigvals_only=True)
    mahalanobis = shift @ cho_solve(cho_factor(np.asarray(cov1, float)), shift)
    return float(np.sum(excess - np.log1p(excess)) / 2 + mahalanobis / 2)


def kl_gaussian_diagonal(
    mean0: float | np.ndarray, variance0: float | np.ndarray, mean1: float | np.ndarray, variance1: float | np.ndarray
) -> float:
    """`kl_gaussian` for independent coordinates, summed over all of them; arguments broadcast.

    For the stationary law of the explicit scheme this is sum_l (step_size curvature_l)^2 / 16 to leading
    order (derived): second order in the step, where the bound of Vempala and Wibisono is first order.

    >>> from langevax.theory.gaussian import stationary_variance
    >>> biased = stationary_variance("explicit", 0.01, 0.0, 1.0, temperature=1.0)
    >>> round(kl_gaussian_diagonal(0.0, biased, 0.0, 1.0) / (0.01**2 / 16), 3)
    1.007
    """
    excess = (np.asarray(variance0, float) - variance1) / variance1
    mahalanobis = (np.asarray(mean0, float) - mean1) ** 2 / variance1
    return float(np.sum(excess - np.log1p(excess) + mahalanobis) / 2)
