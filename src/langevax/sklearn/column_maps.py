"""Standardised columns, and maps of them before, for columns with heavy tails, jumps and bends.

A few huge values make the deviation of a column, and a network sees all other rows of it as equal. All maps are
bounded, so that later rows beyond the training range cannot dominate either.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from langevax.sklearn.saved import saved_class

Table = Any
"""(n, d) numbers in any form that scikit-learn's validation accepts: NumPy, lists, pandas, polars."""
Scaling = Literal["columns", "global", "robust", "pieces"]
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)


@saved_class
@dataclass(frozen=True)
class Squash:
    """x -> r / sqrt(1 + (r / 3)^2) with r = (x - median) / (robust deviation): linear in the middle, below 3.

    The robust deviation is the distance of the quartiles over that of a Gaussian, or half of the range where the
    quartiles agree.
    """

    centre: np.ndarray
    width: np.ndarray
    limit: ClassVar[float] = 3.0
    """Bound of the squashed columns, in robust deviations."""

    @classmethod
    def fit(cls, inputs: np.ndarray, weights: np.ndarray) -> "Squash":
        """Fit to weighted rows."""
        levels = [0.25, 0.5, 0.75]
        low, centre, high = np.quantile(
            inputs, levels, axis=0, weights=weights, method="inverted_cdf"
        )
        half_span = (
            np.max(inputs, axis=0) / 2 - np.min(inputs, axis=0) / 2
        )  # the span itself could overflow
        quartiles = 1.349  # their distance in deviations of a Gaussian
        width = np.where(high > low, (high / 2 - low / 2) / (quartiles / 2), half_span)
        return cls(centre, np.where(width > 0, width, 1.0))

    def __call__(self, inputs: np.ndarray, furthest: float = 1e150) -> np.ndarray:
        """Return (n, d)."""
        # a quotient beyond the largest number is at the limit, too
        with np.errstate(over="ignore"):
            quotients = (inputs - self.centre) / self.width
        distances = np.clip(quotients, -furthest, furthest)
        return distances / np.sqrt(1 + (distances / self.limit) ** 2)


@saved_class
@dataclass(frozen=True)
class Pieces:
    """x -> its squashed value, and for each piece [a, b] between quantiles of it the share (x - a) / (b - a) below x.

    Shares are between 0 and 1. A network of few neurons bends where a column does, column by column (the piecewise
    linear encoding of Gorishniy, Rubachev, Babenko, NeurIPS 2022).
    """

    squash: Squash
    knots: list[np.ndarray | None]
    """Increasing ends of the pieces of each column; None where a column has few values and no pieces."""

    @classmethod
    def fit(
        cls,
        inputs: np.ndarray,
        weights: np.ndarray,
        most: int = 8,
        columns: int = 256,
    ) -> "Pieces":
        """Fit to weighted rows; fewer than `most` pieces where these and the columns are more than so many."""
        many = [has_many_values(column) for column in inputs.T]
        num_pieces = min(most, (columns - inputs.shape[1]) // max(1, sum(many)))
        knots: list[np.ndarray | None] = [None] * inputs.shape[1]
        if num_pieces >= 2:
            levels = np.linspace(0, 1, num_pieces + 1)
            ends = np.quantile(
                inputs, levels, axis=0, weights=weights, method="inverted_cdf"
            )
            knots = [
                np.unique(column) if pieces else None
                for column, pieces in zip(ends.T, many, strict=True)
            ]
        return cls(Squash.fit(inputs, weights), knots)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return (n, columns): all squashed columns, then all pieces."""
        with np.errstate(over="ignore"):  # of a distance beyond the largest number
            shares = [
                np.clip((inputs[:, [j]] - ends[:-1]) / np.diff(ends), 0, 1)
                for j, ends in enumerate(self.knots)
                if ends is not None
            ]
        return np.concatenate([self.squash(inputs), *shares], axis=1)

    def origins(self) -> np.ndarray:
        """Return of which column each of the result is.

        Example:
            >>> Pieces.fit(np.column_stack([np.arange(99.0), np.ones(99)]), np.ones(99)).origins()
            array([0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
        """
        pieces = [
            j for j, ends in enumerate(self.knots) if ends is not None for _ in ends[1:]
        ]
        return np.array([*range(len(self.knots)), *pieces])

    def names(self, names: Sequence[str]) -> list[str]:
        """Return the names of the columns, such as "age" and "age from 20 to 31".

        Example:
            >>> Pieces.fit(np.arange(99.0)[:, None], np.ones(99)).names(["age"])[:2]
            ['age', 'age from 0 to 12']
        """
        pieces = [
            f"{name} from {low:g} to {high:g}"
            for name, ends in zip(names, self.knots, strict=True)
            if ends is not None
            for low, high in pairwise(ends)
        ]
        return [*names, *pieces]


def has_many_values(column: np.ndarray, few: int = 10) -> bool:
    """Return whether a column is mapped; one of few distinct values, such as codes or indicators, stays as it is."""
    return len(np.unique(column)) > few


@saved_class
@dataclass(frozen=True)
class Standardiser:
    """Columns centred, over their standard deviation and over sqrt(number of columns that vary).

    With neurons' weights of prior variance v, pre-activations then have variance v whatever the table.
    """

    mean: np.ndarray
    scale: np.ndarray
    column_map: Squash | Pieces | None = None
    """Applied first."""

    @classmethod
    def fit(
        cls,
        inputs: np.ndarray,
        weights: np.ndarray,
        scaling: Scaling,
    ) -> "Standardiser":
        """Fit to weighted rows.

        `scaling="global"` uses one deviation for all columns, as for pixels; the other ones map columns first.
        """
        maps = {"robust": Squash, "pieces": Pieces}
        column_map = maps[scaling].fit(inputs, weights) if scaling in maps else None
        inputs = inputs if column_map is None else column_map(inputs)
        mean, deviation = weighted_moments(inputs, weights)
        varies = deviation > 0
        if scaling == "global" and varies.any():
            largest = (
                deviation.max()
            )  # squares of the deviations themselves could overflow
            deviation = np.full_like(
                deviation,
                largest * np.sqrt(np.mean((deviation[varies] / largest) ** 2)),
            )
        deviation = np.where(
            varies, deviation, np.inf
        )  # a constant column becomes 0, also on later rows
        return cls(
            mean, deviation * np.sqrt(max(1, np.count_nonzero(varies))), column_map
        )

    def scaled(self, scales: np.ndarray) -> "Standardiser":
        """Return a standardiser whose columns are these multiples of this one's."""
        return replace(self, scale=self.scale / scales)

    def origins(self) -> np.ndarray:
        """Return of which column of the table each column of the result is."""
        return (
            self.column_map.origins()
            if isinstance(self.column_map, Pieces)
            else np.arange(len(self.mean))
        )

    def __call__(self, inputs: np.ndarray, furthest: float = 1e6) -> np.ndarray:
        """Return (n, columns) float32, at most so many deviations from the mean, where every neuron is saturated."""
        inputs = inputs if self.column_map is None else self.column_map(inputs)
        largest = np.finfo(np.float64).max
        with np.errstate(over="ignore"):  # beyond it is at the limit, too
            distances = np.clip(inputs - self.mean, -largest, largest) / self.scale
        return np.clip(distances, -furthest, furthest).astype(np.float32)


def weighted_moments(
    columns: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (mean, standard deviation) of each column; the deviation is 0 if it is constant up to rounding.

    Columns are divided by their largest number first, so that no square is too large or too small for a float.
    """
    largest = np.max(np.abs(columns), axis=0)
    unit = np.where(largest > 0, largest, 1.0)
    columns = columns / unit
    mean = np.average(columns, axis=0, weights=weights)
    deviation = np.sqrt(np.average((columns - mean) ** 2, axis=0, weights=weights))
    varies = np.ptp(columns, axis=0) > 10 * np.finfo(np.float64).eps
    return unit * mean, np.where(varies, unit * deviation, 0.0)


def row_blocks(size: int, length: int) -> list[slice]:
    """Return the places of `size` rows in blocks of a length, at least 1.

    Example:
        >>> row_blocks(5, 2)
        [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None)]
    """
    length = max(1, length)
    return [slice(start, start + length) for start in range(0, size, length)]
