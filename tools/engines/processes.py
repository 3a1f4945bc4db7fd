"""Programs that are started, watched, and ended together with everything they started in turn.

Flower's programs start others in sessions of their own, and Ray's outlive the process that started them. So each
program of a `ProcessFamily` has a mark in its environment, which its children inherit and by which all of them are
found, orphans included.

A guardian, a plain Python process, waits until the owner of the family is gone, however that happened, and then ends
what is left. It runs this file, which therefore imports nothing of langevax.
"""

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import SystemRandom
from typing import TypeVar

import psutil

Answer = TypeVar("Answer")
MARK = "LANGEVAX_FAMILY"
LOOPBACK_ADDRESS = "127.0.0.1"


class EngineError(RuntimeError):
    """A program of the engine could not be started or ended too early; the message has the last lines of its log."""


class Program:
    """A running program and the file with its output."""

    def __init__(
        self,
        name: str,
        popen: subprocess.Popen[bytes],
        log: Path,
        mark: str,
        offset: int,
    ):
        self.name = name
        self.popen = popen
        self.log = log
        self.mark = mark
        self._offset = offset  # of its own output, where the file has that of others

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.popen.poll()

    def text(self) -> str:
        """Return the output so far, without colours."""
        text = self.log.read_bytes()[self._offset :].decode(errors="replace")
        return re.sub(r"\x1b\[[0-9;]*m", "", text)

    def failure(self, what: str, num_lines: int = 15) -> EngineError:
        """The error to raise, with the end of the log."""
        lines = self.text().rstrip().splitlines()[-num_lines:]
        return EngineError(
            f"{self.name} {what}. Its log {str(self.log)!r} ends with:\n"
            + "\n".join(lines)
        )

    def wait_for(
        self, ready: Callable[[], Answer | None], seconds: float, state: str
    ) -> Answer:
        """Poll `ready` until it returns something true, at most `seconds` and while the program runs; return that."""
        until = time.monotonic() + seconds
        while True:
            ended = (
                self.exit_code is not None
            )  # checked first, so that the last output is seen
            if answer := ready():
                return answer
            if ended:
                raise self.failure(
                    f"ended with exit code {self.exit_code} before it was {state}"
                )
            if time.monotonic() > until:
                raise self.failure(f"was not {state} after {seconds:g} seconds")
            time.sleep(0.05)


class ProcessFamily:
    """Programs that end together, and then `folder` with them: by `end`, or when the process that made it is gone."""

    def __init__(self, folder: Path | None = None):
        self.mark: str = f"{SystemRandom().getrandbits(64):016x}"
        self.folder = folder
        self.programs: list[Program] = []
        self.guardian: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, "-P", __file__, self.mark, str(folder or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that Ctrl-C does not reach it
        )

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
    ) -> Program:
        """Start a program in its own session; its output is appended to the file `log`."""
        mark = f"{self.mark}-{len(self.programs)}"
        with open(log, "ab") as file:
            offset = file.tell()
            popen = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**environment, MARK: mark},
                start_new_session=True,
            )
        program = Program(name, popen, log, mark, offset)
        self.programs.append(program)
        return program

    def processes(self) -> set[int]:
        """Process ids of all that run."""
        return {process.pid for process in marked(self.mark)}

    def kill(self, program: Program, grace: float = 0.0) -> None:
        """End one program with its children: at once, or by SIGTERM and `grace` seconds later."""
        end(program.mark, grace)
        program.popen.wait()

    def end(self) -> None:
        """End all programs, then the guardian, then the folder; a second call does nothing."""
        end(self.mark)
        for program in self.programs:
            program.popen.wait()
        if self.guardian.stdin is not None:
            self.guardian.stdin.close()
        self.guardian.wait()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def marked(mark: str) -> Iterator[psutil.Process]:
    """Running processes with this mark: of a program, or of a whole family."""
    for process in psutil.process_iter():
        with contextlib.suppress(
            psutil.Error, OSError
        ):  # it ended meanwhile, or is another user's
            own = process.environ().get(MARK, "")
            if (
                own == mark or own.startswith(f"{mark}-")
            ) and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def end(mark: str, grace: float = 3.0, stuck: float = 30.0) -> None:
    """Send SIGTERM to all marked processes, and SIGKILL to those that are left after `grace` seconds.

    Raises:
        EngineError: processes that are still there `stuck` seconds later, in the kernel.
    """
    until = time.monotonic() + grace
    terminated = set[psutil.Process]()
    while alive := set(marked(mark)):
        over = time.monotonic() >= until
        for process in alive if over else alive - terminated:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill() if over else process.terminate()
        terminated |= alive
        if time.monotonic() > until + stuck:
            raise EngineError(
                f"processes {sorted(p.pid for p in alive)} could not be ended; inspect them with `ps`."
            )
        time.sleep(0.02)


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK_ADDRESS, 0))
        return probe.getsockname()[1]


def is_listening(port: int) -> bool:
    """True if a port of the loopback interface accepts connections."""
    try:
        socket.create_connection((LOOPBACK_ADDRESS, port), timeout=1).close()
    except OSError:
        return False
    return True


def _guard() -> None:
    """The guardian: wait until the owner is gone, then end the family."""
    mark, folder = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    end(mark)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _guard()
