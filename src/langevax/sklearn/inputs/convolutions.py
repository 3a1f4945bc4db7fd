"""Curves as shares of places that match short patterns: the features of MiniRocket, in their principal directions.

    z(x) = share of the times t at which sum_j w_j x(t + (j - 4) d) > b,      j = 0, ..., 8

w has three weights 2 and six weights -1: 84 patterns. Each comes at up to 32 distances d of its taps (dilations),
spaced evenly on a logarithmic scale up to the length of the curve, and with several biases b, quantiles of the
responses of training curves (Dempster, Schmidt, Webb, KDD 2021; 9,996 features there and here). A share does not depend
on where the pattern occurs in the curve. The differences of a curve have the same features once more (as in Tan,
Dempster, Bergmeir, Webb, Data Mining and Knowledge Discovery 2022).

Deviations: curves, and subsets of several channels, are drawn with a fixed seed, so that equal curves have equal
features; a network gets the coordinates of the features in their principal directions. Cost: about 20,000 comparisons
for each value of a curve.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from langevax.sklearn.column_maps import row_blocks
from langevax.sklearn.inputs.curve_values import ObservedCurves
from langevax.sklearn.inputs.curves import CurveEncoder
from langevax.sklearn.parameters import count
from langevax.sklearn.saved import saved_class

TAPS = 9
PATTERNS = np.array(list(combinations(range(TAPS), 3)))
"""(84, 3) taps of weight 2."""


@saved_class
@dataclass(eq=False, repr=False)
class RandomConvolutions(CurveEncoder):
    """Coordinates of curves by the short patterns in them, wherever these occur.

    Curves are read at even steps, each channel and derivative centred and over its deviation. Features that vary are
    divided by their deviations.

    Args:
        num_directions: principal directions of the training curves' features, at most; of no more curves than these
            the directions span the features.
        grid, domain, derivative, smoothing, missing: see `CurveCoefficients`.

    Attributes:
        points_, mean_values_: (P,) times at which curves are read, and (blocks, P) the mean of the training curves.
        patterns_: `Convolutions` of the curves and of their differences, the features.
        directions_: (features, directions) float32, orthonormal.

    Raises:
        ValueError, TypeError: as `CurveCoefficients`.

    Example:
        >>> X = np.random.default_rng(0).normal(size=(10, 40))
        >>> RandomConvolutions().fit_transform(X).shape
        (10, 9)
    """

    num_directions: int = 128

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = (
        CurveEncoder._parameter_constraints | {"num_directions": count(1)}
    )

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Return names such as "pattern3"."""
        check_is_fitted(self)
        numbers = range(self.directions_.shape[1])
        return np.array([f"pattern{k}" for k in numbers], object)

    def _nodes(self, curves: ObservedCurves) -> np.ndarray:
        num_points = min(max(curves.num_readings, 2 * TAPS), 2048)
        return np.linspace(*self.domain_, num_points)

    def _learn(self, values: np.ndarray) -> None:
        values = np.unique(values, axis=0)  # repeated curves count once, in any order
        self.levels_: np.ndarray = values.mean((0, 2), keepdims=True)
        deviations = values.std((0, 2), keepdims=True)
        constant = deviations <= 1e-9 * np.abs(self.levels_)
        self.deviations_: np.ndarray = np.where(constant, 1.0, deviations)
        curves = self._standardised(values)
        self.patterns_: list[Convolutions]
        self.patterns_ = [Convolutions.fit(curves), Convolutions.fit(np.diff(curves))]
        features = self._features(curves)
        self.feature_means_: np.ndarray = features.mean(0)
        spread = features.std(0)
        size = np.sqrt(max(1, np.count_nonzero(spread)))
        self.feature_scales_: np.ndarray = np.where(spread > 0, spread * size, np.inf)
        features = (features - self.feature_means_) / self.feature_scales_
        variances, vectors = np.linalg.eigh(features @ features.T)
        rank = np.count_nonzero(variances > 1e-9 * variances[-1])
        used = slice(-1, -1 - max(1, min(rank, int(self.num_directions))), -1)
        lengths = np.sqrt(np.maximum(variances[used], np.finfo(float).tiny))
        directions = features.T @ (vectors[:, used] / lengths)
        self.directions_: np.ndarray = directions.astype(np.float32)

    def _encoded(self, values: np.ndarray) -> np.ndarray:
        features = self._features(self._standardised(values))
        features = (features - self.feature_means_) / self.feature_scales_
        return features @ self.directions_.astype(np.float64)

    def _features(self, curves: np.ndarray) -> np.ndarray:
        """Return (n, features) float64 of standardised curves and of their differences."""
        of_curves, of_differences = self.patterns_
        shares = [of_curves(curves), of_differences(np.diff(curves))]
        return np.concatenate(shares, axis=1, dtype=np.float64)

    def _standardised(self, values: np.ndarray) -> np.ndarray:
        return ((values - self.levels_) / self.deviations_).astype(np.float32)


@saved_class
@dataclass(frozen=True)
class Convolutions:
    """Patterns at all dilations, with their biases.

    Features are in the order of dilations, patterns, biases. Every other pattern sees a curve continued by zeros, the
    others see only places where all taps are inside it.
    """

    dilations: np.ndarray
    """(D,) increasing."""
    counts: np.ndarray
    """(D,) biases of each pattern."""
    channels: np.ndarray
    """(D, 84, channels) bool: those that the pattern adds up."""
    biases: np.ndarray
    """(features,) float32."""

    @classmethod
    def fit(cls, values: np.ndarray, num_features: int = 10_000) -> Self:
        """Choose dilations by the length, and biases from responses of curves (n, channels, length), length >= 9."""
        random = np.random.default_rng(0)
        dilations, counts = spaced_dilations(
            values.shape[-1], num_features // len(PATTERNS)
        )
        shape = len(dilations), len(PATTERNS)
        channels = channel_subsets(shape[0] * shape[1], values.shape[1], random)
        channels = channels.reshape(*shape, -1)
        curves = random.integers(len(values), size=shape)
        golden_ratio = (np.sqrt(5) + 1) / 2
        levels = np.arange(1, len(PATTERNS) * counts.sum() + 1) * golden_ratio % 1
        biases = np.empty(len(levels), np.float32)
        first = 0
        for i, (dilation, number) in enumerate(zip(dilations, counts, strict=True)):
            for k, pattern in enumerate(PATTERNS):
                curve = values[curves[i, k], channels[i, k]].sum(0)[None]
                taps = shifted(curve, int(dilation))
                response = 3 * taps[pattern].sum(0) - taps.sum(0)
                own = slice(first, first + number)
                biases[own] = np.quantile(response, levels[own])
                first += number
        return cls(dilations, counts, channels, biases)

    def __call__(self, values: np.ndarray, values_at_once: int = 2**15) -> np.ndarray:
        """Return the features (n, features) float32 of curves (n, channels, length), so many as a cache holds at once."""
        blocks = row_blocks(len(values), values_at_once // values.shape[-1])
        return np.concatenate([self._shares(values[block]) for block in blocks])

    def _shares(self, values: np.ndarray) -> np.ndarray:
        shares = np.empty((len(values), len(self.biases)), np.float32)
        first = 0
        sizes = zip(self.dilations.tolist(), self.counts.tolist(), strict=True)
        for i, (dilation, number) in enumerate(sizes):
            taps = shifted(values, dilation)
            totals = taps.sum(0)
            reach = TAPS // 2 * dilation
            for k, pattern in enumerate(PATTERNS):
                response = 3 * taps[pattern].sum(0) - totals
                response = response[:, self.channels[i, k]].sum(1)
                if (i + k) % 2:
                    response = response[:, reach : response.shape[1] - reach]
                own = slice(first, first + number)
                above = response[:, None] > self.biases[own, None]
                shares[:, own] = np.count_nonzero(above, axis=2) / response.shape[1]
                first += number
        return shares


def spaced_dilations(
    length: int, per_pattern: int, most: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Return (dilations, biases of each pattern at each of them), which add up to `per_pattern`.

    Example:
        >>> spaced_dilations(24, 119)
        (array([1, 2]), array([79, 40]))
    """
    number = min(per_pattern, most)
    largest = np.log2((length - 1) / (TAPS - 1))
    places = np.logspace(0, largest, number, base=2).astype(np.int32).astype(np.int64)
    dilations, counts = np.unique(places, return_counts=True)
    counts = (counts * (per_pattern / number)).astype(np.int64)
    rest = per_pattern - counts.sum()
    counts += rest // len(counts)
    counts[: rest % len(counts)] += 1
    return dilations, counts


def shifted(values: np.ndarray, dilation: int) -> np.ndarray:
    """Return (9, ...) the curves shifted by each tap, continued by zeros."""
    length = values.shape[-1]
    reach = TAPS // 2 * dilation
    wide = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(reach, reach)])
    starts = range(0, TAPS * dilation, dilation)
    return np.stack([wide[..., i : i + length] for i in starts])


def channel_subsets(
    number: int,
    num_channels: int,
    random: np.random.Generator,
    most: int = TAPS,
) -> np.ndarray:
    """Return (number, channels) bool: subsets, of at most so many, whose sizes are uniform on a logarithmic scale."""
    largest = np.log2(min(num_channels, most) + 1)
    sizes = np.floor(2 ** random.uniform(0, largest, number)).astype(int)
    order = np.argsort(random.uniform(size=(number, num_channels)), axis=1)
    return np.argsort(order, axis=1) < sizes[:, None]
