"""The response to weights of rows, held against laws on atoms that are solved again, and against ridge regression."""

import numpy as np
import pytest

from langevax.meanfield.response import LawSample, Response, particle_counts

RNG = np.random.default_rng(0)


def plain(h):
    """Return the cloud of one output whose particles have the outputs h (particles, n)."""
    ones = np.ones((len(h), 1))
    return LawSample(h, ones, 0 * ones)


def solved(reference, h, weights, targets, temperature):
    """Return the outputs of the optimum on atoms, of a squared loss, by Newton's method in the outputs."""
    f = h.mean(0)
    for _ in range(50):
        logs = reference - h @ (weights * (f - targets)) / temperature
        q = np.exp(logs - logs.max())
        q /= q.sum()
        mean = q @ h
        covariance = (h - mean).T @ ((h - mean) * q[:, None]) / temperature
        matrix = np.eye(len(f)) + covariance * weights
        f = f - np.linalg.solve(matrix, f - mean)
    return f


def test_the_derivative_is_that_of_laws_on_atoms():
    temperature, n = 0.05, 5
    h = np.tanh(RNG.normal(size=(3_000, 3)) @ RNG.normal(size=(3, n + 2)))
    targets = RNG.normal(size=n)
    weights = RNG.uniform(0.5, 1.5, n) / n
    f = h.mean(0)
    gradients = f[:n] - targets
    reference = h[:, :n] @ (weights * gradients) / temperature
    everywhere = np.append(targets, [0.0, 0.0])

    def outputs(changed):
        return solved(reference, h, np.append(changed, [0, 0]), everywhere, temperature)

    np.testing.assert_allclose(outputs(weights), f, atol=1e-12)
    root = plain(h).root(temperature)
    ones = np.ones((n, 1, 1))
    response = Response.of(root[:, :n], gradients[:, None], ones, weights)
    half = response.halved(root)
    removed = np.full(n, 1e-5)
    changes = response.changes(half, response.shifts(removed))[..., 0]
    for i in range(n):
        changed = weights - removed * (np.arange(n) == i)
        expected = outputs(changed) - f
        np.testing.assert_allclose(changes[i], expected, rtol=1e-2, atol=1e-9)


def ridge(kernel, weights, targets):
    """Return the outputs at all of a kernel's rows, (m, C), of the optimum of the weighted squares of the first n."""
    n, count = targets.shape
    inner = kernel[: n * count, : n * count]
    rates = np.repeat(weights, count)
    outputs = kernel[:, : n * count] * rates
    matrix = np.eye(n * count) + inner * rates
    return (outputs @ np.linalg.solve(matrix, targets.reshape(-1))).reshape(-1, count)


@pytest.mark.parametrize("count", [1, 2])
def test_removal_is_exact_for_ridge_regression(count):
    """Rows that leave alone, in part, or together: the same as ridge regression on what is left."""
    n, rank = 7, 12
    root = RNG.normal(size=(rank, n + 3, count))
    targets = RNG.normal(size=(n, count))
    weights = RNG.uniform(0.5, 1.5, n)
    curvatures = np.tile(np.eye(count), (n, 1, 1))
    start = Response.of(root[:, :n], np.zeros((n, count)), curvatures, weights)
    half = start.halved(root)
    # Z^T Z = (K^-1 + D)^-1 gives the kernel K that particles counted so have
    flat = half.reshape(len(half), -1)
    rates = np.append(np.repeat(weights, count), np.zeros(3 * count))
    m = flat.T @ flat
    kernel = np.linalg.solve(np.eye(len(m)) - m * rates, m)
    before = ridge(kernel, weights, targets)
    response = start._replace(gradients=before[:n] - targets)

    alone = response.changes(half, response.shifts(weights))
    parts = response.changes(half, response.shifts(weights / 3))
    for i in range(n):
        others = weights * (np.arange(n) != i)
        np.testing.assert_allclose(
            before + alone[i], ridge(kernel, others, targets), atol=1e-8
        )
        fewer = weights - (np.arange(n) == i) * weights / 3
        np.testing.assert_allclose(
            before + parts[i], ridge(kernel, fewer, targets), atol=1e-8
        )
    rows = np.array([1, 4, 5])
    together = response.changes(half, response.shift(rows, weights[rows])[:, None])[0]
    left = weights * ~np.isin(np.arange(n), rows)
    np.testing.assert_allclose(
        before + together, ridge(kernel, left, targets), atol=1e-8
    )
    hat = (m * rates)[: n * count, : n * count]
    leverages = np.diag(hat).reshape(n, count).sum(1)
    np.testing.assert_allclose(response.leverages, leverages, rtol=1e-10)


def test_the_root_has_the_covariance_of_outputs():
    """Of outputs features times slopes, whose slopes vary independently around their means."""
    size, n, count, temperature = 40, 6, 3, 0.2
    features = RNG.normal(size=(size, n))
    slopes = RNG.normal(size=(size, count))
    spreads = RNG.uniform(0, 1, size=(size, count))
    root = (
        LawSample(features, slopes, spreads).root(temperature).reshape(size * count, -1)
    )
    h = (features[:, :, None] * slopes[:, None]).reshape(size, -1)
    expected = np.cov(h.T, bias=True).reshape(n, count, n, count)
    for c in range(count):
        expected[:, c, :, c] += (features * spreads[:, c : c + 1]).T @ features / size
    covariance = expected.reshape(n * count, n * count) / temperature
    np.testing.assert_allclose(root.T @ root, covariance, atol=1e-10)


def test_few_particles_are_counted_so_that_the_response_is_right_on_average():
    """A has the eigenvalues of 25 directions; 60 draws alone answer with a third more of I - H than there is."""
    size, dimension = 60, 25
    values = np.linspace(0.5, 8.0, dimension)
    exact = np.sum(1 / (1 + values))
    plain_traces, traces = [], []
    for seed in range(60):
        draws = np.random.default_rng(seed).normal(size=(size, dimension))
        root = draws * np.sqrt(values / size)
        scaled = particle_counts(root) * root
        for traces_of, matrix in ((plain_traces, root), (traces, scaled)):
            traces_of.append(
                np.trace(np.linalg.inv(np.eye(dimension) + matrix.T @ matrix))
            )
    assert np.mean(plain_traces) / exact > 1.2
    assert np.mean(traces) / exact == pytest.approx(1, abs=0.03)
