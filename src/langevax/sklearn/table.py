"""From a user's table to the rows that a model is trained on: distinct, weighted, standardised, in a canonical order.

Equal rows are merged and their weights added. A row of weight 2 and the same row twice are therefore one problem, the
order of the rows does not matter, and the cost is that of the distinct rows.
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from langevax import checks
from langevax.sklearn.folds import group_codes
from langevax.sklearn.parameters import RandomState, seed_of
from langevax.sklearn.persistence import SavedEstimator

SCALING_PHRASES: dict[str, str] = {
    "columns": "each column over its own deviation",
    "global": "all columns over one deviation",
    "robust": "columns with their tails bounded",
    "pieces": "columns with their tails bounded, and the pieces between their quantiles",
}

LARGEST_WHOLE = 2.0**53  # of a row: beyond, floats are not all the whole numbers

LEAST_STEP = 4  # number of columns, and step between small sizes
MANY_COLUMNS = 1_000  # from which few rows are seen in the directions that they span
FEWEST_ROWS = 24  # of a training table: below, a step costs about as much


@dataclass(frozen=True)
class DistinctRows:
    """Distinct rows, float64, and the place of each row of the table among them."""

    inputs: np.ndarray
    targets: np.ndarray
    """(n,) or (n, C)."""
    weights: np.ndarray
    """Multiplicity of each row; the sum is the number of rows n in temperatures."""
    places: np.ndarray
    """(rows of the table,) index of each among the distinct ones; -1 where its weight is 0."""
    multiplicities: np.ndarray | None = None
    """How many rows each counts as where one of them is left out; None: its weight."""
    groups: np.ndarray | None = None
    """(n,) of rows that are left out together; None: each on its own."""

    @property
    def copies(self) -> np.ndarray:
        """Rows that each counts as where one of them is left out, at least 1."""
        return np.maximum(
            1, self.weights if self.multiplicities is None else self.multiplicities
        )

    def with_relative_weights(self) -> "DistinctRows":
        """Return the rows with the weights of the choice of scaling and temperature, and the copies it leaves out.

        Whole weights count rows, and those of 20 rows and more are divided by their greatest common
        divisor: a table repeated is the table. Other weights are relative, and become ones of mean 1. One of several
        copies is left out alone where another row has the same inputs and another target, as in tables of few
        categories, or where there are few rows; otherwise copies left behind would predict it, and all are left out.
        """
        weights = self.weights
        if np.any(weights != np.round(weights)) or weights.max() > LARGEST_WHOLE:
            relative = weights / weights.max()
            return replace(
                self,
                weights=relative / relative.mean(),
                multiplicities=np.ones(len(weights)),
            )
        if len(weights) < 20 or np.all(weights == 1):
            return self
        weights = weights / np.gcd.reduce(weights.astype(np.int64))
        group = np.unique(self.inputs, axis=0, return_inverse=True)[1]
        shared = np.asarray(np.bincount(group))[group] > 1
        return replace(
            self, weights=weights, multiplicities=np.where(shared, weights, 1.0)
        )


def distinct_rows(
    inputs: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray | None,
    groups: np.ndarray | None = None,
) -> DistinctRows:
    """Merge equal rows, drop those of weight 0, and order the rest by target, then by column after column.

    Other units of a column leave the order as it is, and with it the folds and everything that is drawn. Rows of
    different groups are not merged.

    Example:
        >>> table, targets = np.array([[1.0], [2.0], [1.0], [3.0]]), np.array([5.0, 6.0, 5.0, 7.0])
        >>> rows = distinct_rows(table, targets, weights=np.array([1.0, 1.0, 2.0, 0.0]))
        >>> sorted(zip(rows.inputs[:, 0].tolist(), rows.weights.tolist()))
        [(1.0, 3.0), (2.0, 1.0)]
    """
    counts = (
        np.ones(len(inputs)) if weights is None else np.asarray(weights, np.float64)
    )
    used = np.flatnonzero(counts > 0)
    if len(used) and counts.max() > LARGEST_WHOLE:
        counts = counts / counts.max()  # relative, and of a finite sum
    last = np.empty((len(used), 0)) if groups is None else groups[used, None]
    columns = (
        np.column_stack([targets[used].reshape(len(used), -1), inputs[used], last])
        + 0.0
    )  # -0.0 becomes 0.0
    _, first, group = np.unique(columns, axis=0, return_index=True, return_inverse=True)
    places = np.full(len(inputs), -1)
    places[used] = group
    merged = np.bincount(group, counts[used])
    distinct = used[first]
    of_rows = None if groups is None else groups[distinct]
    return DistinctRows(
        inputs[distinct] + 0.0, targets[distinct], merged, places, groups=of_rows
    )


def eigenbasis(standardised: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (d, d) float32 whose columns are the principal directions; each coordinate has its own step there."""
    weighted = standardised.astype(np.float64) * weights[:, None]
    _, vectors = np.linalg.eigh(standardised.T @ weighted / weights.sum())
    return vectors.astype(np.float32)


def row_span(standardised: np.ndarray) -> np.ndarray | None:
    """Return (d, n) float32 orthonormal columns that span n rows of at least `MANY_COLUMNS` and 2 n columns, or None.

    A network has n inputs there, and its objective and optimum are those on all columns: no row sees the weights of a
    neuron along the other directions, which keep the law of the prior.
    """
    n, d = standardised.shape
    if d < max(MANY_COLUMNS, 2 * n):
        return None
    return np.linalg.qr(standardised.T.astype(np.float64))[0].astype(np.float32)


def bucket(size: int, smallest: int = 128) -> int:
    """Return how many rows or columns to store for `size` of them, at least `smallest`, so that few sizes are compiled.

    Sizes are multiples of 4, and of an eighth of the largest power of two below them: up to 32 at most three are
    padding, beyond 20 at most 15 %.

    Example:
        >>> [bucket(n, 4) for n in (1, 12, 13, 33, 129, 350, 1000)]
        [4, 12, 16, 36, 144, 352, 1024]
    """
    power = (
        1 << max(size - 1, 1).bit_length() - 1
    )  # the largest power of two below size
    step = max(LEAST_STEP, power // 8)
    return max(smallest, -(-size // step) * step)


def padded(array: np.ndarray, length: int) -> np.ndarray:
    """Append copies of the first row up to `length`."""
    return np.concatenate([array, np.repeat(array[:1], length - len(array), axis=0)])


def widened(array: np.ndarray, width: int) -> np.ndarray:
    """Append columns of zeros up to `width`."""
    return np.pad(array, [(0, 0), (0, width - array.shape[1])])


def in_buckets(array: np.ndarray) -> np.ndarray:
    """Return rows (n, d) padded to a bucket, their columns too."""
    return widened(
        padded(array, bucket(len(array))), bucket(array.shape[1], LEAST_STEP)
    )


def subsample(size: int, most: int) -> np.ndarray:
    """Return the places of at most `most` of `size` rows, in order, the same ones for the same size."""
    if size <= most:
        return np.arange(size)
    return np.sort(np.random.default_rng(0).choice(size, most, replace=False))


def subsampled(most: int, *arrays: np.ndarray) -> list[np.ndarray]:
    """Return the same rows of all arrays, at most so many."""
    rows = subsample(len(arrays[0]), most)
    return [array[rows] for array in arrays]


def _data_hash(*arrays: np.ndarray | None) -> str:
    """Return the SHA-256 of training data as numbers or words: kinds, shapes and values."""
    digest = sha256()
    for array in arrays:
        if array is not None:
            digest.update(f"{array.dtype.str} {array.shape}\n".encode())
            digest.update(
                repr(array.tolist()).encode()
                if array.dtype.kind == "O"
                else array.tobytes()
            )
    return digest.hexdigest()


def refuse_words(name: str, values: Any, *, words: bool = False) -> None:
    """Raise on what NumPy would convert to numbers in silence, words, dates and masked entries, and on other objects.

    `words` allows words, which are labels. What else is wrong with a table is left to scikit-learn.

    >>> refuse_words("y", np.array(["1.5", "2.5"]))
    Traceback (most recent call last):
    ...
    ValueError: y holds words such as '1.5', not numbers; pass y.astype(float), or for classes fit a classifier.
    """
    if hasattr(values, "toarray"):  # sparse, which scikit-learn refuses
        return
    if isinstance(values, np.ma.MaskedArray):
        checks.plain_array(name, values, complete=False)
    holds_rows = (
        hasattr(values, "__len__") or hasattr(values, "__array__") or values is None
    )
    if isinstance(values, str | bytes | dict | Iterator | np.generic) or not holds_rows:
        raise ValueError(
            f"{name} must be an array or a table of numbers, got "
            f"{checks.shown(values)}; pass one."
        )
    table: Any = values
    columns = (
        [table[c] for c in table.columns] if hasattr(table, "columns") else [table]
    )
    for column in columns:
        try:
            array = np.asarray(column)
        except ValueError:
            raise ValueError(
                f"{name} has rows of different lengths; pass a rectangular table."
            ) from None
        if array.dtype.kind in "Mm":
            raise ValueError(
                f"{name} holds dates or durations; pass numbers, such as days since "
                "the first of them."
            )
        if array.dtype.kind in "OUS" and array.ndim and not words:
            _refuse_entries(name, array)


def refuse_missing_labels(y: Any) -> None:
    """Raise on None and NaN among labels, which NumPy would make words of.

    >>> refuse_missing_labels(np.array(["a", None], dtype=object))
    Traceback (most recent call last):
    ...
    ValueError: y[1] is None, not a label; leave out rows without a label, or give them one of their own.
    """
    labels = np.asarray(y, object) if isinstance(y, list | tuple) else np.asarray(y)
    if labels.dtype != object or y is None:  # without labels scikit-learn says so
        return
    for place, label in enumerate(labels.flat):
        if label is None or (isinstance(label, float) and np.isnan(label)):
            raise ValueError(
                f"y[{place}] is {label}, not a label; leave out rows without a label, "
                "or give them one of their own."
            )


def _refuse_entries(name: str, array: np.ndarray) -> None:
    """Raise on the first entry that is a word, or an object without a value as a number."""
    for entry in array.flat:
        if isinstance(entry, str | bytes):
            remedy = "pass floats, or one column for each word"
            if name == "y":
                remedy = "pass y.astype(float), or for classes fit a classifier"
            raise ValueError(
                f"{name} holds words such as {str(entry)!r}, not numbers; {remedy}."
            )
        if not hasattr(entry, "__float__") and entry is not None:
            raise TypeError(
                f"{name} holds {checks.shown(entry)}, where each entry of the argument "
                "must be a number and no string or other object; pass numbers."
            )


class RowEstimator(SavedEstimator):
    """An estimator that is fitted to distinct rows of a table."""

    relative_weights: ClassVar[bool] = False
    """Whether fractional weights count relative to each other."""
    random_state: RandomState
    n_features_in_: int

    def _training_rows(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        groups: ArrayLike | None = None,
    ) -> DistinctRows:
        """Return the distinct rows to train on."""
        if sample_weight is not None:
            refuse_words("sample_weight", sample_weight)
        X, y = self._validated(X, y)
        weights = (
            None
            if sample_weight is None
            else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        )
        codes = None if groups is None else group_codes(groups, len(X), weights)
        self.data_sha256_: str = _data_hash(X, y, weights, codes)
        vars(self).pop("card_", None)  # of the model that was loaded, not of this fit
        targets = self._encode(y, weights)
        rows = distinct_rows(X, targets, weights, codes)
        if self.relative_weights:
            rows = rows.with_relative_weights()
        if len(rows.weights) == 1 and rows.weights[0] < 2:
            raise ValueError(
                "sample_weight is positive for one row only; give at least two rows a "
                "positive weight."
            )
        return rows

    def _check_same_rows(self, other: Self) -> None:
        """Raise where the rows of another fit are not those of this one."""
        if other.data_sha256_ != self.data_sha256_:
            raise ValueError(
                "X, y, sample_weight or groups are not those of this fit: their hash "
                "differs from data_sha256_; pass those that fit received, in the same "
                "order."
            )

    def _seed(self, random_state: RandomState = None) -> int:
        """Return a seed drawn from what was passed, or from the parameter."""
        return seed_of(self.random_state if random_state is None else random_state)

    def _column_names(self) -> list[str]:
        """Return the names of the columns of the training table."""
        unnamed = [f"x{j}" for j in range(self.n_features_in_)]
        return [str(name) for name in getattr(self, "feature_names_in_", unnamed)]

    def _columns(self, X: Any) -> np.ndarray:
        """Return the columns (n, d) float64 of a table with which to predict."""
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False))

    @abstractmethod
    def _validated(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return (X, y) as scikit-learn's validation leaves them, X float64."""

    @abstractmethod
    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """Return targets as numbers, one row each, before equal rows are merged."""


class NumberTargets(RegressorMixin):
    """Targets of a regression."""

    def _validated(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        refuse_words("X", X)
        refuse_words("y", y)
        several: Any = self.__sklearn_tags__().target_tags.multi_output
        X, y = validate_data(
            self,
            X,
            y,
            dtype=np.float64,
            multi_output=several,
            y_numeric=True,
            ensure_min_samples=2,
        )
        return X, np.asarray(y, np.float64)

    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        return y


class LabelTargets(ClassifierMixin):
    """Targets of a classification; sets `classes_`."""

    classes_: np.ndarray

    @abstractmethod
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (n, C) probabilities of the classes."""

    def predict(self, X: Any) -> np.ndarray:
        """Return (n,) labels: the most probable."""
        probabilities = self.predict_proba(X)  # first: raises NotFittedError
        return self.classes_[probabilities.argmax(axis=1)]

    def _validated(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        refuse_words("X", X)
        refuse_words("y", y, words=True)
        refuse_missing_labels(y)
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        return X, np.asarray(y)

    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        self.classes_ = np.unique(y if weights is None else y[weights > 0])
        if len(self.classes_) < 2:
            raise ValueError(
                f"y holds one class only, {checks.shown(self.classes_[0])} (rows of "
                "weight 0 left out); pass at least two classes."
            )
        return np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
