"""Surfaces and images as vectors of coefficients in a product of cosines or other bases."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from langevax import checks, spaces
from langevax.sklearn.inputs.curve_values import functions
from langevax.sklearn.inputs.curves import BASES
from langevax.sklearn.parameters import count, non_negative, one_of
from langevax.spaces.basis import Basis


@dataclass(eq=False, repr=False)
class SurfaceCoefficients(TransformerMixin, BaseEstimator):
    """Coefficients of surfaces x(s, t) on a grid of cells, as an image has them, on the unit square:

        z_k = s_k mean over cells of (x - mean) f_k,   f_k = f_i(s) f_j(t) at midpoints,   s_k = (k + 1)^(-decay / 2)

    the N products of lowest frequency, in that order, so that a finer image of the same surface has the same
    coefficients but for O(1 / H^2 + 1 / W^2); standard normal weights on them are surfaces of variances (k + 1)^-decay.

    Args:
        shape: (H, W) of each surface; tables have H W columns in C order. None for inputs (n, H, W), and square ones.
        num_modes: N, at most H W.
        basis: "cosine", "fourier" or "legendre" along both axes.
        decay: of the variances of the weights' law; above 1 they have a finite sum.

    Attributes:
        basis_: `spaces.TensorProduct`.
        shape_: (H, W) of the training surfaces.
        mean_: (N,) coefficients of their mean.

    Raises:
        ValueError, TypeError: a parameter out of range, columns that do not fit the shape, NaN.

    Example:
        >>> s, t = np.meshgrid((np.arange(8) + 0.5) / 8, (np.arange(6) + 0.5) / 6, indexing="ij")
        >>> X = np.stack([np.cos(np.pi * s), -np.cos(np.pi * s)])  # the first wave along s is f_2 / sqrt(2)
        >>> abs(SurfaceCoefficients(num_modes=4, decay=0.0).fit_transform(X)[0].round(3))
        array([0.   , 0.   , 0.707, 0.   ])
    """

    shape: tuple[int, int] | None = None
    num_modes: int = 64
    basis: Literal["cosine", "fourier", "legendre"] = "cosine"
    decay: float = 2.0

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "num_modes": count(1),
        "basis": one_of(*BASES),
        "decay": non_negative(),
    }

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Learn shape and mean."""
        self._validate_params()
        surfaces = self._read(X, reset=True)
        self.shape_: tuple[int, int] = surfaces.shape[1], surfaces.shape[2]
        most = (
            max(self.shape_)
            if self.num_modes >= math.prod(self.shape_)
            else self.num_modes
        )
        factors: list[Basis] = [
            BASES[self.basis](min(most, size)) for size in self.shape_
        ]
        num_modes = min(
            self.num_modes, math.prod(factor.num_modes for factor in factors)
        )
        self.basis_: spaces.TensorProduct = spaces.TensorProduct(factors, num_modes)
        self.scale_: np.ndarray = np.arange(1.0, num_modes + 1) ** (-self.decay / 2)
        self.mean_: np.ndarray = self._project(surfaces).mean(0)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return (n, N) float64; surfaces (n, H', W') may be finer or coarser than those of training."""
        check_is_fitted(self)
        return (self._project(self._read(X, reset=False)) - self.mean_) * self.scale_

    def inverse_transform(
        self, Z: ArrayLike, shape: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Return (n, H, W), the surfaces of these coefficients on a grid of that shape, by default that of training."""
        check_is_fitted(self)
        return self._synthesized(
            np.asarray(Z, np.float64) / self.scale_ + self.mean_, shape
        )

    def weight_functions(
        self, weights: ArrayLike, shape: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Return (..., H, W), theta(s, t) of linear weights on the output: `weights @ z = mean of theta (x - mean)`."""
        check_is_fitted(self)
        return self._synthesized(np.asarray(weights, np.float64) * self.scale_, shape)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Return names such as "cosine_2_0": the numbers of the modes along either axis."""
        check_is_fitted(self)
        places = np.unravel_index(
            self.basis_.order, [factor.num_modes for factor in self.basis_.bases]
        )
        return np.array(
            [f"{self.basis}_{i}_{j}" for i, j in zip(*places, strict=True)], object
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _read(self, X: Any, reset: bool) -> np.ndarray:
        """Return (n, H, W)."""
        if not reset and getattr(X, "ndim", 2) == 3:
            return check_array(X, dtype=np.float64, allow_nd=True)  # pyright: ignore[reportArgumentType, reportReturnType]
        table: Any = validate_data(
            self, X, reset=reset, dtype=np.float64, allow_nd=True
        )
        if table.ndim == 3:
            return table
        columns, shape = table.shape[1], self.shape if reset else self.shape_
        if shape is None:
            side = math.isqrt(columns)
            shape = (side, side) if side**2 == columns else (1, columns)
        for size in shape:
            checks.positive_int("shape", size)
        if len(shape) != 2 or math.prod(shape) != columns:
            raise ValueError(
                f"shape={shape!r} does not fit the {columns} columns of X; pass (H, W) with H W = {columns}."
            )
        return table.reshape(len(table), *shape)

    def _project(self, surfaces: np.ndarray) -> np.ndarray:
        """Return (n, N) means over cells."""
        n, height, width = surfaces.shape
        return (
            surfaces.reshape(n, -1)
            @ functions(self.basis_, _midpoints((height, width)))
            / (height * width)
        )

    def _synthesized(
        self, coefficients: np.ndarray, shape: tuple[int, int] | None
    ) -> np.ndarray:
        shape = self.shape_ if shape is None else shape
        return (coefficients @ functions(self.basis_, _midpoints(shape)).T).reshape(
            *coefficients.shape[:-1], *shape
        )


def _midpoints(shape: tuple[int, int]) -> np.ndarray:
    """Return midpoints (H W, 2) in C order."""
    axes = np.meshgrid(
        *((np.arange(size) + 0.5) / size for size in shape), indexing="ij"
    )
    return np.stack([axis.ravel() for axis in axes], -1)
