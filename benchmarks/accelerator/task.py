"""Tasks and candidates of the table of an accelerator, and the sizes that they run at."""

import functools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmarks import federated
from benchmarks.accelerator.work import Work

COMPILERS = "c++", "g++", "clang++"
NO_COMPILER = f"torch.compile needs a C++ compiler: install one of {', '.join(COMPILERS)}, or name yours in CXX"
TRACED_ONLY = "torch.compile only traces at small sizes (backend 'eager'): compiling takes a C++ compiler and minutes."


class Units(NamedTuple):
    """Result of a run that did so many units, where the run itself decides how many."""

    number: float


@dataclass(frozen=True)
class Candidate:
    """One way to do a task: make(steps) gives a run of so many steps that waits for its result."""

    name: str
    make: Callable[[int], Callable[[], Any]] | None
    needs: str = ""
    """A package without which it is left out."""
    precision: str = "float32"
    """Of the peak of products that it is compared with; "default" is what JAX and PyTorch do unasked."""
    reason: str = ""
    """Where it is left out on any machine, or on this one: the reason, which the table prints."""


@dataclass(frozen=True)
class Task:
    """A line of the table for each candidate, ours first."""

    name: str
    unit: str
    candidates: tuple[Candidate, ...]
    work: Callable[[], Work] | None = None
    """Of a unit; None where many programs take part."""
    once: bool = False
    """Whether a run has a length of its own: one unit, or as many as its `Units` say."""


@dataclass(frozen=True)
class Scale:
    """Sizes of the tasks."""

    clouds: tuple[tuple[int, int], ...]
    """Rows and particles."""
    chain_rows: int
    batch_size: int
    modes: int
    sampled_rows: tuple[int, ...]
    certified: tuple[int, int, float]
    """Rows, columns and effort."""
    descents: int
    """Starts of descents of a certificate on these rows."""
    clients: tuple[int, int, int]
    """Clients, coordinates, and clients of a round."""
    trained: tuple[int, int, int, int | None]
    """Rows, particles, steps and the batch of a table's fit; batch None takes all rows."""
    compiler: str
    """Backend of `torch.compile`."""


FULL = Scale(
    clouds=((10**4, 10**4), (10**4, 10**5), (10**4, 10**6)),
    chain_rows=10**6,
    batch_size=1000,
    modes=10**6,
    sampled_rows=(10**6, 10**7),
    certified=(2000, 20, 3e9),
    descents=2**15,
    clients=(federated.NUM_CLIENTS, federated.DIM, federated.ASKED),
    trained=(20_640, 500, 10_000, 512),
    compiler="inductor",
)
SMOKE = Scale(
    clouds=((256, 512),),
    chain_rows=2000,
    batch_size=32,
    modes=2000,
    sampled_rows=(2000,),
    certified=(50, 2, 1e6),
    descents=256,
    clients=(8, 10, 4),
    trained=(60, 100, 50, None),
    compiler="eager",
)


def of_torch(
    make: Callable[[str | None, int], Callable[[], Any]], compiler: str
) -> tuple[Candidate, Candidate]:
    """Return PyTorch's two candidates, eager and compiled, of make(backend of the compiler or None, steps)."""
    missing = compiler == "inductor" and not (
        os.environ.get("CXX") or any(map(shutil.which, COMPILERS))
    )
    return (
        Candidate("PyTorch, eager", functools.partial(make, None), "torch"),
        Candidate(
            f"PyTorch, torch.compile ({compiler})",
            functools.partial(make, compiler),
            "torch",
            reason=NO_COMPILER if missing else "",
        ),
    )
