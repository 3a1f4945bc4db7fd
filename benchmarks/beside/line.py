"""What was found: a line of the table. Ratios, and whether aims are met, are derived from the times of the turns."""

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.beside.case import Role


@dataclass(frozen=True)
class Found:
    """One candidate.

    Args:
        times: seconds a unit, one for each turn.
        said: what it reports of its own, mean over turns.
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
    said: dict[str, float] = field(default_factory=dict)
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
        found: ours first.
        load: of the machine before it was timed, in processes waiting or running.
        spent: seconds that measuring took.
        device: what JAX computed on.
        note: why nothing was found.
    """

    name: str
    unit: str
    found: tuple[Found, ...] = ()
    load: float = 0.0
    spent: float = 0.0
    device: str = ""
    note: str = ""

    @property
    def ours(self) -> Found | None:
        """Our own candidate, where it was timed."""
        return next((f for f in self.found if f.role == "ours" and f.times), None)

    @property
    def failed(self) -> bool:
        """Whether something went wrong."""
        return bool(self.note) or any(f.failed for f in self.found)

    def ratios(self, found: Found) -> list[float]:
        """peer / ours, or ours / floor, turn by turn: neighbours in time are compared, not medians."""
        ours = self.ours
        if ours is None or found is ours or not found.times:
            return []
        pairs = zip(found.times, ours.times, strict=True)
        return [own / other if found.role == "floor" else other / own for other, own in pairs]

    def ratio(self, found: Found) -> float | None:
        """Median over turns."""
        ratios = self.ratios(found)
        return statistics.median(ratios) if ratios else None

    def quartiles(self, found: Found) -> tuple[float, float] | None:
        """First and third quartile of the ratios over turns."""
        ratios = self.ratios(found)
        if len(ratios) < 3:
            return None
        first, _, third = statistics.quantiles(ratios, n=4, method="inclusive")
        return first, third

    def met(self, found: Found) -> bool | None:
        """Whether the aim is met; None without an aim or a ratio."""
        ratio = self.ratio(found)
        if ratio is None or found.aim is None:
            return None
        return ratio <= found.aim if found.role == "floor" else ratio >= found.aim

    def as_json(self) -> dict[str, Any]:
        """Everything, derived numbers included."""
        found = [
            asdict(f)
            | {"seconds": f.seconds, "ratio": self.ratio(f), "quartiles": self.quartiles(f), "met": self.met(f)}
            for f in self.found
        ]
        return asdict(self) | {"failed": self.failed, "found": found}

    @classmethod
    def of_json(cls, said: dict[str, Any]) -> "Line":
        """From `as_json`; derived numbers are derived again."""
        found = tuple(Found(**_fields(Found, f) | {"times": tuple(f["times"])}) for f in said["found"])
        return cls(**_fields(cls, said) | {"found": found})


def _fields(kind: type, said: dict[str, Any]) -> dict[str, Any]:
    return {name: said[name] for name in kind.__dataclass_fields__ if name in said}
