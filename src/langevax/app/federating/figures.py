"""Figures of a federated run: loss and accuracy against exchanges, and clients and server in motion."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import numpy as np

from langevax._typing import PyTree
from langevax.problems.federation import Federation
from langevax.run import Result

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


def write_animation(
    file: Path, content: dict[str, Any], federation: Federation, result: Result
) -> None:
    """Write a page with the clients' directions around the server on its path, and each client's loss."""
    from langevax.app.report.page import moving_figure, write_page
    from langevax.figures import federation as moving
    from langevax.figures.moving import MovingPanel, Scene

    losses, gradients = _client_losses_and_gradients(federation, result.positions)
    assert result.trace is not None
    path = _flat(result.positions, 1)
    directions = _flat(gradients, 2)
    axes = _plane(path, directions)
    server = (path - path[0]) @ axes.T
    length = content["step_size"] * content["num_local_steps"]
    rows = np.asarray(federation.counts)
    panels = (
        MovingPanel(
            "directions",
            moving.disagreement(
                server,
                server[:, None] - length * (directions @ axes.T),
                rows,
                x_label="first direction of the server's path",
                y_label="direction in which clients differ most",
            ),
            "The server, a diamond, on its path, with a dot for each client where its own gradient would lead.",
            "Each dot is where a client's own gradient leads from the server, at the step size times the local steps, "
            f"{length:g}. Where clients agree dots coincide; where the server settles they stay apart by the "
            "difference between clients. Larger dots hold more rows.",
        ),
        MovingPanel(
            "losses",
            moving.losses(
                losses, rows, x_label="client", y_label="loss on its own rows"
            ),
            "The loss of each client at the server's model.",
            "How well the server's model serves each client. A few clients far above the rest are the cost of skew.",
        ),
    )
    title = f"{content['method']} on {content['data']}, {content['partition']}"
    answer = f"Accuracy {content['accuracy']:.3f} on held-out rows after {content['exchanges']:,} exchanges."
    write_page(
        file,
        "federated.html.jinja",
        title=title,
        answer=answer,
        clients=moving_figure(
            Scene(panels, np.asarray(result.trace.steps), unit="round")
        ),
        command=command(content),
    )


@eqx.filter_jit
def _client_losses_and_gradients(
    federation: Federation, positions: PyTree
) -> tuple[jax.Array, PyTree]:
    def one(x: PyTree) -> tuple[jax.Array, PyTree]:
        return jax.vmap(lambda i: federation.client(i).value_and_gradient(x))(
            np.arange(federation.size)
        )

    return jax.lax.map(one, positions)


def _flat(tree: PyTree, axes: int) -> np.ndarray:
    """All leaves side by side, with the first `axes` axes in common."""
    leaves = map(np.asarray, jax.tree.leaves(tree))
    return np.concatenate(
        [leaf.reshape(*leaf.shape[:axes], -1) for leaf in leaves], axis=axes
    )


def _plane(path: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(2, numbers): along the server's path, and where clients' gradients are farthest from their mean."""
    along = np.linalg.svd(path - path.mean(axis=0), full_matrices=False)[2][0]
    deviations = directions - directions.mean(axis=1, keepdims=True)
    deviations = deviations[:: max(1, len(directions) // 10)].reshape(
        -1, directions.shape[2]
    )
    deviations = deviations - np.outer(deviations @ along, along)
    return np.stack([along, np.linalg.svd(deviations, full_matrices=False)[2][0]])


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
