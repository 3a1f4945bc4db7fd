"""What the documentation's code prints, held against what its pages say that it prints."""

import re

import jax

BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def run_blocks(text, page, capsys, scope=None):
    """Run a page's blocks in order and compare what each prints; returns the names that they defined."""
    scope = {} if scope is None else scope
    for code, promised in BLOCK.findall(text):
        with jax.numpy_dtype_promotion("standard"):
            exec(compile(code, page, "exec"), scope)
        assert_prints(capsys.readouterr().out, promised, code)
    return scope


def assert_prints(printed, promised, code):
    """The same words, and the same numbers up to what another processor's rounding does to a random run."""
    assert " ".join(NUMBER.sub("", printed).split()) == " ".join(
        NUMBER.sub("", promised).split()
    ), code
    for claimed, measured in zip(
        NUMBER.findall(promised), NUMBER.findall(printed), strict=True
    ):
        size = abs(float(claimed))
        loose = 9 * size if 0 < size < 0.01 else 0.25 * size + 0.05 * ("." in claimed)
        assert abs(float(measured) - float(claimed)) <= loose, (code, printed)
