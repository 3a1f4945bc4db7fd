"""Coordinates without correlations: against the covariance of a normal law, and what NUTS gains and keeps by them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax.problems.problem import Function
from langevax.sampling.choice import Costs
from langevax.sampling.correlations import without_correlations
from langevax.sampling.preconditioning import CoordinateMap, coordinates_of

KEY = jax.random.key(0)
ROOT = np.array([[2.0, 0.0, 0.0], [9.0, 1.0, 0.0], [0.3, -0.1, 0.05]])
"""Of a covariance whose correlations have eigenvalues of 2.9 and 0.005."""
TEMPERATURE = 0.25
PLACES = np.array([[0.0, 0, 0], [50, 0, 0], [0, 50, 0], [0, 0, 50]])[:, None]


def log_likelihood_of_row(x, row):
    return -((row @ x) ** 2) / 2


def even_coordinates() -> CoordinateMap:
    """Coordinates of three numbers with a matrix as last layer."""
    problem = Function(lambda x: jnp.sum(x**2) / 2)
    return coordinates_of(problem, jnp.zeros(3), 1.0).with_matrix()


def matrix_of(coordinates: CoordinateMap) -> np.ndarray:
    return np.asarray(coordinates.layers[-1].matrix, np.float64)


def draws_of(root: np.ndarray, steps: int) -> np.ndarray:
    """Draws of four chains, each about a place of its own; the first third has another covariance."""
    noise = np.random.default_rng(0).normal(size=(4, steps, 3))
    noise[:, : steps // 3] *= 100
    return noise @ root.T + PLACES


def test_the_matrix_is_a_root_of_the_covariance_within_chains():
    positions = draws_of(ROOT, 6_000)
    coordinates, ends = without_correlations(even_coordinates(), positions, TEMPERATURE)
    matrix, covariance = matrix_of(coordinates), ROOT @ ROOT.T
    even = np.linalg.solve(ROOT, matrix)
    np.testing.assert_allclose(TEMPERATURE * even @ even.T, np.eye(3), atol=0.06)
    np.testing.assert_allclose(
        TEMPERATURE * np.sum(matrix**2, axis=1), np.diag(covariance), rtol=0.03
    )
    np.testing.assert_allclose(ends @ matrix.T, positions[:, -1], rtol=1e-4, atol=1e-3)


def test_eigenvalues_of_few_draws_are_nearer_to_each_other():
    """They are powers m / (m + d); independent draws are about as many effective ones."""
    positions = draws_of(ROOT, 60)
    coordinates, _ = without_correlations(even_coordinates(), positions, TEMPERATURE)
    late = positions[:, 20:] - positions[:, 20:].mean(axis=1, keepdims=True)
    deviations = late.std((0, 1))
    matrix = np.sqrt(TEMPERATURE) * matrix_of(coordinates) / deviations[:, None]
    raw = np.linalg.eigvalsh(np.corrcoef(late.reshape(-1, 3).T))
    power = np.log(np.linalg.eigvalsh(matrix @ matrix.T)) / np.log(raw)
    np.testing.assert_allclose(power, power[0], rtol=1e-3)
    assert 90 / (3 + 90) < power[0] < 260 / (3 + 260)


@pytest.mark.parametrize(
    ("root", "steps"),
    [(np.diag([1.0, 100.0, 0.01]), 300), (ROOT, 3), (np.diag([1.0, 1.0, 0.0]), 300)],
)
def test_others_are_not_worth_it(root, steps):
    assert (
        without_correlations(even_coordinates(), draws_of(root, steps), TEMPERATURE)
        is None
    )


def test_a_matrix_of_many_dimensions_is_never_formed():
    coordinates = coordinates_of(
        langevax.posterior(
            None,
            log_likelihood_of_row,
            np.zeros((3, 600), np.float32),
            prior_precision=1.0,
        ).problem,
        jnp.zeros(600),
        1.0,
    )
    assert coordinates.with_matrix() is coordinates


def test_a_matrix_costs_no_more_than_the_rest_of_a_step():
    """4 d^2 operations beside 14 microseconds, and n rows of 7 nanoseconds and 0.1 for each operation."""
    costs = Costs()
    assert costs.allows_matrix(1, 187, 0.0)
    assert not costs.allows_matrix(1, 188, 0.0)
    assert costs.allows_matrix(1500, 503, 1200.0)
    assert not costs.allows_matrix(1, 503, 20_000.0)


def test_a_diagonal_replaces_its_matrix():
    scales = np.array([2.0, 3.0, 0.5])
    coordinates = even_coordinates().times(scales)
    plain = coordinates.without_matrix()
    np.testing.assert_array_equal(plain.layers[-1].matrix, scales)
    position = np.arange(3.0, dtype=np.float32)
    for method in ("to_position", "from_position"):
        same = getattr(plain, method)(position), getattr(coordinates, method)(position)
        np.testing.assert_allclose(*same, rtol=1e-6)
    np.testing.assert_allclose(
        plain.problem.gradient(position), coordinates.problem.gradient(position)
    )
    assert plain.without_matrix() is plain


@pytest.mark.slow
def test_nuts_leaves_correlations_behind_and_keeps_the_law():
    """A normal law with correlations of 0.9999 in coordinates that are not rotated at first."""
    root = np.array([[1.0, 0.0], [0.99990, 0.01414]])
    inverse = jnp.asarray(np.linalg.inv(root), jnp.float32)

    def log_density(x):
        return -jnp.sum((inverse @ (x - jnp.array([3.0, -2.0]))) ** 2) / 2

    samples = langevax.sample(
        log_density, jnp.zeros(2), key=KEY, preconditioner=None, num_samples=1000
    )
    x = samples.positions.reshape(-1, 2)
    np.testing.assert_allclose(x.mean(0), [3.0, -2.0], atol=0.06)
    np.testing.assert_allclose(np.cov(x.T), root @ root.T, rtol=0.08)
    assert samples.ess > 1_500
    passes = samples.result.evaluations / (4 * 1_000)
    assert (
        passes < 8
    )  # some 200 along the longest axis, 1 / 0.007 as long as the shortest one
    again = samples.extend(200, key=jax.random.key(1))
    np.testing.assert_allclose(
        again.positions[:, 1000:].mean((0, 1)), [3.0, -2.0], atol=0.15
    )


@pytest.mark.slow
def test_a_quadratic_prior_does_not_hinder_them():
    """Rows, a Gaussian prior and units: the matrix comes after the quadratic part is counted in the value."""
    a = np.array([[1.0, 0.999]] * 50 + [[0.1, -0.1]], np.float32)

    def log_likelihood(x, row):
        return -((row @ x - 1.0) ** 2) / 2

    target = langevax.posterior(None, log_likelihood, a, prior_precision=0.01)
    options = {
        "preconditioner": None,
        "algorithm": langevax.NUTS(),
        "num_samples": 600,
    }
    samples = langevax.sample(target, jnp.zeros(2), key=KEY, **options)
    precision = a.T @ a + 0.01 * np.eye(2)
    covariance = np.linalg.inv(precision)
    mean = covariance @ a.sum(0)
    x = samples.positions.reshape(-1, 2)
    deviations = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((x.mean(0) - mean) / deviations, 0, atol=0.1)
    np.testing.assert_allclose(
        np.cov(x.T) / np.outer(deviations, deviations),
        covariance / np.outer(deviations, deviations),
        atol=0.12,
    )
    assert samples.result.evaluations / (4 * 600 * 51) < 8
