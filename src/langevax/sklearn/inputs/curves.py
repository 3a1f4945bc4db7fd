"""Curves as vectors of coefficients: a scikit-learn transformer on which linear weights are functions.

    z_k = s_k integral x(t) f_k(t) dt / |D|,      s_k = (k + 1)^(-decay / 2)

f_k orthonormal for the uniform law of the domain D. A network on z with weights w ~ N(0, I) is a network on curves,

    <w, z> = integral theta(t) x(t) dt / |D|,      theta = sum_k s_k w_k f_k ~ N(0, diag (k + 1)^-decay)

whose weights are functions of a trace-class law (Nishikawa, Suzuki, Nitanda, Wu, NeurIPS 2022). Integrals are exact for
splines through the values, so that finer grids change nothing but the curve.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from langevax import spaces
from langevax.renamed import refuse_former
from langevax.sklearn.inputs.curve_values import (
    AnyCurves,
    CurvesAtTimes,
    Missing,
    ObservedCurves,
    increasing,
    is_pairs,
    read_pairs,
    read_table,
    windows,
)
from langevax.sklearn.inputs.smoothing import (
    Interpolation,
    Regression,
    functions,
    gauss_nodes,
)
from langevax.sklearn.parameters import Auto, count, non_negative, one_of, positive
from langevax.sklearn.saved import saved_class
from langevax.spaces.basis import Basis, Interval
from langevax.spaces.tabulated import Tabulated

BasisName = Literal["cosine", "fourier", "components"]

BASES: dict[str, Callable[..., Basis]] = {
    "cosine": spaces.Cosine,
    "fourier": spaces.Fourier,
}


@dataclass(eq=False, repr=False)
class CurveEncoder(TransformerMixin, BaseEstimator):
    """Curves as functions, whose values at `points_` a subclass encodes.

    A subclass gives the points, learns from the values of the training curves there, and encodes those of any curves.
    """

    _: KW_ONLY
    grid: ArrayLike | None = None
    domain: tuple[float, float] | None = None
    derivative: int | tuple[int, ...] = 0
    smoothing: float | Auto | None = "auto"
    missing: Missing = "error"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "domain": [tuple, None],
        "smoothing": [*positive("auto"), None],
        "missing": one_of("error", "interpolate"),
    }

    def fit(self, X: AnyCurves, y: ArrayLike | None = None) -> Self:
        """Learn domain and grid, noise where curves are regressed, and what the features need."""
        self._validate_params()
        orders = self._orders()
        if not orders or any(isinstance(d, bool) or d not in (0, 1, 2) for d in orders):
            raise ValueError(
                "derivative must be 0, 1, 2 or a tuple of them, got "
                f"{self.derivative!r}."
            )
        curves = self._read(X, reset=True)
        self.num_channels_: int = len(curves.channels)
        self.grid_: np.ndarray | None = curves.grid
        self.domain_: tuple[float, float] = self._fitted_domain(curves)
        self.fits_: list[Interpolation | Regression]
        self.fits_ = [self._fit_channel(groups) for groups in curves.channels]
        self._check_inside(curves)
        self.points_: np.ndarray = self._nodes(curves)
        values = self._values(curves)
        self.mean_values_: np.ndarray = values.mean(0)
        self._learn(values)
        return self

    def transform(self, X: AnyCurves) -> np.ndarray:
        """Return (n, features) float64 of curves in any of the forms that `fit` accepts, on any grid in the domain."""
        check_is_fitted(self)
        return self._encoded(self._values(self._read(X, reset=False)))

    def without_parts(self, X: AnyCurves, num_parts: int) -> Iterator[np.ndarray]:
        """Yield the features of curves that follow the mean training curve in one part after the other.

        Those of x + w (mean - x) for each of the `windows` w.
        """
        check_is_fitted(self)
        values = self._values(self._read(X, False))
        (left, right) = self.domain_
        for share in windows(num_parts, (self.points_ - left) / (right - left)):
            yield self._encoded(values + share * (self.mean_values_ - values))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "interpolate"
        tags.input_tags.three_d_array = True
        return tags

    @abstractmethod
    def _nodes(self, curves: ObservedCurves) -> np.ndarray:
        """Return the points (P,) at which curves are read."""

    @abstractmethod
    def _learn(self, values: np.ndarray) -> None:
        """Set the fitted attributes, from the values (n, blocks, P) of the training curves."""

    @abstractmethod
    def _encoded(self, values: np.ndarray) -> np.ndarray:
        """Return the features (n, features) of values (n, blocks, P)."""

    def _values(self, curves: ObservedCurves) -> np.ndarray:
        """Return (n, blocks, P): the curves, or their derivatives, at the points."""
        blocks = [
            self.fits_[c](curves.channels[c], self.points_, d)
            for c, d in self._blocks()
        ]
        return np.stack(blocks, 1)

    def _read(self, X: AnyCurves, reset: bool) -> ObservedCurves:
        if is_pairs(X):
            curves = read_pairs(X, self.missing)
        else:
            table: Any = validate_data(
                self,
                X,
                reset=reset,
                dtype=np.float64,
                allow_nd=True,
                ensure_all_finite=False,  # `read_table` names the curve of a NaN, and the remedy
            )
            curves = read_table(table, self.grid if reset else self.grid_, self.missing)
        if not reset:
            self._check_inside(curves)
        return curves

    def _fit_channel(self, groups: list[CurvesAtTimes]) -> Interpolation | Regression:
        """Return splines where a table shows no noise, or may: integrals average it out, derivatives do not."""
        auto = isinstance(self.smoothing, str)
        table = len(groups) == 1
        if table and (self.smoothing is None or (auto and self._orders() == (0,))):
            return Interpolation()
        # functions in which noisy curves are regressed: they resolve the modes
        number = max(128, 4 * getattr(self, "num_modes", 0))
        regression = Regression.learn(groups, self.domain_, self.smoothing, number)
        return Interpolation() if table and auto and regression.exact else regression

    def _fitted_domain(self, curves: ObservedCurves) -> tuple[float, float]:
        left, right = curves.range if self.domain is None else self.domain
        return (left - 0.5, right + 0.5) if left == right else (left, right)

    def _check_inside(self, curves: ObservedCurves) -> None:
        """Raise where a curve leaves the domain, or an interpolated one does not reach its ends."""
        (left, right) = self.domain_
        (first, last) = curves.range
        if first < left or last > right:
            raise ValueError(
                f"X has times from {first:.6g} to {last:.6g}, outside the domain "
                f"{left:.6g} to {right:.6g} of the training; cut them off there, or "
                "fit on curves that reach as far, or with a wider domain."
            )
        if len(curves.channels) != self.num_channels_:
            raise ValueError(
                f"X has {len(curves.channels)} channels, and the training curves have "
                f"{self.num_channels_}."
            )
        for fit, groups in zip(self.fits_, curves.channels, strict=True):
            if isinstance(fit, Interpolation):
                for group in groups:
                    _check_reach(group.times, self.domain_, max(self._orders()))

    def _blocks(self) -> list[tuple[int, int]]:
        """Return (channel, derivative) of each part of the output."""
        return [(c, d) for c in range(self.num_channels_) for d in self._orders()]

    def _orders(self) -> tuple[int, ...]:
        if isinstance(self.derivative, tuple | list):
            return tuple(self.derivative)
        return (self.derivative,)


@saved_class
@refuse_former
@dataclass(eq=False, repr=False)
class CurveCoefficients(CurveEncoder):
    """Coefficients of curves in an orthonormal basis, scaled so that standard normal weights are smooth functions.

    Args:
        basis: "cosine", "fourier" (periodic), "components" (functional principal components, at most num_modes of
            them), or a basis of `langevax.spaces` on an interval.
        num_modes: N, of each channel and derivative.
        decay: of the variances of the weights' law; 0 is white noise, above 1 they have a finite sum.
        grid: (G,) times of a table's columns, increasing; None for even steps from 0 to 1.
        domain: the interval beyond which no curve may extend; None: that of the training curves, or of the basis.
        derivative: 0, 1 or 2, or a tuple of them side by side, in the units of the grid.
        smoothing: standard deviation of the noise in the values, removed by regression on a Gaussian law learned from
            all curves; None: none; "auto": learned too, where the curves have times of their own or are differentiated.
        missing: "interpolate" accepts NaN, as a missing value.

    With several channels or derivatives, the coefficients of each are divided by their root mean square, so that units
    do not matter; an estimator with `scaling="global"` preserves the decays. Curves: tables (n, G); arrays
    (n, channels, G); lists of tuples (t, x) where each has times of its own, however few.

    Attributes:
        domain_: the interval of the training curves, beyond which a curve may not extend.
        grid_: (G,) of the training curves where they share one.
        points_, mean_values_: (P,) times at which curves are read, and (blocks, P) the mean of the training curves.
        bases_, scales_: of each block (channel, derivative), in that order: basis, and factors of the coefficients.

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
    decay: float = 2.0

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = (
        CurveEncoder._parameter_constraints
        | {
            "basis": [*one_of(*BASES, "components"), Basis],
            "num_modes": count(1),
            "decay": non_negative(),
        }
    )

    def weight_functions(
        self, weights: ArrayLike, grid: ArrayLike | None = None
    ) -> np.ndarray:
        """Return theta(t) of linear weights: `weights @ z = sum of the blocks' mean over D of theta x`.

        Args:
            weights: (..., features).
            grid: (G,) times; None for those of `times`.

        Returns:
            (..., G), or (..., blocks, G) for several channels or derivatives, in the order of `get_feature_names_out`;
            the function of a derivative multiplies the derivative of the curve.
        """
        points = self.times() if grid is None else increasing("grid", grid)
        cuts = np.cumsum([len(scales) for scales in self.scales_])[:-1]
        parts = np.split(np.asarray(weights, np.float64), cuts, axis=-1)
        blocks = zip(parts, self.scales_, self.bases_, strict=True)
        thetas = [(w * s) @ functions(basis, points).T for w, s, basis in blocks]
        return thetas[0] if len(thetas) == 1 else np.stack(thetas, -2)

    def times(self, num_times: int = 200) -> np.ndarray:
        """Return the grid of the training curves, or so many even times where they share none."""
        check_is_fitted(self)
        if self.grid_ is None:
            return np.linspace(*self.domain_, num_times)
        return self.grid_

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Return names such as "cosine3", or "channel1_d2_cosine3" where there are several channels and derivatives."""
        check_is_fitted(self)
        basis = self.basis
        name = basis if isinstance(basis, str) else type(basis).__name__.lower()
        names = []
        for (c, d), scales in zip(self._blocks(), self.scales_, strict=True):
            channel = f"channel{c}_" * (self.num_channels_ > 1)
            label = channel + f"d{d}_" * (d > 0) + name.removesuffix("s")
            names += [f"{label}{k}" for k in range(len(scales))]
        return np.array(names, object)

    def _fitted_domain(self, curves: ObservedCurves) -> tuple[float, float]:
        if not isinstance(self.basis, Interval):
            return super()._fitted_domain(curves)
        return self.basis.domain

    def _nodes(self, curves: ObservedCurves) -> np.ndarray:
        """Return nodes between which splines of these curves are polynomials and the modes are resolved."""
        if isinstance(self.basis, Basis) and self.basis.dim != 1:
            raise ValueError(
                f"basis must be one of functions of one variable, got {self.basis.dim}."
            )
        if isinstance(self.basis, Tabulated):
            self.weights_: np.ndarray = np.asarray(self.basis.weights)
            return np.asarray(self.basis.points)
        num_modes = getattr(self.basis, "num_modes", self.num_modes)
        edges = np.linspace(*self.domain_, max(2 * num_modes, 64) + 1)
        if curves.grid is not None:
            inside = (curves.grid > edges[0]) & (curves.grid < edges[-1])
            edges = np.union1d(edges, curves.grid[inside])
        nodes, self.weights_ = gauss_nodes(edges)
        return nodes

    def _learn(self, values: np.ndarray) -> None:
        self.bases_: list[Basis] = [
            self._basis(block) for block in values.swapaxes(0, 1)
        ]
        self.scales_: list[np.ndarray] = []
        for projected in self._projected(values):
            scales = np.arange(1.0, projected.shape[1] + 1) ** (-self.decay / 2)
            deviations = projected - projected.mean(0)
            size = np.sqrt(np.mean(np.sum(deviations**2, axis=1)))
            several = len(self.bases_) > 1 and size > 0
            self.scales_.append(scales / size if several else scales)

    def _basis(self, values: np.ndarray) -> Basis:
        """Return the basis of a block with these values (n, P) at the points."""
        if isinstance(self.basis, Basis):
            return self.basis
        if self.basis != "components":
            return BASES[self.basis](self.num_modes, domain=self.domain_)
        whole = spaces.PrincipalComponents(values, self.points_, weights=self.weights_)
        return whole.with_modes(min(self.num_modes, whole.num_modes))

    def _projected(self, values: np.ndarray) -> list[np.ndarray]:
        """Return (n, N) of each block: integrals of the curves times the basis."""
        blocks = zip(values.swapaxes(0, 1), self.bases_, strict=True)
        return [
            block @ (functions(basis, self.points_) * self.weights_[:, None])
            for block, basis in blocks
        ]

    def _encoded(self, values: np.ndarray) -> np.ndarray:
        blocks = zip(self._projected(values), self.scales_, strict=True)
        return np.concatenate([z * scales for z, scales in blocks], axis=1)


def _check_reach(times: np.ndarray, domain: tuple[float, float], order: int) -> None:
    """Raise unless a spline through values at these times determines the curve on the whole domain."""
    left, right = domain
    gap = np.max(np.diff(times)) if len(times) > 1 else right - left
    few = len(times) <= order
    if few or max(times[0] - left, right - times[-1]) > 1.01 * gap:
        raise ValueError(
            f"a curve is observed at {len(times)} times from {times[0]:.6g} to "
            f"{times[-1]:.6g} only, too few for derivative {order} on the domain "
            f"{left:.6g} to {right:.6g}; set smoothing to a number > 0, which fills "
            "the rest by regression."
        )
