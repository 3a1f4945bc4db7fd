"""A server whose clients are elsewhere, driven by hand, against `simulate` on the federation of the same clients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

import langevax
from langevax.federated import (
    BVRLSGD,
    FLEDGE,
    SCAFFOLD,
    SCAFFOLDM,
    FedAvg,
    FedDyn,
    FedNova,
    FedProx,
    MimeSGD,
)
from langevax.federated.rounds import exchange_keys
from langevax.federated.server_loop import ServerLoop, client_reply
from langevax.problems.federation import Clients
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

ROWS = (5, 8, 8, 6)
LOCAL = {"step_size": 0.05, "num_local_steps": 3, "batch_size": 2}
METHODS = {
    "FedAvg": FedAvg(**LOCAL, clients_per_round=3),
    "SCAFFOLD II": SCAFFOLD(**LOCAL, clients_per_round=2),
    "FedAvg, adam": FedAvg(
        **LOCAL, clients_per_round=2, server_step_size=0.03, server_optimizer="adam"
    ),
    "FedProx": FedProx(**LOCAL, clients_per_round=2),
    "FedNova": FedNova(
        step_size=0.05, num_local_epochs=1, batch_size=2, clients_per_round=2
    ),
    "FedDyn": FedDyn(**LOCAL, clients_per_round=2, proximal_precision=1.0),
    "SCAFFOLD-M": SCAFFOLDM(**LOCAL, clients_per_round=2),
    "MimeSGD": MimeSGD(**LOCAL, clients_per_round=3),
    "BVRLSGD": BVRLSGD(**LOCAL, period=3),
    "FLEDGE": FLEDGE(**LOCAL, clients_per_round=2),
    "FLEDGE mini": FLEDGE(
        **LOCAL, clients_per_round=2, initial_table="mini", radius=0.1
    ),
}
START = jnp.ones(3)
KEY = random.key(4)


def loss(x, row):
    return (row[0] @ x - row[1]) ** 2 / 2 + 0.1 * jnp.sum(jnp.cos(x))


def make_clients():
    rng = np.random.default_rng(0)
    return [
        (
            rng.normal(size=(n, 3)).astype(np.float32),
            rng.normal(size=n).astype(np.float32) + i,
        )
        for i, n in enumerate(ROWS)
    ]


FEDERATION = langevax.Federation.of(loss, make_clients())


class Elsewhere:
    """Clients with memories by the exchange that left them, as machines keep them."""

    def __init__(self, loop):
        self.loop, self.memories = loop, {}

    def replies(self, request, silent=()):
        """Those of all selected clients; the `silent` ones work as well, but their replies come too late."""
        actual = {}
        for client, message, key, version in zip(
            request.clients,
            request.messages,
            request.keys,
            request.memory_versions,
            strict=True,
        ):
            fresh = self.loop.algorithm.memory(self.loop.position)
            memory = fresh if version < 0 else self.memories[client, version]
            uses_memory = request.scheduled.exchange.uses_memory
            problem = FEDERATION.client(
                client
            )  # padded, so that all clients share a program
            own, step = memory if uses_memory else (), jnp.int32(request.step)
            exchange, key = request.scheduled.exchange, jnp.asarray(key)
            reply, memory = client_reply(
                exchange, problem, own, message, key, "threefry2x32", step
            )
            self.memories[client, request.number] = memory
            if client not in silent:
                actual[client] = reply
        return actual


def run(algorithm, rounds, silent_in=lambda loop, request: ()):
    loop = ServerLoop(algorithm, START, key=KEY)
    loop.start(Clients.of(ROWS))
    elsewhere = Elsewhere(loop)
    while loop.step < rounds:
        request = loop.next()
        loop.receive(request, elsewhere.replies(request, silent_in(loop, request)))
    return loop


ELSEWHERE = {"BVRLSGD", "FLEDGE"}
"""Over Flower's messages: tests/flower/test_membership.py."""
OF_ONE_KIND = {"FedAvg", "FedProx", "SCAFFOLD II"}
"""A loop does for these what it does for FedAvg with Adam, and for SCAFFOLD II where clients are late."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in METHODS if name not in ELSEWHERE | OF_ONE_KIND]
)
def test_numbers_and_counts_are_those_of_simulate(name):
    expected = langevax.simulate(METHODS[name], FEDERATION, START, key=KEY, num_steps=4)
    loop = run(METHODS[name], 4)
    np.testing.assert_allclose(loop.position, expected.position, rtol=2e-6, atol=2e-6)
    assert loop.counts == {key: int(value) for key, value in expected.counts.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["FLEDGE", "SCAFFOLD II"])
def test_clients_that_answer_too_late_are_drop_outs_whose_memory_is_that_of_before(
    name,
):
    algorithm = METHODS[name]
    dropping = dataclasses.replace(algorithm, dropout=0.4)
    expected = langevax.simulate(dropping, FEDERATION, START, key=KEY, num_steps=6)
    silent_number = 0

    def silent(loop, request):
        nonlocal silent_number
        _, drop_key, _ = exchange_keys(request.scheduled.key(KEY))
        late = np.asarray(
            random.uniform(drop_key, (len(request.clients),), jnp.float32) < 0.4
        )
        silent_number += late.sum()
        return [
            client
            for client, is_late in zip(request.clients, late, strict=True)
            if is_late
        ]

    loop = run(algorithm, 6, silent)
    assert silent_number > 3
    np.testing.assert_allclose(loop.position, expected.position, rtol=2e-6, atol=2e-6)
    assert loop.counts == {key: int(value) for key, value in expected.counts.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["FLEDGE", "BVRLSGD"])
def test_begun_anew_with_fewer_clients_the_gradient_is_that_of_those_that_stay(name):
    loop = ServerLoop(METHODS[name], START, key=KEY)
    loop.start(Clients.of(ROWS))
    elsewhere = Elsewhere(loop)
    while loop.step < 2:
        request = loop.next()
        loop.receive(request, elsewhere.replies(request))
    before = loop.position
    loop.start(Clients.of(ROWS[:3]))
    np.testing.assert_array_equal(loop.position, before)
    request = loop.next()
    assert request.scheduled.name in ("initial/0", "round/0/first")
    loop.receive(request, elsewhere.replies(request))
    rest = langevax.Federation.of(loss, make_clients()[:3])
    np.testing.assert_allclose(
        loop.state.gradient, rest.gradient(before), rtol=1e-5, atol=1e-6
    )
    assert loop.step == 2


@pytest.mark.slow
def test_a_checkpoint_resumes_as_if_uninterrupted():
    uninterrupted, first = (
        run(METHODS["FLEDGE"], 5),
        run(METHODS["FLEDGE"], 2),
    )
    second = ServerLoop(METHODS["FLEDGE"], START, key=KEY)
    second.resume(
        Clients.of(ROWS),
        first.progress(),
        [np.asarray(leaf) for leaf in jax.tree.leaves(first.state)],
    )
    elsewhere = Elsewhere(second)
    while second.step < 5:
        request = second.next()
        second.receive(request, elsewhere.replies(request))
    np.testing.assert_array_equal(second.position, uninterrupted.position)
    assert second.counts == uninterrupted.counts


def test_arguments_are_checked():
    with refuses(ValueError, "dropout 0.1"):
        ServerLoop(
            FedAvg(step_size=0.1, num_local_steps=1, dropout=0.1), START, key=KEY
        )
    with refuses(TypeError):
        ServerLoop(langevax.Langevin(step_size=0.1, temperature=1.0), START, key=KEY)
    with refuses(ValueError, "clients_per_round 3 2"):
        ServerLoop(METHODS["FedAvg"], START, key=KEY).start(Clients.of([4, 4]))
