"""The code in the documentation's pages runs, and the numbers in its tables are those of the code."""

import re
from pathlib import Path

import jax
import pytest

from langevax.theory.moments import batch_variance_factor

pytestmark = [
    pytest.mark.long,
    pytest.mark.mostly_compiling,
    pytest.mark.filterwarnings(
        "ignore::langevax.sampling.SamplingWarning"
    ),  # pages draw little
    pytest.mark.filterwarnings("ignore::langevax.predictive_law.PredictiveWarning"),
]

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(
    "page",
    [
        "accelerators.md",
        "architecture.md",
        "conventions.md",
        "curves_and_graphs.md",
        "feature_learning.md",
        "extending.md",
        "federated.md",
        "functions.md",
        "learning_coefficients.md",
        "optimisation.md",
        "papers.md",
        "predictive.md",
        "sampling.md",
        "sharp_bits.md",
        "scale_out.md",
        "three_models.md",
        "two_phase.md",
        "which_tool.md",
    ],
)
def test_the_code_of_a_page_runs(page):
    blocks = re.findall(
        r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL
    )
    assert blocks
    with jax.numpy_dtype_promotion("standard"):
        exec(compile("\n".join(blocks), page, "exec"), {})


def test_the_variance_factors_are_those_of_the_theory():
    text = (DOCS / "conventions.md").read_text(encoding="utf-8")
    distinct, independent = (
        batch_variance_factor(1000, 100, replace=replace) for replace in (False, True)
    )
    assert f"components, {distinct:.5f} for" in text.replace("\n", " ")
    assert independent == pytest.approx(1 / 100)


GUIDES = [
    "accelerators",
    "cluster",
    "conventions",
    "curves_and_graphs",
    "extending",
    "feature_learning",
    "features",
    "federated",
    "flower",
    "from_excel",
    "functions",
    "how_do_i",
    "intervals",
    "learning_coefficients",
    "optimisation",
    "papers",
    "peers",
    "predictive",
    "sampling",
    "scale_out",
    "sharp_bits",
    "solvers",
    "start",
    "two_phase",
    "which_tool",
]


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_says_first_for_whom_it_is(guide):
    assert (
        (DOCS / f"{guide}.md")
        .read_text(encoding="utf-8")
        .splitlines()[2]
        .startswith("For ")
    )
