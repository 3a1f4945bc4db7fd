"""Posteriors: the law sampled is the one written down, whatever n, weights and prior; and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import posterior
from langevax.problems.model_posterior import NotRowsError, points_of_finite_density
from langevax.problems.problem import largest_curvature
from tests.sentences import refuses

Y = np.array([1.0, 3.0, 2.5, -0.5])


def log_likelihood(m, y):
    return -2 * (y - m) ** 2  # variance 1/4


def log_density(m, weights=1.0):
    return np.sum(weights * -2 * (Y - m) ** 2) - 3 * m**2 / 2  # prior precision 3


@pytest.mark.parametrize("weights", [None, np.array([2.0, 1.0, 0.5, 3.0])])
@pytest.mark.parametrize("gaussian", [False, True])
def test_potential_over_temperature_is_minus_the_log_posterior(gaussian, weights):
    prior = (None, 3.0) if gaussian else (lambda m: -3 * m**2 / 2, 0.0)
    problem, temperature = posterior(
        prior[0],
        log_likelihood,
        jnp.float32(Y),
        prior_precision=prior[1],
        weights=weights,
    )
    for m in (-1.0, 0.5, 2.0):
        actual = (
            float(
                problem.potential(jnp.float32(m)) - problem.potential(jnp.float32(0.0))
            )
            / temperature
        )
        counts = 1.0 if weights is None else weights
        assert actual == pytest.approx(
            log_density(0.0, counts) - log_density(m, counts), rel=1e-5
        )


def test_chains_have_the_conjugate_posterior():
    """Mean and variance, 4,000 chains of 300 steps: variance 1 / (4 n + 3)."""
    problem, temperature = posterior(
        None, log_likelihood, jnp.float32(Y), prior_precision=3.0
    )
    precision = 4 * len(Y) + 3
    langevin = langevax.Langevin(0.01, temperature)
    run = langevax.simulate(
        langevin,
        problem,
        jnp.array(0.0),
        key=jax.random.key(0),
        num_steps=300,
        num_chains=4000,
    )
    x = np.asarray(run.position)
    assert abs(x.mean() - 4 * Y.sum() / precision) < 4.5 * x.std() / np.sqrt(4000)
    curvature = precision / len(Y)
    assert x.var() * precision * (1 - 0.01 * curvature / 2) == pytest.approx(
        1, abs=4.5 * np.sqrt(2 / 4000)
    )


def test_the_largest_curvature_is_that_of_numpy():
    """Prior and data together, 1e-3 relative after 100 iterations."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 6)) * np.arange(1, 7)
    problem, _ = posterior(
        None, lambda w, x: -((x @ w) ** 2) / 2, jnp.float32(X), prior_precision=40.0
    )
    expected = np.linalg.eigvalsh(X.T @ X / 50 + 40 / 50 * np.eye(6)).max()
    actual = float(
        largest_curvature(problem, jnp.zeros(6), key=jax.random.key(0), iterations=100)
    )
    assert actual == pytest.approx(expected, rel=1e-3)
    concave, _ = posterior(lambda w: 0.0, lambda w, x: (x @ w) ** 2 / 2, jnp.float32(X))
    expected = np.linalg.eigvalsh(X.T @ X / 50).max()
    assert float(
        largest_curvature(concave, jnp.zeros(6), key=jax.random.key(0), iterations=100)
    ) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "facts"),
    [
        ((None, log_likelihood, jnp.ones(3)), {}, ValueError, "there"),
        (
            (2.0, log_likelihood, jnp.ones(3)),
            {},
            TypeError,
            "log_prior",
        ),
        (
            (lambda m: 0.0, None, jnp.ones(3)),
            {},
            TypeError,
            "log_likelihood",
        ),
        (
            (None, log_likelihood, jnp.ones(3)),
            {"prior_precision": -1.0},
            ValueError,
            "prior_precision",
        ),
        ((lambda m: 0.0, log_likelihood, jnp.ones(0)), {}, ValueError, "data"),
        (
            (lambda m: 0.0, log_likelihood, jnp.ones(3)),
            {"weights": np.zeros(3)},
            ValueError,
            "weights",
        ),
        (
            (lambda m: 0.0, log_likelihood, jnp.ones(3)),
            {"weights": np.ones(2)},
            ValueError,
            "weights",
        ),
    ],
)
def test_mistakes_are_named(arguments, options, error, facts, unchecked_types):
    with refuses(error, facts):
        posterior(*arguments, **options)


def test_a_prior_that_is_not_scalar_is_refused_at_first_use():
    problem, _ = posterior(lambda m: jnp.zeros(2), log_likelihood, jnp.float32(Y))
    with refuses(ValueError, "log_prior"):
        problem.value(jnp.array(0.0))


def test_random_points_are_those_of_finite_density_with_what_it_is_there():
    tried = []

    def log_density(point):
        tried.append(point)
        return [0.0, float(len(tried))] if len(tried) > 4 else [0.0, -np.inf]

    shapes = {"level": (), "slopes": (2,)}
    points = points_of_finite_density(log_density, shapes)
    assert [densities for _, densities in points] == [
        [0.0, 5.0],
        [0.0, 6.0],
        [0.0, 7.0],
    ]
    assert [point for point, _ in points] == tried[4:]
    assert {name: value.shape for name, value in tried[0].items()} == shapes
    with refuses(NotRowsError, "30"):
        points_of_finite_density(lambda point: float("nan"), shapes)
