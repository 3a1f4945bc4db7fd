"""Threads in which solves of several chains overlap.

A thread that waits for a server, a program or a compiled library leaves the interpreter to the others.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self, TypeVar

import jax

Returned = TypeVar("Returned")


class SolveThreads:
    """A context in which `map` calls a function of several items at once; one thread is the caller's own.

    Where the block is left by an exception, such as that of Ctrl-C, calls that have not begun never do, and those that
    run are not waited for.
    """

    def __init__(self, number: int):
        self.executor = (
            ThreadPoolExecutor(number, thread_name_prefix="langevax-solve")
            if number > 1
            else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.executor is not None:
            self.executor.shutdown(wait=kind is None, cancel_futures=True)

    def map(
        self, function: Callable[[Any], Returned], items: Iterable[Any]
    ) -> Iterator[Returned]:
        """Yield results in the order of the items."""
        if self.executor is None:
            return map(function, items)
        wide: Any = jax.config.read("jax_enable_x64")

        def in_thread(item: Any) -> Returned:
            with jax.enable_x64(wide):  # a new thread is without the caller's contexts
                return function(item)

        return self.executor.map(in_thread, items)


@contextmanager
def alternating(turn: float = 2e-5) -> Iterator[None]:
    """Let other threads run between lines of Python, every `turn` seconds, so that rare races happen soon."""
    before = sys.gettrace()
    last = time.perf_counter()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal last
        if event == "line" and time.perf_counter() - last > turn:
            time.sleep(turn / 2)
            last = time.perf_counter()
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
