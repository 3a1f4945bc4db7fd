"""Pictures that move together under one slider: frames packed small for the page's script to unpack."""

import base64
from typing import Any

import numpy as np

from langevax.figures.interactive import thinned
from langevax.figures.moving import Scene
from langevax.report.numbers import whole
from langevax.report.page import Html, Panel, caption, element, embedded, figure, join

MOST_FRAMES, MOST_PARTICLES = 100, 300
COARSE, FINE = 255, 65_534  # levels: of a shade, and of a coordinate (finer than 4 significant digits of its range)


def packed(values: np.ndarray) -> dict[str, Any]:
    """Numbers as base64: bytes as they are, others as levels between their ends, the level above which is no number.

    A stack of images takes one byte a pixel, everything else two a number.

    Example:
        >>> packed(np.array([0.0, 0.5, np.nan, 1.0]))["step"] * 65534
        1.0
    """
    values = np.asarray(values)
    if values.dtype == np.uint8:
        return {"type": "u1", "low": 0, "step": 1, "none": None, "shape": values.shape, "data": _base64(values)}
    levels, kind = (COARSE - 1, "u1") if values.ndim > 2 else (FINE, "u2")
    known = values[np.isfinite(values)].astype(float)
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    step = (high - low) / levels or 1.0
    codes = np.where(np.isfinite(values), np.round((np.nan_to_num(values.astype(float)) - low) / step), levels + 1)
    codes = codes.clip(0, levels + 1).astype(f"<{kind}")
    return {"type": kind, "low": low, "step": step, "none": levels + 1, "shape": values.shape, "data": _base64(codes)}


def player(scene: Scene) -> Html:
    """Moving pictures with play, pause and a slider; they stand at the last frame."""
    moved, steps = scene.pictures, scene.steps
    last = len(steps) - 1
    data = {
        "word": scene.unit.split()[0],
        "steps": [int(step) for step in steps],
        "pictures": [
            {
                "traces": each.picture.traces,
                "fixed": {label: [float(f"{v:.6g}") for v in column] for label, column in each.picture.fixed.items()},
                "tracks": [
                    {
                        "attribute": track.attribute,
                        "label": track.label,
                        "names": track.names,
                        "values": packed(track.values),
                    }
                    for track in each.picture.tracks
                ],
            }
            for each in moved
        ],
    }
    links = [element("a", f"Download the {each.name}", href="#", download=f"{each.name}.csv") for each in moved]
    return figure(
        [Panel(each.picture.figure, each.words) for each in moved],
        *(caption(each.caption, link) for each, link in zip(moved, links, strict=True)),
        below=join(_controls(scene, last), embedded(data, "frames")),
        data_frame=last,
        data_step=int(steps[-1]),
    )


def frames_of(steps: np.ndarray) -> np.ndarray:
    """The frames that are shown, of all that there are."""
    return thinned(len(steps), MOST_FRAMES)


def particles_of(cloud: np.ndarray) -> np.ndarray:
    """The particles that are drawn, of all that there are."""
    return thinned(cloud.shape[1], MOST_PARTICLES)


def _controls(scene: Scene, last: int) -> Html:
    word, *_ = scene.unit.split()
    button = element("button", "Play", type="button", class_="play", disabled=last == 0)
    slider = element("input", type="range", min=0, max=last, step=1, value=last, disabled=last == 0)
    words = element("output", f"{word} {whole(scene.steps[-1])}", aria_live="off")
    label = element("label", element("span", scene.unit.capitalize(), class_="unseen"), slider)
    still = element("p", "Nothing moves by itself, as your system asks; the slider still does.", class_="still")
    return join(element("div", button, label, words, class_="player"), still)


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
