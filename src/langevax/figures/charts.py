"""Charts on one pair of axes: arrays in, picture out, every method in its own colour and marker."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from langevax.figures.theme import DIVERGING, GREY, INK, METHODS

MARKED_POINTS = 20


def curves(axes: Any, data: Mapping[str, tuple[ArrayLike, ArrayLike]], **labels: Any) -> None:
    """Log-log lines `name -> (x, y)`, with about 20 markers each, evenly spaced on the page.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = plt.subplots()
        >>> curves(axes, {"SVRG-LD": ([1, 10, 100], [1.0, 0.3, 0.1])}, xlabel="passes", ylabel="error")
        >>> axes.get_xscale()
        'log'
        >>> plt.close(figure)
    """
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    for name, (x, y) in data.items():
        x, y = np.asarray(x), np.asarray(y)
        shown = np.unique(np.geomspace(1, len(x), MARKED_POINTS).astype(int)) - 1
        colour, marker = METHODS.get(name, (GREY, "."))
        axes.loglog(x[shown], y[shown], color=colour, marker=marker, label=name)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter("")
    axes.set(**labels)
    axes.legend(loc="lower left")


def agreement(axes: Any, reference: ArrayLike, data: Mapping[str, tuple[ArrayLike, ArrayLike]], **labels: Any) -> None:
    """Means with bars of one standard deviation, `name -> (mean, deviation)`, against reference means.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = plt.subplots()
        >>> agreement(axes, [0.0, 1.0], {"MALA": ([0.1, 0.9], [0.2, 0.2])})
        >>> len(axes.containers)
        1
        >>> plt.close(figure)
    """
    for name, (mean, deviation) in data.items():
        colour, marker = METHODS.get(name, (GREY, "."))
        axes.errorbar(reference, mean, deviation, fmt=marker, color=colour, label=name, elinewidth=0.8)
    axes.axline((0, 0), slope=1, color=INK, linewidth=0.8, zorder=0)
    axes.set(**labels)
    axes.legend(loc="lower right")


def particles(axes: Any, x: ArrayLike, y: ArrayLike, pull: ArrayLike, *, pull_label: str, **labels: Any) -> None:
    """A cloud of neurons: triangles point up and are red where a neuron's outer weight `pull` is positive.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = plt.subplots()
        >>> particles(axes, [0, 1], [1, 0], [-2.0, 2.0], pull_label="outer weight")
        >>> len(axes.collections)
        2
        >>> plt.close(figure)
    """
    x, y, pull = np.asarray(x), np.asarray(y), np.asarray(pull)
    limit = float(np.max(np.abs(pull)))
    for marker, side in (("^", pull >= 0), ("v", pull < 0)):
        dots = axes.scatter(
            x[side], y[side], c=pull[side], cmap=DIVERGING, vmin=-limit, vmax=limit, marker=marker, s=18, linewidth=0
        )
    axes.figure.colorbar(dots, ax=axes, label=pull_label)
    axes.set(**labels)


def band(
    axes: Any, steps: ArrayLike, bound: ArrayLike, error: ArrayLike, gap: ArrayLike, trustworthy: ArrayLike
) -> None:
    """A lower bound with error bars and the band up to `bound + gap`; points not to be trusted are hollow.

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
    for chosen, face, label in ((good, colour, "$D$ ± standard error"), (~good, "none", "$D$, gap not certified")):
        if chosen.any():
            axes.errorbar(
                steps[chosen], bound[chosen], error[chosen], fmt=marker, color=colour, markerfacecolor=face, label=label
            )
    spread = max(float(np.ptp(bound)), float(gap[-1]), 1e-12)  # a loose band of early steps may leave the picture
    axes.set(xscale="log", ylim=(bound.min() - 0.1 * spread, bound.max() + gap[-1] + 0.1 * spread))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter("")
    axes.legend(loc="lower right")
