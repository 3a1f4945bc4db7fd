"""What a report holds of a fit on curves: a sample of them, and the functions that the network learned."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Group:
    """Curves of one class, or of one third of the targets."""

    name: str
    curves: list[tuple[np.ndarray, np.ndarray]]
    """(times, values) of each."""


@dataclass(frozen=True)
class Sample:
    """Some training curves of one channel, from the lowest targets to the highest, or class by class."""

    label: str
    groups: tuple[Group, ...]
    ordered: bool
    """Whether the groups are thirds of the targets, and not classes."""
    size: int
    """Of all training curves."""


@dataclass(frozen=True)
class Functions:
    """Many functions on one grid, of one channel."""

    label: str
    grid: np.ndarray
    median: np.ndarray
    half: np.ndarray
    """(2, G): quartiles at each time."""
    most: np.ndarray
    """(2, G): between these are nine tenths."""
    prior: np.ndarray | None = None
    """(G,): nine tenths of what the prior draws lie within this of zero."""


@dataclass(frozen=True)
class CurveContents:
    """Each tuple has an entry a channel."""

    time: str
    """What times are called."""
    answer: str
    """What the slopes are of: the target, or the log odds of a class."""
    given: tuple[Sample, ...]
    seen: tuple[Sample, ...]
    """As the network sees them, where that is not as they were given: differentiated, or filled in."""
    slopes: tuple[Functions, ...]
    """beta(t) over the training curves."""
    weights: tuple[Functions, ...]
    """theta(t) over the neurons."""


@dataclass(frozen=True)
class Slope:
    """The median of beta(t) over training curves, frame by frame."""

    grid: np.ndarray
    values: np.ndarray
    """(frame, G)."""
    time: str
    label: str
    """Of the channel."""
    answer: str
