"""The recipes of docs/how_do_i run and print what their pages say."""

import ast
import re
from pathlib import Path

import pytest

from tests.printed import BLOCK, run_blocks

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted((DOCS / "how_do_i").glob("*.md"))


def questions(page):
    return re.findall(r"^## (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)


def anchor(heading):
    """The address of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.long
@pytest.mark.filterwarnings(
    "ignore::langevax.sampling.SamplingWarning"
)  # pages draw little
@pytest.mark.filterwarnings("ignore::langevax.predictive_law.PredictiveWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_recipes_of_a_page_print_what_it_says(page, capsys):
    run_blocks(page.read_text(encoding="utf-8"), page.name, capsys)


def test_every_recipe_is_short_and_in_the_list_of_all():
    recipes = [(page, question) for page in PAGES for question in questions(page)]
    assert len(recipes) >= 40
    assert all(
        question.startswith("How do I ") and question.endswith("?")
        for _, question in recipes
    )
    assert (
        max(
            sum(isinstance(node, ast.stmt) for node in ast.walk(ast.parse(code)))
            for page in PAGES
            for code, _ in BLOCK.findall(page.read_text())
        )
        <= 10
    )
    listed = re.findall(
        r"^- \[(.*)\]\(how_do_i/(.*?)\.md#(.*)\)$",
        (DOCS / "how_do_i.md").read_text(),
        re.MULTILINE,
    )
    assert listed == [
        (question, page.stem, anchor(question))
        for page, question in sorted_by_list(recipes)
    ]


def sorted_by_list(recipes):
    """Recipes in the order in which the list has their pages."""
    order = re.findall(r"how_do_i/(\w+)\.md\)", (DOCS / "how_do_i.md").read_text())
    assert sorted(order) == [page.stem for page in PAGES]
    return sorted(recipes, key=lambda recipe: order.index(recipe[0].stem))
