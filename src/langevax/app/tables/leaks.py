"""Columns that may leak the target: each alone predicts it almost perfectly. They are named, and stay."""

import numpy as np
import polars as pl

from langevax.app.evaluation import Task
from langevax.app.tables.records import Decision, option

ALMOST_ALL = 0.99  # of the errors avoided, and of pairs of rows in order
ALMOST_NONE = 0.001  # of the variance, and of what a correlation is below 1


def leaks(
    frame: pl.DataFrame,
    target: np.ndarray,
    task: Task,
    fewest_rows: int = 20,
) -> list[Decision]:
    """Return a decision on each column that alone predicts the target almost perfectly.

    Args:
        frame: columns as numbers and words, null where missing.
        target: (row,) numbers, or indices of classes.
        task: which of these.
        fewest_rows: that can show a leak.

    Example:
        >>> y = np.arange(30.0)
        >>> leaks(pl.DataFrame({"twice": 2 * y, "parity": y % 2}), y, "regression")[0].column
        'twice'
    """
    if frame.height < fewest_rows or len(np.unique(target)) < 2:
        return []
    if task == "regression":  # in order, so that no single row, as of totals, decides
        target = pl.Series(target).rank().to_numpy()
    distinct = frame.select(pl.all().n_unique()).row(0)
    ranks = frame.select((~pl.selectors.string()).rank()).to_dict()
    decisions = []
    for column, number in zip(frame, distinct, strict=True):
        repeats = 3 * number <= len(target)
        why = _by_its_values(column, target, task) if repeats else ""
        judged = task == "classification" and column.has_nulls()
        if judged and _by_its_values(column.is_null(), target, task):
            why = "whether it is missing determines the class"
        if not why and column.name in ranks and column.count() >= fewest_rows:
            why = _by_its_order(ranks[column.name].to_numpy(), target, task)
        if why:
            sentence = (
                f"Column {column.name!r} may leak the target: {why}. If it is known "
                "only after the target, leave it out with "
                f"{option('--drop', column.name)}."
            )
            decisions.append(Decision("leak", sentence, column.name))
    return decisions


def _by_its_values(column: pl.Series, target: np.ndarray, task: Task) -> str:
    """Judge the distinct values of a column, of which missing is one, as predictors."""
    codes = column.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    sizes = np.bincount(codes)
    if task == "regression":
        means = np.bincount(codes, target) / np.maximum(sizes, 1)
        unexplained = (target - means[codes]).var() / target.var()
        if unexplained < ALMOST_NONE:
            return f"its values explain {1 - unexplained:.1%} of the variance of ranks"
        places = np.argsort(np.argsort(means))[codes]
        astray = np.mean(places[np.argsort(target)] != np.sort(places))
        apart = sizes[sizes > 0].min() > 2 and astray < 1 - ALMOST_ALL
        return (
            "each of its values has a range of the target of its own" if apart else ""
        )
    table = np.zeros((len(sizes), int(target.max()) + 1))
    np.add.at(table, (codes, target), 1)
    errors = len(target) - table.max(1).sum()
    base = len(target) - table.sum(0).max()
    if errors > (1 - ALMOST_ALL) * base:
        return ""
    return "each of its values goes with one class"


def _by_its_order(ranks: np.ndarray, target: np.ndarray, task: Task) -> str:
    """Judge the ranks of numbers, NaN where missing, as predictors of numbers or of two classes."""
    present = ~np.isnan(ranks)
    ranks = ranks[present]
    y = target[present]
    if not np.ptp(ranks) or not np.ptp(y):
        return ""
    if task == "regression":
        correlation = float(np.corrcoef(ranks, pl.Series(y).rank())[0, 1])
        if abs(correlation) <= 1 - ALMOST_NONE:
            return ""
        return f"its rank correlation with the target is {correlation:.4f}"
    sizes = np.bincount(y)
    if len(sizes) != 2 or not sizes.min() > 2:
        return ""
    share = (ranks[y == 1].mean() - (sizes[1] + 1) / 2) / sizes[0]
    share = max(share, 1 - share)
    if share < ALMOST_ALL:
        return ""
    return f"alone it orders {share:.1%} of the pairs of rows of the two classes"
