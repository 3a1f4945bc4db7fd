"""One study in a process of its own, so that its crash ends no other.

Its words go to `log.txt` in its folder, which is removed where the study was measured. It stays in the terminal's
process group: a hang-up reaches it even where this process is gone.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langevax.cli.studying.folder import kept

WORDS = {True: "holds", False: "fails", None: "shown"}  # of a claim
CRASHED, KEPT = "crashed", "kept"
PATIENCE = 5.0  # seconds from asking to end until ending


@dataclass(frozen=True)
class Outcome:
    """How a study ended."""

    found: dict[str, Any] | None
    """Its `verdict.json`; None where it was not measured."""
    seconds: float | None = None
    """None where it is kept from an earlier run."""
    error: str = ""

    @property
    def word(self) -> str:
        """The verdict in a word."""
        return CRASHED if self.found is None else WORDS[self.found["holds"]]

    @property
    def time(self) -> str:
        """Its seconds, or that it is kept."""
        return KEPT if self.seconds is None else f"{self.seconds:.1f} s"


def command(name: str, folder: Path, asked: dict[str, Any]) -> list[str]:
    """The command that measures one study."""
    words = [sys.executable, "-m", "langevax.cli", "study", "run", name, f"--out={folder}"]
    return [*words, f"--size={asked['size']}", f"--seed={asked['seed']}"]


class Child:
    """A study that is being measured."""

    def __init__(self, name: str, folder: Path, asked: dict[str, Any]):
        self.name, self.folder, self.asked = name, folder, asked
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log.txt"
        self.began = time.perf_counter()
        words = command(name, folder, asked)
        ordered = os.environ | {"PYTHONUNBUFFERED": "1"}  # what is said last stands last
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=ordered
            )

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.perf_counter() - self.began

    @property
    def ended(self) -> bool:
        """Whether it ended, well or not."""
        return self.process.poll() is not None

    def outcome(self) -> Outcome:
        """What it left, after its end: an old result does not hide that the new run crashed."""
        found = kept(self.folder, self.asked) if self.process.returncode == 0 else None
        if found is None:
            return Outcome(None, self.seconds, self._error())
        self.log.unlink(missing_ok=True)
        return Outcome(found, self.seconds)

    def _error(self) -> str:
        code = self.process.returncode
        if code < 0:
            name = signal.Signals(-code).name
            return f"ended by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
        lines = [line.strip() for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), f"exit code {code} without a word")

    def stop(self) -> None:
        """End it, at once if it does not end when asked."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
