"""The empty plotly figure of all interactive charts, and the helpers that they share."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from langevax.figures.theme import FONTS, LIGHT, SECONDARY_TEXT, TEXT

LONGEST_LABEL = 46
"""Characters of a label."""
HEIGHT = 400
SPACE = 8
"""Pixels of a figure, and between what it shows."""


def shortened(text: str, longest: int = LONGEST_LABEL) -> str:
    """Return one line of at most `longest` characters, cut in the middle: names differ at their ends, as do units.

    Example:
        >>> shortened("concentration of serum (mg/L)", 20)
        'concentration…(mg/L)'
    """
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    tail = longest // 3
    start = text[: longest - 1 - tail].rstrip()
    return start + "…" + text[len(text) - tail :].lstrip()


def shown(text: str, longest: int = LONGEST_LABEL) -> str:
    """Return a shortened label, with the characters escaped that plotly reads as markup.

    Example:
        >>> shown("<b>age")
        '&lt;b&gt;age'
    """
    return html.escape(shortened(text, longest), quote=False)


def span(*arrays: ArrayLike, margin: float = 0.05) -> list[float]:
    """Return the range of an axis that contains every finite number of the arrays, with a margin.

    Example:
        >>> span([0.0, 10.0], [np.nan, 20.0])
        [-1.0, 21.0]
        >>> span([3.0]), span([0.0, 0.1], margin=0)
        ([2.5, 3.5], [0.0, 0.1])
    """
    values = np.concatenate([np.asarray(array, float).ravel() for array in arrays])
    values = values[np.isfinite(values)]
    if not values.size:
        return [0.0, 1.0]
    low = float(values.min())
    high = float(values.max())
    space = margin * (high - low) if high > low else 0.5
    return [low - space, high + space]


def named_ticks(places: list[Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the ticks of an axis by their names."""
    return {"tickmode": "array", "tickvals": places, "ticktext": list(names)}


def thinned(size: int, most: int) -> np.ndarray:
    """Return at most `most` of the indices 0..size-1, evenly spread, including the last.

    Example:
        >>> thinned(10, 4)
        array([0, 3, 6, 9])
    """
    places = np.linspace(0, max(size - 1, 0), min(size, most))
    return np.unique(places.round().astype(int))


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """Return an axis with a light grid, plain numbers and no zoom."""
    return {
        "title": {"text": shown(title), "standoff": SPACE, "font": TEXT},
        "gridcolor": LIGHT["grid"],
        "zeroline": False,
        "showline": False,
        "ticks": "outside",
        "ticklen": SPACE,
        "tickcolor": "rgba(0,0,0,0)",  # invisible: space between label and grid
        "separatethousands": True,
        "tickfont": SECONDARY_TEXT,
        "exponentformat": "e",
        "nticks": 5,
        "automargin": True,
        "fixedrange": True,
        **more,
    }


def canvas(
    *,
    x: dict[str, Any],
    y: dict[str, Any],
    height: int = HEIGHT,
    above: str = "",
    right: int = SPACE,
) -> go.Figure:
    """Return an empty figure with a margin at the right; `above` names the vertical axis along the top."""
    top = 4 * SPACE if above else SPACE
    figure = go.Figure(
        layout={
            "template": go.layout.Template(),
            "height": height,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": FONTS, **TEXT},
            "margin": {"l": SPACE, "r": right, "t": top, "b": SPACE},
            "showlegend": False,
            "dragmode": False,
            "hovermode": "closest",
            "hoverlabel": {
                "bgcolor": LIGHT["paper"],
                "bordercolor": LIGHT["grid"],
                "font": {"family": FONTS, **TEXT},
                "align": "left",
            },
            "xaxis": x,
            "yaxis": y,
        }
    )
    if above:
        corner = {"x": 0, "y": 1, "xref": "paper", "yref": "paper", "yshift": SPACE}
        note(figure, shown(above), **corner, xanchor="left", yanchor="bottom")
    return figure


def note(figure: go.Figure, text: str, **where: Any) -> None:
    """Write words on a figure, without an arrow."""
    figure.add_annotation(text=text, **{"showarrow": False, "font": TEXT, **where})
