"""Deterministic equivalents of Gaussian designs against simulated ridge regression and the published iteration."""

import numpy as np
import pytest

from langevax.theory.feature_learning import (
    GaussianDesign,
    errors_gaussian_design,
    errors_one_step,
    gaussian_equivalent,
    hermite_coefficients,
)
from tests.errorbars import assert_mean
from tests.sentences import refuses


def random_design(rng, size):
    mixing = rng.normal(size=(size, size)) / np.sqrt(size)
    covariance = mixing @ mixing.T + 0.1 * np.eye(size)
    target = covariance @ rng.normal(size=size) / np.sqrt(size)
    return GaussianDesign(
        covariance, target, 1.3 * target @ np.linalg.solve(covariance, target)
    )


def published_iteration(design, num_samples, ridge, noise):
    """The order parameters (V, q, m) of Gaussian covariate models, iterated as such codes do."""
    size = len(design.covariance)
    omega, vectors = np.linalg.eigh(design.covariance)
    overlap = size * (vectors.T @ design.target_covariance) ** 2
    alpha, total = num_samples / size, design.target_variance + noise**2
    V, q, m = 1.0, 0.5, 0.1
    for _ in range(5000):
        V_hat = alpha / (1 + V)
        q_hat = alpha * (total + q - 2 * m) / (1 + V) ** 2
        below = alpha * ridge + V_hat * omega
        new = (
            np.mean(omega / below),
            np.mean((omega**2 * q_hat + V_hat**2 * omega * overlap) / below**2),
            V_hat * np.mean(overlap / below),
        )
        if np.allclose(new, (V, q, m), rtol=1e-13, atol=0):
            break
        V, q, m = new
    return total + q - 2 * m - noise**2, (total + q - 2 * m) / (1 + V) ** 2


def test_risks_are_those_of_the_published_iteration():
    design = random_design(np.random.default_rng(0), 60)
    samples, ridge = np.array([[30], [90]]), np.array([0.01, 0.5])
    errors = errors_gaussian_design(design, samples, ridge, noise=0.3)
    expected = [
        [published_iteration(design, n, lam, 0.3) for lam in ridge]
        for n in samples[:, 0]
    ]
    np.testing.assert_allclose(np.stack(errors, -1), expected, rtol=1e-9)


def test_risks_are_those_of_simulated_ridge_regression():
    rng = np.random.default_rng(1)
    design, n, ridge, noise = random_design(rng, 80), 120, 0.05, 0.3
    best = np.linalg.solve(design.covariance, design.target_covariance)
    unexplained = design.target_variance - best @ design.target_covariance
    root = np.linalg.cholesky(design.covariance)
    risks, trains = [], []
    for _ in range(400):
        g = rng.normal(size=(n, 80)) @ root.T
        y = g @ best + np.sqrt(unexplained + noise**2) * rng.normal(size=n)
        w = np.linalg.solve(g.T @ g / n + ridge * np.eye(80), g.T @ y / n)
        risks.append((w - best) @ design.covariance @ (w - best) + unexplained)
        trains.append(np.mean((y - g @ w) ** 2))
    errors = errors_gaussian_design(design, n, ridge, noise)
    for samples, expected in ((risks, errors.risk), (trains, errors.training_error)):
        assert_mean(samples, expected, slack=0.01 * expected, wrong=1.1 * expected)


@pytest.mark.slow
def test_the_closed_form_is_the_limit_of_sampled_weights():
    """Over draws of W0; the mean within its standard error, with the step as the rank-one matrix that it is."""
    rng = np.random.default_rng(2)
    d, N, n, noise, step = 300, 450, 750, 0.2, 2.0
    student, teacher = hermite_coefficients("erf"), hermite_coefficients("tanh")
    beta = np.zeros(d)
    beta[0] = 1
    label_variance = teacher.linear**2 + teacher.rest**2 + noise**2
    differences = {0.0: [], step: []}
    for _ in range(12):
        w, a = rng.normal(size=(d, N)) / np.sqrt(d), rng.normal(size=N) / np.sqrt(N)
        sampling = rng.normal(size=d) * np.sqrt(label_variance / n)
        for eta, values in differences.items():
            u = eta * student.linear * (teacher.linear * beta + sampling)
            design = gaussian_equivalent(w + np.outer(u, a), beta, "erf", "tanh")
            values.append(errors_gaussian_design(design, n, 0.02, noise).risk)
    for eta, values in differences.items():
        expected = errors_one_step(n / d, N / d, 0.02, eta, "erf", "tanh", noise).risk
        assert_mean(values, expected, slack=0.01 * expected, wrong=1.25 * expected)


def test_isotropic_ridge_is_the_textbook_formula():
    d, n, ridge, noise = 50, 100, 0.1, 0.5
    design = GaussianDesign(np.eye(d), np.full(d, d**-0.5), 1.0)
    b = 1 - ridge - d / n
    kappa = (-b + np.sqrt(b**2 + 4 * ridge)) / 2
    expected = ((kappa / (1 + kappa)) ** 2 + noise**2) / (
        1 - d / n / (1 + kappa) ** 2
    ) - noise**2
    assert errors_gaussian_design(design, n, ridge, noise).risk == pytest.approx(
        expected, rel=1e-12
    )


def test_impossible_designs_are_refused():
    with refuses(ValueError):
        errors_gaussian_design(
            GaussianDesign(np.triu(np.ones((2, 2))), np.ones(2), 1.0), 5, 0.1
        )
    with refuses(ValueError, "-1"):
        errors_gaussian_design(
            GaussianDesign(np.diag([1.0, -1.0]), np.ones(2), 1.0), 5, 0.1
        )
    with refuses(ValueError, "2 1"):
        errors_gaussian_design(GaussianDesign(np.eye(2), np.ones(2), 1.0), 5, 0.1)
    with refuses(ValueError, "num_samples 0"):
        errors_gaussian_design(GaussianDesign(np.eye(2), np.ones(2), 2.0), 0, 0.1)
