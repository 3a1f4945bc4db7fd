"""`langevax federated app`: an app is written, and what cannot be written is refused."""

from pathlib import Path

import pytest

from tests.sentences import tells

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

from langevax.app import flower_app
from tests.app.conftest import langevax
from tools.engines.engine import app_config

pytestmark = pytest.mark.slow


def test_an_app_is_written_that_flower_can_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = langevax("federated", "app", "digits", "--method", "fedavg")
    assert (answer.exit_code, answer.stderr) == (0, "")
    tells(answer.stdout, "digits/digits/task.py")
    assert "flwr run digits" in answer.stdout
    assert "rounds" in app_config("digits")


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


def test_without_flower_the_remedy_is_printed(monkeypatch):
    monkeypatch.setattr(flower_app, "find_spec", lambda name: None)
    answer = langevax("federated", "app", "app")
    assert answer.exit_code == 2
    tells(answer.stderr, "'langevax[flower]'")


def test_help_has_examples():
    answer = langevax("federated", "app", "--help")
    assert answer.exit_code == 0
    for word in ("langevax federated app myapp", "Exit codes"):
        assert word in answer.stdout
    assert "app" in langevax("federated", "--help").stdout
