"""Cases where federated methods are gradient descent, or each other, and where an estimate is exact. In float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from federated import dialled_federation
from langevax import Federation, federated

pytestmark = pytest.mark.mostly_compiling

STEP_SIZE, ROUNDS, D = 0.05, 4, 3
START = np.array([0.7, -1.0, 2.0])


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64():
        yield


def path(method, federation, rounds=ROUNDS):
    result = langevax.simulate(
        method,
        federation,
        jnp.asarray(START),
        key=jax.random.key(3),
        num_steps=rounds,
        record_every=1,
    )
    return np.concatenate([START[None], result.positions]), result


def descent(gradient, steps):
    """Iterates of gradient descent, every `steps`-th."""
    x, iterates = START, [START]
    for _ in range(ROUNDS):
        for _ in range(steps):
            x = x - STEP_SIZE * np.asarray(gradient(x))
        iterates.append(x)
    return np.array(iterates)


def cauchy(x, row):
    features, target = row
    return jnp.log1p((features @ x - target) ** 2)


def cauchy_gradient(tables):
    """Of the mean over clients, weighed by size: the mean over all rows."""
    features, targets = (np.concatenate(arrays) for arrays in zip(*tables, strict=True))

    def gradient(x):
        residuals = features @ x - targets
        return (2 * residuals / (1 + residuals**2)) @ features / len(residuals)

    return gradient


def tables(counts):
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, D)), rng.normal(size=n)) for n in counts]


METHODS = {
    "FedAvg": lambda k: federated.FedAvg(STEP_SIZE, k),
    "MinibatchSGD": lambda k: federated.MinibatchSGD(STEP_SIZE),
    "SCAFFOLD I": lambda k: federated.SCAFFOLD(STEP_SIZE, k, option="I"),
    "SCAFFOLD II": lambda k: federated.SCAFFOLD(STEP_SIZE, k, option="II"),
    "SCAFFOLD-M": lambda k: federated.SCAFFOLDM(STEP_SIZE, k, momentum=0.0),
    "FedProx": lambda k: federated.FedProx(STEP_SIZE, k, proximal_precision=0.0),
    "FedNova": lambda k: federated.FedNova(STEP_SIZE, k),
    "MimeSGD": lambda k: federated.MimeSGD(STEP_SIZE, k),
    "MinibatchSARAH": lambda k: federated.MinibatchSARAH(STEP_SIZE),
    "BVRLSGD": lambda k: federated.BVRLSGD(STEP_SIZE, k),
    "FLEDGE": lambda k: federated.FLEDGE(STEP_SIZE, k),
}


IN_THE_GATE = {"FedAvg", "MimeSGD", "FLEDGE"}
"""Of each kind one; transcripts have the rounds of all methods: tests/papers."""


def parameters(names):
    slow, long = pytest.mark.slow, pytest.mark.long
    return [
        pytest.param(name, marks=slow if name in IN_THE_GATE else long)
        for name in names
    ]


@pytest.mark.parametrize("name", parameters(METHODS))
def test_all_clients_with_all_their_rows_and_no_local_steps_are_gradient_descent(name):
    """Clients of 2, 5 and 3 rows; K = 1."""
    data = tables((2, 5, 3))
    actual, result = path(METHODS[name](1), Federation.of(cauchy, data))
    np.testing.assert_allclose(
        actual, descent(cauchy_gradient(data), 1), rtol=0, atol=1e-13
    )
    if "FLEDGE" in name:  # v is the gradient at the last anchor, where the server is
        server = result.state.server
        np.testing.assert_allclose(
            server.gradient, cauchy_gradient(data)(actual[-1]), rtol=0, atol=1e-14
        )
        np.testing.assert_array_equal(server.previous, server.position)


@pytest.mark.parametrize(
    "name",
    parameters(["FedAvg", "SCAFFOLD II", "SCAFFOLD-M", "MimeSGD", "BVRLSGD", "FLEDGE"]),
)
def test_one_client_is_centralised_descent(name):
    """K = 3 local steps with all rows of the only client are three steps of gradient descent."""
    data = tables((6,))
    actual, _ = path(METHODS[name](3), Federation.of(cauchy, data))
    np.testing.assert_allclose(
        actual, descent(cauchy_gradient(data), 3), rtol=0, atol=1e-13
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        federated.BVRLSGD(STEP_SIZE, 3),
        federated.MimeSGD(STEP_SIZE, 3),
        federated.FLEDGE(STEP_SIZE, 3, clients_per_round=2),
    ],
    ids=["BVRLSGD", "MimeSGD", "FLEDGE"],
)
def test_with_one_hessian_local_steps_are_global_ones(method):
    """zeta = 0, clients' gradients far apart: v is exact with few clients, and K local steps are K steps of descent."""
    dialled = dialled_federation(
        6, 4, D, hessian_heterogeneity=0.0, gradient_heterogeneity=5.0, seed=1
    )
    actual, result = path(method, dialled)
    np.testing.assert_allclose(
        actual, descent(dialled.loss.mean_gradient, 3), rtol=0, atol=1e-12
    )
    if isinstance(method, federated.FLEDGE):
        exact = dialled.loss.mean_gradient(result.state.server.previous)
        np.testing.assert_allclose(
            result.state.server.gradient, exact, rtol=0, atol=1e-12
        )


@pytest.mark.slow
def test_bvr_with_one_local_step_is_minibatch_sarah():
    """The same batches: the first exchange of a round has the same key in both."""
    federation = Federation.of(cauchy, tables((2, 5, 3)))
    local, result = path(federated.BVRLSGD(STEP_SIZE, 1, 2, period=3), federation, 7)
    plain, other = path(federated.MinibatchSARAH(STEP_SIZE, 2, period=3), federation, 7)
    np.testing.assert_allclose(local, plain, rtol=0, atol=1e-14)
    assert (result.exchanges, other.exchanges) == (14, 7)


def test_the_default_period_is_one_more_than_passes_of_batches_make_rounded_up():
    """Clients of 2, 5 and 4 rows, of which a round sees two each: 1 + 11 / 6."""
    clients = Federation.of(cauchy, tables((2, 5, 4))).clients
    track, _ = federated.BVRLSGD(STEP_SIZE, 2, 1).exchanges(clients)
    assert int(track.period) == 3


@pytest.mark.slow
def test_the_step_size_of_local_methods_must_shrink_with_local_steps():
    """With K = 64, h = 1 / (zeta K) arrives and the step that is right for K = 1 explodes."""
    dialled = dialled_federation(
        6, 4, D, hessian_heterogeneity=20.0, row_heterogeneity=0.0, seed=2
    )

    def distance(num_local_steps, step_size):
        _, result = path(
            federated.BVRLSGD(step_size, num_local_steps, 1, period=2), dialled, 60
        )
        return np.abs(result.position).max()

    assert distance(1, 0.05) < 1e-3
    assert distance(64, 1 / (20 * 64)) < 1e-3
    assert distance(64, 0.05) > 1e3


@pytest.mark.slow
def test_a_schedule_is_of_the_round_and_may_end_at_zero():
    """Control variates of option II are means of gradients: no division by the step size."""
    data = tables((2, 5, 3))
    method = federated.SCAFFOLD(
        lambda step: jnp.where(step < 2, STEP_SIZE, 0.0), 1, option="II"
    )
    actual, result = path(method, Federation.of(cauchy, data))
    expected = descent(cauchy_gradient(data), 1)
    np.testing.assert_allclose(actual, expected[[0, 1, 2, 2, 2]], rtol=0, atol=1e-13)
    assert np.isfinite(np.asarray(result.state.memories)).all()
