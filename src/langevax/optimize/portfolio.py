"""The portfolio of `minimize`: local searches from everywhere, from near the best, and along axes.

In the order of cost, with one budget:

1. L-BFGS from the best of eight places each drawn in the box, in batches. Independent, so that basins can be counted;
   enough where they are few.
2. `Scan`: each coordinate alone over the whole box, by values. It solves sums over coordinates, whatever their minima.
3. `Hopping` (Li and Scheraga 1987; Leary 2000) from the best of a new batch: L-BFGS from perturbed places, where the
   best is replaced by better ones.

The ends of 1, and of runs of 3, are counted. Hops from the best of the first four searches, until eight bring nothing,
come before the other twelve. The portfolio stops when the expected number of unseen better basins is low enough
(`basins`) and hops from the best have brought nothing (`Hopping.doubts`), a whole run of them where there are several
basins: searches from everywhere may agree on a broad basin beside a small one that is better. Or it stops when the
budget is spent.
"""

import math
from typing import Protocol

import numpy as np

from langevax.optimize.basins import Tally
from langevax.optimize.hopping import Hopping
from langevax.optimize.landscape import LANES, Ends, Landscape
from langevax.optimize.local_search import Place


class Searches(Protocol):
    """The searches of one call."""

    land: Landscape
    largest_expected: float
    """Expected number of unseen better basins at which they end."""
    independent: Ends
    """Of searches from everywhere, which are independent of each other."""

    @property
    def ends(self) -> list[Ends]:
        """Ends of all kinds of searches that are counted."""
        ...

    def tallies(self) -> list[tuple[Tally, str, str]]:
        """Return what each kind agrees on, those from everywhere first, with the name of one and of many."""
        ...

    def run(self, start: Place) -> None:
        """Search until an unseen better basin is unlikely, or the budget is spent."""
        ...


class Portfolio:
    """The searches of one call with gradients, and which of them is next."""

    few_basins = 3
    """Searches for each basin from which more of them are likely to be enough to count basins."""

    def __init__(self, land: Landscape, largest_expected: float):
        self.land = land
        self.largest_expected = largest_expected
        self.independent = Ends()
        self.hopping = Hopping(land, lambda: self.best_of(LANES))

    @property
    def ends(self) -> list[Ends]:
        """Ends of both kinds of searches."""
        return [self.independent, self.hopping.ends]

    def tallies(self) -> list[tuple[Tally, str, str]]:
        """Return what local searches agree on, and runs of hopping, with their names."""
        return [
            (self.land.tally(self.independent), "local search", "local searches"),
            (self.land.tally(self.hopping.ends), "run of hopping", "runs of hopping"),
        ]

    def best_of(self, number: int) -> tuple[Place, float]:
        """Search from new places, and return the best end."""
        land = self.land
        ends = land.search(land.best_drawn(number))
        gains = ends.start_fun - ends.fun
        land.gains.extend(gains[np.isfinite(gains)])
        self.independent.take(ends)
        land.seen.take(ends)
        best = int(np.argmin(ends.fun))
        return ends.y[best], float(ends.fun[best])

    def run(self, start: Place) -> None:
        """Search until an unseen better basin is unlikely, or the budget is spent."""
        land = self.land
        self._begin(start)
        while not land.done:
            (searches, *_), (hops, *_) = self.tallies()
            expected = min(searches.expected_better, hops.expected_better)
            if expected <= self.largest_expected:
                if self.hopping.doubted_enough(self._needed_doubts(searches)):
                    return
            elif searches.basins * self.few_basins <= searches.searches:
                self.best_of(LANES)
            else:
                self.hopping.run()

    def _begin(self, start: Place) -> None:
        land = self.land
        land.seen.take(land.search(start[None]))
        if not land.done:
            self.best_of(3)
        if math.isfinite(land.best_fun) and np.any(land.seen.moved):
            self.hopping.hop(land.best_y, land.best_fun, LANES // 2)
        if not land.done:
            self.best_of(12)
        land.check_not_flat()

    def _needed_doubts(self, searches: Tally) -> int:
        """Return how many hops from the best are to lead nowhere: fewer where searches know a single basin."""
        patience = self.hopping.patience
        return min(searches.searches, patience) if searches.basins == 1 else patience
