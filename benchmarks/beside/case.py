"""What is measured: a task, and its candidates."""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Role = Literal["ours", "peer", "floor"]

FILES = (
    "mfld_step",
    "driver",
    "svrg_chains",
    "sampling",
    "solvers",
    "function_space",
    "tables",
    "two_phase",
    "flower",
)
"""Files of `benchmarks` that declare `CASES`, in the order of the table."""


@dataclass(frozen=True)
class Did:
    """What a run says of itself, where it is not so many steps in as many seconds as the call took.

    Args:
        units: how many of the case's units it did: steps, effective draws, fits, rounds.
        seconds: by its own clock, where what is compared is only a part of the call.
        said: what its time has to be read with, by name: a score, an amount of traffic.
    """

    units: float
    seconds: float | None = None
    said: dict[str, float] = field(default_factory=dict)


Run = Callable[[], Any]
"""Does the work and waits for it; what it returns is a `Did`, or does not matter here."""


@dataclass(frozen=True)
class Candidate:
    """One way to do the task.

    Args:
        name: as the table shows it.
        make: make(steps) loads data and gives a run of so many steps.
        steps: of a timed run; long enough that starting it is nothing.
        role: "ours"; a "peer", which is to be slower; a "floor", below which ours cannot be or is not expected.
        aim: what peer / ours is to be at least, ours / floor at most.
        needs: modules to import before memory is counted; one that is not installed is said.
        parts: a floor that is the sum of these, each timed alone; `make` is None then.
        apart: timed in a process that does nothing else, as its users have it; `make` can be pickled then.
        one_process: False where other processes do the work, whose memory is not seen from here.
    """

    name: str
    make: Callable[[int], Run] | None
    steps: int = 1
    role: Role = "peer"
    aim: float | None = None
    needs: tuple[str, ...] = ()
    parts: tuple["Candidate", ...] = ()
    apart: bool = False
    one_process: bool = True


@dataclass(frozen=True)
class Case:
    """A task, timed in turns.

    Args:
        name: unique in the table; a part of it chooses it on the command line.
        unit: of what the seconds are: "a step".
        candidates: ours first.
        turns: how often each is timed.
        warm: whether a first run, which compiles, is left out.
        limit: seconds after which timing it is given up.
        file: that declares it; `cases_of` fills it in.
    """

    name: str
    unit: str
    candidates: tuple[Candidate, ...]
    turns: int = 7
    warm: bool = True
    limit: float = 120.0
    file: str = ""


def cases_of(file: str) -> list[Case]:
    """The cases that a file of `benchmarks` declares."""
    return [replace(case, file=file) for case in importlib.import_module(f"benchmarks.{file}").CASES]


def chosen(words: Iterable[str], files: Iterable[str] = FILES) -> list[Case]:
    """Cases whose name holds one of the words, or all of them; ValueError for a word that chooses nothing."""
    cases, words = [case for file in files for case in cases_of(file)], list(words)
    for word in words:
        if not any(word.lower() in case.name.lower() for case in cases):
            names = "\n  ".join(case.name for case in cases)
            raise ValueError(f"no task has {word!r} in its name; the tasks are\n  {names}")
    return [case for case in cases if not words or any(word.lower() in case.name.lower() for word in words)]
