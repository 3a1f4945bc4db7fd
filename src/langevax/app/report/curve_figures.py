"""The figures of a fit on curves: a sample of them, and the functions that the network learned."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go

from langevax.app.report.contents import (
    ChannelCurves,
    CurveContents,
    ExplainedCurve,
    FunctionBand,
    SlopeFunction,
)
from langevax.app.report.numbers import number, whole
from langevax.app.report.page import Caption, Figure, Picture
from langevax.figures import moving
from langevax.figures.canvas import axis, canvas, note, shown, span
from langevax.figures.interactive import OURS
from langevax.figures.moving import LEGEND, MovingPanel
from langevax.figures.theme import GREY, INK, LIGHT, LOW_TO_HIGH, OKABE_ITO, faint

HEIGHT, DASHES = 400, ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SLOPE = OKABE_ITO[0]
INNER_OPACITY = "59"
STRENGTHS = {
    "lowers most": (OKABE_ITO[0], 5),
    "lowers": (OKABE_ITO[0], 2.6),
    "little": (GREY, 1.2),
    "raises": (OKABE_ITO[1], 2.6),
    "raises most": (OKABE_ITO[1], 5),
}
"""Colours and widths of parts of a curve by their effect on the prediction."""
STRENGTH_ENDS = (-0.5, -0.1, 0.1, 0.5)  # of the largest effect
FINE_TIMES = 120  # of a line whose colour changes
ROW_HEIGHT, OUTSIDE_ROWS, CURVE_HEIGHT = 84, 90, 0.6  # pixels, and the share of a row
BAND_MARGIN = 0.09  # of the height of a band, for the label at its strongest place


def figures(curves: CurveContents) -> list[tuple[str, Figure]]:
    """Return headings and figures."""
    figures = [("The curves", _samples(curves))]
    if curves.slopes:
        figures.append(("Which parts of the curve matter", _slopes(curves)))
    if curves.parts:
        figures.append(
            ("Which part of which curve spoke for its prediction", _parts(curves))
        )
    if curves.weights:
        figures.append(("What the neurons respond to", _weights(curves)))
    return figures


def _samples(curves: CurveContents) -> Figure:
    """A sample of curves as observed, and as encoded."""
    pictures = [
        Picture(
            draw_sample(sample, curves.time),
            f"Training curves, {sample.label}, {how}: {_sizes(sample)}.",
        )
        for how, samples in (
            ("as observed", curves.observed),
            ("as inputs of the network", curves.encoded),
        )
        for sample in samples
    ]
    first = curves.observed[0]
    drawn = sum(len(group.curves) for group in first.groups)
    text = (
        f"{whole(drawn)} of {whole(first.size)} training curves"
        if drawn < first.size
        else "All training curves"
    )
    text += f", in colour and dash {'by thirds of the target' if first.ordered else 'by class'}."
    if curves.encoded:
        which = (
            "The last picture shows"
            if len(curves.encoded) == 1
            else "The last pictures show"
        )
        text += f" {which} the inputs of the network: sums of smooth waves."
    values = [
        (sample.label, group.name, i, t, x)
        for sample in curves.observed
        for group in sample.groups
        for i, (times, values) in enumerate(group.curves)
        for t, x in zip(times.tolist(), values.tolist(), strict=True)
    ]
    heads: list[str] = ["channel", "group", "curve", "t", "value"]
    return Figure(
        pictures,
        [
            Caption(
                text, "curves", dict(zip(heads, zip(*values, strict=True), strict=True))
            )
        ],
    )


def _slopes(curves: CurveContents) -> Figure:
    """Return the figure of the parts of a curve that matter."""
    pictures = []
    for band in curves.slopes:
        place = strongest(band)
        words = (
            f"Median of beta of t, the response of {curves.response} to a change of the {band.label} at t: strongest "
            f"at {number(band.grid[place], 4)}, where it is {number(band.median[place], 3)}."
        )
        pictures.append(
            Picture(
                draw_slopes(band, curves.time, f"β(t), response to {band.label}"), words
            )
        )
    what = curves.slopes[0].label if len(curves.slopes) == 1 else "curve"
    text = (
        f"The response of {curves.response} to a small change of the {what} at each t: above zero it rises, below it "
        "falls, at zero it does not change. The line is the median over training curves, the darker band contains half "
        "of them, the lighter 90 %: a linear model would have one line for all. The circle marks where the median is "
        "strongest."
    )
    return Figure(pictures, [Caption(text, "slopes", _columns(curves.slopes))])


def _parts(curves: CurveContents) -> Figure:
    """Return the figure of a few held-out curves, coloured by what their parts spoke for."""
    numbers, strongest = (
        curves.observed[0].ordered,
        max(curves.parts, key=lambda part: np.abs(part.effects).max()),
    )
    place = number(strongest.times[int(np.abs(strongest.effects).argmax())], 4)
    words = (
        f"{whole(len(curves.parts))} held-out curves with thick lines where a part changes the prediction most. The "
        f"strongest part is that of {strongest.name}, {strongest.outcome}, at {place}."
    )
    pictures = [
        Picture(draw_parts(curves.parts, channel, curves.time, sample.label), words)
        for channel, sample in enumerate(curves.observed)
    ]
    which = (
        "the lowest, the middle and the highest prediction"
        if numbers
        else "of each class the surest one"
    )
    effect = "the prediction" if numbers else "how likely the predicted class is"
    text = (
        f"Curves that the network has not seen: {which}, then the worst errors. A part is compared with the mean "
        f"training curve in its place: orange parts raise {effect}, blue parts lower it, thick ones by more than half "
        "of the largest effect in the picture."
    )
    rows = [
        (curve.name, curve.outcome, time, effect)
        for curve in curves.parts
        for time, effect in zip(
            curve.times.tolist(), curve.effects.tolist(), strict=True
        )
    ]
    heads: list[str] = ["curve", "outcome", "t", "effect"]
    return Figure(
        pictures,
        [
            Caption(
                text, "parts", dict(zip(heads, zip(*rows, strict=True), strict=True))
            )
        ],
    )


def _weights(curves: CurveContents) -> Figure:
    """The weight functions of the neurons."""
    pictures = []
    for band in curves.weights:
        prior = np.inf if band.prior is None else band.prior
        beyond = float(np.mean((band.central[1] > prior) | (band.central[0] < -prior)))
        words = (
            f"Weight functions theta of t of the neurons on the {band.label}: their central 90 % reach beyond the "
            f"prior's band over {beyond:.0%} of the times."
        )
        pictures.append(
            Picture(
                draw_band(band, curves.time, f"θ(t), weight of {band.label}", OURS),
                words,
            )
        )
    text = (
        "The weights of a neuron are a function of t, and its input is the mean of curve times weight. The line is the "
        "median over all neurons, with signs such that each pushes the output up; the darker band contains half of "
        "them, the lighter 90 %. The dashed lines contained 90 % before training: where the band has left them, or the "
        "median has left zero, the neurons have learned from the curves."
    )
    return Figure(pictures, [Caption(text, "weights", _columns(curves.weights))])


def moving_slope(slope: SlopeFunction) -> MovingPanel:
    """Return the median slope as it develops during training."""
    values, none = slope.values, np.zeros(0)
    label = f"β(t), response to {slope.label}"
    picture = moving.curve(
        slope.grid, values, none, none, x_label=slope.time, y_label=label
    )
    place = number(slope.grid[int(np.abs(values[-1]).argmax())], 4)
    words = f"Median of beta of t at the last step: {slope.response} responds most at {place}."
    text = (
        f"What the neurons represent together: the response of {slope.response} to a change of the {slope.label} at "
        "each t, the median over training curves. The weights at the left are of the waves that a curve is a sum of: "
        "wave k rises and falls k times, wave 0 is the level."
    )
    return MovingPanel("slopes", picture, words, text)


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
    x, y = (
        axis(time, range=span(*(t for t, _ in curves), margin=0.01)),
        axis(range=span(*(v for _, v in curves))),
    )
    figure = canvas(HEIGHT, x=x, y=y, above=sample.label)
    colours = LOW_TO_HIGH if sample.ordered else OKABE_ITO
    for group, colour, dash in zip(sample.groups, colours, DASHES, strict=False):
        times, values = _joined(group.curves)
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
    return figure.update_layout(showlegend=True, legend=LEGEND)


def draw_band(band: FunctionBand, time: str, label: str, colour: str) -> go.Figure:
    """Draw the median, bands with half and 90 % of the functions, and 90 % of the prior between dashed lines.

    Example:
        >>> zero, ends = np.zeros(3), np.array([-np.ones(3), np.ones(3)])
        >>> band = FunctionBand("x", np.arange(3), zero, ends / 2, ends, np.ones(3))
        >>> [trace.mode for trace in draw_band(band, "t", "theta", "#009E73").data]
        ['lines', 'lines', 'lines', 'lines', 'lines']
    """
    prior = [] if band.prior is None else [band.prior, -band.prior]
    reach = span(band.central, band.median, *prior, margin=BAND_MARGIN)
    y = axis(range=reach, zeroline=True, zerolinecolor=GREY, zerolinewidth=1)
    figure = canvas(
        HEIGHT, x=axis(time, range=span(band.grid, margin=0.01)), y=y, above=label
    )
    for ends, fill in (
        (band.central, faint(colour)),
        (band.half, colour + INNER_OPACITY),
    ):
        figure.add_scatter(
            x=np.concatenate([band.grid, band.grid[::-1]]),
            y=np.concatenate([ends[0], ends[1][::-1]]),
            fill="toself",
            fillcolor=fill,
            mode="lines",
            line={"width": 0, "color": colour},
            hoverinfo="skip",
        )
    dashed, solid = (
        {"color": GREY, "width": 1.2, "dash": "dash"},
        {"color": colour, "width": 2},
    )
    for bound in prior:
        figure.add_scatter(
            x=band.grid, y=bound, mode="lines", line=dashed, hoverinfo="skip"
        )
    hover = "%{x:.5g}: %{y:.4g}<extra></extra>"
    return figure.add_scatter(
        x=band.grid, y=band.median, mode="lines", line=solid, hovertemplate=hover
    )


def draw_parts(
    curves: Sequence[ExplainedCurve], channel: int, time: str, label: str
) -> go.Figure:
    """Draw one channel of curves below each other, each in its own units, by the effects of their parts.

    Example:
        >>> t = np.linspace(0, 1, 5)
        >>> curve = ExplainedCurve("row 3", "observed 1", ((t, t),), np.array([0.0, 1.0]), np.array([0.0, 2.0]))
        >>> [(trace.name, trace.line.width) for trace in draw_parts([curve], 0, "t", "x").data]
        [('little', 1.2), ('raises', 2.6), ('raises most', 5)]
    """
    largest = max(float(np.abs(curve.effects).max()) for curve in curves) or 1.0
    lines: dict[str, tuple[list[float | None], list[float | None]]] = {
        name: ([], []) for name in STRENGTHS
    }
    names = np.array(list(STRENGTHS))
    for row, curve in enumerate(curves):
        times, values = curve.channels[channel]
        low, high = float(values.min()), float(values.max())
        fine = np.unique(
            np.concatenate([times, np.linspace(times[0], times[-1], FINE_TIMES)])
        )
        heights = (np.interp(fine, times, values) - low) / (
            (high - low) or 1.0
        ) * CURVE_HEIGHT - row
        shares = np.interp(fine, curve.times, curve.effects) / largest
        kinds = names[np.digitize(shares, STRENGTH_ENDS)]
        edges = [
            0,
            *(np.flatnonzero(kinds[1:] != kinds[:-1]) + 1).tolist(),
            len(fine) - 1,
        ]
        for first, last in pairwise(edges):
            x, y = lines[kinds[first]]
            x.extend([*(float(f"{t:.6g}") for t in fine[first : last + 1]), None])
            y.extend([*(round(float(h), 4) for h in heights[first : last + 1]), None])
    ends = [
        end
        for curve in curves
        for end in (curve.channels[channel][0][0], curve.channels[channel][0][-1])
    ]
    rows = {
        "range": [0.85 - len(curves), 1.1],
        "tickmode": "array",
        "tickvals": [],
        "ticktext": [],
        "showgrid": False,
    }
    x, y = axis(time, range=span(ends, margin=0.01)), axis(**rows)
    figure = canvas(OUTSIDE_ROWS + ROW_HEIGHT * len(curves), x=x, y=y, above=label)
    for name, (x, y) in lines.items():
        if x:
            colour, width = STRENGTHS[name]
            line = {"color": colour, "width": width}
            figure.add_scatter(
                x=x, y=y, mode="lines", line=line, name=name, hoverinfo="skip"
            )
    for row, curve in enumerate(curves):
        text = shown(f"{curve.name}: {curve.outcome}", 60)
        where = {
            "x": min(ends),
            "y": CURVE_HEIGHT - row,
            "xanchor": "left",
            "yanchor": "bottom",
            "yshift": 6,
        }
        note(figure, text, font={"size": 12, "color": INK}, **where)
    return figure.update_layout(showlegend=True, legend=LEGEND)


def draw_slopes(band: FunctionBand, time: str, label: str) -> go.Figure:
    """Draw a band with the place where the median is strongest marked and named."""
    figure = draw_band(band, time, label, SLOPE)
    place = strongest(band)
    t, value = band.grid[place], band.median[place]
    marker = {
        "color": LIGHT["paper"],
        "size": 8,
        "symbol": "circle",
        "line": {"color": SLOPE, "width": 2},
    }
    figure.add_scatter(
        x=[t], y=[value], mode="markers", marker=marker, hoverinfo="skip"
    )
    share = (place + 0.5) / len(band.grid)
    side = "left" if share < 0.15 else "right" if share > 0.85 else "center"
    sign = 1 if value > 0 else -1
    where = {
        "x": t,
        "y": value,
        "xanchor": side,
        "yanchor": "bottom" if sign > 0 else "top",
        "yshift": 9 * sign,
    }
    note(figure, f"{t:.4g}", font={"size": 13, "color": INK}, **where)
    return figure


def strongest(band: FunctionBand) -> int:
    """Return where the median is furthest from zero."""
    return int(np.abs(band.median).argmax())


def _sizes(sample: ChannelCurves) -> str:
    return "; ".join(f"{len(group.curves)} of {group.name}" for group in sample.groups)


def _joined(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[list[float | None], ...]:
    """Return the times and the values of all curves as one line with gaps."""
    return tuple(
        [
            value
            for curve in curves
            for value in (*(float(f"{v:.6g}") for v in curve[i]), None)
        ][:-1]
        for i in (0, 1)
    )


def _columns(bands: tuple[FunctionBand, ...]) -> dict[str, np.ndarray]:
    """Return a table with a row per time."""
    rows = [
        (
            np.full(len(b.grid), b.label, object),
            b.grid,
            b.central[0],
            b.half[0],
            b.median,
            b.half[1],
            b.central[1],
        )
        for b in bands
    ]
    names = (
        "channel",
        "t",
        "quantile_05",
        "quantile_25",
        "median",
        "quantile_75",
        "quantile_95",
    )
    columns = {
        name: np.concatenate(parts)
        for name, parts in zip(names, zip(*rows, strict=True), strict=True)
    }
    prior = [band.prior for band in bands if band.prior is not None]
    return columns | ({"prior": np.concatenate(prior)} if prior else {})
