"""A verdict as a symbol and a word, so that it needs no colour."""

from langevax.report.atlas.contents import Verdict
from langevax.report.atlas.html import Html, element, join

WORDS: dict[Verdict, str] = {"holds": "holds", "fails": "fails", "shown": "shown", "missing": "not measured"}

_DISC = '<circle cx="8" cy="8" r="7.75" fill="currentColor"/>'
_RING = '<circle cx="8" cy="8" r="6.75" fill="var(--paper)" stroke="currentColor" stroke-width="2.25"{}/>'
_LINE = '<path d="{}" fill="none" stroke="{}" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/>'
_DRAWN: dict[Verdict, str] = {
    "holds": _DISC + _LINE.format("M4.6 8.3 7 10.7 11.4 5.6", "var(--paper)"),
    "fails": _RING.format("") + _LINE.format("M5.4 5.4 10.6 10.6 M10.6 5.4 5.4 10.6", "currentColor"),
    "shown": _RING.format("") + '<circle cx="8" cy="8" r="2.75" fill="currentColor"/>',
    "missing": _RING.format(' stroke-dasharray="2.4 2.31"') + _LINE.format("M5.4 8 10.6 8", "currentColor"),
}  # fmt: skip


def symbols() -> Html:
    """The symbols, once on a page."""
    drawn = [Html(f'<symbol id="mark-{name}" viewBox="0 0 16 16">{lines}</symbol>') for name, lines in _DRAWN.items()]
    return element("svg", *drawn, width=0, height=0, aria_hidden="true", class_="unseen")


def mark(verdict: Verdict) -> Html:
    """The symbol alone, where the word stands by."""
    return element("svg", element("use", href=f"#mark-{verdict}"), class_=f"mark {verdict}", aria_hidden="true")


def worded(verdict: Verdict) -> Html:
    """The symbol with its word."""
    return element("span", join(mark(verdict), " ", WORDS[verdict]), class_=f"verdict {verdict}")
