"""Cases and their measurements: cases with their candidates, and lines of the table.

Ratios, and whether aims are met, are derived from the times of the turns.
"""

import importlib
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Role = Literal["ours", "peer", "floor"]

FILES = (
    "mfld_step",
    "driver",
    "sampling",
    "tables",
    "function_space",
    "two_phase",
    "federated",
)
"""Files of `benchmarks` that declare `CASES`, in the order of the table."""


@dataclass(frozen=True)
class RunResult:
    """The result of a run, where it is not its number of steps in the seconds of the call.

    Args:
        units: how many of the case's units it did: steps, effective draws, fits, rounds.
        seconds: by its own clock, where what is compared is only a part of the call.
        results: numbers that belong to its time, by name: a score, an amount of traffic.
    """

    units: float
    seconds: float | None = None
    results: dict[str, float] = field(default_factory=dict)


Run = Callable[[], Any]
"""Does the work and waits for it; returns a `RunResult`, or anything else, which is ignored."""


@dataclass(frozen=True)
class Candidate:
    """One way to do the task.

    Args:
        name: as the table shows it.
        make: make(steps) loads data and gives a run of so many steps.
        steps: of a timed run; long enough that starting it is nothing.
        role: "ours"; a "peer", which is to be slower; a "floor", below which ours cannot be or is not expected.
        aim: what peer / ours is to be at least, ours / floor at most.
        needs: modules to import before memory is counted; those that are not installed are listed.
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
    return [
        replace(case, file=file)
        for case in importlib.import_module(f"benchmarks.{file}").CASES
    ]


def chosen(words: Iterable[str], files: Iterable[str] = FILES) -> list[Case]:
    """Cases whose name holds one of the words, or all of them; ValueError for a word that chooses nothing."""
    cases, words = [case for file in files for case in cases_of(file)], list(words)
    for word in words:
        if not any(word.lower() in case.name.lower() for case in cases):
            names = "\n  ".join(case.name for case in cases)
            raise ValueError(
                f"no task has {word!r} in its name; the tasks are\n  {names}"
            )
    return [
        case
        for case in cases
        if not words or any(word.lower() in case.name.lower() for word in words)
    ]


@dataclass(frozen=True)
class Measurement:
    """One candidate.

    Args:
        times: seconds a unit, one for each turn.
        results: its own numbers, means over turns.
        parts: median seconds of each part, of a floor that is a sum.
        peak: bytes over what its imports hold, at the most: data, compiling and running.
        running: bytes that a run takes once it is compiled, over what is held before it.
        note: why there are no times: not installed, or what went wrong.
        failed: whether that is more than not being installed.
    """

    name: str
    role: Role
    aim: float | None = None
    times: tuple[float, ...] = ()
    results: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    peak: float | None = None
    running: float | None = None
    note: str = ""
    failed: bool = False

    @property
    def seconds(self) -> float | None:
        """Median seconds a unit."""
        return statistics.median(self.times) if self.times else None


@dataclass(frozen=True)
class Line:
    """One task.

    Args:
        measurements: ours first.
        load: of the machine before it was timed, in processes waiting or running.
        spent: seconds that measuring took.
        device: what JAX computed on.
        note: why there are no measurements.
    """

    name: str
    unit: str
    measurements: tuple[Measurement, ...] = ()
    load: float = 0.0
    spent: float = 0.0
    device: str = ""
    note: str = ""

    @property
    def ours(self) -> Measurement | None:
        """Our own candidate, where it was timed."""
        return next(
            (f for f in self.measurements if f.role == "ours" and f.times), None
        )

    @property
    def failed(self) -> bool:
        """Return whether something went wrong."""
        return bool(self.note) or any(f.failed for f in self.measurements)

    def ratios(self, measurement: Measurement) -> list[float]:
        """peer / ours, or ours / floor, turn by turn: neighbours in time are compared, not medians."""
        ours = self.ours
        if ours is None or measurement is ours or not measurement.times:
            return []
        pairs = zip(measurement.times, ours.times, strict=True)
        return [
            own / other if measurement.role == "floor" else other / own
            for other, own in pairs
        ]

    def ratio(self, measurement: Measurement) -> float | None:
        """Median over turns."""
        ratios = self.ratios(measurement)
        return statistics.median(ratios) if ratios else None

    def quartiles(self, measurement: Measurement) -> tuple[float, float] | None:
        """First and third quartile of the ratios over turns."""
        ratios = self.ratios(measurement)
        if len(ratios) < 3:
            return None
        first, _, third = statistics.quantiles(ratios, n=4, method="inclusive")
        return first, third

    def met(self, measurement: Measurement) -> bool | None:
        """Return whether the aim is met; None without an aim or a ratio."""
        ratio = self.ratio(measurement)
        if ratio is None or measurement.aim is None:
            return None
        return (
            ratio <= measurement.aim
            if measurement.role == "floor"
            else ratio >= measurement.aim
        )

    def as_json(self) -> dict[str, Any]:
        """Everything, derived numbers included."""
        measurements = [
            asdict(f)
            | {
                "seconds": f.seconds,
                "ratio": self.ratio(f),
                "quartiles": self.quartiles(f),
                "met": self.met(f),
            }
            for f in self.measurements
        ]
        return asdict(self) | {"failed": self.failed, "measurements": measurements}

    @classmethod
    def of_json(cls, record: dict[str, Any]) -> "Line":
        """From `as_json`; derived numbers are derived again."""
        measurements = tuple(
            Measurement(**_fields(Measurement, f) | {"times": tuple(f["times"])})
            for f in record["measurements"]
        )
        return cls(**_fields(cls, record) | {"measurements": measurements})


def _fields(kind: type, record: dict[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in kind.__dataclass_fields__ if name in record}
