"""Two-phase training whole: a small teacher is found, noise settles signs, one record, odd cases."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax.teacher_student import (
    Converge,
    Explore,
    ReLUNetwork,
    match_neurons,
    orthogonal_teacher,
    teach,
    two_phase,
)
from relu_sphere import excess_risk, parametric_risk
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

TEACHER = orthogonal_teacher(2, 3, num_positive=1)
N, NOISE, CHAINS = 300, 0.05, 8
SHORT = Explore(num_steps=800), Converge(num_steps=800)


@pytest.fixture(scope="module")
def data():
    return teach(TEACHER, N, noise=NOISE, key=jax.random.key(0))


def train(data, explore=SHORT[0], converge=SHORT[1], seed=1, **options):
    arguments: dict[str, Any] = {"num_restarts": CHAINS} | options
    X, y = data
    return two_phase(
        X,
        y,
        2,
        key=jax.random.key(seed),
        explore=explore,
        converge=converge,
        **arguments,
    )


@pytest.fixture(scope="module")
def fit(data):
    return train(data)


@pytest.mark.slow
def test_a_small_teacher_is_found(fit):
    """At the level of least squares with six parameters, 1e-4 / 2."""
    excess = excess_risk(fit.network, TEACHER)
    assert excess < 3 * parametric_risk(2, 3, NOISE**2, N) < 1e-3
    matching = match_neurons(fit.network, TEACHER)
    assert matching.same_sign.all()
    assert matching.distances.max() < 0.05


@pytest.mark.slow
def test_the_best_restart_is_that_of_least_training_loss(fit, data):
    X, y = data
    for restart in range(CHAINS):
        network = jax.tree.map(lambda leaf: leaf[restart], fit.result.position)  # noqa: B023
        loss = np.mean((network.outputs(X) - y) ** 2) / 2
        assert fit.losses[restart] == pytest.approx(float(loss), rel=1e-4)
    assert fit.best == np.argmin(fit.losses)
    np.testing.assert_array_equal(
        fit.network.inner, fit.result.position.inner[fit.best]
    )
    assert (
        len(set(fit.num_positive.tolist())) > 1
    )  # restarts differ, so that there is something to choose
    assert fit.num_positive[fit.best] == 1


def test_restarts_with_a_wrong_number_of_positive_neurons_have_failed(fit):
    excess = excess_risk(fit.result.position, TEACHER)
    assert excess[fit.num_positive != 1].min() > 0.1


def test_noise_is_what_changes_a_sign(data):
    """Both outer weights start positive: without noise, or cold, every restart is stuck there."""
    start = ReLUNetwork(
        jnp.array([1.0, 1.0]), jnp.array([[1.0, 0.2, 0.1], [0.2, 1.0, -0.1]])
    )
    stuck = train(data, Explore(temperature=0.0, num_steps=800), start=start)
    np.testing.assert_array_equal(stuck.num_positive, 2)
    assert excess_risk(stuck.network, TEACHER) > 0.1
    freed = train(data, Explore(temperature=0.01, num_steps=800), start=start)
    assert np.sum(freed.num_positive == 1) >= 2
    assert excess_risk(freed.network, TEACHER) < 1e-3


def test_the_origin_is_a_critical_point_that_noise_leaves(data):
    start = ReLUNetwork(jnp.zeros(2), jnp.zeros((2, 3)))
    still = train(data, Explore(temperature=0.0, num_steps=50), start=start)
    np.testing.assert_array_equal(still.result.position.inner, 0)
    assert np.asarray(train(data, start=start).result.position.inner).std() > 0.1


@pytest.mark.slow
def test_both_phases_are_one_record(data):
    explore, converge = Explore(num_steps=60), Converge(num_steps=40)
    fit = train(data, explore, converge, record_every=20)
    trace = fit.result.trace
    assert fit.switch == 60
    assert trace is not None
    assert fit.result.phases == (60, 100)
    assert fit.result.evaluations == CHAINS * N * 100
    np.testing.assert_array_equal(trace.steps, [20, 40, 60, 80, 100])
    networks, losses = trace.values["network"], trace.values["loss"]
    assert networks.inner.shape == (CHAINS, 5, 2, 3)
    assert set(np.unique(networks.outer)) == {-1.0, 1.0}
    np.testing.assert_allclose(losses[:, -1], fit.losses, rtol=1e-5)
    X, y = data
    third = ReLUNetwork(
        networks.outer[4, 2], networks.inner[4, 2]
    )  # in phase I, where theta is another thing
    assert losses[4, 2] == pytest.approx(
        float(np.mean((third.outputs(X) - y) ** 2)) / 2, rel=1e-4
    )
    assert excess_risk(networks, TEACHER).shape == (CHAINS, 5)


def test_a_plateau_ends_exploration_early(data):
    explore = Explore(temperature=1e-3, annealing=1.0, num_steps=20_000, plateau=True)
    fit = train(data, explore, Converge(num_steps=400), record_every=20)
    assert 400 <= fit.switch < 10_000
    assert excess_risk(fit.network, TEACHER) < 1e-3
    falling = train(
        data,
        Explore(0.01, 1e-3, 1.0, num_steps=500, plateau=True),
        Converge(num_steps=20),
        record_every=20,
    )
    assert falling.switch == 500  # still on its way down: the user's count ends it


@pytest.mark.slow
def test_more_neurons_than_dimensions_and_constant_targets():
    X, _ = teach(TEACHER, 40, noise=0.0, key=jax.random.key(2))
    fit = two_phase(
        X,
        jnp.full(40, 0.3),
        5,
        key=jax.random.key(3),
        explore=Explore(num_steps=400),
        converge=Converge(num_steps=400),
        num_restarts=2,
    )
    assert (
        fit.losses.min() < 1e-3
    )  # |x| = 1 is no constant for ReLUs, but five neurons come close at forty points
    assert np.isfinite(fit.losses).all()


@pytest.mark.slow
def test_whole_numbers_are_taken():
    X, y = np.array([[1, 0], [0, 1], [-1, 0]]), np.array([1, 0, 0])
    fit = two_phase(
        X,
        y,
        1,
        key=jax.random.key(0),
        explore=Explore(num_steps=1),
        converge=Converge(num_steps=1),
    )
    assert fit.network.inner.dtype == np.float32


def test_shapes_are_checked(data):
    X, y = data
    with refuses(ValueError, "inputs"):
        two_phase(X, y[:, None], 2, key=jax.random.key(0))
    with refuses(ValueError, "num_neurons 1"):
        two_phase(X, y, 0, key=jax.random.key(0))
    with refuses(ValueError):
        two_phase(X, y[:-1], 2, key=jax.random.key(0))
