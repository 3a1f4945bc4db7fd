"""What a study is: a claim of a paper, the measurement of it, the picture, and the verdict.

Each study is one file with a `STUDY` at its end: `measure` returns a dataset that holds all numbers, `draw` makes the
figure from the dataset alone, `judge` says in a sentence what was found, and whether the claim held. So a figure can be
drawn again from the file that was saved, and a verdict cannot know more than the numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Verdict:
    """`holds` is None where there is nothing to judge but to see."""

    holds: bool | None
    sentence: str
    """With the measured numbers and their errors."""
    numbers: dict[str, float]


@dataclass(frozen=True)
class Option:
    """What a study lets a researcher change, so that a new figure needs no code."""

    help: str
    """What it is, its units, and what it may be."""
    parse: Callable[[str], Any]
    """From the words of the command line; raises ValueError."""


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
    claim: str
    """What the paper says, in our words."""
    source: str
    """The paper, with the number of the theorem or equation."""
    measure: "Callable[..., xarray.Dataset]"
    """measure(size="full" | "small", seed=0, progress=None, **options): "small" takes seconds, for tests and looks."""
    draw: "Callable[[xarray.Dataset], Figure]"
    judge: "Callable[[xarray.Dataset], Verdict]"
    see: str
    """What to look at in the figure."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """Further keywords of `measure`, each with a default of its own."""

    def run(
        self, size: Literal["full", "small"] = "full", seed: int = 0, progress: bool | None = None, **options: Any
    ) -> "tuple[xarray.Dataset, Figure, Verdict]":
        """All three."""
        data = self.measure(size=size, seed=seed, progress=progress, **options)
        return data, self.draw(data), self.judge(data)

    def save(
        self,
        folder: str | Path,
        data: "xarray.Dataset",
        figure: "Figure",
        verdict: Verdict,
        request: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Write `data.nc`, `figure.svg`, `figure.png` and `verdict.json` to `folder`, which is made where it is not.

        `verdict.json` is taken away first and put in place last, in one move: where it stands, all else is whole and
        of the same run. `request`, what was asked for as JSON can hold it, is kept in it and in the data's attributes.
        """
        import json

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        last, part = folder / "verdict.json", folder / ".verdict.part"
        last.unlink(missing_ok=True)
        asked = {} if request is None else {"request": dict(request)}
        data.assign_attrs({key: json.dumps(words) for key, words in asked.items()}).to_netcdf(
            folder / "data.nc", engine="h5netcdf"
        )
        for kind in ("svg", "png"):
            figure.savefig(folder / f"figure.{kind}", dpi=200, bbox_inches="tight")
        content = {"study": self.name, "claim": self.claim, "source": self.source, "holds": verdict.holds}
        content |= {"verdict": verdict.sentence, "numbers": verdict.numbers, "see": self.see} | asked
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(last)
        return content
