"""The section of a study: what it claims, what became of it, the numbers, the pictures, and how to make it again."""

import base64
from collections.abc import Mapping
from typing import Any

from langevax.figures.twin import Twin
from langevax.report.atlas.claims import claims_table, first_sentence
from langevax.report.atlas.contents import Found, Told
from langevax.report.atlas.formula import formula
from langevax.report.atlas.html import Html, Panel, csv_link, element, escaped, folded, join, picture, player, table
from langevax.report.atlas.marks import worded
from langevax.report.numbers import number


def study(told: Told, other: str = "") -> Html:
    """`other` says in what its measurement differs from those of the other studies."""
    part, back = element("span", told.part, class_="tag"), element("a", "Back to the map", href="#map")
    head = join(
        element("p", part, back, class_="eyebrow"),
        element("h2", told.name, " ", worded(told.verdict), id=f"{told.name}-title"),
    )
    outcome = first_sentence(told.found) if told.found else f"Not measured: {told.reason}"
    doubt = element("p", f"Measured otherwise than most of this page: {other}.", class_="doubt") if other else ""
    claim = element("p", told.claim, class_="claim")
    source = element("p", told.source, class_="source")
    sentence = element("p", told.found.sentence, class_="sentence") if told.found and told.found.sentence else ""
    return element(
        "section",
        head,
        element("p", outcome, class_=f"outcome {told.verdict}"),
        doubt,
        element("div", element("div", claim, formula(told.formula), source), sentence, class_="told"),
        *(_found(told, told.found) if told.found else ()),
        element("h3", "To measure it again" if told.found else "To measure it"),
        command(told.command),
        *(_folded(told.found) if told.found else ()),
        id=told.name,
        class_=f"study {told.part}",
        aria_labelledby=f"{told.name}-title",
        data_late=True,
    )


def command(words: str) -> Html:
    """What to type, and a button that copies it."""
    code, button = element("pre", element("code", words)), element("button", "Copy", type="button", class_="copy")
    return element("div", code, button, class_="command")


def _found(told: Told, found: Found) -> list[Html]:
    blocks = []
    if found.claims:
        blocks += [element("h3", "Predicted and measured"), claims_table(found.claims, f"Claims of {told.name}")]
    blocks += [element("h3", "What to see"), _pictures(told, found)]
    if found.scene is not None:
        blocks += [element("h3", "In motion"), player(found.scene)]
    return blocks


def _pictures(told: Told, found: Found) -> Html:
    places = found.places or ("",) * len(found.pictures)
    shown = [_panel(f"{told.name}-{i + 1}", *each) for i, each in enumerate(zip(found.pictures, places, strict=True))]
    if not shown:
        data = base64.b64encode(found.printed).decode()
        words = f"The figure of {told.name}. {told.see}"
        shown = [element("img", src=f"data:image/svg+xml;base64,{data}", alt=words)] if found.printed else []
    remark = element("p", found.remark, class_="doubt") if found.remark else ""
    caption = element("figcaption", element("p", told.see), remark)
    kind = "several" if len(found.pictures) > 1 else "alone" if found.pictures else "printed"
    return element("figure", caption, element("div", *shown, class_=f"panels {kind}"))


def _panel(name: str, twin: Twin, place: str) -> Html:
    place = place[:1].upper() + place[1:]
    title = join(element("span", place, class_="place") if place else "", twin.title)
    link = csv_link(name, twin.columns)
    return element(
        "div",
        element("p", title, class_="title") if title else "",
        picture(Panel(twin.figure, f"{place}: {twin.words}" if place else twin.words)),
        element("p", link, class_="download"),
        class_="panel",
    )


def _folded(found: Found) -> list[Html]:
    took = {"seconds": found.seconds} if found.seconds is not None else {}
    ended = {"measured at": found.ended} if found.ended else {}
    run = {**found.config, **found.settings, **took, **ended}
    parts = [
        folded(f"All {len(found.numbers)} numbers", _listed(found.numbers)) if found.numbers else "",
        folded("What it was measured with", _listed(run), _listed(found.versions)),
    ]
    return [element("div", join(*parts), class_="details")]


def _listed(values: Mapping[str, Any]) -> Html:
    return table(["", ""], [(name.replace("_", " "), _value(value)) for name, value in values.items()])


def _value(value: Any) -> Html:
    if isinstance(value, bool):
        return escaped("yes" if value else "no")
    if value is None:
        return escaped("none")
    if isinstance(value, int):
        return escaped(f"{value:,}")
    return escaped(number(value, 6)) if isinstance(value, float) else escaped(value)
