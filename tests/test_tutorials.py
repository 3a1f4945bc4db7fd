"""The tutorials run, print what their pages say, and end in a picture; their notebooks hold the same."""

import json
import re
import warnings

import matplotlib.pyplot as plt
import pytest
from PIL import Image

from tests.printed import run_blocks
from tools import tutorials
from tools.tutorials import (
    BLOCK,
    DOWNLOAD,
    FOLDER,
    PICTURE,
    PICTURES,
    cells,
    notebook,
    pages,
)

NAMES = ["bayes", "federated", "networks", "solver", "tables", "theory"]


def text_of(name):
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def test_there_is_one_tutorial_for_each_kind_of_user():
    assert [page.stem for page in pages()] == NAMES
    guides = (FOLDER.parent / "guides.md").read_text(encoding="utf-8")
    assert {f"tutorials/{name}.md" for name in NAMES} <= set(
        re.findall(r"\((tutorials/[^)]*)\)", guides)
    )
    assert {path.stem for path in PICTURES.iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_says_for_whom_it_is_and_ends_in_its_picture(name):
    text = text_of(name)
    assert text.splitlines()[2].startswith("For ")
    assert text.count(DOWNLOAD) == 1
    assert [match[1] for match in PICTURE.finditer(text)] == [name]
    last = list(BLOCK.finditer(text))[-1]
    assert PICTURE.match(text[last.end() :].lstrip("\n"))
    with Image.open(PICTURES / f"{name}.png") as image:
        assert image.width >= 800
    assert (PICTURES / f"{name}.png").stat().st_size < 100_000


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_prints_what_its_page_says(name, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of what pages draw little from, and of what others deprecate
        run_blocks(text_of(name), f"{name}.md", capsys)
    figure = plt.gcf()
    assert all(
        axes.has_data() and axes.get_xlabel() + axes.get_ylabel()
        for axes in figure.axes
    )
    plt.close("all")


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_has_the_code_the_outputs_and_the_picture_of_its_page(name):
    content = json.loads(notebook(FOLDER / f"{name}.md"))
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    blocks = list(BLOCK.finditer(text_of(name)))
    assert [cell["source"] for cell in code] == [block[1].strip() for block in blocks]
    streams = [
        [each["text"] for each in cell["outputs"] if "text" in each] for cell in code
    ]
    assert streams == [[block[2]] if block[2] else [] for block in blocks]
    assert [each["output_type"] for each in code[-1]["outputs"]][-1] == "display_data"
    prose = "\n".join(
        cell["source"] for cell in content["cells"] if cell["cell_type"] == "markdown"
    )
    assert ".md)" not in prose
    assert DOWNLOAD not in prose
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)


def test_a_page_is_rewritten_with_what_its_blocks_print():
    page = "a\n\n```python\nx = 2\nprint(x, ' ')\n```\n\n```text\n1\n```\n\nb\n\n```python\ny = x\n```\n"
    assert tutorials.execute(page) == page.replace("1\n```", "2\n```")
    assert [cell["cell_type"] for cell in cells(page)] == [
        "markdown",
        "code",
        "markdown",
        "code",
    ]


def test_the_notebooks_are_written_side_by_side(tmp_path):
    tutorials.write_notebooks(tmp_path / "new")
    assert sorted(path.stem for path in (tmp_path / "new").glob("*.ipynb")) == NAMES
