"""The interactive panel of a pair of printed axes, with its words and its data."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from langevax.figures.canvas import axis, canvas, note
from langevax.figures.theme import LIGHT, SYMBOLS
from langevax.figures.twin.lettering import lettered, plain
from langevax.figures.twin.marks import Mark, Picture, Words, fills, images, lines, words
from langevax.figures.twin.places import axes_of

HEIGHT, WIDTH, LEGEND_ROW, LETTER = 380, 480, 22, 6.4  # pixels; the width is a guess, for words at the edge
TOLD = 6  # series that a reader hears of
MORE_SYMBOLS = {
    "*": "star", "P": "cross", "p": "pentagon", "h": "hexagon", ".": "circle", "|": "line-ns", "<": "triangle-left",
    ">": "triangle-right", "d": "diamond-tall", "+": "cross-thin", "X": "x",
}  # fmt: skip


@dataclass(frozen=True)
class Twin:
    """A panel."""

    title: str
    figure: go.Figure
    words: str
    """What it shows, for those who do not see it."""
    columns: dict[str, list[Any]]
    """Its data, a row a point."""
    square: bool = False
    """Whether a unit is as long on one axis as on the other."""


def panels(figure: Any) -> list[Twin]:
    """The panels of a matplotlib figure, in its order; colour bars belong to their maps.

    Example:
        >>> from matplotlib.figure import Figure
        >>> printed = Figure()
        >>> axes = printed.subplots()
        >>> _ = axes.errorbar([1, 10], [0.5, 0.25], [0.1, 0.1], fmt="o", color="#009E73", label="MFLD")
        >>> _ = axes.set(xscale="log", xlabel="steps", ylabel="gap", title="It closes")
        >>> (panel,) = panels(printed)
        >>> panel.title, panel.figure.data[0].error_y.array, panel.columns["gap"]
        ('It closes', (0.1, 0.1), [0.5, 0.25])
        >>> panel.words
        'It closes. gap against steps (logarithmic). MFLD from 0.5 to 0.25.'
    """
    own = axes_of(figure)
    legend = any(each.get_legend() for each in own) or bool(figure.legends)
    return [_panel(axes, legend) for axes in own]


def _panel(axes: Any, legend: bool) -> Twin:
    title = axes.get_title(loc="left") or axes.get_title()
    x, y = _axis(axes, "x"), _axis(axes, "y")
    figure = canvas(HEIGHT, x=x, y=y)
    told = list(words(axes))
    aside = max((_beyond(each) for each in told), default=0.0)
    figure.update_layout(margin={"t": 34, "l": 8, "r": 14 + aside, "b": 8})
    note(figure, lettered(_label(axes, "y")), x=0, y=1, xref="paper", yref="paper", xanchor="left", yanchor="bottom",
         yshift=10)  # fmt: skip
    bands, marks = list(fills(axes)), list(lines(axes))
    for band in bands:
        _add_fill(figure, band)
    for image in images(axes):
        _add_image(figure, image)
    for mark in marks:
        _add(figure, mark)
    for each in told:
        _add_words(figure, each)
    named = {mark.name for mark in (*bands, *marks) if mark.name}
    if legend and named:
        figure.update_layout(
            showlegend=True, height=HEIGHT + LEGEND_ROW * (1 + len(named) // 3),
            legend={"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0, "font": {"size": 12},
                    "bgcolor": "rgba(0,0,0,0)"},
        )  # fmt: skip
    square = axes.get_aspect() == 1.0 and not axes.images
    return Twin(plain(title), figure, _told(axes, title, marks), _columns(axes, marks), square)


def _axis(axes: Any, which: str) -> dict[str, Any]:
    """With the printed axis's own limits, ticks and labels."""
    printed = getattr(axes, f"{which}axis")
    low, high = getattr(axes, f"get_{which}lim")()
    log = printed.get_scale() == "log"
    ends = [float(np.log10(low)), float(np.log10(high))] if log else [float(low), float(high)]
    ticks = [
        (float(place), lettered(label.get_text()))
        for place, label in zip(printed.get_ticklocs(), printed.get_ticklabels(), strict=False)
        if min(low, high) * (1 - 1e-9) - 1e-12 <= place <= max(low, high) * (1 + 1e-9) + 1e-12 and label.get_text()
    ]
    found = axis(
        type="log" if log else "linear", range=ends, tickmode="array", tickvals=[place for place, _ in ticks],
        ticktext=[label for _, label in ticks], tickangle=0,
    )  # fmt: skip
    if which == "x":
        found["title"] = {"text": lettered(_label(axes, "x")), "standoff": 8, "font": {"size": 13}}
    return found


def _add(figure: go.Figure, mark: Mark) -> None:
    mode = "+".join(word for word, there in (("lines", mark.line), ("markers", mark.marker)) if there)
    if not mode:
        return
    symbol = (SYMBOLS | MORE_SYMBOLS).get(mark.marker, "circle")
    size = np.asarray(mark.size, float) * 1.35
    looks: dict[str, Any] = {"color": mark.colours or mark.colour, "size": size.tolist(), "symbol": symbol}
    if mark.hollow:
        looks["symbol"] = f"{symbol}-open"
    if mark.hollow or symbol.endswith("thin") or symbol.startswith("line"):
        looks["line"] = {"width": 1.6, "color": mark.colour}
    figure.add_scatter(
        x=_short(mark.x), y=_short(mark.y), mode=mode, name=lettered(mark.name), showlegend=bool(mark.name),
        line={"color": mark.colour, "width": 1.25 * mark.line, "dash": mark.dash}, marker=looks,
        error_x=_bars(mark.x_error, mark.colour), error_y=_bars(mark.y_error, mark.colour), connectgaps=False,
        hovertemplate=f"%{{x:.4g}}, %{{y:.4g}}<extra>{lettered(mark.name)}</extra>",
    )  # fmt: skip


def _bars(error: np.ndarray | None, colour: str) -> dict[str, Any] | None:
    if error is None:
        return None
    below, above = _short(error[0]), _short(error[1])
    sides = {} if np.allclose(*error, rtol=1e-6, equal_nan=True) else {"arrayminus": below, "symmetric": False}
    return {"array": above, "color": colour, "thickness": 1.4, "width": 0, **sides}


def _short(values: np.ndarray) -> list[float]:
    """To the digits that can be drawn."""
    return [float(f"{value:.6g}") for value in values]


def _add_fill(figure: go.Figure, mark: Mark) -> None:
    figure.add_scatter(
        x=_short(mark.x), y=_short(mark.y), mode="lines", line={"width": 0, "color": mark.fill}, fill="toself",
        fillcolor=mark.fill, name=lettered(mark.name), showlegend=bool(mark.name), hoverinfo="skip",
    )  # fmt: skip


def _add_image(figure: go.Figure, image: Picture) -> None:
    shades = [[i / (len(image.colours) - 1), shade] for i, shade in enumerate(image.colours)]
    figure.add_heatmap(
        x=_short(image.x), y=_short(image.y), z=[_short(row) for row in image.values], zmin=image.ends[0],
        zmax=image.ends[1], colorscale=shades, showscale=False, hovertemplate="%{z:.4g}<extra></extra>",
    )  # fmt: skip


def _add_words(figure: go.Figure, each: Words) -> None:
    note(
        figure, lettered(each.text), x=each.x, y=each.y, xref="paper", yref="paper", xanchor=each.anchors[0],
        yanchor=each.anchors[1], xshift=each.shift[0], yshift=each.shift[1], align=each.anchors[0],
        font={"size": 12, "color": each.colour or LIGHT["ink"]},
    )  # fmt: skip


def _beyond(each: Words) -> float:
    """Pixels by which words reach over the right edge."""
    longest = max(len(plain(line)) for line in each.text.split("\n"))
    share = {"left": 1.0, "center": 0.5, "right": 0.0}[each.anchors[0]]
    return max(0.0, (each.x - 1) * WIDTH + each.shift[0] + share * LETTER * longest)


def _label(axes: Any, which: str) -> str:
    """The axis's label, or that of the axes it shares its ticks with."""
    shared = getattr(axes, f"get_shared_{which}_axes")().get_siblings(axes)
    labels = [getattr(each, f"get_{which}label")() for each in (axes, *shared)]
    return next(filter(None, labels), "")


def _told(axes: Any, title: str, marks: list[Mark]) -> str:
    log = [" (logarithmic)" if scale == "log" else "" for scale in (axes.get_xscale(), axes.get_yscale())]
    told = [plain(title)] if title else []
    told.append(
        f"{plain(_label(axes, 'y')) or 'values'}{log[1]} against {plain(_label(axes, 'x')) or 'places'}{log[0]}"
    )
    series = []
    for mark in marks:
        known = mark.y[np.isfinite(mark.y)]
        if mark.name and known.size:
            series.append(f"{plain(mark.name)} from {known[0]:.3g} to {known[-1]:.3g}")
    more = f", and {len(series) - TOLD} more" if len(series) > TOLD else ""
    told += [", ".join(series[:TOLD]) + more] if series else []
    return ". ".join(told) + "."


def _columns(axes: Any, marks: list[Mark]) -> dict[str, list[Any]]:
    x_name, y_name = plain(_label(axes, "x")) or "x", plain(_label(axes, "y")) or "y"
    rows: dict[str, list[Any]] = {"series": [], x_name: [], y_name + " (y)" * (y_name == x_name): [], "error": []}
    series, xs, ys, errors = rows.values()
    for i, mark in enumerate(marks):
        error = mark.y_error if mark.y_error is not None else mark.x_error
        series += [plain(mark.name) or f"series {i + 1}"] * len(mark.x)
        xs += _short(mark.x)
        ys += _short(mark.y)
        errors += [""] * len(mark.x) if error is None else _short(error.mean(axis=0))
    return rows
