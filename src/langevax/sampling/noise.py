"""The noise of measurements: Gaussian, by its deviations, a covariance, a factor of it, or its precision."""

from collections.abc import Callable

import numpy as np
from jax.typing import ArrayLike

from langevax import checks

MOST_SKEW = 1e-6
"""Largest asymmetry of a covariance, relative to its largest entry, that is rounding."""
MOST_SKEW_OF_OPERATOR = 1e-3
"""The same of a precision that is a function, which may compute in float32, relative to |a| |precision(b)|."""
NUM_UNITS = 100
"""Single data at which such a precision is tried."""


class GaussianNoise:
    """N(0, C) with one of four descriptions of C, for data of m numbers in all.

    Args:
        deviation: standard deviations, one number or an array like the data.
        covariance: C, (m, m).
        factor: L with C = L L^T, (m, m) and invertible.
        precision: C^-1, as (m, m) or as a function `residual -> C^-1 residual` of a vector (m,), which for a forward
            map in JAX is written in JAX.

    Data with several axes are numbered row by row.

    Raises:
        TypeError, ValueError: none of the four or several; a matrix that is not square, symmetric and positive definite
            (a factor: invertible); deviations that are not > 0.

    Example:
        >>> import numpy as np
        >>> from langevax.sampling import GaussianNoise
        >>> noise = GaussianNoise(covariance=np.array([[2.0, 1.0], [1.0, 2.0]]))
        >>> noise.times_precision(np.array([3.0, 0.0]))
        array([ 2., -1.])
    """

    def __init__(
        self,
        *,
        deviation: ArrayLike | None = None,
        covariance: ArrayLike | None = None,
        factor: ArrayLike | None = None,
        precision: ArrayLike | Callable | None = None,
    ):
        passed = {
            "deviation": deviation,
            "covariance": covariance,
            "factor": factor,
            "precision": precision,
        }
        names = [name for name, value in passed.items() if value is not None]
        if len(names) != 1:
            raise ValueError(
                f"pass one of deviation, covariance, factor and precision, got {', '.join(names) or 0}."
            )
        self.deviation: np.ndarray | None = None
        self.whitener: np.ndarray | None = None
        """W with C^-1 = W^T W."""
        self.operator: Callable | None = None
        if deviation is not None:
            checks.number("deviation", deviation, positive=True)
            self.deviation = checks.real_array("deviation", deviation)
        elif covariance is not None:
            lower = _cholesky("covariance", covariance)
            self.whitener = np.linalg.inv(lower)
        elif factor is not None:
            matrix = _square("factor", factor)
            if np.linalg.cond(matrix) > 1 / np.finfo(np.float64).eps:
                raise ValueError(
                    "factor is singular to rounding; every datum needs noise: pass an invertible one."
                )
            self.whitener = np.linalg.inv(matrix)
        elif callable(precision):
            self.operator = precision
        else:
            self.whitener = _cholesky("precision", precision).T

    def check_size(self, shape: tuple[int, ...]) -> None:
        """Raise unless this can be the noise of data of that shape."""
        if self.deviation is not None and self.deviation.shape not in ((), shape):
            raise ValueError(
                f"noise must be one number or of the data's shape {shape}, got shape {self.deviation.shape}."
            )
        size = int(np.prod(shape))
        if self.operator is not None:
            self._check_operator(shape)
        if self.whitener is not None and len(self.whitener) != size:
            raise ValueError(
                f"noise has a matrix of {len(self.whitener)} rows for {size} data; pass one row and column per datum."
            )

    def times_precision(self, residual: np.ndarray) -> np.ndarray:
        """Return C^-1 residual, in the shape of the residual."""
        if self.deviation is not None:
            return residual / self.deviation**2
        flat = residual.reshape(-1)
        if self.whitener is not None:
            return (self.whitener.T @ (self.whitener @ flat)).reshape(residual.shape)
        assert self.operator is not None
        product = np.array(self.operator(flat.copy()), np.float64)
        if product.shape != flat.shape:
            raise ValueError(
                f"the noise's precision returned shape {product.shape} for a residual of shape {flat.shape}; return "
                "one number per datum."
            )
        return product.reshape(residual.shape)

    def scaled(self, unit: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return draws of the noise from those of N(0, I), which have the data's shape after any leading axes."""
        if self.deviation is not None:
            return unit * self.deviation
        if self.whitener is None:
            raise ValueError(
                "a precision that is a function draws no noise; describe the noise by a covariance."
            )
        flat = unit.reshape(-1, int(np.prod(shape)))
        return np.linalg.solve(self.whitener, flat.T).T.reshape(unit.shape)

    def _check_operator(self, shape: tuple[int, ...]) -> None:
        """Raise unless the precision is symmetric and positive on some random residuals."""
        a, b = np.random.default_rng(0).standard_normal((2, *shape))
        at_a, at_b = self.times_precision(a), self.times_precision(b)
        skew = abs(float(np.sum(a * at_b) - np.sum(b * at_a)))
        if not skew <= MOST_SKEW_OF_OPERATOR * float(
            np.linalg.norm(a) * np.linalg.norm(at_b)
        ):
            raise ValueError(
                f"precision is not symmetric: <a, precision(b)> and <b, precision(a)> differ by {skew:.3g} for two "
                "random residuals; return the product with one symmetric matrix."
            )
        units = np.eye(int(np.prod(shape)))[:NUM_UNITS].reshape(-1, *shape)
        for residual in (a, b, a - b, *units):
            square = float(np.sum(residual * self.times_precision(residual)))
            if not square > 0:
                raise ValueError(
                    f"precision is not positive definite: <r, precision(r)> is {square:.3g} for one residual r; return "
                    "the product with the inverse of a covariance."
                )


def _square(name: str, value: object) -> np.ndarray:
    matrix = checks.real_array(name, value)
    checks.finite(name, matrix, remedy="pass finite entries")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(
            f"{name} must be a square matrix, a row and column per datum, got shape {matrix.shape}."
        )
    return matrix


def _cholesky(name: str, value: object) -> np.ndarray:
    matrix = _square(name, value)
    skew = np.abs(matrix - matrix.T).max()
    if skew > MOST_SKEW * np.abs(matrix).max():
        raise ValueError(
            f"{name} is not symmetric: entries differ by {skew:.2g} from their mirrored ones; pass both."
        )
    try:
        return np.linalg.cholesky((matrix + matrix.T) / 2)
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh((matrix + matrix.T) / 2)[0]
        raise ValueError(
            f"{name} is not positive definite: its smallest eigenvalue is {least:.2g}; every combination of data needs "
            "noise."
        ) from None
