"""Interactive charts of a fit: arrays in, plotly figures out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from langevax.figures.canvas import axis, canvas, note, shown, span, thinned
from langevax.figures.charts import AFTERWARDS
from langevax.figures.theme import GREY, INK, LIGHT, METHODS, SYMBOLS, faint

OURS, OUR_SYMBOL = METHODS["MFLD"][0], SYMBOLS[METHODS["MFLD"][1]]
ROW_HEIGHT, ROW_LABEL = 27, 24  # pixels, characters
MAX_POINTS = 1500  # more overlap and are slow to draw
WORDS: dict[str, Any] = {
    "size": 13,
    "color": INK,
}  # tick labels that are names, not numbers
MAX_SHARES = 8  # classes up to which a cell has space for a second line


def score_dots(
    names: Sequence[str],
    values: ArrayLike,
    ours: ArrayLike,
    texts: Sequence[str],
    label: str,
    errors: ArrayLike | None = None,
) -> go.Figure:
    """Draw one row per method: ours a coloured diamond on a line, the others grey dots, the number at the right.

    Args:
        names: of the methods.
        values: their scores.
        ours: which of them is ours.
        texts: the scores as words.
        label: of the axis.
        errors: half the length of the bar of each.

    Example:
        >>> figure = score_dots(["MFLD", "ridge"], [0.49, 0.48], [True, False], ["0.49", "0.48"], "R2")
        >>> len(figure.data)
        2
    """
    values, ours, rows = (
        np.asarray(values, float),
        np.asarray(ours, bool),
        np.arange(len(names)),
    )
    bars = (
        np.zeros(len(names))
        if errors is None
        else np.nan_to_num(np.asarray(errors, float))
    )
    bold = [("<b>", "</b>") if our else ("", "") for our in ours]
    labels = [
        start + shown(name, ROW_LABEL) + end
        for name, (start, end) in zip(names, bold, strict=True)
    ]
    reach = span(values - bars, values + bars, margin=0.08)
    figure = _rows(labels, axis(label, range=reach, nticks=4, tickangle=0))
    for value in values[ours & np.isfinite(values)]:
        figure.add_vline(x=value, line={"color": OURS, "width": 1}, layer="below")
    for side, colour, symbol, size in (
        (~ours, GREY, "circle", 10),
        (ours, OURS, OUR_SYMBOL, 12),
    ):
        figure.add_scatter(
            x=values[side],
            y=rows[side],
            error_x={
                "array": bars[side],
                "color": colour,
                "thickness": 1.4,
                "width": 0,
            },
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": size},
            hovertext=[
                f"{shown(names[int(i)], 200)}: {texts[int(i)]}" for i in rows[side]
            ],
            hoverinfo="text",
        )
    for row, (text, our) in enumerate(zip(texts, ours, strict=True)):
        start, end = bold[row]
        colour = OURS if our else LIGHT["soft"]
        where = {"x": 1, "xref": "paper", "y": row, "xanchor": "right", "xshift": 52}
        note(figure, start + text + end, font={"size": 13, "color": colour}, **where)
    figure.update_layout(margin_r=60)
    return figure


def relevance(
    names: Sequence[str], mean: ArrayLike, deviation: ArrayLike, label: str
) -> go.Figure:
    """Draw one row per column of the table, with a bar of one standard deviation.

    Example:
        >>> len(relevance(["age", "sex"], [0.3, 0.1], [0.02, 0.01], "fall of R2").data)
        1
    """
    mean, deviation = np.asarray(mean, float), np.asarray(deviation, float)
    figure = _rows(
        [shown(name, ROW_LABEL) for name in names], axis(label, nticks=5, tickangle=0)
    )
    figure.add_vline(x=0, line={"color": INK, "width": 1}, layer="below")
    figure.add_scatter(
        x=mean,
        y=np.arange(len(names)),
        error_x={"array": deviation, "color": OURS, "thickness": 1.4, "width": 0},
        mode="markers",
        marker={"color": OURS, "symbol": OUR_SYMBOL, "size": 9},
        hovertext=[
            f"{shown(n, 200)}: {m:.3g} ± {d:.2g}"
            for n, m, d in zip(names, mean, deviation, strict=True)
        ],
        hoverinfo="text",
    )
    return figure


def intervals(
    names: Sequence[str],
    value: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    label: str,
    ratio: bool,
) -> go.Figure:
    """Draw one row per coefficient with its interval, beside the line of no effect; ratios on a logarithmic axis.

    Example:
        >>> len(intervals(["age", "sex"], [1.2, 0.9], [1.1, 0.5], [1.3, 1.5], "rate ratio", True).data)
        1
    """
    value, low, high = (np.asarray(one, float) for one in (value, low, high))
    x = axis(label, nticks=5, tickangle=0)
    if ratio:
        ends = np.clip(np.concatenate([low, high, [1.0]]), 1e-9, 1e9)
        x = _power_axis(ends, label)
    figure = _rows([shown(name, ROW_LABEL) for name in names], x)
    figure.add_vline(x=float(ratio), line={"color": INK, "width": 1}, layer="below")
    bars = {
        "array": high - value,
        "arrayminus": value - low,
        "color": OURS,
        "thickness": 1.4,
        "width": 0,
    }
    figure.add_scatter(
        x=value,
        y=np.arange(len(names)),
        error_x=bars,
        mode="markers",
        marker={"color": OURS, "symbol": OUR_SYMBOL, "size": 9},
        hovertext=[
            f"{shown(n, 200)}: {v:.3g}, 95 % from {a:.3g} to {b:.3g}"
            for n, v, a, b in zip(names, value, low, high, strict=True)
        ],
        hoverinfo="text",
    )
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
    work, lower, upper = (
        np.append(values, values[-1]) for values in (work, lower, upper)
    )
    work[-1] *= AFTERWARDS
    y = axis(range=span(lower, upper, margin=0.12))
    figure = canvas(
        340, x=_power_axis(work, f"work of the search, {unit}"), y=y, above=above
    )
    places, low, high = (
        np.repeat(work, 2)[1:],
        np.repeat(lower, 2)[:-1],
        np.repeat(upper, 2)[:-1],
    )
    figure.add_scatter(
        x=np.concatenate([places, places[::-1]]),
        y=np.concatenate([low, high[::-1]]),
        fill="toself",
        fillcolor=faint(OURS),
        mode="lines",
        line={"color": OURS, "width": 0},
        hoverinfo="skip",
    )
    for end, values, dash in (("upper", high, "solid"), ("lower", low, "dash")):
        figure.add_scatter(
            x=places,
            y=values,
            mode="lines",
            line={"color": OURS, "width": 2, "dash": dash},
            hovertext=[
                f"{end} end {value:.4g}<br>after {done:.2g} gradients"
                for done, value in zip(places, values, strict=True)
            ],
            hoverinfo="text",
        )
    at = {"x": float(np.log10(work[-1])), "y": upper[-1]}
    note(figure, text, **at, xanchor="right", yanchor="bottom", yshift=8)
    return figure


def misspecification(
    shares: Sequence[str], gain: ArrayLike, bars: ArrayLike, chosen: int
) -> go.Figure:
    """Draw the gain over Bayes against the share of Bayes, the chosen one filled.

    Example:
        >>> len(misspecification(["1", "0.5"], [0.0, 0.2], [0.0, 0.1], 1).data)
        2
    """
    gain, bars, places = (
        np.asarray(gain, float),
        np.asarray(bars, float),
        np.arange(len(shares)),
    )
    ticks = {
        "tickmode": "array",
        "tickvals": places.tolist(),
        "ticktext": list(shares),
        "showgrid": False,
    }
    x = axis("share of Bayes", range=[-0.5, len(shares) - 0.5], **ticks)
    figure = canvas(
        340,
        x=x,
        y=axis(range=span(gain - bars, gain + bars, [0.0], margin=0.12)),
        above="gain over Bayes, nats a row",
    )
    figure.add_hline(y=0, line={"color": INK, "width": 1}, layer="below")
    for side, symbol in (
        (places != chosen, f"{OUR_SYMBOL}-open"),
        (places == chosen, OUR_SYMBOL),
    ):
        figure.add_scatter(
            x=places[side],
            y=gain[side],
            error_y={"array": bars[side], "color": OURS, "thickness": 1.4, "width": 0},
            mode="markers",
            marker={"color": OURS, "symbol": symbol, "size": 12, "line": {"width": 2}},
            hovertext=[
                f"share {shares[i]}: {gain[i]:.3g} ± {bars[i] / 2:.2g}"
                for i in places[side]
            ],
            hoverinfo="text",
        )
    at = {
        "x": int(chosen),
        "y": float(gain[chosen] + bars[chosen]),
        "yanchor": "bottom",
        "yshift": 8,
    }
    note(figure, "chosen", **at, font={"size": 13, "color": OURS})
    return figure


def predictions(observed: ArrayLike, predicted: ArrayLike, label: str) -> go.Figure:
    """Draw predicted against observed numbers on equal axes, over the diagonal.

    Example:
        >>> len(predictions([1.0, 2.0], [1.1, 1.9], "yield").data)
        2
    """
    observed, predicted = np.asarray(observed, float), np.asarray(predicted, float)
    both = span(observed, predicted)
    figure = canvas(
        520,
        x=axis(f"observed {label}", range=both),
        y=axis(range=both),
        above=f"predicted {label}",
    )
    figure.add_scatter(
        x=both, y=both, mode="lines", line={"color": INK, "width": 1}, hoverinfo="skip"
    )
    drawn = thinned(len(observed), MAX_POINTS)
    figure.add_scatter(
        x=observed[drawn],
        y=predicted[drawn],
        mode="markers",
        marker={"color": OURS, "symbol": OUR_SYMBOL, "size": 7, "opacity": 0.65},
        hovertemplate="observed %{x:.4g}<br>predicted %{y:.4g}<extra></extra>",
    )
    return figure


def calibration(
    predicted: ArrayLike,
    observed: ArrayLike,
    error: ArrayLike,
    num_rows: Sequence[int],
    label: str,
) -> go.Figure:
    """Draw observed shares against predicted probabilities, over the diagonal, with bars of two standard errors.

    Example:
        >>> len(calibration([0.1, 0.8], [0.12, 0.7], [0.02, 0.03], [50, 50], "'yes'").data)
        2
    """
    predicted, observed = np.asarray(predicted, float), np.asarray(observed, float)
    bars = 2 * np.asarray(error, float)
    top = min(
        1.0, 1.15 * max(float(np.max(predicted + bars)), float(np.max(observed)), 0.02)
    )
    ends = [-0.03 * top, 1.03 * top]
    x, y = axis(f"predicted probability of {label}", range=ends), axis(range=ends)
    figure = canvas(400, x=x, y=y, above=f"observed share of {label}")
    figure.add_scatter(
        x=[0, top],
        y=[0, top],
        mode="lines",
        line={"color": INK, "width": 1},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=predicted,
        y=observed,
        error_y={"array": bars, "color": OURS, "thickness": 1.4, "width": 0},
        mode="markers",
        marker={"color": OURS, "symbol": OUR_SYMBOL, "size": 9},
        hovertext=[
            f"predicted {p:.1%}, observed {o:.1%}<br>{n:,} rows"
            for p, o, n in zip(predicted, observed, num_rows, strict=True)
        ],
        hoverinfo="text",
    )
    return figure


def confusion(counts: ArrayLike, classes: Sequence[str]) -> go.Figure:
    """Draw counts of observed class (row) against predicted class (column), shaded by the share of the row.

    Example:
        >>> figure = confusion([[8, 2], [1, 9]], ["no", "yes"])
        >>> figure.data[0].text[0][1]
        '2<br>20 %'
    """
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few, ticks = len(classes) <= MAX_SHARES, list(range(len(classes)))
    labels = [shown(name, 18) for name in classes]
    named = {
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": labels,
        "showgrid": False,
        "tickfont": WORDS,
    }
    figure = canvas(
        max(360, 130 + (70 if few else 24) * len(classes)),
        x=axis("predicted", **named),
        y=axis(**named, autorange="reversed"),
        above="observed",
    )
    wide = 6.5 * max(map(len, labels)) > 240 / len(
        classes
    )  # pixels of the longest name, and of a cell on a phone
    figure.update_xaxes(
        tickangle=0 if not wide else -40 if few else -90, ticklabeloverflow="allow"
    )
    text = [
        [
            f"{c:,}<br>{s:.0%}".replace("%", " %") if few else f"{c:,}" if c else ""
            for c, s in zip(*row, strict=True)
        ]
        for row in zip(counts, shares, strict=True)
    ]
    figure.add_heatmap(
        z=shares,
        zmin=0,
        zmax=1,
        colorscale=[[0, LIGHT["grid"]], [1, OURS]],
        opacity=0.6,  # text stays legible on the darkest cell, on light and dark pages
        showscale=False,
        text=text,
        texttemplate="%{text}",
        textfont={"color": INK, "size": 13 if few else 11},
        xgap=2,
        ygap=2,
        customdata=counts,
        hovertext=[
            [f"{shown(a, 200)} predicted as {shown(b, 200)}" for b in classes]
            for a in classes
        ],
        hovertemplate="%{hovertext}: %{customdata}<extra></extra>",
    )
    return figure


def _rows(labels: list[str], x: dict) -> go.Figure:
    """Return a figure with one row per label, from the top."""
    count = len(labels)
    rows = {
        "tickmode": "array",
        "tickvals": list(range(count)),
        "ticktext": labels,
        "range": [count - 0.4, -0.6],
    }
    return canvas(
        max(70 + ROW_HEIGHT * count, 140), x=x, y=axis(**rows, tickfont=WORDS)
    )


def _power_axis(values: np.ndarray, title: str = "") -> dict:
    """Return a logarithmic axis of at least a decade: powers of ten, with 2 and 5 times these where they are few."""
    low, high = span(np.log10(values), margin=0.08)
    space = max(1 - (high - low), 0) / 2
    low, high = low - space, high + space
    steps = (1,) if high - low > 3 else (1, 2, 5)
    ticks = [
        step * 10.0**power
        for power in range(math.floor(low), math.ceil(high) + 1)
        for step in steps
    ]
    powers = [f"{tick:.0e}".replace("e-0", "e-").replace("e+0", "e") for tick in ticks]
    words = [
        f"{tick:g}" if 1e-3 <= tick < 1e5 else power
        for tick, power in zip(ticks, powers, strict=True)
    ]
    return axis(
        title,
        type="log",
        range=[low, high],
        tickmode="array",
        tickvals=ticks,
        ticktext=words,
    )
