"""Posteriors that are normal laws: recognised, drawn from independently, and against the closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import integrators
from langevax.problems.finite_sum import Posterior
from langevax.problems.likelihoods import Gaussian, LinearPredictor, StudentT
from langevax.sampling.exact import normal_posterior
from tests.sentences import warns

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(60, 3)).astype(np.float32) * np.float32([1.0, 3.0, 0.1])
TARGETS = (FEATURES @ [1.0, -0.5, 2.0] + 0.7 * RNG.normal(size=60)).astype(np.float32)
WEIGHTS = RNG.integers(0, 4, 60).astype(np.float32)
PRECISION = np.float32([0.5, 2.0, 10.0])
NOISE = 0.7


def target(likelihood=None, count=None, **changes):
    """The posterior of weighted rows, of the first `count` of them."""
    temperature = 1 / float(WEIGHTS[:count].sum())
    arguments = {
        "precision": PRECISION * np.float32(temperature),
        "weights": WEIGHTS,
        "count": count,
    } | changes
    loss = LinearPredictor(likelihood or Gaussian(NOISE))
    return Posterior(
        langevax.FiniteSum(loss, (FEATURES, TARGETS), **arguments), temperature
    )


def closed_form(count=None):
    rows, weights = np.float64(FEATURES[:count]), np.float64(WEIGHTS[:count])
    precision = (rows.T * weights) @ rows / NOISE**2 + np.diag(PRECISION)
    mean = np.linalg.solve(precision, rows.T @ (weights * TARGETS[:count]) / NOISE**2)
    return mean, np.linalg.inv(precision)


@pytest.mark.parametrize("count", [None, 40])
def test_the_normal_law_is_that_of_the_closed_form(count):
    posterior, (mean, covariance) = target(count=count), closed_form(count)
    law = normal_posterior(*posterior)
    assert law is not None
    roots = 1 / np.sqrt(PRECISION)
    np.testing.assert_allclose(law.mean * roots, mean, rtol=1e-5)
    in_prior_units = law.directions * law.scales**2 @ law.directions.T
    np.testing.assert_allclose(
        in_prior_units * np.outer(roots, roots), covariance, rtol=1e-4, atol=1e-8
    )


def test_draws_are_independent_and_of_the_closed_form():
    samples = langevax.sample(target(), jnp.zeros(3), key=KEY, num_samples=1000)
    assert samples.method == "exact"
    assert samples.warnings == []
    mean, covariance = closed_form()
    draws, deviations = samples.positions.reshape(-1, 3), np.sqrt(np.diag(covariance))
    np.testing.assert_array_less(
        np.abs(draws.mean(0) - mean) / deviations, 5 / np.sqrt(4000)
    )
    scaled = np.cov(draws.T) / np.outer(deviations, deviations)
    np.testing.assert_allclose(
        scaled,
        covariance / np.outer(deviations, deviations),
        atol=5 * np.sqrt(2 / 4000),
    )
    following = (
        np.mean((draws[1:] - mean) * (draws[:-1] - mean), axis=0) / deviations**2
    )
    np.testing.assert_array_less(np.abs(following), 5 / np.sqrt(4000))
    assert samples.extend(10, key=jax.random.key(1)).positions.shape == (4, 1010, 3)


@pytest.mark.parametrize(
    "posterior",
    [
        target(StudentT(NOISE)),
        target(precision=0.0, regularizer=lambda x: jnp.sum(x**2)),
        target(precision=np.float32([0.1, 0.1, 0.0])),
        target(regularizer=lambda x: jnp.sum(x**4)),
    ],
)
def test_other_posteriors_are_not_taken_for_normal(posterior):
    assert normal_posterior(*posterior) is None


def test_too_few_independent_draws_are_said():
    with warns(langevax.sampling.SamplingWarning, "there 20"):
        langevax.sample(target(), jnp.zeros(3), key=KEY, num_samples=5)


def test_an_integrator_is_that_of_the_chain():
    """The semi-implicit scheme is too cold where data say little: variances are 1 / (1 + h p / 2) of the prior's."""
    posterior = target(StudentT(100.0))  # the prior, practically
    step_size = 0.5 / float(PRECISION[2] * posterior.temperature)
    lengths = {"num_samples": 1000, "num_warmup": 400, "thinning": 40}
    options = {
        "preconditioner": None,
        "algorithm": langevax.Langevin(
            step_size, integrator=integrators.SemiImplicit()
        ),
        **lengths,
    }
    samples = langevax.sample(posterior, jnp.zeros(3), key=KEY, **options)
    assert samples.method == "langevin, Full"
    assert samples.positions[..., 2].var() * PRECISION[2] == pytest.approx(
        1 / 1.25, rel=0.1
    )
