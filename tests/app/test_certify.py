"""`langevax certify`: goes on with the search of a fit, on the rows of its table."""

import json
import re
import shutil

import pytest

from tests.app.conftest import QUICK, langevax
from tests.sentences import tells


@pytest.fixture
def folder(fitted, tmp_path):
    return shutil.copytree(fitted["price"][0], tmp_path / "price")


@pytest.mark.parametrize("target", ["price", "sold"])
def test_a_second_call_goes_on_where_the_first_ended(fitted, tmp_path, target):
    folder = shutil.copytree(fitted[target][0], tmp_path / target)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    spent = json.loads((folder / "result.json").read_text())["certificate"]
    first, second = (
        langevax("certify", folder, "--effort", "2e6", "--json") for _ in range(2)
    )
    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr + second.stderr
    one, two = json.loads(first.stdout), json.loads(second.stdout)
    assert 0 < spent["work"] <= one["work"] <= spent["work"] + 2e6
    assert one["work"] <= two["work"] <= one["work"] + 2e6
    ends = [
        *(call["lower_bound"] for call in (spent, one, two)),
        *(call["upper_bound"] for call in (two, one, spent)),
    ]
    assert ends == sorted(ends)
    # the fit's own search has seconds, so that no sentence is held
    assert {"48", "0.05"} <= set(re.findall(r"[\d.]*\d", one["optimum"]))
    changed = {
        file.name for file in folder.iterdir() if file.read_bytes() != before[file.name]
    }
    assert changed == {"certificate.npz"}
    again = langevax("certify", folder, "--effort", "1e5")
    tells(again.stdout, f"{two['work']:.2g} {two['cpu_seconds']:.1f}")
    anew = langevax("certify", folder, "--effort", "1e5", "--force")
    assert anew.exit_code == 0
    assert "Certificate  " in anew.stdout
    assert "kept in" in anew.stdout
    assert "before this call" not in anew.stdout


@pytest.mark.slow
def test_a_search_that_went_on_is_whole_and_is_replaced_by_the_next_fit(folder, tables):
    command = [
        "fit",
        tables / "price.csv",
        "--target",
        "price",
        "--out",
        folder,
        *QUICK,
        "--skip",
        "certificate",
    ]
    assert langevax("certify", folder, "--effort", "1e5").exit_code == 0
    assert langevax("check", folder).exit_code == 0
    search = (folder / "certificate.npz").read_bytes()
    for content in (b"not a search", search[: len(search) // 2]):
        (folder / "certificate.npz").write_bytes(content)
        tells(langevax("check", folder).stderr, "'certificate.npz'")
    (folder / "certificate.npz").write_bytes(search)
    answer = langevax(*command, "--force")
    assert answer.exit_code == 0, answer.stderr
    assert not (folder / "certificate.npz").exists()  # it would be of another model


def test_the_rows_are_those_of_the_fit(folder, tables, tmp_path):
    changed, before = (
        tmp_path / "changed.csv",
        (folder / "certificate.npz").read_bytes(),
    )
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
    assert (folder / "certificate.npz").read_bytes() == before


def test_a_search_of_another_fit_is_refused(folder):
    (folder / "certificate.npz").write_bytes(b"not a search")
    answer = langevax("certify", folder, "--effort", "1e5")
    assert answer.exit_code == 2
    tells(answer.stderr)
    tells(answer.stderr, "--force")


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
