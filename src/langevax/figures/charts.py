"""Matplotlib charts of a fitted network on one pair of axes."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from langevax import checks
from langevax.figures.theme import DIVERGING, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(columns: int, width: float = 4.5) -> tuple["Figure", Any]:
    """Return a figure in the style of langevax, and its axes of this width, in inches, beside each other."""
    with checks.needs("plot", "a plot"):
        import matplotlib
        import matplotlib.pyplot as plt

    with matplotlib.rc_context(style()):  # type: ignore[arg-type]
        figure, axes = plt.subplots(1, columns)
        figure.set_figwidth(width * columns)
    return figure, axes


def new_axes(axes: "Axes | None") -> "Axes":
    """Return `axes`, or new ones in the style of langevax."""
    return new_figure(1)[1] if axes is None else axes


def particles(
    axes: Any,
    x: ArrayLike,
    y: ArrayLike,
    outer: ArrayLike,
    *,
    outer_label: str,
    **labels: Any,
) -> None:
    """Draw neurons: triangles point up and are red where the outer weight is positive.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = plt.subplots()
        >>> particles(axes, [0, 1], [1, 0], [-2.0, 2.0], outer_label="outer weight")
        >>> len(axes.collections)
        2
        >>> plt.close(figure)
    """
    x = np.asarray(x)
    y = np.asarray(y)
    outer = np.asarray(outer)
    limit = float(np.max(np.abs(outer)))
    for marker, side in (("^", outer >= 0), ("v", outer < 0)):
        dots = axes.scatter(
            x[side],
            y[side],
            c=outer[side],
            cmap=DIVERGING,
            vmin=-limit,
            vmax=limit,
            marker=marker,
            s=18,
            linewidth=0,
        )
    axes.figure.colorbar(dots, ax=axes, label=outer_label)
    axes.set(**labels)
