"""`langevax certify`: bounds with another budget, on the rows of the table of a fit."""

import json
import re
import shutil

import pytest

from tests.app.conftest import langevax
from tests.sentences import tells


@pytest.fixture
def folder(fitted, tmp_path):
    return shutil.copytree(fitted["price"][0], tmp_path / "price")


@pytest.mark.parametrize("target", ["price", "sold"])
def test_a_call_begins_with_its_own_budget_and_changes_no_file(
    fitted, tmp_path, target
):
    folder = shutil.copytree(fitted[target][0], tmp_path / target)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    first, second = (
        langevax("certify", folder, "--effort", "2e6", "--json") for _ in range(2)
    )
    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr + second.stderr
    one, two = json.loads(first.stdout), json.loads(second.stdout)
    ends = [(call["lower_bound"], call["upper_bound"]) for call in (one, two)]
    assert ends[0] == ends[1]
    assert ends[0][0] < ends[0][1]
    assert 0 < one["work"] == two["work"]
    # searches have seconds, so that no sentence is held
    assert {"48", "0.05"} <= set(re.findall(r"[\d.]*\d", one["optimum"]))
    assert before == {file.name: file.read_bytes() for file in folder.iterdir()}
    again = langevax("certify", folder, "--effort", "1e5")
    assert "Certificate  " in again.stdout


def test_the_rows_are_those_of_the_fit(folder, tables, tmp_path):
    changed = tmp_path / "changed.csv"
    lines = (tables / "price.csv").read_text().splitlines()
    changed.write_text("\n".join([*lines[:5], *lines[6:]]) + "\n")
    for words, sentence in (
        ((changed,), "does not hold the rows of this fit, or has changed since"),
        (
            (tmp_path / "gone.csv",),
            "of the fit is not there; pass the file that holds its rows.",
        ),
    ):
        answer = langevax("certify", folder, *words)
        assert answer.exit_code == 2
        assert sentence in answer.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--effort", "-1"),
            "--effort -1 is not a positive number; pass one such as 300.",
        ),
        (("--cpu-seconds", "inf"), "--cpu-seconds inf is not a positive number"),
        (
            ("--effort", "1e5", "--cpu-seconds", "2"),
            "--effort and --cpu-seconds are two budgets; pass one of them.",
        ),
    ],
)
def test_a_budget_that_cannot_be_is_named(folder, words, sentence):
    answer = langevax("certify", folder, *words)
    assert answer.exit_code == 2
    assert sentence in answer.stderr
    answer = langevax("certify", folder.parent / "nothing")
    assert answer.exit_code == 2
    tells(answer.stderr)
