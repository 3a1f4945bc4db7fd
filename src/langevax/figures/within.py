"""A function that is being sampled: the present draw moves in the band that the exact law has it in."""

import numpy as np
from numpy.typing import ArrayLike

from langevax.figures.canvas import axis, canvas, span
from langevax.figures.moving import HEIGHT, Moving, Track
from langevax.figures.theme import GREY, INK, OKABE_ITO, faint

BAND, DRAW = OKABE_ITO[0], OKABE_ITO[1]


def within(
    grid: ArrayLike,
    draws: ArrayLike,
    centre: ArrayLike,
    deviation: ArrayLike,
    data_x: ArrayLike = (),
    data_y: ArrayLike = (),
    *,
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
) -> Moving:
    """Functions (frame, place) on a grid, before the mean and two deviations (place,) of the law, and rows of data.

    Example:
        >>> moving = within([0.0, 1.0], [[0.0, 1.0]], [0.0, 0.0], [1.0, 1.0], x_label="a", y_label="b")
        >>> [trace.fill for trace in moving.figure.data], moving.traces
        ([None, 'tonexty', None, None, None], (4,))
    """
    grid, draws = np.asarray(grid, float), np.asarray(draws, float)
    centre, deviation = np.asarray(centre, float), np.asarray(deviation, float)
    low, high = centre - 2 * deviation, centre + 2 * deviation
    data_x, data_y = np.asarray(data_x, float), np.asarray(data_y, float)
    reach = span(low, high, draws, data_y) if y_range is None else list(y_range)
    figure = canvas(
        HEIGHT, x=axis(x_label, range=[float(grid.min()), float(grid.max())]), y=axis(range=reach), above=y_label
    )
    figure.add_scatter(x=grid, y=low, mode="lines", line={"width": 0}, hoverinfo="skip")
    figure.add_scatter(
        x=grid, y=high, mode="lines", line={"width": 0}, fill="tonexty", fillcolor=faint(BAND), hoverinfo="skip"
    )
    figure.add_scatter(
        x=grid, y=centre, mode="lines", line={"color": BAND, "width": 1.4}, hovertemplate="mean %{y:.3g}<extra></extra>"
    )
    figure.add_scatter(
        x=data_x, y=data_y, mode="markers", hovertemplate="%{x:.3g}, %{y:.3g}<extra></extra>",
        marker={"color": GREY, "size": 6, "line": {"width": 0.7, "color": INK}},
    )  # fmt: skip
    figure.add_scatter(
        x=grid,
        y=draws[-1],
        mode="lines",
        line={"color": DRAW, "width": 2},
        hovertemplate="draw %{y:.3g}<extra></extra>",
    )
    return Moving(figure, (4,), (Track("y", draws, y_label),), {x_label: grid})
