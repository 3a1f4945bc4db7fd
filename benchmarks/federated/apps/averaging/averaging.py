"""FedAvg as Flower's quickstart has it: digits over clients, a small network, and K local steps in plain JAX."""

import functools
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from sklearn.datasets import load_digits

LOCAL_STEPS, BATCH, STEP, HIDDEN = 16, 4, 0.5, 16
client = ClientApp()
server = ServerApp()


@functools.cache
def rows(partition, num_partitions):
    table = load_digits()
    order = np.random.default_rng(0).permutation(len(table.target))
    mine = np.array_split(order, num_partitions)[partition]
    return jnp.asarray(table.data[mine] / 16, jnp.float32), jnp.asarray(
        table.target[mine], jnp.int32
    )


def start():
    rng = np.random.default_rng(0)
    first, second = (
        rng.normal(size=(64, HIDDEN)) / 8,
        rng.normal(size=(HIDDEN, 10)) / HIDDEN**0.5,
    )
    return [
        np.asarray(a, np.float32)
        for a in (first, np.zeros(HIDDEN), second, np.zeros(10))
    ]


def loss(x, row):
    first, b, second, c = x
    hidden = jnp.tanh(row[0] @ first + b)
    return optax.softmax_cross_entropy_with_integer_labels(hidden @ second + c, row[1])


@jax.jit
def descended(x, inputs, labels, seed):
    def mean(x, chosen):
        return jnp.mean(jax.vmap(loss, (None, 0))(x, (inputs[chosen], labels[chosen])))

    def one(x, key):
        chosen = jax.random.choice(key, len(labels), (BATCH,))
        return jax.tree.map(
            lambda a, g: a - STEP * g, x, jax.grad(mean)(x, chosen)
        ), None

    return jax.lax.scan(one, x, jax.random.split(jax.random.key(seed), LOCAL_STEPS))[0]


@client.train()
def train(message, context):
    inputs, labels = rows(
        context.node_config["partition-id"], context.node_config["num-partitions"]
    )
    x = message.content["arrays"].to_numpy_ndarrays()
    moved = descended(x, inputs, labels, time.time_ns() % 2**31)
    content = {
        "arrays": ArrayRecord([a.__array__() for a in moved]),
        "metrics": MetricRecord({"num-examples": len(labels)}),
    }
    return Message(RecordDict(content), reply_to=message)


@server.main()
def main(grid, context):
    """Note when each round ended, and the bytes of a model."""
    ends, model = [], ArrayRecord(start())
    strategy = FedAvg(fraction_train=1.0, fraction_evaluate=0.0)
    strategy.start(
        grid,
        model,
        context.run_config["rounds"],
        evaluate_fn=lambda *_: ends.append(time.time()),
    )
    Path(context.run_config["out"]).write_text(
        json.dumps({"ends": ends, "bytes": model.count_bytes()})
    )
