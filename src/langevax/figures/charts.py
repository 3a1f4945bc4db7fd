"""Matplotlib charts of a fitted network on one pair of axes."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from langevax import checks
from langevax.figures.theme import DIVERGING, METHODS, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(columns: int, **options: Any) -> tuple["Figure", Any]:
    """Return a figure in the style of langevax, and its axes beside each other."""
    with checks.needs("plot", "a plot"):
        import matplotlib
        import matplotlib.pyplot as plt

    with matplotlib.rc_context(style()):  # type: ignore[arg-type]
        return plt.subplots(1, columns, **options)


def new_axes(axes: "Axes | None") -> "Axes":
    """Return `axes`, or new ones in the style of langevax."""
    return new_figure(1, figsize=(4.8, 3.8))[1] if axes is None else axes


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


def to_the_end(
    work: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    beyond: float = 2.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return work and ends of intervals, where the last one lasts up to `beyond` times its work."""
    return (
        np.append(work, beyond * work[-1]),
        np.append(lower, lower[-1]),
        np.append(upper, upper[-1]),
    )


def closing(
    axes: Any,
    work: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> None:
    """Draw an interval that closes as work is done, each from where it was reached.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = plt.subplots()
        >>> closing(axes, *np.array([[1e6, 1e8], [0.0, 0.20], [0.5, 0.22]]))
        >>> axes.get_xscale()
        'log'
        >>> plt.close(figure)
    """
    work, lower, upper = to_the_end(work, lower, upper)
    colour, _ = METHODS["MFLD"]
    axes.fill_between(
        work, lower, upper, step="post", color=colour, alpha=0.12, linewidth=0
    )
    axes.step(work, upper, where="post", color=colour, label="upper end, proved")
    axes.step(
        work,
        lower,
        where="post",
        color=colour,
        linestyle="--",
        label="lower end, by search",
    )
    axes.set(xscale="log")
    axes.legend(loc="best")
