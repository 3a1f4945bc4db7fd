"""The figure of a federated run: loss and accuracy against exchanges."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(method: str, history: dict[str, np.ndarray]) -> "Figure":
    """Two panels: training loss, and accuracy on held-out rows."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    from langevax.figures import theme

    titles = {"loss": "Mean loss of all rows", "accuracy": "On held-out rows"}
    with matplotlib.rc_context(theme.style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(9.0, 3.6))
        left, right = figure.subplots(1, 2)
        for axes, (name, title) in zip((left, right), titles.items(), strict=True):
            axes.plot(
                history["exchanges"],
                history[name],
                color=theme.OKABE_ITO[0],
                marker="o",
                markevery=0.1,
            )
            axes.set(xlabel="exchanges", ylabel=name, title=title)
        left.set_yscale("log")
        for axis in (left.yaxis.set_major_formatter, left.yaxis.set_minor_formatter):
            axis(LogFormatter(minor_thresholds=(2, 0.5)))
        right.set_ylim(0, 1.02)
        figure.suptitle(method, x=0.01, ha="left", fontsize=11)
    return figure
