"""The progress line: what, how far, how fast, how long still, and how it goes."""

import re
import sys
import time

import pytest

from langevax import Run
from langevax.run import progress
from tests.run.setting import simulate

STEPS = 40
PATIENCE = [
    lambda trace, state: time.sleep(0.11)
]  # the line is drawn at most every 0.1 s


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(progress, "BAR_DELAY", 0.0)


def lines(text):
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]


@pytest.mark.slow
def test_the_line_shows_name_steps_share_and_time(capsys):
    simulate(STEPS, run=Run(progress=True), callbacks=PATIENCE, callback_every=10)
    shown = lines(capsys.readouterr().err)
    middle = next(line for line in shown if " 20 of 40 " in line)
    assert re.search(r"^Langevin 20 of 40 steps  50% \|.*\| 00:00<00:0\d", middle), (
        middle
    )


@pytest.mark.slow
def test_a_resumed_run_begins_where_it_was(capsys, tmp_path):
    simulate(20, run=Run(checkpoint=tmp_path))
    simulate(STEPS, run=Run(checkpoint=tmp_path, resume=True, progress=True))
    shown = lines(capsys.readouterr().err)
    assert " 50% |" in shown[0]


def test_nothing_is_shown_off_a_terminal_by_default(capsys, monkeypatch):
    simulate(STEPS)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    simulate(STEPS, run=Run(progress=False))
    assert capsys.readouterr().err == ""
    simulate(STEPS)
    assert "0% |" in capsys.readouterr().err


def test_a_function_hears_words_and_the_share_done():
    heard = []
    run = Run(progress=lambda words, share: heard.append((words, share)))
    simulate(STEPS, run=run)
    words, share = heard[-1]
    assert words == "Langevin 40 of 40 steps"
    assert share == 1


def test_a_short_run_shows_nothing(capsys, monkeypatch):
    monkeypatch.setattr(progress, "BAR_DELAY", 60.0)
    simulate(STEPS, run=Run(progress=True))
    assert capsys.readouterr().err.strip() == ""
