"""A run in a process of its own that still takes its turn, for a library whose speed depends on what else is there.

The system's allocator is why: by what a process did before, it keeps the arrays of an eager PyTorch loop from step to
step or maps them anew at each, in half or twice the time. In a process that does nothing else that is settled.
"""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from benchmarks.beside.case import Did, Run

_runs: dict[str, Run] = {}  # of the process that runs


def apart(make: Callable[[int], Run], steps: int) -> Run:
    """The run that `make(steps)` gives, made and called in another process; it says its seconds by the clock there.

    `make` is found there by its name: a function of a module, or a partial of one. Its errors there are raised here.
    """
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    pool.submit(_make, make, steps).result()
    return lambda: pool.submit(_take, steps).result()


def _make(make: Callable[[int], Run], steps: int) -> None:
    _runs["it"] = make(steps)


def _take(steps: int) -> Did:
    began = time.perf_counter()
    did = _runs["it"]()
    seconds = time.perf_counter() - began
    did = did if isinstance(did, Did) else Did(steps)
    return did if did.seconds is not None else replace(did, seconds=seconds)
