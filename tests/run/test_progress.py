"""The progress line: what, how far, how fast, how long still, and how it goes."""

import re
import sys
import time

import pytest

from langevax import Run
from langevax.run import progress
from tests.run.setting import Script, simulate
from tests.run.test_simulate import count_up

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
def test_the_line_shows_name_steps_rate_and_time(capsys):
    simulate(STEPS, run=Run(progress=True), callbacks=PATIENCE, callback_every=10)
    shown = lines(capsys.readouterr().err)
    middle = next(line for line in shown if " 20/40 " in line)
    assert re.search(
        r"^Langevin:  50%\|.*\| 20/40 \[00:00<00:0\d, +[\d.]+step/s, value [\d.]+\]",
        middle,
    ), middle
    assert re.search(r"^Langevin: 100%\|.*\| 40/40 \[", shown[-1]), shown[-1]


def test_the_number_is_the_first_metric_where_there_is_one(capsys):
    simulate(
        STEPS, Script(count_up), num_chains=None, average=None, run=Run(progress=True)
    )
    last = lines(capsys.readouterr().err)[-1]
    assert re.search(r"^Script: 100%.*40/40.*, wave -?[\d.]+\]|, odd 0.5\]", last), last


@pytest.mark.slow
def test_a_resumed_run_begins_where_it_was(capsys, tmp_path):
    simulate(20, run=Run(checkpoint=tmp_path))
    simulate(STEPS, run=Run(checkpoint=tmp_path, resume=True, progress=True))
    shown = lines(capsys.readouterr().err)
    assert " 20/40 [" in shown[0]


def test_nothing_is_shown_off_a_terminal_by_default(capsys, monkeypatch):
    simulate(STEPS)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    simulate(STEPS, run=Run(progress=False))
    assert capsys.readouterr().err == ""
    simulate(STEPS)
    assert "Langevin" in capsys.readouterr().err


def test_a_function_hears_words_and_the_share_done():
    heard = []
    run = Run(progress=lambda words, share: heard.append((words, share)))
    simulate(STEPS, run=run)
    words, share = heard[-1]
    assert re.fullmatch(r"Langevin value [\d.]+", words), words
    assert share == 1


def test_a_short_run_shows_nothing(capsys, monkeypatch):
    monkeypatch.setattr(progress, "BAR_DELAY", 60.0)
    simulate(STEPS, run=Run(progress=True))
    assert capsys.readouterr().err.strip() == ""


class Clock:
    now = 0.0

    def perf_counter(self):
        return self.now


def test_the_number_takes_its_share_of_the_time_and_no_more(monkeypatch):
    clock, calls = Clock(), []

    def headline(carry):
        clock.now += 3.0  # dear
        calls.append(clock.now)
        return "value", 1.0

    monkeypatch.setattr(progress, "time", clock)
    line = progress.Progress("run", 1000, 0, True, headline)
    for done in range(1, 1001):
        clock.now += 1.0
        line.update(done, None)
    line.close()
    assert len(calls) >= 10
    assert 3.0 * len(calls) <= progress.HEADLINE_SHARE * clock.now + 3.0
