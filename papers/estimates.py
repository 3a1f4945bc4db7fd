"""Estimates from replicates, their standard errors, and how far they may be from what a claim predicts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray
from numpy.typing import ArrayLike
from scipy.stats import linregress
from scipy.stats import t as student_t

FALSE_ALARM = 1e-3  # probability that a true claim is refused, shared over all comparisons of a kind


def mean_and_error(
    values: ArrayLike | xarray.DataArray, over: str | None = None
) -> tuple[Any, Any]:
    """Return the mean over replicates, the first axis or the dimension `over`, and its standard error.

    Example:
        >>> mean_and_error([1.0, 2.0, 3.0, 4.0])[0]
        np.float64(2.5)
    """
    array = np.asarray(
        values.transpose(over, ...)
        if isinstance(values, xarray.DataArray) and over
        else values
    )
    return array.mean(axis=0), array.std(axis=0, ddof=1) / np.sqrt(len(array))


def critical_value(comparisons: int, replicates: float = np.inf) -> float:
    """Standard errors that a true claim exceeds in one of so many comparisons with probability `FALSE_ALARM`.

    Errors come from `replicates` runs: Student's t with a Bonferroni correction.

    Example:
        >>> round(critical_value(1), 2), round(critical_value(6, 20), 2)
        (3.29, 4.67)
    """
    return float(student_t.isf(FALSE_ALARM / (2 * comparisons), replicates - 1))


def jackknife(
    statistic: Callable[..., Any], *samples: np.ndarray, groups: int = 40
) -> tuple[float, float]:
    """Return the statistic of all samples without its bias, and its standard error, by leaving groups out.

    Example:
        >>> value, error = jackknife(np.mean, np.array([1.0, 2.0, 3.0, 4.0]), groups=4)
        >>> round(value, 6), round(error, 6)
        (2.5, 0.645497)
    """
    parts = np.array_split(np.arange(len(samples[0])), groups)
    left_out = np.array(
        [
            statistic(*(np.delete(sample, part, axis=0) for sample in samples))
            for part in parts
        ]
    )
    value = groups * statistic(*samples) - (groups - 1) * left_out.mean()
    return float(value), float(np.sqrt((groups - 1) * left_out.var()))


def exponent(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope of log y in log x by least squares, and its standard error from the residuals.

    Example:
        >>> round(exponent(np.array([1.0, 2.0, 4.0]), np.array([3.0, 12.0, 48.0]))[0], 6)
        2.0
    """
    fit: Any = linregress(np.log(x), np.log(y))
    return float(fit.slope), float(fit.stderr)


def weighted_exponent(
    x: np.ndarray, y: np.ndarray, error: np.ndarray
) -> tuple[float, float]:
    """Slope of log y in log x by weighted least squares, and its standard error from those of y."""
    fit, covariance = np.polyfit(np.log(x), np.log(y), 1, w=y / error, cov="unscaled")
    return float(fit[0]), float(np.sqrt(covariance[0, 0]))
