"""The risk of given weights against the network itself, and the theories of random weights against it."""

import jax.numpy as jnp
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from langevax.theory.feature_learning import (
    errors_gaussian_design,
    errors_given_weights,
    errors_one_step,
    gaussian_equivalent,
    hermite_coefficients,
)
from tests.errorbars import assert_mean
from tests.sentences import refuses

D, N = 120, 160


@pytest.fixture(autouse=True)
def one_thread():
    """Matrices this small gain nothing from threads, which on a busy machine wait for each other."""
    with threadpool_limits(1):
        yield


def relu(x):
    return np.maximum(x, 0) - 1 / np.sqrt(2 * np.pi)


def one_step(rng, n, step, noise):
    """A centred ReLU network after one step on a centred ReLU teacher, all readouts equal; and the direction X^T y."""
    w, x = rng.normal(size=(D, N)) / np.sqrt(D), rng.normal(size=(n, D))
    y = relu(x[:, 0]) + noise * rng.normal(size=n)
    residual = (y - relu(x @ w).sum(1) / N) / np.sqrt(N)
    return w + step * x.T @ (residual[:, None] * (x @ w > 0)) / n, x.T @ y


def test_the_network_itself_has_this_risk():
    """Not odd, equal readouts, a long step: samples anew for the same weights, and their risk on a test set."""
    rng = np.random.default_rng(0)
    n, noise, ridge = 400, 0.2, 0.02
    w, u = one_step(rng, 400, 2 * np.sqrt(N), noise)
    test = rng.normal(size=(20_000, D))
    hidden, targets = relu(test @ w), relu(test[:, 0])
    risks, trains = [], []
    for _ in range(60):
        x = rng.normal(size=(n, D))
        features, y = relu(x @ w), relu(x[:, 0]) + noise * rng.normal(size=n)
        outer = np.linalg.solve(
            features.T @ features / n + ridge * np.eye(N), features.T @ y / n
        )
        risks.append(np.mean((hidden @ outer - targets) ** 2))
        trains.append(np.mean((y - features @ outer) ** 2))
    errors = errors_given_weights(
        w, u, np.eye(D)[0], n, ridge, "centred relu", "centred relu", noise
    )
    design = gaussian_equivalent(w, np.eye(D)[0], "centred relu", "centred relu")
    plain = errors_gaussian_design(design, n, ridge, noise)
    assert_mean(risks, errors.risk, slack=0.04 * errors.risk, wrong=plain.risk)
    assert_mean(
        trains,
        errors.training_error,
        slack=0.04 * errors.training_error,
        wrong=plain.training_error,
    )


def test_initial_weights_have_the_risk_of_their_gaussian_equivalent():
    """Unit columns and no step: both theories read the same covariance."""
    rng = np.random.default_rng(1)
    w = rng.normal(size=(D, N))
    w /= np.linalg.norm(w, axis=0)
    beta, u = np.eye(D)[0], np.eye(D)[1]
    errors = errors_given_weights(w, u, beta, 240, 0.05, "tanh", "erf", 0.3)
    plain = errors_gaussian_design(
        gaussian_equivalent(w, beta, "tanh", "erf"), 240, 0.05, 0.3
    )
    np.testing.assert_allclose(errors, plain, rtol=5e-3)


def test_longer_weights_are_a_steeper_student():
    rng = np.random.default_rng(3)
    w, u, beta = rng.normal(size=(D, N)) / np.sqrt(D), rng.normal(size=D), np.eye(D)[0]
    longer = errors_given_weights(2 * w, u, beta, 240, 0.05, "tanh", "erf", 0.3)
    steeper = errors_given_weights(
        w, u, beta, 240, 0.05, lambda t: jnp.tanh(2 * t), "erf", 0.3
    )
    np.testing.assert_allclose(longer, steeper, rtol=1e-9)


def test_random_weights_have_the_unified_risk_on_average():
    """Draws of W0 and of the sampled direction, the step as the unified theory sees it."""
    rng = np.random.default_rng(2)
    n, noise, ridge, step, erf = (
        720,
        0.1,
        0.02,
        2 * np.sqrt(N),
        hermite_coefficients("erf"),
    )
    variance = erf.linear**2 + erf.rest**2 + noise**2
    beta, errors = np.eye(D)[0], []
    for _ in range(8):
        u = erf.linear * beta + rng.normal(size=D) * np.sqrt(variance / n)
        w, xi = rng.normal(size=(D, N)) / np.sqrt(D), rng.normal(size=N)
        per_neuron = step / np.sqrt(N)
        second = (
            per_neuron
            * erf.slope_rest
            * np.sqrt(variance / n)
            * rng.normal(size=(D, N))
            * xi
        )
        w = w + per_neuron * erf.linear * np.outer(u, xi) + second
        errors.append(errors_given_weights(w, u, beta, n, ridge, "erf", "erf", noise))
    theory = errors_one_step(
        n / D, N / D, ridge, step, "erf", "erf", noise, num_neurons=N
    )
    wrong = errors_one_step(n / D, N / D, ridge, step, "erf", "erf", noise).risk
    risks, trains = zip(*errors, strict=True)
    assert_mean(risks, theory.risk, slack=0.05 * theory.risk, wrong=wrong)
    assert_mean(trains, theory.training_error, slack=0.05 * theory.training_error)


def test_vectors_that_are_not_directions_are_refused():
    with refuses(ValueError, "gradient_direction"):
        errors_given_weights(
            np.eye(2), np.zeros(2), np.ones(2), 4, 0.1, "erf", "erf", 0.1
        )
