"""The figure of a federated run, loss and accuracy against exchanges, and the command that repeats it."""

import shlex
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPTIONS = (
    *(
        "method",
        "data",
        "target",
        "partition",
        "clients",
        "per_round",
        "rounds",
        "num_local_steps",
        "batch_size",
    ),
    *("step_size", "server_optimizer", "server_step_size", "hidden", "dropout", "seed"),
)
"""Of the command, as the results name them."""


def draw(method: str, history: dict[str, np.ndarray]) -> "Figure":
    """Two panels: training loss, and accuracy on held-out rows."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    from langevax.figures import theme

    with matplotlib.rc_context(theme.style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(9.0, 3.6))
        left, right = figure.subplots(1, 2)
        for axes, name, title in (
            (left, "loss", "Mean loss of all rows"),
            (right, "accuracy", "On held-out rows"),
        ):
            axes.plot(
                history["exchanges"],
                history[name],
                color=theme.OKABE_ITO[0],
                marker="o",
                markevery=0.1,
            )
            axes.set(xlabel="exchanges", ylabel=name, title=title)
        left.set_yscale("log")
        left.yaxis.set_major_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
        left.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
        right.set_ylim(0, 1.02)
        figure.suptitle(method, x=0.01, ha="left", fontsize=11)
    return figure


def command(content: dict[str, Any]) -> str:
    """The command that repeats the run."""
    words = ["langevax", "federated", "simulate"]
    for name, value in (
        {name: content[name] for name in OPTIONS} | {"out": content["folder"]}
    ).items():
        if value is not None:
            words += [
                f"--{name.replace('_', '-')}",
                f"{value:g}" if isinstance(value, float) else str(value),
            ]
    return shlex.join(words)
