"""Metrics of predictions, with standard errors that are paired between methods.

All methods are scored on the same rows and the same resamples of them, so that the error of a difference leaves out
what makes rows easy or hard for all. A standard error is the larger of two: over resamples of the rows of each fold, or
of its groups of rows that belong together, and over folds, where there are at least three. Rows of a fold share a
model, whose luck resampling does not see; a few folds alone say little.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from langevax.app.evaluation import Task

NUM_RESAMPLES, FEWEST_RESAMPLES, MAX_ELEMENTS = (
    200,
    25,
    4e6,
)  # of rows; elements of all resamples
FEWEST_FOLDS = 3
LEAST_MEAN = 0.01  # of a count, beside the mean of the rows
LEVEL = 2.0  # standard errors within which two methods are level

Rating = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(observed (n,), outputs (n, ...), fold (n,), weights (m, n)) -> (m,)."""


@dataclass(frozen=True)
class Metric:
    """A score of predictions."""

    name: str
    sign: int
    """1 where larger is better, otherwise -1."""
    rate: Rating


@dataclass(frozen=True)
class Measured:
    """A metric of one method, and its difference from the network."""

    metric: str
    value: float
    error: float
    """Standard error."""
    difference: float = np.nan
    """From the network, positive where this method is better; NaN of the network itself."""
    difference_error: float = np.nan

    @property
    def relation(self) -> str:
        """Better, worse or level, beside the network; empty of the network itself."""
        if not np.isfinite(self.difference):
            return ""
        if not abs(self.difference) > LEVEL * self.difference_error:
            return "level"
        return "better" if self.difference > 0 else "worse"


def measure(
    metric: Metric,
    observed: np.ndarray,
    outputs: Sequence[np.ndarray],
    fold: np.ndarray,
    random_state: int,
    groups: np.ndarray | None = None,
) -> list[Measured]:
    """Return a metric of methods, the first of which the others are compared with.

    Args:
        metric: what is measured.
        observed: (n,) targets, or indices of classes.
        outputs: of each method, (n,) numbers or (n, C) probabilities.
        fold: (n,) fold of each row; each was predicted by a model trained without it.
        random_state: of the resamples.
        groups: (n,) rows that are drawn together; None: each on its own.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y, noise = rng.normal(size=100), rng.normal(size=100)
        >>> ours, same, worse = measure(R2, y, [y + 0.1 * noise, y + 0.1 * noise, 2 * noise], np.zeros(100, int), 0)
        >>> same.relation, worse.relation
        ('level', 'worse')
    """
    folds = np.unique(fold)
    each = (fold == folds[:, None]).astype(np.float64)
    weights = np.concatenate(
        [np.ones((1, len(fold))), each, resamples(fold, random_state, groups)]
    )
    rated = [metric.sign * metric.rate(observed, one, fold, weights) for one in outputs]
    measured = []
    for i, values in enumerate(rated):
        value, error = metric.sign * values[0], _error(values, len(folds))
        difference = values - rated[0]
        compared = (float(difference[0]), _error(difference, len(folds))) if i else ()
        measured.append(Measured(metric.name, float(value), error, *compared))
    return measured


def resamples(
    fold: np.ndarray, random_state: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """Return (m, n) multiplicities of rows, drawn with replacement within each fold, whole groups together.

    Example:
        >>> resamples(np.array([0, 0, 1, 1]), 0).shape
        (200, 4)
    """
    number = max(FEWEST_RESAMPLES, min(NUM_RESAMPLES, int(MAX_ELEMENTS / len(fold))))
    random, weights = np.random.default_rng(random_state), np.empty((number, len(fold)))
    for one in np.unique(fold):
        rows = np.flatnonzero(fold == one)
        drawn = (
            np.arange(len(rows))
            if groups is None
            else np.unique(groups[rows], return_inverse=True)[1]
        )
        size = int(drawn.max()) + 1
        weights[:, rows] = random.multinomial(
            size, np.full(size, 1 / size), size=number
        )[:, drawn]
    return weights


def _error(values: np.ndarray, num_folds: int) -> float:
    """Return the standard error of values[0], from those of each fold and of resamples."""
    of_folds, of_rows = values[1 : 1 + num_folds], values[1 + num_folds :]
    errors = [_deviation(of_rows)]
    if num_folds >= FEWEST_FOLDS:
        errors.append(_deviation(of_folds) / np.sqrt(num_folds))
    known = [error for error in errors if np.isfinite(error)]
    return max(known) if known else np.nan


def _deviation(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else np.nan


def _log_loss(
    observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    return (
        weights @ -np.log(outputs[np.arange(len(outputs)), observed]) / weights.sum(1)
    )


def _accuracy(
    observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    return weights @ (outputs.argmax(1) == observed) / weights.sum(1)


def _rmse(
    observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    return np.sqrt(weights @ (observed - outputs) ** 2 / weights.sum(1))


def _r2(
    observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    centred, total = observed - observed.mean(), weights.sum(1)
    variance = weights @ centred**2 / total - (weights @ centred / total) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - weights @ (observed - outputs) ** 2 / total / variance


def _auc(
    observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    return _of_ranks(_area, observed, outputs, fold, weights)


def _average_precision(
    observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    return _of_ranks(_precision, observed, outputs, fold, weights)


def _of_ranks(
    one: Callable[[np.ndarray, np.ndarray], np.ndarray],
    observed: np.ndarray,
    outputs: np.ndarray,
    fold: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """Return the mean over folds, by their weights, of the mean over classes; of two classes, of the rarer one alone.

    Probabilities of different folds are of different models, and are not ranked together.
    """
    classes = (
        range(outputs.shape[1]) if outputs.shape[1] > 2 else [positive_class(observed)]
    )
    total, share = np.zeros(len(weights)), np.zeros(len(weights))
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        values, known = np.zeros(len(weights)), np.zeros(len(weights))
        for c in classes:
            order = rows[np.argsort(-outputs[rows, c], kind="stable")]
            starts = np.flatnonzero(np.diff(outputs[order, c], prepend=np.inf))
            ordered = weights[:, order]
            positive = np.add.reduceat(ordered * (observed[order] == c), starts, axis=1)
            negative = np.add.reduceat(ordered * (observed[order] != c), starts, axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                value = one(positive, negative)
            defined = (positive.sum(1) > 0) & (negative.sum(1) > 0)
            values += np.where(defined, value, 0.0)
            known += defined
        size = np.where(known > 0, weights[:, rows].sum(1), 0.0)
        total += size * values / np.maximum(known, 1)
        share += size
    return np.where(share > 0, total / np.where(share > 0, share, 1.0), np.nan)


def _area(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Return the share of pairs in the right order, from weights of distinct outputs, the largest first."""
    above = np.cumsum(positive, 1) - positive / 2
    return (negative * above).sum(1) / (positive.sum(1) * negative.sum(1))


def _precision(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    hits, called = np.cumsum(positive, 1), np.cumsum(positive + negative, 1)
    return (positive * hits / np.maximum(called, 1e-300)).sum(1) / positive.sum(1)


def positive_class(observed: np.ndarray) -> int:
    """Return the rarer of two classes, the second where they are equal.

    Example:
        >>> positive_class(np.array([0, 0, 1])), positive_class(np.array([0, 1, 1]))
        (1, 0)
    """
    sizes = np.bincount(observed, minlength=2)
    return int(sizes[1] <= sizes[0])


def _deviance(
    observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the mean Poisson deviance; methods that may predict less than any mean of counts have the least one."""
    means = np.maximum(outputs, max(LEAST_MEAN * observed.mean(), np.finfo(float).tiny))
    return (
        weights
        @ (2 * (xlogy(observed, observed / means) - observed + means))
        / weights.sum(1)
    )


def _log_density(
    observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    return weights @ outputs / weights.sum(1)


R2 = Metric("R2", 1, _r2)
RMSE = Metric("RMSE", -1, _rmse)
DEVIANCE = Metric("deviance", -1, _deviance)
LOG_DENSITY = Metric("log density", 1, _log_density)
"""Whose outputs are log densities of the observed targets."""
LOG_LOSS = Metric("log loss", -1, _log_loss)
AUC = Metric("AUC", 1, _auc)
AVERAGE_PRECISION = Metric("average precision", 1, _average_precision)
ACCURACY = Metric("accuracy", 1, _accuracy)

METRICS: dict[Task, tuple[Metric, ...]] = {
    "regression": (R2, RMSE),
    "classification": (LOG_LOSS, AUC, AVERAGE_PRECISION, ACCURACY),
}
"""Of each task, the one that methods are ranked by first."""


def value(metric: Metric, observed: np.ndarray, outputs: np.ndarray) -> float:
    """Return a metric of rows of one fold.

    Example:
        >>> value(ACCURACY, np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]))
        0.5
    """
    return float(
        metric.rate(
            observed, outputs, np.zeros(len(observed), int), np.ones((1, len(observed)))
        )[0]
    )
