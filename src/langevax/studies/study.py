"""What a study is: a claim of a paper, the measurement of it, the picture, and the verdict.

Each study is one file or folder with a `STUDY` at its end: `measure` returns a dataset that holds all numbers, `draw`
makes the figure from the dataset alone, `judge` holds each number beside the one that was predicted, and says in a
sentence what was found. So a figure can be drawn again from the file that was saved, and a verdict cannot know more
than the numbers.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from langevax.figures.moving import Scene


@dataclass(frozen=True)
class Config:
    """What a study is measured with; a study with settings of its own extends it by a field for each."""

    size: Literal["full", "small"] = "full"
    """"small" takes seconds, for tests and looks."""
    seed: int = 0
    """Of everything random."""


def setting(about: str, parse: Callable[[str], Any]) -> Any:
    """A field of a `Config` that researchers may change, so that a new figure needs no code; None: as its size has it.

    `about` says what it is, its units, and what it may be; `parse` reads the words of a command line and raises
    ValueError.

    Example:
        >>> @dataclass(frozen=True)
        ... class Warm(Config):
        ...     temperature: float | None = setting("of the chain, in units of F", number)
        >>> Warm(seed=1).temperature is None
        True
    """
    return field(default=None, metadata={"about": about, "parse": parse})


@dataclass(frozen=True)
class Claim:
    """One number beside the one that was predicted. It can fail.

    Example:
        >>> claim = Claim("the law has variance T", "Theorem 1", measured=1.02, predicted=1.0, tolerance=0.05)
        >>> claim.holds, Claim("passes of SVRG-LD", "Theorem 2", 3.0, 2.0, 0.5, relation="at most").holds
        (True, False)
    """

    statement: str
    """In plain words, with what the numbers are."""
    source: str
    """The theorem or equation, or the exact law that predicts it."""
    measured: float
    predicted: float
    tolerance: float
    """How far `measured` may be from `predicted`, or on the wrong side of it; in their unit."""
    relation: Literal["equals", "at most", "at least"] = "equals"
    error: float | None = None
    """Standard error of `measured`, where it has one."""
    unit: str = ""

    @property
    def holds(self) -> bool:
        """Whether it does; a number that is none does not."""
        over = self.measured - self.predicted
        off = {"equals": abs(over), "at most": over, "at least": -over}[self.relation]
        return bool(off <= self.tolerance)


@dataclass(frozen=True)
class Verdict:
    """What was found."""

    claims: tuple[Claim, ...]
    sentence: str
    """With the measured numbers and their errors."""
    numbers: dict[str, float]
    """Whatever else was measured."""

    @property
    def holds(self) -> bool | None:
        """Whether all claims do; None where there is nothing to judge but to see."""
        return all(claim.holds for claim in self.claims) if self.claims else None


def numbers(words: str) -> tuple[float, ...]:
    """Positive numbers with commas between them.

    >>> numbers("1, 2.5")
    (1.0, 2.5)
    """
    found = tuple(float(word) for word in words.split(","))
    if not all(0 < value < float("inf") for value in found):
        raise ValueError("positive numbers with commas between them are wanted")
    return found


def number(words: str) -> float:
    """One positive number.

    >>> number("1e-3")
    0.001
    """
    found = numbers(words)
    if len(found) != 1:
        raise ValueError("one positive number is wanted")
    return found[0]


@dataclass(frozen=True)
class Study:
    """A claim and how it is held against a measurement."""

    name: str
    part: Literal["problem", "gradient", "integrator", "algorithm"]
    """Which of the four parts of a step it is about."""
    brief: str
    """The claim in a few words, for a map."""
    claim: str
    """What the paper says, in our words."""
    formula: str
    """The same in LaTeX."""
    source: str
    """The paper, with the number of the theorem or equation."""
    measure: "Callable[[Any, bool | None], xarray.Dataset]"
    """measure(config, progress): all numbers."""
    draw: "Callable[[xarray.Dataset], Figure]"
    judge: "Callable[[xarray.Dataset], Verdict]"
    see: str
    """What to look at in the figure."""
    config: type[Config] = Config
    move: "Callable[[xarray.Dataset], Scene] | None" = None
    """What moves, for a page."""

    @property
    def options(self) -> dict[str, Mapping[str, Any]]:
        """What of `config` can be changed beside size and seed: its name, and its `about` and `parse`."""
        return {each.name: each.metadata for each in fields(self.config) if each.metadata}

    def run(self, config: Config | None = None, progress: bool | None = None) -> "xarray.Dataset":
        """Measure, by default at full size; attributes say with what, by which versions, how long and when."""
        config = self.config() if config is None else config
        began = time.perf_counter()
        data = self.measure(config, progress)
        told = {"study": self.name, "config": json.dumps(asdict(config)), "versions": json.dumps(_versions())}
        took = {"seconds": round(time.perf_counter() - began, 1)}
        return data.assign_attrs(told | took | {"ended": datetime.now(UTC).isoformat(timespec="seconds")})

    def claims(self, data: "xarray.Dataset") -> tuple[Claim, ...]:
        """Each claim with the number that was predicted and the one that was measured."""
        return self.judge(data).claims

    def save(
        self, folder: str | Path, data: "xarray.Dataset", request: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Write `data.nc`, `figure.svg`, `.pdf`, `.png` and `verdict.json` to `folder`, which is made where it is not.

        `verdict.json` is taken away first and put in place last, in one move: where it stands, all else is whole and
        of the same run. `request`, what was asked for as JSON can hold it, is kept in it and in the data's attributes.
        """
        figure, verdict, folder = self.draw(data), self.judge(data), Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        last, part = folder / "verdict.json", folder / ".verdict.part"
        last.unlink(missing_ok=True)
        asked = {} if request is None else {"request": dict(request)}
        data.assign_attrs({key: json.dumps(words) for key, words in asked.items()}).to_netcdf(
            folder / "data.nc", engine="h5netcdf"
        )
        for kind in ("svg", "pdf", "png"):
            figure.savefig(folder / f"figure.{kind}", dpi=200, bbox_inches="tight")
        content = {"study": self.name, "claim": self.claim, "source": self.source, "holds": verdict.holds}
        content |= {"verdict": verdict.sentence, "claims": [_told(each) for each in verdict.claims]}
        content |= {"numbers": verdict.numbers, "see": self.see} | asked
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(last)
        return content


def _told(claim: Claim) -> dict[str, Any]:
    told = asdict(claim) | {"holds": claim.holds}
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in told.items()
    }


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    from langevax._version import __version__

    others = {name: version(name) for name in ("jax", "jaxlib", "numpy", "xarray")}
    return {"langevax": __version__, "python": platform.python_version()} | others
