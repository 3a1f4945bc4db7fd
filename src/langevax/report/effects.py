"""What changes a prediction, and where predictions are far off."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from langevax.evaluation.comparison import Comparison
from langevax.evaluation.holdout import Relevance, TrainTestSplit
from langevax.evaluation.metrics import positive_class
from langevax.report.contents import Effect, FarOffRow
from langevax.report.numbers import day, number

MAX_EFFECTS, MAX_FAR_OFF = 12, 8
MAX_ROWS = 200  # that a mean prediction is over
ENDS = 0.1, 0.9  # quantiles of a column
MAX_CATEGORIES = 12


def effects_of(model: Any, split: TrainTestSplit, relevance: Relevance) -> tuple[Effect, ...]:
    """Return how the mean prediction changes with each of the columns that matter most.

    A quantity is set to two quantiles, words to the two of the lowest and the highest mean prediction. Of two classes,
    the prediction is the probability of the rarer one.
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
    for i in np.argsort(-np.nan_to_num(relevance.mean, nan=-np.inf), kind="stable")[:MAX_EFFECTS]:
        name = relevance.names[i]
        places = split.groups[name]
        if places[0] in split.quantities:
            low, high = (float(end) for end in np.quantile(split.train_inputs[:, places[0]], ENDS))
            absent = dict.fromkeys(places[1:], 0.0)
            shown = day if name in split.dates else number
            values = [(shown(end), mean({places[0]: end, **absent})) for end in (low, high)]
        else:
            frequent = sorted(places, key=lambda p: -split.train_inputs[:, p].sum())[:MAX_CATEGORIES]
            of_words = [
                (split.names[p].removeprefix(f"{name}="), mean({q: float(q == p) for q in places})) for p in frequent
            ]
            values = [end(of_words, key=lambda one: one[1]) for end in (min, max)]
        (low_word, at_low), (high_word, at_high) = values
        if low_word != high_word:
            effects.append(Effect(name, low_word, high_word, at_low, at_high))
    return tuple(effects)


def far_off_rows(comparison: Comparison, classes: tuple[str, ...], names: Sequence[object]) -> tuple[FarOffRow, ...]:
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
            FarOffRow(str(names[int(comparison.rows[i])]), number(observed[i]), number(outputs[i])) for i in worst
        )
    own, called = outputs[np.arange(len(observed)), observed], comparison.called
    worst = [i for i in np.argsort(own, kind="stable")[:MAX_FAR_OFF] if called[i] != observed[i]]
    return tuple(
        FarOffRow(
            str(names[int(comparison.rows[i])]),
            classes[observed[i]],
            f"{classes[called[i]]}, probability {100 * outputs[i, called[i]]:.3g} %",
        )
        for i in worst
    )
