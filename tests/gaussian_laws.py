"""Gaussian laws in closed form: posteriors of linear problems, laws of linear chains and flows, and divergences.

Regression has the value |features x - targets|^2 / (2 n), a mean over n rows, and a precision for every mode.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from langevax.theory.gaussian import GaussianLaw, linear_gains
from langevax.theory.mean_field import linear_optimum


def linear_inverse_posterior(matrix, data, noise, prior_variances):
    """x given `data = matrix x + noise xi`, x_k ~ N(0, prior_variances_k); `noise` is a standard deviation.

    In the prior's own scale, where no number is large however small a variance gets.
    """
    scale = np.sqrt(prior_variances)
    whitened = matrix * scale / noise
    covariance = np.linalg.inv(np.eye(len(scale)) + whitened.T @ whitened)
    return GaussianLaw(
        scale * (covariance @ whitened.T @ data / noise),
        scale[:, None] * covariance * scale,
    )


def linear_regression_posterior(features, targets, precision, temperature):
    """The law exp(-potential / temperature) of mean squared error / 2 with that precision."""
    noise = np.sqrt(len(features) * temperature)
    return linear_inverse_posterior(features, targets, noise, temperature / precision)


def linear_regression_law(
    features, targets, precision, temperature, step_size, integrator
):
    """Return the law at which the Langevin chain with full gradients of that problem settles.

    Sigma = R Sigma R^T + temperature diag(c^2) with R = I - diag(b) (H + P); its mean is the posterior's.
    """
    b, c2 = linear_gains(integrator, step_size, precision)
    step = np.eye(len(b)) - b[:, None] * (
        features.T @ features / len(features) + np.diag(precision)
    )
    assert np.abs(np.linalg.eigvals(step)).max() < 1  # otherwise there is no such law
    mean = linear_regression_posterior(features, targets, precision, temperature).mean
    return GaussianLaw(mean, solve_discrete_lyapunov(step, temperature * np.diag(c2)))


def kl_gaussian_diagonal(mean0, variance0, mean1, variance1):
    """KL of Gaussians of independent coordinates, summed; small divergences keep their digits."""
    excess = (np.asarray(variance0, float) - variance1) / variance1
    mahalanobis = (np.asarray(mean0, float) - mean1) ** 2 / variance1
    return float(np.sum(excess - np.log1p(excess) + mahalanobis) / 2)


class LinearFlow(NamedTuple):
    """The Gaussian law N(mean, covariance) along the flow, and objective minus optimum; axis 0 is time."""

    mean: np.ndarray
    covariance: np.ndarray
    gap: np.ndarray


def linear_flow(
    inputs, targets, ridge, temperature, start_mean, start_covariance, times
):
    """Law of the mean-field flow of linear neurons from a Gaussian start.

    m' = -(S + 2 ridge) m + X^T y / n and C' = -4 ridge C + 2 temperature I, with S = X^T X / n. The gap is
    1/2 <m - m*, (S + 2 ridge)(m - m*)> + (temperature / 2) sum (r - 1 - log r), r the eigenvalues of C over the optimal
    variance.
    """
    optimum, t = (
        linear_optimum(inputs, targets, ridge, temperature),
        np.asarray(times, float)[:, None],
    )
    rates, modes = np.linalg.eigh(
        inputs.T @ inputs / len(inputs) + 2 * ridge * np.eye(inputs.shape[1])
    )
    shift = (modes.T @ (start_mean - optimum.mean)) * np.exp(-rates * t)
    ratios, axes = np.linalg.eigh(start_covariance / optimum.variance)
    excess = (ratios - 1) * np.exp(-4 * ridge * t)  # r - 1
    covariance = optimum.variance * np.einsum("ij,tj,kj->tik", axes, 1 + excess, axes)
    with np.errstate(divide="ignore"):  # the entropy gap of a point is infinite
        spread = np.sum(excess - np.log1p(excess), axis=1)
    gap = np.sum(rates * shift**2, axis=1) / 2 + temperature / 2 * spread
    return LinearFlow(optimum.mean + shift @ modes.T, covariance, gap)
