"""Linear models: baselines of networks on folds, what a network may be added to, and the base rate."""

from typing import Any, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from sklearn.linear_model import LogisticRegression, RidgeCV

from langevax.problems.losses import Loss
from langevax.sklearn.persistence import saved_class
from langevax.sklearn.table import FEWEST_ROWS, Standardiser, padded
from langevax.sklearn.training import Network

RIDGE_PENALTIES = np.logspace(-7, 5, 25)


@saved_class
class LinearPart(NamedTuple):
    """A ridge regression, whose residuals a network is trained on, in units of standardised targets."""

    standardiser: Standardiser
    coefficients: np.ndarray
    """(d,) or (d, C), of the standardised columns."""
    intercept: np.ndarray
    """() or (C,)."""

    @classmethod
    def fit(
        cls,
        standardiser: Standardiser,
        columns: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
    ) -> Self:
        """Choose the penalty by leave-one-out errors; `columns` (n, d) as the standardiser returns them."""
        size = np.sqrt(columns.shape[1])
        model = RidgeCV(RIDGE_PENALTIES).fit(columns * size, targets, weights)
        intercept = np.asarray(model.intercept_, np.float32)
        coefficients = np.transpose(np.asarray(model.coef_)) * size
        return cls(standardiser, coefficients.astype(np.float32), intercept)

    def of_columns(self, columns: np.ndarray) -> np.ndarray:
        """Return outputs (n,) or (n, C) float32 at columns as the standardiser returns them."""
        return columns @ self.coefficients + self.intercept

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return outputs at the columns of a table."""
        return self.of_columns(self.standardiser(inputs))


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
