"""One look for every picture.

Grammar: measurement is points with error bars, theory a solid line, a bound a dashed line with a light
fill on its forbidden side, a competitor grey. Colour never carries meaning alone: a marker or a direct
label says it too.
"""

from typing import Any

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Six colours that colour-blind readers tell apart (Okabe and Ito 2008)."""

GREY = "#7A7A7A"
INK = "#1F2328"

METHODS: dict[str, tuple[str, str]] = {
    "SVRG-LD": (OKABE_ITO[0], "o"),
    "SARAH-LD": (OKABE_ITO[1], "s"),
    "SGLD": (OKABE_ITO[3], "^"),
    "LD": (OKABE_ITO[4], "v"),
    "MFLD": (OKABE_ITO[2], "D"),
    "MALA": (GREY, "x"),
}
"""Colour and marker of each method, the same in every figure."""

SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"


def style() -> dict[str, Any]:
    """Matplotlib settings, for `matplotlib.rc_context(style())`.

    Example:
        >>> import matplotlib
        >>> with matplotlib.rc_context(style()):
        ...     matplotlib.rcParams["axes.spines.top"]
        False
    """
    return {
        "figure.figsize": (9.0, 3.8),
        "figure.dpi": 120,
        "figure.constrained_layout.use": True,
        "savefig.dpi": 160,
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.labelsize": 10,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#E6E6E6",
        "grid.linewidth": 0.8,
        "axes.axisbelow": True,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "lines.markersize": 5,
        "pdf.fonttype": 42,
        "svg.fonttype": "none",
    }
