"""Replica exchange: one swap against a transcript, and weights of modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import MALA, Langevin, ReplicaExchange
from langevax.samplers.replica_exchange import log_swap_ratios, swapped_order
from tests.errorbars import assert_mean
from tests.sentences import refuses

KEY = jax.random.key(0)
RNG = np.random.default_rng(3)
LADDER = np.array([0.5, 0.8, 1.7, 2.5])
STILL = 1e-12
"""A step size at which no replica moves in float32."""


def energy(x):
    return x**4 / 4 - 3 * x


WELL = langevax.Function(energy, precision=0.5)


def potential(x):
    return x**4 / 4 - 3 * x + x**2 / 4


def after(exchange, problem, start, num_steps, seed=0):
    """The stacked states after some steps of a chain for each row of `start`, (chains, K)."""
    stacked = langevax.Stacked(jnp.asarray(start, jnp.float32))
    options = {
        "key": jax.random.key(seed),
        "num_steps": num_steps,
        "run": langevax.Run(progress=False),
    }
    state_of = {"record": lambda problem, state: state, "record_every": num_steps}
    return jax.tree.map(
        lambda a: np.asarray(a)[:, 0],
        langevax.simulate(exchange, problem, stacked, **options, **state_of).positions,
    )


def transcript(x, number, temperatures=LADDER):
    """Swap probabilities of the pairs of attempt `number`, by the definition of the joint law."""
    probabilities = {}
    for k in range(number % 2, len(x) - 1, 2):
        cold, hot = temperatures[k], temperatures[k + 1]
        before = potential(x[k]) / cold + potential(x[k + 1]) / hot
        swapped = potential(x[k + 1]) / cold + potential(x[k]) / hot
        probabilities[k] = min(1.0, np.exp(before - swapped))
    return probabilities


def test_a_swap_is_that_of_the_joint_law():
    """First pairs (0, 1) and (2, 3), then (1, 2): probabilities, and who sits where."""
    exchange, problem = ReplicaExchange(MALA(STILL, LADDER)), WELL
    starts = RNG.normal(size=(40, 4))
    tally = after(exchange, problem, starts, 1).tally
    expected = [transcript(x, 0) for x in starts]
    np.testing.assert_allclose(
        tally.probabilities[:, [0, 2]], [[p[0], p[2]] for p in expected], rtol=1e-4
    )
    np.testing.assert_array_equal(tally.attempts, np.tile([1, 0, 1], (40, 1)))
    positions = after(exchange, problem, starts, 1).position
    swapped = np.isclose(positions[:, 0], starts[:, 1], atol=1e-4)
    np.testing.assert_allclose(
        positions[swapped][:, :2], starts[swapped][:, [1, 0]], atol=1e-4
    )
    np.testing.assert_allclose(
        positions[~swapped][:, :2], starts[~swapped][:, :2], atol=1e-4
    )
    assert np.all(swapped[np.array([p[0] for p in expected]) == 1])
    assert 0 < swapped.mean() < 1
    second = after(exchange, problem, starts, 2)
    np.testing.assert_allclose(
        second.tally.probabilities[:, 1],
        [transcript(x, 1)[1] for x in positions],
        rtol=1e-3,
        atol=1e-6,
    )


def test_the_ratio_of_a_swap():
    d = 1 / 0.5 - 1 / 0.8
    ladder = jnp.array([0.5, 0.8])
    ratios = log_swap_ratios(ladder, jnp.array([0.7, 0.4]))
    np.testing.assert_allclose(ratios, [d * 0.3], rtol=1e-6)
    assert np.isneginf(log_swap_ratios(ladder, jnp.array([jnp.nan, 1.0]))[0])
    np.testing.assert_array_equal(
        swapped_order(jnp.array([False, True, False])), [0, 2, 1, 3]
    )


def spikes(x):
    """Three normal laws of sd 0.1 at -3, 0 and 4, of weights 0.2, 0.5 and 0.3."""
    return -jax.nn.logsumexp(
        jnp.log(jnp.array([0.2, 0.5, 0.3]))
        - 50 * (x - jnp.array([-3.0, 0.0, 4.0])) ** 2
    )


def shares(x):
    return np.stack([x < -1.5, np.abs(x - 0.25) < 1.75, x > 2], axis=-1).astype(float)


@pytest.mark.slow
def test_weights_of_three_spikes():
    """All chains start in the first one; shares of 400 chains after 1,200 steps, at 4.5 standard errors."""
    ladder = np.geomspace(1.0, 600.0, 7)
    exchange = ReplicaExchange(MALA(0.004, ladder))
    start = jnp.full((7,), -3.0)
    run = langevax.simulate(
        exchange,
        langevax.Function(spikes),
        start,
        key=KEY,
        num_steps=1200,
        num_chains=400,
    )
    assert_mean(shares(np.asarray(run.position)[:, 0]), np.array([0.2, 0.5, 0.3]))
    assert run.round_trips > 400
    assert 0.2 < run.metrics["swap_rate"] < 0.9


@pytest.mark.slow
def test_round_trips_are_counted():
    """Free replicas at temperatures so close that every try succeeds: with 3 replicas, a walk of period 6, first
    at the coldest after 3 swaps."""
    exchange = ReplicaExchange(MALA(0.1, np.array([1.0, 1.0 + 1e-6, 1.0 + 2e-6])))
    flat = langevax.Function(lambda x: 0.0 * x)
    run = langevax.simulate(
        exchange, flat, jnp.zeros(3), key=KEY, num_steps=600, record_every=600
    )
    assert run.round_trips == 299
    assert run.metrics["swap_rate"] == 1


@pytest.mark.parametrize(
    ("arguments", "error", "facts"),
    [
        (
            (langevax.PCN(0.1, 1.0),),
            TypeError,
            "algorithm MALA PCN",
        ),
        ((Langevin(0.1, LADDER),), TypeError, "algorithm MALA Langevin"),
        ((MALA(0.1, 1.0),), ValueError, ""),
        ((MALA(0.1, np.array([1.0, 0.5])),), ValueError, "0"),
        ((MALA(np.ones(3), LADDER),), ValueError, "4"),
        (
            (MALA(lambda step: 0.1, LADDER),),
            TypeError,
            "step_size",
        ),
    ],
    ids=str,
)
def test_refusals(arguments, error, facts):
    with refuses(error, facts):
        ReplicaExchange(*arguments)


def test_a_start_without_replicas_is_refused():
    exchange = ReplicaExchange(MALA(0.1, LADDER))
    with refuses(ValueError, "0 4"):
        langevax.simulate(exchange, WELL, jnp.zeros(2), key=KEY, num_steps=1)
