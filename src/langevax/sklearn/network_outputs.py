"""Outputs of a trained network at new rows, in NumPy: two products of matrices and two tanh, with nothing to compile.

Fitted and loaded models predict by it alone. It needs no thread of JAX, so that it also runs in a forked process.
"""

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from langevax.sklearn.column_maps import Standardiser, row_blocks
from langevax.sklearn.saved import saved_class

if TYPE_CHECKING:
    from langevax.problems.neurons import TanhTanh


RIDGE_PENALTIES = np.logspace(-7, 5, 25)


class OutputNeuron(NamedTuple):
    """Scale and number of outputs of a neuron, in the place of `langevax.neurons.TanhTanh`, which needs JAX."""

    scale: float
    num_outputs: int | None


def outputs(
    neuron: "OutputNeuron | TanhTanh",
    cloud: np.ndarray,
    inputs: np.ndarray,
    activations: int = 2**21,
) -> np.ndarray:
    """Return the mean of the neurons at standardised inputs, f(x) = E h(theta, x), (n,) or (n, C) float32.

    Args:
        neuron: scale, and number of outputs.
        cloud: (N, size) particles (a, w, b).
        inputs: (n, d).
        activations: neurons x rows at once, 8 MB.
    """
    columns = neuron.num_outputs or 1
    cloud = np.asarray(cloud, np.float32)
    factors = np.tanh(cloud[:, :columns]) * np.float32(neuron.scale)
    weights = np.ascontiguousarray(cloud[:, columns:-1].T)
    z = np.empty((len(inputs), columns), np.float32)
    for rows in row_blocks(len(inputs), activations // len(cloud)):
        features = inputs[rows] @ weights
        features += cloud[:, -1]
        np.tanh(features, out=features)
        z[rows] = features @ factors / np.float32(len(cloud))
    return z[:, 0] if neuron.num_outputs is None else z


def activations(columns: int, cloud: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Return (N, n): what the neurons (a, w, b), with so many output weights each, see of standardised inputs (n, d)."""
    return np.tanh(cloud[:, columns:-1] @ inputs.T + cloud[:, -1:])


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
        from sklearn.linear_model import RidgeCV

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


@saved_class
class HeldOut(NamedTuple):
    """Networks trained without a fold of the rows each."""

    neuron: "OutputNeuron | TanhTanh"
    clouds: np.ndarray
    """(folds, neurons, size): their neurons, of standardised columns."""
    fold: np.ndarray
    """(n,) fold that a row was left out of."""
    weights: np.ndarray
    """(n,) multiplicities of the rows."""
    offsets: np.ndarray | None = None
    """(folds,) or (folds, C): mean target of each fold's rows, which is added to outputs; None for classes."""
    lines: list[LinearPart] | None = None
    """Of each fold, added to outputs in the place of offsets; None where predictions have no linear part."""
    labels: np.ndarray | None = None
    """(n,) places of the rows' classes."""

    def added(self, fold: int, inputs: np.ndarray) -> np.ndarray | np.float32:
        """Return what a fold's predictions have beside the outputs of its network, at columns of a table."""
        if self.lines is not None:
            return self.lines[fold](inputs)
        return np.float32(0) if self.offsets is None else self.offsets[fold]
