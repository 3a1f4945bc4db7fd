"""Pages: sections of text, tables and figures, rendered by Jinja2 to one HTML file that opens offline.

The template escapes every value; what is marked as safe there is made here of JSON, of numbers or of the package's own
files. A content security policy names the scripts of the page by their hashes and forbids every request, so that even
markup that was not escaped could not run or load anything.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal

import plotly.graph_objects as go
import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from langevax.app.tables.files import csv_text
from langevax.figures.theme import FONTS, IN_THE_DARK, css_variables

MOST_LISTED = 60  # columns in a table
MOST_DRAWN = 20  # columns in a figure
NUMERIC = re.compile("[-+−]?[0-9][0-9.,e−-]*( ± [0-9.,e−-]+)?( %)?|not known|–|")
"""A number, which may have an error."""


@dataclass(frozen=True)
class Text:
    """A paragraph; the first sentence of a doubt is set apart."""

    text: str
    kind: Literal["plain", "note", "doubt", "heading", "code"] = "plain"


@dataclass(frozen=True)
class Table:
    """A table of words; a cell with notes below it is a tuple (cell, note, ...)."""

    kind: ClassVar[str] = "table"
    label: str
    """For readers who cannot see it."""
    heads: tuple[str, ...]
    """Empty of a listing of names and values."""
    rows: Sequence[tuple[Any, ...]]
    bold: int = -1
    """The row whose first cell stands out."""

    @cached_property
    def numbers(self) -> set[int]:
        """Columns of numbers, which are aligned at the right."""
        columns = enumerate(zip(*self.rows, strict=True)) if self.heads else ()
        return {
            i for i, cells in columns if all(map(NUMERIC.fullmatch, map(str, cells)))
        }


@dataclass(frozen=True)
class Picture:
    """A plotly figure and its description for readers who cannot see it."""

    figure: go.Figure
    words: str
    square: bool = False

    @property
    def json(self) -> Markup:
        """The figure without a height: it fills its place."""
        return embedded_json(
            str(go.Figure(self.figure).update_layout(height=None).to_json())
        )


@dataclass(frozen=True)
class Figure:
    """Pictures side by side, with a caption and their data to download."""

    kind: ClassVar[str] = "figure"
    pictures: Sequence[Picture]
    caption: str
    name: str
    """Of the file of data."""
    columns: Mapping[str, Iterable[Any]]


def drawn(
    picture: go.Figure,
    words: str,
    text: str,
    name: str,
    columns: Mapping[str, Iterable[Any]],
    square: bool = False,
) -> Figure:
    """Return a figure of one picture, described by `words`, with a caption and a download `name` of its columns."""
    return Figure([Picture(picture, words, square)], text, name, columns)


def columns_of(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return the columns of rows by their heads."""
    return {head: [row[i] for row in rows] for i, head in enumerate(heads)}


@dataclass(frozen=True)
class Section:
    """A heading and what is below it."""

    heading: str
    parts: Sequence[Text | Table | Figure]


def write_page(file: Path, **context: Any) -> None:
    """Render the template of `langevax.app.report`, and write the page to a file.

    `context` has `title`, `answer` and `top` (what is above the sections), `sections`, and `details`, the folded
    sections.
    """
    scripts = [_asset("plot.js"), _asset("page.js")]
    digests = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in scripts
    ]
    style = f":root{{color-scheme:light dark;--fonts:{FONTS};{css_variables()}}}"
    style += f"@media screen and (prefers-color-scheme:dark){{:root{{{css_variables(dark=True)}}}}}"
    environment = Environment(
        loader=PackageLoader("langevax.app.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "json": lambda data: embedded_json(json.dumps(data, separators=(",", ":"))),
        "csv": csv_url,
        "unbroken": unbroken,
    }
    page = environment.get_template("page.html.jinja").render(
        hashes=" ".join(f"'sha256-{digest}'" for digest in digests),
        style=Markup(style + _asset("page.css")),
        colours_in_the_dark=IN_THE_DARK,
        scripts=[Markup(script) for script in scripts],
        **context,
    )
    Path(file).write_text(page, encoding="utf-8", newline="\n")


def unbroken(text: str) -> str:
    """Return text in which no line ends between a number and its error or percent sign.

    Example:
        >>> unbroken("92.4 ± 1.7 % of pairs").split(" ")[1:]
        ['of', 'pairs']
    """
    return text.replace(" ± ", "\u00a0±\u00a0").replace(" %", "\u00a0%")


def embedded_json(text: str) -> Markup:
    """Return JSON that cannot end the script element that contains it."""
    return Markup(
        text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    )


def csv_url(columns: Mapping[str, Iterable[Any]]) -> str:
    """Return a table as CSV in a URL."""
    frame = pl.DataFrame(
        {name: list(cells) for name, cells in columns.items()}, strict=False
    )
    return f"data:text/csv;charset=utf-8;base64,{_base64(csv_text(frame).encode())}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _asset(name: str) -> str:
    folder = files("langevax.app.report").joinpath("assets")
    return folder.joinpath(name).read_text(encoding="utf-8")
