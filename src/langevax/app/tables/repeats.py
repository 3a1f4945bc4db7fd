"""A column whose rows of one value belong together, such as the visits of a patient, and what a random split promises.

A random split has rows of every patient on both sides. A column is tried where its values repeat and other columns do
not vary among rows of one value; where it has a row for each time, as states have for each year, though chance would
have repeated pairs; where its rows lie close in time, as those of a storm or a batch; or where its name is that of an
id. It is named where a kernel machine predicts rows on random folds better than, without the id, on folds that leave
out all rows of a value, by more than twice the standard error, and else where a forest does, which sees what is near in
time: the difference is what new patients would not get. Numbers are judged by their ranks, in which a few large ones do
not hide the others.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import polars as pl
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestRegressor

from langevax.app.tables.cycles import FOLDS, STANDARD_ERRORS, kernel_errors
from langevax.app.tables.records import Decision, option
from langevax.meanfield.kernel_limit import excess
from langevax.sklearn.folds import FEWEST_GROUPS

FEWEST_ROWS, MOST_ROWS = 50, 800  # by which columns are judged
FEWEST_PER_VALUE = 2.0  # rows, on average
LARGEST_SHARE = 0.2  # of the rows, of one value
FEWEST_DETERMINED = 2  # other columns that are functions of it
EXPECTED_PAIRS = 20.0  # equal pairs of rows by chance, at least, where none shows that columns belong together
CLOSE_IN_TIME = (
    0.02  # share of the variance of a date's ranks that is left among rows of one value
)
MOST_TRIED, MOST_COLUMNS, NUM_TREES = 4, 60, 40
LEAST_LOSS = 0.05  # of the variance of the target; or half as much error again, if it is above a hundredth of it
LEAST_GROWTH, SMALL_LOSS = 0.5, 0.01


def repeated_cases(
    frame: pl.DataFrame,
    inputs: np.ndarray,
    places: Mapping[str, Sequence[int]],
    outputs: np.ndarray,
    like_ids: Collection[str],
    dates: Collection[str] = (),
    random_state: int = 0,
) -> list[Decision]:
    """Return a decision on the column by whose values rows most need to be kept together, if there is one.

    Args:
        frame: columns of the training rows as numbers and words, null where missing.
        inputs: the same, encoded.
        places: for each column of `frame`, its columns in `inputs`.
        outputs: (row, output) numbers, or indicators of classes.
        like_ids: columns with the name of an id.
        dates: columns of dates, which are times, not cases.
        random_state: of the choice of rows.

    Example:
        >>> rng, case = np.random.default_rng(0), np.repeat(np.arange(40), 5)
        >>> table = {"case": case, "a": rng.normal(size=40)[case], "b": rng.normal(size=40)[case]}
        >>> inputs, y = np.column_stack(list(table.values())), rng.normal(size=40)[case, None]
        >>> places = {"case": [0], "a": [1], "b": [2]}
        >>> repeated_cases(pl.DataFrame(table), inputs, places, y, ())[0].column
        'case'
    """
    if frame.height < FEWEST_ROWS or not 1 < frame.width <= MOST_COLUMNS:
        return []
    rows = np.random.default_rng(random_state).permutation(frame.height)[:MOST_ROWS]
    fractional = {
        column.name
        for column in frame
        if column.dtype.is_float() and (column % 1 != 0).any()
    }
    codes = {
        column.name: column.rank("dense").fill_null(0).to_numpy().astype(np.int64)
        for column in frame
    }
    outputs = (
        rankdata(outputs[rows], axis=0) if outputs.shape[1] == 1 else outputs[rows]
    )
    outputs = outputs - outputs.mean(0)
    variance = float((outputs**2).sum(1).mean())
    of_what = "of the ranks" if outputs.shape[1] == 1 else "of the classes"
    candidates = _candidates(codes, like_ids, fractional, dates)
    suspects: list[tuple[float, Decision]] = []
    by_kernel = [(name, "kernel machine", kernel_errors) for name in candidates]
    by_forest = [(name, "random forest", _forest_errors) for name in candidates[:1]]
    for name, judge, errors in (*by_kernel, *by_forest):
        # a fraction, such as the mean of a school, is known of new values; an id says nothing of them
        others = [
            place
            for column, own in places.items()
            if column != name or name in fractional
            for place in own
        ]
        groups = np.unique(codes[name][rows], return_inverse=True)[1]
        if (
            not others
            or int(groups.max()) + 1 < FEWEST_GROUPS
            or (suspects and errors is _forest_errors)
        ):
            continue
        alone = errors(inputs[rows], outputs, np.arange(len(rows)) % FOLDS)
        together = errors(inputs[rows][:, others], outputs, groups % FOLDS)
        loss, error = (
            float(number)
            for number in excess(together, alone, np.ones(len(rows)), groups)
        )
        least = min(
            LEAST_LOSS * variance,
            max(LEAST_GROWTH * float(alone.mean()), SMALL_LOSS * variance),
        )
        if loss > max(STANDARD_ERRORS * error, least):
            name = next(
                one for one in candidates if _same_groups(codes[one], codes[name])
            )
            promised, met = (
                f"{100 * max(0.0, 1 - e.mean() / variance):.0f} %"
                for e in (alone, together)
            )
            sentence = (
                f"Column {name!r}: rows with the same value are alike. A {judge} explains {promised} of the variance "
                f"{of_what} on folds at random, and {met} where all rows with the same value are left out together. To "
                f"predict for new values, fit with {option('--group', name)}; scores are otherwise those of values "
                "seen before."
            )
            suspects.append((loss, Decision("leak", sentence, name)))
    return [max(suspects, key=lambda one: one[0])[1]] if suspects else []


def _forest_errors(
    inputs: np.ndarray, outputs: np.ndarray, fold: np.ndarray
) -> np.ndarray:
    """Return the squared error of each row by a forest, which sees what is near in time, without the row's fold."""
    errors = np.empty(len(inputs))
    for k in np.unique(fold):
        held, own = fold == k, fold != k
        forest = RandomForestRegressor(
            NUM_TREES, min_samples_leaf=2, max_features=1 / 3, random_state=0
        )
        predicted = (
            forest.fit(inputs[own], outputs[own].squeeze())
            .predict(inputs[held])
            .reshape(held.sum(), -1)
        )
        errors[held] = ((outputs[held] - predicted) ** 2).sum(1)
    return errors


def _candidates(
    codes: Mapping[str, np.ndarray],
    like_ids: Collection[str],
    fractional: Collection[str],
    dates: Collection[str],
) -> list[str]:
    """Return the columns that may say which rows belong together, those that determine most others first.

    Of columns that say the same, an id comes before others, and fractions, such as the mean of a school, come last.
    """
    sizes = {name: len(np.unique(values)) for name, values in codes.items()}
    determined: dict[str, int] = {}
    for name, values in codes.items():
        if not FEWEST_GROUPS <= sizes[name] <= len(values) / FEWEST_PER_VALUE:
            continue
        if name in dates or np.bincount(values).max() > LARGEST_SHARE * len(values):
            continue
        pairs = (
            values * (other.max() + 1) + other
            for column, other in codes.items()
            if column != name
        )
        number = sum(len(np.unique(pair)) == sizes[name] for pair in pairs)
        times = [
            other
            for other in codes
            if other != name and (other in dates or other not in fractional)
        ]
        is_panel = name not in fractional and any(
            _never_twice(values, codes[time]) for time in times
        )
        is_panel |= name not in fractional and any(
            _spread(values, codes[date]) < CLOSE_IN_TIME for date in dates
        )
        if (
            number >= min(FEWEST_DETERMINED, len(codes) - 1)
            or name in like_ids
            or is_panel
        ):
            determined[name] = number

    def rank(name: str) -> tuple[int, int, bool, bool]:
        return -determined[name], -sizes[name], name in fractional, name not in like_ids

    return sorted(determined, key=rank)[:MOST_TRIED]


def _spread(groups: np.ndarray, values: np.ndarray) -> float:
    """Return the share of the variance that is left within groups."""
    sizes = np.bincount(groups)
    means = np.bincount(groups, values) / np.maximum(sizes, 1)
    within = float(np.sum((values - means[groups]) ** 2)) / max(
        1, len(values) - int(np.sum(sizes > 0))
    )
    return within / max(float(np.var(values, ddof=1)), 1e-300)


def _never_twice(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether no pair of values occurs twice, where many would by chance."""
    by_chance = (
        len(one) ** 2
        / 2
        * np.prod([np.sum((np.bincount(a) / len(a)) ** 2) for a in (one, other)])
    )
    return bool(by_chance > EXPECTED_PAIRS) and len(
        np.unique(one * (other.max() + 1) + other)
    ) == len(one)


def _same_groups(one: np.ndarray, other: np.ndarray) -> bool:
    number = len(np.unique(one * (other.max() + 1) + other))
    return number == len(np.unique(one)) == len(np.unique(other))


__all__ = ["repeated_cases"]
