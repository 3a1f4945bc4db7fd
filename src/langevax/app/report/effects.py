"""Effects of columns on predictions, and the rows whose predictions are far off."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from langevax.app.evaluation.comparison import Comparison
from langevax.app.evaluation.holdout import Relevance, TrainTestSplit
from langevax.app.evaluation.metrics import positive_class
from langevax.app.report.contents import Effect, FarOffRow
from langevax.app.report.numbers import are_years, day, hours, number, year

MAX_EFFECTS, MAX_FAR_OFF = 12, 8
MAX_ROWS = 200  # that a mean prediction is over
ENDS = 0.1, 0.9  # quantiles of a column
MAX_CATEGORIES = 12
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
]
MONTHS += ["October", "November", "December"]
WEEKDAYS = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
]  # as 1970 began
POSITIONS = {"year": ("month", MONTHS), "week": ("day of the week", WEEKDAYS)}
POSITIONS |= {"day": ("time of day", [f"{hour:02}:30" for hour in range(24)])}
"""Of dates, by cycle: what a position is called, and the names of positions in equal steps."""
FEWEST_AT_POSITION = 5  # training rows
MOSTLY = 0.5  # share of missing values, from which a column is shown as missing or not


def effects_of(
    model: Any, split: TrainTestSplit, relevance: Relevance
) -> tuple[Effect, ...]:
    """Return how the mean prediction changes with each of the columns that matter most.

    A quantity is set to two quantiles, to its ends where these are equal, and to missing where it mostly is; words and
    positions of dates in a year, a week or a day to the two of the lowest and the highest mean prediction. Of two
    classes, the prediction is the probability of the rarer one.
    """
    if len(split.classes) > 2:
        return ()
    rows = split.test_inputs[:MAX_ROWS]
    place = positive_class(split.targets) if split.classes else 0

    def mean(changes: dict[int, float]) -> float:
        inputs = rows.copy()
        for column, value in changes.items():
            inputs[:, column] = value
        outputs = split.outputs(model, inputs)
        return float((outputs[:, place] if split.classes else outputs).mean())

    effects = []
    for i in np.argsort(-np.nan_to_num(relevance.mean, nan=-np.inf), kind="stable")[
        :MAX_EFFECTS
    ]:
        name = relevance.names[i]
        places = split.groups[name]
        if places[0] in split.quantities:
            low, middle, high = (
                float(q)
                for q in np.quantile(
                    split.train_inputs[:, places[0]], (ENDS[0], 0.5, ENDS[1])
                )
            )
            cycles = split.cycles.get(name, {})
            waves = {place for pair in cycles.values() for place in pair}
            indicators = [
                place for place in places[1:] if place not in waves
            ]  # of missing values
            absent = dict.fromkeys(indicators, 0.0)
            column = split.train_inputs[:, places[0]]
            shown = year if are_years(column) else number
            shown = (
                day if name in split.dates else hours if name in split.clocks else shown
            )
            if (
                low == high
                and indicators
                and split.train_inputs[:, indicators].mean() >= MOSTLY
            ):
                at_missing = mean({places[0]: middle, **dict.fromkeys(indicators, 1.0)})
                values = [
                    ("missing", at_missing),
                    (shown(middle), mean({places[0]: middle, **absent})),
                ]
            else:
                low, high = (
                    (low, high)
                    if low < high
                    else (float(column.min()), float(column.max()))
                )
                values = [
                    (shown(end), mean({places[0]: end, **absent}))
                    for end in (low, high)
                ]
            at_middle = (
                mean({places[0]: middle, **absent}) if low < middle < high else None
            )
            effects += [
                _of_cycle(name, cycle, pair, split, mean)
                for cycle, pair in cycles.items()
            ]
        else:
            frequent = sorted(places, key=lambda p: -split.train_inputs[:, p].sum())[
                :MAX_CATEGORIES
            ]
            of_words = [
                (
                    split.names[p].removeprefix(f"{name}="),
                    mean({q: float(q == p) for q in places}),
                )
                for p in frequent
            ]
            values, at_middle = (
                [end(of_words, key=lambda one: one[1]) for end in (min, max)],
                None,
            )
        (low_word, at_low), (high_word, at_high) = values
        effects.append(Effect(name, low_word, high_word, at_low, at_high, at_middle))
    return tuple(effect for effect in effects if effect.low != effect.high)


def _of_cycle(
    name: str,
    cycle: str,
    places: tuple[int, int],
    split: TrainTestSplit,
    mean: Callable[[dict[int, float]], float],
) -> Effect:
    """Return the effect of the position of a date in a cycle, among positions that training rows have."""
    what, names = POSITIONS[cycle]
    sine, cosine = split.train_inputs[:, places].T
    shares = np.arctan2(sine, cosine) / (2 * np.pi) % 1.0
    rows = np.bincount(
        (shares * len(names) + 1e-6).astype(int) % len(names), minlength=len(names)
    )
    frequent = np.flatnonzero(rows >= min(FEWEST_AT_POSITION, rows.max()))
    angles = 2 * np.pi * (frequent + 0.5) / len(names)
    of_positions = [
        (
            names[i],
            mean({places[0]: float(np.sin(angle)), places[1]: float(np.cos(angle))}),
        )
        for i, angle in zip(frequent, angles, strict=True)
    ]
    (low_word, at_low), (high_word, at_high) = (
        end(of_positions, key=lambda one: one[1]) for end in (min, max)
    )
    return Effect(f"{name}: {what}", low_word, high_word, at_low, at_high)


def far_off_rows(
    comparison: Comparison, classes: tuple[str, ...], names: Sequence[object]
) -> tuple[FarOffRow, ...]:
    """Return the rows scored whose predictions are furthest off.

    Args:
        comparison: the rows scored.
        classes: empty for regression.
        names: of all rows of the split.
    """
    observed, outputs = comparison.observed, comparison.outputs
    if not classes:
        worst = np.argsort(-np.abs(observed - outputs), kind="stable")[:MAX_FAR_OFF]
        return tuple(
            FarOffRow(
                str(names[int(comparison.rows[i])]),
                number(observed[i]),
                number(outputs[i]),
            )
            for i in worst
        )
    own, called = outputs[np.arange(len(observed)), observed], comparison.called
    worst = [
        i
        for i in np.argsort(own, kind="stable")[:MAX_FAR_OFF]
        if called[i] != observed[i]
    ]
    return tuple(
        FarOffRow(
            str(names[int(comparison.rows[i])]),
            f"{classes[observed[i]]}, probability {100 * own[i]:.3g} %",
            f"{classes[called[i]]}, probability {100 * outputs[i, called[i]]:.3g} %",
        )
        for i in worst
    )
