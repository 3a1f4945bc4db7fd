"""Random features with ridge against scikit-learn's ridge, sampled spheres, and the kernel they tend to."""

import jax
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from competitors import ArcCosine, tuned_features
from relu_sphere import excess_risk, kernel_excess_risk
from tests.errorbars import assert_mean

DIM, N = 4, 60
TEACHER = np.array([1.0, -1.0]), np.eye(2, DIM)
RIDGES = np.logspace(-3, 1, 9)


def sphere(seed, size):
    x = np.random.default_rng(seed).normal(size=(size, DIM))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def outputs(network, x):
    outer, inner = network
    return np.maximum(x @ inner.T, 0) @ outer


@pytest.fixture(scope="module")
def data():
    x = sphere(0, N)
    return x, outputs(TEACHER, x) + 0.1 * np.random.default_rng(1).normal(size=N)


def exact(networks):
    return excess_risk(networks, TEACHER)


def test_it_is_the_best_of_scikit_learns_fits(data):
    x, y = data
    best = tuned_features([10, 40], x, y, exact, RIDGES, key=jax.random.key(0))
    drawn = tuned_features([40], x, y, exact, RIDGES, key=jax.random.key(0)).network.inner
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, rtol=1e-6)
    risks = {}
    for width in (10, 40):
        features = np.maximum(x @ drawn[:width].T, 0)
        for alpha in RIDGES * np.mean(np.sum(features**2, axis=1)):
            fit = Ridge(alpha=alpha, fit_intercept=False).fit(features, y)
            risks[width, alpha] = float(exact((fit.coef_, drawn[:width])))
            if width == best.network.outer.size and np.isclose(alpha, best.ridge):
                np.testing.assert_allclose(best.network.outer, fit.coef_, rtol=1e-6)
    assert best.score == pytest.approx(min(risks.values()), rel=1e-8)
    assert best.network.outer.size == min(risks, key=lambda key: risks[key])[0]
    assert tuned_features([10], x, y, exact, RIDGES[:1], key=jax.random.key(0)).on_edge


def test_its_risk_is_the_mean_over_sampled_spheres(data):
    best = tuned_features([50], data[0], data[1], exact, RIDGES, key=jax.random.key(2))
    x = sphere(3, 20_000)
    assert_mean((outputs(best.network, x) - outputs(TEACHER, x)) ** 2, best.score, wrong=1.3 * best.score)


def test_many_features_are_the_arc_cosine_kernel(data):
    """2 d E relu(w . x) relu(w . y) is the kernel; at one penalty the risks meet within the features' 1 / sqrt(p)."""
    x, y = data
    features = tuned_features([1500], x, y, exact, np.array([0.03]), key=jax.random.key(4))
    c = np.linalg.solve(ArcCosine()(x) + 0.03 * np.eye(N), y)
    limit = float(kernel_excess_risk(ArcCosine().profile, x, c, TEACHER))
    other = np.linalg.solve(ArcCosine()(x) + 0.06 * np.eye(N), y)
    assert features.score == pytest.approx(limit, rel=0.05)
    assert float(kernel_excess_risk(ArcCosine().profile, x, other, TEACHER)) != pytest.approx(limit, rel=0.1)


def test_mistakes_are_named(data):
    with pytest.raises(ValueError, match="widths is empty"):
        tuned_features([], data[0], data[1], exact, key=jax.random.key(0))
    with pytest.raises(ValueError, match="widths must be at least 1"):
        tuned_features([0], data[0], data[1], exact, key=jax.random.key(0))
