"""Interactive pictures of curves and of the functions that a network learned of them: arrays in, plotly figure out."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from langevax.figures.canvas import axis, canvas, note, shown, span
from langevax.figures.theme import GREY, INK, LIGHT, OKABE_ITO, faint
from langevax.report.curve_contents import Functions, Sample
from langevax.report.shades import LOW_TO_HIGH

HEIGHT, DASHES = 400, ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SLOPE = OKABE_ITO[0]
FULLER = "59"  # opacity of the inner band
AIR = 0.09  # of a band's height, for the word at its strongest place


def sample(told: Sample, time: str) -> go.Figure:
    """Curves in the colour and dash of their group, with a legend below.

    Example:
        >>> from langevax.report.curve_contents import Group
        >>> one = (np.arange(3), np.ones(3))
        >>> sample(Sample("x", (Group("a", [one]), Group("b", [one, one])), False, 3), "t").data[1].line.dash
        'dash'
    """
    every = [curve for group in told.groups for curve in group.curves]
    x = axis(time, range=span(*(t for t, _ in every), margin=0.01))
    figure = canvas(HEIGHT, x=x, y=axis(range=span(*(v for _, v in every))), above=told.label)
    colours = LOW_TO_HIGH if told.ordered else OKABE_ITO
    for group, colour, dash in zip(told.groups, colours, DASHES, strict=False):
        times, values = _chained(group.curves)
        few = max(len(t) for t, _ in group.curves) < 30
        figure.add_scatter(
            x=times,
            y=values,
            mode="lines+markers" if few else "lines",
            marker={"size": 3.5, "color": colour},
            line={"color": colour, "width": 1.3, "dash": dash},
            opacity=0.75,
            name=shown(group.name, 40),
            hoverinfo="name+x+y",
        )
    legend = {"orientation": "h", "x": 0, "y": -0.19, "yanchor": "top", "font": {"size": 13}, "itemclick": False}
    figure.update_layout(showlegend=True, legend={**legend, "itemdoubleclick": False, "bgcolor": "rgba(0,0,0,0)"})
    return figure


def functions(told: Functions, time: str, above: str, colour: str) -> go.Figure:
    """Median, a band of half and one of nine tenths, and the prior's nine tenths as dashed lines.

    Example:
        >>> zero, ends = np.zeros(3), np.array([-np.ones(3), np.ones(3)])
        >>> told = Functions("x", np.arange(3), zero, ends / 2, ends, np.ones(3))
        >>> [trace.mode for trace in functions(told, "t", "theta", "#009E73").data]
        ['lines', 'lines', 'lines', 'lines', 'lines']
    """
    bounds = [told.most, told.median] + ([] if told.prior is None else [told.prior, -told.prior])
    y = axis(range=span(*bounds, margin=AIR), zeroline=True, zerolinecolor=GREY, zerolinewidth=1)
    figure = canvas(HEIGHT, x=axis(time, range=span(told.grid, margin=0.01)), y=y, above=above)
    for ends, fill in ((told.most, faint(colour)), (told.half, colour + FULLER)):
        figure.add_scatter(
            x=np.concatenate([told.grid, told.grid[::-1]]),
            y=np.concatenate([ends[0], ends[1][::-1]]),
            fill="toself",
            fillcolor=fill,
            mode="lines",
            line={"width": 0, "color": colour},
            hoverinfo="skip",
        )
    if told.prior is not None:
        for sign in (1, -1):
            line = {"color": GREY, "width": 1.2, "dash": "dash"}
            figure.add_scatter(x=told.grid, y=sign * told.prior, mode="lines", line=line, hoverinfo="skip")
    figure.add_scatter(
        x=told.grid,
        y=told.median,
        mode="lines",
        line={"color": colour, "width": 2},
        hovertemplate="%{x:.5g}: %{y:.4g}<extra></extra>",
    )
    return figure


def slopes(told: Functions, time: str, above: str) -> go.Figure:
    """`functions`, with the place where the median is strongest marked and named."""
    figure = functions(told, time, above, SLOPE)
    place = strongest(told)
    t, value = told.grid[place], told.median[place]
    marker = {"color": LIGHT["paper"], "size": 8, "symbol": "circle", "line": {"color": SLOPE, "width": 2}}
    figure.add_scatter(x=[t], y=[value], mode="markers", marker=marker, hoverinfo="skip")
    share = (place + 0.5) / len(told.grid)
    side = "left" if share < 0.15 else "right" if share > 0.85 else "center"
    sign = 1 if value > 0 else -1
    where = {"x": t, "y": value, "xanchor": side, "yanchor": "bottom" if sign > 0 else "top", "yshift": 9 * sign}
    note(figure, f"{t:.4g}", font={"size": 13, "color": INK}, **where)
    return figure


def strongest(told: Functions) -> int:
    """Where the median is furthest from zero."""
    return int(np.abs(told.median).argmax())


def _chained(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[list[float | None], list[float | None]]:
    """All curves as one line with gaps."""
    times: list[float | None] = []
    values: list[float | None] = []
    for t, x in curves:
        times += [*(float(f"{v:.6g}") for v in t), None]
        values += [*(float(f"{v:.6g}") for v in x), None]
    return times[:-1], values[:-1]
