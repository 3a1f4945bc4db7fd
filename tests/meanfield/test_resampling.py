"""Systematic resampling, and the sums of weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax.log_weights import (
    effective_share,
    integer_weights,
    log_mean_exp,
    normalised,
    systematic,
)
from tests.papers import transcripts_sdca

pytestmark = pytest.mark.mostly_compiling

M = 240


def log_weights(kind):
    rng = np.random.default_rng(1)
    weights = {
        "equal": np.zeros(M),
        "uneven": rng.normal(size=M),
        "one has all": np.where(np.arange(M) == 7, 0, -np.inf),
        "the last has half": np.where(np.arange(M) == M - 1, np.log(M), 0),
        "a slope": np.linspace(-3, 3, M),
    }
    return jnp.asarray(weights[kind], jnp.float32)


@pytest.mark.parametrize("kind", ["equal", "uneven", "the last has half", "a slope"])
def test_parents_are_those_of_the_transcript(kind):
    with jax.enable_x64():
        log = jnp.asarray(log_weights(kind), jnp.float64)
        key = jax.random.key(3)
        weights = np.exp(log) / np.sum(np.exp(log))
        offset = float(jax.random.uniform(key, (), jnp.float64))
        np.testing.assert_array_equal(
            systematic(log, offset), transcripts_sdca.systematic(weights, offset)
        )
        np.testing.assert_array_equal(
            systematic(np.asarray(log), 0.5), transcripts_sdca.systematic(weights, 0.5)
        )


@pytest.mark.parametrize("library", [np.float64, jnp.float32])
@pytest.mark.parametrize("size", [200, 77])
def test_resampling_is_systematic(library, size):
    """Each particle comes floor or ceil of the size times its weight, in any size."""
    logs = library(np.random.default_rng(1).normal(size=200))
    share = size * np.asarray(normalised(logs), np.float64)
    times = np.bincount(systematic(logs, 0.3, size), minlength=200)
    assert times.sum() == size
    assert np.all((times >= np.floor(share - 1e-3)) & (times <= np.ceil(share + 1e-3)))


def test_shares_and_means_of_weights():
    logs = np.random.default_rng(0).normal(size=(3, 50))
    weights = np.exp(logs)
    shares = weights.sum(1) ** 2 / (weights**2).sum(1) / 50
    for library in (np.asarray, jnp.asarray):
        own = library(logs)
        np.testing.assert_allclose(
            log_mean_exp(own), np.log(weights.mean(1)), rtol=1e-5
        )
        np.testing.assert_allclose(
            [effective_share(row) for row in own], shares, rtol=1e-5
        )
        assert effective_share(library([0.0, np.nan])) == 0
        assert log_mean_exp(library([-np.inf, -np.inf])) == -np.inf


def test_steps_of_a_million_particles_keep_their_height():
    """Whole numbers to a thousandth of the mean, and no sum beyond int32."""
    log = jnp.asarray(np.random.default_rng(0).normal(size=10**6), jnp.float32)
    steps, places = integer_weights(log, jnp.float32(0.999))
    weights = np.exp(np.asarray(log, np.float64))
    one = int(places[1] - places[0])
    np.testing.assert_allclose(
        np.asarray(steps) / one, weights / weights.mean(), rtol=1e-5, atol=0.6 / one
    )
    assert np.asarray(steps, np.int64).sum() < 2**31
    assert 0 < int(places[0]) < one


def test_a_constant_in_the_log_weights_changes_no_parent():
    log = log_weights("uneven")
    for shift in (500.0, -500.0):
        assert (
            np.mean(
                np.asarray(systematic(log + shift, 0.4))
                == np.asarray(systematic(log, 0.4))
            )
            > 0.99
        )


def test_a_place_beyond_the_last_step_is_the_last_particles():
    """Steps are rounded, so that their sum may stay below the last place."""
    offset = jnp.float32(1 - 2**-24)
    log = jnp.log(jnp.asarray(1 + np.arange(M) % 7, jnp.float32))
    steps, places = integer_weights(log, offset)
    assert int(places[-1]) >= int(jnp.sum(steps))
    assert int(systematic(log, offset)[-1]) == M - 1
