"""Curves as features of their shape, in coordinates of the span of the training curves.

`Convolutions`, `CompetingKernels` and `Shapelets` see patterns wherever they occur, `Signatures` the order of events.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from langevax.sklearn.inputs.competing_kernels import CompetingKernels
from langevax.sklearn.inputs.convolutions import TAPS, Convolutions
from langevax.sklearn.inputs.curve_values import AnyCurves, windows
from langevax.sklearn.inputs.curves import CurveCoefficients
from langevax.sklearn.inputs.shapelets import Shapelets
from langevax.sklearn.inputs.signatures import Signatures
from langevax.sklearn.inputs.span import NEGLIGIBLE, SpanColumns
from langevax.sklearn.inputs.unlike import Remark
from langevax.sklearn.persistence import saved_class

FEWEST_POINTS, MOST_POINTS = 2 * TAPS, 2048  # at which curves are read
CURVES_AT_ONCE = 500  # whose features are in memory while parts of them are changed
FEATURES: dict[str, tuple[type, ...]] = {
    "convolutions": (Convolutions, CompetingKernels),
    "signatures": (Signatures,),
    "shapelets": (Shapelets,),
}
"""Classes with `fit`, of curves (n, channels, G); their instances return the features of such curves when called."""


@saved_class
@dataclass(eq=False, repr=False)
class CurveShapes(SpanColumns):
    """Features of one kind, in coordinates of their span.

    Curves are read at even steps by `reader`, its derivatives as channels of their own, each centred and over its
    deviation.

    Attributes:
        points_: (G,) times at which curves are read.
        features_: of the `FEATURES` of this kind.
        means_, deviations_: of the channels.
        mean_values_: (channels, G) float32, the mean training curve.
    """

    reader: CurveCoefficients
    kind: str = "convolutions"

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
        self.deviations_ = np.where(
            deviations > NEGLIGIBLE * np.abs(self.means_), deviations, 1.0
        )
        values, training = self._standardised(values), self._standardised(training)
        self.mean_values_ = training.mean(0, dtype=np.float64).astype(np.float32)
        self.features_ = [kind.fit(training) for kind in FEATURES[self.kind]]
        features = self.features_of(training)
        self._fit_span(features)
        return (
            self._columns(features[places]) if used.all() else self.columns_of(values)
        )

    def transform(self, X: AnyCurves, grid: ArrayLike | None = None) -> np.ndarray:
        """Return (n, directions + 1) float64 of curves in any of the forms that `CurveCoefficients` accepts."""
        return self.columns_of(
            self._standardised(self.reader.values(X, self.points_, grid))
        )

    def unlike_training(
        self, X: AnyCurves, grid: ArrayLike | None = None
    ) -> list[Remark]:
        """Return (place, reason) of each curve of another level or size, as `CurveCoefficients` does."""
        return self.reader.unlike_training(X, grid)

    def columns_of(self, values: np.ndarray) -> np.ndarray:
        """Return the columns of standardised values (n, channels, G)."""
        return self._columns(self.features_of(values))

    def features_of(self, values: np.ndarray) -> np.ndarray:
        """Return the features (n, features) float64 of standardised values (n, channels, G)."""
        return np.concatenate(
            [part(values) for part in self.features_], axis=1, dtype=np.float64
        )

    def without_parts(
        self,
        X: AnyCurves,
        num_parts: int,
        mean: np.ndarray,
        grid: ArrayLike | None = None,
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
        shares = windows(num_parts, np.linspace(0, 1, len(self.points_))).astype(
            np.float32
        )
        for start in range(0, num_parts, at_once):
            selected = shares[start : start + at_once, None, None]
            changed = values + selected * (self.mean_values_ - values)
            yield from self.columns_of(changed.reshape(-1, *values.shape[1:])).reshape(
                len(selected), len(values), -1
            )

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Return names such as "shape3", and "other shapes" of what is orthogonal to the training curves."""
        return np.array(
            [*(f"shape{k}" for k in range(self.num_directions)), "other shapes"], object
        )

    def _standardised(self, values: np.ndarray) -> np.ndarray:
        return ((values - self.means_) / self.deviations_).astype(np.float32)


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
