"""One run of an app on an engine: what its server app says, how it ends."""

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from langevax.flower.engines.processes import Member

STARTED = re.compile(r"Successfully started run (\d+)")
STREAMED = "Starting logstream for run_id"  # Flower's own words before those of the server app


class RunOutcome(NamedTuple):
    """How a run ended.

    Attributes:
        status: "finished"; "failed", with the reason in `details`; "stopped", by `stop`; "timed out"; or "lost", where
            the SuperLink was gone.
        seconds: from the request to the end.
        log: what the server app printed, until the engine's folder is removed.
    """

    run_id: str
    status: str
    details: str
    seconds: float
    log: Path

    @property
    def finished(self) -> bool:
        return self.status == "finished"


class Run:
    """A run under way."""

    def __init__(self, stream: Member, server: Member, flwr: Callable[..., str], connection: str):
        self._stream, self._server, self._flwr, self._connection = stream, server, flwr, connection
        self._began, self._size, self._shown = time.monotonic(), 0, 0

    @property
    def log(self) -> Path:
        return self._stream.log

    def run_id(self, seconds: float = 60.0) -> str:
        """The SuperLink's number of the run; waits until there is one.

        Raises:
            EngineError: the SuperLink did not take the app; the message has its words.
        """
        return self._stream.wait_for(lambda: STARTED.search(self._stream.text()), seconds, "taken").group(1)

    def lines(self) -> list[str]:
        """What the server app has printed so far."""
        _, _, text = self._stream.text().partition(STREAMED)
        complete = text.rpartition("\n")[0]
        return complete.splitlines()[1:]

    def wait(self, timeout: float | None = None, on_line: Callable[[str], Any] | None = None) -> RunOutcome:
        """Until the run has ended, or `timeout` seconds since its start are over and it is stopped.

        Args:
            on_line: called with each line that the server app prints.

        Raises:
            EngineError: the SuperLink did not take the app.
        """
        run_id = self.run_id()
        while self._server.exit_code is None:
            ended = self._stream.exit_code is not None
            self._tell(on_line)
            if ended:
                return self._outcome(run_id, *self._verdict(run_id))
            if timeout is not None and time.monotonic() - self._began > timeout:
                self.stop()
                return self._outcome(run_id, "timed out", f"stopped after {timeout:g} seconds")
            time.sleep(0.1)
        self._tell(on_line)
        return self._outcome(run_id, "lost", f"the SuperLink ended with exit code {self._server.exit_code}")

    def stop(self) -> None:
        """Ask the SuperLink to stop it."""
        self._flwr("stop", self.run_id(), self._connection)

    def _verdict(self, run_id: str, seconds: float = 30.0) -> tuple[str, str]:
        """Status and details; the log may end a moment before the run does."""
        until = time.monotonic() + seconds
        while True:
            [found] = json.loads(self._flwr("ls", self._connection, "--run-id", run_id, "--format", "json"))["runs"]
            status, _, kind = found["status"].partition(":")
            if status == "finished":
                details = "" if found["status-details"] == "N/A" else found["status-details"]
                return "finished" if kind == "completed" else kind, details
            if time.monotonic() > until:
                return "lost", f"the log ended and the run is {found['status']}"

    def _tell(self, on_line: Callable[[str], Any] | None) -> None:
        size = self.log.stat().st_size
        if on_line is None or size == self._size:
            return
        self._size = size
        lines = self.lines()
        for line in lines[self._shown :]:
            on_line(line)
        self._shown = len(lines)

    def _outcome(self, run_id: str, status: str, details: str) -> RunOutcome:
        return RunOutcome(run_id, status, details, time.monotonic() - self._began, self.log)


def as_toml(settings: Mapping[str, Any]) -> str:
    """Keys and plain values as TOML, which is how Flower takes a run's configuration.

    Example:
        >>> print(as_toml({"rounds": 3, "step-size": 0.5, "out": "a b", "resume": True}), end="")
        rounds = 3
        step-size = 0.5
        out = "a b"
        resume = true

    Raises:
        ValueError: a value that is no text, number or truth.
    """
    lines = []
    for key, value in settings.items():
        if not isinstance(value, str | bool | int | float):
            raise ValueError(f"{key} is {value!r}; a run takes text, numbers, true and false.")
        text = repr(float(value)) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
        lines.append(f"{key} = {text}\n")
    return "".join(lines)
