"""The small federation that tests of the Flower door share, without an engine."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import langevax
from langevax.federated import FLEDGE
from langevax.flower import FederatedStrategy, Task, client_app
from tests.flower.local_grid import LocalGrid

START, KEY = {"b": jnp.zeros(()), "w": jnp.ones(3)}, jax.random.key(3)
FLEDGE_SERVER = FLEDGE(step_size=0.05, local_steps=3, batch_size=2, clients_per_round=4)
FLEDGE_CLIENT = dataclasses.replace(FLEDGE_SERVER, table="client")
NUM_CLIENTS, NUM_ROWS = 5, 6


def loss(x, row):
    return (row[0] @ x["w"] + x["b"] - row[1]) ** 2 / 2 + 0.1 * jnp.sum(jnp.cos(x["w"]))


def make_clients():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(NUM_CLIENTS + 1, NUM_ROWS, 3)).astype(np.float32)
    targets = rng.normal(size=(NUM_CLIENTS + 1, NUM_ROWS)).astype(np.float32)
    return list(zip(inputs, targets, strict=True))


CLIENTS = make_clients()
FEDERATION = langevax.Federation.of(loss, CLIENTS[:NUM_CLIENTS])


def problem(context):
    return langevax.FiniteSum(loss, CLIENTS[context.node_config["partition-id"]])


def grid_of(algorithm, num_clients=NUM_CLIENTS, **options):
    return LocalGrid(client_app(Task(algorithm, START, problem)), num_clients, **options)


def strategy_of(algorithm, **options):
    options = {"poll_seconds": 0.001, "deadline": 0.05, "join_seconds": 5.0} | options
    return FederatedStrategy(algorithm, START, KEY, **options)
