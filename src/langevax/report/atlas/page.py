"""The page: what became of all claims in one sentence, the map, and a section for each study."""

from datetime import datetime
from pathlib import Path

from langevax.report.atlas.agreement import differences, told, usual
from langevax.report.atlas.claims import counted
from langevax.report.atlas.contents import Atlas, Told
from langevax.report.atlas.html import Html, asset, element, join, write_page
from langevax.report.atlas.ideas import PARTS, colours, ideas, in_order
from langevax.report.atlas.marks import WORDS, mark, symbols
from langevax.report.atlas.study import command, study

TITLE = "the atlas of studies"


def write_atlas(atlas: Atlas, file: Path) -> None:
    """Write the atlas as one HTML file that opens offline."""
    other = {name: told(each) for name, each in differences(atlas.found).items()}
    studies = in_order(atlas.studies)
    write_page(
        Path(file),
        f"langevax: {TITLE}",
        _answer(atlas),
        ideas(studies),
        *(study(each, other.get(each.name, "")) for each in studies),
        element("section", element("h2", "To make this page again"), command(atlas.command)),
        before=join(symbols(), element("a", "Skip to the map", href="#map", class_="skip"), _contents(studies)),
        style=colours() + asset("atlas.css"),
    )


def answer(atlas: Atlas) -> str:
    """The numbers that matter.

    Example:
        >>> answer(Atlas((), "", ""))
        'No study is measured.'
    """
    claims = [claim for found in atlas.found.values() for claim in found.claims]
    number = len(atlas.found)
    if not number:
        return "No study is measured."
    of = "" if number == len(atlas.studies) else f" of {len(atlas.studies)}"
    studies = f"{number}{of} {'study' if len(atlas.studies) == 1 else 'studies'}"
    return f"{studies}{' measured' if of else ''}, {counted(claims)}."


def doubts(atlas: Atlas) -> dict[str, str]:
    """What a reader must know before the rest: which "fails", which is "missing", which was measured "otherwise"."""
    said = {}
    for verdict, words in (("fails", "Claims fail in"), ("missing", "Not measured:")):
        names = [each.name for each in in_order(atlas.studies) if each.verdict == verdict]
        if names:
            said[verdict] = f"{words} {', '.join(names)}."
    other = [f"{name} ({told(each)})" for name, each in differences(atlas.found).items()]
    return said | ({"otherwise": f"This page is made of several runs: {'; '.join(other)}."} if other else {})


def duration(seconds: float) -> str:
    """Seconds as one would say them.

    Example:
        >>> duration(7.4), duration(460), duration(7320)
        ('7 s', '7 min 40 s', '2 h 2 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _answer(atlas: Atlas) -> Html:
    return element(
        "header",
        element("h1", element("b", "langevax"), f": {TITLE}"),
        element("p", answer(atlas), class_="answer"),
        element("p", *_made(atlas), class_="made"),
        *(element("p", words, class_="doubt", role="note") for words in doubts(atlas).values()),
    )


def _made(atlas: Atlas) -> list[object]:
    """By which command, in what time, when, with which seed and versions."""
    found, common = list(atlas.found.values()), usual(atlas.found)
    if not found:
        return []
    seconds = [each.seconds for each in found if each.seconds is not None]
    took = f" in {duration(sum(seconds))}" if len(seconds) == len(found) else ""
    moments = sorted(each.ended for each in found if each.ended)
    days = dict.fromkeys(_day(moment) for moment in (moments[0], moments[-1])) if moments else ()
    when = f" on {' to '.join(days)}" if days else ""
    run = [f"{name} {common[name]}" for name in ("size", "seed") if name in common]
    made = [f"{name} {common[name]}" for name in ("langevax", "jax", "numpy", "python") if name in common]
    return [f"Measured{took} by ", element("code", atlas.run), f"{when}. ", _sentence([*run, *made])]


def _sentence(facts: list[str]) -> str:
    words = ", ".join(facts)
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def _day(moment: str) -> str:
    day = datetime.fromisoformat(moment)
    return f"{day.day} {day:%B %Y}"


def _contents(studies: list[Told]) -> Html:
    """The table of contents, which stays in sight where the window is wide enough."""
    parts = []
    for part in PARTS:
        own = [each for each in studies if each.part == part]
        links = [
            element("li", element("a", mark(each.verdict), each.name, _heard(each), href=f"#{each.name}"))
            for each in own
        ]
        if links:
            parts.append(join(element("p", part), element("ol", *links)))
    return element("nav", element("a", "The map", href="#map"), *parts, class_="contents", aria_label="Contents")


def _heard(each: Told) -> Html:
    return element("span", f", {WORDS[each.verdict]}", class_="unseen")
