"""Whom the server asks: distinct clients, in proportion to their weights, counted without bias."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax.federated import sampling
from langevax.federated.exchange import Replies
from langevax.problems.federation import Clients
from tests.errorbars import assert_mean

pytestmark = pytest.mark.mostly_compiling

DRAWS = 20_000
ROWS = np.array([40, 1, 5, 5, 20, 9])  # with three asked the first is always there


def drawn(rows, clients_per_round, equal=False):
    """(draws, asked): ids and shares."""
    weights = rows / rows.sum()
    clients = Clients(
        jnp.asarray(weights, jnp.float32), jnp.asarray(rows, jnp.int32), equal
    )
    keys = jax.random.split(jax.random.key(0), DRAWS)
    selection = jax.jit(
        jax.vmap(lambda key: sampling.draw(key, clients, clients_per_round))
    )(keys)
    return np.asarray(selection.ids), np.asarray(selection.shares), weights


def times_drawn(ids, number):
    return (ids[:, :, None] == np.arange(number)).sum(axis=1)


@pytest.mark.parametrize("clients_per_round", [1, 3, 5])
def test_weighted_draws_are_distinct_and_unbiased(clients_per_round):
    """A number of each client, summed with shares, against the weighted mean and the plain mean of those asked."""
    ids, shares, weights = drawn(ROWS, clients_per_round)
    times = times_drawn(ids, len(ROWS))
    assert times.max() == 1
    assert ids.min() >= 0
    assert ids.max() < len(ROWS)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=0, atol=2e-5)
    of_client = np.eye(len(ROWS))[ids]
    estimates = (shares[..., None] * of_client).sum(
        axis=1
    )  # of the unit vectors: every linear functional at once
    varying = estimates.std(axis=0) > 1e-5
    np.testing.assert_allclose(
        estimates[:, ~varying].mean(axis=0), weights[~varying], rtol=0, atol=1e-6
    )
    plain = np.full(len(ROWS), 1 / len(ROWS))
    assert_mean(
        estimates[:, varying], weights[varying], slack=2e-5, wrong=plain[varying]
    )


def test_chances_are_in_proportion_to_weights_and_certain_for_the_heaviest():
    ids, _, weights = drawn(ROWS, 3)
    chances = np.concatenate(
        [[1.0], 2 * weights[1:] / weights[1:].sum()]
    )  # 20 of the other 40: just certain, too
    times = times_drawn(ids, len(ROWS))
    assert (times[:, [0, 4]] == 1).all()
    assert_mean(times[:, [1, 2, 3, 5]], chances[[1, 2, 3, 5]], slack=1e-5)


def test_equal_weights_are_uniform_draws():
    rows = np.full(7, 4)
    ids, shares, _ = drawn(rows, 3, equal=True)
    times = times_drawn(ids, 7)
    assert times.max() == 1
    assert_mean(times, np.full(7, 3 / 7))
    pairs = times[:, :1] * times[:, 1:]
    assert_mean(pairs, np.full(6, 3 / 7 * 2 / 6))
    np.testing.assert_allclose(shares, 1 / 3, rtol=1e-6)


@pytest.mark.slow
def test_systematic_draws_of_equal_weights_are_uniform_too():
    """What a caller's own equal weights would get."""
    times = times_drawn(drawn(np.full(7, 4), 3)[0], 7)
    assert times.max() == 1
    assert_mean(times, np.full(7, 3 / 7), slack=1e-5)


@pytest.mark.parametrize("clients_per_round", [None, 6])
def test_all_clients_are_selected_in_order_with_their_weights(clients_per_round):
    weights = jnp.asarray(ROWS / ROWS.sum(), jnp.float32)
    ids, shares = sampling.draw(
        jax.random.key(0), Clients(weights, jnp.asarray(ROWS), False), clients_per_round
    )
    assert ids is None
    np.testing.assert_array_equal(shares, weights)


def replies(answered, shares, weights):
    selection = sampling.Selection(
        jnp.arange(3, dtype=jnp.int32), jnp.asarray(shares, jnp.float32)
    )
    there = jnp.asarray(answered)
    return Replies(
        selection, None, there, jnp.where(there, jnp.asarray(weights, jnp.float32), 0)
    )


def test_numbers_of_drop_outs_are_never_used():
    """Not even where they are NaN; their shares go to the others in proportion."""
    partial = replies([True, False, True], [0.5, 0.3, 0.2], [0.1, 0.4, 0.2])
    numbers = jnp.array([[1.0, 2.0], [jnp.nan, jnp.inf], [4.0, 8.0]])
    np.testing.assert_allclose(
        partial.mean(numbers), [(0.5 + 0.8) / 0.7, (1.0 + 1.6) / 0.7], rtol=1e-6
    )
    np.testing.assert_allclose(partial.weighted_sum(numbers), [0.9, 1.8], rtol=1e-6)
    np.testing.assert_array_equal(
        partial.where_answered(numbers, jnp.zeros((3, 2))), [[1, 2], [0, 0], [4, 8]]
    )


def test_where_nobody_answers_means_are_zero_and_states_stay():
    nobody = replies([False] * 3, [0.5, 0.3, 0.2], [0.1, 0.4, 0.2])
    numbers = jnp.full((3, 2), jnp.nan)
    np.testing.assert_array_equal(nobody.mean(numbers), [0, 0])
    np.testing.assert_array_equal(nobody.if_any(jnp.ones(2), jnp.full(2, 7.0)), [7, 7])
