"""`langevax federated run` and `langevax federated app`: one command each, on Flower's real engines."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

import psutil

from langevax.app.errors import BadInput, RunFailed
from langevax.app.federated import RunOptions
from langevax.app.federating import apps
from langevax.app.output import Output
from langevax.flower.engines import RunOutcome
from langevax.flower.engines.processes import MARK, marked
from tests.app.conftest import langevax
from tests.flower.plain import write_plain_app

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plain_app(tmp_path_factory):
    return write_plain_app(tmp_path_factory.mktemp("apps") / "plain")


@pytest.mark.skipif(
    find_spec("ray") is None,
    reason="Ray is not installed: pip install 'langevax[flower]'",
)
def test_an_app_is_written_and_simulated_by_one_command_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = langevax("federated", "app", "digits", "--method", "fedavg")
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert "digits/digits/task.py: the method, the model" in answer.stdout
    words = shlex.split(
        next(line for line in answer.stdout.splitlines() if line.startswith("Run"))
    )
    assert words[1:4] == ["langevax", "federated", "run"]
    answer = langevax(*words[2:], "--clients", 2, "--set", "rounds=2")
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert "simulation, 2 clients, ready in" in answer.stdout
    actual = re.search(
        r"loss (0\.\d+), accuracy (0\.\d+) after 2 rounds and 2 exchanges\.",
        answer.stdout,
    )
    assert float(actual.group(2)) > 0.8
    folder = tmp_path / "out" / "federated" / "digits"
    models = {"model.safetensors", "best.safetensors"}
    assert {path.name for path in folder.iterdir()} == {
        "result.json",
        "history.csv",
        "metrics.csv",
        "logs",
        *models,
    }
    assert json.loads((folder / "result.json").read_text())["clients"] == [0, 1]


@pytest.fixture(scope="module")
def interrupted(plain_app, tmp_path_factory):
    """A deployment of an app without langevax, whose server app sleeps after its round until Ctrl-C."""
    folder = tmp_path_factory.mktemp("interrupted")
    temporary, out = folder / "temporary", folder / "answers.json"
    temporary.mkdir()
    words = [
        "--engine",
        "deployment",
        "--clients",
        "1",
        "--out",
        str(folder / "run"),
    ]
    for setting in ("trouble=sleep afterwards", "rounds=1", f"out={out}"):
        words += ["--set", setting]
    command = [
        sys.executable,
        "-m",
        "langevax",
        "federated",
        "run",
        str(plain_app),
        *words,
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(temporary)}
    with subprocess.Popen(command, **pipes, env=environment) as process:
        printed = []
        while "sleeping" not in (line := process.stdout.readline()):
            assert line, process.stderr.read()
            printed.append(line)
        children = psutil.Process(process.pid).children()
        mark = next(
            m for child in children if (m := child.environ().get(MARK))
        ).partition("-")[0]
        names = " ".join(" ".join(one.cmdline()) for one in marked(mark))
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=300)
    return SimpleNamespace(
        printed="".join(printed),
        stderr=stderr,
        exit_code=process.returncode,
        mark=mark,
        names=names,
        temporary=temporary,
        answers=json.loads(out.read_text()),
        logs={path.name: path.read_text() for path in folder.glob("run/logs/*")},
    )


def test_a_deployment_prints_the_lines_of_the_server_app(interrupted):
    """Settings are passed by --set, in the type of their default."""
    assert "deployment, 1 client, ready in" in interrupted.printed
    assert "round 0 has 1 answers\n" in interrupted.printed
    assert "INFO" not in interrupted.printed
    [[one]] = interrupted.answers["rounds"]
    assert (one["partition-id"], one["num-partitions"]) == (0, 1)
    assert interrupted.logs.keys() == {"superlink.log", "node-0.log", "run-1.log"}


def test_ctrl_c_ends_every_process_and_leaves_nothing(interrupted):
    assert interrupted.exit_code == 130
    assert interrupted.stderr.startswith("Interrupted.")
    for program in (
        "flower-superlink",
        "flower-supernode",
        "flower-superexec",
        "flwr-serverapp",
    ):
        assert program in interrupted.names
    assert list(marked(interrupted.mark)) == []
    assert list(interrupted.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "details", "message"),
    [
        (
            "failed",
            "no rows",
            "the run failed: no rows. The log of its server app is 'log'.",
        ),
        ("failed", "", "the run failed: its server app raised an error."),
        (
            "lost",
            "the SuperLink ended with exit code -9",
            "the run was lost: the SuperLink ended with exit code -9.",
        ),
        (
            "timed out",
            "stopped after 9 seconds",
            "the run did not end within --timeout 9 and was stopped.",
        ),
        ("stopped", "", "the run was stopped."),
    ],
)
def test_the_end_of_a_run_is_reported(status, details, message, tmp_path):
    options = RunOptions(Path("app"), "simulation", 2, [], None, False, 9.0)
    with pytest.raises(RunFailed, match=re.escape(message)):
        apps._finish(
            Output(),
            options,
            tmp_path,
            {},
            RunOutcome("7", status, details, 1.0, Path("log")),
            1.0,
        )


def test_folder_and_clients_are_set_if_an_app_has_the_keys_and_set_has_not(tmp_path):
    known = {"rounds": 3, "out": "", "num-clients": 0}
    options = RunOptions(Path("app"), "simulation", 5, ["rounds=7"], None, False, None)
    assert apps.settings_for(options, known, tmp_path) == {
        "rounds": 7,
        "out": str(tmp_path),
        "num-clients": 5,
    }
    options = replace(options, settings=["num-clients=2", "out=mine"])
    assert apps.settings_for(options, known, tmp_path) == {
        "num-clients": 2,
        "out": "mine",
    }
    assert (
        apps.settings_for(replace(options, settings=[]), {"rounds": 3}, tmp_path) == {}
    )


def test_an_older_result_is_not_taken_for_this_one(tmp_path):
    (tmp_path / "result.json").write_text("{}")
    os.utime(tmp_path / "result.json", (1000, 1000))
    assert apps._result(tmp_path, 999.0) == {}
    assert apps._result(tmp_path, 1001.0) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "APP cannot be run: app is 'nowhere'"),
        (
            ["APP", "--set", "round=3"],
            "refused: the app has no setting 'round'; did you mean 'rounds'? It has ",
        ),
        (
            ["APP", "--set", "rounds"],
            "--set 'rounds' has no value; write rounds=VALUE.",
        ),
        (
            ["APP", "--set", "rounds=2.5"],
            "--set 'rounds=2.5' is refused: rounds is a whole number, such as 2.",
        ),
        (["APP", "--engine", "grpc"], "--engine"),
        (["APP", "--clients", "0"], "--clients"),
        (["APP", "--timeout", "0"], "--timeout 0 must be"),
        (["APP", "--out", "APP/pyproject.toml"], "is a file; name a folder."),
    ],
)
def test_bad_input_is_one_line_with_the_remedy(
    words, message, plain_app, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    answer = langevax(
        "federated", "run", *(word.replace("APP", str(plain_app)) for word in words)
    )
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert message in " ".join(answer.stderr.split())


@pytest.mark.parametrize(
    ("default", "value", "parsed"),
    [("", "a=b", "a=b"), (False, "true", True), (1, "-3", -3), (0.5, "1e-3", 0.001)],
)
def test_a_setting_is_of_the_kind_of_its_default(default, value, parsed):
    actual = apps._parsed(f"key={value}", "key", value, {"key": default})
    assert (actual, type(actual)) == (parsed, type(default))


def test_two_runs_cannot_write_one_folder(plain_app, tmp_path, monkeypatch):
    def run_another(*arguments):
        answer = langevax("federated", "run", plain_app, "--out", tmp_path)
        assert (answer.exit_code, answer.stdout) == (2, "")
        assert "is being written by process" in answer.stderr
        raise BadInput("the first one goes on")

    monkeypatch.setattr(apps, "engine_of", run_another)
    answer = langevax("federated", "run", plain_app, "--out", tmp_path)
    assert answer.stderr == "Error: the first one goes on\n"
    assert list(tmp_path.iterdir()) == []


def test_booleans_are_true_or_false():
    with pytest.raises(BadInput, match="resume is true or false"):
        apps._parsed("resume=1", "resume", "1", {"resume": False})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["7"], "the folder is named '7'"),
        (
            ["app", "--method", "fedag"],
            "--method 'fedag' is not a method; did you mean 'fedavg'?",
        ),
        (["app", "--method", "sgld"], "--method 'sgld' is not a method; "),
        (["app", "--framework", "tf"], "--framework"),
        (["full"], "README.md' already; pass --force to write over it."),
    ],
)
def test_an_app_that_cannot_be_written_is_refused(
    words, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full", "README.md").write_text("mine")
    answer = langevax("federated", "app", *words)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert message in " ".join(answer.stderr.split())
    assert not Path("app").exists()


@pytest.mark.parametrize("words", [["run", "app"], ["app", "app"]])
def test_without_flower_the_remedy_is_printed(words, monkeypatch):
    monkeypatch.setattr(apps, "find_spec", lambda name: None)
    answer = langevax("federated", *words)
    assert answer.exit_code == 2
    assert (
        "needs Flower, and flwr is not installed; pip install 'langevax[flower]'."
        in " ".join(answer.stderr.split())
    )


def test_help_has_examples():
    for command, sentence in (
        ("run", "on the loopback interface"),
        ("app", "--task mypackage.federated:task"),
    ):
        answer = langevax("federated", command, "--help")
        assert answer.exit_code == 0
        for word in (sentence, f"langevax federated {command} myapp", "Exit codes"):
            assert word in answer.stdout
        assert command in langevax("federated", "--help").stdout
