"""The pictures of a federated run: loss and accuracy against exchanges, and clients and server in motion."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(method: str, history: dict[str, np.ndarray]) -> "Figure":
    """Two panels: loss of all rows, accuracy on rows held out."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    from langevax.figures import theme

    with matplotlib.rc_context(theme.style()):  # type: ignore[arg-type]
        drawn = Figure(figsize=(9.0, 3.6))
        left, right = drawn.subplots(1, 2)
        colour = theme.OKABE_ITO[0]
        for axes, name, title in ((left, "loss", "Mean loss of all rows"), (right, "accuracy", "On rows held out")):
            axes.plot(history["exchanges"], history[name], color=colour, marker="o", markevery=0.1)
            axes.set(xlabel="exchanges", ylabel=name, title=title)
        left.set_yscale("log")
        for which in (left.yaxis.set_major_formatter, left.yaxis.set_minor_formatter):
            which(LogFormatter(minor_thresholds=(2, 0.5)))
        right.set_ylim(0, 1.02)
        drawn.suptitle(method, x=0.01, ha="left", fontsize=11)
    return drawn


def write_animation(
    file: Path, content: dict[str, Any], history: dict[str, np.ndarray], federation: Any, result: Any, step: float
) -> None:
    """One page: clients' directions around the server on its path, and each client's loss."""
    import jax

    from langevax.figures import federation as moving
    from langevax.figures.moving import MovingPanel, Scene
    from langevax.report.page import moving_figure, write_page

    positions, every = result.positions, np.arange(federation.size)

    @jax.jit
    def of_clients(positions: Any) -> Any:
        def one(x: Any) -> Any:
            return jax.vmap(lambda i: federation.client(i).value_and_gradient(x))(every)

        return jax.lax.map(one, positions)

    losses, gradients = of_clients(positions)
    path = np.concatenate([np.asarray(a).reshape(len(a), -1) for a in jax.tree.leaves(positions)], axis=1)
    ahead = np.concatenate(
        [np.asarray(a).reshape(*a.shape[:2], -1) for a in jax.tree.leaves(gradients)], axis=2
    )  # of each client at each record
    axes = _plane(path, ahead)
    server = (path - path[0]) @ axes.T
    length = step * content["local_steps"]
    clients = server[:, None] - length * (ahead @ axes.T)
    rows = np.asarray(federation.counts)
    left = moving.disagreement(
        server,
        clients,
        rows,
        x_label="first direction of the server's path",
        y_label="direction in which clients differ most",
    )
    right = moving.losses(np.asarray(losses), rows, x_label="client", y_label="loss on its own rows")
    words = "The server, a diamond, on its path, with a dot for each client where its own gradient would lead."
    caption = (
        f"Each dot is where a client's own gradient leads from the server, at the step size times the local steps, "
        f"{length:g}. Where clients agree dots lie together; where the server settles they stay apart, by what clients "
        "differ in. Larger dots hold more rows."
    )
    each = "How well the server's model serves each client. A few clients far above the rest are what skew costs."
    moved = (
        MovingPanel("directions", left, words, caption),
        MovingPanel("losses", right, "The loss of each client at the server's model.", each),
    )
    accuracy, exchanges = float(history["accuracy"][-1]), int(history["exchanges"][-1])
    title = f"{content['method']} on {content['data']}, {content['partition']}"
    said = f"Accuracy {accuracy:.3f} on rows held out after {exchanges:,} exchanges."
    write_page(
        file,
        "federated.html.jinja",
        title=title,
        answer=said,
        clients=moving_figure(Scene(moved, np.asarray(result.trace.steps), unit="round")),
        command=command(content),
    )


def _plane(path: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """(2, numbers): along the server's path, and where clients' gradients are farthest from their mean."""
    along = np.linalg.svd(path - path.mean(axis=0), full_matrices=False)[2][0]
    apart = (ahead - ahead.mean(axis=1, keepdims=True))[:: max(1, len(ahead) // 10)].reshape(-1, ahead.shape[2])
    apart = apart - np.outer(apart @ along, along)
    return np.stack([along, np.linalg.svd(apart, full_matrices=False)[2][0]])


def command(content: dict[str, Any]) -> str:
    """That makes the folder again."""
    options = ("method", "data", "target", "partition", "clients", "per_round", "rounds", "local_steps", "batch_size",
               "step_size", "hidden", "dropout", "seed", "folder")  # fmt: skip
    words = ["langevax", "federated", "simulate"]
    for name in options:
        value, option = content[name], "out" if name == "folder" else name.replace("_", "-")
        if value is not None:
            words += [f"--{option}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)
