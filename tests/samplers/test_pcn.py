"""pCN and pCNL: exact laws, acceptances that are what they say and do not fall with the number of modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import MALA, PCN, PCNL, FiniteSum, spaces
from tests.errorbars import LIMIT, assert_mean
from tests.gaussian_laws import linear_regression_posterior
from tests.samplers.test_metropolis import (
    CHAINS,
    MOMENTS,
    TEMPERATURE,
    mean_of,
    problem,
    spread,
)
from tests.sentences import refuses

FEATURES = np.random.default_rng(0).normal(size=(12, 4))
TARGETS = FEATURES @ np.array([1.0, -1.0, 0.5, 2.0]) + np.random.default_rng(1).normal(
    size=12
)
MODES = np.array([0.3, 0.5, 1.0, 4.0])  # precisions


def squares(x, row):
    """Half a squared residual."""
    phi, y = row
    return (phi @ x - y) ** 2 / 2


def regression(dtype=jnp.float32):
    rows = jnp.asarray(FEATURES, dtype), jnp.asarray(TARGETS, dtype)
    return FiniteSum(squares, rows, precision=jnp.asarray(MODES, dtype))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "steps"),
    [
        (PCN(0.6, TEMPERATURE), 150),
        (PCN(jnp.array([0.3, 0.4, 0.6, 0.9]), TEMPERATURE), 150),
        (PCNL(0.4, TEMPERATURE), 80),
        (PCNL(jnp.array([0.2, 0.3, 0.5, 1.2]), TEMPERATURE), 80),
    ],
    ids=["pcn", "pcn by mode", "pcnl", "pcnl by mode"],
)
def test_the_gaussian_posterior_is_kept_exactly(algorithm, steps):
    """Mean and covariance of 20,000 chains of four modes that mix; a temperature 20 % higher is distinguished."""
    mean, covariance = linear_regression_posterior(
        FEATURES, TARGETS, MODES, TEMPERATURE
    )
    run = langevax.simulate(
        algorithm,
        regression(),
        jnp.zeros(4),
        key=jax.random.key(0),
        num_steps=steps,
        num_chains=CHAINS,
    )
    x = np.asarray(run.position, np.float64)
    assert_mean(x, mean)
    products = (x - mean)[:, :, None] * (x - mean)[:, None, :]
    assert_mean(products, covariance, wrong=1.2 * covariance)
    assert 0.1 < run.metrics["acceptance"] < 0.95


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "steps"), [(PCN(0.7, TEMPERATURE), 150), (PCNL(0.5, TEMPERATURE), 80)]
)
def test_a_double_well_is_sampled_exactly(algorithm, steps):
    """Five moments against quadrature, where nothing is normal."""
    expected = np.array([mean_of(moment) for moment in MOMENTS])
    run = langevax.simulate(
        algorithm,
        problem(),
        spread,
        key=jax.random.key(1),
        num_steps=steps,
        num_chains=CHAINS,
    )
    x = np.asarray(run.position, np.float64)
    assert_mean(np.stack([moment(x) for moment in MOMENTS], axis=1), expected)


def noise_of(steps, size):
    """Return the draws of a run of key 2 at each step."""
    keys = jax.vmap(
        lambda s: jax.random.split(jax.random.fold_in(jax.random.key(2), s))[0]
    )(jnp.arange(steps))
    return np.asarray(
        jax.vmap(lambda key: jax.random.normal(key, (size,), jnp.float64))(keys)
    )


def transcript(kind, step_size):
    """(proposal, log acceptance) from (u, xi) in NumPy, as Cotter et al. write them: Phi = value / T, C = T / p."""
    C = TEMPERATURE / MODES
    phi = lambda u: np.mean((FEATURES @ u - TARGETS) ** 2) / 2 / TEMPERATURE
    slope = lambda u: FEATURES.T @ (FEATURES @ u - TARGETS) / len(TARGETS) / TEMPERATURE
    t = step_size

    def rho(u, v):
        g = slope(u)
        return phi(u) + (v - u) @ g / 2 + t / 4 * (u + v) @ g + t / 4 * g @ (C * g)

    def pcn(u, xi):
        v = np.sqrt(1 - t**2) * u + t * np.sqrt(C) * xi
        return v, phi(u) - phi(v)

    def pcnl(u, xi):
        v = ((2 - t) * u - 2 * t * C * slope(u) + np.sqrt(8 * t * C) * xi) / (2 + t)
        return v, rho(u, v) - rho(v, u)

    return {"pcn": pcn, "pcnl": pcnl}[kind]


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [("pcn", PCN(0.6, TEMPERATURE)), ("pcnl", PCNL(0.6, TEMPERATURE))],
)
def test_proposals_and_acceptance_are_the_papers(kind, algorithm):
    """Each step of 300 recomputed from the key's noise, to 1e-10 in float64; taken as often as it says."""
    steps = 300
    with jax.enable_x64():
        run = langevax.simulate(
            algorithm,
            regression(jnp.float64),
            jnp.zeros(4),
            key=jax.random.key(2),
            num_steps=steps,
            record_every=1,
        )
        noise = noise_of(steps, 4)
    before = np.concatenate([np.zeros((1, 4)), run.positions[:-1]])
    pairs = [transcript(kind, 0.6)(u, xi) for u, xi in zip(before, noise, strict=True)]
    proposals, log_ratios = (
        np.array([v for v, _ in pairs]),
        np.array([r for _, r in pairs]),
    )
    probability = np.exp(np.minimum(log_ratios, 0))
    np.testing.assert_allclose(
        run.trace.info["acceptance"], probability, rtol=0, atol=1e-10
    )
    accepted = np.any(run.positions != before, axis=1)
    np.testing.assert_allclose(
        run.positions,
        np.where(accepted[:, None], proposals, before),
        rtol=0,
        atol=1e-12,
    )
    surplus = np.sum(accepted - probability) / np.sqrt(
        np.sum(probability * (1 - probability))
    )
    assert abs(surplus) < LIMIT
    assert 20 < accepted.sum() < steps - 20


def one_step_acceptance(algorithm, num_modes, scale=None):
    """Mean acceptance of a first step from 500 draws of the prior, and its error; the data are eight noisy values."""
    prior = spaces.GaussianPrior(
        spaces.Cosine(num_modes), spaces.spectra.power(num_modes)
    )
    phi = prior.basis.evaluate(np.linspace(0.1, 0.9, 8))
    loss = lambda x, row: squares(x, row) * 8 / 5
    target = FiniteSum(
        loss, (phi, jnp.sin(4 * jnp.linspace(0.1, 0.9, 8))), precision=prior.precision()
    )
    if scale is not None:
        target = langevax.affine(target, jnp.sqrt(prior.eigenvalues))

    def start(key):
        return (
            prior.sample(key=key)
            if scale is None
            else jax.random.normal(key, (num_modes,), jnp.float32)
        )

    run = langevax.simulate(
        algorithm,
        target,
        start,
        key=jax.random.key(0),
        num_steps=1,
        num_chains=500,
        record_every=1,
    )
    rates = np.asarray(run.trace.info["acceptance"])[:, 0].astype(float)
    return rates.mean(), rates.std() / np.sqrt(len(rates))


@pytest.mark.slow
@pytest.mark.parametrize(
    "algorithm", [PCN(0.5, 1.0), PCNL(0.5, 1.0)], ids=["pcn", "pcnl"]
)
def test_acceptance_does_not_fall_with_the_number_of_modes(algorithm):
    (few, few_error), (many, many_error) = (
        one_step_acceptance(algorithm, modes) for modes in (16, 4096)
    )
    assert few < 0.97  # there is something to reject
    assert abs(few - many) < LIMIT * np.hypot(few_error, many_error)


@pytest.mark.slow
def test_acceptance_of_the_explicit_proposal_does_fall():
    """In units of the prior, as pCNL is, but for Crank-Nicolson."""
    few, many = (
        one_step_acceptance(MALA(0.5, 1.0), modes, scale="prior")[0]
        for modes in (16, 4096)
    )
    assert few > 0.3
    assert many < 0.01


@pytest.mark.slow
def test_without_data_every_step_is_accepted_and_the_longest_forgets():
    """s = 1 and t = 2 draw from the prior anew: no correlation with the place before."""
    nothing = FiniteSum(
        lambda x, row: 0.0 * x[0] * row,
        jnp.ones(1),
        precision=jnp.asarray(MODES, jnp.float32),
    )
    for algorithm in (PCN(1.0, TEMPERATURE), PCNL(2.0, TEMPERATURE)):
        run = langevax.simulate(
            algorithm,
            nothing,
            jnp.full(4, 3.0),
            key=jax.random.key(0),
            num_steps=1,
            num_chains=CHAINS,
        )
        assert run.metrics["acceptance"] == 1
        x = np.asarray(run.position, np.float64)
        assert_mean(x, np.zeros(4))
        assert_mean(x**2, TEMPERATURE / MODES, wrong=TEMPERATURE * MODES)


@pytest.mark.slow
def test_evaluations_are_one_pass_a_step_and_one_at_the_start():
    for algorithm in (PCN(0.5, 1.0), PCNL(0.5, 1.0)):
        run = langevax.simulate(
            algorithm,
            regression(),
            jnp.zeros(4),
            key=jax.random.key(0),
            num_steps=7,
            num_chains=3,
        )
        assert run.evaluations == 3 * 12 * 8


@pytest.mark.slow
def test_schedules_are_read_at_the_step():
    halves = lambda step: jnp.where(step < 5, 0.5, 0.25)
    options = {"key": jax.random.key(3), "record_every": 1}
    for kind in (PCN, PCNL):
        scheduled = langevax.simulate(
            kind(halves, 1.0), regression(), jnp.zeros(4), num_steps=6, **options
        ).positions
        fixed = langevax.simulate(
            kind(0.5, 1.0), regression(), jnp.zeros(4), num_steps=6, **options
        ).positions
        np.testing.assert_array_equal(scheduled[:5], fixed[:5])
        assert not np.array_equal(scheduled[5], fixed[5])


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (lambda: PCN(1.5, 1.0), "step_size 1 1.5"),
        (lambda: PCN(0.0, 1.0), "step_size 0"),
        (lambda: PCNL(2.5, 1.0), "step_size 2 2.5"),
        (
            lambda: PCNL(jnp.array([0.5, 3.0]), 1.0),
            "step_size 2 3.0",
        ),
        (lambda: PCNL(0.5, 0.0), "temperature 0"),
    ],
)
def test_a_mistake_is_named(make, facts):
    with refuses(ValueError, facts):
        make()


@pytest.mark.parametrize("algorithm", [PCN(0.5, 1.0), PCNL(0.5, 1.0)])
@pytest.mark.parametrize("precision", [0.0, jnp.array([1.0, 0.0, 1.0, 1.0])])
def test_a_problem_without_a_prior_is_refused_before_anything_runs(
    algorithm, precision
):
    flat = FiniteSum(squares, (jnp.ones((2, 4)), jnp.ones(2)), precision=precision)
    with refuses(ValueError, "0.0 0 MALA"):
        langevax.simulate(
            algorithm, flat, jnp.zeros(4), key=jax.random.key(0), num_steps=1
        )
