"""Interactive pictures that move: a plotly figure of the last frame, and the tracks that change in it.

A track says which attribute of the moving traces takes which values in each frame. Axes are fixed over all
frames, so that only what moves moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from langevax.figures.canvas import axis, canvas, note, shortened, shown, span
from langevax.figures.interactive import MOST_POINTS, OURS, thinned
from langevax.figures.theme import DIVERGING_STOPS, GREY, INK, LIGHT, OKABE_ITO

HEIGHT = 420
CLASS_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "cross", "star")
CLASS_GLYPHS = "●■▲◆✚★"
HIDDEN_ROWS_WORTH_A_SIDE = 12  # a label rather moves by 1/12 of the plane than hide one more row
LABELLED_DIRECTLY = 8  # classes; more names would hide the plane


@dataclass(frozen=True)
class Track:
    """`values[frame]` goes into `attribute` of the moving traces."""

    attribute: str
    values: np.ndarray
    label: str = ""
    """Its column in a download; empty where the column would repeat another."""
    names: tuple[str, ...] = ()
    """What the values stand for, where they are indices."""


@dataclass(frozen=True)
class Moving:
    """A figure and what moves in it."""

    figure: go.Figure
    traces: tuple[int, ...]
    tracks: tuple[Track, ...]
    fixed: dict[str, np.ndarray]
    """Columns of a download that are the same in each frame, flat."""


@dataclass(frozen=True)
class Moved:
    """A moving picture, what it says to those who do not see it, and what to see in it."""

    name: str
    picture: Moving
    words: str
    caption: str


@dataclass(frozen=True)
class Scene:
    """Moving pictures under one slider."""

    pictures: tuple[Moved, ...]
    steps: np.ndarray
    """Of each frame, whole numbers."""
    unit: str = "step of training"
    """What `steps` counts, in the singular."""


def cloud(x: ArrayLike, y: ArrayLike, pull: ArrayLike, *, x_label: str, y_label: str, pull_label: str) -> Moving:
    """Particles as (frame, particle) arrays: triangles point up and are red where `pull` is positive.

    Example:
        >>> moving = cloud([[0.0, 1.0]], [[1.0, 0.0]], [[-2.0, 2.0]], x_label="a", y_label="b", pull_label="c")
        >>> moving.figure.data[0].marker.symbol
        ('triangle-down', 'triangle-up')
    """
    x, y, pull = np.asarray(x), np.asarray(y), np.asarray(pull)
    limit = float(np.max(np.abs(pull), initial=0.0, where=np.isfinite(pull))) or 1.0
    symbols, up = ("triangle-down", "triangle-up"), (pull >= 0).astype(np.uint8)
    figure = canvas(
        HEIGHT,
        x=axis(x_label, range=span(x), zeroline=True, zerolinecolor=GREY, zerolinewidth=1),
        y=axis(range=span(y), zeroline=True, zerolinecolor=GREY, zerolinewidth=1),
        above=y_label,
    )
    figure.add_scatter(
        x=x[-1],
        y=y[-1],
        mode="markers",
        marker={
            "symbol": [symbols[i] for i in up[-1]],
            "color": pull[-1],
            "cmin": -limit,
            "cmax": limit,
            "colorscale": [[i / 4, colour] for i, colour in enumerate(DIVERGING_STOPS)],
            "size": 9,
            "line": {"width": 0.7, "color": LIGHT["soft"]},
            "colorbar": {
                "title": {"text": shown(pull_label, 34), "side": "right", "font": {"size": 12, "color": LIGHT["soft"]}},
                "thickness": 8,
                "len": 0.8,
                "outlinewidth": 0,
                "tickvals": [-limit, 0, limit],
                "ticktext": [f"−{limit:.2g}", "0", f"+{limit:.2g}"],
                "tickfont": {"size": 12, "color": LIGHT["soft"]},
                "xpad": 12,
            },
        },
        hovertemplate="%{x:.3g}, %{y:.3g}<br>pull %{marker.color:.3g}<extra></extra>",
    )
    tracks = (
        Track("x", x, f"x: {x_label}"),
        Track("y", y, f"y: {y_label}"),
        Track("marker.color", pull, pull_label),
        Track("marker.symbol", up, names=symbols),
    )
    return Moving(figure, (0,), tracks, {"particle": np.arange(x.shape[1])})


def curve(
    grid: ArrayLike, values: ArrayLike, data_x: ArrayLike, data_y: ArrayLike, *, x_label: str, y_label: str
) -> Moving:
    """The curve `values[frame]` over a grid, on grey rows of the table.

    Example:
        >>> curve([0.0, 1.0], [[0.0, 1.0]], [0.5], [0.4], x_label="a", y_label="b").tracks[0].attribute
        'y'
    """
    grid, values = np.asarray(grid), np.asarray(values)
    data_x, data_y = np.asarray(data_x), np.asarray(data_y)
    figure = canvas(
        HEIGHT, x=axis(x_label, range=span(grid, data_x)), y=axis(range=span(values, data_y)), above=y_label
    )
    drawn = thinned(len(data_x))
    figure.add_scatter(
        x=data_x[drawn],
        y=data_y[drawn],
        mode="markers",
        marker={"color": GREY, "size": 6, "opacity": 0.45},
        hovertemplate="%{x:.4g}, %{y:.4g}<extra></extra>",
    )
    figure.add_scatter(
        x=grid,
        y=values[-1],
        mode="lines",
        line={"color": OURS, "width": 3},
        hovertemplate="network: %{y:.4g}<extra></extra>",
    )
    return Moving(figure, (1,), (Track("y", values, f"network: {y_label}"),), {x_label: grid})


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
) -> Moving:
    """The plane coloured by class, frame by frame, under the rows of the table with a marker for each class.

    Two classes: `values` is the probability of the second, and the line is where it is a half. More: the index
    of the likeliest class.

    Example:
        >>> moving = surface([0, 1], [0, 1], [[[0.1, 0.9], [0.2, 0.8]]], ["no", "yes"], [0.5], [0.5], [1], x_label="a",
        ...                  y_label="b")
        >>> [trace.type for trace in moving.figure.data]
        ['heatmap', 'contour', 'scatter', 'scatter']
    """
    grid_x, grid_y, values = np.asarray(grid_x), np.asarray(grid_y), np.asarray(values)
    data_x, data_y, data_class = np.asarray(data_x), np.asarray(data_y), np.asarray(data_class)
    two, label = len(classes) == 2, f"probability of {classes[-1]}" if len(classes) == 2 else "likeliest class"
    x_range, y_range = span(grid_x, margin=0), span(grid_y, margin=0)
    figure = canvas(
        HEIGHT,
        x=axis(x_label, range=x_range, showgrid=False),
        y=axis(range=y_range, showgrid=False),
        above=y_label,
    )
    last = {
        "x": grid_x,
        "y": grid_y,
        "z": values[-1],
        "zmin": 0,
        "zmax": 1 if two else len(classes),
        "showscale": False,
    }
    figure.add_heatmap(
        **last, colorscale=_class_scale(len(classes)), zsmooth="best" if two else False, opacity=0.3, hoverinfo="skip"
    )
    if two:
        half = {"coloring": "none", "start": 0.5, "end": 0.5, "size": 1}
        figure.add_contour(**last, contours=half, line={"color": INK, "width": 1.2}, hoverinfo="skip")
    drawn = thinned(len(data_x), MOST_POINTS)
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
            hovertext=shown(name, 200),
            hoverinfo="text",
        )
    lower, size = np.array([x_range[0], y_range[0]]), np.array([np.ptp(x_range), np.ptp(y_range)])
    _name_classes(figure, classes, (np.column_stack([data_x, data_y]) - lower) / size, data_class)
    across, along = np.meshgrid(grid_x, grid_y)
    traces, tracks = ((0, 1) if two else (0,)), (Track("z", values, label),)
    return Moving(figure, traces, tracks, {f"x: {x_label}": across.ravel(), f"y: {y_label}": along.ravel()})


def _class_scale(count: int) -> list[list]:
    """From one class over the paper to the other; or one flat colour a class, for indices drawn on [0, count]."""
    if count == 2:
        return [[0, OKABE_ITO[0]], [0.5, LIGHT["paper"]], [1, OKABE_ITO[1]]]
    edges = np.linspace(0, 1, count + 1)
    return [[float(edge), OKABE_ITO[i % 6]] for i in range(count) for edge in edges[i : i + 2]]


def _name_classes(figure: go.Figure, classes: Sequence[str], points: np.ndarray, of: np.ndarray) -> None:
    """Each class by marker and name, near its rows where few are hidden; `points` are shares of the plane's sides."""
    taken = np.empty((0, 2))
    for index, name in enumerate(classes[:LABELLED_DIRECTLY]):
        if not (of == index).any():
            continue
        text = shortened(name, 20)
        half = np.array([0.03 + 0.011 * len(text), 0.04])  # of the label, as it comes out on half a page
        places = np.stack(np.meshgrid(np.linspace(half[0], 1 - half[0], 25), np.linspace(0.05, 0.95, 25)), -1)
        places = places.reshape(-1, 2)
        hidden = np.sum(np.all(np.abs(places[:, None] - points) < half, axis=2), axis=1)
        far = np.linalg.norm(places - np.median(points[of == index], axis=0), axis=1)
        meets = np.any(np.all(np.abs(places[:, None] - taken) < [0.35, 0.1], axis=2), axis=1)
        best = int(np.argmin(hidden + HIDDEN_ROWS_WORTH_A_SIDE * far + np.where(meets, np.inf, 0)))
        if meets[best]:
            continue
        taken = np.vstack([taken, places[best]])
        x, y = places[best]
        glyph = CLASS_GLYPHS[CLASS_SYMBOLS.index(_class_symbol(index))]
        note(
            figure,
            f"{glyph} <b>{shown(text)}</b>",
            x=x,
            y=y,
            xref="paper",
            yref="paper",
            bgcolor=LIGHT["paper"] + "D9",
            borderpad=3,
            font={"size": 13, "color": OKABE_ITO[index % 6]},
        )


def _class_symbol(index: int) -> str:
    """No two of 36 classes have both their colour and their marker in common."""
    return CLASS_SYMBOLS[(index + index // 6) % 6]
