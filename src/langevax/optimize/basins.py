"""Basins of local searches, and the expected number of unseen better ones.

N independent searches met w basins. Under a uniform law of their number and of their sizes, the expected number of
basins in all is w (N - 1) / (N - w - 2) (Boender and Rinnooy Kan, Math. Programming 37, 1987), so that

    E[unseen] = w (w + 1) / (N - w - 2),      E[unseen and better] = w / (N - w - 2)

where each basin is as likely as any other to be the best, an unseen one with probability 1 / (w + 1). Larger basins
tend to be deeper, which makes it an upper bound. It also bounds the probability that there is a better one. Basins
of one value count as one (`tally`): copies of a solution by a symmetry, turned molecules or permuted neurons, are
neither better nor worse than it, and may be infinitely many.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from langevax._typing import PyTree

NEAR = 2e-3
"""Distance in units of the box, for each root of the dimension, up to which two ends are in one basin."""


class Basin(NamedTuple):
    """A local minimum, and the share of the searches or chains that ended in it."""

    fun: float
    share: float
    x: PyTree[np.ndarray]


class Tally(NamedTuple):
    """Agreement of independent searches."""

    searches: int
    basins: int
    """Distinct ones."""
    at_best: int
    """Searches that ended at the best value."""

    @property
    def expected_better(self) -> float:
        """Expected number of unseen better basins."""
        return unseen_better(self.searches, self.basins) if self.at_best else math.inf

    @property
    def missable_share(self) -> float:
        """Share of the starts below which a basin can have been missed by all searches, with 5 % probability."""
        return min(1.0, 3 / self.searches) if self.searches else 1.0

    def sentence(self, one: str, many: str) -> str:
        """Say how many of the searches, by their name, ended at the best value."""
        others = self.basins - bool(self.at_best)
        basins = "a worse basin" if others == 1 else f"{others} worse basins"
        rest = f", the others in {basins}" if others else ""
        name = one if self.searches == 1 else many
        return (
            f"{self.at_best} of {self.searches} {name} ended at the best value{rest}."
        )


def unseen_better(searches: int, basins: int) -> float:
    """Return w / (N - w - 2), infinite where too few searches were made.

    Example:
        >>> from langevax.optimize.basins import unseen_better
        >>> unseen_better(16, 1), unseen_better(4, 2)
        (0.07692307692307693, inf)
    """
    return basins / (searches - basins - 2) if searches > basins + 2 else math.inf


def group_ends(
    ys: Float[np.ndarray, "searches d"],
    fun: Float[np.ndarray, " searches"],
    moved: Bool[np.ndarray, " searches"],
    difference: float,
    distance: float | None = None,
) -> tuple[Int[np.ndarray, " searches"], Int[np.ndarray, " basins"]]:
    """Return the basin of each end, and the best end of each basin, in order of value.

    Ends are in one basin where they are near in place, up to `distance` (`NEAR` by default), and in value up to
    `difference`. A search that has not moved,
    as on a plateau, is a basin of its own.
    """
    distance = NEAR * math.sqrt(ys.shape[1]) if distance is None else distance
    labels = np.zeros(len(fun), int)
    best_ends = np.zeros(0, int)
    for i in np.argsort(fun, kind="stable"):
        near = np.linalg.norm(ys[best_ends] - ys[i], axis=1) <= distance
        same = np.flatnonzero(
            near & (fun[i] - fun[best_ends] <= difference) & moved[best_ends] & moved[i]
        )
        labels[i] = same[0] if len(same) else len(best_ends)
        if not len(same):
            best_ends = np.append(best_ends, i)
    return labels, best_ends


def tally(
    ys: Float[np.ndarray, "searches d"],
    fun: Float[np.ndarray, " searches"],
    moved: Bool[np.ndarray, " searches"],
    difference: float,
    lowest: float,
) -> Tally:
    """Count the basins of independent searches, where `lowest` is the best value that any search has seen.

    Basins of one value are one, unless the second best value was met more often than the best: values then become
    rarer as they become better, as those of rings around a minimum do, and say little of better ones.
    """
    best = (fun <= lowest + difference) & moved
    at_best = int(best.sum())
    others = np.sort(fun[moved & ~best])
    level_of = np.cumsum(np.diff(others, prepend=-math.inf) > difference)
    second = int(np.sum(level_of == 1))
    if at_best >= second:
        worse = int(level_of[-1]) if len(others) else 0
        worse += int(np.sum(~moved))
    else:
        _, best_ends = group_ends(ys, fun, moved, difference)
        worse = int(np.sum(~best[best_ends]))
    return Tally(len(fun), worse + bool(at_best), at_best)
