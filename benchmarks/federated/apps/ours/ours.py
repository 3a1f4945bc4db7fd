"""A method of langevax with the rows, network and local steps of the app `averaging`."""

import functools

import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import langevax as lx
from langevax.flower import Task, client_app, server_app

LOCAL = {"num_local_steps": 16, "batch_size": 4}
METHODS = {
    "fedavg": lx.federated.FedAvg(step_size=0.5, **LOCAL),
    "fledge": lx.federated.FLEDGE(step_size=0.0625, clients_per_round=2, **LOCAL),
}
HIDDEN = 16


@functools.cache
def rows(partition, num_partitions):
    table = load_digits()
    order = np.random.default_rng(0).permutation(len(table.target))
    mine = np.array_split(order, num_partitions)[partition]
    return table.data[mine].astype(np.float32) / 16, table.target[mine].astype(np.int32)


def start():
    rng = np.random.default_rng(0)
    first, second = (
        rng.normal(size=(64, HIDDEN)) / 8,
        rng.normal(size=(HIDDEN, 10)) / HIDDEN**0.5,
    )
    return [
        jnp.asarray(a, jnp.float32)
        for a in (first, np.zeros(HIDDEN), second, np.zeros(10))
    ]


def loss(x, row):
    first, b, second, c = x
    hidden = jnp.tanh(row[0] @ first + b)
    return optax.softmax_cross_entropy_with_integer_labels(hidden @ second + c, row[1])


def problem(context):
    return lx.FiniteSum(
        loss,
        rows(
            context.node_config["partition-id"], context.node_config["num-partitions"]
        ),
    )


task = Task(lambda config: METHODS[config["method"]], start(), problem)
client = client_app(task)
server = server_app(task)
