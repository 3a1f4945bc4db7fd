"""A new loss, likelihood or plan is one small class and one line: the examples of docs/extending.md run."""

import re
from pathlib import Path

import jax
import pytest

pytestmark = pytest.mark.mostly_compiling

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
INTRODUCTION, *SECTIONS = PAGE.read_text(encoding="utf-8").split("\n## ")
BY_TITLE = {section.partition("\n")[0]: section for section in SECTIONS}
QUICK = [title for title in ("A loss", "A likelihood", "A plan") if title in BY_TITLE]


def code_of(text):
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))


@pytest.mark.parametrize("title", QUICK)
def test_the_example_of_a_section_runs_by_itself(title):
    code = code_of(INTRODUCTION) + code_of(BY_TITLE[title])
    with jax.numpy_dtype_promotion("standard"):
        exec(compile(code, title, "exec"), {})
