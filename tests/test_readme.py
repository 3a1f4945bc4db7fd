"""The README's first lines of Python run as they stand, and say what the README says they say."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import langevax

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_the_estimator_of_the_readme(tmp_path, monkeypatch, capsys):
    (block,) = (
        text for text in re.findall(r"```python\n(.*?)```", README.read_text(), re.S) if "MeanFieldRegressor" in text
    )
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    score, verdict = re.match(r"(\S+) (.*)", capsys.readouterr().out).groups()
    assert 0.4 < float(score) < 0.5
    between = r"between (0\.\d+) and (0\.\d+) \(95 % each end"
    (lower, upper), (promised_lower, promised_upper) = (
        map(float, re.search(between, words).groups()) for words in (verdict, re.search(r"# (.*between.*)", block)[1])
    )
    assert verdict.startswith("The least training objective lies")
    assert "unless a well was missed" in verdict
    assert 0 < upper - lower < 0.25 * (0.5 - lower)  # trusted: 0.5 is what the untrained prior leaves
    assert max(lower, promised_lower) < min(upper, promised_upper)  # both hold the one optimum
    plt.close("all")


@pytest.mark.slow
def test_the_posterior_of_the_readme(capsys):
    (block,) = (
        text for text in re.findall(r"```python\n(.*?)```", README.read_text(), re.S) if "lx.posterior(" in text
    )
    scope = {}
    with jax.numpy_dtype_promotion("standard"):
        exec(block, scope)
    printed = capsys.readouterr().out.strip()
    assert re.search(r"print\(draws.reason\)  # (.*)", block).group(1) == printed
    assert scope["draws"].warnings == []


@pytest.mark.slow
def test_the_function_of_the_readme():
    """The sums that were measured, within their noise."""
    (block,) = (
        text for text in re.findall(r"```python\n(.*?)```", README.read_text(), re.S) if "lx.inverse_problem(" in text
    )
    scope = {"lx": langevax, "jax": jax, "jnp": jnp}
    with jax.numpy_dtype_promotion("standard"):
        exec(block, scope)
    functions = np.asarray(scope["functions"])
    assert functions.shape == (4, 1000, 64)
    sums = np.cumsum(functions, axis=-1)[..., 9::10] / 64
    np.testing.assert_allclose(sums.mean((0, 1)), np.arange(1, 7) / 6, atol=0.05)
    assert np.all(sums.std((0, 1)) < 0.055)
