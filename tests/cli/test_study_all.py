"""`langevax study run all`: each study in a process of its own, crashes and interruptions kept apart, and going on."""

import io
import json
import os
import re
import signal
import sys

import pytest
import xarray
from rich.console import Console

from langevax import studies
from langevax._version import __version__
from langevax.cli.output import Output
from langevax.cli.studying import child
from langevax.cli.studying.pace import Bar, time_left
from tests.cli.conftest import langevax

STAND_IN = """
import json, os, signal, sys, time
from pathlib import Path
name, folder, asked = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
with open(folder.parent / "started", "a") as started:
    started.write(name + "\\n")
print("words of", name)
if name == "crash":
    raise ValueError("the tower fell")
if name == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if name == "empty":
    sys.exit(0)
if name in ("sigint", "sigterm") and not (folder.parent / "calm").exists():
    (folder.parent / "pid").write_text(str(os.getpid()))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit((folder.parent / "polite").touch()))
    os.kill(os.getppid(), getattr(signal, name.upper()))
    time.sleep(60)
if name == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (folder / "ready").touch()
    time.sleep(60)
if name.startswith("meet"):  # ends only beside another
    (folder.parent / name).with_suffix(".here").touch()
    end = time.monotonic() + 20
    while len(list(folder.parent.glob("*.here"))) < 2:
        time.sleep(0.01)
        if time.monotonic() > end:
            sys.exit("alone")
for part in ("data.nc", "figure.svg", "figure.pdf", "figure.png"):
    (folder / part).touch()
holds = {"low": True, "high": False}.get(name)
content = {"study": name, "holds": holds, "verdict": f"Found {name}.", "numbers": {"n": float("nan")}, "request": asked}
(folder / "verdict.json").write_text(json.dumps(content))
"""


@pytest.fixture
def stand_in(monkeypatch):
    """Studies of these names, whose processes take a few hundredths of a second."""

    def named(*names):
        monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
        monkeypatch.setattr(studies, "NAMES", {name: name for name in names})
        monkeypatch.setattr(
            child,
            "command",
            lambda name, folder, asked: [sys.executable, "-S", "-c", STAND_IN, name, folder, json.dumps(asked)],
        )

    return named


def run_all(out, *words):
    return langevax("study", "run", "all", "--quick", "--out", out, *words)


def started(out):
    """Studies whose process began since this was asked last."""
    names = (out / "started").read_text().split() if (out / "started").exists() else []
    (out / "started").unlink(missing_ok=True)
    return names


def test_each_study_is_told_as_it_ends_and_claims_that_fail_are_results(stand_in, tmp_path):
    stand_in("low", "high", "other")
    answer = run_all(tmp_path)
    assert (answer.exit_code, answer.stderr) == (0, "")
    rows = [line.split() for line in answer.stdout.splitlines() if line.strip()]
    assert [row[:2] for row in rows[:3]] == [["low", "holds"], ["high", "fails"], ["other", "shown"]]
    assert [row[:2] for row in rows[3:]] == [["study", "claim"], *(row[:2] for row in rows[:3])]
    assert not list(tmp_path.glob("*/log.txt"))


def test_a_crash_ends_no_other_study_and_is_exit_code_1(stand_in, tmp_path):
    stand_in("crash", "killed", "empty", "low")
    answer = run_all(tmp_path)
    assert answer.exit_code == 1
    rows = [line.split()[:2] for line in answer.stdout.splitlines()]
    for name, word in {"crash": "crashed", "killed": "crashed", "empty": "crashed", "low": "holds"}.items():
        assert rows.count([name, word]) == 2
    assert "ValueError: the tower fell" in answer.stdout
    assert "ended by SIGKILL, perhaps for want of memory" in answer.stdout
    assert "3 studies were not measured: 'crash', 'killed' and 'empty'." in " ".join(answer.stderr.split())
    assert "Traceback" in (tmp_path / "crash/log.txt").read_text()


def test_resume_measures_only_what_is_not_there_whole_of_the_same_request(stand_in, tmp_path):
    stand_in("low", "crash", "high", "other")
    run_all(tmp_path)
    assert started(tmp_path) == ["low", "crash", "high", "other"]
    (tmp_path / "high/verdict.json").write_text('{"study": "hi')
    (tmp_path / "other/figure.png").unlink()
    answer = run_all(tmp_path, "--resume", "--json")
    assert started(tmp_path) == ["crash", "high", "other"]
    told = json.loads(answer.stdout)["studies"]
    assert {name: told[name]["kept"] for name in told} == {"low": True, "crash": False, "high": False, "other": False}
    assert (told["low"]["outcome"], told["low"]["seconds"], told["crash"]["result"]) == ("holds", None, None)
    assert "low    holds    kept" in run_all(tmp_path, "--resume").stdout
    started(tmp_path)
    run_all(tmp_path)
    assert started(tmp_path) == ["low", "crash", "high", "other"]


@pytest.mark.parametrize(
    ("size", "seed", "version"), [("full", 0, __version__), ("small", 1, __version__), ("small", 0, "0.0")]
)
def test_another_size_seed_or_version_is_another_request(stand_in, tmp_path, size, seed, version):
    stand_in("low")
    run_all(tmp_path)
    path = tmp_path / "low/verdict.json"
    content = json.loads(path.read_text())
    assert content["request"] == {"size": "small", "seed": 0, "settings": {}, "version": __version__}
    path.write_text(json.dumps(content | {"request": {"size": size, "seed": seed, "settings": {}, "version": version}}))
    started(tmp_path)
    run_all(tmp_path, "--resume")
    assert started(tmp_path) == ["low"]


@pytest.fixture
def interruptible():
    """A shell's background job is deaf to Ctrl-C; the tests in it are not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("name", ["sigint", "sigterm"])
def test_an_interruption_keeps_what_is_done_and_says_how_to_go_on(stand_in, tmp_path, name):
    before = signal.SIG_DFL
    signal.signal(signal.SIGTERM, before)
    stand_in("low", "crash", name, "high")
    answer = run_all(tmp_path, "--seed", 3, "--jobs", 1)
    assert answer.exit_code == 130
    said = " ".join(answer.stderr.split())
    assert "Interrupted. 1 of 4 studies measured and kept in" in said
    assert f"`langevax study run all --quick --seed 3 --out {tmp_path} --resume`" in said
    assert (tmp_path / "polite").exists()
    with pytest.raises(ProcessLookupError):  # it was ended, and waited for
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert started(tmp_path) == ["low", "crash", name]
    assert signal.getsignal(signal.SIGTERM) is before
    (tmp_path / "calm").touch()
    assert run_all(tmp_path, "--seed", 3, "--resume").exit_code == 1
    assert started(tmp_path) == ["crash", name, "high"]


def test_a_study_that_does_not_end_when_asked_is_ended(stand_in, tmp_path, monkeypatch):
    stand_in("deaf")
    monkeypatch.setattr(child, "PATIENCE", 0.1)
    study = child.Child("deaf", tmp_path, {})
    while not (tmp_path / "ready").exists():
        assert not study.ended
    study.stop()
    assert study.process.returncode == -signal.SIGKILL


def test_jobs_is_how_many_are_measured_at_a_time(stand_in, tmp_path):
    stand_in("meet-a", "meet-b")
    assert run_all(tmp_path, "--jobs", 2).exit_code == 0


def test_an_old_result_does_not_hide_that_the_new_run_crashed(stand_in, tmp_path):
    stand_in("low")
    run_all(tmp_path)
    content = (tmp_path / "low/verdict.json").read_text()
    (tmp_path / "low").rename(tmp_path / "crash")
    stand_in("crash")
    assert run_all(tmp_path).exit_code == 1
    assert (tmp_path / "crash/verdict.json").read_text() == content


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["all", "--set", "a=1"], "--set 'a=1' is for one study and cannot go with `all`; name the study."),
        (["mixture", "--jobs", "2"], "--jobs 2 is for `all`; 'mixture' is one study."),
        (["all", "--jobs", "0"], "--jobs"),
        (["all", "--quick", "--size", "full"], "leave one of them out"),
    ],
)
def test_what_does_not_go_together_is_refused(words, said):
    answer = langevax("study", "run", *words)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert said in " ".join(answer.stderr.split())


def test_the_time_left_follows_the_pace_of_this_machine():
    known = {"a": 10.0, "b": 20.0, "c": 30.0}
    assert time_left(known, {}, {}, ["a"]) is None
    assert time_left(known, {}, {"a": 4.0}, ["b"], pace=1.0) == 26.0
    assert time_left(known, {"a": 30.0}, {"b": 100.0}, ["c", "a"], pace=1.0) == 120.0  # b is late, as if near its end
    assert time_left(known, {"a": 10.0}, {"b": 0.0}, ["c"], jobs=2) == 30.0  # not sooner than the longest
    assert time_left({}, {"a": 7.0}, {}, ["b", "c"]) == 14.0


def test_known_times_are_those_of_studies():
    assert set(studies.QUICK_SECONDS) == set(studies.NAMES)


def test_the_command_of_a_study_is_one_that_resume_believes(tmp_path, monkeypatch):
    """A process as it is in earnest, but for a study that takes no time."""
    begin = "import tests.cli.tower as t; from langevax import cli, studies; "
    begin += "studies.NAMES, studies.load = {'tower': 't'}, lambda name: t.TOWER; cli.main()"
    words = child.command

    def command(name, folder, asked):
        python, module, cli, *others = words(name, folder, asked)
        assert (python, module, cli) == (sys.executable, "-m", "langevax.cli")
        return [python, "-c", begin, *others]

    monkeypatch.setattr(child, "command", command)
    monkeypatch.setattr(studies, "NAMES", {"tower": "t"})
    for kept in (False, True):
        answer = run_all(tmp_path, "--seed", 3, "--json", *["--resume"] * kept)
        assert (answer.exit_code, answer.stderr) == (0, "")
        told = json.loads(answer.stdout)["studies"]["tower"]
        assert (told["kept"], told["outcome"], told["result"]["numbers"]["height"]) == (kept, "fails", 3.0)
    with xarray.open_dataset(tmp_path / "tower/data.nc", engine="h5netcdf") as data:
        assert json.loads(data.attrs["request"]) == told["result"]["request"]
        assert data.attrs["size"] == "small"


def test_on_a_terminal_a_line_says_how_it_stands_and_is_away_while_a_sentence_is_said():
    output, screen = Output(), io.StringIO()
    output.stderr = Console(file=screen, force_terminal=True, width=80)
    with Bar(output, 3) as bar:
        bar.show(1, ["low", "high"], 100.0)
        assert "1/3 low, high, about 2 min left" in re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", screen.getvalue())
        with bar.aside():
            assert screen.getvalue().endswith("\x1b[2K")
        bar.show(2, ["high"], None)
        assert re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", screen.getvalue()).rstrip().endswith("2/3 high")
    assert screen.getvalue().endswith("\x1b[2K")
