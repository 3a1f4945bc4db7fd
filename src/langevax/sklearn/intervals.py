"""Predictions of networks in NumPy; intervals and sets of classes, from networks trained without a fold of the rows.

CV+ (Barber, Candès, Ramdas, Tibshirani, Annals of Statistics 2021; for classes Romano, Sesia, Candès, NeurIPS 2020):
row i has the score s_i of the network that was trained without its fold k(i), the distance of its target from the
output, or one less the probability of its class. A target y at x lies in the interval, or a class in the set, if

    #{i: s_i >= s_k(i)(x, y)} + 1 > alpha (n + 1),      alpha = 1 - coverage.

If rows are exchangeable, this covers a new target with probability 1 - 2 alpha, and about 1 - alpha where networks
trained without one fold or another predict alike. The scaling and the temperature, which were chosen on all rows, are taken
as given.

Jackknife+ is the same with each row, or group, as its own fold, whose networks are those of the closed form of
`langevax.sklearn.row_effects`. For the coverage of each class on its own, the rows counted are those of the class.
"""

from abc import abstractmethod
from collections.abc import Callable
from numbers import Real
from typing import Any, Literal, NamedTuple, get_args

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


Method = Literal["cv+", "jackknife+"]


class Scored(NamedTuple):
    """Rows of training with their scores by networks trained without them."""

    scores: np.ndarray
    """(n,) or (n, C)."""
    weights: np.ndarray
    """(n,) multiplicities."""
    fold: np.ndarray
    """(n,) place of the network that each was left out of."""
    labels: np.ndarray | None
    """(n,) places of classes."""
    outputs: Callable[[np.ndarray], np.ndarray]
    """(folds, m, ...) outputs of these networks at columns of a table."""


class NetworkPredictions:
    """Outputs of a network, and of those of its folds, from its fitted attributes."""

    clouds_: np.ndarray
    neuron_: Any  # an OutputNeuron, or a TanhTanh
    standardiser_: Standardiser
    linear_part_: LinearPart | None
    held_out_: HeldOut | None
    scores_: np.ndarray | None

    @abstractmethod
    def _columns(self, X: Any) -> np.ndarray:
        """Return the columns (n, d) float64 of a table with which to predict."""

    @abstractmethod
    def _in_units(self, z: np.ndarray) -> np.ndarray:
        """Return predictions of outputs: numbers, or probabilities."""

    def _outputs(self, columns: np.ndarray) -> np.ndarray:
        cloud = self.clouds_.reshape(-1, self.clouds_.shape[-1])
        return outputs(self.neuron_, cloud, self.standardiser_(columns))

    def _line(self, columns: np.ndarray) -> np.ndarray | np.float32:
        """Return what predictions have beside the network's outputs."""
        return (
            np.float32(0) if self.linear_part_ is None else self.linear_part_(columns)
        )

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
                "intervals and sets need; pass method='jackknife+', or fit with "
                "validation='folds'."
            )
        assert self.held_out_ is not None
        return self.held_out_

    def _scored(self, method: Method) -> Scored:
        if method == "jackknife+":
            return self._scored_by_response()
        if method not in get_args(Method):
            raise ValueError(f"method must be 'cv+' or 'jackknife+', got {method!r}.")
        folds = self._folds()
        assert self.scores_ is not None
        return Scored(
            self.scores_, folds.weights, folds.fold, folds.labels, self._fold_outputs
        )

    def _scored_by_response(self) -> Scored:
        """Return what jackknife+ needs; models on tables have it."""
        raise ValueError("method='jackknife+' is for models on tables; pass 'cv+'.")


class Intervals(NetworkPredictions):
    """Predictions and intervals of a regressor."""

    target_mean_: np.ndarray
    target_scale_: np.ndarray
    single_column_: bool

    @refuse_former
    def predict(self, X: Table) -> np.ndarray:
        """Return (n,) or (n, C), in the units of the targets; X is (n, d) as for `fit`."""
        columns = self._columns(X)
        return self._in_units(self._outputs(columns) + self._line(columns))

    def predict_interval(
        self, X: Table, coverage: float = COVERAGE, *, method: Method = "cv+"
    ) -> np.ndarray:
        """Return (n, 2) lower and upper ends, or (n, C, 2), in the units of the targets.

        Args:
            X: (n, d) as for `predict`.
            coverage: in (0, 1), of each target on its own: reached in practice; 1 - 2 (1 - coverage) is guaranteed.
            method: "cv+" by the networks of folds; "jackknife+" by networks without one row, or group, in closed form,
                which needs no folds and is as narrow as the network is good; its guarantee is that of exact ones.

        Raises:
            AttributeError: "cv+" after a fit without folds (`validation=None`, or a temperature passed).
            ValueError: too few rows for this coverage; "jackknife+" where `leave_one_out` is unsure of all rows.

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
        scored = self._scored(method)
        columns = self._columns(X)
        scores = scored.scores.reshape(len(scored.scores), -1)
        ends = np.empty((len(columns), scores.shape[1], 2))
        for rows in row_blocks(len(columns), 2**22 // len(scores)):  # 32 MB at once
            centres = np.atleast_3d(scored.outputs(columns[rows]))
            for c in range(centres.shape[2]):
                own = centres[:, :, c][scored.fold]  # (rows with scores, to predict)
                upper, lower = (
                    upper_quantile(ends_of, scored.weights, coverage)
                    for ends_of in (own + scores[:, c, None], scores[:, c, None] - own)
                )
                ends[rows, c] = np.stack([-lower, upper], axis=-1)
        units = (
            np.reshape(self.target_mean_, (-1, 1)),
            np.reshape(self.target_scale_, (-1, 1)),
        )
        ends = units[0] + units[1] * ends
        return ends if scored.scores.ndim == 2 else ends[:, 0]

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
        return self._in_units(self._outputs(self._columns(X)))

    def predict(self, X: Table) -> np.ndarray:
        """Return (n,) labels."""
        return self._labels(self._outputs(self._columns(X)))

    def predict_set(
        self,
        X: Table,
        coverage: float = COVERAGE,
        *,
        method: Method = "cv+",
        per_class: bool = False,
    ) -> np.ndarray:
        """Return (n, C) booleans: the classes, in the order of `classes_`, that a new label may well have.

        The most probable class is always among them.

        Args:
            X: (n, d) as for `predict`.
            coverage: in (0, 1), of the label by the set, with the guarantee of `MeanFieldRegressor.predict_interval`.
            method: as there.
            per_class: whether labels of each class are covered so often, however rare it is; otherwise all together.

        Raises:
            AttributeError: "cv+" after a fit without folds (`validation=None`, or a temperature passed).
            ValueError: too few rows, or rows of a class, for this coverage; "jackknife+" as for intervals.

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
        scored = self._scored(method)
        columns = self._columns(X)
        sets = np.zeros((len(columns), len(self.classes_)), bool)
        for rows in row_blocks(len(columns), 2**22 // len(scored.scores)):
            z = scored.outputs(columns[rows])
            own = np.stack([class_scores(fold) for fold in z])  # (folds, m, C)
            for c in range(own.shape[2]):
                counted = scored.labels == c if per_class else scored.fold >= 0
                sets[rows, c] = not_rejected(own[:, :, c], scored, counted, coverage)
            best = class_scores(self._outputs(columns[rows])).argmin(1)
            sets[np.arange(len(columns))[rows], best] = True
        return sets

    def _in_units(self, z: np.ndarray) -> np.ndarray:
        return probabilities(z)

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


def not_rejected(
    own: np.ndarray, scored: Scored, counted: np.ndarray, coverage: float
) -> np.ndarray:
    """Return (m,): whether new rows with scores `own` (folds, m) are like enough rows of those that count."""
    weights = np.where(counted, scored.weights, 0.0)
    enough_rows(weights.sum(), coverage)
    at_least = np.zeros(own.shape[1])
    for k in range(len(own)):
        fold = np.flatnonzero((scored.fold == k) & counted)
        fold = fold[np.argsort(scored.scores[fold])]
        below = np.append(0.0, np.cumsum(weights[fold]))
        place = np.searchsorted(scored.scores[fold], own[k], side="left")
        at_least += below[-1] - below[place]
    return at_least + 1 > (1 - coverage) * (weights.sum() + 1)


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
