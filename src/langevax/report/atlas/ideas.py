"""The map of the ideas: the one step as an equation, its four parts as lines, and each study a stop on its line.

On a wide page the lines run from the letters of the equation down to their columns; on a narrow one they follow
one another. Everything that can be read or followed is text and links; the drawing says nothing more.
"""

from collections.abc import Sequence
from itertools import pairwise

from langevax.figures.theme import IN_THE_DARK, OKABE_ITO
from langevax.report.atlas.claims import share
from langevax.report.atlas.contents import Part, Told
from langevax.report.atlas.html import Html, element, escaped, join
from langevax.report.atlas.marks import WORDS, mark

PARTS: dict[Part, str] = {
    "algorithm": "what happens between steps",
    "integrator": "the gains a, b and c",
    "gradient": "how the gradient is estimated",
    "problem": "whose gradient it is, F",
}
"""In the order of the equation, so that no two lines cross."""
COLOURS: dict[Part, str] = dict(zip(PARTS, (OKABE_ITO[0], OKABE_ITO[3], OKABE_ITO[2], OKABE_ITO[4]), strict=True))
WIDE, HIGH, BASELINE, LEFT = 1000, 184, 72, 92.5
"""Of the drawing, in thousandths of its width; LEFT is where the equation begins."""
RAIL, COLUMN = 9.0, 257.5
"""Where the first line goes down, and how far it is to the next."""
GAP, WIDE_GAP = 10.0, 18.5
ABOVE, BELOW = BASELINE - 30, BASELINE + 13
"""Where lines leave the words."""
SPOKEN = (
    "position becomes a times position, minus b times the gradient of F, plus c times the square root of temperature "
    "times noise"
)
STEP: tuple[tuple[str, Part | None, float, float], ...] = (
    ("position", None, 0, 100),
    ("←", "algorithm", WIDE_GAP, 29),
    ("a", "integrator", WIDE_GAP, 16),
    ("position", None, GAP, 100),
    ("−", None, WIDE_GAP, 17),
    ("b", "integrator", WIDE_GAP, 18),
    ("gradient", "gradient", GAP, 115),
    ("of", None, GAP, 25),
    ("F", "problem", GAP, 18),
    ("+", None, WIDE_GAP, 17),
    ("c", "integrator", WIDE_GAP, 16),
    ("√temperature", None, GAP, 172),
    ("noise", None, GAP, 69),
)
"""Words, their parts, the space before them and their widths, so that "a" and "gradient" stand above their columns."""


def ideas(studies: Sequence[Told]) -> Html:
    """The map."""
    columns = [_column(part, [told for told in studies if told.part == part]) for part in PARTS]
    return element(
        "section",
        element("h2", "The map: one step, four parts", id="map-title"),
        element(
            "p",
            "Every method here repeats one step, and methods differ in four exchangeable parts of it. Each study holds "
            "a claim about one part against a measurement.",
        ),
        element("div", _drawing(), element("div", *columns, class_="lines"), class_="chart"),
        id="map",
        class_="map",
        aria_labelledby="map-title",
    )


def colours() -> str:
    """Each part's colour, in the light and in the dark, as CSS."""
    light = "".join(f"--{part}:{colour};" for part, colour in COLOURS.items())
    dark = "".join(f"--{part}:{IN_THE_DARK[colour]};" for part, colour in COLOURS.items())
    own = "".join(f".{part}{{--line:var(--{part})}}" for part in PARTS)
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{own}"


def in_order(studies: Sequence[Told]) -> list[Told]:
    """As the map has them."""
    return [told for part in PARTS for told in studies if told.part == part]


def _column(part: Part, studies: list[Told]) -> Html:
    head = element("h3", element("span", part.capitalize(), class_="name"), " ", element("small", PARTS[part]))
    stops = element("ol", *map(_stop, studies)) if studies else element("p", "No study.", class_="none")
    return element("div", head, stops, class_=f"line {part}")


def _stop(told: Told) -> Html:
    words = WORDS[told.verdict]
    if told.found is not None and told.found.claims:
        words = f"{words}: {share(told.found.claims, told.verdict != 'fails')}"
    return element(
        "li",
        element(
            "a",
            mark(told.verdict),
            element("b", told.name),
            " ",
            element("span", told.brief, class_="brief"),
            " ",
            element("span", words, class_=f"word {told.verdict}"),
            href=f"#{told.name}",
        ),
    )


def _drawing() -> Html:
    """The equation twice: drawn, and as text for narrow pages and for those who hear it."""
    words = [
        element("span", word, class_=part and f"term {part}", **({"data_part": part} if part else {}))
        for word, part, *_ in STEP
    ]
    text = element("p", *(join(word, " ") for word in words), class_="step", role="math", aria_label=SPOKEN)
    return join(text, _lines())


def _lines() -> Html:
    """Words at fixed places, whatever the font, and a line from each coloured one to its column."""
    x = LEFT
    texts, paths, gains = [], [], []
    for word, part, gap, width in STEP:
        x += gap
        middle = x + width / 2
        texts.append(
            f'<text x="{x:g}" y="{BASELINE}" textLength="{width:g}" lengthAdjust="spacingAndGlyphs"'
            f"{f' class={chr(34)}term{chr(34)}' if part else ''}>{escaped(word)}</text>"
        )
        if part == "integrator":
            gains.append(middle)
        elif part:
            paths.append(_path(part, middle))
        x += width
    paths.append(_path("integrator", gains[0]))
    for before, after in pairwise(gains):  # beads on one line, above the words
        rise = 16 + (after - before) / 10
        paths.append(
            f'<path class="integrator" d="M{before:g} {ABOVE}C{before:g} {ABOVE - rise:g} {after:g} '
            f'{ABOVE - rise:g} {after:g} {ABOVE}"/>'
        )
    drawing = Html("".join(paths) + "".join(texts))
    return element("svg", drawing, viewBox=f"0 0 {WIDE} {HIGH}", class_="drawing", aria_hidden="true")


def _path(part: Part, start: float) -> str:
    end, top = RAIL + COLUMN * list(PARTS).index(part), BELOW
    return f'<path class="{part}" d="M{start:g} {top}C{start:g} {top + 62} {end:g} {top + 34} {end:g} {HIGH}"/>'
