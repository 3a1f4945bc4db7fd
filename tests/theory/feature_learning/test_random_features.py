"""Random features of any kernel: two layers as a special case, and simulated features of a spectrum that decays."""

import numpy as np
import pytest

from langevax.theory.feature_learning import (
    errors_one_step,
    hermite_coefficients,
    random_feature_equivalent,
)
from tests.errorbars import assert_mean
from tests.sentences import refuses


@pytest.mark.parametrize(
    ("n", "p", "ridge"),
    [(1000, 600, 0.02), (200, 600, 1e-6), (3000, 400, 1e-7), (600, 600, 1e-9)],
)
def test_two_layers_at_initial_weights_are_a_flat_spectrum_with_a_tail(n, p, ridge):
    d, noise = 400, 0.2
    student, teacher = hermite_coefficients("erf"), hermite_coefficients("tanh")
    flat = np.full(d, student.linear**2 / d), np.full(d, teacher.linear / d**0.5)
    tails = {"tail": student.rest**2, "target_tail": teacher.rest**2}
    equivalent = random_feature_equivalent(*flat, n, p, ridge, noise, **tails)
    closed = errors_one_step(n / d, p / d, ridge, 0.0, "erf", "tanh", noise)
    assert (equivalent.risk, equivalent.training_error) == pytest.approx(
        tuple(closed), rel=1e-7
    )
    assert equivalent.bias + equivalent.variance == equivalent.risk
    if n == 1000:
        assert equivalent.risk == pytest.approx(0.152952, abs=2e-6)


def test_a_spectrum_that_decays_is_simulated():
    """Gaussian eigenfunctions and features z = xi . g, ridge on p of them, the rest of the target by hand."""
    rng = np.random.default_rng(0)
    k = np.arange(1, 201.0)
    eigenvalues, coefficients = k**-1.5, k**-1.2
    n, p, ridge, noise = 90, 60, 0.02, 0.3
    risks = []
    for _ in range(600):
        features = rng.normal(size=(p, 200)) * np.sqrt(eigenvalues)
        x = rng.normal(size=(n, 200))
        y = x @ coefficients + noise * rng.normal(size=n)
        z = x @ features.T
        w = np.linalg.solve(z.T @ z / n + ridge * np.eye(p), z.T @ y / n)
        risks.append(np.sum((features.T @ w - coefficients) ** 2))
    equivalent = random_feature_equivalent(
        eigenvalues, coefficients, n, p, ridge, noise
    )
    assert_mean(
        risks,
        equivalent.risk,
        slack=0.02 * equivalent.risk,
        wrong=1.15 * equivalent.risk,
    )


def test_graphs_without_features_are_refused():
    with refuses(ValueError, "eigenvalues 0"):
        random_feature_equivalent(np.zeros(2), np.ones(2), 10, 10, 0.1, 0.1)
    with refuses(ValueError, "eigenvalues 0 -1"):
        random_feature_equivalent(-np.ones(2), np.ones(2), 10, 10, 0.1, 0.1)
