"""Parts of the figures of claims: panels, points with error bars, and texts beside what they name."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from claims import Number
from langevax.figures.theme import INK

Style = tuple[Any, str]
"""Colour and marker."""
Panel = Callable[[Axes, xarray.Dataset], None]


def panels(
    size: tuple[float, float],
    rows: int,
    *panels: Panel,
    legend_of: int | None = None,
    **legend: Any,
) -> Callable[[xarray.Dataset], Figure]:
    """Return a function that draws so many inches: a panel for each function, in rows, and one panel's legend."""

    def draw(data: xarray.Dataset) -> Figure:
        figure = Figure(figsize=size)
        cells = figure.subplots(
            rows, math.ceil(len(panels) / rows), squeeze=False
        ).ravel()
        for axes, draw_panel in itertools.zip_longest(cells, panels):
            draw_panel(axes, data) if draw_panel else axes.set_axis_off()
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # type: ignore[union-attr]
        if legend_of is not None:
            handles, labels = cells[legend_of].get_legend_handles_labels()
            place = {
                "loc": "outside upper center",
                "ncols": len(labels),
                "handletextpad": 0.3,
            }
            figure.legend(handles, labels, **(place | legend))
        return figure

    return draw


def points(
    axes: Axes,
    x: ArrayLike,
    measured: Sequence[ArrayLike],
    style: Style,
    label: str = "",
    **options: Any,
) -> None:
    """Draw (numbers, standard errors) as points with bars; a marker with a line style, as "o:", joins them."""
    (y, error), (colour, marker) = measured, style
    axes.errorbar(x, y, error, fmt=marker, color=colour, label=label, **options)


def note(
    axes: Axes, text: str, x: float, y: float, colour: Any = INK, **options: Any
) -> None:
    """Write at a place in shares of the panel, towards its middle."""
    options = {
        "ha": "left" if x < 0.5 else "right",
        "va": "bottom" if y < 0.5 else "top",
    } | options
    axes.text(x, y, text, color=colour, transform=axes.transAxes, **options)


def level(
    axes: Axes, value: Number, text: str = "", colour: Any = INK, **options: Any
) -> None:
    """Draw a horizontal line with its name above it on the left."""
    axes.axhline(float(value), color=colour, **({"zorder": 1} | options))
    axes.text(
        0.02,
        float(value),
        text,
        color=colour,
        va="bottom",
        transform=axes.get_yaxis_transform(),
    )


def ticks(axes: Axes, values: ArrayLike) -> None:
    """Label these values of x, on a logarithmic axis, and no others."""
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:g}" for value in np.asarray(values)])
    axes.minorticks_off()
