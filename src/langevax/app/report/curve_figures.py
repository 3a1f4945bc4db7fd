"""The section of a fit on curves: the functions that the network learned."""

import numpy as np
import plotly.graph_objects as go

from langevax.app.report.contents import CurveContents, FunctionBand
from langevax.app.report.numbers import number
from langevax.app.report.page import Figure, Picture, Section, columns_of
from langevax.figures.canvas import axis, canvas, span
from langevax.figures.theme import GREY, OKABE_ITO, faint


def sections(curves: CurveContents) -> list[Section]:
    """Return the parts of smooth functions that matter, nothing of other inputs."""
    if not curves.slopes:
        return []
    return [Section("Which parts of the curve matter", [_slopes(curves)])]


def _slopes(curves: CurveContents) -> Figure:
    """The parts of a curve that matter."""
    pictures = []
    for band in curves.slopes:
        place = strongest(band)
        words = (
            f"Median of beta of t, the response of {curves.response} to a change of "
            f"the {band.label} at t: strongest at {number(band.grid[place])}, where it "
            f"is {number(band.median[place], 3)}."
        )
        pictures.append(Picture(draw_slopes(band, curves.time), words))
    text = (
        f"The response of {curves.response} to a small change of the curve at each t: "
        "above zero it rises, below it falls, at zero it does not change. The line is "
        "the median over training curves, the darker band contains half of them, the "
        "lighter 90 %: a linear model would have one line for all."
    )
    rows = [
        (band.label, *values)
        for band in curves.slopes
        for values in zip(
            band.grid, band.median, *band.half, *band.central, strict=True
        )
    ]
    quantiles = [f"quantile_{q}" for q in ("25", "75", "05", "95")]
    columns = columns_of(("channel", "t", "median", *quantiles), rows)
    return Figure(pictures, text, "slopes", columns)


def draw_slopes(band: FunctionBand, time: str) -> go.Figure:
    """Draw the median of functions on bands with half and 90 % of them.

    Example:
        >>> zero, ends = np.zeros(3), np.array([-np.ones(3), np.ones(3)])
        >>> band = FunctionBand("x", np.arange(3), zero, ends / 2, ends)
        >>> [trace.mode for trace in draw_slopes(band, "t").data]
        ['lines', 'lines', 'lines']
    """
    colour = OKABE_ITO[0]
    y = axis(
        range=span(band.central, band.median),
        zeroline=True,
        zerolinecolor=GREY,
    )
    x = axis(time, range=span(band.grid, margin=0))
    figure = canvas(x=x, y=y, above=f"β(t), response to {band.label}")
    for ends, fill in ((band.central, faint(colour)), (band.half, colour + "59")):
        figure.add_scatter(
            x=np.concatenate([band.grid, band.grid[::-1]]),
            y=np.concatenate([ends[0], ends[1][::-1]]),
            fill="toself",
            fillcolor=fill,
            mode="lines",
            line={"width": 0, "color": colour},
            hoverinfo="skip",
        )
    hover = "%{x:.5g}: %{y:.4g}<extra></extra>"
    line = {"color": colour, "width": 2}
    return figure.add_scatter(
        x=band.grid, y=band.median, mode="lines", line=line, hovertemplate=hover
    )


def strongest(band: FunctionBand) -> int:
    """Return where the median is furthest from zero."""
    return int(np.abs(band.median).argmax())
