"""The gallery of the documentation: a card and a page for each script of examples/, from its docstring and picture.

`python -m tools.gallery` writes docs/gallery.md and docs/gallery/. With `--run NAME ...` it first runs these scripts,
or all of them without a name, and keeps their pictures and what they print in docs/images/gallery/.
"""

import argparse
import io
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import NamedTuple

from PIL import Image

ROOT = Path(__file__).parents[1]
EXAMPLES, DOCS = ROOT / "examples", ROOT / "docs"
PICTURES = DOCS / "images" / "gallery"
LARGEST = 80_000
"""Bytes of a picture."""
COLOURS = (256, 128, 64, 48, 32)
"""Colours of a picture's palette, fewer where it would be too large."""
LONGEST = 92
"""Characters of a line of what a script prints."""
CARDS = 2
"""In a row."""

GROUPS = {
    "You have a table": (
        "certified_network",
        "which_columns",
        "skewed_incomes",
        "rare_cases",
        "temperature",
        "few_neurons",
        "robust_regression",
        "digit_neurons",
    ),
    "You have curves or molecules": ("shapes", "molecules"),
    "You have a posterior": (
        "posterior",
        "sunspot_periods",
        "network_weights",
    ),
    "Your model may be wrong, or too large": (
        "doctor_counts",
        "county_rates",
        "singular_model",
        "transformer",
    ),
    "The unknown is a function": ("heat_equation", "darcy", "inpainting", "nile"),
    "You search for a minimum": ("palette", "nist_curve", "argon"),
    "Rows stay where they are": ("countries", "federated_digits"),
}
"""Scripts by what their reader has, in the order of the page."""
NOT_SHOWN = ("doctor_visits", "feature_learning")
"""Scripts without a card: their full run takes minutes, and the claims below have the second one's figure."""

PREAMBLE = """# Gallery

Each picture comes from one short script of `examples/`, most of them on real data that scikit-learn, statsmodels or
plotly ship. A click shows the script and what it prints; run it by `python examples/NAME.py`, or with `--quick` for a
first impression. Other methods are grey, also where one of them is ahead. Claims of the papers,
measured beside predicted, are at [the end](#theory).
"""


class Example(NamedTuple):
    """A script, as its card and its page show it."""

    name: str
    title: str
    sentence: str
    text: str
    """The docstring after its first paragraph."""
    code: str
    """The script after its docstring."""

    @classmethod
    def read(cls, name: str) -> "Example":
        """Split a script's docstring, whose first paragraph is `Title: a sentence.`"""
        code = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
        _, docstring, code = code.split('"""', 2)
        first, _, text = docstring.strip().partition("\n\n")
        title, colon, sentence = " ".join(first.split()).partition(": ")
        if not colon:
            raise ValueError(
                f"the first paragraph of examples/{name}.py must be 'Title: a sentence.'"
            )
        return cls(name, title, sentence[0].upper() + sentence[1:], text, code)

    @property
    def card(self) -> str:
        """A cell of the gallery's tables."""
        file = next(
            path.name
            for path in (card_of(self.name), PICTURES / f"{self.name}.png")
            if path.exists()
        )
        image = f"[![{self.title}](images/gallery/{file})](gallery/{self.name}.md)"
        return (
            f"{image}<br>**[{self.title}](gallery/{self.name}.md)**<br>{self.sentence}"
        )

    @property
    def page(self) -> str:
        """Picture, what the script prints, and its code."""
        file = PICTURES / f"{self.name}.txt"
        printed = file.read_text(encoding="utf-8") if file.exists() else ""
        parts = [
            f"# {self.title}",
            self.sentence,
            f"![{self.title}](../images/gallery/{self.name}.png)",
            self.text,
            f"The output:\n\n```text\n{wrapped(printed.strip())}\n```"
            if printed.strip()
            else "",
            f"```python\n{self.code.strip()}\n```",
            "[All examples](../gallery.md)",
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def wrapped(text: str) -> str:
    """Return lines of at most `LONGEST` characters; what continues a line is indented."""
    return "\n".join(
        textwrap.fill(line, LONGEST, subsequent_indent="    ")
        for line in text.splitlines()
    )


def claims() -> list[str]:
    """Return a card for each claim of docs/atlas.md that has a picture."""
    lines = (DOCS / "atlas.md").read_text(encoding="utf-8").splitlines()
    cards, heading = [], ""
    for line in lines:
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("![") and "](images/atlas/" in line:
            sentence, _, address = (
                line.removeprefix("![").removesuffix(")").partition("](")
            )
            place = f"atlas.md#{heading.lower().replace(' ', '-')}"
            sentence = sentence.removeprefix(f"{heading}: ")
            cards.append(
                f"[![{heading}]({address})]({place})<br>**[{heading}]({place})**<br>{sentence}"
            )
    return cards


def table(cards: list[str]) -> str:
    """Return a Markdown table of cards."""
    rows = [cards[first : first + CARDS] for first in range(0, len(cards), CARDS)]
    cells = [[*row, *[""] * (CARDS - len(row))] for row in rows]
    lines = [[""] * CARDS, ["---"] * CARDS, *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def pages() -> dict[Path, str]:
    """Return the text of every page, by its path."""
    examples = {name: Example.read(name) for names in GROUPS.values() for name in names}
    sections = [
        f"## {group}\n\n{table([examples[name].card for name in names])}"
        for group, names in GROUPS.items()
    ]
    sections.append(f"## Theory\n\n{table(claims())}")
    gallery = {DOCS / "gallery.md": "\n\n".join([PREAMBLE.strip(), *sections]) + "\n"}
    return gallery | {
        DOCS / "gallery" / f"{name}.md": example.page
        for name, example in examples.items()
    }


def card_of(name: str) -> Path:
    """Return the path of the panel that the card of an example shows, which a picture of one panel does not have."""
    return PICTURES / f"{name}-card.png"


def shrink(image: Image.Image, file: Path) -> None:
    """Save a picture as a PNG with a palette, of as many colours as `LARGEST` allows; rare colours of lines stay."""
    for colours in COLOURS:
        buffer = io.BytesIO()
        image.convert("RGB").quantize(colours, Image.Quantize.MAXCOVERAGE).save(
            buffer, "PNG", optimize=True
        )
        if buffer.tell() <= LARGEST:
            file.write_bytes(buffer.getvalue())
            return
    raise ValueError(
        f"{file.name} has more than {LARGEST:,} bytes in {COLOURS[-1]} colours; draw a smaller figure."
    )


def run(name: str, quick: bool = False) -> None:
    """Run a script, in its quick form where asked, and store its picture and what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            str(EXAMPLES / f"{name}.py"),
            "--out",
            folder,
            *["--quick"] * quick,
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"examples/{name}.py failed:\n{done.stderr}")
        store(name, Path(folder), ("With --quick:\n\n" if quick else "") + done.stdout)


def store(name: str, folder: Path, printed: str) -> None:
    """Store the picture of a script, the only PNG file in `folder`, and what it printed."""
    (picture,) = folder.glob("*.png")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with Image.open(picture) as image:
        shrink(image, PICTURES / f"{name}.png")
        card_of(name).unlink(missing_ok=True)
        if panel := image.info.get("panel"):
            left, top, right, bottom = (int(edge) for edge in panel.split())
            shrink(
                image.crop(
                    (left, top, min(right, image.width), min(bottom, image.height))
                ),
                card_of(name),
            )
    lines = [line for line in printed.splitlines() if not line.startswith("figure: ")]
    (PICTURES / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Run scripts where asked, and write the pages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--run",
        nargs="*",
        metavar="NAME",
        help="scripts to run first; all without a name",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="run them in their quick form, as their pages then say",
    )
    options = parser.parse_args()
    names = (
        []
        if options.run is None
        else options.run or [name for group in GROUPS.values() for name in group]
    )
    for name in names:
        print(f"examples/{name}.py", flush=True)
        run(name, options.quick)
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
