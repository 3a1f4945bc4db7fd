"""Tutorials of docs/tutorials, run: `python -m tools.tutorials [NAME ...] [--notebooks FOLDER]`.

A tutorial is a page of Markdown. Its blocks of Python run in order; what each prints is written into the block of text
behind it, and the last figure is saved as docs/images/tutorials/NAME.png. With `--notebooks` nothing is run: the pages
are written as Jupyter notebooks with the outputs that they show, as the site offers them.
"""

import argparse
import base64
import contextlib
import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDER, PICTURES = ROOT / "docs" / "tutorials", ROOT / "docs" / "images" / "tutorials"
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)
PICTURE = re.compile(r"!\[[^\]]*\]\(\.\./images/tutorials/(\w+)\.png\)\n*")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\([^)]+\)")
DOWNLOAD = "<!-- notebook -->"
"""Where the site puts the link to the notebook."""
COLOURS = 128
"""Of a picture's palette."""

Cell = dict[str, Any]


def execute(text: str) -> str:
    """Run the blocks of a page in order, and return the page with what they print; the last figure stays open."""
    scope: dict[str, Any] = {}

    def rewritten(block: re.Match[str]) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(block[1], "tutorial", "exec"), scope)
        lines = "\n".join(
            line.rstrip() for line in printed.getvalue().rstrip().splitlines()
        )
        return f"```python\n{block[1]}```\n" + (
            f"\n```text\n{lines}\n```\n" if lines else ""
        )

    return BLOCK.sub(rewritten, text)


def run(page: Path) -> None:
    """Run a page, write its outputs into it, and save its picture."""
    import matplotlib.pyplot as plt
    from PIL import Image

    plt.switch_backend("agg")
    text = execute(page.read_text(encoding="utf-8"))
    PICTURES.mkdir(parents=True, exist_ok=True)
    file = PICTURES / f"{page.stem}.png"
    plt.gcf().savefig(file, dpi=120)
    plt.close("all")
    with Image.open(file) as image:
        image.convert("RGB").quantize(COLOURS).save(file, optimize=True)
    page.write_text(text, encoding="utf-8")


def cells(text: str) -> Iterator[Cell]:
    """Yield the cells of a page: its text without links, which lead nowhere outside the site, and its code."""
    place = 0
    for block in BLOCK.finditer(text):
        yield from _prose(text[place : block.start()])
        outputs = (
            [{"output_type": "stream", "name": "stdout", "text": block[2]}]
            if block[2]
            else []
        )
        place = block.end()
        if picture := PICTURE.match(text[place:].lstrip("\n")):
            data = base64.b64encode(
                (PICTURES / f"{picture[1]}.png").read_bytes()
            ).decode()
            outputs.append(
                {
                    "output_type": "display_data",
                    "data": {"image/png": data},
                    "metadata": {},
                }
            )
        yield {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {},
            "outputs": outputs,
            "source": block[1].strip(),
        }
    yield from _prose(text[place:])


def _prose(text: str) -> Iterator[Cell]:
    text = LINK.sub(r"\1", PICTURE.sub("", text)).replace(DOWNLOAD, "").strip()
    if text:
        yield {
            "cell_type": "markdown",
            "metadata": {},
            "source": re.sub(r"\n{3,}", "\n\n", text),
        }


def notebook(page: Path) -> str:
    """Return a page as a Jupyter notebook, in nbformat 4.5."""
    numbered = [
        {"id": f"cell-{number}", **cell}
        for number, cell in enumerate(cells(page.read_text(encoding="utf-8")))
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    content = {
        "cells": numbered,
        "metadata": metadata,
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def write_notebooks(folder: Path) -> None:
    """Write every page as a notebook into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages():
        (folder / f"{page.stem}.ipynb").write_text(notebook(page), encoding="utf-8")


def pages() -> list[Path]:
    """Return the pages of all tutorials."""
    return sorted(FOLDER.glob("*.md"))


def main() -> None:
    """Run the tutorials that are named, or all; or write the notebooks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="tutorials to run; all without a name"
    )
    parser.add_argument(
        "--notebooks",
        type=Path,
        metavar="FOLDER",
        help="write notebooks there, and run nothing",
    )
    options = parser.parse_args()
    if options.notebooks:
        write_notebooks(options.notebooks)
        return
    for page in pages():
        if not options.names or page.stem in options.names:
            start = time.process_time()
            run(page)
            print(
                f"{page.stem}: {time.process_time() - start:.0f} CPU seconds",
                flush=True,
            )


if __name__ == "__main__":
    main()
