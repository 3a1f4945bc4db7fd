"""The page of each algorithm: its code runs and asserts something, its files exist, and the index leads to it."""

import ast
import functools
import re
from pathlib import Path
from typing import Any

import jax
import pytest

pytestmark = [pytest.mark.long, pytest.mark.mostly_compiling]  # problems are tiny

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "algorithms"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
PAGES = sorted(path.name for path in DOCS.glob("*.md"))


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def blocks_of(page: str) -> list[str]:
    return BLOCK.findall(text_of(page))


@functools.cache
def names_after(block: str) -> dict[str, Any]:
    """Of a first block, run once: pages that begin alike have one problem, and so share compiled programs."""
    names: dict[str, Any] = {}
    exec(compile(block, "a page's first block", "exec"), names)
    return names


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page):
    first, *others = blocks_of(page)
    with jax.numpy_dtype_promotion("standard"):
        exec(compile("\n".join(others), page, "exec"), dict(names_after(first)))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_short_and_its_code_can_fail(page):
    """The setting is in the first block, the claims are in the others; how code is broken into lines does not count."""
    prose = BLOCK.sub("", text_of(page))
    assert 30 <= len(prose.splitlines()) <= 56
    trees = map(ast.parse, blocks_of(page))
    statements = [
        node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.stmt)
    ]
    assert len(statements) <= 17
    assert any(
        line.lstrip().startswith("assert ")
        for block in blocks_of(page)[1:]
        for line in block.splitlines()
    )


@pytest.mark.parametrize("page", PAGES)
def test_the_files_of_a_page_exist(page):
    named = re.search(r"^Files: (.*)", text_of(page), re.DOTALL | re.MULTILINE)
    assert named or page == "index.md"
    for file in re.findall(r"`([\w/]+\.py|[\w/]+/)`", named[1] if named else ""):
        assert any(
            (folder / file).exists() for folder in (ROOT / "src" / "langevax", ROOT)
        ), file


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#:]+\.md)", text_of(page)):
        assert (DOCS / link).resolve().exists(), link


def test_the_index_leads_to_every_page():
    linked = re.findall(r"\]\((\w+\.md)\)", text_of("index.md"))
    assert set(linked) == set(PAGES) - {"index.md"}
