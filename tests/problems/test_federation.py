"""Federations: weighted means over clients, padding without effect, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import Federation, FiniteSum
from tests.sentences import refuses

COUNTS = (3, 1, 4)


def loss(x, row):
    features, target = row
    return jnp.log1p((features @ x["w"] + x["b"] - target) ** 2)


def clients():
    rng = np.random.default_rng(0)
    numbers = lambda *shape: rng.normal(size=shape).astype(np.float32)
    return [(numbers(n, 2), numbers(n)) for n in COUNTS]


POSITION = {"w": np.array([0.3, -0.8], np.float32), "b": np.float32(0.5)}


def assert_close(actual, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6),
        actual,
        expected,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ("size", np.array(COUNTS) / 8),
        ("uniform", np.full(3, 1 / 3)),
        ([1.0, 2.0, 1.0], np.array([0.25, 0.5, 0.25])),
    ],
)
def test_value_and_gradient_are_weighted_means_over_clients(weights, shares):
    federation = Federation.of(loss, clients(), weights=weights)
    sums = [FiniteSum(loss, client) for client in clients()]
    values = [problem.value_and_gradient(POSITION) for problem in sums]
    expected = jax.tree.map(
        lambda *leaves: sum(w * a for w, a in zip(shares, leaves, strict=True)), *values
    )
    assert_close(federation.value_and_gradient(POSITION), expected)
    assert_close((federation.value(POSITION), federation.gradient(POSITION)), expected)
    assert_close(federation.weights, shares)
    for i, problem in enumerate(sums):
        assert_close(
            federation.client(i).gradient(POSITION), problem.gradient(POSITION)
        )
    assert federation.size == 3


def test_weighed_by_size_every_row_counts_alike():
    pooled = FiniteSum(
        loss, tuple(np.concatenate(arrays) for arrays in zip(*clients(), strict=True))
    )
    assert_close(
        Federation.of(loss, clients()).gradient(POSITION), pooled.gradient(POSITION)
    )


def test_values_in_the_padding_have_no_effect():
    federation = Federation.of(loss, clients())
    spoiled = [np.array(a) for a in federation.data]
    for array in spoiled:
        array[0, 3:], array[1, 1:] = 77.0, -5.0
    other = Federation(loss, tuple(spoiled), np.array(COUNTS))
    assert_close(other.gradient(POSITION), federation.gradient(POSITION))
    assert_close(
        other.client(0).gradient(POSITION), federation.client(0).gradient(POSITION)
    )


def test_a_regularizer_counts_once_and_in_every_client():
    ridge = lambda x: jnp.sum(x["w"] ** 2)
    plain, ridged = (
        Federation.of(loss, clients(), regularizer=r) for r in (None, ridge)
    )
    for one, other in ((plain, ridged), (plain.client(1), ridged.client(1))):
        assert_close(
            other.value(POSITION) - one.value(POSITION), np.sum(POSITION["w"] ** 2)
        )


def test_gradients_of_few_clients_average_to_the_mean_gradient():
    """Indices are of clients; the mean over all of them is the gradient whatever the weights."""
    federation = Federation.of(loss, clients())
    gradients = federation.gradients_at(POSITION, jnp.arange(3, dtype=jnp.int32))
    assert_close(
        jax.tree.map(lambda g: g.mean(axis=0), gradients), federation.gradient(POSITION)
    )
    estimate = federation.gradient_at(POSITION, jnp.array([2], jnp.int32))
    assert_close(
        estimate,
        jax.tree.map(lambda g: 3 * 0.5 * g, federation.client(2).gradient(POSITION)),
    )


@pytest.mark.slow
def test_estimators_take_clients_as_components():
    federation = Federation.of(loss, clients())
    langevin = langevax.Langevin(0.1, 0.0, langevax.gradients.Minibatch(batch_size=2))
    result = langevax.simulate(
        langevin, federation, POSITION, key=jax.random.key(0), num_steps=3
    )
    assert result.evaluations == 6


def test_clients_run_side_by_side():
    federation = Federation.of(loss, clients())
    together = jax.vmap(lambda i: federation.client(i).gradient(POSITION))(
        jnp.arange(3)
    )
    for i in range(3):
        one = jax.tree.map(lambda g: g[i], together)  # noqa: B023
        assert_close(one, federation.client(i).gradient(POSITION))


ROWS = np.zeros((2, 3, 4), np.float32)


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (
            lambda: Federation(loss, np.zeros(3, np.float32)),
            "data (3,)",
        ),
        (
            lambda: Federation(loss, np.zeros((2, 0, 4), np.float32)),
            "0",
        ),
        (
            lambda: Federation(loss, (ROWS, ROWS[:, :2])),
            "data[0] 3 data[1] 2",
        ),
        (
            lambda: Federation(loss, (ROWS, ROWS[:1])),
            "data[0] 2 data[1] 1",
        ),
        (
            lambda: Federation(loss, ROWS, [3, 0]),
            "counts[1] 0",
        ),
        (
            lambda: Federation(loss, ROWS, [4, 1]),
            "counts[0] 4",
        ),
        (
            lambda: Federation(loss, ROWS, [3]),
            "counts 2 (1,)",
        ),
        (
            lambda: Federation(loss, ROWS, weights="rows"),
            "weights 'size' 'uniform'",
        ),
        (
            lambda: Federation(loss, ROWS, weights=[1.0]),
            "weights (2,) (1,)",
        ),
        (
            lambda: Federation(loss, ROWS, weights=[1.0, 0.0]),
            "weights 0 0.0",
        ),
        (
            lambda: Federation(loss, ROWS * np.nan),
            "data[0 0 nan",
        ),
        (lambda: Federation.of(loss, []), "clients"),
        (
            lambda: Federation.of(loss, [ROWS[0], ROWS[0, :0]]),
            "clients[1] 0",
        ),
        (
            lambda: Federation.of(loss, [ROWS[0], ROWS[0, :, :2]]),
            "clients[1] (2,) (4,)",
        ),
        (
            lambda: Federation.of(loss, [ROWS[0], (ROWS[0],)]),
            "clients[1]",
        ),
        (
            lambda: Federation(loss, ROWS).client(2),
            "index 2",
        ),
    ],
    ids=range(16),
)
def test_arguments_that_make_no_federation_are_refused(make, facts):
    with refuses(ValueError, facts):
        make()


def test_a_list_of_tables_is_not_taken_for_columns():
    with refuses(TypeError, "data 2 Federation.of"):
        Federation(loss, [ROWS, ROWS])
