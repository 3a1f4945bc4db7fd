"""Matplotlib charts of a fitted network on one pair of axes."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from langevax import checks
from langevax.figures.theme import DIVERGING, METHODS, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def new_axes(axes: "Axes | None") -> "Axes":
    """Return `axes`, or new ones in the style of langevax."""
    if axes is not None:
        return axes
    with checks.needs("plot", "a plot"):
        import matplotlib
        import matplotlib.pyplot as plt

    with matplotlib.rc_context(style()):  # type: ignore[arg-type]
        return plt.subplots(figsize=(4.8, 3.8))[1]


def particles(axes: Any, x: ArrayLike, y: ArrayLike, outer: ArrayLike, *, outer_label: str, **labels: Any) -> None:
    """Draw neurons: triangles point up and are red where the outer weight is positive.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = plt.subplots()
        >>> particles(axes, [0, 1], [1, 0], [-2.0, 2.0], outer_label="outer weight")
        >>> len(axes.collections)
        2
        >>> plt.close(figure)
    """
    x, y, outer = np.asarray(x), np.asarray(y), np.asarray(outer)
    limit = float(np.max(np.abs(outer)))
    for marker, side in (("^", outer >= 0), ("v", outer < 0)):
        dots = axes.scatter(
            x[side], y[side], c=outer[side], cmap=DIVERGING, vmin=-limit, vmax=limit, marker=marker, s=18, linewidth=0
        )
    axes.figure.colorbar(dots, ax=axes, label=outer_label)
    axes.set(**labels)


def band(
    axes: Any, steps: ArrayLike, bound: ArrayLike, error: ArrayLike, gap: ArrayLike, trustworthy: ArrayLike
) -> None:
    """Draw a lower bound with error bars and the band up to `bound + gap`; points that are not trustworthy are hollow.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = plt.subplots()
        >>> band(axes, [10, 100], [0.1, 0.2], [0.01, 0.01], [0.3, 0.02], [False, True])
        >>> axes.get_xscale()
        'log'
        >>> plt.close(figure)
    """
    from matplotlib.ticker import StrMethodFormatter

    steps, bound, error, gap, good = (np.asarray(a) for a in (steps, bound, error, gap, trustworthy))
    colour, marker = METHODS["MFLD"]
    axes.fill_between(steps, bound, bound + gap, color=colour, alpha=0.12, linewidth=0, label="up to $D$ + gap")
    for points, face, label in ((good, colour, "$D$ ± standard error"), (~good, "none", "$D$, gap not certified")):
        if points.any():
            style: dict[str, Any] = {"fmt": marker, "color": colour, "markerfacecolor": face, "label": label}
            axes.errorbar(steps[points], bound[points], error[points], **style)
    spread = max(float(np.ptp(bound)), float(gap[-1]), 1e-12)  # a wide band of early steps may be cut off
    axes.set(xscale="log", ylim=(bound.min() - 0.1 * spread, bound.max() + gap[-1] + 0.1 * spread))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter("")
    axes.legend(loc="lower right")
