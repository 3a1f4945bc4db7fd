"""Moving pictures of a federation: the gradients of the clients, and the losses of the model on their rows."""

import numpy as np
from numpy.typing import ArrayLike

from langevax.figures.canvas import axis, canvas, span
from langevax.figures.moving import HEIGHT, Moving, Track
from langevax.figures.theme import GREY, LIGHT, OKABE_ITO

SERVER, CLIENT = OKABE_ITO[1], OKABE_ITO[0]
MIN_SIZE, MAX_SIZE = 7.0, 16.0  # pixels of clients


def disagreement(
    server: ArrayLike,
    clients: ArrayLike,
    rows: ArrayLike,
    *,
    x_label: str,
    y_label: str,
) -> Moving:
    """Draw the server (frame, 2) on its path, and the point that each client alone would reach, (frame, client, 2).

    Example:
        >>> moving = disagreement([[0.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]]], [3, 5], x_label="a", y_label="b")
        >>> list(moving.figure.data[1].marker.symbol)
        ['circle', 'circle', 'diamond']
    """
    server, clients, rows = np.asarray(server), np.asarray(clients), np.asarray(rows)
    points = np.concatenate([clients, server[:, None]], axis=1)
    figure = canvas(
        HEIGHT,
        x=axis(x_label, range=span(points[..., 0])),
        y=axis(range=span(points[..., 1])),
        above=y_label,
    )
    figure.add_scatter(
        x=server[:, 0],
        y=server[:, 1],
        mode="lines",
        line={"color": GREY, "width": 1.2},
        hoverinfo="skip",
    )
    count = clients.shape[1]
    figure.add_scatter(
        x=points[-1, :, 0],
        y=points[-1, :, 1],
        mode="markers",
        marker={
            "symbol": ["circle"] * count + ["diamond"],
            "color": [CLIENT] * count + [SERVER],
            "size": [*_sizes(rows), MAX_SIZE],
            "opacity": 0.85,
            "line": {"width": 0.7, "color": LIGHT["paper"]},
        },
        hovertext=[f"client {i}, {n} rows" for i, n in enumerate(rows)] + ["server"],
        hoverinfo="text",
    )
    tracks = (
        Track("x", points[..., 0], f"x: {x_label}"),
        Track("y", points[..., 1], f"y: {y_label}"),
    )
    return Moving(
        figure, (1,), tracks, {"client (the last is the server)": np.arange(count + 1)}
    )


def losses(
    of_clients: ArrayLike, rows: ArrayLike, *, x_label: str, y_label: str
) -> Moving:
    """Draw the losses of the model of the server on the rows of clients, (frame, client).

    Example:
        >>> losses([[1.0, 2.0], [0.5, 0.6]], [3, 5], x_label="client", y_label="loss").tracks[0].attribute
        'y'
    """
    values, rows = np.asarray(of_clients), np.asarray(rows)
    place = np.arange(values.shape[1])
    figure = canvas(
        HEIGHT,
        x=axis(x_label, range=span(place)),
        y=axis(range=[0.0, span(values)[1]]),
        above=y_label,
    )
    figure.add_scatter(
        x=place,
        y=values[-1],
        mode="markers",
        marker={
            "color": CLIENT,
            "size": _sizes(rows),
            "line": {"width": 0.7, "color": LIGHT["paper"]},
        },
        hovertext=[f"client {i}, {n} rows" for i, n in enumerate(rows)],
        hovertemplate="%{hovertext}: %{y:.3g}<extra></extra>",
    )
    return Moving(figure, (0,), (Track("y", values, y_label),), {"client": place})


def _sizes(rows: np.ndarray) -> list[float]:
    """Return sizes whose areas are proportional to the rows."""
    return np.maximum(MIN_SIZE, MAX_SIZE * np.sqrt(rows / rows.max())).tolist()
