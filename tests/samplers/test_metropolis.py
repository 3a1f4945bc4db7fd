"""MALA: exact on targets that are not Gaussian, with an acceptance that is what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

import langevax
from langevax import MALA, FiniteSum, Langevin
from tests.errorbars import LIMIT, assert_mean, z_scores
from tests.sentences import refuses

TEMPERATURE, STEP_SIZE, CHAINS, STEPS = 0.7, 0.6, 20_000, 60
PRECISION = 0.5
ROWS = np.array([-0.2, 0.5, 0.9])


def well(x, row):
    """A tilted double well; with its quadratic part x^4 / 4 - x^2 / 4 + row x."""
    return x**4 / 4 - x**2 / 2 + row * x


def potential(x):
    return x**4 / 4 - x**2 / 2 + ROWS.mean() * x + PRECISION * x**2 / 2


def gradient(x):
    return x**3 - x + ROWS.mean() + PRECISION * x


def problem(dtype=jnp.float32):
    return FiniteSum(well, jnp.asarray(ROWS, dtype), precision=PRECISION)


def mean_of(function, potential=potential, bounds=(-8, 8)):
    """Under exp(-potential / temperature), by quadrature."""
    density = lambda x: np.exp(-potential(x) / TEMPERATURE)
    mass = quad(density, *bounds, epsabs=1e-12)[0]
    return quad(lambda x: function(x) * density(x), *bounds, epsabs=1e-12)[0] / mass


def spread(key):
    return jax.random.uniform(key, (), jnp.float32, -1.5, 1.5)


MOMENTS = (lambda x: x, lambda x: x**2, lambda x: x**4, np.sin, lambda x: np.sin(3 * x))


def seen_by(algorithm, seed=0):
    """The five moments of each of 20,000 chains after 60 steps from a uniform start, and the run."""
    result = langevax.simulate(
        algorithm,
        problem(),
        spread,
        key=jax.random.key(seed),
        num_steps=STEPS,
        num_chains=CHAINS,
        record_every=STEPS,
    )
    x = np.asarray(result.position, np.float64)
    return np.stack([moment(x) for moment in MOMENTS], axis=1), result


@pytest.mark.slow
def test_it_samples_a_double_well_exactly():
    """z-scores of five moments below 4.5; the unadjusted chain is twice that off at a quarter of the step."""
    expected = np.array([mean_of(moment) for moment in MOMENTS])
    positions, result = seen_by(MALA(STEP_SIZE, TEMPERATURE))
    assert_mean(positions, expected)
    assert (
        0.4 < result.metrics["acceptance"] < 0.9
    )  # it is the acceptance that is tested
    smaller, _ = seen_by(MALA(STEP_SIZE / 3, TEMPERATURE), seed=1)
    assert_mean(smaller, expected)
    unadjusted, _ = seen_by(
        Langevin(STEP_SIZE / 4, TEMPERATURE)
    )  # at the larger step it diverges
    assert z_scores(unadjusted, expected).max() > 2 * LIMIT


def test_the_temperature_is_that_of_the_law():
    """At twice the temperature the moments are others by far: the test above tells them apart."""
    expected = np.array([mean_of(moment) for moment in MOMENTS])
    hot, _ = seen_by(MALA(STEP_SIZE, 2 * TEMPERATURE))
    assert z_scores(hot, expected).max() > 10


@pytest.mark.slow
def test_the_precision_is_part_of_the_potential():
    """As `precision`, or in the regularizer: the same path in float64. Left out, the law would be another."""
    with jax.enable_x64():
        inside = FiniteSum(well, jnp.asarray(ROWS), lambda x: PRECISION * x**2 / 2)
        paths = [
            langevax.simulate(
                MALA(STEP_SIZE, TEMPERATURE),
                target,
                jnp.zeros(()),
                key=jax.random.key(0),
                num_steps=50,
                record_every=1,
            ).positions
            for target in (problem(jnp.float64), inside)
        ]
    np.testing.assert_allclose(*paths, rtol=0, atol=1e-11)
    assert len(np.unique(paths[0])) > 20
    without = [
        mean_of(moment, lambda x: potential(x) - PRECISION * x**2 / 2)
        for moment in MOMENTS
    ]
    positions, _ = seen_by(MALA(STEP_SIZE, TEMPERATURE))
    assert z_scores(positions, without).max() > 10


def test_the_acceptance_metric_is_the_metropolis_probability():
    """Of each step, recomputed in NumPy from the key's noise; and proposals are taken with that probability.

    With schedules, which halve step size and temperature over the run.
    """
    steps = 500
    h, temperature = (
        (lambda s, value=v: value * (1 - s / 1000)) for v in (STEP_SIZE, TEMPERATURE)
    )
    with jax.enable_x64():
        result = langevax.simulate(
            MALA(
                lambda s: h(s.astype(jnp.float64)),
                lambda s: temperature(s.astype(jnp.float64)),
            ),
            problem(jnp.float64),
            jnp.asarray(0.3),
            key=jax.random.key(2),
            num_steps=steps,
            record_every=1,
        )
        keys = jax.vmap(
            lambda s: jax.random.split(jax.random.fold_in(jax.random.key(2), s))[0]
        )(jnp.arange(steps))
        noise = np.asarray(
            jax.vmap(lambda key: jax.random.normal(key, (), jnp.float64))(keys)
        )
    h, temperature = h(np.arange(steps)), temperature(np.arange(steps))
    x = np.concatenate([[0.3], result.positions[:-1]])
    y = x - h * gradient(x) + np.sqrt(2 * h * temperature) * noise
    move = lambda x, y: -((y - x + h * gradient(x)) ** 2) / (4 * h * temperature)
    log_ratio = (potential(x) - potential(y)) / temperature + move(y, x) - move(x, y)
    probability = np.exp(np.minimum(log_ratio, 0))
    np.testing.assert_allclose(
        result.trace.info["acceptance"], probability, rtol=0, atol=1e-10
    )

    accepted = result.positions != x
    np.testing.assert_allclose(
        result.positions, np.where(accepted, y, x), rtol=0, atol=1e-13
    )
    surplus = np.sum(accepted - probability) / np.sqrt(
        np.sum(probability * (1 - probability))
    )
    assert abs(surplus) < LIMIT
    assert 20 < accepted.sum() < steps - 20


def test_the_acceptance_of_a_run_is_the_mean_since_the_last_record_over_chains():
    _, result = seen_by(MALA(STEP_SIZE, TEMPERATURE))
    assert result.trace.info["acceptance"].shape == (CHAINS, 1)
    assert result.metrics["acceptance"] == pytest.approx(
        result.trace.info["acceptance"].mean(), rel=1e-5
    )
    _, careful = seen_by(MALA(0.002, TEMPERATURE))
    assert careful.metrics["acceptance"] > 0.99
    _, reckless = seen_by(MALA(100.0, TEMPERATURE))
    assert reckless.metrics["acceptance"] < 0.01


@pytest.mark.slow
def test_a_proposal_without_a_potential_is_rejected():
    """x - 3 log x at temperature 1 is a Gamma law with mean and variance 4; its potential is NaN below zero."""
    gamma = FiniteSum(lambda x, row: x - row * jnp.log(x), np.full(2, 3.0, np.float32))
    result = langevax.simulate(
        MALA(2.0, 1.0),
        gamma,
        lambda key: 2 + 4 * jax.random.uniform(key, (), jnp.float32),
        key=jax.random.key(0),
        num_steps=150,
        num_chains=CHAINS,
    )
    x = np.asarray(result.position, np.float64)
    assert x.min() > 0
    assert_mean(x, 4.0)
    assert_mean((x - 4) ** 2, 4.0, wrong=8.0)


def test_evaluations_are_one_pass_a_step_and_one_at_the_start():
    _, result = seen_by(MALA(STEP_SIZE, TEMPERATURE))
    assert result.evaluations == CHAINS * len(ROWS) * (STEPS + 1)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ({"step_size": 0.0}, "step_size"),
        ({"temperature": 0.0}, "temperature 0 0.0"),
    ],
)
def test_a_mistake_is_named(arguments, facts):
    with refuses(ValueError, facts):
        MALA(**({"step_size": 0.1, "temperature": 0.1} | arguments))
