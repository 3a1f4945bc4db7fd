"""Tables of scikit-learn split over clients, and small networks that tell their classes apart.

outputs(a) = tanh(a W + b) V + c,    or a V + c without a hidden layer;    loss = cross-entropy
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import random
from jaxtyping import Array, Float, Int, PyTree

from langevax.data import partitions
from langevax.problems.federation import Federation

TABLES = ("digits", "wine", "breast_cancer")
HELD_OUT = 0.2


class Classes(NamedTuple):
    """Rows to train on and rows held out, inputs of about unit size."""

    inputs: np.ndarray
    labels: np.ndarray
    test_inputs: np.ndarray
    test_labels: np.ndarray

    @property
    def number(self) -> int:
        return int(self.labels.max()) + 1


def table(name: str, seed: int) -> Classes:
    """Of scikit-learn; pixels over 16, other columns standardised by the rows to train on."""
    from sklearn import datasets

    inputs, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(inputs))
    cut = round(HELD_OUT * len(inputs))
    test, train = order[:cut], order[cut:]
    centre, scale = inputs[train].mean(axis=0), inputs[train].std(axis=0)
    if name == "digits":
        centre, scale = np.zeros_like(centre), np.full_like(scale, 16.0)
    inputs, labels = ((inputs - centre) / scale).astype(np.float32), labels.astype(np.int32)
    return Classes(inputs[train], labels[train], inputs[test], labels[test])


def federation(classes: Classes, parts: partitions.Parts) -> Federation:
    """Each row counts alike, so that clients weigh what they hold."""
    data, counts = partitions.stack((classes.inputs, classes.labels), parts)
    return Federation(cross_entropy, data, counts)


def outputs(position: PyTree, inputs: Float[Array, "... d"]) -> Float[Array, "... classes"]:
    """One per class."""
    hidden = jnp.tanh(inputs @ position["W"] + position["b"]) if "W" in position else inputs
    return hidden @ position["V"] + position["c"]


def cross_entropy(position: PyTree, row: tuple[Float[Array, " d"], Int[Array, ""]]) -> Float[Array, ""]:
    """Of one row (inputs, label)."""
    inputs, label = row
    z = outputs(position, inputs)
    return optax.softmax_cross_entropy_with_integer_labels(z, label)


def accuracy(position: PyTree, inputs: Any, labels: Any) -> Float[Array, ""]:
    """Share of rows whose largest output is that of their class."""
    right = jnp.argmax(outputs(position, inputs), axis=-1) == labels
    return jnp.mean(right.astype(jnp.float32))


def start(key: Any, num_inputs: int, hidden: int, number: int) -> PyTree:
    """Weights normal with variance 1 / fan-in, no biases; all zero without a hidden layer, where the loss is convex."""
    first, second = random.split(key)
    zeros = {"c": jnp.zeros(number, jnp.float32)}
    if hidden == 0:
        return {"V": jnp.zeros((num_inputs, number), jnp.float32), **zeros}
    return {
        "W": random.normal(first, (num_inputs, hidden), jnp.float32) / np.float32(num_inputs**0.5),
        "b": jnp.zeros(hidden, jnp.float32),
        "V": random.normal(second, (hidden, number), jnp.float32) / np.float32(hidden**0.5),
        **zeros,
    }


def size_of(position: PyTree) -> int:
    """Numbers in a model."""
    return sum(leaf.size for leaf in jax.tree.leaves(position))
