"""The method chosen by probing rounds: what they measure, by hand and in closed form, and what follows from it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from federated import dialled_federation
from langevax.federated import choice, choose_method
from langevax.federated.choice import ProbingRounds
from langevax.federated.exchange import Replies
from langevax.federated.sampling import Selection
from tests.sentences import refuses, tells

pytestmark = pytest.mark.mostly_compiling

KEY = jax.random.key(0)
START = jnp.full(10, 2.0)


def squared(x, row):
    return row[0] * jnp.sum((x - row[1:]) ** 2) / 2


def variance(weights, vectors):
    """Of vectors with weights that add up to one, without bias, and the squared norm of their mean."""
    mean = weights @ vectors
    spread = weights @ np.square(vectors - mean).sum(axis=1)
    return spread / (1 - np.sum(weights**2)), np.square(mean).sum()


@pytest.mark.slow
def test_what_is_measured_is_that_of_a_calculation_by_hand():
    """Three clients of unequal size with curvatures a_i, full batches: g_i = a_i (x - m_i), of all rows."""
    rng = np.random.default_rng(0)
    clients = [
        np.column_stack([np.full(n, a), rng.normal(size=(n, 2))])
        for n, a in ((2, 1.0), (3, 2.0), (5, 0.5))
    ]
    weights, curvatures = np.array([0.2, 0.3, 0.5]), np.array([1.0, 2.0, 0.5])
    means = np.stack([client[:, 1:].mean(axis=0) for client in clients])
    h, K, x, previous = 0.1, 3, np.array([1.0, -2.0]), None
    with jax.enable_x64():
        federation = langevax.Federation.of(squared, clients)
        result = langevax.simulate(
            ProbingRounds(step_size=h, num_local_steps=K),
            federation,
            jnp.asarray(x),
            key=KEY,
            num_steps=3,
            record=lambda problem, state: state.server,
            record_every=1,
        )
    for i in range(3):
        gradients = curvatures[:, None] * (x - means)
        server = jax.tree.map(lambda a, i=i: np.asarray(a[i]), result.trace.values)
        assert server.heterogeneity == pytest.approx(
            variance(weights, gradients)[0], rel=1e-10
        )
        assert server.noise == pytest.approx(0, abs=1e-20)
        if previous is not None:
            spread, size = variance(weights, curvatures[:, None] * (x - previous))
            assert server.hessian_difference == pytest.approx(
                np.sqrt(spread / size), rel=1e-8
            )
        shrunk = (1 - h * curvatures[:, None]) ** K
        previous, x = x, weights @ (means + shrunk * (x - means))
        np.testing.assert_allclose(server.position, x, rtol=1e-10)
    assert result.vectors == 3 * 3 * 5
    assert (
        result.evaluations == 3 * (3 + 1 + 2) * 10
    )  # K steps and one batch of all rows, and two passes


@pytest.mark.slow
def test_noise_is_the_squared_error_of_a_batch_drawn_without_replacement():
    """Var / b (n - b) / (n - 1), the mean over 400 clients; a factor n / (n - 1) would be 14 %."""
    rows = np.tile(
        np.column_stack([np.ones(8), np.random.default_rng(1).normal(size=(8, 2))]),
        (400, 1, 1),
    )
    result = langevax.simulate(
        ProbingRounds(step_size=0.1, num_local_steps=1, batch_size=3),
        langevax.Federation(squared, rows),
        jnp.zeros(2),
        key=KEY,
        num_steps=1,
        record=lambda problem, state: state.server.noise,
        record_every=1,
    )
    expected = rows[0, :, 1:].var(axis=0).sum() / 3 * (8 - 3) / (8 - 1)
    assert float(result.trace.values[0]) == pytest.approx(expected, rel=0.08)


@pytest.mark.slow
def test_few_clients_estimate_the_variance_of_all_without_bias():
    """The mean over all pairs of five clients is the variance of the five, and the squared mean is theirs."""
    vectors = np.random.default_rng(2).normal(1.0, 1.0, size=(5, 3))
    estimates = []
    with jax.enable_x64():
        for pair in itertools.combinations(range(5), 2):
            selection = Selection(jnp.array(pair), jnp.full(2, 0.5))
            replies = Replies(
                selection, None, jnp.array([True, True]), jnp.full(2, 0.2)
            )
            estimates.append(
                choice._variance(replies, jnp.asarray(vectors[list(pair)]))
            )
    spread, _ = np.mean(estimates, axis=0)
    assert spread == pytest.approx(vectors.var(axis=0, ddof=1).sum(), rel=1e-10)


def test_the_squared_mean_of_few_clients_is_reduced_by_the_variance_of_a_mean():
    replies = Replies(
        Selection(jnp.array([0, 3]), jnp.full(2, 0.5)),
        None,
        jnp.array([True, True]),
        jnp.ones(2),
    )
    spread, size = choice._variance(replies, jnp.array([[3.0], [5.0]]))
    assert (float(spread), float(size)) == (2.0, 4.0**2 - 2.0 / 2)


def chosen(zeta, sigma, clients_per_round=None, seed=0):
    federation = dialled_federation(20, 128, 10, zeta, sigma, condition=50.0, seed=seed)
    options = {
        "step_size": 0.02,
        "num_local_steps": 16,
        "batch_size": 10,
        "clients_per_round": clients_per_round,
    }
    return choose_method(federation, START, key=jax.random.key(seed), **options)


@pytest.mark.slow
def test_the_rule_follows_how_clients_differ():
    """Not at all; in their gradients alone; in their Hessians as well."""
    alike, gradients, hessians = chosen(0.0, 0.0), chosen(0.25, 2.0), chosen(4.0, 2.0)
    assert [one.name for one in (alike, gradients, hessians)] == [
        "fedavg",
        "bvr-l-sgd",
        "scaffold-m",
    ]
    assert alike.drift < 1
    assert gradients.hessian_difference < 0.3 < 1 < hessians.hessian_difference
    assert gradients.algorithm == langevax.federated.BVRLSGD(
        step_size=0.0025, num_local_steps=16, batch_size=10
    )
    assert hessians.algorithm.step_size == 0.04
    assert gradients.counts["exchanges"] == 4
    tells(gradients.reason)


@pytest.mark.slow
def test_few_clients_a_round_lead_to_a_method_for_few():
    choices = [chosen(0.25, 2.0, clients_per_round=10, seed=seed) for seed in range(2)]
    assert [one.name for one in choices] == ["fledge", "fledge"]
    assert choices[0].algorithm.clients_per_round == 10


def test_two_clients_are_needed():
    federation = langevax.Federation(squared, np.ones((3, 2, 3)))
    options = {"key": KEY, "step_size": 0.1, "num_local_steps": 2}
    with refuses(ValueError, "clients_per_round 1"):
        choose_method(federation, jnp.zeros(2), clients_per_round=1, **options)
    with refuses(ValueError, "num_rounds"):
        choose_method(federation, jnp.zeros(2), num_rounds=1, **options)
    with refuses(ValueError, "step_size"):
        choose_method(federation, jnp.zeros(2), **options | {"step_size": 0.0})


@pytest.mark.slow
def test_clients_without_any_noise_or_difference_are_averaged():
    federation = langevax.Federation(squared, np.ones((3, 2, 3)))
    choice = choose_method(
        federation, jnp.zeros(2), key=KEY, step_size=0.1, num_local_steps=2
    )
    assert (choice.name, choice.drift) == ("fedavg", 0.0)
