"""Kernels against networks with random weights, scikit-learn's own, and kernel ridge regression of scikit-learn."""

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import rbf_kernel

from competitors import ArcCosine, Gaussian, NeuralTangent, tuned_ridge
from relu_sphere import kernel_excess_risk
from tests.errorbars import assert_mean

KERNELS = [ArcCosine(0), ArcCosine(1), NeuralTangent(), Gaussian(0.7)]
NAMES = ["arc-cosine 0", "arc-cosine 1", "neural tangent", "gaussian"]


def rows(seed, size=5, dim=3):
    return np.random.default_rng(seed).normal(size=(size, dim))


@pytest.mark.parametrize("name", ["arc-cosine 0", "arc-cosine 1", "neural tangent"])
def test_kernels_are_means_over_random_networks(name):
    """2 E 1 1, 2 E relu relu, and the tangents in both layers, 2 E relu relu + 2 x . y E 1 1, for w ~ N(0, I)."""
    x, y = rows(0)[0], rows(0)[1]
    w = np.random.default_rng(1).normal(size=(40_000, 3))
    on, reached = 2.0 * (w @ x > 0) * (w @ y > 0), 2 * np.maximum(w @ x, 0) * np.maximum(w @ y, 0)
    samples = {"arc-cosine 0": on, "arc-cosine 1": reached, "neural tangent": reached + x @ y * on}[name]
    exact = KERNELS[NAMES.index(name)](x[None], y[None])[0, 0]
    assert_mean(samples, exact, wrong=0.5 * exact)


def test_gaussian_kernel_is_that_of_scikit_learn():
    x, y = rows(2), rows(3, size=4)
    np.testing.assert_allclose(Gaussian(0.7)(x, y), rbf_kernel(x, y, gamma=1 / (2 * 0.49)), rtol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS, ids=NAMES)
def test_kernel_is_symmetric_positive_and_a_function_of_the_cosine_on_the_sphere(kernel):
    x = rows(4, size=12)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    gram = kernel(x)
    np.testing.assert_array_equal(gram, gram.T)
    np.testing.assert_allclose(gram, kernel.profile(x @ x.T), rtol=1e-7)
    assert np.linalg.eigvalsh(gram)[0] > -1e-12
    assert np.isfinite(kernel(np.zeros((1, 3)), x)).all()


@pytest.mark.parametrize("kernel", KERNELS, ids=NAMES)
def test_scikit_learn_takes_it_as_a_callable_and_precomputed(kernel):
    x, y, new = rows(5, size=9), rows(6, size=9)[:, 0], rows(7)
    called = KernelRidge(alpha=1, kernel=kernel).fit(x, y).predict(new)
    computed = KernelRidge(alpha=1, kernel="precomputed").fit(kernel(x), y).predict(kernel(new, x))
    np.testing.assert_allclose(called, computed, rtol=1e-6)


def test_tuned_ridge_is_the_best_of_scikit_learns_fits():
    rng = np.random.default_rng(8)
    x, teacher = rows(9, size=40), (np.array([1.0, -1.0]), np.eye(2, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = np.maximum(x @ teacher[1].T, 0) @ teacher[0] + 0.1 * rng.normal(size=40)
    ridges = np.logspace(-3, 1, 9)
    risk = lambda kernel, c: kernel_excess_risk(kernel.profile, x, c, teacher)  # noqa: E731
    best = tuned_ridge(KERNELS, x, y, risk, ridges)
    risks = {}
    for kernel in KERNELS:
        gram = kernel(x)
        for ridge in ridges * np.trace(gram) / 40:
            fit = KernelRidge(alpha=ridge, kernel="precomputed").fit(gram, y)
            risks[NAMES[KERNELS.index(kernel)], ridge] = float(risk(kernel, fit.dual_coef_))
            if kernel == best.kernel and np.isclose(ridge, best.ridge):
                np.testing.assert_allclose(best.coefficients, fit.dual_coef_, rtol=1e-8)
    assert best.score == pytest.approx(min(risks.values()), rel=1e-8)
    assert not best.on_edge
    assert tuned_ridge(KERNELS, x, y, risk, ridges[-1:]).on_edge


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="degree must be 0 or 1, got 2"):
        ArcCosine(2)
    with pytest.raises(ValueError, match="bandwidth must be finite and > 0"):
        Gaussian(0.0)
    with pytest.raises(ValueError, match="kernels is empty"):
        tuned_ridge([], np.eye(2), np.ones(2), lambda kernel, c: c)
