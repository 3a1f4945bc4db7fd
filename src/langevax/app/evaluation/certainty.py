"""Reliability of predictions: coverage of intervals and sets, and calibration of probabilities."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from langevax.app.evaluation.metrics import positive_class

NOMINAL = 0.9  # coverage
MAX_BINS, ROWS_PER_BIN = 8, 25


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
    clipped: int = 0
    """Intervals that begin at 0 and would begin below, where no target is."""
    rarest: tuple[int, int, int] | None = None
    """Of classes, the rarest one of these rows: its place, how many of its rows lie inside, and its rows."""

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
    never_negative: bool = False,
) -> Coverage | None:
    """Return the coverage of a fitted model on rows that it has not seen; None of a model without intervals.

    Args:
        model: the estimator.
        inputs: of the rows.
        observed: their targets.
        classes: empty for regression.
        never_negative: whether all targets are at least 0, so that intervals begin there.
    """
    try:
        if classes:
            sets = np.asarray(model.predict_set(inputs, NOMINAL))
            inside = sets[np.arange(len(sets)), observed]
            sizes = np.bincount(observed, minlength=len(classes))
            rarest = int(np.where(sizes > 0, sizes, sizes.max() + 1).argmin())
            of_rarest = (
                rarest,
                int(inside[observed == rarest].sum()),
                int(sizes[rarest]),
            )
            size, number = float(sets.sum(1).mean()), float(len(classes))
            return Coverage(
                NOMINAL, int(inside.sum()), len(sets), size, number, rarest=of_rarest
            )
        low, high = np.asarray(model.predict_interval(inputs, NOMINAL)).T
    except (
        AttributeError,
        ValueError,
    ):  # fitted without folds, or with too few rows for this coverage
        return None
    clipped = int((low < 0).sum()) if never_negative else 0
    if clipped:
        low, high = np.maximum(low, 0.0), np.maximum(high, 0.0)
    inside = (low <= observed) & (observed <= high)
    first, last = np.quantile(observed, [(1 - NOMINAL) / 2, (1 + NOMINAL) / 2])
    return Coverage(
        NOMINAL,
        int(inside.sum()),
        len(low),
        float(np.mean(high - low)),
        float(last - first),
        clipped,
    )


def calibration_of(
    observed: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]
) -> Calibration:
    """Return the calibration of the rarer of two classes, or of the likeliest of more.

    Example:
        >>> p = np.repeat([[0.9, 0.1], [0.2, 0.8]], 50, axis=0)
        >>> calibration_of(np.repeat([0, 1], 50), p, ("no", "yes")).predicted[[0, -1]].round(3).tolist()
        [0.1, 0.8]
    """
    if len(classes) == 2:
        place = positive_class(observed)
        event, p, happened = (
            f"{classes[place]!r}",
            probabilities[:, place],
            observed == place,
        )
    else:
        event, p = "the likeliest class", probabilities.max(1)
        happened = probabilities.argmax(1) == observed
    bins = _bins(p)
    predicted = np.array([p[rows].mean() for rows in bins])
    sizes = np.array([len(rows) for rows in bins])
    return Calibration(
        event=event,
        predicted=predicted,
        observed=np.array([happened[rows].mean() for rows in bins]),
        error=np.sqrt(predicted * (1 - predicted) / sizes),
        num_rows=sizes,
    )


def _bins(p: np.ndarray) -> list[np.ndarray]:
    """Return rows in bins about as informative, p (1 - p) in sum, so that rare events are not lost in one of them."""
    order = np.argsort(p, kind="stable")
    number = max(1, min(MAX_BINS, len(p) // ROWS_PER_BIN))
    mass = np.cumsum(p[order] * (1 - p[order]) + 1e-9)
    cuts = np.searchsorted(mass, mass[-1] * np.arange(1, number) / number)
    bins: list[np.ndarray] = []
    for part in np.split(order, cuts):
        if bins and len(bins[-1]) < ROWS_PER_BIN:
            bins[-1] = np.concatenate([bins[-1], part])
        elif len(part):
            bins.append(part)
    if len(bins) > 1 and len(bins[-1]) < ROWS_PER_BIN:
        last = bins.pop()
        bins[-1] = np.concatenate([bins[-1], last])
    return bins
