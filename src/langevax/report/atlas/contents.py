"""What an atlas tells, as plain contents: a page of studies that knows no study."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langevax.figures.moving import Scene
from langevax.figures.twin import Twin

Part = Literal["algorithm", "integrator", "gradient", "problem"]
Verdict = Literal["holds", "fails", "shown", "missing"]


@dataclass(frozen=True)
class Claimed:
    """A number beside the one that was predicted; None stands for what is no number."""

    statement: str
    source: str
    measured: float | None
    predicted: float | None
    tolerance: float | None
    relation: str
    """"equals", "at most" or "at least"."""
    error: float | None
    """Standard error of `measured`."""
    unit: str
    holds: bool


@dataclass(frozen=True)
class Found:
    """What a study left in its folder."""

    holds: bool | None
    """None where there is nothing to judge but to see."""
    sentence: str
    claims: tuple[Claimed, ...] = ()
    pictures: tuple[Twin, ...] = ()
    places: tuple[str, ...] = ()
    """Where each of `pictures` stands on paper, for the words of `see`."""
    printed: bytes = b""
    """The figure as SVG, where `pictures` could not be made."""
    scene: Scene | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    """What was asked for beside size and seed."""
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    ended: str = ""
    """The moment, ISO 8601."""
    remark: str = ""
    """What a reader of the pictures should know of how they were made."""


@dataclass(frozen=True)
class Told:
    """A study: what it claims, and what was found."""

    name: str
    part: Part
    brief: str
    """The claim in a few words."""
    claim: str
    formula: str
    """LaTeX."""
    source: str
    see: str
    """What to look at in the figure."""
    command: str
    """What measures it again."""
    found: Found | None
    reason: str = ""
    """Why there is nothing found, as a sentence."""

    @property
    def verdict(self) -> Verdict:
        """What the page says of it."""
        if self.found is None:
            return "missing"
        return "shown" if self.found.holds is None else "holds" if self.found.holds else "fails"


@dataclass(frozen=True)
class Atlas:
    """A page."""

    studies: tuple[Told, ...]
    run: str
    """What measures all of them."""
    command: str
    """What measures them again into the same folder, and makes this page of it."""

    @property
    def found(self) -> dict[str, Found]:
        """By name, those that were measured."""
        return {told.name: told.found for told in self.studies if told.found is not None}
