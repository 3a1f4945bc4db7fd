"""Monotone maps of columns before they are standardised, for columns with heavy tails.

A few huge values make the deviation of a column, and a network sees all other rows of it as equal. Both maps are
bounded, so that later rows beyond the training range cannot dominate either.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from langevax.sklearn.persistence import saved_class

KNOTS = 100  # of a column's quantiles
FEWEST_VALUES = 10  # a column of fewer distinct ones is left as it is: codes, indicators
SOFT_LIMIT = 3.0  # bound of the squashed columns, in robust deviations
QUARTILES = 1.349  # distance of a Gaussian's quartiles, in deviations


@saved_class
@dataclass(frozen=True)
class Squash:
    """x -> r / sqrt(1 + (r / 3)^2) with r = (x - median) / (robust deviation): linear in the middle, below 3.

    The robust deviation is the distance of the quartiles over that of a Gaussian, or half of the range where the
    quartiles agree.
    """

    centre: np.ndarray
    width: np.ndarray

    @classmethod
    def fit(cls, inputs: np.ndarray, weights: np.ndarray) -> "Squash":
        """Fit to weighted rows."""
        low, centre, high = weighted_quantiles(inputs, weights, np.array([0.25, 0.5, 0.75]))
        span = np.max(inputs, axis=0) - np.min(inputs, axis=0)
        width = np.where(high > low, (high - low) / QUARTILES, span / 2)
        return cls(centre, np.where(width > 0, width, 1.0))

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return (n, d)."""
        with np.errstate(over="ignore"):  # a quotient beyond the largest number is at the limit, too
            distances = np.clip((inputs - self.centre) / self.width, -1e150, 1e150)
        return distances / np.sqrt(1 + (distances / SOFT_LIMIT) ** 2)


@saved_class
@dataclass(frozen=True)
class NormalScores:
    """x -> the normal score of its rank among the training rows, linear between quantiles, constant beyond the last."""

    knots: list[np.ndarray | None]
    """Increasing values of each column; None where a column has few, which stay as they are."""
    scores: list[np.ndarray | None]

    @classmethod
    def fit(cls, inputs: np.ndarray, weights: np.ndarray) -> "NormalScores":
        """Fit to weighted rows."""
        levels = (np.arange(KNOTS) + 0.5) / KNOTS
        quantiles, normal = weighted_quantiles(inputs, weights, levels), norm.ppf(levels)
        knots: list[np.ndarray | None] = []
        scores: list[np.ndarray | None] = []
        for column, values in zip(inputs.T, quantiles.T, strict=True):
            few = len(np.unique(column)) <= FEWEST_VALUES
            distinct, places = np.unique(values, return_inverse=True)
            knots.append(None if few else distinct)
            scores.append(None if few else np.bincount(places, normal) / np.bincount(places))
        return cls(knots, scores)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return (n, d)."""
        mapped = inputs.copy()
        for j, (knots, scores) in enumerate(zip(self.knots, self.scores, strict=True)):
            if knots is not None and scores is not None:
                mapped[:, j] = np.interp(inputs[:, j], knots, scores)
        return mapped


def weighted_quantiles(inputs: np.ndarray, weights: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return (levels, d): the least values of each column whose rows up to there hold a share of the weight.

    Example:
        >>> weighted_quantiles(np.array([[1.0], [2.0], [9.0]]), np.array([1.0, 1.0, 2.0]), np.array([0.3, 0.5, 0.9]))
        array([[2.],
               [2.],
               [9.]])
    """
    order = np.argsort(inputs, axis=0, kind="stable")
    shares = np.cumsum(weights[order], axis=0) / weights.sum()
    places = np.stack([np.sum(shares < level - 1e-12, axis=0) for level in levels])
    return np.take_along_axis(np.take_along_axis(inputs, order, axis=0), places, axis=0)
