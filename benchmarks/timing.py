"""Paired timings: candidates take turns, so that a machine whose speed drifts does not decide."""

import statistics
import time
from collections.abc import Callable
from typing import Any


def seconds(function: Callable[[], Any]) -> float:
    """Wall time of one call; `function` waits for its own result."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def in_turns(candidates: dict[str, Callable[[], Any]], repeats: int = 9) -> dict[str, list[float]]:
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
    return statistics.median(a / b for a, b in zip(times[top], times[bottom], strict=True))


def median(times: list[float]) -> float:
    """Median seconds."""
    return statistics.median(times)
