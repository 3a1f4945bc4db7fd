"""Stationary variances beside BlackJAX's SGLD, which holds the posterior in the sum scale."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax.theory.gaussian import stationary_variance
from tests.errorbars import LIMIT, assert_mean

blackjax = pytest.importorskip("blackjax")

N, CHAINS, STEPS, STEP_SIZE = 50, 20_000, 60, 0.6
ROWS = np.random.default_rng(0).normal(size=(N, 2)).astype(np.float32)


def log_likelihood(x, row):
    return -jnp.sum(jnp.array([1.0, 1.8]) * (x - row) ** 2) / 2


def log_prior(x):
    return -5.0 * jnp.sum(x**2) / 2


@pytest.mark.slow
def test_both_have_the_variance_of_the_explicit_scheme():
    """20,000 chains after 60 steps of 0.6 / n, with full gradients: 1 / (n h (1 - step h / 2)), 45 to 106 % too hot."""
    problem, temperature = langevax.posterior(log_prior, log_likelihood, ROWS)
    langevin = langevax.Langevin(STEP_SIZE, temperature)
    options = {"key": jax.random.key(0), "num_steps": STEPS, "num_chains": CHAINS}
    ours = np.asarray(
        langevax.simulate(langevin, problem, jnp.zeros(2), **options).position
    )

    with jax.numpy_dtype_promotion("standard"):
        gradient = blackjax.sgmcmc.gradients.grad_estimator(
            log_prior, log_likelihood, N
        )
        sgld = blackjax.sgld(gradient)

        @jax.jit
        def run(key):
            def step(x, key):
                return sgld.step(key, x, jnp.asarray(ROWS), STEP_SIZE / N), None

            return jax.lax.scan(step, jnp.zeros(2), jax.random.split(key, STEPS))[0]

        theirs = np.asarray(jax.vmap(run)(jax.random.split(jax.random.key(1), CHAINS)))

    curvatures = np.array([1.0, 1.8]) + 5.0 / N
    exact = stationary_variance("explicit", STEP_SIZE, 0.0, curvatures, temperature)
    mean = np.array([1.0, 1.8]) * ROWS.mean(0) / curvatures
    for positions in (ours, theirs):
        assert_mean((positions - mean) ** 2, exact, wrong=temperature / curvatures)
    means = [x.mean(0) for x in (ours, theirs)]
    assert np.all(np.abs(means[0] - means[1]) < LIMIT * np.sqrt(2 * exact / CHAINS))
