"""Measurements of a fitted estimator for its report: the functions learned from curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from langevax.app.evaluation.holdout import TrainTestSplit
from langevax.app.report.contents import (
    ChannelCurves,
    CurveContents,
    FunctionBand,
    LabelledCurves,
)
from langevax.app.report.numbers import number
from langevax.figures.canvas import thinned
from langevax.sklearn.inputs.curves import CurveCoefficients
from langevax.sklearn.table import subsample

MAX_TIMES = 300  # of each curve


@dataclass(frozen=True)
class NamedCurves:
    """Curves and the names of their axes."""

    inputs: Any
    """(n, G), NaN where missing, or a list of n curves, each a pair (t, x) for every channel."""
    time: str
    values: tuple[str, ...]
    """A name for each channel."""

    def take(self, rows: np.ndarray) -> Any:
        """Return these curves."""
        if isinstance(self.inputs, np.ndarray):
            return self.inputs[rows]
        return [self.inputs[i] for i in rows]

    def channel(
        self, row: int, c: int, grid: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (times, values) of one channel of one curve, thinned and without missing values."""
        if isinstance(self.inputs, np.ndarray):
            assert grid is not None
            present = ~np.isnan(self.inputs[row])
            times = grid[present]
            values = self.inputs[row][present]
        else:
            times, values = map(np.asarray, self.inputs[row][c])
        places = thinned(len(times), MAX_TIMES)
        return times[places], values[places]


def curves_of(
    model: Any,
    curves: NamedCurves,
    split: TrainTestSplit,
    most_slopes: int = 500,
) -> CurveContents:
    """Return what an estimator learned from `curves`, its training curves in order.

    Slopes are those of smooth functions as inputs; of patterns there are none.
    """
    size = len(split.train)
    encoder = model.encoder_
    groups = _groups(split, split.train_targets, subsample(size, 60))
    observed = []
    for c, label in enumerate(curves.values):
        chosen = tuple(
            LabelledCurves(name, [curves.channel(i, c, encoder.grid_) for i in rows])
            for name, rows in groups
        )
        observed.append(ChannelCurves(label, chosen, not split.classes, size))
    slopes: tuple[FunctionBand, ...] = ()
    if isinstance(encoder, CurveCoefficients):
        grid = grid_of(model)
        rows = subsample(size, most_slopes)
        betas = model.slope_functions(curves.take(rows), grid)
        blocks = [betas] if betas.ndim == 2 else np.moveaxis(betas, 1, 0)
        labels = block_labels(model, curves.values)
        slopes = tuple(
            _band(label, grid, beta) for label, beta in zip(labels, blocks, strict=True)
        )
    return CurveContents(curves.time, response_of(split), tuple(observed), slopes)


def grid_of(model: Any) -> np.ndarray:
    """Return the times at which functions are drawn."""
    grid = model.encoder_.grid_
    if grid is None:
        left, right = model.encoder_.domain_
        return np.linspace(left, right, MAX_TIMES)
    return grid[thinned(len(grid), MAX_TIMES)]


def block_labels(model: Any, values: Sequence[str]) -> list[str]:
    """Return what the network reads of each channel: the values or a derivative."""
    derivative = model.encoder_.derivative
    if not isinstance(derivative, int):
        derivative = derivative[0]
    order = ("", "derivative", "second derivative")[derivative]
    return [f"{order} of {value}" for value in values] if order else list(values)


def response_of(split: TrainTestSplit) -> str:
    """Return what beta(t) is the slope of."""
    if not split.classes:
        return split.target
    if len(split.classes) == 2:
        return f"the log odds of {split.classes[1]}"
    return "the output of the class that moves"


def _groups(
    split: TrainTestSplit,
    targets: np.ndarray,
    rows: np.ndarray,
    most: int = 6,
) -> list[tuple[str, np.ndarray]]:
    """Return names and rows of thirds of the targets, or of the most frequent classes."""
    if split.classes:
        sizes = np.bincount(targets.astype(int), minlength=len(split.classes))
        shown = np.sort(np.argsort(-sizes, kind="stable")[:most])
        groups = [(split.classes[c], rows[targets[rows] == c]) for c in shown]
    else:
        ordered = rows[np.argsort(targets[rows], kind="stable")]
        parts = np.array_split(ordered, 3)
        groups = []
        for which, own in zip(("lowest", "middle", "highest"), parts, strict=True):
            ends = " to ".join(number(targets[i], 3) for i in own[[0, -1]])
            groups.append((f"{which} third: {ends}", own))
    return [(name, members) for name, members in groups if len(members)]


def _band(label: str, grid: np.ndarray, values: np.ndarray) -> FunctionBand:
    half, central = (
        np.quantile(values, ends, axis=0) for ends in ((0.25, 0.75), (0.05, 0.95))
    )
    return FunctionBand(label, grid, np.median(values, axis=0), half, central)
