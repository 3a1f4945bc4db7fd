"""Linear estimators: kernels against networks with random weights, and every fit against scikit-learn's own."""

from functools import partial

import jax
import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KNeighborsRegressor

from langevax.teacher_student.networks import on_sphere
from relu_sphere import (
    arc_cosine,
    excess_risk,
    gaussian,
    kernel_excess_risk,
    neural_tangent,
    tuned_features,
    tuned_neighbors,
    tuned_ridge,
)
from tests.errorbars import assert_mean

KERNELS = {"arc-cosine": arc_cosine, "neural tangent": neural_tangent, "gaussian": partial(gaussian, 0.7)}
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


@pytest.mark.parametrize("name", ["arc-cosine", "neural tangent"])
def test_kernels_are_means_over_random_networks(name):
    """2 E relu relu, and the tangents in both layers, 2 E relu relu + 2 x . y E 1 1, for w ~ N(0, I)."""
    x, y = sphere(0, 2)
    w = np.random.default_rng(1).normal(size=(40_000, DIM))
    on, reached = 2.0 * (w @ x > 0) * (w @ y > 0), 2 * np.maximum(w @ x, 0) * np.maximum(w @ y, 0)
    samples = {"arc-cosine": reached, "neural tangent": reached + x @ y * on}[name]
    exact = float(KERNELS[name](x @ y))
    assert_mean(samples, exact, wrong=0.5 * exact)


def test_gaussian_kernel_is_that_of_scikit_learn():
    x = sphere(2, 5)
    np.testing.assert_allclose(KERNELS["gaussian"](x @ x.T), rbf_kernel(x, gamma=1 / (2 * 0.49)), rtol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_kernel_is_symmetric_positive_and_finite_beyond_rounding(kernel):
    x = sphere(4, 12)
    matrix = kernel(x @ x.T)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix)[0] > -1e-12
    assert np.isfinite(kernel(np.array([-1.0, 1.0]) * (1 + 1e-15))).all()


def test_tuned_ridge_is_the_best_of_scikit_learns_fits(data):
    x, y = data
    kernels = {0.5: partial(gaussian, 0.5), 1.0: partial(gaussian, 1.0)}
    fits = {}
    for bandwidth, kernel in kernels.items():
        matrix = kernel(x @ x.T)
        for ridge in RIDGES * np.trace(matrix) / N:
            c = KernelRidge(alpha=ridge, kernel="precomputed").fit(matrix, y).dual_coef_
            fits[float(kernel_excess_risk(kernel, x, c, TEACHER))] = bandwidth, c
    best = tuned_ridge(kernels, x, y, TEACHER, RIDGES)
    assert best.excess == pytest.approx(min(fits), rel=1e-8)
    assert best.choice == fits[min(fits)][0]
    np.testing.assert_allclose(best.weights, fits[min(fits)][1], rtol=1e-6)
    assert best.error == 0
    assert not best.on_edge
    assert tuned_ridge(kernels, x, y, TEACHER, RIDGES[-1:]).on_edge


def test_tuned_features_are_the_best_of_scikit_learns_fits(data):
    x, y = data
    key = jax.random.key(0)
    best = tuned_features((10, 40), x, y, TEACHER, RIDGES, key=key)
    drawn = np.asarray(on_sphere(key, 40, DIM), np.float64)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, rtol=1e-6)
    fits = {}
    for width in (10, 40):
        features = np.maximum(x @ drawn[:width].T, 0)
        for alpha in RIDGES * np.mean(np.sum(features**2, axis=1)):
            outer = Ridge(alpha=alpha, fit_intercept=False).fit(features, y).coef_
            fits[float(excess_risk((outer, drawn[:width]), TEACHER))] = width, outer
    assert best.excess == pytest.approx(min(fits), rel=1e-8)
    assert best.choice == fits[min(fits)][0]
    np.testing.assert_allclose(best.weights, fits[min(fits)][1], rtol=1e-6)
    assert tuned_features((10,), x, y, TEACHER, RIDGES[:1], key=key).on_edge


def test_risk_of_features_is_the_mean_over_sampled_spheres(data):
    key = jax.random.key(2)
    best, x = tuned_features((50,), *data, TEACHER, RIDGES, key=key), sphere(3, 20_000)
    network = best.weights, np.asarray(on_sphere(key, 50, DIM), np.float64)
    assert_mean((outputs(network, x) - outputs(TEACHER, x)) ** 2, best.excess, wrong=1.3 * best.excess)


def test_many_features_are_the_arc_cosine_kernel(data):
    """2 d E relu(w . x) relu(w . y) is the kernel; at one penalty the risks meet within the features' 1 / sqrt(p)."""
    x, y = data
    features = tuned_features((1500,), x, y, TEACHER, np.array([0.03]), key=jax.random.key(4))
    limit, other = (
        float(kernel_excess_risk(arc_cosine, x, c, TEACHER))
        for c in (np.linalg.solve(arc_cosine(x @ x.T) + ridge * np.eye(N), y) for ridge in (0.03, 0.06))
    )
    assert features.excess == pytest.approx(limit, rel=0.05)
    assert other != pytest.approx(limit, rel=0.1)


def test_tuned_neighbors_are_the_best_of_scikit_learns_fits():
    rng = np.random.default_rng(0)
    x, test = rng.normal(size=(80, 3)), rng.normal(size=(500, 3))
    y, values = np.sin(x[:, 0]) + 0.3 * rng.normal(size=80), np.sin(test[:, 0])
    grid = (1, 2, 5, 9, 20, 300)
    best = tuned_neighbors(x, y, test, values, grid)
    squares = {k: (KNeighborsRegressor(k).fit(x, y).predict(test) - values) ** 2 for k in grid[:-1]}
    expected = min(squares, key=lambda k: squares[k].mean())
    assert best.choice == expected
    assert best.excess == pytest.approx(squares[expected].mean())
    assert best.error == pytest.approx(squares[expected].std(ddof=1) / np.sqrt(500))
    assert not best.on_edge
    assert tuned_neighbors(x, y, test, values, (1, 2)).on_edge
