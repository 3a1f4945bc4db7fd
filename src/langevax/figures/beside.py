"""One more point in a moving picture of points: a rival on a path of its own."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from langevax.figures.moving import Moving

SMALLER = 0.55  # so that the last one is seen behind it


def beside(moving: Moving, place: ArrayLike, *, name: str, colour: str, symbol: str = "diamond") -> Moving:
    """`moving` with a point at (frame, 2) more, smaller than the last one and in front of it, and its path, dotted.

    The picture has one moving trace of points whose colour, symbol, size and words are given one by one.

    Example:
        >>> from langevax.figures.federation import disagreement
        >>> two = disagreement([[0.0, 0.0]], [[[1.0, 0.0]]], [3], x_label="a", y_label="b")
        >>> three = beside(two, [[2.0, 2.0]], name="rival", colour="#009E73")
        >>> three.tracks[0].values.tolist(), three.figure.data[1].marker.color[-1]
        ([[1.0, 0.0, 2.0]], '#009E73')
    """
    place, (trace,) = np.asarray(place, float), moving.traces
    points: Any = moving.figure.data[trace]
    points.marker.color = [*points.marker.color, colour]
    points.marker.symbol = [*points.marker.symbol, symbol]
    points.marker.size = [*points.marker.size, SMALLER * points.marker.size[-1]]
    points.hovertext = [*points.hovertext, name]
    tracks = []
    for track in moving.tracks:
        index = {"x": 0, "y": 1}[track.attribute]
        tracks.append(replace(track, values=np.concatenate([track.values, place[:, index, None]], axis=1)))
        points[track.attribute] = tracks[-1].values[-1]
    moving.figure.add_scatter(
        x=place[:, 0], y=place[:, 1], mode="lines", hoverinfo="skip",
        line={"color": colour, "width": 1.2, "dash": "dot"},
    )  # fmt: skip
    fixed = {about: np.append(column, len(column)) for about, column in moving.fixed.items()}
    return replace(moving, tracks=tuple(tracks), fixed=fixed)
