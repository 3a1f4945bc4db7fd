"""The sections of a fit on curves: a sample of them, and the functions that the network learned."""

import numpy as np
import plotly.graph_objects as go

from langevax.app.report.contents import ChannelCurves, CurveContents, FunctionBand
from langevax.app.report.numbers import number, whole
from langevax.app.report.page import Figure, Picture, Section, columns_of
from langevax.figures.canvas import axis, canvas, shown, span
from langevax.figures.interactive import LEGEND
from langevax.figures.theme import GREY, OKABE_ITO, faint


def sections(curves: CurveContents) -> list[Section]:
    """Return the curves and, of smooth functions as inputs, their parts that matter."""
    sections = [Section("The curves", [_samples(curves)])]
    if curves.slopes:
        heading = "Which parts of the curve matter"
        sections.append(Section(heading, [_slopes(curves)]))
    return sections


def _samples(curves: CurveContents) -> Figure:
    """A sample of curves."""
    pictures = []
    for sample in curves.observed:
        sizes = [f"{len(group.curves)} of {group.name}" for group in sample.groups]
        words = f"Training curves, {sample.label}: {'; '.join(sizes)}."
        pictures.append(Picture(draw_sample(sample, curves.time), words))
    first = curves.observed[0]
    drawn = sum(len(group.curves) for group in first.groups)
    groups = "thirds of the target" if first.ordered else "class"
    text = f"{whole(drawn)} of {whole(first.size)} training curves, in colour and dash by {groups}."
    rows = [
        (sample.label, group.name, i, t, x)
        for sample in curves.observed
        for group in sample.groups
        for i, (times, values) in enumerate(group.curves)
        for t, x in zip(times.tolist(), values.tolist(), strict=True)
    ]
    heads = ("channel", "group", "curve", "t", "value")
    return Figure(pictures, text, "curves", columns_of(heads, rows))


def _slopes(curves: CurveContents) -> Figure:
    """The parts of a curve that matter."""
    pictures = []
    for band in curves.slopes:
        place = strongest(band)
        words = (
            f"Median of beta of t, the response of {curves.response} to a change of the {band.label} at t: strongest "
            f"at {number(band.grid[place])}, where it is {number(band.median[place], 3)}."
        )
        pictures.append(Picture(draw_slopes(band, curves.time), words))
    text = (
        f"The response of {curves.response} to a small change of the curve at each t: above zero it rises, below it "
        "falls, at zero it does not change. The line is the median over training curves, the darker band contains half "
        "of them, the lighter 90 %: a linear model would have one line for all."
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


def draw_sample(sample: ChannelCurves, time: str) -> go.Figure:
    """Draw curves in the colour and dash of their group, with a legend below.

    Example:
        >>> from langevax.app.report.contents import LabelledCurves
        >>> one = (np.arange(3), np.ones(3))
        >>> groups = (LabelledCurves("a", [one]), LabelledCurves("b", [one, one]))
        >>> draw_sample(ChannelCurves("x", groups, False, 3), "t").data[1].line.dash
        'dash'
    """
    curves = [curve for group in sample.groups for curve in group.curves]
    x = axis(time, range=span(*(t for t, _ in curves), margin=0.01))
    y = axis(range=span(*(v for _, v in curves)))
    figure = canvas(400, x=x, y=y, above=sample.label)
    dashes = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
    for group, colour, dash in zip(sample.groups, OKABE_ITO, dashes, strict=False):
        gap = np.array([np.nan])
        times, values = (
            np.concatenate([part for curve in group.curves for part in (curve[i], gap)])
            for i in (0, 1)
        )
        figure.add_scatter(
            x=times,
            y=values,
            mode="lines",
            line={"color": colour, "width": 1.3, "dash": dash},
            opacity=0.75,
            name=shown(group.name, 40),
            hoverinfo="name+x+y",
        )
    return figure.update_layout(showlegend=True, legend=LEGEND)


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
        range=span(band.central, band.median, margin=0.09),
        zeroline=True,
        zerolinecolor=GREY,
    )
    x = axis(time, range=span(band.grid, margin=0.01))
    figure = canvas(400, x=x, y=y, above=f"β(t), response to {band.label}")
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
