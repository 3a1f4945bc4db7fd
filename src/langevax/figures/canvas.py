"""The empty plotly figure that all interactive charts start from, and the small things they share."""

import html
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from langevax.figures.theme import FONTS, INK, LIGHT

LONGEST_LABEL = 46
BREATHING_SPACE = 0.05  # of the range of an axis, left free on either side


def shortened(text: str, longest: int = LONGEST_LABEL) -> str:
    """One line of at most `longest` characters, cut in the middle: names differ at their ends, and units stand there.

    Example:
        >>> shortened("concentration of serum (mg/L)", 20)
        'concentration…(mg/L)'
    """
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    tail = longest // 3
    return text[: longest - 1 - tail].rstrip() + "…" + text[len(text) - tail :].lstrip()


def shown(text: str, longest: int = LONGEST_LABEL) -> str:
    """`shortened`, with the signs escaped that plotly would read as markup.

    Example:
        >>> shown("<b>age")
        '&lt;b&gt;age'
    """
    return html.escape(shortened(text, longest), quote=False)


def span(*arrays: ArrayLike, margin: float = BREATHING_SPACE) -> list[float]:
    """The range of an axis that holds every finite number of the arrays, with some air.

    Example:
        >>> span([0.0, 10.0], [np.nan, 20.0])
        [-1.0, 21.0]
        >>> span([3.0])
        [2.5, 3.5]
    """
    values = np.concatenate([np.asarray(array, float).ravel() for array in arrays])
    values = values[np.isfinite(values)]
    if not values.size:
        return [0.0, 1.0]
    low, high = float(values.min()), float(values.max())
    air = margin * (high - low) or 0.5
    return [low - air, high + air]


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """An axis that is ruled lightly, numbered plainly and does not zoom."""
    return {
        "title": {"text": shown(title), "standoff": 8, "font": {"size": 13}},
        "gridcolor": LIGHT["grid"],
        "zeroline": False,
        "showline": False,
        "ticks": "outside",
        "ticklen": 6,
        "tickcolor": "rgba(0,0,0,0)",  # a tick that is air between label and grid
        "separatethousands": True,
        "tickfont": {"size": 12, "color": LIGHT["soft"]},
        "exponentformat": "e",
        "nticks": 7,
        "automargin": True,
        "fixedrange": True,
        **more,
    }


def canvas(height: int, *, x: dict[str, Any], y: dict[str, Any], above: str = "", **layout: Any) -> go.Figure:
    """An empty figure. `above` names the vertical axis along the top, where long names can be read."""
    figure = go.Figure(
        layout={
            "template": go.layout.Template(),
            "height": height,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": FONTS, "size": 13, "color": INK},
            "margin": {"l": 8, "r": 12, "t": 34 if above else 10, "b": 8},
            "showlegend": False,
            "dragmode": False,
            "hovermode": "closest",
            "hoverlabel": {
                "bgcolor": LIGHT["paper"],
                "bordercolor": LIGHT["grid"],
                "font": {"family": FONTS, "size": 13, "color": INK},
                "align": "left",
            },
            "xaxis": x,
            "yaxis": y,
            **layout,
        }
    )
    if above:
        note(figure, shown(above), x=0, y=1, xref="paper", yref="paper", xanchor="left", yanchor="bottom", yshift=10)
    return figure


def note(figure: go.Figure, text: str, **where: Any) -> None:
    """Words on the figure, without an arrow."""
    figure.add_annotation(text=text, **{"showarrow": False, "font": {"size": 13, "color": INK}, **where})
