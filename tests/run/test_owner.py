"""A directory has one writer at a time, and a run that is ended by a signal is saved first."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from langevax import CheckpointError, Run
from langevax.locks import LOCK_FILE, Lock, LockedError
from langevax.run import checkpoint
from langevax.run.signals import WITH_INTERRUPT, DelayedSignals
from langevax.storage import write_atomically
from tests.run.setting import assert_same_bits, fix_chunks, simulate
from tests.sentences import refuses

ROOT = Path(__file__).parents[2]
HOLD = """
import os, sys
from pathlib import Path
from langevax.locks import Lock
lock = Lock(Path(sys.argv[1]), "it")
print("held", flush=True)
sys.stdin.read()
"""


def holder(file):
    """Start a process that holds a lock until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.slow
def test_a_lock_names_its_owner_and_is_free_after_a_kill(tmp_path):
    file = tmp_path / LOCK_FILE
    process = holder(file)
    with refuses(LockedError, process.pid):
        Lock(file, "it")
    process.kill()
    process.communicate()
    assert (
        json.loads(file.read_text())["pid"] == process.pid
    )  # what the dead process left
    with Lock(file, "it"):
        assert json.loads(file.read_text())["pid"] == os.getpid()
        with refuses(LockedError, os.getpid()):  # of another thread, too
            Lock(file, "it")
    assert not file.exists()
    file.symlink_to(tmp_path / "elsewhere")
    with refuses(OSError):
        Lock(file, "it")


@pytest.mark.slow
def test_two_runs_cannot_write_one_directory(tmp_path):
    def run_another(trace, state):
        for resume in (False, True):
            with refuses(CheckpointError, os.getpid()):
                simulate(40, run=Run(checkpoint=tmp_path, resume=resume))

    first = simulate(
        20, run=Run(checkpoint=tmp_path), callbacks=[run_another], callback_every=20
    )
    assert not (tmp_path / LOCK_FILE).exists()
    assert_same_bits(simulate(20, run=Run(checkpoint=tmp_path, resume=True)), first)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_the_run_and_then_takes_its_course(
    tmp_path, monkeypatch, number
):
    class EndedError(Exception):
        pass

    def end(number, frame):
        states.append(sorted(path.name for path in (tmp_path / "state").iterdir()))
        raise EndedError

    fix_chunks(monkeypatch, 10)
    states, before = [], signal.signal(number, end)
    options = {
        "callbacks": [lambda trace, state: signal.raise_signal(number)],
        "callback_every": 10,
    }
    try:
        with pytest.raises(EndedError):
            simulate(
                40, run=Run(checkpoint=tmp_path, checkpoint_seconds=1e9), **options
            )
        assert signal.getsignal(number) is end
    finally:
        signal.signal(number, before)
    assert states == [["20"]]  # the chunk after the signal
    assert_same_bits(
        simulate(40, run=Run(checkpoint=tmp_path, resume=True)), simulate(40)
    )


def test_a_signal_whose_handler_returns_lets_the_run_go_on(tmp_path, monkeypatch):
    fix_chunks(monkeypatch, 10)
    received, before = (
        [],
        signal.signal(signal.SIGTERM, lambda number, frame: received.append(number)),
    )
    options = {
        "callbacks": [lambda trace, state: signal.raise_signal(signal.SIGTERM)],
        "callback_every": 40,
    }
    try:
        result = simulate(40, run=Run(checkpoint=tmp_path), **options)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]  # at the end of the run
    assert_same_bits(result, simulate(40))


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with DelayedSignals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert signals.pending == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def _interruptible():
    """Ctrl-C interrupts, also where this process was started in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_during_a_write_waits_for_its_end(tmp_path, monkeypatch):
    fix_chunks(monkeypatch, 10)
    written = []

    def interrupt_and_write(path, content):
        if not written:
            signal.raise_signal(signal.SIGINT)
        written.append(path.parent.name)
        write_atomically(path, content)

    def interrupt_writes(trace, state):
        monkeypatch.setattr(checkpoint, "write_atomically", interrupt_and_write)

    with pytest.raises(KeyboardInterrupt):
        simulate(
            40,
            run=Run(checkpoint=tmp_path, checkpoint_seconds=0.0),
            callbacks=[interrupt_writes],
            callback_every=20,
        )
    assert written == [tmp_path.name, "trace", "30"]  # all of one save
    monkeypatch.undo()
    assert_same_bits(
        simulate(40, run=Run(checkpoint=tmp_path, resume=True)), simulate(40)
    )


@pytest.mark.usefixtures("_interruptible")
def test_a_second_ctrl_c_is_not_delayed():
    passed = []

    def interrupt_twice():
        with DelayedSignals(WITH_INTERRUPT):
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
                passed.append(1)

    with pytest.raises(KeyboardInterrupt):
        interrupt_twice()
    assert passed == [1]


ENDLESS = """
import sys
from langevax import Run
from tests.run.setting import simulate
def begun(trace, state):
    print("begun", flush=True)
options = {"callbacks": [begun], "callback_every": 100, "record_every": None}
run = Run(checkpoint=sys.argv[1], checkpoint_seconds=1e9)
simulate(10**9, run=run, **options)
"""


@pytest.mark.slow
def test_sigterm_ends_a_script_after_it_is_saved(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout.readline() == "begun\n"
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    step = max(int(path.name) for path in (tmp_path / "state").iterdir())
    options = {"run": Run(checkpoint=tmp_path, resume=True), "record_every": None}
    assert_same_bits(simulate(step, **options), simulate(step, record_every=None))
