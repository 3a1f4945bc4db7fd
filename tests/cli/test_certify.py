"""`langevax certify`: goes on with the certificate of a fit, on the rows of its table."""

import json
import shutil

import pytest

from tests.cli.conftest import langevax


@pytest.fixture
def folder(fitted, tmp_path):
    return shutil.copytree(fitted["price"][0], tmp_path / "price")


@pytest.mark.parametrize("target", ["price", "sold"])
def test_a_second_call_goes_on_where_the_first_ended(fitted, tmp_path, target):
    folder = shutil.copytree(fitted[target][0], tmp_path / target)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    first, second = (langevax("certify", folder, "--effort", "2e6", "--json") for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr + second.stderr
    one, two = json.loads(first.stdout), json.loads(second.stdout)
    assert 0 < one["work"] <= two["work"] <= one["work"] + 2e6
    assert one["lower_bound"] <= two["lower_bound"] <= two["upper_bound"] <= one["upper_bound"]
    assert "48 rows at temperature 0.05" in one["optimum"]
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert {file.name for file in folder.iterdir()} == before.keys() | {"certificate.npz"}
    again = langevax("certify", folder, "--effort", "2e6", "--force")
    assert again.exit_code == 0
    assert "Certificate  " in again.stdout
    assert "kept in" in again.stdout
    assert "earlier calls" not in again.stdout


def test_the_rows_are_those_of_the_fit(folder, tables, tmp_path):
    changed = tmp_path / "changed.csv"
    lines = (tables / "price.csv").read_text().splitlines()
    changed.write_text("\n".join([*lines[:5], *lines[6:]]) + "\n")
    for words, sentence in (
        ((changed,), "does not hold the rows of this fit, or has changed since"),
        ((tmp_path / "gone.csv",), "of the fit is not there; pass the file that holds its rows."),
    ):
        answer = langevax("certify", folder, *words)
        assert answer.exit_code == 2
        assert sentence in answer.stderr
    assert not (folder / "certificate.npz").exists()


def test_a_narrower_interval_of_the_fit_is_named(folder):
    result = json.loads((folder / "result.json").read_text())
    result["certificate"] |= {"unknown_share": 1e-3, "lower_bound": 0.1234, "upper_bound": 0.1235}
    (folder / "result.json").write_text(json.dumps(result))
    answer = langevax("certify", folder, "--effort", "1e5")
    assert answer.exit_code == 0, answer.stderr
    assert "a narrower interval, between 0.1234 and 0.1235" in " ".join(answer.stdout.split())


def test_a_search_of_another_fit_is_refused(folder):
    (folder / "certificate.npz").write_bytes(b"not a search")
    answer = langevax("certify", folder, "--effort", "1e5")
    assert answer.exit_code == 2
    assert "is not a search that certify saved" in answer.stderr
    assert "Or pass --force to begin again." in answer.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--effort", "-1"), "--effort -1 is not a positive number; pass one such as 300."),
        (("--cpu-seconds", "inf"), "--cpu-seconds inf is not a positive number"),
        (("--effort", "1e5", "--cpu-seconds", "2"), "--effort and --cpu-seconds are two budgets; pass one of them."),
    ],
)
def test_a_budget_that_cannot_be_is_named(folder, words, sentence):
    answer = langevax("certify", folder, *words)
    assert answer.exit_code == 2
    assert sentence in answer.stderr
    answer = langevax("certify", folder.parent / "nothing")
    assert answer.exit_code == 2
    assert "holds no fitted model" in answer.stderr
