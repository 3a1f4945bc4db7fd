"""Linear models: baselines of networks on folds, what a network may be added to, and the base rate."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from sklearn.linear_model import LogisticRegression, RidgeCV

from langevax.problems.losses import Loss
from langevax.sklearn.network_outputs import RIDGE_PENALTIES
from langevax.sklearn.table import FEWEST_ROWS, padded
from langevax.sklearn.training import Network


def base_rate(network: Network) -> np.ndarray:
    """Return outputs (n, ...) that are the same at all rows: the mean of the targets, or the shares of the classes."""
    z = np.zeros((len(network.inputs), *network.task.neuron.output_shape), np.float32)
    if network.task.labels is None:
        return z
    logits = np.log(
        np.maximum(np.bincount(network.task.labels, network.weights), 1e-300)
        / network.weights.sum()
    )
    return z + (logits[1] - logits[0] if z.ndim == 1 else logits)


def linear_outputs(
    network: Network,
    inputs: np.ndarray,
    folds: list[tuple[np.ndarray, np.ndarray]],
    absent: float = -10.0,
) -> np.ndarray:
    """Return outputs, as a network's, of ridge or logistic regression at the rows left out of each fold.

    A class that a fold's rows lack has the logit `absent`.
    """
    inputs = inputs * np.sqrt(inputs.shape[1])
    targets = network.task.targets
    labels = network.task.labels
    z = np.zeros((len(inputs), *network.task.neuron.output_shape), np.float32)
    for trained, held in folds:
        weights = network.weights[trained]
        if len(trained) < 2:
            z[held] = targets[trained].mean(0) if labels is None else 0.0
        elif labels is None:
            model = RidgeCV(RIDGE_PENALTIES).fit(
                inputs[trained], targets[trained], weights
            )
            z[held] = model.predict(inputs[held])
        elif len(present := np.unique(labels[trained])) == 1:
            z[held] = 0.0
        else:
            model = LogisticRegression(max_iter=200).fit(
                inputs[trained], labels[trained], weights
            )
            logits = model.decision_function(inputs[held])
            if z.ndim == 1:
                z[held] = logits
            else:
                z[held] = absent
                z[np.ix_(held, present)] = (
                    np.stack([-logits, logits], 1) / 2 if logits.ndim == 1 else logits
                )
    return z


def row_losses(network: Network, z: np.ndarray) -> np.ndarray:
    """Return (n,) losses of outputs `z`."""
    n = len(z)
    length = max(FEWEST_ROWS, 1 << (n - 1).bit_length())  # few shapes compile
    losses = _losses(
        network.task.loss, padded(z, length), padded(network.task.targets, length)
    )
    return np.asarray(losses, np.float64)[:n]


@eqx.filter_jit
def _losses(loss: Loss, z: Any, targets: Any) -> Array:
    return jax.vmap(loss)(jnp.asarray(z), jnp.asarray(targets))
