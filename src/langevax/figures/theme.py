"""The theme of every picture: matplotlib, plotly and the CSS of pages take colours and fonts from here.

Measurements are points with error bars, theory is a solid line, a bound a dashed line with a light fill on its
forbidden side, a competitor grey. Colour never carries meaning alone: a marker or a direct label repeats it.

Figures use the colours of light pages; a dark page replaces each by its entry in `IN_THE_DARK`.
"""

from typing import Any

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Six colours that colour-blind readers tell apart (Okabe and Ito 2008)."""

GREY = "#7A7A7A"
INK = "#1F2328"

LIGHT = {
    "paper": "#FFFFFF",
    "ink": INK,
    "soft": "#5C656E",
    "grey": GREY,
    "grid": "#E6E6E6",
    "mark": "#B45309",
}
"""Colours of paper, text, secondary text, competitors, grid lines, and warnings."""

DARK = {
    "paper": "#15181B",
    "ink": "#E3E6E8",
    "soft": "#9DA6AE",
    "grey": "#9B9B9B",
    "grid": "#30363B",
    "mark": "#F0A95B",
}

METHODS: dict[str, tuple[str, str]] = {
    "SVRG-LD": (OKABE_ITO[0], "o"),
    "SARAH-LD": (OKABE_ITO[1], "s"),
    "SGLD": (OKABE_ITO[3], "^"),
    "LD": (OKABE_ITO[4], "v"),
    "MFLD": (OKABE_ITO[2], "D"),
    "MALA": (GREY, "x"),
}
"""Colour and marker of each method, the same in every figure."""

SEQUENTIAL = "viridis"
DIVERGING = "RdBu_r"

IN_THE_DARK: dict[str, str] = {
    "#0072B2": "#4A9AE8",
    "#D55E00": "#F28A4B",
    "#009E73": "#2FC296",
    "#CC79A7": "#E0A0C4",
    "#E69F00": "#F2BC45",
    "#56B4E9": "#8AD2F5",
    **{light: DARK[role] for role, light in LIGHT.items()},
}
"""The colour of a dark page in the place of each light one."""

FONTS = (
    '-apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Noto Sans", Ubuntu, Cantarell, "Helvetica Neue", Arial, '
    "sans-serif"
)
"""The fonts of the reader's system: nothing is loaded."""


TEXT: dict[str, Any] = {"size": 13, "color": INK}
SECONDARY_TEXT: dict[str, Any] = {"size": 12, "color": LIGHT["soft"]}
"""Fonts of labels, and of numbers on axes and bars, of interactive figures."""


def faint(colour: str) -> str:
    """Return a colour as a light fill.

    Example:
        >>> faint("#009E73")
        '#009E7326'
    """
    return colour + "26"


def css_variables(dark: bool = False) -> str:
    """Return the palette as CSS custom properties.

    Example:
        >>> css_variables().splitlines()[0]
        '--paper: #FFFFFF;'
    """
    ours = METHODS["MFLD"][0]
    palette = {**DARK, "ours": IN_THE_DARK[ours]} if dark else {**LIGHT, "ours": ours}
    return "\n".join(f"--{role}: {colour};" for role, colour in palette.items())


def style() -> dict[str, Any]:
    """Return Matplotlib settings, for `matplotlib.rc_context(style())`.

    Example:
        >>> import matplotlib
        >>> with matplotlib.rc_context(style()):
        ...     matplotlib.rcParams["axes.spines.top"]
        False
    """
    return {
        "figure.figsize": (9.0, 3.8),
        "figure.constrained_layout.use": True,
        "savefig.dpi": 160,
        "axes.titlelocation": "left",
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": LIGHT["grid"],
        "axes.axisbelow": True,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
        "pdf.fonttype": 42,
        "svg.fonttype": "none",
    }
