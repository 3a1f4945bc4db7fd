"""Effects of columns on predictions, and the rows whose predictions are far off."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from langevax.app.evaluation.comparison import Comparison
from langevax.app.evaluation.holdout import Relevance, TrainTestSplit
from langevax.app.evaluation.metrics import positive_class
from langevax.app.fitting.prepared import FitData
from langevax.app.report.contents import Effect
from langevax.app.report.numbers import day, number
from langevax.sklearn.row_effects import RowEffects


def effects_of(
    model: Any,
    split: TrainTestSplit,
    relevance: Relevance,
    most_columns: int = 12,
    most_rows: int = 200,
) -> tuple[Effect, ...]:
    """Return how the mean prediction changes with each of the columns that matter most.

    A quantity is set to what training rows have at the ends of its first and last tenth, or at its ends where these are
    equal; words to those of the lowest and the highest mean prediction. Of two classes, the prediction is the
    probability of the rarer one.
    """
    if len(split.classes) > 2:
        return ()
    rows = split.test_inputs[:most_rows]
    place = positive_class(split.targets) if split.classes else 0

    def mean(places: Sequence[int], values: np.ndarray) -> float:
        inputs = rows.copy()
        inputs[:, places] = values
        outputs = split.outputs(model, inputs)
        return float((outputs[:, place] if split.classes else outputs).mean())

    effects = []
    order = np.argsort(-relevance.mean, kind="stable")
    for name in [relevance.names[i] for i in order[:most_columns]]:
        low, high = _ends(split, name, mean)
        if low[0] != high[0]:
            effects.append(Effect(name, low[0], high[0], low[1], high[1]))
    return tuple(effects)


def _ends(
    split: TrainTestSplit,
    name: str,
    mean: Callable[[Sequence[int], np.ndarray], float],
    most_words: int = 12,
) -> tuple[tuple[str, float], tuple[str, float]]:
    """Return the low and the high end of a column in words, and the mean prediction at each."""
    places = split.groups[name]
    values = split.train_inputs[:, places]
    if places[0] in split.quantities:
        shown = day if name in split.dates else number
        ordered = values[np.argsort(values[:, 0], kind="stable")]
        tenth = len(ordered) // 10
        low = ordered[tenth]
        high = ordered[-1 - tenth]
        if low[0] == high[0]:
            low = ordered[0]
            high = ordered[-1]
        return (shown(low[0]), mean(places, low)), (shown(high[0]), mean(places, high))
    frequent = np.argsort(-values.sum(0), kind="stable")[:most_words]
    words = [split.names[one].removeprefix(f"{name}=") for one in places]
    means = [(words[i], mean(places, np.eye(len(words))[i])) for i in frequent]
    means.sort(key=lambda one: one[1])
    return means[0], means[-1]


def far_off_rows(
    comparison: Comparison,
    classes: tuple[str, ...],
    names: Sequence[object],
    pulls: Callable[[int], np.ndarray] | None = None,
    most: int = 8,
) -> tuple[tuple[str, ...], ...]:
    """Return name, target and prediction of the rows scored that are furthest off, and what moved it most.

    Args:
        comparison: the rows scored.
        classes: empty for regression.
        names: of all rows of the split.
        pulls: pulls(place) returns by how much each row of the split moved the prediction; None where this is not known.
        most: rows.
    """
    observed = comparison.observed
    outputs = comparison.outputs
    if not classes:
        worst = np.argsort(-np.abs(observed - outputs), kind="stable")[:most]
        words = [(number(observed[i]), number(outputs[i])) for i in worst]
    else:
        called = comparison.called
        own = outputs[np.arange(len(observed)), observed]
        order = np.argsort(own, kind="stable")[:most]
        worst = order[called[order] != observed[order]]
        words = [
            (f"{classes[observed[i]]}, probability {number(own[i], 2)}", classes[c])
            for i, c in zip(worst, called[worst], strict=True)
        ]
    named = []
    for i, both in zip(worst, words, strict=True):
        place = int(comparison.rows[i])
        moved: tuple[str, ...] = ()
        if pulls is not None:
            moves = pulls(place)
            strongest = int(np.abs(moves).argmax())
            moved = (f"{names[strongest]}, by {moves[strongest]:+.3g}",)
        named.append((str(names[place]), *both, *moved))
    return tuple(named)


def pulls_of(model: Any, data: FitData) -> Callable[[int], np.ndarray] | None:
    """Return what says by how much each row of the split moved a prediction; None where this is not known."""
    if not isinstance(model, RowEffects):
        return None
    try:
        doubt = model.row_response().doubt()
    except ValueError:  # trained by steps, or on too many rows
        return None
    return None if doubt else lambda place: pulls(model, data, place)


def pulls(model: RowEffects, data: FitData, place: int) -> np.ndarray:
    """Return by how much each row of the split moved the prediction at one of them, 0 for itself.

    Predictions are numbers, or the probability of the row's own class.
    """
    split = data.split
    moves = -model.influence(data.take(np.array([place])))[0]
    if split.classes:
        moves = moves[:, int(split.targets[place])]
    of_rows = np.zeros(len(split.targets))
    of_rows[split.train] = np.nan_to_num(moves)
    of_rows[place] = 0
    return of_rows
