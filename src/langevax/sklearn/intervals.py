"""Predictions of networks in NumPy; intervals and sets of classes, from networks trained without a fold of the rows.

CV+ (Barber, Candès, Ramdas, Tibshirani, Annals of Statistics 2021; for classes Romano, Sesia, Candès, NeurIPS 2020):
row i has the score s_i of the network that was trained without its fold k(i), the distance of its target from the
output, or one less the probability of its class. A target y at x lies in the interval, or a class in the set, if

    #{i: s_i >= s_k(i)(x, y)} + 1 > alpha (n + 1),      alpha = 1 - coverage.

If rows are exchangeable, this covers a new target with probability 1 - 2 alpha, and about 1 - alpha where networks
trained without one fold or another predict alike. The scaling and the temperature, which were chosen on all rows, are taken
as given.
"""

from abc import abstractmethod
from numbers import Real
from typing import Any

import numpy as np

from langevax.renamed import refuse_former
from langevax.sklearn.column_maps import Standardiser, Table, row_blocks
from langevax.sklearn.network_outputs import (
    HeldOut,
    LinearPart,
    outputs,
)

COVERAGE = 0.9
"""Of intervals and sets, unless another is passed."""


class NetworkPredictions:
    """Outputs of a network, and of those of its folds, from its fitted attributes."""

    clouds_: np.ndarray
    neuron_: Any  # an OutputNeuron, or a TanhTanh
    standardiser_: Standardiser
    held_out_: HeldOut | None
    scores_: np.ndarray | None

    @abstractmethod
    def _columns(self, X: Any) -> np.ndarray:
        """Return the columns (n, d) float64 of a table with which to predict."""

    def _outputs(self, columns: np.ndarray) -> np.ndarray:
        cloud = self.clouds_.reshape(-1, self.clouds_.shape[-1])
        return outputs(self.neuron_, cloud, self.standardiser_(columns))

    def _fold_outputs(self, columns: np.ndarray) -> np.ndarray:
        """Return (folds, n, ...): outputs of each fold's network."""
        folds = self._folds()
        inputs = self.standardiser_(columns)
        return np.stack(
            [
                outputs(folds.neuron, c, inputs) + folds.added(k, columns)
                for k, c in enumerate(folds.clouds)
            ]
        )

    def _folds(self) -> HeldOut:
        if getattr(self, "held_out_", None) is None:
            raise AttributeError(
                "this fit trained no networks without a fold of the rows, which "
                "intervals and sets need; fit with validation='folds'."
            )
        assert self.held_out_ is not None
        return self.held_out_

    def _scored_rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (scores, multiplicities, fold) of the training rows."""
        folds = self._folds()
        assert self.scores_ is not None
        return self.scores_, folds.weights, folds.fold


class Intervals(NetworkPredictions):
    """Predictions and intervals of a regressor."""

    target_mean_: np.ndarray
    target_scale_: np.ndarray
    single_column_: bool
    linear_part_: LinearPart | None

    @refuse_former
    def predict(self, X: Table) -> np.ndarray:
        """Return (n,) or (n, C), in the units of the targets; X is (n, d) as for `fit`."""
        columns = self._columns(X)
        return self._in_units(self._outputs(columns) + self._line(columns))

    def predict_interval(self, X: Table, coverage: float = COVERAGE) -> np.ndarray:
        """Return (n, 2) lower and upper ends, or (n, C, 2), in the units of the targets.

        Args:
            X: (n, d) as for `predict`.
            coverage: in (0, 1), of each target on its own: reached in practice; 1 - 2 (1 - coverage) is guaranteed.

        Raises:
            AttributeError: a fit without folds (`validation=None`, or a temperature passed).
            ValueError: too few rows for this coverage.

        Example:
            >>> from sklearn.datasets import load_diabetes
            >>> from langevax.sklearn import MeanFieldRegressor
            >>> X, y = load_diabetes(return_X_y=True)
            >>> model = MeanFieldRegressor(num_particles=100, num_steps=100, random_state=0).fit(X[:300], y[:300])
            >>> low, high = model.predict_interval(X[300:]).T
            >>> bool(0.85 < np.mean((low <= y[300:]) & (y[300:] <= high)) < 0.98)
            True
        """
        check_coverage(coverage)
        scores, weights, fold = self._scored_rows()
        z = self._fold_outputs(self._columns(X))
        centres = np.atleast_3d(z)
        scores = scores.reshape(len(scores), -1)
        ends = np.empty((*centres.shape[1:], 2))
        blocks = row_blocks(centres.shape[1], 2**22 // len(scores))  # 32 MB at once
        for c in range(centres.shape[2]):
            for rows in blocks:
                own = centres[:, rows, c][fold]  # (rows with scores, rows to predict)
                upper = upper_quantile(own + scores[:, c, None], weights, coverage)
                lower = -upper_quantile(scores[:, c, None] - own, weights, coverage)
                ends[rows, c] = np.stack([lower, upper], axis=-1)
        units = (
            np.reshape(self.target_mean_, (-1, 1)),
            np.reshape(self.target_scale_, (-1, 1)),
        )
        ends = units[0] + units[1] * ends
        return ends if z.ndim == 3 else ends[:, 0]

    def _line(self, columns: np.ndarray) -> np.ndarray | np.float32:
        """Return what predictions have beside the network's outputs."""
        return (
            np.float32(0) if self.linear_part_ is None else self.linear_part_(columns)
        )

    def _in_units(self, z: np.ndarray) -> np.ndarray:
        predictions = self.target_mean_ + self.target_scale_ * z
        return (
            predictions[:, None]
            if self.single_column_ and predictions.ndim == 1
            else predictions
        )


class ClassSets(NetworkPredictions):
    """Probabilities and sets of classes of a classifier."""

    classes_: np.ndarray
    threshold_: float

    def predict_proba(self, X: Table) -> np.ndarray:
        """Return (n, C), rows summing to one."""
        return probabilities(self._outputs(self._columns(X)))

    def predict(self, X: Table) -> np.ndarray:
        """Return (n,) labels."""
        return self._labels(self._outputs(self._columns(X)))

    def predict_set(self, X: Table, coverage: float = COVERAGE) -> np.ndarray:
        """Return (n, C) booleans: the classes, in the order of `classes_`, that a new label may well have.

        The most probable class is always among them.

        Args:
            X: (n, d) as for `predict`.
            coverage: in (0, 1), of the label by the set, with the guarantee of `MeanFieldRegressor.predict_interval`.

        Raises:
            AttributeError: a fit without folds (`validation=None`, or a temperature passed).
            ValueError: too few rows for this coverage.

        Example:
            >>> from sklearn.datasets import load_iris
            >>> from langevax.sklearn import MeanFieldClassifier
            >>> X, y = load_iris(return_X_y=True)
            >>> model = MeanFieldClassifier(num_particles=100, num_steps=100, random_state=0).fit(X[::2], y[::2])
            >>> sets = model.predict_set(X[1::2])
            >>> bool(np.mean(sets[np.arange(75), y[1::2]]) > 0.85)
            True
        """
        check_coverage(coverage)
        scores, weights, fold = self._scored_rows()
        columns = self._columns(X)
        own = np.stack(
            [class_scores(z) for z in self._fold_outputs(columns)]
        )  # (folds, n, C)
        at_least = np.zeros(own.shape[1:])
        for k in range(len(own)):
            order = np.argsort(scores[fold == k])
            below = np.append(0.0, np.cumsum(weights[fold == k][order]))
            at_least += (
                below[-1]
                - below[np.searchsorted(scores[fold == k][order], own[k], side="left")]
            )
        total = weights.sum()
        enough_rows(total, coverage)
        sets = at_least + 1 > (1 - coverage) * (total + 1)
        sets[np.arange(len(sets)), class_scores(self._outputs(columns)).argmin(1)] = (
            True
        )
        return sets

    def _labels(self, z: np.ndarray) -> np.ndarray:
        return self.classes_[
            (z > np.log(self.threshold_ / (1 - self.threshold_))).astype(int)
            if z.ndim == 1
            else z.argmax(1)
        ]


def check_coverage(coverage: float) -> None:
    """Raise unless `coverage` is a probability between 0 and 1."""
    if not isinstance(coverage, Real) or not 0 < coverage < 1:
        raise ValueError(
            f"coverage must be a number between 0 and 1, got {coverage!r}; 0.9 is "
            "usual."
        )


def class_scores(z: np.ndarray) -> np.ndarray:
    """Return (n, C): one less the probability of each class, of outputs (n,) of two classes, or (n, C)."""
    return 1 - probabilities(z)


def probabilities(z: np.ndarray) -> np.ndarray:
    """Return (n, C) of the outputs (n,) of two classes, or (n, C) of more.

    Example:
        >>> probabilities(np.array([0.0, -800.0])).round(3)
        array([[0.5, 0.5],
               [1. , 0. ]])
    """
    if z.ndim == 1:
        return np.exp(-np.logaddexp(0, np.stack([z, -z], axis=-1)))
    shares = np.exp(z - z.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def enough_rows(total: float, coverage: float) -> None:
    """Raise ValueError where rows of a total weight are too few to leave out a share 1 - coverage."""
    if (1 - coverage) * (total + 1) < 1:
        raise ValueError(
            f"coverage={coverage:g} needs scores of at least "
            f"{int(np.ceil(1 / (1 - coverage) - 1 - 1e-9))} rows, and there are "
            f"{total:g}; pass a smaller coverage."
        )


def upper_quantile(
    values: np.ndarray, weights: np.ndarray, coverage: float
) -> np.ndarray:
    """Return the least of values (m, n), along axis 0, at or below which lies a weight of coverage (total + 1).

    Example:
        >>> upper_quantile(np.arange(19.0)[:, None], np.ones(19), 0.9)
        array([17.])
    """
    total = float(weights.sum())
    enough_rows(total, coverage)
    needed = coverage * (total + 1) - 1e-9
    copies = None if np.all(weights == 1) else weights
    return np.quantile(
        values, needed / total, axis=0, method="inverted_cdf", weights=copies
    )
