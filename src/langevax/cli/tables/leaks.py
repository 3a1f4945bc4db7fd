"""Columns that may leak the target: each alone predicts it almost perfectly. They are named, and stay."""

import numpy as np
import polars as pl
from scipy.stats import rankdata

from langevax.cli.tables.records import Decision
from langevax.evaluation import Task

FEWEST_ROWS = 20
CORRELATION = 0.999  # of ranks with a target of numbers
EXPLAINED = 0.999  # of the variance, by the means of categories
ERROR_SHARE = 0.02  # of the errors of the most frequent class, at most, that a column alone makes
ROWS_PER_VALUE = 3  # on average, at least, so that distinct values cannot predict by being distinct


def leaks(frame: pl.DataFrame, target: np.ndarray, task: Task) -> list[Decision]:
    """Return a decision on each column that alone predicts the target almost perfectly.

    Args:
        frame: columns as numbers and words, null where missing.
        target: (row,) numbers, or indices of classes.
        task: which of these.

    Example:
        >>> y = np.arange(30.0)
        >>> leaks(pl.DataFrame({"twice": 2 * y, "parity": y % 2}), y, "regression")[0].column
        'twice'
    """
    if frame.height < FEWEST_ROWS:
        return []
    judge = _of_numbers if task == "regression" else _of_classes
    decisions = []
    for column in frame:
        if why := judge(column, target):
            sentence = (
                f"Column {column.name!r} may leak the target: {why}. If it is known only after the target, leave it "
                f"out with --drop {column.name}."
            )
            decisions.append(Decision("leak", sentence, column.name))
    return decisions


def _of_numbers(column: pl.Series, target: np.ndarray) -> str:
    present = column.is_not_null().to_numpy()
    if present.sum() < FEWEST_ROWS:
        return ""
    y = target[present]
    if column.dtype == pl.String:
        codes = column.drop_nulls().rank("dense").to_numpy().astype(np.int64) - 1
        sizes = np.bincount(codes)
        if len(sizes) * ROWS_PER_VALUE > len(y):
            return ""
        rest = y - (np.bincount(codes, y) / sizes)[codes]
        explained = 1 - rest.var() / max(y.var(), np.finfo(float).tiny)
        return f"its words explain {100 * explained:.1f} % of the variance" if explained > EXPLAINED else ""
    x = column.drop_nulls().to_numpy()
    slope, level = _line(x, y)
    if np.abs(slope * x + level - y).max() <= 1e-9 * max(np.abs(y).max(), np.finfo(float).tiny):
        return "the target is a linear function of it"
    ranks, of_target = rankdata(x), rankdata(y)
    if not (ranks.std() and of_target.std()):
        return ""
    correlation = float(np.corrcoef(ranks, of_target)[0, 1])
    return f"its rank correlation with the target is {correlation:.4f}" if abs(correlation) > CORRELATION else ""


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return slope and level of the line through points by least squares."""
    variance = x.var()
    slope = float(np.mean((x - x.mean()) * (y - y.mean())) / variance) if variance else 0.0
    return slope, float(y.mean() - slope * x.mean())


def _of_classes(column: pl.Series, target: np.ndarray) -> str:
    base = len(target) - np.bincount(target).max()  # errors of the most frequent class
    if base == 0:
        return ""
    missing = column.is_null().to_numpy()
    if missing.any() and _errors(missing.astype(np.int64), target) <= ERROR_SHARE * base:
        return "whether it is missing determines the class"
    codes = column.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    errors, values = _errors(codes, target), len(np.unique(codes))
    if values * ROWS_PER_VALUE <= len(target) and errors <= ERROR_SHARE * base:
        return (
            "each of its values goes with one class"
            if errors == 0
            else f"its values determine the class but for {errors}"
        )
    if column.dtype == pl.String or len(np.unique(target)) != 2:
        return ""
    errors = _threshold_errors(column.drop_nulls().to_numpy(), target[~missing])
    base = min(np.bincount(target[~missing], minlength=2))
    return "a threshold on it separates the classes" if base >= 5 and errors <= ERROR_SHARE * base else ""


def _errors(codes: np.ndarray, target: np.ndarray) -> int:
    """Return the rows whose class is not the most frequent one of their value."""
    classes = int(target.max()) + 1
    table = np.bincount(codes * classes + target, minlength=(int(codes.max()) + 1) * classes).reshape(-1, classes)
    return int(len(target) - table.max(1).sum())


def _threshold_errors(x: np.ndarray, target: np.ndarray) -> int:
    """Return the errors of the best threshold on numbers, for two classes."""
    order = np.argsort(x, kind="stable")
    x, ones = x[order], target[order]
    left = np.concatenate([[0], np.cumsum(ones)])
    cuts = np.concatenate([[True], np.diff(x) > 0, [True]])
    zeros = np.arange(len(x) + 1) - left
    below = left + (len(x) - left[-1]) - zeros  # class 0 below the cut, class 1 above
    errors = np.minimum(below, len(x) - below)[cuts]
    return int(errors.min())
