"""Pages: Jinja2 templates rendered to one HTML file that opens offline.

Templates escape every value; what is marked as safe there is made here of JSON, of numbers or of the package's own
files. A content security policy names the scripts of the page by their hashes and forbids every request, so that even
markup that was not escaped could not run or load anything.
"""

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from langevax.app.report.numbers import fixed, whole
from langevax.figures.moving import Scene
from langevax.figures.theme import FONTS, IN_THE_DARK, css_variables

UNKNOWN_CODE = 65535  # of a number that is not finite
BESIDE_CAPTION = 680  # pixels that a figure has where its caption stands in the margin
OPTION = re.compile(r"--[a-z]+(?:-[a-z]+)*")


@dataclass(frozen=True)
class Picture:
    """A plotly figure and its description for readers who cannot see it."""

    figure: go.Figure
    words: str
    square: bool = False
    min_width: int = 0
    """Pixels below which the picture scrolls sideways instead of shrinking."""

    @property
    def style(self) -> str:
        """The size of its place on the page."""
        height = self.figure.layout["height"]
        size = (
            f"aspect-ratio:1;max-width:{height}px"
            if self.square
            else f"height:{height}px"
        )
        return f"{size};min-width:{self.min_width}px"

    @property
    def json(self) -> Markup:
        """The figure without a height: it fills its place."""
        return embedded_json(
            str(go.Figure(self.figure).update_layout(height=None).to_json())
        )


@dataclass(frozen=True)
class Caption:
    """Caption of a figure, and its data to download."""

    text: str
    name: str = ""
    columns: Mapping[str, Iterable[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """Pictures side by side, with one caption or one each."""

    pictures: Sequence[Picture]
    captions: Sequence[Caption]
    scene: Scene | None = None
    """Where the pictures move."""

    @property
    def kind(self) -> str:
        """Layout of the figure, a class of the style sheet."""
        if len(self.pictures) > 1:
            return "several"
        return "broad" if self.pictures[0].min_width > BESIDE_CAPTION else "single"


def moving_figure(scene: Scene) -> Figure:
    """Return moving pictures with play, pause and a slider, standing at the last frame."""
    pictures = [Picture(panel.picture.figure, panel.words) for panel in scene.pictures]
    return Figure(
        pictures,
        [Caption(panel.caption, panel.name) for panel in scene.pictures],
        scene,
    )


def write_page(file: Path, template: str, **context: Any) -> None:
    """Render a template of `langevax.app.report`, with `title` among its context, and write it to a file."""
    scripts = [_asset("plot.js"), _asset("page.js")]
    digests = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in scripts
    ]
    style = f":root{{color-scheme:light dark;--fonts:{FONTS};{css_variables()}}}"
    style += f"@media screen and (prefers-color-scheme:dark){{:root{{{css_variables(dark=True)}}}}}"
    page = (
        _environment()
        .get_template(template)
        .render(
            hashes=" ".join(f"'sha256-{digest}'" for digest in digests),
            style=Markup(style + _asset("page.css")),
            colours_in_the_dark=IN_THE_DARK,
            scripts=[Markup(script) for script in scripts],
            **context,
        )
    )
    Path(file).write_text(page, encoding="utf-8", newline="\n")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("langevax.app.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = {
        "json": lambda data: embedded_json(json.dumps(data, separators=(",", ":")))
    }
    environment.filters.update(
        filters,
        csv=csv_url,
        fixed=fixed,
        whole=whole,
        frames=frame_data,
        unbroken=unbroken,
    )
    return environment


def unbroken(text: str) -> Markup:
    """Return text in which no line ends between a number and its error or percent sign, or within an option.

    An option is wrapped, not changed: a reader may copy it.

    Example:
        >>> unbroken("92.4 ± 1.7 % of <pairs>").split(" ")
        [Markup('92.4\xa0±\xa01.7\xa0%'), Markup('of'), Markup('&lt;pairs&gt;')]
        >>> unbroken("with --num-steps 500")
        Markup('with <span class="option">--num-steps</span> 500')
    """
    escaped = str(escape(text)).replace(" ± ", "\u00a0±\u00a0").replace(" %", "\u00a0%")
    return Markup(OPTION.sub(r'<span class="option">\g<0></span>', escaped))


def embedded_json(text: str) -> Markup:
    """Return JSON that cannot end the script element that contains it."""
    return Markup(
        text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    )


def csv_url(columns: Mapping[str, Iterable[Any]]) -> str:
    """Return a table as CSV in a URL."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return (
        "data:text/csv;charset=utf-8;base64,"
        + base64.b64encode(text.getvalue().encode()).decode()
    )


def frame_data(scene: Scene) -> dict[str, Any]:
    """Return everything that moves in a scene, for the script of the page."""
    return {
        "word": scene.unit.split()[0],
        "steps": [int(step) for step in scene.steps],
        "pictures": [
            {
                "traces": panel.picture.traces,
                "fixed": {
                    name: [float(f"{v:.6g}") for v in column]
                    for name, column in panel.picture.fixed.items()
                },
                "tracks": [
                    {
                        "attribute": track.attribute,
                        "label": track.label,
                        "names": track.names,
                        "values": packed(np.asarray(track.values)),
                    }
                    for track in panel.picture.tracks
                ],
            }
            for panel in scene.pictures
        ],
    }


def packed(values: np.ndarray) -> dict[str, Any]:
    """Return an array as base64 of bytes, or of numbers in 65,535 steps between the least and the largest.

    Example:
        >>> packed(np.array([0.5, np.nan]))
        {'type': 'u2', 'shape': (2,), 'data': 'AAD//w==', 'low': 0.5, 'step': 0.0}
    """
    if values.dtype == np.uint8:
        return {
            "type": "u1",
            "shape": values.shape,
            "data": base64.b64encode(values.tobytes()).decode(),
        }
    known = np.isfinite(values)
    low, high = (
        (float(values[known].min()), float(values[known].max()))
        if known.any()
        else (0.0, 0.0)
    )
    step = (high - low) / (UNKNOWN_CODE - 1)
    codes = np.round((np.where(known, values, low) - low) / (step or 1.0))
    data = base64.b64encode(
        np.where(known, codes, UNKNOWN_CODE).astype("<u2").tobytes()
    ).decode()
    return {"type": "u2", "shape": values.shape, "data": data, "low": low, "step": step}


def _asset(name: str) -> str:
    return (
        files("langevax.app.report")
        .joinpath("assets", name)
        .read_text(encoding="utf-8")
    )
