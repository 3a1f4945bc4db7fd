"""Curves as the patterns in them, wherever these occur, in coordinates of the span of the training curves.

Of n curves, the 10,000 features of `Convolutions` span a space of n directions. In an orthonormal basis V of it, a
neuron's weights w ~ N(0, I) have independent coordinates V^T w ~ N(0, I), and what is orthogonal to the training curves
keeps the law of the prior: objective, optimum and certificate of the network on V^T z are those of the network on z.
On another curve the orthogonal part is a Gaussian of standard deviation |z - V V^T z|, independent of the rest: the
last column, which is 0 on every training curve. So are its predictions those of the network on z, exactly.

Above `MOST_DIRECTIONS` curves the coordinates are those of the principal directions, and the last column is 0. So are
those of a `narrowed` encoder: moves of a neuron cost the square of its columns, and kernel machines on the first 128
directions of 350 to 1,000 curves had no larger leave-one-out errors than on 512.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from langevax.sklearn.inputs.convolutions import TAPS, Convolutions
from langevax.sklearn.inputs.curve_values import AnyCurves, windows
from langevax.sklearn.inputs.curves import CurveCoefficients
from langevax.sklearn.inputs.unlike import Remark
from langevax.sklearn.persistence import saved_class

FEWEST_POINTS, MOST_POINTS = 2 * TAPS, 2048  # at which curves are read
CURVES_AT_ONCE = 500  # whose features are in memory while parts of them are changed
MOST_DIRECTIONS = 512  # of the span of the training curves
NEGLIGIBLE = 1e-9  # eigenvalue over the largest, deviation over a mean: below is rounding
ROUNDING = 1e-6  # square of a norm over another, in coordinates of single precision


@saved_class
@dataclass(eq=False, repr=False)
class CurveShapes:
    """Features of `Convolutions`, each over its deviation, in an orthonormal basis of those of the training curves.

    Curves are read at even steps by `reader`, its derivatives as channels of their own, each centred and over its
    deviation.

    Attributes:
        points_: (G,) times at which curves are read.
        convolutions_: the features.
        means_, deviations_: of the channels.
        feature_means_, feature_scales_: of the features; a scale is a deviation times the root of their number.
        directions_: (features, directions) float32.
        mean_values_: (channels, G) float32, the mean training curve.
        exact_: whether the directions span the training curves.
    """

    reader: CurveCoefficients

    def fit_transform(self, X: AnyCurves, used: np.ndarray | None = None) -> np.ndarray:
        """Learn from the curves `used` (n,) bool, by default all of them; return the columns of all."""
        self.reader.fit(X)
        self.grid_, self.domain_ = self.reader.grid_, self.reader.domain_
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.reader, name):
                setattr(self, name, getattr(self.reader, name))
        num_points = int(np.clip(self.reader.num_readings_, FEWEST_POINTS, MOST_POINTS))
        self.points_ = np.linspace(*self.domain_, num_points)
        values = self.reader.values(X, self.points_)
        if used is None or used.shape != (len(values),) or not used.any():
            used = np.ones(len(values), bool)
        training, places = distinct(values[used])
        self.means_ = training.mean((0, 2), keepdims=True)
        deviations = training.std((0, 2), keepdims=True)
        self.deviations_ = np.where(deviations > NEGLIGIBLE * np.abs(self.means_), deviations, 1.0)
        values, training = self._standardised(values), self._standardised(training)
        self.mean_values_ = training.mean(0, dtype=np.float64).astype(np.float32)
        self.convolutions_ = Convolutions.fit(training)
        features = self.convolutions_(training)
        self._fit_span(features.astype(np.float64))
        return self._columns(features[places]) if used.all() else self.columns_of(values)

    def transform(self, X: AnyCurves, grid: ArrayLike | None = None) -> np.ndarray:
        """Return (n, directions + 1) float64 of curves in any of the forms that `CurveCoefficients` accepts."""
        return self.columns_of(self._standardised(self.reader.values(X, self.points_, grid)))

    def unlike_training(self, X: AnyCurves, grid: ArrayLike | None = None) -> list[Remark]:
        """Return (place, reason) of each curve of another level or size, as `CurveCoefficients.unlike_training` does."""
        return self.reader.unlike_training(X, grid)

    def columns_of(self, values: np.ndarray) -> np.ndarray:
        """Return the columns of standardised values (n, channels, G)."""
        return self._columns(self.convolutions_(values))

    def _columns(self, features: np.ndarray) -> np.ndarray:
        features = (features - self.feature_means_) / self.feature_scales_
        coordinates = features @ self.directions_.astype(np.float64)
        size = np.sum(features**2, axis=1)
        rest = size - np.sum(coordinates**2, axis=1) if self.exact_ else np.zeros(len(size))
        outside = np.sqrt(np.where(rest > ROUNDING * size, rest, 0.0))
        return np.column_stack([coordinates, outside])

    @property
    def num_directions(self) -> int:
        """Number of coordinates, the last column aside."""
        return self.directions_.shape[1]

    def narrowed(self, num_directions: int) -> "CurveShapes":
        """Return the encoder of the first directions alone, on which other curves have no orthogonal part."""
        narrow = copy.copy(self)
        narrow.directions_ = np.ascontiguousarray(self.directions_[:, :num_directions])
        narrow.exact_ = False
        return narrow

    def without_parts(
        self, X: AnyCurves, num_parts: int, mean: np.ndarray, grid: ArrayLike | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the columns of curves that follow the mean curve in one part after the other.

        Those of x + w (mean - x) for each of the `windows` w.

        Args:
            X: n curves.
            num_parts: of the domain.
            mean: of the columns, which this encoder does not need.
            grid: as in `transform`.
        """
        values = self._standardised(self.reader.values(X, self.points_, grid))
        at_once = max(1, CURVES_AT_ONCE // len(values))
        shares = windows(num_parts, np.linspace(0, 1, len(self.points_))).astype(np.float32)
        for start in range(0, num_parts, at_once):
            selected = shares[start : start + at_once, None, None]
            changed = values + selected * (self.mean_values_ - values)
            yield from self.columns_of(changed.reshape(-1, *values.shape[1:])).reshape(len(selected), len(values), -1)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return names such as "shape3", and "other shapes" of what is orthogonal to the training curves."""
        return np.array([*(f"shape{k}" for k in range(self.directions_.shape[1])), "other shapes"], object)

    def _standardised(self, values: np.ndarray) -> np.ndarray:
        return ((values - self.means_) / self.deviations_).astype(np.float32)

    def _fit_span(self, features: np.ndarray) -> None:
        """Set the scales of the features (n, features), and an orthonormal basis of their span."""
        self.feature_means_, deviations = features.mean(0), features.std(0)
        varies = deviations > 0
        self.feature_scales_ = np.where(varies, deviations, np.inf) * np.sqrt(max(1, np.count_nonzero(varies)))
        features = (features - self.feature_means_) / self.feature_scales_
        eigenvalues, vectors = np.linalg.eigh(features @ features.T)
        eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
        rank = max(1, np.count_nonzero(eigenvalues > NEGLIGIBLE * max(eigenvalues[0], np.finfo(float).tiny)))
        used = slice(min(rank, MOST_DIRECTIONS))
        self.exact_ = rank <= MOST_DIRECTIONS
        sizes = np.sqrt(np.maximum(eigenvalues[used], np.finfo(float).tiny))
        self.directions_ = (features.T @ (vectors[:, used] / sizes)).astype(np.float32)


def distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distinct curves (m, channels, G) in an order of their own, and the place of each of n among them.

    Repeated curves count once. Values of a channel that agree to single precision of half its range are the same,
    whatever its level and unit.
    """
    low, high = values.min((0, 2), keepdims=True), values.max((0, 2), keepdims=True)
    half = high / 2 - low / 2
    scaled = (values - (low / 2 + high / 2)) / np.where(half > 0, half, 1.0)
    rows = scaled.reshape(len(values), -1).astype(np.float32)
    _, first, places = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return values[first], places.reshape(-1)
