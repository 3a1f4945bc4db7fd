"""Curves as vectors of coefficients: a scikit-learn transformer on which linear weights are functions.

    z_k = s_k integral (x - mean)(t) f_k(t) dt / |D|,      s_k = (k + 1)^(-decay / 2)

f_k orthonormal for the uniform law of the domain D. A network on z with weights w ~ N(0, I) is a network on curves,

    <w, z> = integral theta(t) (x - mean)(t) dt / |D|,      theta = sum_k s_k w_k f_k ~ N(0, diag (k + 1)^-decay)

whose weights are functions of a trace-class law (Nishikawa, Suzuki, Nitanda, Wu, NeurIPS 2022). Integrals are exact for
splines through the values, so that finer grids change nothing but the curve.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from langevax import spaces
from langevax.sklearn.inputs.curve_values import (
    AnyCurves,
    CurvesAtTimes,
    Interpolation,
    Missing,
    ObservedCurves,
    Regression,
    cells,
    functions,
    gauss_nodes,
    increasing,
    read_curves,
    windows,
)
from langevax.sklearn.inputs.unlike import CurveRanges, Remark, warn_of
from langevax.sklearn.parameters import (
    FLAG,
    Auto,
    count,
    non_negative,
    one_of,
    positive,
)
from langevax.sklearn.persistence import saved_class
from langevax.spaces.basis import Basis, Interval
from langevax.spaces.tabulated import Tabulated

BasisName = Literal["cosine", "fourier", "legendre", "components"]

BASES: dict[str, Callable[..., Basis]] = {
    "cosine": spaces.Cosine,
    "fourier": spaces.Fourier,
    "legendre": spaces.Legendre,
}
CURVES_AT_ONCE = 2000  # curves whose values at the nodes of the integrals are in memory


@saved_class
@dataclass(eq=False, repr=False)
class CurveCoefficients(TransformerMixin, BaseEstimator):
    """Coefficients of curves in an orthonormal basis, scaled so that standard normal weights are smooth functions.

    Args:
        basis: "cosine", "fourier" (periodic), "legendre", "components" (functional principal components, at most
            num_modes of them), or a basis of `langevax.spaces` on an interval.
        num_modes: N, of each channel and derivative.
        grid: (G,) times of a table's columns, increasing; None for even steps from 0 to 1.
        derivative: 0, 1 or 2, or a tuple of them side by side, in the units of the grid.
        decay: of the variances of the weights' law; 0 is white noise, above 1 they have a finite sum.
        whiten: every coefficient divided by its standard deviation instead.
        channels: of each curve.
        smoothing: standard deviation of the noise in the values, removed by regression on a Gaussian law learned from
            all curves; None: none; "auto": learned too, where the curves have times of their own or are differentiated.
        missing: "interpolate" accepts NaN, as a missing value.
        centre: subtract the mean; not needed in front of an estimator that centres its columns.

    With several channels or derivatives, the coefficients of each are divided by their root mean square, so that units
    do not matter; an estimator with `scaling="global"` preserves the decays. Curves: tables (n, G), (n, channels G) or
    (n, channels, G); lists of tuples (t, x) where each has times of its own, however few; scikit-fda's objects.

    Attributes:
        domain_: the interval of the training curves, beyond which a curve may not extend.
        ranges_: levels and sizes of the training curves, by channel.
        grid_: (G,) of the training curves where they share one.
        num_readings_: readings of a training curve, the median.
        bases_, means_, scales_: of each block (channel, derivative), in that order: basis, coefficients of the mean
            (0 without `centre`), and the factors of the coefficients.

    Warns:
        UnlikeTrainingWarning: of curves far from all training curves, see `unlike_training`.

    Raises:
        ValueError, TypeError: a parameter out of range, NaN, a grid that does not increase, lengths or channels that do
            not fit, times outside the training domain.

    Example:
        >>> t = np.linspace(0, 1, 50)
        >>> encoder = CurveCoefficients(num_modes=4)
        >>> X = np.stack([np.cos(np.pi * t), -np.cos(np.pi * t)])
        >>> abs(encoder.fit_transform(X)[0].round(3))  # cos(pi t) is f_1 / sqrt(2), and s_1 = 1 / 2
        array([0.   , 0.354, 0.   , 0.   ])
        >>> encoder.weight_functions([0.0, 1.0, 0.0, 0.0], [0.0, 0.5, 1.0]).round(3)  # s_1 f_1
        array([ 0.707,  0.   , -0.707])
    """

    basis: BasisName | Basis = "cosine"
    num_modes: int = 32
    grid: ArrayLike | None = None
    derivative: int | tuple[int, ...] = 0
    decay: float = 2.0
    whiten: bool = False
    channels: int = 1
    smoothing: float | Auto | None = "auto"
    missing: Missing = "error"
    centre: bool = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "basis": [*one_of(*BASES, "components"), Basis],
        "num_modes": count(1),
        "decay": non_negative(),
        "whiten": FLAG,
        "channels": count(1),
        "smoothing": [*positive("auto"), None],
        "missing": one_of("error", "interpolate"),
        "centre": FLAG,
    }

    def fit(self, X: AnyCurves, y: ArrayLike | None = None) -> Self:
        """Learn domain, grid and mean, and components, deviations and noise where needed."""
        self._fit(X)
        return self

    def fit_transform(
        self, X: AnyCurves, y: ArrayLike | None = None, **fit_params: Any
    ) -> np.ndarray:
        """Return `fit(X).transform(X)` at the cost of one of them."""
        coefficients = self._fit(X)
        return np.concatenate(
            [
                (z - m) * s
                for z, m, s in zip(coefficients, self.means_, self.scales_, strict=True)
            ],
            1,
        )

    def transform(self, X: AnyCurves, grid: ArrayLike | None = None) -> np.ndarray:
        """Return (n, channels * derivatives * N) float64.

        Args:
            X: curves in any of the forms that `fit` accepts.
            grid: (G,) times of a table's columns, if not those of the training table.
        """
        check_is_fitted(self)
        curves = self._inside(self._read(X, grid, reset=False))
        warn_of(self._remarks(curves), "curve", curves.size)
        blocks = zip(
            self._blocks(), self.bases_, self.means_, self.scales_, strict=True
        )
        return np.concatenate(
            [
                (self._project(curves, *block, basis) - m) * s
                for block, basis, m, s in blocks
            ],
            1,
        )

    def unlike_training(
        self, X: AnyCurves, grid: ArrayLike | None = None
    ) -> list[Remark]:
        """Return (place, reason) of each curve whose level or size is far outside of those of all training curves.

        A level beyond their range by more than its width and the largest size; a size, the standard deviation of the
        readings, more than twice the largest, or less than the smallest by a factor of two and by as much as that is
        less than the largest. `transform` warns of these curves.

        Args:
            X: curves in any of the forms that `fit` accepts.
            grid: as in `transform`.

        Example:
            >>> X = np.sin(np.linspace(0, 6, 30) + np.arange(8.0)[:, None])
            >>> CurveCoefficients().fit(X).unlike_training([X[0], 1000 * X[1]])
            [(1, 'its standard deviation is 706, and theirs are 0.703 to 0.711')]
        """
        check_is_fitted(self)
        return self._remarks(self._read(X, grid, reset=False))

    def _remarks(self, curves: ObservedCurves) -> list[Remark]:
        ranges = vars(self).get("ranges_")  # models of earlier versions have none
        return [] if ranges is None else ranges.remarks(curves)

    def values(
        self, X: AnyCurves, points: np.ndarray, grid: ArrayLike | None = None
    ) -> np.ndarray:
        """Return (n, blocks, points) float64: the curves, or their derivatives, as they are read.

        Args:
            X: curves in any of the forms that `fit` accepts.
            points: times in the domain.
            grid: as in `transform`.
        """
        check_is_fitted(self)
        curves = self._inside(self._read(X, grid, reset=False))
        warn_of(self._remarks(curves), "curve", curves.size)
        return np.stack(
            [self.fits_[c](curves.channels[c], points, d) for c, d in self._blocks()], 1
        )

    def without_parts(
        self,
        X: AnyCurves,
        num_parts: int,
        mean: np.ndarray,
        grid: ArrayLike | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield the coefficients of curves that follow the mean curve in one part after the other.

        Those of x + w (mean - x) for each of the `windows` w, of the curves x that the modes represent.

        Args:
            X: n curves.
            num_parts: of the domain.
            mean: (features,) coefficients of the mean curve.
            grid: as in `transform`.
        """
        coefficients = self.transform(X, grid)
        deviations, (left, right) = self._split(coefficients - mean), self.domain_
        products = []
        for basis in self.bases_:
            nodes, weights = gauss_nodes(
                np.linspace(left, right, max(2 * basis.num_modes, 64) + 1)
            )
            table = functions(basis, nodes)
            shares = windows(num_parts, (nodes - left) / (right - left)) * weights
            products.append([table.T @ (share[:, None] * table) for share in shares])
        for part in range(num_parts):
            changes = [
                z / np.where(s > 0, s, np.inf) @ product[part] * s
                for z, s, product in zip(
                    deviations, self.scales_, products, strict=True
                )
            ]
            yield coefficients - np.concatenate(changes, 1)

    def inverse_transform(
        self, Z: ArrayLike, grid: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the curves of these coefficients, (n, G) or (n, channels, G), on `grid`; None: that of training."""
        check_is_fitted(self)
        if 0 not in self._orders():
            raise ValueError(
                f"derivative={self.derivative!r} does not determine the curves' level; include 0 for an inverse."
            )
        points = self._points(grid)
        curves = []
        parts = zip(
            self._blocks(),
            self._split(Z),
            self.scales_,
            self.means_,
            self.bases_,
            strict=True,
        )
        for (_, d), z, s, m, basis in parts:
            if d == 0:
                table, divisor = functions(basis, points), np.where(s > 0, s, np.inf)
                components = isinstance(
                    basis, spaces.PrincipalComponents
                )  # which do not span their mean
                mean = (
                    np.interp(points, basis.points, basis.mean)
                    if components
                    else m @ table.T
                )
                curves.append(z / divisor @ table.T + mean)
        return curves[0] if self.channels == 1 else np.stack(curves, 1)

    def weight_functions(
        self, weights: ArrayLike, grid: ArrayLike | None = None
    ) -> np.ndarray:
        """Return theta(t) of linear weights: `weights @ z = sum of the blocks' mean over D of theta (x - mean)`.

        Args:
            weights: (..., features).
            grid: (G,) times; None for the training grid.

        Returns:
            (..., G), or (..., blocks, G) for several channels or derivatives, in the order of `get_feature_names_out`;
            the function of a derivative multiplies the derivative of the curve.
        """
        check_is_fitted(self)
        points = self._points(grid)
        parts = zip(self._split(weights), self.scales_, self.bases_, strict=True)
        thetas = [(w * s) @ functions(basis, points).T for w, s, basis in parts]
        return thetas[0] if len(thetas) == 1 else np.stack(thetas, -2)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Return names such as "cosine3", or "channel1_d2_cosine3" where there are several channels and derivatives."""
        check_is_fitted(self)
        basis = (
            self.basis
            if isinstance(self.basis, str)
            else type(self.basis).__name__.lower()
        )
        basis = "component" if basis == "components" else basis
        names = []
        for (c, d), mean in zip(self._blocks(), self.means_, strict=True):
            label = f"channel{c}_" * (self.channels > 1) + f"d{d}_" * (d > 0) + basis
            names += [f"{label}{k}" for k in range(len(mean))]
        return np.array(names, object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "interpolate"
        tags.input_tags.three_d_array = True
        return tags

    def _fit(self, X: Any) -> list[np.ndarray]:
        """Set the fitted attributes; return the coefficients of each block before centring and scaling."""
        self._validate_params()
        if isinstance(self.basis, Basis) and self.basis.dim != 1:
            raise ValueError(
                f"basis must be one of functions of one variable, got {self.basis.dim}; see SurfaceCoefficients."
            )
        orders = self._orders()
        if not orders or any(isinstance(d, bool) or d not in (0, 1, 2) for d in orders):
            raise ValueError(
                f"derivative must be 0, 1, 2 or a tuple of them, got {self.derivative!r}."
            )
        curves = self._read(X, self.grid, reset=True)
        curves.check_size()
        self.grid_: np.ndarray | None = curves.grid
        self.domain_: tuple[float, float] = self._domain(curves)
        self.num_readings_: int = curves.num_readings
        self.fits_: list[Interpolation | Regression] = [
            self._fit_channel(groups) for groups in curves.channels
        ]
        self._inside(curves)
        self.ranges_: CurveRanges = CurveRanges.learn(curves, min(orders))
        fitted = [self._fit_block(curves, c, d) for c, d in self._blocks()]
        self.bases_: list[Basis] = [basis for basis, _ in fitted]
        coefficients = [z for _, z in fitted]
        self.means_: list[np.ndarray] = [
            z.mean(0) if self.centre else np.zeros(z.shape[1]) for z in coefficients
        ]
        self.scales_: list[np.ndarray] = [
            self._scale(z - z.mean(0)) for z in coefficients
        ]
        return coefficients

    def _fit_channel(self, groups: list[CurvesAtTimes]) -> Interpolation | Regression:
        """Return splines where a table shows no noise, or may: integrals average it out, derivatives do not."""
        auto, table = isinstance(self.smoothing, str), len(groups) == 1
        if table and (self.smoothing is None or (auto and self._orders() == (0,))):
            return Interpolation()
        regression = Regression.learn(
            groups, self.domain_, self.smoothing, self.num_modes
        )
        return Interpolation() if table and auto and regression.exact else regression

    def _fit_block(
        self, curves: ObservedCurves, c: int, d: int
    ) -> tuple[Basis, np.ndarray]:
        if not (isinstance(self.basis, str) and self.basis == "components"):
            return (basis := self._basis()), self._project(curves, c, d, basis)
        nodes, weights = gauss_nodes(cells(curves, self.domain_, self.num_modes))
        values = self.fits_[c](curves.channels[c], nodes, d)
        whole = spaces.PrincipalComponents(values, nodes, weights=weights)
        basis = whole.with_modes(min(self.num_modes, whole.num_modes))
        return basis, self._project(curves, c, d, basis)

    def _project(
        self, curves: ObservedCurves, c: int, d: int, basis: Basis
    ) -> np.ndarray:
        """Return (n, N): integrals of the d-th derivative of channel c times the basis."""
        if isinstance(basis, Tabulated):
            nodes, weights = basis.points, basis.weights
        else:
            nodes, weights = gauss_nodes(cells(curves, self.domain_, basis.num_modes))
        table, groups = functions(basis, nodes) * weights[:, None], curves.channels[c]
        if len(groups) > 1:
            return self.fits_[c](groups, nodes, d) @ table
        (group,) = groups
        parts = [
            group.values[i : i + CURVES_AT_ONCE]
            for i in range(0, len(group.values), CURVES_AT_ONCE)
        ]
        parts = [
            CurvesAtTimes(group.times, values, np.arange(len(values)))
            for values in parts
        ]
        projected = [self.fits_[c]([part], nodes, d) @ table for part in parts]
        return np.concatenate(projected)

    def _scale(self, deviations: np.ndarray) -> np.ndarray:
        """Return the factors (N,) of the coefficients."""
        if self.whiten:
            spread = np.std(deviations, axis=0)
            varies = spread > 1e-10 * spread.max()
            return np.where(varies, 1 / np.where(varies, spread, 1.0), 0.0)
        scale = np.arange(1.0, deviations.shape[1] + 1) ** (-self.decay / 2)
        size = float(np.sqrt(np.mean(np.sum(deviations**2, axis=1))))
        return scale / size if len(self._blocks()) > 1 and size > 0 else scale

    def _read(self, X: Any, grid: Any, reset: bool) -> ObservedCurves:
        if not reset and grid is None:
            grid = self.grid_

        def validated(
            table: Any,
        ) -> Any:  # `read_curves` names the curve of a NaN, and the remedy
            if reset or (grid is self.grid_ and hasattr(self, "n_features_in_")):
                return validate_data(
                    self,
                    table,
                    reset=reset,
                    dtype=np.float64,
                    allow_nd=True,
                    ensure_all_finite=False,
                )
            float64: Any = np.float64
            return check_array(
                table, dtype=float64, allow_nd=True, ensure_all_finite=False
            )

        return read_curves(X, grid, self.channels, self.missing, validated)

    def _domain(self, curves: ObservedCurves) -> tuple[float, float]:
        if isinstance(self.basis, Interval):
            return self.basis.domain
        left, right = curves.range
        if left == right:
            left, right = left - 0.5, right + 0.5
        return left, right

    def _inside(self, curves: ObservedCurves) -> ObservedCurves:
        """Raise where a curve leaves the domain, or an interpolated one does not reach its ends."""
        (left, right), (first, last) = self.domain_, curves.range
        if first < left or last > right:
            raise ValueError(
                f"X has times from {first:.6g} to {last:.6g}, outside the domain {left:.6g} to {right:.6g} of the "
                "training; cut them off there, or fit on curves that reach as far, or with a basis of a wider domain."
            )
        for fit, groups in zip(self.fits_, curves.channels, strict=True):
            if isinstance(fit, Interpolation):
                for group in groups:
                    _check_reach(group.times, self.domain_, max(self._orders()))
        return curves

    def _basis(self) -> Basis:
        if isinstance(self.basis, Basis):
            return self.basis
        return BASES[self.basis](self.num_modes, domain=self.domain_)

    def _points(self, grid: Any) -> np.ndarray:
        if grid is None and self.grid_ is None:
            raise ValueError(
                "the training curves share no grid; pass grid, (G,) times."
            )
        return increasing("grid", self.grid_ if grid is None else grid)

    def _split(self, coefficients: Any) -> list[np.ndarray]:
        """Split coefficients into blocks along the last axis."""
        coefficients = np.asarray(coefficients, np.float64)
        sizes = [len(mean) for mean in self.means_]
        if coefficients.ndim == 0 or coefficients.shape[-1] != sum(sizes):
            raise ValueError(
                f"expected {sum(sizes)} numbers on the last axis, got shape {coefficients.shape}."
            )
        return np.split(coefficients, np.cumsum(sizes)[:-1], axis=-1)

    def _blocks(self) -> list[tuple[int, int]]:
        """Return (channel, derivative) of each part of the output."""
        return [(c, d) for c in range(self.channels) for d in self._orders()]

    def _orders(self) -> tuple[int, ...]:
        return (
            tuple(self.derivative)
            if isinstance(self.derivative, tuple | list)
            else (self.derivative,)
        )


def _check_reach(times: np.ndarray, domain: tuple[float, float], order: int) -> None:
    """Raise unless a spline through values at these times determines the curve on the whole domain."""
    (left, right), remedy = (
        domain,
        "set smoothing to a number > 0, which fills the rest by regression",
    )
    gap = np.max(np.diff(times)) if len(times) > 1 else right - left
    if max(times[0] - left, right - times[-1]) > 1.01 * gap:
        raise ValueError(
            f"a curve is observed from {times[0]:.6g} to {times[-1]:.6g} only, but the domain is {left:.6g} to "
            f"{right:.6g}; {remedy}."
        )
    if len(times) <= order:
        raise ValueError(
            f"derivative={order} needs at least {order + 1} points a curve, got {len(times)}; {remedy}."
        )
