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
    NEIGHBORS,
    arc_cosine,
    neural_tangent,
    relu_features,
    tuned_neighbors,
    tuned_ridge,
)
from tests.errorbars import assert_mean

KERNELS = {"arc-cosine": arc_cosine, "neural tangent": neural_tangent}
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


@pytest.fixture(scope="module")
def tests():
    x = sphere(5, 500)
    return x, outputs(TEACHER, x)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_means_over_random_networks(name):
    """2 E relu relu, and the tangents in both layers, 2 E relu relu + 2 x . y E 1 1, for w ~ N(0, I)."""
    x, y = sphere(0, 2)
    w = np.random.default_rng(1).normal(size=(40_000, DIM))
    on, reached = (
        2.0 * (w @ x > 0) * (w @ y > 0),
        2 * np.maximum(w @ x, 0) * np.maximum(w @ y, 0),
    )
    samples = {"arc-cosine": reached, "neural tangent": reached + x @ y * on}[name]
    exact = float(KERNELS[name](x[None], y[None])[0, 0])
    assert_mean(samples, exact, wrong=0.5 * exact)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_kernel_is_symmetric_positive_and_finite_beyond_rounding(kernel):
    x = sphere(4, 12)
    matrix = kernel(x, x)
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-12)
    assert np.linalg.eigvalsh(matrix)[0] > -1e-12
    longer = x * (1 + 1e-15)
    assert np.isfinite(kernel(longer, np.concatenate([longer, -longer]))).all()


def test_tuned_ridge_is_the_best_of_scikit_learns_fits(data, tests):
    (x, y), (test, truth) = data, tests
    kernels, squares = [arc_cosine, partial(rbf_kernel, gamma=0.5)], []
    for kernel in kernels:
        matrix = kernel(x, x)
        for ridge in RIDGES * np.trace(matrix) / N:
            fit = KernelRidge(alpha=ridge, kernel="precomputed").fit(matrix, y)
            squares.append((fit.predict(kernel(test, x)) - truth) ** 2)
    expected = min(squares, key=np.mean)
    excess, error, on_edge = tuned_ridge(kernels, RIDGES, data, tests)
    assert excess == pytest.approx(expected.mean(), rel=1e-8)
    assert error == pytest.approx(expected.std(ddof=1) / np.sqrt(500), rel=1e-8)
    assert not on_edge
    assert tuned_ridge(kernels, RIDGES[-1:], data, tests)[2]


def test_ridge_regression_on_features_is_scikit_learns(data, tests):
    (x, y), (test, truth) = data, tests
    drawn = np.asarray(on_sphere(jax.random.key(0), 40, DIM), np.float64)
    features = np.maximum(x @ drawn.T, 0)
    fit = Ridge(
        alpha=0.03 * np.mean(np.sum(features**2, axis=1)), fit_intercept=False
    ).fit(features, y)
    excess, *_ = tuned_ridge([relu_features(drawn)], np.array([0.03]), data, tests)
    assert excess == pytest.approx(
        np.mean((fit.predict(np.maximum(test @ drawn.T, 0)) - truth) ** 2), rel=1e-8
    )


def test_many_features_are_the_arc_cosine_kernel(data, tests):
    """Their Gram matrix is the kernel over 2 d per feature; at one penalty the risks meet within 1 / sqrt(p)."""
    drawn = np.asarray(on_sphere(jax.random.key(4), 1500, DIM), np.float64)
    features, *_ = tuned_ridge([relu_features(drawn)], np.array([0.03]), data, tests)
    limit, other = (
        tuned_ridge([arc_cosine], np.array([ridge]), data, tests)[0]
        for ridge in (0.03, 0.06)
    )
    assert features == pytest.approx(limit, rel=0.05)
    assert other != pytest.approx(limit, rel=0.1)


def test_tuned_neighbors_are_the_best_of_scikit_learns_fits(data, tests):
    squares = {
        k: (KNeighborsRegressor(k).fit(*data).predict(tests[0]) - tests[1]) ** 2
        for k in NEIGHBORS
        if k <= N
    }
    expected = min(squares.values(), key=np.mean)
    excess, error, on_edge = tuned_neighbors(data, tests)
    assert excess == pytest.approx(expected.mean())
    assert error == pytest.approx(expected.std(ddof=1) / np.sqrt(500))
    assert not on_edge
