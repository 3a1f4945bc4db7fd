"""Interactive pictures that move: a plotly figure of the last frame, and the attributes that change in it.

Axes are fixed over all frames, so that only the data moves.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from langevax.figures.canvas import axis, canvas, reach, shown, span, thinned
from langevax.figures.interactive import OUR_COLOUR, POINTS_DRAWN
from langevax.figures.theme import DIVERGING_STOPS, GREY, LIGHT, SECONDARY_TEXT, TEXT

HEIGHT = 420
LEGEND: dict[str, Any] = {
    "orientation": "h",
    "x": 0,
    "y": -0.19,
    "yanchor": "top",
    "font": TEXT,
    "bgcolor": "rgba(0,0,0,0)",
    "itemclick": False,
    "itemdoubleclick": False,
}


@dataclass(frozen=True)
class Track:
    """An attribute of the moving traces, with `values[frame]`."""

    attribute: str
    values: np.ndarray
    label: str = ""
    """Name of its column in a download; empty where it would repeat another."""
    names: tuple[str, ...] = ()
    """The meaning of values that are indices."""


@dataclass(frozen=True)
class Moving:
    """A figure and its moving traces."""

    figure: go.Figure
    traces: tuple[int, ...]
    tracks: tuple[Track, ...]
    fixed: dict[str, np.ndarray]
    """Columns of a download that are the same in every frame, flat."""


def cloud(
    x: ArrayLike,
    y: ArrayLike,
    outer: ArrayLike,
    x_label: str,
    y_label: str,
    outer_label: str,
) -> Moving:
    """Draw particles as (frame, particle) arrays: triangles point up and are red where `outer` is positive.

    Example:
        >>> moving = cloud([[0.0, 1.0]], [[1.0, 0.0]], [[-2.0, 2.0]], "a", "b", "c")
        >>> moving.figure.data[0].marker.symbol
        ('triangle-down', 'triangle-up')
    """
    x = np.asarray(x)
    y = np.asarray(y)
    outer = np.asarray(outer)
    limit = float(np.max(np.abs(outer), initial=0.0, where=np.isfinite(outer))) or 1.0
    symbols = ("triangle-down", "triangle-up")
    up = (outer >= 0).astype(int)
    figure = canvas(
        HEIGHT,
        x=axis(
            x_label, range=span(x), zeroline=True, zerolinecolor=GREY, zerolinewidth=1
        ),
        y=axis(range=span(y), zeroline=True, zerolinecolor=GREY, zerolinewidth=1),
        above=y_label,
    )
    colorbar = {
        "title": {
            "text": shown(outer_label, 34),
            "side": "right",
            "font": SECONDARY_TEXT,
        },
        "thickness": 8,
        "len": 0.8,
        "outlinewidth": 0,
        "tickvals": [-limit, 0, limit],
        "ticktext": [f"−{limit:.2g}", "0", f"+{limit:.2g}"],
        "tickfont": SECONDARY_TEXT,
        "xpad": 12,
    }
    figure.add_scatter(
        x=x[-1],
        y=y[-1],
        mode="markers",
        marker={
            "symbol": [symbols[i] for i in up[-1]],
            "color": outer[-1],
            "cmin": -limit,
            "cmax": limit,
            "colorscale": [[i / 4, colour] for i, colour in enumerate(DIVERGING_STOPS)],
            "size": 9,
            "line": {"width": 0.7, "color": LIGHT["soft"]},
            "colorbar": colorbar,
        },
        hovertemplate="%{x:.3g}, %{y:.3g}<br>outer weight %{marker.color:.3g}<extra></extra>",
    )
    tracks = (
        Track("x", x, f"x: {x_label}"),
        Track("y", y, f"y: {y_label}"),
        Track("marker.color", outer, outer_label),
        Track("marker.symbol", up, names=symbols),
    )
    return Moving(figure, (0,), tracks, {"particle": np.arange(x.shape[1])})


def curve(
    grid: ArrayLike,
    values: ArrayLike,
    data_x: ArrayLike,
    data_y: ArrayLike,
    *,
    x_label: str,
    y_label: str,
    x_dates: bool = False,
) -> Moving:
    """Draw the curve `values[frame]` over a grid, on grey rows of the table; dates are days since 1970.

    Example:
        >>> curve([0.0, 1.0], [[0.0, 1.0]], [0.5], [0.4], x_label="a", y_label="b").tracks[0].attribute
        'y'
    """
    grid = np.asarray(grid)
    values = np.asarray(values)
    data_x = np.asarray(data_x)
    data_y = np.asarray(data_y)
    x_axis = axis(x_label, **reach(span(grid, data_x), x_dates))
    figure = canvas(HEIGHT, x=x_axis, y=axis(range=span(values, data_y)), above=y_label)
    drawn = thinned(len(data_x), POINTS_DRAWN)
    figure.add_scatter(
        x=data_x[drawn],
        y=data_y[drawn],
        mode="markers",
        marker={"color": GREY, "size": 6, "opacity": 0.45},
        hovertemplate=("" if x_dates else "%{x:.4g}, ") + "%{y:.4g}<extra></extra>",
    )
    figure.add_scatter(
        x=grid,
        y=values[-1],
        mode="lines",
        line={"color": OUR_COLOUR, "width": 3},
        hovertemplate="network: %{y:.4g}<extra></extra>",
    )
    name = f"{x_label}, days since 1970" if x_dates else x_label
    return Moving(
        figure, (1,), (Track("y", values, f"network: {y_label}"),), {name: grid}
    )
