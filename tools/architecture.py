"""The picture of the architecture, docs/images/architecture.svg: `python -m tools.architecture` writes it.

A solid arrow A -> B: A imports B. Arrows that follow from two others are left out, and those to the foundations, which
every box but Theory may import. `tests/test_architecture.py` compares boxes and arrows with the imports of the code.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import networkx

from langevax.figures.theme import DARK, FONTS, IN_THE_DARK, LIGHT, METHODS, OKABE_ITO
from tools.packages import ROOT, SOURCE

PICTURE = ROOT / "docs" / "images" / "architecture.svg"

WIDTH, HEIGHT = 1040, 826
COLUMN, STRIDE = 172, 198
LEFT = tuple(38 + STRIDE * number for number in range(5))
"""Left edges of the five columns; arrows run between and beside them."""
TOP = {
    "commands": 28,
    "interfaces": 152,
    "methods": 296,
    "loop": 440,
    "step": 580,
    "ground": 734,
}


class Box(NamedTuple):
    """A box: its packages, place, and the lines of text in it; `kind` is its colour."""

    packages: tuple[str, ...]
    column: int
    row: str
    lines: tuple[str, ...]
    columns: int = 1
    height: int = 92
    kind: str = "plain"


FOUNDATIONS = "Foundations"
BOXES = {
    "Command line, reports": Box(
        ("app",),
        3,
        "commands",
        ("fit, predict, convert; an offline page",),
        2,
        72,
    ),
    "predictive": Box(
        ("predictive_law",), 2, "commands", ("laws that predict best",), 1, 72
    ),
    "minimize": Box(
        ("optimize",), 0, "interfaces", ("global minima, with", "SciPy's result")
    ),
    "sample": Box(
        ("sampling",), 1, "interfaces", ("draws of a posterior", "or of a function")
    ),
    "Estimators": Box(
        ("sklearn",), 2, "interfaces", ("fit, predict, certify,", "plot")
    ),
    "Flower": Box(
        ("flower",), 3, "interfaces", ("federated rounds", "between machines")
    ),
    "Other libraries": Box(
        ("optax",),
        4,
        "interfaces",
        ("transformations", "for optax"),
    ),
    "Theory": Box(
        ("theory",),
        0,
        "methods",
        ("rates, laws, bounds", "in closed form"),
        kind="theory",
    ),
    "Spaces": Box(
        ("spaces",), 1, "methods", ("bases and Gaussian", "priors of functions")
    ),
    "Networks": Box(
        ("meanfield", "teacher_student"), 2, "methods", ("with the certificate",)
    ),
    "Federated": Box(
        ("federated",), 3, "methods", ("rounds as messages,", "replies and updates")
    ),
    "Loop": Box(
        ("run",),
        0,
        "loop",
        ("chains, records, checkpoints, resume, divergence, devices",),
        3,
        kind="core",
    ),
    "Algorithm": Box(
        ("algorithm", "samplers"),
        3,
        "loop",
        ("init and step: Langevin, underdamped,", "MALA, pCN, reflected, ..."),
        2,
        kind="core",
    ),
    "Problem": Box(
        ("problems", "losses", "likelihoods", "neurons", "numpyro", "pymc"),
        2,
        "step",
        ("a mean plus a quadratic;", "NumPyro, PyMC models"),
        height=124,
        kind="core",
    ),
    "Gradient estimator": Box(
        ("gradients",),
        3,
        "step",
        ("full, minibatch, SVRG,", "SARAH, SLEDGE, ..."),
        kind="core",
    ),
    "Integrator": Box(
        ("integrators",), 4, "step", ("the gains a, b and c", "of a step"), kind="core"
    ),
    FOUNDATIONS: Box(
        (
            "trees",
            "log_weights",
            "checks",
            "renamed",
            "imports",
            "keys",
            "platforms",
            "locks",
            "storage",
            "figures",
        ),
        0,
        "ground",
        ("every box but Theory may import them",),
        4,
        72,
    ),
    "Tables on disk": Box(("data",), 4, "ground", ("CSV, Parquet, row files",), 1, 72),
}
OUTSIDE = Box(
    ("papers", "tests", "examples", "benchmarks"),
    0,
    "commands",
    ("import everything; nothing imports them",),
    2,
    72,
    "outside",
)
RESULT = Box(
    (),
    0,
    "step",
    (
        "positions, trace, counts; the outcome as a sentence;",
        "a start for the next run, or a DataTree",
    ),
    2,
    kind="core",
)

ARROWS: dict[tuple[str, str], tuple[tuple[int, int], ...]] = {
    ("Command line, reports", "Estimators"): (
        (660, 100),
        (660, 138),
        (570, 138),
        (570, 152),
    ),
    ("Command line, reports", "Flower"): ((718, 100), (718, 152)),
    ("Command line, reports", "Tables on disk"): (
        (1002, 64),
        (1021, 64),
        (1021, 770),
        (1002, 770),
    ),
    ("Estimators", "predictive"): ((520, 152), (520, 100)),
    ("predictive", "sample"): ((460, 100), (460, 126), (322, 126), (322, 152)),
    ("minimize", "Loop"): ((38, 198), (19, 198), (19, 486), (38, 486)),
    ("sample", "Spaces"): ((296, 244), (296, 296)),
    ("sample", "Loop"): ((236, 198), (223, 198), (223, 440)),
    ("predictive", "Networks"): (
        (434, 64),
        (421, 64),
        (421, 270),
        (520, 270),
        (520, 296),
    ),
    ("Flower", "Federated"): ((718, 244), (718, 296)),
    ("Flower", "Loop"): ((632, 198), (619, 198), (619, 414), (572, 414), (572, 440)),
    ("Other libraries", "Algorithm"): ((852, 244), (852, 440)),
    ("Networks", "Loop"): ((520, 388), (520, 440)),
    ("Federated", "Algorithm"): ((718, 388), (718, 440)),
    ("Loop", "Algorithm"): ((606, 486), (632, 486)),
    ("Algorithm", "Gradient estimator"): ((718, 532), (718, 580)),
    ("Algorithm", "Integrator"): ((916, 532), (916, 580)),
    ("Gradient estimator", "Problem"): ((632, 626), (606, 626)),
}
RETURNS = ((223, 532), (223, 580))
CALL = "result = simulate(algorithm, problem, start, key=key, num_steps=n)"
FORMULA = "one step: position ← a · position − b · gradient + c · √temperature · noise"

LEGEND = ("A → B: A imports B.", "Left out: what follows", "from other arrows.")

GREEN, BLUE = METHODS["MFLD"][0], OKABE_ITO[0]


def files() -> dict[str, Path]:
    """Return the files of the library by the names that imports give them."""
    named = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        named[".".join(part for part in parts if part != "__init__")] = path
    return named


def circles() -> list[set[str]]:
    """Return the sets of files that import each other, also through imports inside functions, the largest first."""
    named = files()
    arrows = networkx.DiGraph()
    for name, path in named.items():
        imported = set(_imported(ast.parse(path.read_text(encoding="utf-8")), named))
        arrows.add_edges_from((name, other) for other in imported - {name})
    groups = list(networkx.strongly_connected_components(arrows))
    return sorted((group for group in groups if len(group) > 1), key=len, reverse=True)


def _imported(tree: ast.AST, named: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            paths = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (path if path in named else f"{node.module}" for path in paths)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def colours(dark: bool) -> str:
    """Return the rules of CSS that colour the classes of the picture."""
    theme = DARK if dark else LIGHT
    green, blue = (IN_THE_DARK[colour] if dark else colour for colour in (GREEN, BLUE))
    rules = [
        f".paper {{ fill: {theme['paper']} }}",
        f".title, .call {{ fill: {theme['ink']} }}",
        f".path, .line, .head {{ fill: {theme['soft']} }}",
        f".arrow {{ stroke: {theme['soft']} }}",
        f".plain, .outside {{ fill: {theme['paper']}; stroke: {theme['grey']} }}",
        f".core {{ fill: {green}; stroke: {green} }}",
        f".theory {{ fill: {blue}; stroke: {blue} }}",
    ]
    return "\n".join(rules)


def write(kind: str, x: int, y: int, *lines: str, height: int = 17) -> list[str]:
    """Return lines of text below each other."""
    return [
        f'<text class="{kind}" x="{x}" y="{y + height * number}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]


def draw_box(title: str, box: Box) -> list[str]:
    """Return a box: its title, its packages in a fixed font, and its lines."""
    left, top = LEFT[box.column], TOP[box.row]
    width = COLUMN + STRIDE * (box.columns - 1)
    joined = ", ".join(box.packages)
    paths = box.packages if 8 * len(joined) > width else (joined,) * bool(joined)
    return [
        f'<rect class="{box.kind}" x="{left}" y="{top}" width="{width}" height="{box.height}" rx="8"/>',
        *write("title", left + 12, top + 25, title),
        *write("path", left + 12, top + 43, *paths),
        *write("line", left + 12, top + 44 + 17 * len(paths), *box.lines),
    ]


def draw_arrow(
    points: tuple[tuple[int, int], ...], dotted: bool = False, radius: int = 8
) -> str:
    """Return an arrow along horizontal and vertical lines, with rounded corners."""
    steps = [f"M{points[0][0]} {points[0][1]}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        into, out = (
            tuple(
                c + radius * ((p > c) - (p < c))
                for p, c in zip(side, corner, strict=True)
            )
            for side in (before, after)
        )
        steps.append(f"L{into[0]} {into[1]} Q{corner[0]} {corner[1]} {out[0]} {out[1]}")
    steps.append(f"L{points[-1][0]} {points[-1][1]}")
    dashes = ' stroke-dasharray="2 4"' * dotted
    return (
        f'<path class="arrow" d="{" ".join(steps)}"{dashes} marker-end="url(#head)"/>'
    )


def svg() -> str:
    """Return the picture."""
    boxes = BOXES | {"Papers, tests, examples": OUTSIDE, "Result": RESULT}
    fixed_font = "font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        "<style>",
        f"text {{ font-family: {FONTS}; font-size: 13.5px }}",
        ".title { font-size: 15.5px; font-weight: 600 }",
        f".path {{ {fixed_font}; font-size: 12.5px }}",
        f".call {{ {fixed_font}; font-size: 13px }}",
        ".core, .theory { fill-opacity: 0.12 }",
        ".outside { stroke-dasharray: 5 4 }",
        ".arrow { fill: none; stroke-width: 1.4 }",
        colours(dark=False),
        f"@media (prefers-color-scheme: dark) {{\n{colours(dark=True)}\n}}",
        "</style>",
        '<marker id="head" markerWidth="9" markerHeight="9" refX="7.5" refY="4.5" orient="auto" '
        'markerUnits="userSpaceOnUse"><path class="head" d="M0 1 L8 4.5 L0 8 Z"/></marker>',
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="10"/>',
        *(draw_arrow(points) for points in ARROWS.values()),
        draw_arrow(RETURNS, dotted=True),
        *(line for title, box in boxes.items() for line in draw_box(title, box)),
        *write("call", LEFT[0] + 12, TOP["loop"] + 80, CALL),
        *write("line", RETURNS[0][0] + 10, RETURNS[0][1] + 27, "returns"),
        *write("line", 868, 324, *LEGEND),
        *write("call", LEFT[0] + 12, 710, FORMULA),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8")
