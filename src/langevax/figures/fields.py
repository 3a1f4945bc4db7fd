"""Matplotlib figures of fields that were drawn: bands of a curve, and maps of mean and standard deviation."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from langevax.figures.charts import new_figure
from langevax.figures.theme import METHODS, SEQUENTIAL, faint

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def band(
    x: ArrayLike,
    mean: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    coverage: float,
) -> "Figure":
    """Draw the mean of a curve in its band.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure = band([0, 1], [0.0, 1.0], [-1.0, 0.5], [1.0, 1.5], 0.9)
        >>> figure.axes[0].get_legend_handles_labels()[1]
        ['mean', '90 % band']
        >>> plt.close(figure)
    """
    figure, axes = new_figure(1)
    order = np.argsort(np.asarray(x))
    x, mean, low, high = (np.asarray(array)[order] for array in (x, mean, low, high))
    colour, _ = METHODS["MFLD"]
    axes.plot(x, mean, color=colour, label="mean")
    axes.fill_between(
        x,
        low,
        high,
        color=faint(colour),
        linewidth=0,
        label=f"{coverage:.0%} band".replace("%", " %"),
    )
    axes.set(xlabel="x", ylabel="function")
    axes.legend(loc="best")
    return figure


def maps(
    x: ArrayLike,
    y: ArrayLike,
    mean: ArrayLike,
    standard_deviation: ArrayLike,
) -> "Figure":
    """Draw mean and standard deviation over the plane: at the products of x and y, or at points (x, y), between triangles.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure = maps([0, 1, 2], [0, 1], np.zeros((3, 2)), np.ones((3, 2)))
        >>> [axes.get_title(loc="left") for axes in figure.axes[:2]]
        ['Mean', 'Standard deviation']
        >>> plt.close(figure)
    """
    figure, both = new_figure(2)
    x = np.asarray(x)
    y = np.asarray(y)
    for axes, title, values in zip(
        both, ("Mean", "Standard deviation"), (mean, standard_deviation), strict=True
    ):
        values = np.asarray(values)
        if values.ndim == 2:
            image = axes.pcolormesh(x, y, values.T, shading="nearest", cmap=SEQUENTIAL)
        else:
            image = axes.tripcolor(x, y, values, shading="gouraud", cmap=SEQUENTIAL)
        axes.grid(False)
        axes.set(xlabel="x", ylabel="y", aspect="equal")
        axes.set_title(title, loc="left")
        figure.colorbar(image, ax=axes)
    return figure
