"""Measurements of a fitted estimator for its report: the functions learned from curves."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from langevax.app.evaluation.holdout import TrainTestSplit
from langevax.app.report.contents import CurveContents, FunctionBand
from langevax.figures.canvas import thinned
from langevax.sklearn.inputs.curves import CurveCoefficients
from langevax.sklearn.table import subsample


def curves_of(
    model: Any,
    take: Callable[[np.ndarray], Any],
    axes: tuple[str, tuple[str, ...]],
    split: TrainTestSplit,
    most_curves: int = 500,
) -> CurveContents:
    """Return what an estimator learned from curves.

    Slopes are those of smooth functions as inputs; of patterns there are none.

    Args:
        model: the fitted estimator.
        take: the curves of rows of the split.
        axes: the name of the times, and of the values of each channel.
        split: into training rows and held-out rows.
        most_curves: at which slopes are taken.
    """
    time, channels = axes
    slopes: tuple[FunctionBand, ...] = ()
    if isinstance(model.encoder_, CurveCoefficients):
        grid = grid_of(model)
        rows = split.train[subsample(len(split.train), most_curves)]
        betas = model.slope_functions(take(rows), grid)
        blocks = [betas] if betas.ndim == 2 else np.moveaxis(betas, 1, 0)
        labels = block_labels(model, channels)
        slopes = tuple(
            _band(label, grid, beta) for label, beta in zip(labels, blocks, strict=True)
        )
    return CurveContents(time, response_of(split), slopes)


def grid_of(model: Any, most: int = 300) -> np.ndarray:
    """Return the times at which functions are drawn."""
    grid = model.encoder_.grid_
    if grid is None:
        left, right = model.encoder_.domain_
        return np.linspace(left, right, most)
    return grid[thinned(len(grid), most)]


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


def _band(label: str, grid: np.ndarray, values: np.ndarray) -> FunctionBand:
    half, central = (
        np.quantile(values, ends, axis=0) for ends in ((0.25, 0.75), (0.05, 0.95))
    )
    return FunctionBand(label, grid, np.median(values, axis=0), half, central)
