"""Metrics of predictions, with standard errors that are paired between methods.

All methods are scored on the same rows, so that the error of a difference leaves out what makes rows easy or hard for
all. A standard error is the larger of two: of the jackknife, which leaves out a block of rows, or of whole groups that
belong together, at a time; and over folds, where there are at least three. Rows of a fold share a model, whose luck
blocks of rows do not see; a few folds alone say little.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import mean_poisson_deviance

from langevax.app.evaluation import Task

LEVEL_ERRORS = 2.0  # standard errors within which two methods are level

Rating = Callable[[np.ndarray, np.ndarray, np.ndarray], float]
"""(observed (n,), outputs (n, ...), fold (n,)) -> value."""


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
        if not abs(self.difference) > LEVEL_ERRORS * self.difference_error:
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
        random_state: of the blocks of rows.
        groups: (n,) rows that are left out together; None: each on its own.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y, noise = rng.normal(size=100), rng.normal(size=100)
        >>> ours, same, worse = measure(R2, y, [y + 0.1 * noise, y + 0.1 * noise, 2 * noise], np.zeros(100, int), 0)
        >>> same.relation, worse.relation
        ('level', 'worse')
    """
    folds = [fold == one for one in np.unique(fold)]
    blocks = [~block for block in blocks_of(len(fold), random_state, groups)]
    samples = [np.ones(len(fold), bool), *folds, *blocks]
    rated = [
        np.array(
            [metric.rate(observed[rows], one[rows], fold[rows]) for rows in samples]
        )
        for one in outputs
    ]
    measured = []
    for i, values in enumerate(rated):
        difference = metric.sign * (values - rated[0])
        compared = (difference[0], _error(difference, len(folds))) if i else ()
        error = _error(values, len(folds))
        measured.append(Measured(metric.name, float(values[0]), error, *compared))
    return measured


def blocks_of(
    size: int,
    random_state: int,
    groups: np.ndarray | None = None,
    num_blocks: int = 50,
) -> list[np.ndarray]:
    """Return masks (size,) of random blocks of about as many rows, or whole groups; each row is in one of them.

    Example:
        >>> [block.astype(int).tolist() for block in blocks_of(4, 0, np.array([0, 0, 1, 1]))]
        [[1, 1, 0, 0], [0, 0, 1, 1]]
    """
    units = np.arange(size)
    if groups is not None:
        units = np.unique(groups, return_inverse=True)[1]
    number = int(units.max()) + 1
    order = np.random.default_rng(random_state).permutation(number)
    block = order[units] % num_blocks
    return [block == i for i in range(min(number, num_blocks))]


def _error(values: np.ndarray, num_folds: int) -> float:
    """Return the standard error of values[0], from those of each fold and of all rows but those of a block."""
    of_folds, without = np.split(values[1:], [num_folds])
    of_folds = of_folds[np.isfinite(of_folds)]
    without = without[np.isfinite(without)]
    if len(without) < 2:
        return np.nan
    error = without.std() * np.sqrt(len(without) - 1)
    if len(of_folds) > 2:
        error = max(error, of_folds.std(ddof=1) / np.sqrt(len(of_folds)))
    return float(error)


def _log_loss(observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray) -> float:
    return -np.log(outputs[np.arange(len(outputs)), observed]).mean()


def _accuracy(observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray) -> float:
    return np.mean(outputs.argmax(1) == observed)


def _rmse(observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray) -> float:
    return np.sqrt(np.mean((observed - outputs) ** 2))


def _r2(observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - np.mean((observed - outputs) ** 2) / observed.var()


def _auc(observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray) -> float:
    """Return the mean over folds, by their rows, of the mean over classes.

    Probabilities of different folds are of different models, and are not ranked together.
    """
    areas = []
    sizes = []
    for one in np.unique(fold):
        rows = fold == one
        own = observed[rows, None] == np.arange(outputs.shape[1])
        ranks = rankdata(outputs[rows], axis=0)
        size = len(own)
        positive = own.sum(0)
        known = (positive > 0) & (positive < size)
        if known.any():
            above = (ranks * own).sum(0) - positive * (positive + 1) / 2
            pairs = positive * (size - positive)
            areas.append(np.mean(above[known] / pairs[known]))
            sizes.append(size)
    return np.average(areas, weights=sizes) if areas else np.nan


def positive_class(observed: np.ndarray) -> int:
    """Return the rarer of two classes, the second where they are equal.

    Example:
        >>> positive_class(np.array([0, 0, 1])), positive_class(np.array([0, 1, 1]))
        (1, 0)
    """
    sizes = np.bincount(observed, minlength=2)
    return int(sizes[1] <= sizes[0])


def _deviance(observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray) -> float:
    """Return Poisson's deviance; methods that may predict less than any mean of counts have a hundredth of the mean."""
    least = max(observed.mean() / 100, np.finfo(float).tiny)
    return float(mean_poisson_deviance(observed, np.maximum(outputs, least)))


def _log_density(observed: np.ndarray, outputs: np.ndarray, fold: np.ndarray) -> float:
    return outputs.mean()


R2 = Metric("R2", 1, _r2)
RMSE = Metric("RMSE", -1, _rmse)
DEVIANCE = Metric("deviance", -1, _deviance)
LOG_DENSITY = Metric("log density", 1, _log_density)
"""Whose outputs are log densities of the observed targets."""

METRICS: dict[Task, tuple[Metric, ...]] = {
    "regression": (R2, RMSE),
    "classification": (
        Metric("log loss", -1, _log_loss),
        Metric("AUC", 1, _auc),
        Metric("accuracy", 1, _accuracy),
    ),
}
"""Of each task, the one that methods are ranked by first."""


def value(metric: Metric, observed: np.ndarray, outputs: np.ndarray) -> float:
    """Return a metric of rows of one fold.

    Example:
        >>> value(RMSE, np.array([0.0, 1.0]), np.array([1.0, 1.0])).round(3)
        np.float64(0.707)
    """
    return metric.rate(observed, outputs, np.zeros(len(observed), int))
