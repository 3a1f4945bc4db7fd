"""The noise of measurements: Gaussian, by its deviations, a covariance, a factor of it, or its precision."""

import numpy as np
from jax.typing import ArrayLike

from langevax import checks


class GaussianNoise:
    """N(0, C) with one of four descriptions of C, for data of m numbers in all.

    Args:
        deviation: standard deviations, one number or an array like the data.
        covariance: C, (m, m).
        factor: L with C = L L^T, (m, m) and invertible.
        precision: C^-1, (m, m).

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
        precision: ArrayLike | None = None,
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
        else:
            self.whitener = _cholesky("precision", precision).T

    def check_size(self, shape: tuple[int, ...]) -> None:
        """Raise unless this can be the noise of data of that shape."""
        if self.deviation is not None and self.deviation.shape not in ((), shape):
            raise ValueError(
                f"noise must be one number or of the data's shape {shape}, got shape {self.deviation.shape}."
            )
        size = int(np.prod(shape))
        if self.whitener is not None and len(self.whitener) != size:
            raise ValueError(
                f"noise has a matrix of {len(self.whitener)} rows for {size} data; pass one row and column per datum."
            )

    def times_precision(self, residual: np.ndarray) -> np.ndarray:
        """Return C^-1 residual, in the shape of the residual."""
        if self.deviation is not None:
            return residual / self.deviation**2
        flat = residual.reshape(-1)
        assert self.whitener is not None
        return (self.whitener.T @ (self.whitener @ flat)).reshape(residual.shape)

    def scaled(self, unit: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return draws of the noise from those of N(0, I), which have the data's shape after any leading axes."""
        if self.deviation is not None:
            return unit * self.deviation
        assert self.whitener is not None
        flat = unit.reshape(-1, int(np.prod(shape)))
        return np.linalg.solve(self.whitener, flat.T).T.reshape(unit.shape)


def _square(name: str, value: object) -> np.ndarray:
    matrix = checks.real_array(name, value)
    checks.finite(name, matrix, remedy="pass finite entries")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(
            f"{name} must be a square matrix, a row and column per datum, got shape {matrix.shape}."
        )
    return matrix


def _cholesky(name: str, value: object, most_skew: float = 1e-6) -> np.ndarray:
    """Return the lower factor; asymmetry up to `most_skew` of the largest entry is rounding."""
    matrix = _square(name, value)
    skew = np.abs(matrix - matrix.T).max()
    if skew > most_skew * np.abs(matrix).max():
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
