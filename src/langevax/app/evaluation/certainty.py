"""Reliability of predictions: coverage of intervals and sets, and calibration of probabilities."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from langevax.app.evaluation.metrics import positive_class


@dataclass(frozen=True)
class Coverage:
    """Intervals, or sets of classes, on held-out rows."""

    nominal: float
    inside: int
    """Rows whose target lies inside."""
    num_rows: int
    width: float
    """Mean width of the intervals, or mean number of classes of the sets."""
    spread: float
    """Width of the central interval of the targets with the same share, or the number of classes."""

    @property
    def share(self) -> float:
        """Share of the rows whose target lies inside."""
        return self.inside / self.num_rows


@dataclass(frozen=True)
class Calibration:
    """Predicted probabilities beside observed shares, in bins of about as many rows."""

    event: str
    """What has this probability."""
    predicted: np.ndarray
    observed: np.ndarray
    error: np.ndarray
    """Standard error of the observed share, if the predicted one is right."""
    num_rows: np.ndarray


def coverage_of(
    model: Any,
    inputs: Any,
    observed: np.ndarray,
    classes: tuple[str, ...],
    nominal: float = 0.9,
) -> Coverage | None:
    """Return the coverage of a fitted model on rows that it has not seen; None of a model without intervals.

    Args:
        model: the estimator.
        inputs: of the rows.
        observed: their targets.
        classes: empty for regression.
        nominal: the coverage that is asked for.
    """
    try:
        if classes:
            sets = np.asarray(model.predict_set(inputs, nominal))
            inside = sets[np.arange(len(sets)), observed]
            width = sets.sum(1).mean()
            spread = len(classes)
        else:
            low, high = np.asarray(model.predict_interval(inputs, nominal)).T
            inside = (low <= observed) & (observed <= high)
            ends = np.quantile(observed, [(1 - nominal) / 2, (1 + nominal) / 2])
            width = np.mean(high - low)
            spread = np.ptp(ends)
    except (AttributeError, ValueError):
        # fitted without folds, or with too few rows for this coverage
        return None
    return Coverage(
        nominal, int(inside.sum()), len(inside), float(width), float(spread)
    )


def calibration_of(
    observed: np.ndarray,
    probabilities: np.ndarray,
    classes: tuple[str, ...],
    most_bins: int = 8,
    rows_per_bin: int = 25,
) -> Calibration:
    """Return the calibration of the rarer of two classes, or of the likeliest of more.

    Example:
        >>> p = np.repeat([[0.9, 0.1], [0.2, 0.8]], 50, axis=0)
        >>> calibration_of(np.repeat([0, 1], 50), p, ("no", "yes")).predicted[[0, -1]].round(3).tolist()
        [0.1, 0.8]
    """
    if len(classes) == 2:
        place = positive_class(observed)
        event = repr(classes[place])
        p = probabilities[:, place]
        happened = observed == place
    else:
        event = "the likeliest class"
        p = probabilities.max(1)
        happened = probabilities.argmax(1) == observed
    number = max(1, min(most_bins, len(p) // rows_per_bin))
    bins = np.array_split(np.argsort(p, kind="stable"), number)
    predicted, shares = (
        np.array([values[rows].mean() for rows in bins]) for values in (p, happened)
    )
    sizes = np.array([len(rows) for rows in bins])
    error = np.sqrt(predicted * (1 - predicted) / sizes)
    return Calibration(event, predicted, shares, error, sizes)
