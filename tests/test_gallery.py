"""The gallery shows every script of examples/ with a picture, and its pages are those of the scripts."""

import re

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.sentences import refuses
from tools import gallery

NAMES = [name for names in gallery.GROUPS.values() for name in names]
WRITERS = {"curves", "tables"}
"""Scripts that write CSV and draw nothing."""


def test_each_script_is_in_one_group():
    scripts = {
        path.stem
        for path in gallery.EXAMPLES.glob("*.py")
        if not path.stem.startswith("_")
    }
    assert sorted(NAMES) == sorted(scripts - WRITERS - {*gallery.NOT_SHOWN})
    assert len(NAMES) >= 24


def test_the_pages_are_those_of_the_scripts():
    pages = gallery.pages()
    stale = {
        path.name
        for path, text in pages.items()
        if path.read_text(encoding="utf-8") != text
    }
    assert stale == set(), "run python -m tools.gallery"
    assert set((gallery.DOCS / "gallery").glob("*.md")) == pages.keys() - {
        gallery.DOCS / "gallery.md"
    }


@pytest.mark.parametrize("name", NAMES)
def test_each_script_has_its_picture(name):
    files = [gallery.PICTURES / f"{name}.png", gallery.card_of(name)]
    for file in (file for file in files if file.exists()):
        assert file.stat().st_size <= gallery.LARGEST
        with Image.open(file) as image:
            assert 320 <= image.width <= 2200
    assert files[0].exists(), f"run python -m tools.gallery --run {name}"


def test_no_picture_is_left_over():
    stems = {path.stem.removesuffix("-card") for path in gallery.PICTURES.iterdir()}
    assert stems == set(NAMES)


def test_links_of_the_gallery_lead_somewhere():
    text = (gallery.DOCS / "gallery.md").read_text(encoding="utf-8")
    addresses = {
        address.partition("#")[0] for address in re.findall(r"\]\(([^)]+)\)", text)
    }
    assert {
        address
        for address in addresses
        if address and not (gallery.DOCS / address).exists()
    } == set()


def test_a_docstring_without_a_title_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "EXAMPLES", tmp_path)
    (tmp_path / "untitled.py").write_text('"""A sentence alone."""\n')
    with refuses(ValueError, "examples/untitled.py"):
        gallery.Example.read("untitled")


@pytest.mark.slow
def test_a_picture_is_stored_with_its_card_and_what_is_printed(tmp_path, monkeypatch):
    """The panel whose edges stand in the file becomes the card; a picture too rich in detail is refused."""
    monkeypatch.setattr(gallery, "PICTURES", tmp_path / "pictures")
    image, words = Image.linear_gradient("L").resize((800, 400)), PngInfo()
    words.add_text("panel", "0 0 400 400")
    (tmp_path / "out").mkdir()
    image.save(tmp_path / "out" / "shown.png", pnginfo=words)
    gallery.store("example", tmp_path / "out", "R2 0.5\nfigure: out/shown.png\n")
    with Image.open(gallery.card_of("example")) as card:
        assert card.size == (400, 400)
    assert (tmp_path / "pictures" / "example.txt").read_text() == "R2 0.5\n"
    with refuses(ValueError):
        gallery.shrink(Image.effect_noise((1500, 1500), 90), tmp_path / "noise.png")
