"""`langevax study`: lists, runs, saves, and says what was found."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import xarray
from matplotlib.figure import Figure

from langevax import studies
from tests.cli.conftest import langevax
from tests.cli.tower import TOWER, Plan


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setattr(studies, "NAMES", {"tower": "tower", "mixture": "mixture"})
    monkeypatch.setattr(studies, "load", lambda name: TOWER)


def test_without_a_name_the_studies_are_listed_with_their_claims():
    answer = langevax("study")
    assert answer.exit_code == 0
    lines = [line.split() for line in answer.stdout.splitlines()]
    assert lines[:2] == [["study", "claim", "(source)"], ["tower", "Towers", "are", "low."]]
    assert "(Babel, Theorem 11)" in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 100
    listed = json.loads(langevax("study", "--json").stdout)
    assert listed["tower"]["claim"] == "Towers are low."


def test_a_study_says_what_it_found_and_where_it_is(tmp_path):
    answer = langevax("study", "tower", "--out", tmp_path / "t", "--seed", 1, "--size", "small")
    assert (answer.exit_code, answer.stderr) == (0, "")
    words = ("Towers are low.", "Babel", "It holds. The tower is 1 m high.", "Look up.", str(tmp_path / "t/figure.svg"))
    for word in words:
        assert word in answer.stdout
    assert {path.name for path in (tmp_path / "t").iterdir()} == {
        "data.nc",
        "figure.svg",
        "figure.pdf",
        "figure.png",
        "verdict.json",
    }
    with xarray.open_dataset(tmp_path / "t/data.nc", engine="h5netcdf") as data:
        assert (data.attrs["size"], float(data["height"])) == ("small", 1.0)


def test_the_folder_is_named_by_the_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert langevax("study", "tower").exit_code == 0
    assert (tmp_path / "out/studies/tower/verdict.json").exists()


def test_a_claim_that_fails_is_said_and_is_no_failure_of_the_command(tmp_path):
    answer = langevax("study", "tower", "--out", tmp_path, "--seed", 3, "--json")
    found = json.loads(answer.stdout)
    assert answer.exit_code == 0
    assert (found["study"], found["holds"], found["seed"]) == ("tower", False, 3)
    assert found["numbers"] == {"height": 3.0, "none": None}
    assert "It does not hold." in langevax("study", "tower", "--out", tmp_path, "--seed", 3).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["towr"], "NAME 'towr' is no study; did you mean 'tower'? The studies are 'tower' and 'mixture'."),
        (["zzz"], "NAME 'zzz' is no study; the studies are 'tower' and 'mixture'."),
        (["tower", "--size", "huge"], "huge"),
        (["tower", "--seed", "-1"], "--seed"),
    ],
)
def test_bad_input_is_one_line_with_the_remedy(words, said):
    answer = langevax("study", *words)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert said in answer.stderr


def test_settings_are_parsed_listed_and_refused(tmp_path):
    found = json.loads(
        langevax("study", "run", "tower", "--seed", 1, "--set", "storeys=7", "--out", tmp_path, "--json").stdout
    )
    assert (found["numbers"]["height"], found["settings"]) == (7.0, ["storeys=7"])
    assert "how many storeys it has" in langevax("study", "list", "tower").stdout
    for words, said in {
        "windows=2": "--set 'windows' is not known to the study 'tower'; it has 'storeys'.",
        "storeys": "--set 'storeys' has no value; write storeys=VALUE.",
        "storeys=-1": "--set 'storeys=-1' is refused: positive numbers with commas between them are wanted. "
        "storeys is how many storeys it has.",
    }.items():
        answer = langevax("study", "run", "tower", "--set", words)
        assert (answer.exit_code, answer.stdout) == (2, "")
        assert said in " ".join(answer.stderr.split())


def test_a_result_of_the_same_request_is_kept_with_resume(tmp_path, monkeypatch):
    words = ("study", "run", "tower", "--out", tmp_path, "--seed", 1, "--set", "storeys=7", "--set", "storeys=1")
    first = json.loads(langevax(*words, "--quick", "--json").stdout)
    assert first["size"] == "small"
    monkeypatch.setattr(studies, "load", lambda name: replace(TOWER, measure=None))  # cannot be measured again
    again = langevax(*words, "--quick", "--json", "--resume")
    assert json.loads(again.stdout) == first
    assert "It holds. The tower is 1 m high." in langevax(*words, "--quick", "--resume").stdout
    for others in (words, (*words, "--quick", "--set", "storeys=7")):
        with pytest.raises(TypeError):
            langevax(*others, "--resume")


def test_a_verdict_stands_only_beside_its_own_numbers(tmp_path):
    """A run that ends while it saves leaves no verdict, neither its own nor that of the run before."""
    langevax("study", "tower", "--out", tmp_path)

    class Torn(Figure):
        def savefig(self, *_, **__):
            raise OSError("the disk is full")

    torn = replace(TOWER, draw=lambda data: Torn())
    with pytest.raises(OSError, match="full"):
        torn.save(tmp_path, TOWER.run(Plan(seed=1)))
    assert not (tmp_path / "verdict.json").exists()


def test_known_times_are_listed(monkeypatch):
    assert "about" not in langevax("study", "list").stdout
    monkeypatch.setattr(studies, "QUICK_SECONDS", {"tower": 130.0})
    assert "--quick: about 2 min" in langevax("study", "list").stdout
    assert json.loads(langevax("study", "list", "--json").stdout)["tower"]["quick_seconds"] == 130.0


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "f").write_text("")
    answer = langevax("study", "tower", "--out", tmp_path / "f")
    assert answer.exit_code == 2
    assert "is a file" in answer.stderr
    assert langevax("study", "tower", "--out", tmp_path / "f" / "g").exit_code == 2


def test_help_teaches():
    answer = langevax("study", "--help")
    assert answer.exit_code == 0
    assert "langevax study mixture" in answer.stdout
    assert "NAME  [required]" in langevax("study", "run", "--help").stdout  # not \[required], as of Typer 0.20


def test_the_command_line_loads_no_study_before_it_is_asked():
    code = "import sys, langevax.cli; print(any(m.startswith('langevax.studies') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
