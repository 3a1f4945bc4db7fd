"""Forked processes that are killed, limited or left alone, and what each of them came to.

JAX does not start before the forks, so that all children share one import. Python reports every rename, removal, new
folder and opened file to an audit hook: a child receives its signal just before a chosen one of these changes.
"""

import gc
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import langevax

PACKAGE = str(Path(langevax.__file__).parent)
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "open", "shutil.rmtree"}
WAYS = ("SIGKILL", "SIGTERM", "SIGINT")
LONGEST = 1500  # letters of a refusal
SECONDS_AT_MOST = 300.0  # of one child
TAIL = 2000  # letters of a traceback


class Ended(NamedTuple):
    """End of one child process."""

    answer: Any = None
    """What its work returned."""
    refusal: str = ""
    """The sentence with which langevax ended it."""
    raw: str = ""
    """An error that is not langevax's, or output that no user should see."""
    signal: int = 0
    """The signal that ended it."""
    changes: int = 0
    """Changes of files that it made."""


@dataclass
class Child:
    """Work for a process of its own."""

    work: Callable[[], Any]
    folder: Path
    """Changes of files below it are counted."""
    way: str | None = None
    """The signal that it receives; None for none."""
    at: int = 0
    """The number of the change before which it receives the signal."""
    largest_file: int | None = None
    """Bytes; None does not limit files."""
    process: int = field(default=0, init=False)
    pipe: int = field(default=0, init=False)
    output: bytearray = field(default_factory=bytearray, init=False)
    began: float = field(default=0.0, init=False)

    def start(self) -> None:
        """Fork; the child reports through a pipe and never returns."""
        sys.stdout.flush()
        self.pipe, write = os.pipe()
        self.began = time.monotonic()
        self.process = os.fork()
        if not self.process:
            os.close(self.pipe)
            self._run(write)
        os.close(write)

    def _run(self, write: int) -> None:
        try:
            nowhere = os.open(os.devnull, os.O_RDWR)
            errors = (
                nowhere if self.largest_file is not None else os.memfd_create("errors")
            )
            for number, descriptor in ((0, nowhere), (1, nowhere), (2, errors)):
                os.dup2(descriptor, number)
            os.setsid()
            changes = watch_changes(self.folder, self.way, self.at)
            if self.largest_file is not None:
                resource.setrlimit(
                    resource.RLIMIT_FSIZE, (self.largest_file, self.largest_file)
                )
            ended = outcome_of(self.work)
            os.write(write, json.dumps(ended._replace(changes=len(changes))).encode())
        finally:
            os._exit(0)

    def wait(self) -> Ended:
        """Return what the child came to, now that its pipe is closed or its time is up."""
        if time.monotonic() - self.began >= SECONDS_AT_MOST:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
            return Ended(raw=f"did not end within {SECONDS_AT_MOST:g} seconds")
        number = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        os.close(self.pipe)
        if self.output:
            return Ended(*json.loads(self.output))
        own = (
            number < 0 and self.way is not None and -number == getattr(signal, self.way)
        )
        return (
            Ended(signal=-number)
            if own
            else Ended(raw=f"ended by itself with status {number}")
        )


def watch_changes(folder: Path, way: str | None, at: int) -> list[str]:
    """Return the growing list of changes below a folder; send this process the signal just before number `at`."""
    changes: list[str] = []
    name = str(folder)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES and name in str(arguments):
            changes.append(event)
            if way is not None and len(changes) - 1 == at:
                os.kill(os.getpid(), getattr(signal, way))

    sys.addaudithook(hook)
    return changes


def outcome_of(work: Callable[[], Any]) -> Ended:
    """Do the work, and sort how it ends; what it prints counts, too."""
    printed = os.lseek(2, 0, os.SEEK_CUR)
    ended = _sorted(work)
    gc.collect()  # errors of destructors are printed
    text = os.pread(2, 1 << 20, printed).decode(errors="replace")
    if "Traceback (most recent" in text or "Exception ignored" in text:
        return Ended(raw=f"printed {text[-TAIL:]}")
    return ended


def _sorted(work: Callable[[], Any]) -> Ended:
    try:
        return Ended(answer=work())
    except Command as ended:
        return ended.outcome()
    except KeyboardInterrupt:
        return Ended(signal=signal.SIGINT)
    except Exception as error:
        return refusal_of(error)


def refusal_of(error: Exception) -> Ended:
    """Return a refusal where langevax raised the error in a sentence, and a raw error otherwise."""
    frames = traceback.extract_tb(error.__traceback__)
    message = str(error)
    raised_here = [frame for frame in frames if "contextlib" not in frame.filename][
        -1
    ].filename.startswith(PACKAGE)
    kinds = (langevax.CheckpointError, ValueError, OSError)
    if (
        raised_here
        and isinstance(error, kinds)
        and "\n" not in message.strip()
        and 0 < len(message) < LONGEST
    ):
        return Ended(refusal=message)
    return Ended(raw="".join(traceback.format_exception(error))[-TAIL:])


class Command(Exception):
    """A command line ended with an exit code other than 0."""

    def __init__(self, code: int, text: str):
        super().__init__(f"exit code {code}: {text}")
        self.code = code
        self.text = text

    def outcome(self) -> Ended:
        if self.code > 128:
            return Ended(signal=self.code - 128)
        if (
            self.code in (1, 2)
            and "Traceback" not in self.text
            and ("Error: " in self.text or "Failed: " in self.text)
        ):
            return Ended(refusal=self.text)
        return Ended(raw=str(self)[-TAIL:])


Scenario = Generator[list[Child], list[Ended], None]
"""Yields children to run side by side, and receives what each of them came to."""


def run_all(scenarios: Iterable[Scenario], jobs: int) -> None:
    """Run scenarios to their ends, `jobs` of them at a time."""
    waiting = iter(scenarios)
    active: list[tuple[Scenario, list[Child], dict[int, Ended]]] = []

    def begin(scenario: Scenario, ended: list[Ended] | None) -> None:
        try:
            children = next(scenario) if ended is None else scenario.send(ended)
        except StopIteration:
            return
        for child in children:
            child.start()
        active.append((scenario, children, {}))

    while True:
        while len(active) < jobs and (scenario := next(waiting, None)) is not None:
            begin(scenario, None)
        if not active:
            return
        pipes = {
            c.pipe: c
            for _, children, done in active
            for i, c in enumerate(children)
            if i not in done
        }
        ready = select.select(list(pipes), [], [], 1.0)[0]
        late = [
            pipe
            for pipe, child in pipes.items()
            if time.monotonic() - child.began >= SECONDS_AT_MOST
        ]
        closed = {
            pipe for pipe in {*ready, *late} if pipe in late or not _read(pipes[pipe])
        }
        for entry in list(active):
            scenario, children, done = entry
            done |= {
                i: c.wait()
                for i, c in enumerate(children)
                if i not in done and c.pipe in closed
            }
            if len(done) == len(children):
                active.remove(entry)
                begin(scenario, [done[i] for i in range(len(children))])


def _read(child: Child) -> bool:
    """Read what a child has written; return False at its end."""
    data = os.read(child.pipe, 1 << 16)
    child.output += data
    return bool(data)
