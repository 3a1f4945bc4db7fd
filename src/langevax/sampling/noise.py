"""The noise of measurements: Gaussian, by its deviations or its covariance."""

from typing import Any

import equinox as eqx
import numpy as np
from jax.typing import ArrayLike

from langevax import checks, renamed


class GaussianNoise(eqx.Module):
    """N(0, C) with one of two descriptions of C, for data of m numbers in all.

    Args:
        standard_deviation: one number or an array like the data.
        covariance: C, (m, m).

    Data with several axes are numbered row by row.

    Raises:
        TypeError, ValueError: neither or both; a matrix that is not square, symmetric and positive definite; standard deviations
            that are not > 0.

    Example:
        >>> import numpy as np
        >>> from langevax.sampling import GaussianNoise
        >>> noise = GaussianNoise(covariance=np.array([[2.0, 1.0], [1.0, 2.0]]))
        >>> noise.times_precision(np.array([3.0, 0.0]))
        array([ 2., -1.])
    """

    standard_deviation: np.ndarray | None
    whitener: np.ndarray | None
    """W with C^-1 = W^T W."""

    @renamed.refuse_former
    def __init__(
        self,
        *,
        standard_deviation: ArrayLike | None = None,
        covariance: ArrayLike | None = None,
    ):
        if (standard_deviation is None) == (covariance is None):
            raise ValueError("pass one of standard_deviation and covariance.")
        self.standard_deviation = None
        self.whitener = None
        if covariance is not None:
            self.whitener = np.linalg.inv(_cholesky(covariance))
        else:
            checks.number("standard_deviation", standard_deviation, positive=True)
            self.standard_deviation = checks.real_array(
                "standard_deviation", standard_deviation
            )

    def check_size(self, shape: tuple[int, ...]) -> None:
        """Raise unless this can be the noise of data of that shape."""
        if (
            self.standard_deviation is not None
            and self.standard_deviation.shape not in ((), shape)
        ):
            raise ValueError(
                f"noise must be one number or of the data's shape {shape}, got shape "
                f"{self.standard_deviation.shape}."
            )
        size = int(np.prod(shape))
        if self.whitener is not None and len(self.whitener) != size:
            raise ValueError(
                f"noise has a matrix of {len(self.whitener)} rows for {size} data; "
                "pass one row and column per datum."
            )

    def whitened(self, residual: Any) -> Any:
        """Return a residual, of NumPy or traced by JAX, in units of the noise, which is N(0, I) there."""
        if self.standard_deviation is not None:
            return residual / self.standard_deviation
        return self.whitener @ residual.reshape(-1)

    def times_precision(self, residual: np.ndarray) -> np.ndarray:
        """Return C^-1 residual, in the shape of the residual."""
        if self.standard_deviation is not None:
            return residual / self.standard_deviation**2
        assert self.whitener is not None
        return (self.whitener.T @ self.whitened(residual)).reshape(residual.shape)

    def scaled(self, unit: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return draws of the noise from those of N(0, I), which have the data's shape after any leading axes."""
        if self.standard_deviation is not None:
            return unit * self.standard_deviation
        assert self.whitener is not None
        flat = unit.reshape(-1, int(np.prod(shape)))
        return np.linalg.solve(self.whitener, flat.T).T.reshape(unit.shape)


def _cholesky(covariance: ArrayLike, most_skew: float = 1e-6) -> np.ndarray:
    """Return the lower factor; asymmetry up to `most_skew` of the largest entry is rounding."""
    matrix = checks.real_array("covariance", covariance)
    checks.finite("covariance", matrix, remedy="pass finite entries")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(
            "covariance must be a square matrix, a row and column per datum, got shape "
            f"{matrix.shape}."
        )
    skew = np.abs(matrix - matrix.T).max()
    if skew > most_skew * np.abs(matrix).max():
        raise ValueError(
            f"covariance is not symmetric: entries differ by {skew:.2g} from their "
            "mirrored ones; pass both."
        )
    try:
        return np.linalg.cholesky((matrix + matrix.T) / 2)
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh((matrix + matrix.T) / 2)[0]
        raise ValueError(
            "covariance is not positive definite: its smallest eigenvalue is "
            f"{least:.2g}; every combination of data needs noise."
        ) from None
