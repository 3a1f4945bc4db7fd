"""Interactive charts of a fit: arrays in, plotly figures out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from langevax.figures.canvas import (
    HEIGHT,
    LONGEST_LABEL,
    SPACE,
    axis,
    canvas,
    named_ticks,
    note,
    shown,
    span,
    thinned,
)
from langevax.figures.theme import (
    GREY,
    INK,
    LIGHT,
    METHODS,
    SECONDARY_TEXT,
    TEXT,
    faint,
)

OUR_COLOUR = METHODS["MFLD"][0]
POINTS_DRAWN = 1500  # more overlap and are slow to draw
LONGEST_NAME = LONGEST_LABEL // 2  # characters of a name beside a row or a column
ROW = 27  # pixels of the height of a row
VALUE = 70  # pixels of the width of a value beside it
MARKER = 8  # pixels


def rows_of_dots(
    names: Sequence[str],
    values: ArrayLike,
    bars: ArrayLike,
    label: str,
    *,
    texts: Sequence[str],
    line: float = 0.0,
    ours: ArrayLike | None = None,
    ratio: bool = False,
) -> go.Figure:
    """Draw a row for each name, from the top: a coloured diamond, or a grey dot where it is not ours, with its bar.

    Args:
        names: of the rows.
        values: where the dots are.
        bars: how far the bar of each reaches, (rows,) or (2, rows) to the left and to the right.
        label: of the axis.
        texts: the values in words, at the right and under the pointer.
        line: where a vertical line is drawn.
        ours: which rows are coloured; None: all.
        ratio: draw values on a logarithmic axis.

    Example:
        >>> figure = rows_of_dots(["ours", "ridge"], [0.49, 0.48], [0.0, 0.1], "R2", texts=["0.49", "0.48"])
        >>> figure.data[0].marker.symbol
        'diamond'
    """
    values = np.asarray(values, float)
    before, after = np.broadcast_to(np.nan_to_num(bars), (2, len(values)))
    ends = [values - before, values + after, [line]]
    x = axis(label, range=span(*ends))
    if ratio:
        x = _power_axis(np.concatenate(ends), label)
    places = np.arange(len(names))
    coloured = np.ones(len(names), bool) if ours is None else np.asarray(ours, bool)
    bold: list[bool] = (coloured & (ours is not None)).tolist()
    labels = [
        _bold(shown(name, LONGEST_NAME), marked)
        for name, marked in zip(names, bold, strict=True)
    ]
    y = axis(
        range=[len(names) - 0.5, -0.5],
        tickfont=TEXT,
        **named_ticks(places.tolist(), labels),
    )
    figure = canvas(x=x, y=y, height=ROW * (len(names) + 4), right=VALUE)
    figure.add_vline(
        x=line,
        line={"color": INK if ours is None else OUR_COLOUR, "width": 1},
        layer="below",
    )
    for side, colour, symbol in (
        (~coloured, GREY, "circle"),
        (coloured, OUR_COLOUR, "diamond"),
    ):
        if not side.any():
            continue
        figure.add_scatter(
            x=values[side],
            y=places[side],
            error_x=_bars(after[side], colour, arrayminus=before[side]),
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": MARKER},
            hovertext=[
                f"{_whole(names[int(i)])}: {texts[int(i)]}" for i in places[side]
            ],
            hoverinfo="text",
        )
    for i, text in enumerate(texts):
        colour = OUR_COLOUR if bold[i] else LIGHT["soft"]
        where = {"x": 1, "xref": "paper", "y": i, "xanchor": "right"}
        font = {**TEXT, "color": colour}
        note(figure, _bold(text, bold[i]), font=font, xshift=VALUE - SPACE, **where)
    return figure


def closing(
    work: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    text: str,
    unit: str = "neuron gradients",
    above: str = "training objective",
) -> go.Figure:
    """Draw an interval that closes as work is done, each from where it was reached.

    Example:
        >>> figure = closing(*np.array([[1e6, 1e8], [0.0, 0.20], [0.5, 0.22]]), "width 0.02")
        >>> [trace.type for trace in figure.data]
        ['scatter', 'scatter', 'scatter']
    """
    # the last interval lasts
    work = np.append(work, 2 * work[-1])
    lower, upper = (np.append(ends, ends[-1]) for ends in (lower, upper))
    y = axis(range=span(lower, upper))
    x = _power_axis(work, f"work of the search, {unit}")
    figure = canvas(x=x, y=y, above=above)
    places = np.repeat(work, 2)[1:]
    low, high = (np.repeat(values, 2)[:-1] for values in (lower, upper))
    figure.add_scatter(
        x=np.concatenate([places, places[::-1]]),
        y=np.concatenate([low, high[::-1]]),
        fill="toself",
        fillcolor=faint(OUR_COLOUR),
        mode="lines",
        line={"color": OUR_COLOUR, "width": 0},
        hoverinfo="skip",
    )
    for end, values, dash in (("upper", high, "solid"), ("lower", low, "dash")):
        figure.add_scatter(
            x=places,
            y=values,
            mode="lines",
            line={"color": OUR_COLOUR, "width": 2, "dash": dash},
            hovertemplate=f"{end} end %{{y:.4g}}<extra></extra>",
        )
    at = {"x": float(np.log10(work[-1])), "y": upper[-1]}
    note(figure, text, **at, xanchor="right", yanchor="bottom", yshift=SPACE)
    return figure


def cooling(
    temperature: np.ndarray,
    loss: np.ndarray,
    error: np.ndarray,
    chosen: int,
    trained_temperature: np.ndarray,
    trained_loss: np.ndarray,
    above: str,
) -> go.Figure:
    """Draw losses over temperatures that fall to the right, of rows left out with bars, and of rows trained on.

    Example:
        >>> hot, cold = np.array([[1.0, 0.1, 0.01], [0.5, 0.1, 0.2]]), np.array([[1.0, 0.1], [0.5, 0.05]])
        >>> figure = cooling(*hot, np.full(3, 0.01), 1, *cold, "mean loss")
        >>> figure.layout.xaxis.range[0] > figure.layout.xaxis.range[1]
        True
    """
    temperatures = np.concatenate([temperature, trained_temperature])
    x = _power_axis(temperatures, "temperature, falling")
    x["range"] = x["range"][::-1]
    y = _power_axis(np.concatenate([loss, trained_loss]))
    low, high = y["range"]
    y["range"] = [low - (high - low) / 10, high]  # for a name below the last point
    figure = canvas(x=x, y=y, above=above)
    figure.add_vline(
        x=temperature[chosen], line={"color": OUR_COLOUR, "width": 1}, layer="below"
    )
    own = ("left out", temperature, loss, error, OUR_COLOUR, "diamond", 2 * SPACE)
    no_bars = np.zeros(len(trained_loss))
    other = trained_temperature, trained_loss, no_bars, GREY, "circle", -2 * SPACE
    series = [("trained on", *other), own] if trained_loss.size else [own]
    for name, at, values, bars, colour, symbol, side in series:
        figure.add_scatter(
            x=at,
            y=values,
            error_y=_bars(bars, colour),
            mode="lines+markers",
            line={"color": colour, "width": 1},
            marker={"color": colour, "symbol": symbol, "size": MARKER},
            hovertemplate=f"{name}: %{{y:.4g}} at temperature %{{x:.3g}}<extra></extra>",
        )
        where = {"x": float(np.log10(at[-1])), "y": float(np.log10(values[-1]))}
        font = {**TEXT, "color": colour}
        note(figure, name, font=font, xanchor="right", yshift=side, **where)
    return figure


def beside_diagonal(
    x: ArrayLike,
    y: ArrayLike,
    x_label: str,
    y_label: str,
    bars: ArrayLike | None = None,
) -> go.Figure:
    """Draw points, on equal axes over the diagonal; `bars` is half the height of the bar of each.

    Example:
        >>> len(beside_diagonal([1.0, 2.0], [1.1, 1.9], "observed yield", "predicted yield").data)
        2
    """
    x = np.asarray(x, float)
    y = np.asarray(y, float)
    half = np.zeros(len(y)) if bars is None else np.asarray(bars)
    ends = span(x, y - half, y + half)
    figure = canvas(x=axis(x_label, range=ends), y=axis(range=ends), above=y_label)
    line = {"color": INK, "width": 1}
    figure.add_scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip")
    drawn = thinned(len(x), POINTS_DRAWN)
    figure.add_scatter(
        x=x[drawn],
        y=y[drawn],
        error_y=_bars(half[drawn], OUR_COLOUR),
        mode="markers",
        marker={
            "color": OUR_COLOUR,
            "symbol": "diamond",
            "size": MARKER,
            "opacity": 0.5,
        },
        hovertemplate=f"{shown(x_label)} %{{x:.4g}}<br>{shown(y_label)} %{{y:.4g}}<extra></extra>",
    )
    return figure


def confusion(counts: ArrayLike, classes: Sequence[str]) -> go.Figure:
    """Draw counts of observed class (row) against predicted class (column), shaded by the share of the row.

    Example:
        >>> figure = confusion([[8, 2], [1, 9]], ["no", "yes"])
        >>> figure.data[0].text[0][1]
        '2'
    """
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [shown(name, LONGEST_NAME) for name in classes]
    named = axis(
        **named_ticks(list(range(len(classes))), labels),
        showgrid=False,
        tickfont=TEXT,
    )
    # on a phone, names beside each other are as wide as a label
    wide = max(map(len, labels)) * len(classes) > LONGEST_LABEL
    of_columns = {"title": axis("predicted")["title"], "tickangle": -90 * wide}
    figure = canvas(
        x={**named, **of_columns},
        y={**named, "autorange": "reversed"},
        height=max(HEIGHT, ROW * (len(classes) + 4)),
        above="observed",
    )
    figure.add_heatmap(
        z=shares,
        zmin=0,
        zmax=1,
        colorscale=[[0, LIGHT["grid"]], [1, OUR_COLOUR]],
        opacity=0.5,  # text stays legible on the darkest cell, on light and dark pages
        showscale=False,
        text=[[f"{count:,}" if count else "" for count in row] for row in counts],
        texttemplate="%{text}",
        textfont={**SECONDARY_TEXT, "color": INK},
        customdata=counts,
        hovertext=[
            [f"{_whole(a)} predicted as {_whole(b)}" for b in classes] for a in classes
        ],
        hovertemplate="%{hovertext}: %{customdata}<extra></extra>",
    )
    return figure


def _whole(name: str) -> str:
    return shown(name, len(name))


def _bold(text: str, marked: bool) -> str:
    return f"<b>{text}</b>" if marked else text


def _bars(half: np.ndarray, colour: str, **more: Any) -> dict[str, Any]:
    return {"array": half, "color": colour, "thickness": 1, "width": 0, **more}


def _power_axis(values: np.ndarray, title: str = "") -> dict[str, Any]:
    """Return a logarithmic axis of at least a decade: powers of ten, with 2 and 5 times these where they are few."""
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = span(np.log10(values))
    space = max(1 - (high - low), 0) / 2
    low = low - space
    high = high + space
    steps = (1,) if high - low > 2 else (1, 2, 5)
    powers = np.arange(math.floor(low), math.ceil(high) + 1)
    ticks = [step * 10.0 ** float(power) for power in powers for step in steps]
    words = [f"{tick:g}".replace("e+0", "e").replace("e-0", "e-") for tick in ticks]
    return axis(title, type="log", range=[low, high], **named_ticks(ticks, words))
