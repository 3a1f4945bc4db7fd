"""Programs started, watched, and ended together with everything that they started in turn.

Flower's programs start others in sessions of their own, and Ray's outlive whoever started them. So each program of a
`Family` carries the family's mark in its environment, children inherit it, and on Linux the whole family is found by it
in /proc, orphans included. Elsewhere it is found by parents and process groups.

A guardian, a bare Python of its own, waits for the process that owns the family to be gone, however that happened, and
then ends what is left. It runs this very file, which therefore imports nothing but the standard library.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import SystemRandom
from typing import NamedTuple, TypeVar

T = TypeVar("T")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
MARK = "LANGEVAX_FAMILY"
GRACE = 3.0  # seconds between being asked to end and being ended
LAST = 15  # lines of a log in a message
PORTS = range(20000, 32000)  # below those that systems give to outgoing connections


class EngineError(RuntimeError):
    """A program of the engine could not be started or ended too early; the message has the last lines of its log."""


class Member:
    """One program of a family and the file that holds what it printed."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path, start: int = 0):
        self.name, self.popen, self.log = name, popen, log
        self._start = start  # of its own words, where the file has those of others

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.popen.poll()

    def text(self) -> str:
        """What it has printed so far, without colours."""
        return COLOURS.sub("", self.log.read_bytes()[self._start :].decode(errors="replace"))

    def failure(self, what: str) -> EngineError:
        """The error to raise: what happened, and the end of the log."""
        lines = self.text().rstrip().splitlines()[-LAST:]
        return EngineError(f"{self.name} {what}. Its log {str(self.log)!r} ends with:\n" + "\n".join(lines))

    def wait_for(self, ready: Callable[[], T | None], seconds: float, what: str) -> T:
        """The first answer of `ready` that is neither None nor False, asked again and again.

        Raises:
            EngineError: the program ended first, or `seconds` are over.
        """
        until = time.monotonic() + seconds
        while True:
            ended = self.exit_code is not None  # asked first, so that what it printed last is seen
            if answer := ready():
                return answer
            if ended:
                raise self.failure(f"ended with exit code {self.exit_code} before it was {what}")
            if time.monotonic() > until:
                raise self.failure(f"was not {what} after {seconds:g} seconds")
            time.sleep(0.05)


class Family:
    """Programs that end together: by `end`, or when the process that made the family is gone.

    Args:
        folder: removed when the family has ended, by whoever ends it.
    """

    def __init__(self, folder: Path | None = None):
        self.mark = f"{SystemRandom().getrandbits(64):016x}"
        self.folder = folder
        self.roots: list[Member] = []
        self.guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, self.mark, str(folder or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that Ctrl-C does not reach it
            text=True,
        )

    def start(self, name: str, words: Sequence[str], environment: Mapping[str, str], log: Path) -> Member:
        """Start a program in a session of its own; what it prints is added to the file `log`."""
        with open(log, "ab") as file:
            written = file.tell()
            popen = subprocess.Popen(
                list(words), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                env={**environment, MARK: self.mark}, start_new_session=True,
            )  # fmt: skip
        member = Member(name, popen, log, written)
        self.roots.append(member)
        if self.guardian.stdin is not None:
            print(popen.pid, file=self.guardian.stdin, flush=True)
        return member

    def members(self) -> set[int]:
        """Process ids of all that run."""
        return family_of(self.mark, [root.pid for root in self.roots if root.exit_code is None])

    def kill(self, root: Member, grace: float = 0.0) -> None:
        """End one program with its children: at once, or asking first and waiting for `grace` seconds."""
        end(lambda: kin(_table(), {root.pid}), grace)
        root.popen.wait()
        self.roots = [other for other in self.roots if other is not root]

    def end(self) -> None:
        """End them all, then the guardian, then the folder; a second time nothing happens."""
        end(self.members, GRACE)
        for root in self.roots:
            root.popen.wait()
        if self.guardian.stdin is not None:
            self.guardian.stdin.close()
        self.guardian.wait()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.roots = []


class Entry(NamedTuple):
    """A process in the system's table."""

    parent: int
    group: int
    session: int


def family_of(mark: str, roots: Iterable[int]) -> set[int]:
    """Processes that carry the mark, with the kin of those and of `roots`; never the caller."""
    table = _table()
    return kin(table, set(roots) | {pid for pid in table if _carries(pid, mark)})


def kin(table: Mapping[int, Entry], seeds: set[int]) -> set[int]:
    """The living among `seeds`, all that descend from them, and all that share a group or a session with these."""
    me = os.getpid()
    mine = table.get(me, Entry(0, 0, 0))
    found, before = set(seeds), -1
    while len(found) != before:
        before = len(found)
        places = found | {place for pid in found if pid in table for place in table[pid][1:]}
        places -= {0, mine.group, mine.session}  # a group is named by the process that founded it
        found |= {pid for pid, entry in table.items() if entry.parent in found or not places.isdisjoint(entry[1:])}
        found -= {0, 1, me}
    return found & table.keys()


def end(members: Callable[[], set[int]], grace: float) -> None:
    """Ask all to end, again and again, and after `grace` seconds end those that have not."""
    until, known, asked = time.monotonic() + grace, set[int](), set[int]()
    while alive := (members() | known) & _table().keys():
        known |= alive
        over = time.monotonic() >= until
        for pid in alive if over else alive - asked:
            _signal(pid, signal.SIGKILL if over else signal.SIGTERM)
        asked |= alive
        if time.monotonic() > until + 10 * GRACE:  # unkillable: stuck in the kernel
            raise EngineError(f"processes {sorted(alive)} could not be ended; look at them with `ps`.")
        time.sleep(0.02)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, number)


def _table() -> dict[int, Entry]:
    """All processes that are not yet dead; zombies are."""
    if not Path("/proc/self/stat").exists():
        return _table_by_ps()
    table = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path("/proc", name, "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it ended meanwhile
        state, parent, group, session = stat.rpartition(")")[2].split()[:4]
        if state not in "ZX":
            table[int(name)] = Entry(int(parent), int(group), int(session))
    return table


def _table_by_ps() -> dict[int, Entry]:
    done = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    return {int(pid): Entry(int(parent), int(group), 0) for pid, parent, group, state in rows if state[0] != "Z"}


def _carries(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in Path("/proc", str(pid), "environ").read_bytes().split(b"\0")
    except OSError:
        return False  # another user's, or no /proc


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which nobody listens."""
    for port in SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise EngineError(
        f"no port of {PORTS.start}..{PORTS.stop - 1} is free on {host!r}; is it an address of this machine?"
    )


def answers(host: str, port: int) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _guard() -> None:
    """Wait until the owner is gone, then end the family: the guardian's whole life."""
    mark, folder = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    roots = [int(line) for line in sys.stdin]
    end(lambda: family_of(mark, roots if not Path("/proc/self/stat").exists() else []), GRACE)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _guard()
