"""Data that would be measured again, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax as lx

pytestmark = pytest.mark.mostly_compiling

BASIS = lx.spaces.Cosine(6)
PRIOR = lx.spaces.GaussianPrior(
    BASIS, jnp.array([1.0, 0.5, 0.25, 0.12, 0.06, 0.03], jnp.float32)
)
MAP = np.random.default_rng(1).normal(size=(4, 6))
DATA, NOISE = np.array([0.5, -1.0, 0.3, 0.8]), 0.3


def problem(noise=NOISE, prior=PRIOR):
    return lx.inverse_problem(
        lambda f: jnp.asarray(MAP, jnp.float32) @ BASIS.analyze(f),
        DATA,
        noise=noise,
        prior=prior,
    )


def exact():
    """Mean and covariance of the coefficients."""
    covariance = np.linalg.inv(
        MAP.T @ MAP / NOISE**2 + np.diag(1 / np.asarray(PRIOR.eigenvalues, np.float64))
    )
    return covariance @ MAP.T @ DATA / NOISE**2, covariance


@pytest.fixture(scope="module")
def draws():
    mean, covariance = exact()
    drawn = np.random.default_rng(0).multivariate_normal(
        mean, covariance, size=(4, 5000)
    )
    return jnp.asarray(drawn, jnp.float32)


def test_data_that_would_be_measured_again_vary_by_the_function_and_the_noise(draws):
    again = np.asarray(problem().sample_predictive(draws, key=jax.random.key(5)))
    mean, covariance = exact()
    assert again.shape == (4, 5000, 4)
    expected = np.diag(MAP @ covariance @ MAP.T) + NOISE**2
    np.testing.assert_allclose(again.var((0, 1)), expected, rtol=0.06)
    np.testing.assert_allclose(
        again.mean((0, 1)), MAP @ mean, atol=5 * np.sqrt(expected.max() / 20000)
    )
