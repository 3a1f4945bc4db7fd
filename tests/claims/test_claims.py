"""Shared parts of claims: checks that can fail, complete files, a page of them, and runs that continue."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray

import atlas
from claims import DATA, FIGURE, RESULT, Check, Verdict, sections, table
from tests.sentences import refuses

PAPERS = Path(atlas.__file__).parent

TOWER = '''"""Low towers | short ones.

Claim: Towers are low.

Formula:
    h < 2

Source: Babel, Theorem 11

Figure: Look up.
"""

import xarray
from claims import Check, Claim
from matplotlib.figure import Figure


def measure(size, seed):
    BODY
    return xarray.Dataset({"height": ((), float(seed), {"units": "m"})}, attrs={"size": size})


def draw(data):
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot([0, float(data["height"])])
    return figure


def judge(data):
    height = float(data["height"])
    yield Check("it is low", "Babel, Theorem 11", height, 2.0, -1e-9, "at most", unit="m")
    yield "floors", (height / 3, 0.1)


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
'''


@pytest.fixture
def towers(tmp_path, monkeypatch):
    """A folder of scripts with these bodies, in place of `papers/`."""
    folder = tmp_path / "papers"
    folder.mkdir()
    monkeypatch.setattr(atlas, "HERE", folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PAPERS), *sys.path]))

    def write(**bodies):
        for name, body in bodies.items():
            (folder / f"{name}.py").write_text(TOWER.replace("BODY", body))
        monkeypatch.setattr(atlas, "NAMES", tuple(bodies))

    return write


def test_a_check_fails_on_the_wrong_side_of_its_tolerance_and_where_there_is_no_number():
    assert Check("", "", 1.04, 1.0, 0.05).holds
    assert not Check("", "", 0.94, 1.0, 0.05).holds
    assert Check("", "", 0.5, 1.0, 0.0, "at most").holds
    assert not Check("", "", 1.2, 1.0, 0.1, "at most").holds
    assert not Check("", "", 0.8, 1.0, 0.1, "at least").holds
    assert not Check("", "", math.nan, 1.0, 0.1, "at most").holds


def test_a_verdict_without_checks_does_not_hold():
    assert Verdict([]).holds is False
    assert (
        Verdict([Check("", "", 1.0, 1.0, 0.0), Check("", "", 2.0, 1.0, 0.0)]).holds
        is False
    )


@pytest.mark.parametrize("missing", ["Claim", "Formula", "Source", "Figure"])
def test_a_docstring_without_a_section_is_refused(missing):
    docstring = TOWER.split('"""')[1].replace(f"{missing}:", "")
    with refuses(ValueError, f"0 '{missing}:'"):
        sections(docstring)


@pytest.mark.parametrize("name", atlas.NAMES)
def test_every_script_has_the_text_of_its_section(name):
    text = sections(__import__(name).CLAIM.docstring)
    assert all(text.values())
    assert len(text["title"]) < 120


def test_the_atlas_lists_every_script():
    scripts = {
        path.stem
        for path in PAPERS.glob("*.py")
        if "CLAIM = Claim(" in path.read_text()
    } - {"claims"}
    assert scripts == set(atlas.NAMES)


def test_what_is_no_number_is_written_as_such():
    check = {
        "statement": "a",
        "source": "b",
        "measured": None,
        "predicted": 1.0,
        "tolerance": 0.1,
    }
    (row,) = table(
        [check | {"relation": "equals", "error": None, "unit": "", "holds": False}]
    )[2:]
    assert row == "| a (b) | 1 | not known | 0.1 | **fails** |"


@pytest.mark.slow
def test_one_script_writes_complete_files_and_prints_its_table(towers, tmp_path):
    towers(tower="pass")
    command = [
        sys.executable,
        tmp_path / "papers" / "tower.py",
        "--seed",
        "3",
        "--out",
        tmp_path / "out",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "| it is low (Babel, Theorem 11) | at most 2 | 3 m | " in done.stdout
    assert "0 of 1 checks hold." in done.stdout
    assert "| floors | 1.00 ± 0.10 |" in done.stdout
    folder = tmp_path / "out" / "tower"
    result = json.loads((folder / RESULT).read_text())
    assert result["holds"] is False
    assert (
        result["checks"][0] | {"measured": 3.0, "holds": False, "relation": "at most"}
        == result["checks"][0]
    )
    assert result["numbers"] == {"floors": [1.0, 0.1]}
    assert (
        result["request"]["size"],
        result["request"]["seed"],
        result["Formula"],
    ) == ("small", 3, "h < 2")
    assert "<svg" in (folder / FIGURE).read_text()
    with xarray.open_dataset(folder / DATA, engine="h5netcdf") as data:
        assert float(data["height"]) == 3
        assert json.loads(data.attrs["request"]) == result["request"]


@pytest.mark.slow
def test_a_crash_is_reported_and_a_second_run_measures_only_what_is_missing(
    towers, tmp_path, capsys
):
    out = tmp_path / "out"
    towers(low="pass", fallen="raise ValueError('the tower fell')")
    with refuses(SystemExit):
        atlas.main(["--seed", "1", "--jobs", "2", "--out", str(out)])
    printed = capsys.readouterr().out
    assert "exit code 1: ValueError: the tower fell" in printed
    page = (out / "atlas.md").read_text()
    assert "| fallen | not measured | |" in page
    assert "[Low towers | short ones." not in page  # would end the cell
    assert "**1 of 1 checks hold.**" in page
    assert "| floors | 0.33 ± 0.10 |" in page
    assert (out / "images" / "atlas" / "low.svg").read_bytes() == (
        out / "low" / FIGURE
    ).read_bytes()

    towers(low="pass", fallen="pass")
    atlas.main(["--seed", "1", "--out", str(out)])
    first, second, _ = capsys.readouterr().out.splitlines()
    assert first.split() == ["low", "up", "to", "date"]
    assert second.split()[:2] == ["fallen", "holds"]
    towers(low="pass")
    atlas.main(["--seed", "3", "--out", str(out)])  # another request
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[:1]] == [
        "FAILS"
    ]
    assert "**0 of 1 checks hold.**" in (out / "atlas.md").read_text()
    atlas.main(["--seed", "3", "--out", str(out), "--force"])
    assert capsys.readouterr().out.count("FAILS") == 1


def test_an_edited_script_is_measured_again(towers, tmp_path):
    towers(low="pass")
    request = atlas.request(tmp_path / "papers" / "low.py", "small", 0)
    towers(low="seed += 1")
    assert atlas.request(tmp_path / "papers" / "low.py", "small", 0) != request


@pytest.mark.slow
def test_sigterm_ends_the_scripts_that_run(towers, tmp_path):
    here = tmp_path / "pid"
    towers(
        slow=f"import os, pathlib, time; pathlib.Path({str(here)!r}).write_text(str(os.getpid())); time.sleep(60)"
    )
    code = f"import atlas, pathlib; atlas.HERE = pathlib.Path({str(atlas.HERE)!r}); atlas.NAMES = ('slow',); atlas.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 60
    while not (here.exists() and here.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(here.read_text()), 0)
