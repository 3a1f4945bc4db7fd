"""The README's lines of Python run as they stand, and print what the README says they print."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from tests.printed import BLOCK, assert_prints, run_blocks
from tests.sentences import tells

README = Path(__file__).parents[1] / "README.md"


def block_with(words):
    """Return the block of code that contains `words`, with what it prints, as Markdown."""
    (block,) = (
        match[0]
        for match in BLOCK.finditer(README.read_text(encoding="utf-8"))
        if words in match[1]
    )
    return block


def test_the_readme_is_short_and_runs_all_it_shows():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert all(promised for _, promised in BLOCK.findall(text))
    assert len(BLOCK.findall(text)) == 3


@pytest.mark.slow
def test_the_estimator_of_the_readme(capsys):
    code, promised = BLOCK.match(block_with("MeanFieldRegressor")).groups()
    exec(code, {})
    printed = capsys.readouterr().out
    (score, verdict), (promised_score, promised_verdict) = (
        text.strip().split("\n") for text in (printed, promised)
    )
    assert_prints(score, promised_score, code)
    assert 0.4 < float(re.search(r"R2 (\S+),", score)[1]) < 0.5
    between = r"between (0\.\d+) and (0\.\d+) \(95 % each end"
    (lower, upper), (promised_lower, promised_upper) = (
        map(float, re.search(between, words).groups())
        for words in (verdict, promised_verdict)
    )
    assert verdict.startswith("The least training objective lies")
    tells(verdict)
    assert (
        0 < upper - lower < 0.25 * (0.5 - lower)
    )  # trusted: 0.5 is what the untrained prior leaves
    assert max(lower, promised_lower) < min(
        upper, promised_upper
    )  # both hold the one optimum


@pytest.mark.slow
def test_the_posterior_of_the_readme(capsys):
    scope = run_blocks(block_with("lx.posterior("), "README.md", capsys)
    assert scope["draws"].warnings == []


@pytest.mark.slow
def test_the_function_of_the_readme(capsys):
    """The sums that were measured, within their noise."""
    scope = {"lx": langevax, "jax": jax, "jnp": jnp}
    run_blocks(block_with("lx.inverse_problem("), "README.md", capsys, scope)
    functions = np.asarray(scope["functions"])
    assert functions.shape == (4, 1000, 64)
    sums = np.cumsum(functions, axis=-1)[..., 9::10] / 64
    np.testing.assert_allclose(sums.mean((0, 1)), np.arange(1, 7) / 6, atol=0.05)
    assert np.all(sums.std((0, 1)) < 0.055)
