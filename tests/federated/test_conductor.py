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
    FedAvg,
    MimeSGD,
    Scaffold,
    turns,
)
from langevax.federated.conductor import Conductor, answered
from langevax.federated.rounds import exchange_keys
from langevax.problems.federation import Roster

ROWS = (5, 8, 8, 6)
LOCAL = {"step_size": 0.05, "local_steps": 3, "batch_size": 2}
METHODS = {
    "FedAvg": FedAvg(**LOCAL, clients_per_round=3),
    "Scaffold II": Scaffold(**LOCAL, clients_per_round=2),
    "MimeSGD": MimeSGD(**LOCAL, clients_per_round=3),
    "BVRLSGD": BVRLSGD(**LOCAL, period=3),
    "FLEDGE server": FLEDGE(**LOCAL, clients_per_round=2),
    "FLEDGE client": FLEDGE(**LOCAL, clients_per_round=2, table="client"),
    "FLEDGE mini": FLEDGE(**LOCAL, clients_per_round=2, start="mini", radius=0.1),
}
START = jnp.ones(3)
KEY = random.key(4)


def loss(x, row):
    return (row[0] @ x - row[1]) ** 2 / 2 + 0.1 * jnp.sum(jnp.cos(x))


def make_clients():
    rng = np.random.default_rng(0)
    return [
        (rng.normal(size=(n, 3)).astype(np.float32), rng.normal(size=n).astype(np.float32) + i)
        for i, n in enumerate(ROWS)
    ]


FEDERATION = langevax.Federation.of(loss, make_clients())


class Elsewhere:
    """Clients with memories by the exchange that left them, as machines keep them."""

    def __init__(self, conductor):
        self.conductor, self.memories = conductor, {}

    def replies(self, asked, silent=()):
        """Of all that were asked; the `silent` work as well, and their replies come too late."""
        found = {}
        for client, message, key, stamp in zip(asked.clients, asked.messages, asked.keys, asked.stamps, strict=True):
            fresh = self.conductor.algorithm.memory(self.conductor.position)
            memory = fresh if stamp < 0 else self.memories[client, stamp]
            remembers = asked.turn.exchange.remembers
            problem = FEDERATION.client(client)  # padded, so that all clients share a program
            reply, memory = answered(
                asked.turn.exchange, problem, memory if remembers else (), message, jnp.asarray(key), "threefry2x32",
                jnp.int32(asked.step),
            )  # fmt: skip
            self.memories[client, asked.number] = memory
            if client not in silent:
                found[client] = reply
        return found


def run(algorithm, rounds, silent_in=lambda conductor, asked: ()):
    conductor = Conductor(algorithm, KEY, START)
    conductor.open(Roster.of(ROWS))
    elsewhere = Elsewhere(conductor)
    while conductor.step < rounds:
        asked = conductor.next()
        conductor.absorb(asked, elsewhere.replies(asked, silent_in(conductor, asked)))
    return conductor


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("BVRLSGD", "FLEDGE server")])
def test_numbers_and_counts_are_those_of_simulate(name):
    """Those of the other two, over Flower's messages: tests/flower/test_membership.py."""
    expected = langevax.simulate(METHODS[name], FEDERATION, START, key=KEY, num_steps=4)
    conductor = run(METHODS[name], 4)
    np.testing.assert_allclose(conductor.position, expected.position, rtol=2e-6, atol=2e-6)
    assert conductor.counts == {key: int(value) for key, value in expected.counts.items()}


@pytest.mark.parametrize("name", ["FLEDGE client", "Scaffold II"])
def test_clients_that_answer_too_late_are_drop_outs_whose_memory_is_that_of_before(name):
    algorithm = METHODS[name]
    dropping = dataclasses.replace(algorithm, dropout=0.4)
    expected = langevax.simulate(dropping, FEDERATION, START, key=KEY, num_steps=6)
    silent_number = 0

    def silent(conductor, asked):
        nonlocal silent_number
        opening = asked.turn.name.startswith("opening")
        key = turns.key_of_opening(KEY, 0, 0) if opening else turns.key_of_round(KEY, asked.step, asked.turn.place)
        _, drop_key, _ = exchange_keys(key)
        late = np.asarray(random.uniform(drop_key, (len(asked.clients),), jnp.float32) < 0.4)
        silent_number += late.sum()
        return [client for client, is_late in zip(asked.clients, late, strict=True) if is_late]

    conductor = run(algorithm, 6, silent)
    assert silent_number > 3
    np.testing.assert_allclose(conductor.position, expected.position, rtol=2e-6, atol=2e-6)
    assert conductor.counts == {key: int(value) for key, value in expected.counts.items()}


@pytest.mark.parametrize("name", ["FLEDGE server", "FLEDGE client", "BVRLSGD"])
def test_begun_anew_with_fewer_clients_the_gradient_is_that_of_those_that_stay(name):
    conductor = Conductor(METHODS[name], KEY, START)
    conductor.open(Roster.of(ROWS))
    elsewhere = Elsewhere(conductor)
    while conductor.step < 2:
        asked = conductor.next()
        conductor.absorb(asked, elsewhere.replies(asked))
    before = conductor.position
    conductor.open(Roster.of(ROWS[:3]))
    np.testing.assert_array_equal(conductor.position, before)
    asked = conductor.next()
    assert asked.turn.name in ("opening/0", "round/0/first")
    conductor.absorb(asked, elsewhere.replies(asked))
    rest = FEDERATION.without([3])
    np.testing.assert_allclose(conductor.state.gradient, rest.gradient(before), rtol=1e-5, atol=1e-6)
    assert conductor.step == 2


def test_what_a_checkpoint_keeps_goes_on_as_if_nothing_had_happened():
    whole, first = run(METHODS["FLEDGE server"], 5), run(METHODS["FLEDGE server"], 2)
    second = Conductor(METHODS["FLEDGE server"], KEY, START)
    second.resume(Roster.of(ROWS), first.words(), [np.asarray(leaf) for leaf in jax.tree.leaves(first.state)])
    elsewhere = Elsewhere(second)
    while second.step < 5:
        asked = second.next()
        second.absorb(asked, elsewhere.replies(asked))
    np.testing.assert_array_equal(second.position, whole.position)
    assert second.counts == whole.counts


def test_arguments_are_checked():
    with pytest.raises(ValueError, match=r"dropout is 0.1, which simulates"):
        Conductor(FedAvg(step_size=0.1, local_steps=1, dropout=0.1), KEY, START)
    with pytest.raises(TypeError, match="must be a federated method"):
        Conductor(langevax.Langevin(step_size=0.1, temperature=1.0), KEY, START)
    with pytest.raises(ValueError, match=r"clients_per_round is 3 but there are 2 clients"):
        Conductor(METHODS["FedAvg"], KEY, START).open(Roster.of([4, 4]))
