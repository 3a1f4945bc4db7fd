"""Mixing distributions on a grid: the published counts of accidents, an independent transcript, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np

from langevax.predictive_law import mixing_distribution
from langevax.predictive_law.dual import newton_step
from tests.predictive_law.grids import solve
from tests.sentences import refuses

ACCIDENTS, POLICIES = np.arange(8), np.array([7840, 1317, 239, 42, 14, 4, 4, 1])
RATES = np.linspace(0, 6, 601)


def poisson(rate, count):
    return jax.scipy.stats.poisson.logpmf(count, rate)


def normal(mean, row):
    return -((row - mean) ** 2) / 2 - jnp.log(2 * jnp.pi) / 2


def test_accidents_have_the_maximum_likelihood_of_simar():
    law = mixing_distribution(poisson, ACCIDENTS, RATES, counts=POLICIES)
    np.testing.assert_allclose(law.log_likelihood, -5340.704, atol=1e-3)
    assert 0 < law.shortfall < 0.003
    means, masses = law.groups()
    np.testing.assert_allclose(means, [0.0014, 0.333, 2.567], atol=6e-4)
    np.testing.assert_allclose(masses, [0.415, 0.577, 0.0084], atol=6e-4)
    expected = [0.168, 0.363, 0.531, 1.254, 2.203, 2.509, 2.559, 2.566]
    np.testing.assert_allclose(law.posterior_mean(ACCIDENTS), expected, atol=6e-4)
    score = law.log_score(ACCIDENTS)
    np.testing.assert_allclose(POLICIES @ score, law.log_likelihood, rtol=1e-9)
    assert (
        repr(law)
        .splitlines()[0]
        .startswith("log likelihood -5340.704 of 9,461 rows, at most 0.0016 nats below")
    )
    assert "57.70% around 0.3331" in repr(law)
    squares = law.posterior(ACCIDENTS) @ RATES**2
    assert np.all(squares > np.square(expected) - 1e-3)
    warm = mixing_distribution(poisson, ACCIDENTS, RATES, counts=POLICIES, entropy=10.0)
    bound = law.log_likelihood - warm.log_likelihood
    assert 0 < bound < warm.shortfall


def test_an_entropy_of_one_is_the_law_without_a_share_of_bayes():
    rows, points = np.array([-2.0, -1.5, 0.3, 1.9, 2.4, 2.5]), np.linspace(-5, 5, 41)
    prior = -(points**2) / 8
    law = mixing_distribution(
        normal, rows, points, log_prior=lambda mean: -(mean**2) / 8, entropy=1.0
    )
    exact = solve(
        -((rows - points[:, None]) ** 2) / 2 - np.log(2 * np.pi) / 2, prior, 0.0
    )
    np.testing.assert_allclose(law.masses, exact.weights, atol=1e-6)
    twice = mixing_distribution(normal, np.repeat(rows, 2), points, entropy=0.1)
    counted = mixing_distribution(
        normal, rows, points, counts=np.full(6, 2), entropy=0.1
    )
    np.testing.assert_allclose(twice.masses, counted.masses, atol=1e-6)


def test_more_rows_than_points_and_parameters_of_several_numbers():
    rng = np.random.default_rng(0)
    rows = (2 * rng.integers(0, 2, 60) - 1 + rng.normal(size=60), rng.normal(size=60))
    support = {"a": np.repeat([-1.0, 0.0, 1.0], 3), "b": np.tile([-1.0, 0.0, 1.0], 3)}
    law = mixing_distribution(
        lambda p, row: normal(p["a"], row[0]) + normal(p["b"], row[1]), rows, support
    )
    assert law.shortfall < 0.01
    means = law.posterior_mean(rows)
    assert set(means) == {"a", "b"}
    assert np.corrcoef(means["a"], rows[0])[0, 1] > 0.9
    with refuses(ValueError, "groups"):
        law.groups()
    assert "around" not in repr(law)


def test_the_step_is_that_of_the_second_derivatives():
    rng = np.random.default_rng(1)
    ratios, tilt, weights = (
        rng.uniform(size=(5, 3)),
        rng.uniform(1, 2, 3),
        np.array([0.5, 1.0, 2.0]),
    )
    for few in (ratios, ratios[:2]):  # fewer points than rows: the other form
        shares = np.full(len(few), 1 / len(few))
        step, rise = newton_step(few, shares, tilt, weights)
        bend = np.cov((few * tilt).T, bias=True) + np.diag(weights)
        slope = weights - (few * tilt).mean(axis=0)
        np.testing.assert_allclose(bend @ step, slope)
        np.testing.assert_allclose(rise, slope @ step)


def test_bad_input_is_a_sentence():
    def refused(facts, *arguments, error=ValueError, **options):
        with refuses(error, facts):
            mixing_distribution(*arguments, **options)

    refused(
        "counts 8",
        poisson,
        ACCIDENTS,
        RATES,
        counts=np.ones(7),
    )
    refused(
        "counts",
        poisson,
        ACCIDENTS,
        RATES,
        counts=np.zeros(8),
    )
    refused("entropy", poisson, ACCIDENTS, RATES, entropy=0.0)
    refused("1", poisson, ACCIDENTS, np.zeros(3))
    refused(
        "log_likelihood nan 0",
        lambda x, r: x + jnp.nan,
        ACCIDENTS,
        RATES,
    )
    refused("", poisson, np.arange(2**15), np.linspace(0, 1, 2**13))
    refused(
        "log_prior",
        poisson,
        ACCIDENTS,
        RATES,
        log_prior=jnp.log,
    )
    refused(
        "",
        lambda x, r: jnp.stack([x, x]),
        ACCIDENTS,
        RATES,
    )
    law = mixing_distribution(
        poisson, ACCIDENTS, np.linspace(0, 6, 13), counts=POLICIES
    )
    with refuses(ValueError, "1"):
        law.posterior_mean(np.array([1, -1]))
