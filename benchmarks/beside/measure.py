"""Times of a case: its candidates take turns, in one process where none asks for its own."""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.beside.apart import apart
from benchmarks.beside.case import Candidate, Case, Did, Run
from benchmarks.beside.line import Found
from benchmarks.timing import median

LEAST, PATIENCE = 3, 25.0  # turns that are taken in any case, and seconds after which no further one begins


@dataclass
class Turns:
    """The runs of one candidate."""

    run: Run
    steps: int
    times: list[float] = field(default_factory=list)
    said: dict[str, list[float]] = field(default_factory=dict)

    def take(self) -> None:
        """One more run: seconds a unit."""
        began = time.perf_counter()
        did = self.run()
        seconds = time.perf_counter() - began
        if not isinstance(did, Did):
            did = Did(self.steps)
        self.times.append((seconds if did.seconds is None else did.seconds) / did.units)
        for name, value in did.said.items():
            self.said.setdefault(name, []).append(value)


def timed(case: Case, share: float = 1.0, most: int | None = None) -> tuple[Found, ...]:
    """Every candidate, timed or with the reason why not.

    Args:
        share: of the steps of a run.
        most: turns, if that is fewer than the case's.
    """
    runs: dict[str, Turns] = {}
    why: dict[str, dict[str, Any]] = {}
    for candidate in case.candidates:
        for one in candidate.parts or (candidate,):
            steps = max(1, round(one.steps * share))
            reason = _reason(lambda one=one, steps=steps: runs.update({one.name: _made(case, one, steps)}))
            if reason:
                why[candidate.name] = reason
    began = time.monotonic()
    for number in range(min(case.turns, most or case.turns)):
        if number >= LEAST and time.monotonic() - began > PATIENCE:
            break
        for turn in runs.values():
            turn.take()
    return tuple(_found(candidate, runs, why) for candidate in case.candidates)


def _made(case: Case, candidate: Candidate, steps: int) -> Turns:
    turns = Turns(apart(candidate.make, steps) if candidate.apart else candidate.make(steps), steps)
    if case.warm:
        turns.run()
    return turns


def _found(candidate: Candidate, runs: dict[str, Turns], why: dict[str, dict[str, Any]]) -> Found:
    common = {"name": candidate.name, "role": candidate.role, "aim": candidate.aim}
    if candidate.name in why:
        return Found(**common, **why[candidate.name])
    if candidate.parts:
        parts = {part.name: runs[part.name].times for part in candidate.parts}
        times = tuple(sum(turn) for turn in zip(*parts.values(), strict=True))
        return Found(**common, times=times, parts={name: median(times) for name, times in parts.items()})
    turns = runs[candidate.name]
    said = {name: sum(values) / len(values) for name, values in turns.said.items()}
    return Found(**common, times=tuple(turns.times), said=said)


def _reason(work: Callable[[], Any]) -> dict[str, Any]:
    """Why `work` could not be done; empty if it could."""
    try:
        work()
    except ModuleNotFoundError as error:
        return {"note": f"{error.name} is not installed: pip install 'langevax[bench]'"}
    except Exception as error:  # one candidate that fails does not take the others along
        return {"note": sentence(error), "failed": True}
    return {}


def sentence(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip() if lines else 'no message'}"


def load() -> float:
    """Processes that run or wait, averaged over the last minute; 0 where the system does not say."""
    with contextlib.suppress(OSError, AttributeError):
        return os.getloadavg()[0]
    return 0.0
