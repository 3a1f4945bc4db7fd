"""Columns that may leak the target: each alone predicts it almost perfectly, or it is a sum or a product of several.

They are named, and stay.
"""

import numpy as np
import polars as pl
from scipy.stats import rankdata

from langevax.app.errors import listing
from langevax.app.evaluation import Task
from langevax.app.tables.records import Decision, option

FEWEST_ROWS = 20
CORRELATION = 0.999  # of ranks with a target of numbers
EXPLAINED = 0.999  # of the variance, by the means of categories
ERROR_SHARE = (
    0.02  # of the errors of the most frequent class, at most, that a column alone makes
)
FEWEST_OF_A_CLASS = 5
ORDERED_PAIRS, FEWEST_ORDERED = (
    0.99,
    10,
)  # of pairs of rows of two classes, by a column alone; rows of each class
FEWEST_FILLED, OF_ONE_CLASS, SHARE_OF_CLASS = 10, 0.98, 0.5
"""Rows in which a column has a value at least, their share that is of one class, and the share of its rows."""
SCREEN = 0.5  # of the correlation of ranks, from which a column of numbers is tested
UNEXPLAINED = 1e-6  # of the variance, by several columns together, which may be rounded
NEGLIGIBLE = 0.01  # of the largest weight of a column, in its standard deviations
MOST_COLUMNS, ROWS_PER_COLUMN, MOST_NAMED = 300, 3, 4
ROWS_PER_VALUE = (
    3  # on average, at least, so that distinct values cannot predict by being distinct
)


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
    if frame.height < FEWEST_ROWS or len(np.unique(target)) < 2:
        return []
    numbers = [column.name for column in frame if column.dtype != pl.String]
    values = (
        frame.select(numbers).to_numpy().astype(np.float64)
        if numbers
        else np.empty((frame.height, 0))
    )
    suspects = set(np.flatnonzero(_suspects(values, target, task)).tolist())
    place = {name: i for i, name in enumerate(numbers)}
    decisions = []
    for column in frame:
        if column.dtype == pl.String:
            codes = column.rank("dense").fill_null(0).to_numpy().astype(np.int64)
            why = _of_words(codes, target, task)
        else:
            i = place[column.name]
            why = _of_numbers(values[:, i], target, task) if i in suspects else ""
        if why:
            sentence = (
                f"Column {column.name!r} may leak the target: {why}. If it is known only after the target, leave it "
                f"out with {option('--drop', column.name)}."
            )
            decisions.append(Decision("leak", sentence, column.name))
    if not decisions and task == "regression":
        decisions += _of_several(numbers, values, target)
    return decisions


def _of_several(
    names: list[str], values: np.ndarray, target: np.ndarray
) -> list[Decision]:
    """Return a decision where the target is a sum, or a product of positive numbers, of several columns."""
    complete = ~np.isnan(values).any(1)
    values, target = values[complete], target[complete]
    if not MOST_COLUMNS > len(names) > 1 or len(target) < max(
        FEWEST_ROWS, ROWS_PER_COLUMN * len(names)
    ):
        return []
    for what, x, y in (
        ("sum", values, target),
        ("product", _logarithms(values), _logarithms(target[:, None])[:, 0]),
    ):
        places = _terms(x, y)
        if len(places) < 2:
            continue
        drop = " ".join(option("--drop", names[place]) for place in places[:MOST_NAMED])
        sentence = (
            f"Columns {listing([names[place] for place in places], most=MOST_NAMED)} together may leak the target: it "
            f"is a {what} of them. If they are known only after the target, leave them out with {drop}."
        )
        return [Decision("leak", sentence, names[places[0]])]
    return []


def _logarithms(values: np.ndarray) -> np.ndarray:
    """Return the logarithms of the columns that are positive, zeros for the others."""
    positive = (values > 0).all(0)
    return np.where(positive, np.log(np.where(positive, values, 1.0)), 0.0)


def _terms(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Return the columns of which a target is a linear function, the largest shares first; none if it is not one."""
    x, y = x - x.mean(0), y - y.mean()
    scale = x.std(0)
    x = x / np.where(scale > 0, scale, 1.0)
    places = np.arange(x.shape[1])
    for _ in range(2):  # with all columns, then with those that matter
        weights = np.linalg.lstsq(x[:, places], y, rcond=1e-10)[0]
        rest = y - x[:, places] @ weights
        if not y.var() or rest.var() > UNEXPLAINED * y.var():
            return []
        order = np.argsort(-np.abs(weights))
        places = places[
            order[np.abs(weights[order]) > NEGLIGIBLE * np.abs(weights).max()]
        ]
    return places.tolist()


def _suspects(values: np.ndarray, target: np.ndarray, task: Task) -> np.ndarray:
    """Return which columns of numbers deserve a closer test, for all columns at once.

    Their ranks are correlated with the target, or they have few distinct or missing values, which may be codes.
    """
    if not values.shape[1]:
        return np.zeros(0, bool)
    missing = np.isnan(values)
    ordered = np.sort(values, axis=0)
    distinct = 1 + (np.diff(ordered, axis=0) > 0).sum(0)
    ranks = np.argsort(
        np.argsort(np.where(missing, -np.inf, values), axis=0, kind="stable"), axis=0
    ).astype(np.float64)
    goal = (
        np.argsort(np.argsort(target, kind="stable")).astype(np.float64)
        if task == "regression"
        else target * 1.0
    )
    weights = ~missing
    size = np.maximum(weights.sum(0), 1)
    x = (ranks - (ranks * weights).sum(0) / size) * weights
    y = (goal[:, None] - (goal[:, None] * weights).sum(0) / size) * weights
    norm = np.sqrt((x**2).sum(0) * (y**2).sum(0))
    related = np.abs((x * y).sum(0)) > SCREEN * np.where(norm > 0, norm, np.inf)
    if task == "regression":
        return related
    return related | (distinct * ROWS_PER_VALUE <= len(target)) | missing.any(0)


def _of_numbers(values: np.ndarray, target: np.ndarray, task: Task) -> str:
    missing = np.isnan(values)
    x, y = values[~missing], target[~missing]
    if task == "classification":
        return (
            _of_codes(values, target)
            or _of_threshold(x, y)
            or _of_order(values, target)
        )
    if len(x) < FEWEST_ROWS:
        return ""
    slope, level = _line(x, y)
    if np.abs(slope * x + level - y).max() <= 1e-9 * max(
        np.abs(y).max(), np.finfo(float).tiny
    ):
        return "the target is a linear function of it"
    ranks, of_target = rankdata(x), rankdata(y)
    if not (ranks.std() and of_target.std()):
        return ""
    correlation = float(np.corrcoef(ranks, of_target)[0, 1])
    return (
        f"its rank correlation with the target is {correlation:.4f}"
        if abs(correlation) > CORRELATION
        else ""
    )


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return slope and level of the line through points by least squares."""
    variance = x.var()
    slope = (
        float(np.mean((x - x.mean()) * (y - y.mean())) / variance) if variance else 0.0
    )
    return slope, float(y.mean() - slope * x.mean())


def _of_words(codes: np.ndarray, target: np.ndarray, task: Task) -> str:
    """Judge words by their codes, 0 where missing."""
    if task == "classification":
        return _of_codes(np.where(codes, codes, np.nan), target)
    sizes = np.bincount(codes)
    if (sizes > 0).sum() * ROWS_PER_VALUE > len(target):
        return ""
    rest = target - (np.bincount(codes, target) / np.maximum(sizes, 1))[codes]
    explained = 1 - rest.var() / max(target.var(), np.finfo(float).tiny)
    return (
        f"its words explain {100 * explained:.1f} % of the variance"
        if explained > EXPLAINED
        else ""
    )


def _of_codes(values: np.ndarray, target: np.ndarray) -> str:
    """Judge the distinct values of a column, NaN where missing, as predictors of classes."""
    base = len(target) - np.bincount(target).max()  # errors of the most frequent class
    missing = np.isnan(values)
    if (
        missing.any()
        and _errors(missing.astype(np.int64), target) <= ERROR_SHARE * base
    ):
        return "whether it is missing determines the class"
    if filled := _of_filled_rows(~missing, target):
        return filled
    distinct, codes = np.unique(values, return_inverse=True)
    if (
        len(distinct) * ROWS_PER_VALUE > len(target)
        or (errors := _errors(codes, target)) > ERROR_SHARE * base
    ):
        return ""
    return "each of its values goes with one class" + (
        f", but for {errors} rows" if errors else ""
    )


def _of_filled_rows(filled: np.ndarray, target: np.ndarray) -> str:
    """Judge a column that has values for hardly any row but those of a class that is not the most frequent one."""
    sizes, of_class = (
        np.bincount(target),
        np.bincount(target[filled], minlength=int(target.max()) + 1),
    )
    rows, most = int(filled.sum()), int(of_class.argmax())
    size, right = int(sizes[most]), int(of_class[most])
    if (
        rows < FEWEST_FILLED
        or 2 * size > len(target)
        or right < max(OF_ONE_CLASS * rows, SHARE_OF_CLASS * size)
    ):
        return ""
    return f"it has values in {rows:,} rows, of which {right:,} are of one class, which has {size:,} rows"


def _of_order(values: np.ndarray, target: np.ndarray) -> str:
    """Judge the order of numbers, the missing ones first or last, as a predictor of two classes."""
    sizes = np.bincount(target, minlength=2)
    if len(sizes) != 2 or sizes.min() < FEWEST_ORDERED:
        return ""
    best = 0.5
    for missing in (-np.inf, np.inf):
        ranks = rankdata(np.where(np.isnan(values), missing, values))
        share = float((ranks[target == 1].mean() - (sizes[1] + 1) / 2) / sizes[0])
        best = max(best, share, 1 - share)
    return (
        ""
        if best < ORDERED_PAIRS
        else f"alone it orders {100 * best:.1f} % of the pairs of rows of the two classes"
    )


def _of_threshold(x: np.ndarray, target: np.ndarray) -> str:
    """Judge a threshold on numbers as a predictor of two classes."""
    sizes = np.bincount(target, minlength=2)
    if len(sizes) != 2 or sizes.min() < FEWEST_OF_A_CLASS:
        return ""
    order = np.argsort(x, kind="stable")
    ones = np.concatenate([[0], np.cumsum(target[order])])  # left of each cut
    zeros = np.arange(len(x) + 1) - ones
    errors = ones + sizes[0] - zeros  # where class 0 is left of the cut
    errors = np.minimum(errors, len(x) - errors)
    cuts = np.concatenate([[True], np.diff(x[order]) > 0, [True]])
    return (
        "a threshold on it separates the classes"
        if errors[cuts].min() <= ERROR_SHARE * sizes.min()
        else ""
    )


def _errors(codes: np.ndarray, target: np.ndarray) -> int:
    """Return the rows whose class is not the most frequent one of their code."""
    classes = int(target.max()) + 1
    table = np.bincount(
        codes * classes + target, minlength=(int(codes.max()) + 1) * classes
    ).reshape(-1, classes)
    return int(len(target) - table.max(1).sum())
