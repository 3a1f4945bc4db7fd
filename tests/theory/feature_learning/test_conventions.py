"""Steps and ridges in other papers' units, as docs/feature_learning.md has them: the same networks, from their formulas."""

import numpy as np
from scipy.special import erf

D, N, SAMPLES = 5, 7, 11


def slope(x):
    return 2 / np.sqrt(np.pi) * np.exp(-(x**2))


def setting(readout=None):
    rng = np.random.default_rng(0)
    w, x, y = (
        rng.normal(size=(D, N)),
        rng.normal(size=(SAMPLES, D)),
        rng.normal(size=SAMPLES),
    )
    return (
        w,
        rng.normal(size=N) / np.sqrt(N) if readout is None else np.full(N, readout),
        x,
        y,
    )


def here(w, a, x, y, step):
    """Ba et al.: W0 + step sqrt(N) G0."""
    residual = (y - erf(x @ w) @ a / np.sqrt(N)) / np.sqrt(N)
    return w + step * np.sqrt(N) * x.T @ (np.outer(residual, a) * slope(x @ w)) / len(y)


def test_a_raw_rate_moves_the_weights_as_far():
    w, a, x, y = setting()
    h, moved, rate = 1e-6, np.empty_like(w), 3.0
    loss = lambda w: np.mean((y - erf(x @ w) @ a / np.sqrt(N)) ** 2) / 2
    for i in np.ndindex(w.shape):
        bump = np.zeros_like(w)
        bump[i] = h
        moved[i] = w[i] - rate * (loss(w + bump) - loss(w - bump)) / (2 * h)
    np.testing.assert_allclose(here(w, a, x, y, rate / np.sqrt(N)), moved, atol=1e-8)


def test_a_mean_field_rate_moves_the_weights_as_far():
    """f = 1/N sum a_i s(w_i x) with a of order 1, N times the gradient."""
    w, a, x, y = setting()
    own = a * np.sqrt(N)
    residual = y - erf(x @ w) @ own / N
    moved = w + 0.3 * N * x.T @ (np.outer(residual, own / N) * slope(x @ w)) / len(y)
    np.testing.assert_allclose(here(w, a, x, y, 0.3 * np.sqrt(N)), moved, rtol=1e-12)


def test_steps_of_cui_move_the_weights_as_far():
    w, a, x, y = setting(readout=N**-0.5)
    residual = (y - erf(x @ w) @ a / np.sqrt(N)) / np.sqrt(N)
    gradient = x.T @ (np.outer(residual, a) * slope(x @ w)) / len(y)
    moved = w + 0.3 * np.sqrt(N) * np.sqrt(N) * gradient
    np.testing.assert_allclose(here(w, a, x, y, 0.3 * np.sqrt(N)), moved, rtol=1e-12)


def test_ridges_give_the_same_predictions():
    rng = np.random.default_rng(1)
    features, y, new = (
        rng.normal(size=(SAMPLES, N)),
        rng.normal(size=SAMPLES),
        rng.normal(size=(3, N)),
    )
    scaled, new_scaled, there = features / np.sqrt(N), new / np.sqrt(N), 0.7

    def solve(gram, penalty, target):
        return np.linalg.solve(gram + penalty * np.eye(len(gram)), target)

    kernel = new_scaled @ scaled.T @ solve(scaled @ scaled.T, there, y)
    by_sum = new_scaled @ solve(scaled.T @ scaled, there, scaled.T @ y)
    raw = new @ solve(features.T @ features, there, features.T @ y)
    for expected, ridge in (
        (kernel, there * N / SAMPLES),
        (by_sum, there * N / SAMPLES),
        (raw, there / SAMPLES),
    ):
        ours = new @ solve(
            features.T @ features / SAMPLES, ridge, features.T @ y / SAMPLES
        )
        np.testing.assert_allclose(ours, expected, rtol=1e-12)
