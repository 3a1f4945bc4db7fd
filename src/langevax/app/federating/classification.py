"""Classification tables split over clients, and small networks for them.

outputs(a) = tanh(a W + b) V + c,    or a V + c without a hidden layer;    loss = cross-entropy
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import random
from jaxtyping import Array, Float, Int

from langevax._typing import FloatScalar, IntScalar, PRNGKey, PyTree
from langevax.app.errors import BadInput, listing
from langevax.app.fitting.splitting import HELD_OUT
from langevax.data import partitions
from langevax.problems.federation import Federation

TABLES = ("digits", "wine", "breast_cancer")


class LabelledTable(NamedTuple):
    """Training and test rows, with inputs of about unit size."""

    inputs: np.ndarray
    labels: np.ndarray
    test_inputs: np.ndarray
    test_labels: np.ndarray

    @property
    def num_classes(self) -> int:
        return int(self.labels.max()) + 1


def load_table(data: str, target: str | None, seed: int) -> LabelledTable:
    """A table of scikit-learn by name, or a file with --target, read like `langevax fit` does and standardised."""
    if data in TABLES:
        if target is not None:
            raise BadInput(
                f"--target {target!r} goes with a file; --data {data} has its classes, leave it out."
            )
        return _scikit_learn_table(data, seed)
    if not Path(data).suffix and not Path(data).exists():
        raise BadInput(
            f"--data {data!r} is not a file, nor one of the known tables: {listing(TABLES)}."
        )
    if target is None:
        raise BadInput(
            f"--data {data!r} is a file; name its column of classes by --target."
        )
    from langevax.app.fitting.data import prepare
    from langevax.app.options import FitOptions

    split = prepare(
        FitOptions(Path(data), target, Path(), task="classification", seed=seed)
    ).split
    mean = split.train_inputs.mean(axis=0)
    scale = split.train_inputs.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    train, test = (
        ((part - mean) / scale).astype(np.float32)
        for part in (split.train_inputs, split.test_inputs)
    )
    return LabelledTable(
        train,
        split.train_targets.astype(np.int32),
        test,
        split.test_targets.astype(np.int32),
    )


def _scikit_learn_table(name: str, seed: int) -> LabelledTable:
    """Pixels are divided by 16, other columns standardised by the training rows."""
    from sklearn import datasets

    inputs, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(inputs))
    test, train = np.split(order, [round(HELD_OUT * len(inputs))])
    mean = inputs[train].mean(axis=0)
    scale = inputs[train].std(axis=0)
    if name == "digits":
        mean = np.zeros_like(mean)
        scale = np.full_like(scale, 16.0)
    inputs = ((inputs - mean) / scale).astype(np.float32)
    labels = labels.astype(np.int32)
    return LabelledTable(inputs[train], labels[train], inputs[test], labels[test])


def federation_of(table: LabelledTable, parts: partitions.Parts) -> Federation:
    """The federation of the training rows, in which all rows have equal weights."""
    data, counts = partitions.stack((table.inputs, table.labels), parts)
    return Federation(cross_entropy, data, counts)


def outputs(
    position: PyTree, inputs: Float[Array, "... d"]
) -> Float[Array, "... classes"]:
    """One output per class."""
    hidden = (
        jnp.tanh(inputs @ position["W"] + position["b"]) if "W" in position else inputs
    )
    return hidden @ position["V"] + position["c"]


def cross_entropy(
    position: PyTree, row: tuple[Float[Array, " d"], IntScalar]
) -> FloatScalar:
    """The loss of one row (inputs, label)."""
    inputs, label = row
    return optax.softmax_cross_entropy_with_integer_labels(
        outputs(position, inputs), label
    )


def accuracy(
    position: PyTree, inputs: Float[Array, "rows d"], labels: Int[Array, " rows"]
) -> FloatScalar:
    """Share of rows whose largest output is that of their class."""
    return jnp.mean(
        (jnp.argmax(outputs(position, inputs), axis=-1) == labels).astype(jnp.float32)
    )


def initial_position(
    key: PRNGKey,
    num_inputs: int,
    hidden: int,
    num_classes: int,
) -> PyTree:
    """Weights normal with variance 1 / fan-in, no biases; all zero without a hidden layer, where the loss is convex."""
    first, second = random.split(key)
    zeros = {"c": jnp.zeros(num_classes, jnp.float32)}
    if hidden == 0:
        return {"V": jnp.zeros((num_inputs, num_classes), jnp.float32), **zeros}
    return {
        "W": random.normal(first, (num_inputs, hidden), jnp.float32)
        / np.float32(num_inputs**0.5),
        "b": jnp.zeros(hidden, jnp.float32),
        "V": random.normal(second, (hidden, num_classes), jnp.float32)
        / np.float32(hidden**0.5),
        **zeros,
    }


def num_parameters(position: PyTree) -> int:
    """Numbers in a model."""
    return sum(leaf.size for leaf in jax.tree.leaves(position))
