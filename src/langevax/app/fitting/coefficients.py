"""Coefficients of a regression: which inputs have a slope, and what each slope says.

Each column of words is compared with its most frequent word, so that coefficients are those of an analyst's table; what
all words of a column share is in the intercept. Intervals are of the posterior's mean by the sandwich formula, over
groups of rows where there are any: they hold although rows spread otherwise than the family says.
"""

from typing import Any

import numpy as np

from langevax.app.evaluation.holdout import TrainTestSplit
from langevax.app.fitting.prepared import FitData
from langevax.app.report.contents import Coefficient
from langevax.app.report.numbers import number
from langevax.sklearn.column_maps import weighted_moments

NORMAL_95 = 1.96
"""Standard errors of an interval of 95 %."""


def power(logarithm: float, largest: float = 700.0) -> float:
    """Return the exponential, finite for every number."""
    return float(np.exp(np.clip(logarithm, -largest, largest)))


def slopes_of(
    split: TrainTestSplit, rows: np.ndarray, exposure: int | None
) -> list[int]:
    """Return the inputs with a slope: those that vary in these rows, but for the exposure and one word of a column."""
    inputs = split.inputs[rows]
    varies = weighted_moments(inputs, np.ones(len(inputs)))[1] > 0
    without = {reference_of(split, inputs, places) for places in split.groups.values()}
    without.add(exposure)
    return [int(i) for i in np.flatnonzero(varies) if i not in without]


def reference_of(
    split: TrainTestSplit, inputs: np.ndarray, places: list[int]
) -> int | None:
    """Return the input of the word that others are compared with; None of numbers, and where rare words have no input.

    Rows of such words are 0 in all inputs of the column, and are what its words are compared with.
    """
    if places[0] in split.quantities or (inputs[:, places].sum(axis=1) == 0).any():
        return None
    return places[int(inputs[:, places].sum(axis=0).argmax())]


def coefficients(model: Any, data: FitData, ratios: bool) -> tuple[Coefficient, ...]:
    """Return the posterior's slopes in the order of the table, with errors that hold although the spread is wrong."""
    split = data.split
    inputs = data.split.train_inputs
    slopes = model.as_bayes().coef_
    errors = model.robust_coef_sd(
        data.take(split.train), data.training_labels, split.groups_of(split.train)
    )
    shown = power if ratios else float
    effects = []
    for column, places in split.groups.items():
        reference = reference_of(split, inputs, places)
        for i, place in enumerate(model.columns_):
            if place not in places:
                continue
            step, per = step_of(split, inputs, column, place, reference)
            slope = float(slopes[i])
            error = float(errors[i])
            margin = NORMAL_95 * error
            effects.append(
                Coefficient(
                    split.names[place],
                    per,
                    shown(step * slope),
                    shown(step * (slope - margin)),
                    shown(step * (slope + margin)),
                    slope,
                    error,
                )
            )
    return tuple(effects)


def step_of(
    split: TrainTestSplit,
    inputs: np.ndarray,
    column: str,
    place: int,
    reference: int | None,
) -> tuple[float, str]:
    """Return the step of an input that its coefficient is given for, and its name."""
    if place in split.quantities:
        return _step_of_numbers(inputs[:, place], column in split.dates + split.clocks)
    if split.groups[column][0] in split.quantities:  # beside a number
        missing = split.names[place].endswith(" missing")
        return 1.0, "against a value" if missing else "1"
    if reference is None:
        return 1.0, "against rare words"
    return 1.0, f"against {split.names[reference].removeprefix(f'{column}=')}"


def _step_of_numbers(
    values: np.ndarray, days: bool, base: float = 10.0
) -> tuple[float, str]:
    """Return one unit, or a power of ten near a standard deviation that is larger or smaller by as much."""
    step = 1.0
    deviation = float(values.std())
    if not 1 / base <= deviation < base:
        step = float(base ** np.floor(np.log10(deviation)))
    if np.all(values == np.round(values)):
        step = max(step, 1.0)
    unit = ""
    if days:
        unit = " day" if step == 1 else " days"
    return step, f"{number(step)}{unit}"
