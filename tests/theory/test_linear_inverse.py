"""Gaussian laws where modes mix, against dense linear algebra, iterated chains and scikit-learn."""

import numpy as np
import pytest

from langevax.theory.gaussian import gaussian_process
from tests import gaussian_laws as theory

INTEGRATORS = ("explicit", "semi_implicit", "exponential", "crank_nicolson")


def regression(rows=12, modes=7, ridge=0.05, seed=0):
    """Features mu_k^{1/2} cos(pi k s), targets, precision ridge / mu_k."""
    rng = np.random.default_rng(seed)
    points, mu = rng.uniform(size=rows), np.arange(1.0, modes + 1) ** -2
    features = np.cos(np.pi * np.arange(modes) * points[:, None])
    return features, np.sin(6 * points) + 0.3 * rng.normal(size=rows), ridge / mu


@pytest.mark.parametrize(("data", "modes"), [(4, 9), (9, 4), (5, 5)])
def test_the_inverse_problem_is_solved_by_the_normal_equations(data, modes):
    rng = np.random.default_rng(2)
    matrix, values, prior = (
        rng.normal(size=(data, modes)),
        rng.normal(size=data),
        rng.uniform(0.1, 2.0, modes),
    )
    covariance = np.linalg.inv(matrix.T @ matrix / 0.3**2 + np.diag(1 / prior))
    law = theory.linear_inverse_posterior(matrix, values, 0.3, prior)
    np.testing.assert_allclose(law.covariance, covariance, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        law.mean, covariance @ matrix.T @ values / 0.3**2, rtol=1e-9
    )


def test_the_regression_posterior_is_that_of_the_potential():
    features, targets, precision = regression()
    hessian = features.T @ features / len(targets) + np.diag(precision)
    law = theory.linear_regression_posterior(
        features, targets, precision, temperature=0.02
    )
    np.testing.assert_allclose(
        law.covariance, 0.02 * np.linalg.inv(hessian), rtol=1e-9, atol=1e-14
    )
    np.testing.assert_allclose(
        law.mean,
        np.linalg.solve(hessian, features.T @ targets / len(targets)),
        rtol=1e-9,
    )


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_the_law_of_a_chain_is_where_its_recursion_settles(integrator):
    from langevax.theory.gaussian import linear_gains

    features, targets, precision = regression()
    h, temperature = 0.25, 0.1
    b, c2 = linear_gains(integrator, h, precision)
    hessian = features.T @ features / len(targets)
    step, offset = (
        np.diag(1 - b * precision) - b[:, None] * hessian,
        b * (features.T @ targets) / len(targets),
    )
    mean, covariance = np.zeros(7), np.zeros((7, 7))
    for _ in range(3000):
        mean, covariance = (
            step @ mean + offset,
            step @ covariance @ step.T + temperature * np.diag(c2),
        )
    law = theory.linear_regression_law(
        features, targets, precision, temperature, h, integrator
    )
    np.testing.assert_allclose(law.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(law.covariance, covariance, rtol=1e-9, atol=1e-13)


def test_without_mixing_it_is_the_law_mode_by_mode():
    from langevax.theory.gaussian import stationary_variance

    features, precision = (
        np.sqrt(3) * np.diag([1.0, 0.7, 0.2]),
        np.array([0.1, 0.4, 30.0]),
    )
    curvature = np.array([1.0, 0.49, 0.04])
    for integrator in INTEGRATORS:
        law = theory.linear_regression_law(
            features, np.ones(3), precision, 0.5, 0.06, integrator
        )
        expected = stationary_variance(integrator, 0.06, precision, curvature, 0.5)
        np.testing.assert_allclose(np.diag(law.covariance), expected, rtol=1e-12)


def test_the_bias_of_predictions_falls_linearly_in_the_step():
    features, targets, precision = regression()
    target = theory.linear_regression_posterior(features, targets, precision, 0.1)
    errors = [
        np.trace(
            theory.linear_regression_law(
                features, targets, precision, 0.1, h, "semi_implicit"
            ).covariance
        )
        - np.trace(target.covariance)
        for h in (2e-3, 1e-3)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.02)


def test_a_temperature_of_the_ridge_makes_it_a_gaussian_process():
    """beta lambda = 1, beta = n / sigma^2: kernel sum_k mu_k phi_k phi_k, noise sigma."""
    sigma = 0.4
    features, targets, _ = regression(modes=60)
    n, mu = len(targets), np.arange(1.0, 61) ** -2
    new = np.cos(np.pi * np.arange(60) * np.linspace(0, 1, 9)[:, None])
    temperature = sigma**2 / n
    law = theory.linear_regression_posterior(
        features, targets, temperature / mu, temperature
    )
    process = gaussian_process(
        (features * mu) @ features.T,
        (new * mu) @ features.T,
        targets,
        sigma,
        (new * mu) @ new.T,
    )
    np.testing.assert_allclose(new @ law.mean, process.mean, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        new @ law.covariance @ new.T, process.covariance, rtol=1e-10, atol=1e-10
    )


def test_the_gaussian_process_is_scikit_learns():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    rng = np.random.default_rng(4)
    x, new = rng.uniform(size=(15, 1)), np.linspace(0, 1, 6)[:, None]
    targets = np.sin(5 * x[:, 0])
    kernel = Matern(length_scale=0.3, nu=1.5)
    other = GaussianProcessRegressor(kernel, alpha=0.1**2, optimizer=None).fit(
        x, targets
    )
    mean, covariance = other.predict(new, return_cov=True)
    ours = gaussian_process(kernel(x), kernel(new, x), targets, 0.1, kernel(new))
    np.testing.assert_allclose(ours.mean, mean, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(ours.covariance, covariance, rtol=1e-9, atol=1e-10)
