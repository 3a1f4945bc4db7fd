"""Times of a case: its candidates take turns, in one process unless one asks for its own.

Candidates take turns so that a machine whose speed drifts does not decide. A library whose speed depends on what else
its process does is timed in another process: the system's allocator keeps the arrays of an eager PyTorch loop from step
to step or maps them again at each, depending on what the process did before, in half or twice the time. This file
does not import JAX, so that such a process is PyTorch's alone.
"""

import contextlib
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.beside.case import Candidate, Case, Measurement, Run, RunResult


def seconds(function: Callable[[], Any]) -> float:
    """Wall time of one call; `function` waits for its own result."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def in_turns(
    candidates: dict[str, Callable[[], Any]], repeats: int = 9
) -> dict[str, list[float]]:
    """Seconds of each call, after one warm-up call each, in the order A B C, A B C, ..."""
    for function in candidates.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, function in candidates.items():
            times[name].append(seconds(function))
    return times


def ratio(times: dict[str, list[float]], top: str, bottom: str) -> float:
    """Median of the ratios of calls made one after the other."""
    return statistics.median(
        a / b for a, b in zip(times[top], times[bottom], strict=True)
    )


def median(times: list[float]) -> float:
    """Median seconds."""
    return statistics.median(times)


_runs: dict[str, Run] = {}  # of the process that runs


def apart(make: Callable[[int], Run], steps: int) -> Run:
    """The run that `make(steps)` gives, made and called in another process; it says its seconds by the clock there.

    The other process imports `make` by its name: a function of a module, or a partial of one. Its errors are raised
    here.
    """
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    pool.submit(_make, make, steps).result()
    return lambda: pool.submit(_take, steps).result()


def _make(make: Callable[[int], Run], steps: int) -> None:
    _runs["it"] = make(steps)


def _take(steps: int) -> RunResult:
    began = time.perf_counter()
    run_result = _runs["it"]()
    seconds = time.perf_counter() - began
    run_result = run_result if isinstance(run_result, RunResult) else RunResult(steps)
    return (
        run_result
        if run_result.seconds is not None
        else replace(run_result, seconds=seconds)
    )


LEAST, PATIENCE = (
    3,
    25.0,
)  # turns that are taken in any case, and seconds after which no further one begins


@dataclass
class Turns:
    """The runs of one candidate."""

    run: Run
    steps: int
    times: list[float] = field(default_factory=list)
    results: dict[str, list[float]] = field(default_factory=dict)

    def take(self) -> None:
        """One more run: seconds a unit."""
        began = time.perf_counter()
        run_result = self.run()
        seconds = time.perf_counter() - began
        if not isinstance(run_result, RunResult):
            run_result = RunResult(self.steps)
        self.times.append(
            (seconds if run_result.seconds is None else run_result.seconds)
            / run_result.units
        )
        for name, value in run_result.results.items():
            self.results.setdefault(name, []).append(value)


def timed(
    case: Case, share: float = 1.0, most: int | None = None
) -> tuple[Measurement, ...]:
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
            reason = _reason(
                lambda one=one, steps=steps: runs.update(
                    {one.name: _made(case, one, steps)}
                )
            )
            if reason:
                why[candidate.name] = reason
    began = time.monotonic()
    for number in range(min(case.turns, most or case.turns)):
        if number >= LEAST and time.monotonic() - began > PATIENCE:
            break
        for turn in runs.values():
            turn.take()
    return tuple(_measurement(candidate, runs, why) for candidate in case.candidates)


def _made(case: Case, candidate: Candidate, steps: int) -> Turns:
    turns = Turns(
        apart(candidate.make, steps) if candidate.apart else candidate.make(steps),
        steps,
    )
    if case.warm:
        turns.run()
    return turns


def _measurement(
    candidate: Candidate, runs: dict[str, Turns], why: dict[str, dict[str, Any]]
) -> Measurement:
    common = {"name": candidate.name, "role": candidate.role, "aim": candidate.aim}
    if candidate.name in why:
        return Measurement(**common, **why[candidate.name])
    if candidate.parts:
        parts = {part.name: runs[part.name].times for part in candidate.parts}
        times = tuple(sum(turn) for turn in zip(*parts.values(), strict=True))
        return Measurement(
            **common,
            times=times,
            parts={name: median(times) for name, times in parts.items()},
        )
    turns = runs[candidate.name]
    results = {
        name: sum(values) / len(values) for name, values in turns.results.items()
    }
    return Measurement(**common, times=tuple(turns.times), results=results)


def _reason(work: Callable[[], Any]) -> dict[str, Any]:
    """Return why `work` could not be done; empty if it could."""
    try:
        work()
    except ModuleNotFoundError as error:
        return {"note": f"{error.name} is not installed: pip install --group bench"}
    except (
        Exception
    ) as error:  # one candidate that fails does not take the others along
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
