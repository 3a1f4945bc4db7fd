"""The skeleton of a page: sections, figures, tables and folded details, in one HTML file that needs nothing else.

What comes from data is escaped here and nowhere else: functions that take `str` escape it, and `Html` is
what has been escaped. A content security policy names the scripts of the page by their hashes and forbids
every request, so that a slip here could still not run or load anything.
"""

import base64
import csv
import hashlib
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from langevax.figures.moving import Scene
from langevax.figures.theme import FONTS, IN_THE_DARK, css_variables
from langevax.report.numbers import whole
from langevax.report.page import packed

BESIDE_A_CAPTION = 680  # pixels that a figure has where its caption stands in the margin


class Html(str):
    """Markup, safe to put on the page as it is."""

    __slots__ = ()


@dataclass(frozen=True)
class Panel:
    """One picture and what it says to those who do not see it."""

    figure: go.Figure
    words: str
    square: bool = False
    least_width: int = 0
    """Pixels below which the picture scrolls sideways and does not shrink."""


def escaped(value: object) -> Html:
    """Any value as text.

    Example:
        >>> escaped("<b>"), escaped(Html("<b>"))
        ('&lt;b&gt;', '<b>')
    """
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def element(tag: str, *children: object, **attributes: object) -> Html:
    """An element; attributes that are True stand alone, None and False are left out, `_` in a name becomes `-`.

    Example:
        >>> element("p", "a < b", class_="note", hidden=True)
        '<p class="note" hidden>a &lt; b</p>'
    """
    words = [tag]
    for name, value in attributes.items():
        name = name.rstrip("_").replace("_", "-")
        if value is not None and value is not False:
            words.append(name if value is True else f'{name}="{html.escape(str(value))}"')
    return Html(f"<{' '.join(words)}>{''.join(map(escaped, children))}</{tag}>")


def join(*parts: object) -> Html:
    """Parts in a row, each escaped unless it is `Html`."""
    return Html("".join(map(escaped, parts)))


def section(heading: str, *blocks: object) -> Html:
    return element("section", element("h2", heading), *blocks)


def folded(summary: str, *blocks: object) -> Html:
    return element("details", element("summary", summary), *blocks)


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    numeric: Sequence[int] = (),
    noted: bool = False,
    label: str = "",
) -> Html:
    """A table; columns in `numeric` stand at the right. On a narrow page a last column of notes goes below its row."""

    def cells(tag: str, row: Sequence[object], **attributes: object) -> list[Html]:
        classes = ["number" if column in numeric else None for column in range(len(row))]
        return [element(tag, cell, class_=kind, **attributes) for cell, kind in zip(row, classes, strict=True)]

    header = element("thead", element("tr", *cells("th", head, scope="col"))) if any(head) else ""
    body = element("tbody", *(element("tr", *cells("td", row)) for row in rows))
    return element(
        "div", element("table", header, body, aria_label=label or None), class_="table noted" if noted else "table"
    )


def figure(panels: Sequence[Panel], *captions: Html, below: object = "", **attributes: object) -> Html:
    """Pictures side by side, or below one another on a narrow page, with one `caption` or one each."""
    kind = "several" if len(panels) > 1 else "broad" if panels[0].least_width > BESIDE_A_CAPTION else "single"
    pictures = element("div", *map(picture, panels), class_="pictures")
    words = element("figcaption", *captions)
    return element("figure", element("div", pictures, below), words, class_=kind, **attributes)


def caption(words: object, link: Html | None = None) -> Html:
    """What to see, and where its data is."""
    return element("div", element("p", words), element("p", link, class_="download") if link else "")


def csv_link(name: str, columns: Mapping[str, Iterable[Any]], words: str = "Download the data") -> Html:
    """A link that holds a table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    data = base64.b64encode(text.getvalue().encode()).decode()
    return element("a", words, href=f"data:text/csv;charset=utf-8;base64,{data}", download=f"{name}.csv")


def embedded(data: Any, kind: str) -> Html:
    """Data for the page's script, which finds it by `kind`."""
    return Html(
        f'<script type="application/json" class="{kind}">{_json(json.dumps(data, separators=(",", ":")))}</script>'
    )


def write_page(file: Path, title: str, *blocks: object, before: object = "", style: str = "") -> None:
    """Write the page; `blocks` are what stands in <main>, `before` stands before it, `style` is CSS of its own."""
    styles = (
        f":root{{color-scheme:light dark;--fonts:{FONTS};{css_variables()}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{css_variables(dark=True)}}}}}"
        + asset("page.css")
        + style
    )
    scripts = [get_plotlyjs(), asset("page.js")]
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    policy = f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        '<link rel="icon" href="data:,">\n',
        element("title", title),
        f"\n<style>{styles}</style>\n</head>\n<body>\n",
        escaped(before),
        element("main", *blocks, id="main"),
        "\n<noscript><p>The figures are drawn by JavaScript, which is off.</p></noscript>\n",
        embedded(IN_THE_DARK, "in-the-dark"),
        *(f"\n<script>{script}</script>" for script in scripts),
        "\n</body>\n</html>\n",
    ]
    file.write_text("".join(parts), encoding="utf-8", newline="\n")


def picture(panel: Panel) -> Html:
    """A place of the figure's height, and the figure without a height: it fills the place."""
    drawn = go.Figure(panel.figure)
    height = drawn.layout["height"]
    drawn.update_layout(height=None)
    size = f"aspect-ratio:1;max-width:{height}px" if panel.square else f"height:{height}px"
    place = element(
        "div", class_="plot", role="img", aria_label=panel.words, style=f"{size};min-width:{panel.least_width}px"
    )
    data = Html(f'<script type="application/json" class="figure">{_json(str(drawn.to_json()))}</script>')
    return element("div", place, data, class_="picture", tabindex=0 if panel.least_width else None)


def asset(name: str) -> str:
    """A file that pages are made of."""
    return files("langevax.report").joinpath("assets", name).read_text(encoding="utf-8")


def _json(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


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


def _controls(scene: Scene, last: int) -> Html:
    word, *_ = scene.unit.split()
    button = element("button", "Play", type="button", class_="play", disabled=last == 0)
    slider = element("input", type="range", min=0, max=last, step=1, value=last, disabled=last == 0)
    words = element("output", f"{word} {whole(scene.steps[-1])}", aria_live="off")
    label = element("label", element("span", scene.unit.capitalize(), class_="unseen"), slider)
    still = element("p", "Nothing moves by itself, as your system asks; the slider still does.", class_="still")
    return join(element("div", button, label, words, class_="player"), still)
