"""What stands on a pair of printed axes, in the axes' own coordinates: fills, images, lines, points, words.

All is read off the artists after they have been laid out: a picture on a page shows the numbers that were drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.colors import to_hex, to_rgba

PIXELS = 4 / 3  # a point
DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}


@dataclass
class Mark:
    """A series: a line, points, or both, with error bars, or an outline that is filled."""

    x: np.ndarray
    y: np.ndarray
    name: str = ""
    colour: str = ""
    """Of line and points; None of a fill."""
    line: float = 0.0
    """Its width in points; 0 where there is none."""
    dash: str = "solid"
    marker: str = ""
    """Matplotlib's letter."""
    size: Any = 6.0
    hollow: bool = False
    fill: str = ""
    x_error: np.ndarray | None = None
    """(2, points): below and above."""
    y_error: np.ndarray | None = None
    colours: list[str] = field(default_factory=list)
    """Of each point, where they differ."""


@dataclass
class Picture:
    """Numbers on a grid, as colours."""

    values: np.ndarray
    x: np.ndarray
    y: np.ndarray
    colours: list[str]
    ends: tuple[float, float]


@dataclass
class Words:
    """Words at a place, as shares of the axes' sides."""

    text: str
    x: float
    y: float
    shift: tuple[float, float]
    """Pixels to the right and up."""
    anchors: tuple[str, str]
    colour: str


def coloured(colour: Any, alpha: float | None = None) -> str:
    """#RRGGBB, with an opacity where it is not opaque; empty where there is no colour.

    Example:
        >>> coloured("red"), coloured((0.0, 0.0, 1.0, 0.5)), coloured("none")
        ('#FF0000', '#0000FF80', '')
    """
    red, green, blue, opacity = to_rgba(colour, alpha)
    if opacity == 0:
        return ""
    return to_hex((red, green, blue, opacity), keep_alpha=opacity < 1).upper()


def fills(axes: Any) -> Iterator[Mark]:
    """Bands, spans and bars."""
    from matplotlib.collections import PolyCollection

    for artist in axes.collections:
        if isinstance(artist, PolyCollection) and artist.get_visible():
            outlines = [np.asarray(path.vertices) for path in artist.get_paths()]
            face = artist.get_facecolor()
            yield _outlined(axes, artist, outlines, coloured(face[0]) if len(face) else "")
    groups = [each.patches for each in axes.containers if getattr(each, "patches", ())]
    named = {id(patch): _name(group[0]) for group in groups for patch in group}
    bars: dict[tuple[str, str], list[np.ndarray]] = {}
    for patch in axes.patches:
        if patch.get_visible():
            key = coloured(patch.get_facecolor()), named.get(id(patch), _name(patch))
            bars.setdefault(key, []).append(_data(axes, patch.get_transform(), patch.get_path().to_polygons()[0]))
    for (face, name), corners in bars.items():
        yield Mark(*_chained(corners).T, name=name, fill=face)


def images(axes: Any) -> Iterator[Picture]:
    """Maps."""
    for image in axes.images:
        values = np.asarray(image.get_array(), float)
        left, right, bottom, top = image.get_extent()
        x = left + (np.arange(values.shape[1]) + 0.5) * (right - left) / values.shape[1]
        y = bottom + (np.arange(values.shape[0]) + 0.5) * (top - bottom) / values.shape[0]
        if image.origin == "upper":
            y = y[::-1]
        shades = [coloured(image.cmap(share)) for share in np.linspace(0, 1, 11)]
        yield Picture(values, x, y, shades, image.get_clim())


def lines(axes: Any) -> Iterator[Mark]:
    """Lines, points, and points with error bars."""
    from matplotlib.collections import LineCollection, PathCollection
    from matplotlib.container import ErrorbarContainer
    from matplotlib.contour import ContourSet

    barred = [each for each in axes.containers if isinstance(each, ErrorbarContainer)]
    parts = {id(part) for each in barred for part in (each.lines[0], *each.lines[1], *each.lines[2])}
    for artist in axes.collections:
        if id(artist) in parts or not artist.get_visible():
            continue
        edges = artist.get_edgecolor()
        edge = coloured(edges[0]) if len(edges) else ""
        if isinstance(artist, ContourSet):
            pieces = [part for path in artist.get_paths() for part in path.to_polygons(closed_only=False)]
            yield Mark(*_chained(pieces).T, name=_name(artist), colour=edge, line=1.0)
        elif isinstance(artist, LineCollection):
            yield Mark(*_chained(artist.get_segments()).T, name=_name(artist), colour=edge, line=1.0)
        elif isinstance(artist, PathCollection):
            faces = [coloured(face) for face in artist.get_facecolor()]
            place = np.ma.getdata(artist.get_offsets())
            many = faces if len(faces) == len(place) else []
            size = float(np.sqrt(np.mean(artist.get_sizes())))
            yield Mark(*place.T, name=_name(artist), colour=faces[0] if faces else edge, colours=many, marker="o",
                       size=size)  # fmt: skip
    for line in axes.lines:
        if id(line) not in parts and line.get_visible() and len(line.get_xdata()):
            yield _of_line(axes, line)
    for each in barred:
        yield _of_bars(axes, each)


def words(axes: Any) -> Iterator[Words]:
    """Annotations and other words."""
    from matplotlib.text import Annotation

    for text in axes.texts:
        if not text.get_visible() or not text.get_text():
            continue
        anchors = {"left": "left", "right": "right"}.get(text.get_ha(), "center"), _vertical(text.get_va())
        shift = (0.0, 0.0)
        if not isinstance(text, Annotation):
            place = text.get_transform().transform(text.get_position())
        elif text.anncoords == "offset points":
            place = _place(axes, text.xy, text.xycoords)
            shift = text.xyann[0] * PIXELS, text.xyann[1] * PIXELS
        else:
            place = _place(axes, text.xyann, text.anncoords)
        x, y = axes.transAxes.inverted().transform(place)
        if np.isfinite((x, y)).all():
            yield Words(text.get_text(), float(x), float(y), shift, anchors, coloured(text.get_color()))


def _of_line(axes: Any, line: Any) -> Mark:
    x, y = _data(axes, line.get_transform(), line.get_xydata()).T
    marker = line.get_marker() if line.get_marker() not in (None, "None", "", " ") else ""
    drawn = line.get_linestyle() not in ("None", "", " ")
    face = line.get_markerfacecolor()
    every = line.get_markevery()
    mark = Mark(x, y, _name(line), coloured(line.get_color(), line.get_alpha()), marker=str(marker))
    mark.line = float(line.get_linewidth()) if drawn else 0.0
    mark.dash = DASHES.get(line.get_linestyle(), "solid")
    mark.size = float(line.get_markersize())
    mark.hollow = bool(marker) and (coloured(face) == "" or coloured(face) == "#FFFFFF")
    if drawn and marker and every is not None:
        shown = np.zeros(len(x), bool)
        if isinstance(every, int):
            every = slice(0, None, every)
        elif isinstance(every, tuple):
            every = slice(every[0], None, every[1])
        shown[every] = True
        mark.size = [mark.size if each else 0.0 for each in shown]
    return mark


def _of_bars(axes: Any, container: Any) -> Mark:
    line, _, bars = container.lines
    ends = [_ends(bar) for bar in bars]
    mark = Mark(*ends[0].mean(axis=1).T, colour=coloured(bars[0].get_edgecolor()[0]))
    if line is not None:
        mark = _of_line(axes, line)
    mark.name = _name(container)
    for i, each in enumerate(ends):
        along = 0 if container.has_xerr and i == 0 else 1
        value = (mark.x, mark.y)[along]
        error = np.abs(each[:, :, along].T - value)
        mark.x_error, mark.y_error = (error, mark.y_error) if along == 0 else (mark.x_error, error)
    return mark


def _ends(bars: Any) -> np.ndarray:
    """(bars, 2, 2): from and to; not a number where a bar is not drawn."""
    none = np.full((2, 2), np.nan)
    return np.array([part if len(part) == 2 else none for part in bars.get_segments()], float).reshape(-1, 2, 2)


def _outlined(axes: Any, artist: Any, outlines: list[np.ndarray], face: str) -> Mark:
    corners = [_data(axes, artist.get_transform(), outline) for outline in outlines]
    return Mark(*_chained(corners).T, name=_name(artist), fill=face)


def _data(axes: Any, transform: Any, points: Any) -> np.ndarray:
    """(points, 2) in the axes' coordinates, whatever they were given in."""
    return axes.transData.inverted().transform(transform.transform(np.asarray(points, float)))


def _chained(pieces: Any) -> np.ndarray:
    """Pieces with a gap between them."""
    gap = np.full((1, 2), np.nan)
    pieces = [np.asarray(piece, float) for piece in pieces if len(piece)]
    return np.concatenate([part for piece in pieces for part in (piece, gap)][:-1]) if pieces else np.empty((0, 2))


def _place(axes: Any, place: Any, units: Any) -> np.ndarray:
    """On the canvas, from what annotations are placed in."""
    known = {"data": axes.transData, "axes fraction": axes.transAxes}
    along = units if isinstance(units, tuple) else (units, units)
    return np.array([known.get(each, each).transform(place)[i] for i, each in enumerate(along)])


def _vertical(name: str) -> str:
    return {"top": "top", "bottom": "bottom", "baseline": "bottom"}.get(name, "middle")


def _name(artist: Any) -> str:
    label = str(artist.get_label() or "")
    return "" if label.startswith("_") or label == "None" else label
