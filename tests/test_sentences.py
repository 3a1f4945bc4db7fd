"""Errors' words are held by `tests/sentences.json`: what is new, other or gone fails, and one option writes it anew."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sentences import missing_facts, normalised

ROOT = Path(__file__).parents[1]
TEST = """
import json
import warnings
import pytest
from tests.sentences import refuses, tells, warns

def refuse(value, tmp_path):
    raise ValueError(f"step_size must be > 0, got {value}; see {tmp_path}/notes.txt")

@pytest.mark.parametrize("value", ["-1", "-2.5"])
def test_refused(value, tmp_path):
    with refuses(ValueError, f"step_size {value}"):
        refuse(value, tmp_path)

def test_warned():
    with warns(UserWarning, "num_steps 3"):
        warnings.warn("num_steps is 3")
    with refuses(ValueError):
        refuse(1, "")

def test_told():
    text = "Read 12 rows in 0.3 s; 'age' has 3 gaps, 25 %. Done."
    tells(text, "'age' 3")
    tells(text)
    tells(99 * "Many more words. " + text, "'age' 3 25")

def test_of_another_library():
    with refuses(ValueError, "column"):
        json.loads("{x")
"""

WRONG = """
import json
import warnings
from tests.sentences import refuses, warns

def refuse(value):
    raise ValueError(f"step_size must be > 0, got {value}")

def test_value():
    with refuses(ValueError, "-1"):
        refuse(1)

def test_name():
    with refuses(ValueError, "step"):
        refuse(2)

def test_type():
    with refuses(TypeError, "step_size"):
        refuse(3)

def test_warning():
    with warns(UserWarning, "num_steps 4"):
        warnings.warn("num_steps is 3")

def test_of_another_library():
    with refuses(ValueError):
        json.loads("{x")
"""


@pytest.fixture
def run(tmp_path):
    """A function that runs pytest on a folder with a file of tests, and returns what it printed."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "pytest.ini").touch()
    file = tmp_path / "tests" / "test_it.py"
    file.write_text(TEST)

    def run(*options, edit=("", "")):
        file.write_text(file.read_text().replace(*edit))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.sentences"]
        return subprocess.run(
            [*command, "-p", "no:cacheprovider", "-p", "xdist", *options],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            },
            capture_output=True,
            text=True,
        ).stdout

    run.sentences = lambda: json.loads(
        (tmp_path / "tests" / "sentences.json").read_text()
    )
    return run


def test_a_changed_sentence_fails_until_it_is_rewritten(run):
    assert "4 failed, 1 passed" in run()
    assert "5 passed" in run("--rewrite-sentences")
    held = run.sentences()["tests/test_it.py"]
    assert held == {
        "test_refused[-1]": [
            "ValueError: step_size must be > 0, got -1; see TEMPORARY/notes.txt"
        ],
        "test_refused[-2.5]": [
            "ValueError: step_size must be > 0, got -2.5; see TEMPORARY/notes.txt"
        ],
        "test_told": [
            "Read # rows in # s; 'age' has # gaps, # %. Done.",
            "Read # rows in # s; 'age' has # gaps, # %.",
        ],
        "test_warned": [
            "UserWarning: num_steps is #",
            "ValueError: step_size must be > 0, got 1; see /notes.txt",
        ],
    }
    assert "5 passed" in run()
    printed = run(edit=("must be", "has to be"))
    assert "3 failed, 2 passed" in printed
    assert "- ValueError: step_size must be > 0, got -1; see" in printed
    assert "+ ValueError: step_size has to be > 0, got -1; see" in printed
    assert "pytest 'tests/test_it.py::test_refused[-1]' --rewrite-sentences" in printed
    one = "tests/test_it.py::test_refused[-1]"
    assert "1 passed" in run(one, "--rewrite-sentences")
    assert "2 failed, 3 passed" in run()


def test_processes_rewrite_one_file_and_drop_what_is_gone(run):
    run("--rewrite-sentences", "-n", "2", "--dist", "loadfile")
    assert len(run.sentences()["tests/test_it.py"]) == 4
    fewer = ('    with refuses(ValueError):\n        refuse(1, "")\n', "")
    assert "no longer meets: ['ValueError: step_size must be" in run(edit=fewer)
    run("--rewrite-sentences", "-n", "2", edit=('"-1", ', ""))
    assert sorted(run.sentences()["tests/test_it.py"]) == [
        "test_refused[-2.5]",
        "test_told",
        "test_warned",
    ]


def test_a_missing_fact_or_another_type_fails_even_when_rewriting(run):
    printed = run("--rewrite-sentences", edit=(TEST, WRONG))
    assert "5 failed" in printed
    assert "['-1'] should be in: step_size must be > 0, got 1" in printed
    assert "['step'] should be in: step_size must be > 0, got 2" in printed
    assert "ValueError: step_size must be > 0, got 3" in printed
    assert "['4'] should be in: num_steps is 3" in printed
    assert "facts are needed, since the sentence is not held: Expecting" in printed
    assert run.sentences() == {}


@pytest.mark.parametrize(
    ("text", "facts", "missing"),
    [
        ("num_steps must be > 0, got -5.", "num_steps 0 -5", []),
        ("steps 4-8 of 10.5, 1,200, 3.0", "5 8 4-8 1 10 3", ["5", "8", "1", "10"]),
        ("num_steps", "steps num_step", ["steps", "num_step"]),
        ("pass --read x=numbers", "--read read x=numbers x", ["read"]),
        ("shape (2, 3), not 'all'", "(2, 3) 'all' (2,)", ["(2,)"]),
    ],
)
def test_facts_are_whole_words(text, facts, missing):
    assert missing_facts(text, facts) == missing


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (
            "0.5, 1e-3 and 12.0, not 0.123 or 1.25e-7 of 1,234",
            "0.5, 1e-3 and 12.0, not # or # of 1,234",
        ),
        ("/home/me/runs/a.npz, https://a.org/b", "FOLDER/a.npz, https://a.org/b"),
        ("flwr 1.42.0: [Errno 98] in use", "flwr VERSION: [Errno #] in use"),
        (
            "<f at 0x7f2a> of process 4711 after 12 s",
            "<f at ADDRESS> of process ID after # s",
        ),
        (
            "http://127.0.0.1:8080 since 2026-12-01 10:00:03 UTC",
            "http://127.0.0.1:PORT since TIME",
        ),
    ],
)
def test_what_varies_by_machine_is_left_out(text, held):
    assert normalised(text) == held


def test_the_file_has_no_entry_of_a_test_that_is_gone():
    held = json.loads((ROOT / "tests" / "sentences.json").read_text(encoding="utf-8"))
    for file, tests in held.items():
        code = (ROOT / file).read_text(encoding="utf-8")
        gone = [name for name in tests if f"def {name.partition('[')[0]}(" not in code]
        assert not gone, f"pytest {file} --rewrite-sentences"
