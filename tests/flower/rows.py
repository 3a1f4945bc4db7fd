"""Five clients of six rows, and one more; copied as it stands into the apps that engines run."""

import jax.numpy as jnp
import numpy as np

import langevax

START = {"b": jnp.zeros(()), "w": jnp.ones(3)}
NUM_CLIENTS, NUM_ROWS = 5, 6


def loss(x, row):
    return (row[0] @ x["w"] + x["b"] - row[1]) ** 2 / 2 + 0.1 * jnp.sum(jnp.cos(x["w"]))


def make_clients():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(NUM_CLIENTS + 1, NUM_ROWS, 3)).astype(np.float32)
    targets = rng.normal(size=(NUM_CLIENTS + 1, NUM_ROWS)).astype(np.float32)
    return list(zip(inputs, targets, strict=True))


CLIENTS = make_clients()


def problem(context):
    return langevax.FiniteSum(loss, CLIENTS[context.node_config["partition-id"]])
