"""From a user's table to what a network trains on: distinct weighted rows, standardised, in a canonical order.

Equal rows are merged and their weights added. So a row of weight 2 and the same row given twice are one
problem, the order of the rows does not matter, and a table of few distinct rows costs what those cost.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Table = Any
"""(n, d) numbers in whatever scikit-learn's validation takes: NumPy, lists, pandas, polars."""

Scaling = Literal["columns", "global"]


@dataclass(frozen=True)
class Rows:
    """Distinct rows, float64, and where each row that was given went."""

    inputs: np.ndarray
    targets: np.ndarray
    """(n,) or (n, C)."""
    weights: np.ndarray
    """What each row counts; their sum is the number of rows that temperatures refer to."""
    places: np.ndarray
    """(rows given,) index of each among the distinct ones; -1 where its weight is 0."""


def distinct_rows(inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> Rows:
    """Merge equal rows, drop those of weight 0, order the rest by their content.

    Example:
        >>> table, targets = np.array([[1.0], [2.0], [1.0], [3.0]]), np.array([5.0, 6.0, 5.0, 7.0])
        >>> rows = distinct_rows(table, targets, weights=np.array([1.0, 1.0, 2.0, 0.0]))
        >>> sorted(zip(rows.inputs[:, 0].tolist(), rows.weights.tolist()))
        [(1.0, 3.0), (2.0, 1.0)]
    """
    weights = np.ones(len(inputs)) if weights is None else np.asarray(weights, np.float64)
    used = np.flatnonzero(weights > 0)
    columns = np.column_stack([inputs[used], targets[used].reshape(len(used), -1)]) + 0.0  # -0.0 becomes 0.0
    order, first, group = _groups(np.ascontiguousarray(columns, np.float64))
    places = np.full(len(inputs), -1)
    places[used[order]] = group
    merged = np.bincount(group, weights[used[order]])
    kept = used[order[first]]
    return Rows(inputs[kept] + 0.0, targets[kept], merged, places)


def _groups(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(an order that brings equal rows together, places in it where a group begins, group of each place)."""
    rng = np.random.default_rng(0)
    odd = rng.integers(0, 2**63, columns.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    bits = columns.view(np.uint64)
    mixed = (bits ^ (bits >> np.uint64(29))) * odd  # wraps around
    hashes = np.asarray(np.sum(mixed ^ (mixed >> np.uint64(32)), axis=1, dtype=np.uint64))
    order = np.argsort(hashes, kind="stable")
    if np.any((np.diff(hashes[order]) == 0) & np.any(np.diff(columns[order], axis=0) != 0, axis=1)):
        order = np.lexsort(columns.T)  # two different rows of one hash: never seen, but then this is exact
    new = np.append(True, np.any(np.diff(columns[order], axis=0) != 0, axis=1))
    return order, np.flatnonzero(new), np.cumsum(new) - 1


@dataclass(frozen=True)
class Standardiser:
    """Columns centred, over their standard deviation and over sqrt(number of columns that vary).

    With neurons' weights of prior variance v, pre-activations then have variance v whatever the table.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, inputs: np.ndarray, weights: np.ndarray, scaling: Scaling) -> "Standardiser":
        """`scaling="global"` takes one deviation for all columns: right where they share a unit, like pixels."""
        mean, deviation = weighted_moments(inputs, weights)
        varies = deviation > 0
        if scaling == "global" and varies.any():
            deviation = np.full_like(deviation, np.sqrt(np.mean(deviation[varies] ** 2)))
        deviation = np.where(varies, deviation, np.inf)  # a column that was constant is 0, whatever it brings later
        return cls(mean, deviation * np.sqrt(max(1, np.count_nonzero(varies))))

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """(n, d) float32."""
        return ((inputs - self.mean) / self.scale).astype(np.float32)


def weighted_moments(columns: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard deviation) of each column; the deviation of a column that is constant up to rounding is 0."""
    mean = np.average(columns, axis=0, weights=weights)
    deviation = np.sqrt(np.average((columns - mean) ** 2, axis=0, weights=weights))
    rounding = 10 * np.finfo(np.float64).eps * np.max(np.abs(columns), axis=0)
    return mean, np.where(np.ptp(columns, axis=0) > rounding, deviation, 0.0)


def eigenbasis(standardised: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(d, d) float32: columns are the principal directions, in which each coordinate takes its own step."""
    weighted = standardised.astype(np.float64) * weights[:, None]
    _, vectors = np.linalg.eigh(standardised.T @ weighted / weights.sum())
    return vectors.astype(np.float32)


def bucket(size: int, smallest: int = 128) -> int:
    """Rows to store for `size` of them: at most a quarter is padding, and few sizes are ever compiled.

    Example:
        >>> [bucket(n) for n in (1, 128, 129, 350, 354, 1000)]
        [128, 128, 160, 384, 384, 1024]
    """
    if size <= smallest:
        return smallest
    power = 1 << (size - 1).bit_length() - 1  # the largest power of two below size
    step = power // 4
    return -(-size // step) * step


def padded(array: np.ndarray, length: int) -> np.ndarray:
    """Rows repeated at the end (the first one, a valid one) up to `length`."""
    return np.concatenate([array, np.repeat(array[:1], length - len(array), axis=0)])
