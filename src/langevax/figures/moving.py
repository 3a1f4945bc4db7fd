"""Interactive pictures that move: a plotly figure of the last frame, and the attributes that change in it.

Axes are fixed over all frames, so that only the data moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from langevax.figures.canvas import axis, canvas, reach, shown, span, thinned
from langevax.figures.interactive import MAX_POINTS, OURS
from langevax.figures.theme import DIVERGING_STOPS, GREY, INK, LIGHT, OKABE_ITO

HEIGHT = 420
CLASS_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "cross", "star")
MAX_LABELS = 8  # classes with a name in the legend
LEGEND: dict[str, Any] = {
    "orientation": "h",
    "x": 0,
    "y": -0.19,
    "yanchor": "top",
    "font": {"size": 13},
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


@dataclass(frozen=True)
class MovingPanel:
    """A moving picture, its description for readers who cannot see it, and its caption."""

    name: str
    picture: Moving
    words: str
    caption: str


@dataclass(frozen=True)
class Scene:
    """Moving pictures with one slider."""

    pictures: tuple[MovingPanel, ...]
    steps: np.ndarray
    """Whole number of each frame."""
    unit: str = "step of training"
    """Unit of `steps`, in the singular."""


def cloud(
    x: ArrayLike,
    y: ArrayLike,
    outer: ArrayLike,
    *,
    x_label: str,
    y_label: str,
    outer_label: str,
) -> Moving:
    """Draw particles as (frame, particle) arrays: triangles point up and are red where `outer` is positive.

    Example:
        >>> moving = cloud([[0.0, 1.0]], [[1.0, 0.0]], [[-2.0, 2.0]], x_label="a", y_label="b", outer_label="c")
        >>> moving.figure.data[0].marker.symbol
        ('triangle-down', 'triangle-up')
    """
    x, y, outer = np.asarray(x), np.asarray(y), np.asarray(outer)
    limit = float(np.max(np.abs(outer), initial=0.0, where=np.isfinite(outer))) or 1.0
    symbols, up = ("triangle-down", "triangle-up"), (outer >= 0).astype(np.uint8)
    figure = canvas(
        HEIGHT,
        x=axis(
            x_label, range=span(x), zeroline=True, zerolinecolor=GREY, zerolinewidth=1
        ),
        y=axis(range=span(y), zeroline=True, zerolinecolor=GREY, zerolinewidth=1),
        above=y_label,
    )
    secondary = {"size": 12, "color": LIGHT["soft"]}
    colorbar = {
        "title": {"text": shown(outer_label, 34), "side": "right", "font": secondary},
        "thickness": 8,
        "len": 0.8,
        "outlinewidth": 0,
        "tickvals": [-limit, 0, limit],
        "ticktext": [f"−{limit:.2g}", "0", f"+{limit:.2g}"],
        "tickfont": secondary,
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
    grid, values = np.asarray(grid), np.asarray(values)
    data_x, data_y = np.asarray(data_x), np.asarray(data_y)
    x_axis = axis(x_label, **reach(span(grid, data_x), x_dates))
    figure = canvas(HEIGHT, x=x_axis, y=axis(range=span(values, data_y)), above=y_label)
    drawn = thinned(len(data_x), MAX_POINTS)
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
        line={"color": OURS, "width": 3},
        hovertemplate="network: %{y:.4g}<extra></extra>",
    )
    name = f"{x_label}, days since 1970" if x_dates else x_label
    return Moving(
        figure, (1,), (Track("y", values, f"network: {y_label}"),), {name: grid}
    )


def surface(
    grid_x: ArrayLike,
    grid_y: ArrayLike,
    values: ArrayLike,
    classes: Sequence[str],
    data_x: ArrayLike,
    data_y: ArrayLike,
    data_class: ArrayLike,
    *,
    x_label: str,
    y_label: str,
    x_dates: bool = False,
    y_dates: bool = False,
) -> Moving:
    """Draw a plane coloured by class, frame by frame, under rows of the table with a marker for each class.

    For two classes `values` is the probability of the second, and a line shows where it is 1/2; for more, the index
    of the likeliest class.

    Example:
        >>> moving = surface([0, 1], [0, 1], [[[0.1, 0.9], [0.2, 0.8]]], ["no", "yes"], [0.5], [0.5], [1], x_label="a",
        ...                  y_label="b")
        >>> [trace.type for trace in moving.figure.data]
        ['heatmap', 'contour', 'scatter', 'scatter']
    """
    grid_x, grid_y, values = np.asarray(grid_x), np.asarray(grid_y), np.asarray(values)
    data_x, data_y, data_class = (
        np.asarray(data_x),
        np.asarray(data_y),
        np.asarray(data_class),
    )
    two, label = (
        len(classes) == 2,
        f"probability of {classes[-1]}" if len(classes) == 2 else "likeliest class",
    )
    x_range, y_range = span(grid_x, margin=0), span(grid_y, margin=0)
    x_axis = axis(x_label, showgrid=False, **reach(x_range, x_dates))
    y_axis = axis(showgrid=False, **reach(y_range, y_dates))
    figure = canvas(HEIGHT, x=x_axis, y=y_axis, above=y_label)
    last = {
        "x": grid_x,
        "y": grid_y,
        "z": values[-1],
        "zmin": 0,
        "zmax": 1 if two else len(classes),
    }
    last["showscale"] = False
    figure.add_heatmap(
        **last,
        colorscale=_class_scale(len(classes)),
        zsmooth="best" if two else False,
        opacity=0.3,
        hoverinfo="skip",
    )
    if two:
        half = {"coloring": "none", "start": 0.5, "end": 0.5, "size": 1}
        figure.add_contour(
            **last, contours=half, line={"color": INK, "width": 1.2}, hoverinfo="skip"
        )
    drawn = thinned(len(data_x), MAX_POINTS)
    for index, name in enumerate(classes):
        rows = drawn[data_class[drawn] == index]
        figure.add_scatter(
            x=data_x[rows],
            y=data_y[rows],
            mode="markers",
            marker={
                "color": OKABE_ITO[index % 6],
                "symbol": _class_symbol(index),
                "size": 7,
                "line": {"width": 0.7, "color": LIGHT["paper"]},
            },
            name=shown(name, 30),
            showlegend=index < MAX_LABELS,
            hovertext=shown(name, 200),
            hoverinfo="text",
        )
    figure.update_layout(showlegend=True, legend=LEGEND)
    across, along = np.meshgrid(grid_x, grid_y)
    traces, tracks = ((0, 1) if two else (0,)), (Track("z", values, label),)
    return Moving(
        figure,
        traces,
        tracks,
        {f"x: {x_label}": across.ravel(), f"y: {y_label}": along.ravel()},
    )


def _class_scale(count: int) -> list[list]:
    """Return a scale from one class to the other, or one flat colour per class, for indices on [0, count]."""
    if count == 2:
        return [[0, OKABE_ITO[0]], [0.5, LIGHT["paper"]], [1, OKABE_ITO[1]]]
    edges = np.linspace(0, 1, count + 1)
    return [
        [float(edge), OKABE_ITO[i % 6]]
        for i in range(count)
        for edge in edges[i : i + 2]
    ]


def _class_symbol(index: int) -> str:
    """Return a marker; no two of 36 classes share both colour and marker."""
    return CLASS_SYMBOLS[(index + index // 6) % 6]
