"""Which chains ended in the same basin, and what that says in words."""

from typing import Any, NamedTuple

import numpy as np

from langevax.optimize.descent import Minimum

NEAR = 1e-2
"""Of the scale of the starts: minima no further apart than this, and equal in value, are one."""


class Basin(NamedTuple):
    """A local minimum and the share of the chains whose end polishes to it."""

    fun: float
    share: float
    x: Any


class Grouping(NamedTuple):
    """Chains by minimum, the best first; and how many ended at the best value, whichever minimum has it."""

    members: list[list[int]]
    """Indices into the minima; the first of each group is its best."""
    at_best: int
    best_groups: int


def group(minima: list[Minimum], num_chains: int, distance: float, difference: float) -> Grouping:
    """Minima in order of value; each joins the first group whose best is near in place and in value.

    Args:
        minima: of the chains, and after these of other places, which count for no share.
        distance, difference: up to which two minima are one.
    """
    members: list[list[int]] = []
    for i in np.argsort([m.fun for m in minima], kind="stable"):
        for indices in members:
            best = minima[indices[0]]
            if (
                minima[i].fun - best.fun <= difference
                and np.linalg.norm(np.subtract(minima[i].x, best.x, dtype=float)) <= distance
            ):
                indices.append(int(i))
                break
        else:
            members.append([int(i)])
    lowest = float(np.nanmin([m.fun for m in minima]))
    best_groups = [indices for indices in members if minima[indices[0]].fun - lowest <= difference]
    at_best = sum(i < num_chains for indices in best_groups for i in indices)
    return Grouping(members, at_best, sum(any(i < num_chains for i in g) for g in best_groups))


def tolerances(minima: list[Minimum], spread: float, scale: float) -> tuple[float, float]:
    """(distance, difference) up to which two minima are one.

    The distance is NEAR times the `scale` of the starts, or of the minima where all starts are one; the difference is
    what the square root of the rounding leaves of the `spread` of values at the starts.
    """
    first, lowest = minima[0].x, float(np.nanmin([m.fun for m in minima]))
    eps = float(np.finfo(first.dtype).eps)
    scale = scale or float(np.abs(first).max()) or 1.0
    return NEAR * scale * float(np.sqrt(first.size)), float(np.sqrt(eps)) * spread + 100 * eps * abs(lowest)


def sentence(grouping: Grouping, num_chains: int) -> str:
    """How far the chains agree, and what to do where they do not."""
    at_best = grouping.at_best
    groups = sum(any(i < num_chains for i in members) for members in grouping.members)
    more = "raise num_steps or num_chains"
    if num_chains == 1 and at_best:
        return "One chain cannot tell whether there is a better basin; raise num_chains."
    if at_best == 0:
        return f"No chain ended in the best basin, which was only met on the way; {more}, or cool further."
    if at_best == 1:
        return f"Only 1 of {num_chains} chains ended in the best basin: there may well be a better one; {more}."
    if at_best < num_chains:
        others = groups - grouping.best_groups
        where = f"the others in {others} worse ones" if others > 1 else "the others in a worse one"
        best = "the best basin" if grouping.best_groups == 1 else f"{grouping.best_groups} basins of the best value"
        return f"{at_best} of {num_chains} chains ended in {best}, {where}; to be surer, {more}."
    if grouping.best_groups > 1:
        return f"All {num_chains} chains ended at the best value, in {grouping.best_groups} distinct minima."
    return f"All {num_chains} chains ended in one basin."
