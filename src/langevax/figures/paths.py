"""Neurons on their way to their teacher's, and quantities along a run: points that move on lines that stand."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from langevax.figures.canvas import axis, canvas, note, shown, span
from langevax.figures.moving import HEIGHT, Moving, Track
from langevax.figures.theme import GREY, INK, LIGHT, OKABE_ITO

PLUS, MINUS = OKABE_ITO[0], OKABE_ITO[1]
SYMBOLS = ("triangle-down", "circle", "triangle-up")
LAST = 6  # a name stands above the last sixth of its curve
COLOURS = ((0.0, MINUS), (0.5, GREY), (1.0, PLUS))


def arrivals(
    place: ArrayLike, sign: ArrayLike, target: ArrayLike, target_sign: ArrayLike, *, x_label: str, y_label: str = ""
) -> Moving:
    """Particles (frame, particle, 2) of signs (frame, particle) on their paths to targets (target, 2), drawn as rings.

    A triangle points up for +1 and down for -1, and a sign stands beside each ring. Both axes have one scale.

    Example:
        >>> moving = arrivals([[[0.0, 0.0]], [[1.0, 0.0]]], [[-1], [1]], [[1.0, 0.0]], [1], x_label="a")
        >>> [track.attribute for track in moving.tracks], moving.figure.data[-1].marker.symbol
        (['x', 'y', 'marker.color', 'marker.symbol'], ('triangle-up',))
    """
    place, sign, target = np.asarray(place, float), np.sign(np.asarray(sign)), np.asarray(target, float)
    reach = span(place, target, 1.3 * target, -target)
    plain = {"showgrid": False, "showticklabels": False, "range": reach}
    figure = canvas(
        HEIGHT, x=axis(x_label, **plain, constrain="domain"), y=axis(**plain, scaleanchor="x"), above=y_label
    )
    for spoke in target:
        _line(figure, [0, spoke[0]], [0, spoke[1]], LIGHT["grid"], 1.0)
    for across, up in place.transpose(1, 2, 0):
        _line(figure, across, up, GREY, 0.9)
    for ring, plus in zip(target, np.asarray(target_sign) > 0, strict=True):
        note(figure, "+" if plus else "\N{MINUS SIGN}", x=1.24 * ring[0], y=1.24 * ring[1],
             font={"size": 18, "color": PLUS if plus else MINUS})  # fmt: skip
    figure.add_scatter(
        x=target[:, 0], y=target[:, 1], mode="markers", hoverinfo="skip",
        marker={"symbol": "circle-open", "size": 24, "color": INK, "line": {"width": 1.4}},
    )  # fmt: skip
    index = (sign + 1).astype(np.uint8)
    figure.add_scatter(
        x=place[-1, :, 0], y=place[-1, :, 1], mode="markers",
        marker={
            "symbol": [SYMBOLS[i] for i in index[-1]], "color": sign[-1], "cmin": -1, "cmax": 1, "size": 14,
            "colorscale": [list(stop) for stop in COLOURS], "line": {"width": 0.8, "color": LIGHT["paper"]},
        },
        hovertext=[f"neuron {i + 1}" for i in range(place.shape[1])], hoverinfo="text",
    )  # fmt: skip
    tracks = (
        Track("x", place[..., 0], "across"),
        Track("y", place[..., 1], "up"),
        Track("marker.color", sign, "sign"),
        Track("marker.symbol", index, names=SYMBOLS),
    )
    lines = len(target) + place.shape[1]
    return Moving(figure, (lines + 1,), tracks, {"particle": np.arange(place.shape[1])})


def along(
    steps: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    x_label: str,
    y_label: str,
    marks: Mapping[str, float] | None = None,
    levels: Mapping[str, float] | None = None,
    colours: Mapping[str, str] | None = None,
) -> Moving:
    """Positive quantities (frame,) against `steps` on a logarithmic axis, a point on each; `marks` are steps, named.

    `levels` are values with a name, drawn across; `colours` those of curves, where not the theme's in their order.

    Example:
        >>> moving = along([0, 1], {"loss": [1.0, 0.1]}, x_label="step", y_label="loss", marks={"switch": 1})
        >>> moving.tracks[1].values.shape
        (2, 1)
    """
    steps, values = np.asarray(steps, float), {name: np.asarray(curve, float) for name, curve in curves.items()}
    across = span(steps)
    known = np.log10(np.concatenate([*values.values(), list((levels or {}).values())]))
    figure = canvas(
        HEIGHT,
        x=axis(x_label, range=across),
        y=axis(range=span(known), type="log", dtick=1, exponentformat="power"),
        above=y_label,
    )
    for name, level in (levels or {}).items():
        _line(figure, across, [level, level], INK, 1.0)
        note(figure, shown(name), x=across[0], y=np.log10(level), xanchor="left", yanchor="top", xshift=6)
    for name, step in (marks or {}).items():
        figure.add_vline(x=step, line={"color": GREY, "width": 1, "dash": "dot"})
        note(figure, shown(name), x=step, y=1, yref="paper", xanchor="left", yanchor="top", xshift=4)
    chosen = [(colours or {}).get(name, OKABE_ITO[k]) for k, name in enumerate(values)]
    for (name, curve), colour in zip(values.items(), chosen, strict=True):
        _line(figure, steps, curve, colour, 1.6)
        top = np.log10(curve[-1 - len(curve) // LAST :].max())
        note(figure, shown(name), x=across[1], y=top, xanchor="right", yanchor="bottom", yshift=3,
             font={"size": 13, "color": colour})  # fmt: skip
    together, places = np.stack(list(values.values()), axis=1), np.repeat(steps[:, None], len(values), axis=1)
    figure.add_scatter(
        x=places[-1], y=together[-1], mode="markers", hovertext=list(values), hovertemplate="%{hovertext}: %{y:.3g}",
        marker={"size": 12, "color": chosen, "line": {"width": 1, "color": LIGHT["paper"]}},
    )  # fmt: skip
    tracks = (Track("x", places), Track("y", together, y_label))
    return Moving(figure, (len(levels or {}) + len(values),), tracks, {"curve": np.arange(len(values))})


def _line(figure: go.Figure, x: ArrayLike, y: ArrayLike, colour: str, width: float) -> None:
    figure.add_scatter(
        x=np.asarray(x), y=np.asarray(y), mode="lines", line={"color": colour, "width": width}, hoverinfo="skip"
    )
