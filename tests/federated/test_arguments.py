"""Refusals of federated methods, before anything is compiled; and how a run that breaks ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import Federation, federated
from tests.sentences import refuses


def loss(x, row):
    return jnp.sum((x - row) ** 2) / 2


@pytest.fixture
def federation():
    return Federation(loss, np.arange(24.0, dtype=np.float32).reshape(4, 3, 2))


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (lambda: federated.FedAvg(0.0, 2), "step_size 0 0.0"),
        (
            lambda: federated.FedAvg(0.1, 0),
            "num_local_steps 1 0",
        ),
        (
            lambda: federated.FedAvg(0.1, 2, batch_size=0),
            "batch_size 1 0",
        ),
        (
            lambda: federated.FedAvg(0.1, 2, clients_per_round=0),
            "clients_per_round 1 0",
        ),
        (
            lambda: federated.FedAvg(0.1, 2, server_step_size=-1.0),
            "server_step_size 0 -1",
        ),
        (
            lambda: federated.FedAvg(0.1, 2, dropout=1.0),
            "dropout 1 1.0",
        ),
        (
            lambda: federated.MinibatchSGD(0.1, dropout=-0.1),
            "dropout 0 -0.1",
        ),
        (
            lambda: federated.SCAFFOLD(0.1, 2, option="III"),
            "option 'I' 'II' 'III'",
        ),
        (
            lambda: federated.FedProx(0.1, 2, proximal_precision=-1.0),
            "proximal_precision 0",
        ),
        (
            lambda: federated.FedDyn(0.1, 2, proximal_precision=0.0),
            "proximal_precision 0",
        ),
        (
            lambda: federated.FedNova(0.1, 0),
            "num_local_epochs 1 0",
        ),
        (
            lambda: federated.SCAFFOLDM(0.1, 2, momentum=1.0),
            "momentum 1 1.0",
        ),
        (
            lambda: federated.FedAvg(0.1, 2, server_optimizer="sgd"),
            "server_optimizer 'momentum' 'adam' 'yogi' 'adagrad' None 'sgd'",
        ),
        (lambda: federated.MimeSGD(0.1, 0), "num_local_steps 1"),
        (
            lambda: federated.MinibatchSARAH(0.1, period=0),
            "period 1 0",
        ),
        (lambda: federated.BVRLSGD(0.1, 0), "num_local_steps 1"),
        (
            lambda: federated.BVRLPSGD(0.1, 2, radius=-1.0),
            "radius 0 -1",
        ),
        (lambda: federated.FLEDGE(0.1, 0), "num_local_steps 1"),
        (
            lambda: federated.FLEDGE(0.1, 2, radius=float("nan")),
            "radius",
        ),
        (
            lambda: federated.FLEDGE(0.1, 2, initial_table="none"),
            "initial_table 'full' 'mini' 'none'",
        ),
    ],
)
def test_invalid_arguments_are_refused(make, facts):
    with refuses(ValueError, facts):
        make()


def test_a_schedule_of_drop_outs():
    with refuses(TypeError, "dropout"):
        federated.FedAvg(0.1, 2, dropout=lambda step: 0.5)


@pytest.mark.usefixtures("unchecked_types")
def test_an_optimizer_that_is_not_a_transformation():
    with refuses(TypeError, "server_optimizer None 0.1 'momentum'"):
        federated.SCAFFOLD(0.1, 2, server_optimizer=0.1)


@pytest.mark.parametrize(
    "make", [federated.FedAvg, federated.SCAFFOLD, federated.MimeSGD, federated.FLEDGE]
)
def test_more_clients_a_round_than_there_are(make, federation):
    with refuses(ValueError, "clients_per_round 5 4"):
        make(0.1, 2, clients_per_round=5).check(federation)
    make(0.1, 2, clients_per_round=4).check(federation)


def test_a_problem_without_clients():
    problem = langevax.FiniteSum(loss, jnp.ones((3, 2)))
    with refuses(TypeError, "FedAvg langevax.Federation FiniteSum"):
        langevax.simulate(
            federated.FedAvg(0.1, 2),
            problem,
            jnp.zeros(2),
            key=jax.random.key(0),
            num_steps=1,
        )


def test_a_client_that_turns_non_finite_ends_the_run_at_its_round():
    """The mean is not finite either, and the error carries the last state that was."""

    def breaking(x, row):
        return jnp.sum(
            jnp.where(x > row, jnp.nan, -1.0) * x
        )  # x grows by step_size until a client breaks

    federation = Federation(breaking, np.array([[[1e9]], [[1.95]]], np.float32))
    with refuses(langevax.DivergenceError, "21") as caught:
        langevax.simulate(
            federated.FedAvg(0.1, 1),
            federation,
            jnp.zeros(1),
            key=jax.random.key(0),
            num_steps=400,
        )
    np.testing.assert_allclose(caught.value.state.position, [2.0], rtol=1e-5)
    assert caught.value.result.exchanges == 20


def test_a_round_that_moves_more_bytes_than_can_be_counted():
    federation = Federation(loss, np.zeros((40, 1, 1), np.float32))
    huge = jax.ShapeDtypeStruct((2**25,), jnp.float32)
    method = federated.FedAvg(0.1, 1)
    key = jax.eval_shape(lambda: jax.random.key(0))
    with refuses(ValueError, "10737418240"):
        jax.eval_shape(
            lambda x, k: method.step(
                federation, method.init(federation, x, k)[0], k, jnp.int32(0)
            ),
            huge,
            key,
        )
