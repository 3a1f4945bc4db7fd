"""Families of processes end together: orphans, processes that ignore SIGTERM, and when the owner is gone."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.sentences import refuses

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

from tools.engines.engine import AppRun
from tools.engines.processes import (
    EngineError,
    ProcessFamily,
    free_port,
    is_listening,
    marked,
)

pytestmark = pytest.mark.slow

SLEEP = "import time; time.sleep(600)"
ORPHANS = f"""
import subprocess
for detached in (False, True):
    subprocess.run(["sh", "-c", "sleep 600 & true"], start_new_session=detached)
print("ready", flush=True)
{SLEEP}
"""
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); {SLEEP}"
POLITE = f"""
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("good bye", flush=True), sys.exit(7)))
print("ready", flush=True)
{SLEEP}
"""


@pytest.fixture
def family(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    family = ProcessFamily(folder)
    yield family
    family.end()


def start(family, code, tmp_path, name="member"):
    member = family.start(
        name, [sys.executable, "-c", code], dict(os.environ), tmp_path / f"{name}.log"
    )
    member.wait_for(lambda: "ready" in member.text(), 60, "ready")
    return member


def test_children_end_with_their_parents_orphans_of_other_sessions_included(
    family, tmp_path
):
    start(family, ORPHANS, tmp_path)
    assert (
        len(family.processes()) == 3
    )  # the member; one whose parent is gone; one in another session
    assert os.getpid() not in family.processes()
    family.end()
    assert family.processes() == set()
    assert not family.folder.exists()


def test_orphans_are_found_when_the_member_itself_is_gone(family, tmp_path):
    member = start(family, ORPHANS, tmp_path)
    os.kill(member.popen.pid, signal.SIGKILL)
    member.popen.wait()
    assert len(family.processes()) == 2
    family.end()
    assert family.processes() == set()


def test_one_program_is_ended_with_its_children_and_the_others_go_on(family, tmp_path):
    ended, running = (
        start(family, ORPHANS, tmp_path, "gone"),
        start(family, DEAF, tmp_path, "stays"),
    )
    family.kill(ended)
    family.kill(ended)  # once more: nothing happens
    assert (ended.exit_code, running.exit_code) == (-signal.SIGKILL, None)
    assert running.popen.pid in family.processes()
    assert len(family.processes()) == 1


def test_a_child_in_a_session_of_its_own_ends_with_the_program_that_started_it(
    family, tmp_path
):
    child = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True); print('ready', flush=True)"
    member = start(family, f"{child}; {SLEEP}", tmp_path)
    assert len(family.processes()) == 2
    family.kill(member)
    assert family.processes() == set()


def test_sigterm_comes_before_sigkill(family, tmp_path):
    polite, deaf = (
        start(family, POLITE, tmp_path, "polite"),
        start(family, DEAF, tmp_path, "deaf"),
    )
    family.end()
    assert (polite.exit_code, deaf.exit_code) == (7, -signal.SIGKILL)
    assert "good bye" in polite.text()


def test_another_family_is_left_alone(family, tmp_path):
    other = ProcessFamily()
    member = start(other, DEAF, tmp_path)
    family.end()
    assert member.exit_code is None
    other.kill(member)
    other.end()


def test_a_guardian_ends_them_when_the_owner_is_killed(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    owner = f"""
import os, pathlib, sys, time
from tools.engines.processes import ProcessFamily
family = ProcessFamily(pathlib.Path({str(folder)!r}))
log = pathlib.Path({str(tmp_path / "log")!r})
member = family.start("m", [sys.executable, "-c", {ORPHANS!r}], dict(os.environ), log)
member.wait_for(lambda: "ready" in member.text(), 60, "ready")
print(family.mark, flush=True)
time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", owner], stdout=subprocess.PIPE, text=True
    ) as process:
        mark = process.stdout.readline().strip()
        assert len(list(marked(mark))) == 3
        process.kill()
    until = time.monotonic() + 60
    while list(marked(mark)) or folder.exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_program_that_ends_or_takes_too_long_is_reported_with_its_log(
    family, tmp_path
):
    code = "print('disk full'); print('\\x1b[91mERROR\\x1b[0m: port taken'); raise SystemExit(3)"
    member = family.start(
        "The server", [sys.executable, "-c", code], dict(os.environ), tmp_path / "s.log"
    )
    with refuses(EngineError, "3 ERROR"):
        member.wait_for(lambda: False, 60, "ready")
    slow = start(family, DEAF, tmp_path, "The clock")
    with refuses(EngineError, "0.1 clock.log"):
        slow.wait_for(lambda: False, 0.1, "up")


def test_a_run_is_accepted_within_the_patience_of_its_engine(family, tmp_path):
    stream = start(family, DEAF, tmp_path, "flwr run")
    with refuses(EngineError, "0.2"):
        AppRun(stream, stream, str, patience=0.2).run_id()


def test_output_of_an_earlier_program_in_the_same_log_is_ignored(family, tmp_path):
    family.kill(start(family, "print('ready', flush=True);" + SLEEP, tmp_path))
    again = family.start(
        "member",
        [sys.executable, "-c", "pass"],
        dict(os.environ),
        tmp_path / "member.log",
    )
    with refuses(EngineError, "0"):
        again.wait_for(lambda: "ready" in again.text(), 60, "ready")


def test_free_ports_are_free():
    port = free_port()
    assert not is_listening(port)
    with socket.create_server(("127.0.0.1", port)):
        assert is_listening(port)
