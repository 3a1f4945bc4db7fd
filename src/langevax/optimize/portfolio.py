"""The portfolio of `minimize`: local searches from everywhere, from near the best, along axes, and an evolving law.

In the order of cost, with one budget:

1. `Multistart`: L-BFGS from the best of eight places each drawn in the box, in batches. Independent, so that basins can
   be counted; enough where they are few.
2. `Scan`: each coordinate alone over the whole box, by values. It solves sums over coordinates, whatever their minima.
3. `Hopping` (Li and Scheraga 1987; Leary 2000) from the best of a new batch: L-BFGS from perturbed places, where the
   best is replaced by better ones.
4. `Evolving`: CMA-ES with a population that doubles, then L-BFGS from its mean and best.

Each keeps the `ends` of its independent runs, which are counted. 3 and 4 take turns. Hops from the best of the first
four searches, until eight bring nothing, come before the other twelve. The portfolio stops when the expected number of
unseen better basins is low enough (`basins`) and hops from the best have brought nothing (`Hopping.doubts`), a whole
run of them where there are several basins: searches from everywhere may agree on a broad basin beside a small one that
is better. Or it stops when the budget is spent.
"""

import math
from typing import Protocol

import numpy as np

from langevax.optimize.basins import NEAR, Tally, tally
from langevax.optimize.evolution import Evolution, default_population
from langevax.optimize.hopping import Hopping
from langevax.optimize.landscape import LANES, Ends, Landscape
from langevax.optimize.local_search import CHUNK, Place


class PlannedSearch(Protocol):
    """A kind of search, whose runs are independent of each other."""

    ends: Ends
    """Of its runs."""

    def run(self) -> None:
        """Make one run more, or a batch of them."""
        ...


class Multistart:
    """Local searches from everywhere."""

    def __init__(self, land: Landscape):
        self.land = land
        self.ends = Ends()
        self.number = 0
        self.settled = 0

    def run(self) -> None:
        """Search from a batch of new places."""
        self.best_of(LANES)

    def best_of(self, number: int) -> tuple[Place, float]:
        """Search from new places, and return the best end."""
        land = self.land
        ends = land.search(land.best_drawn(number))
        gains = ends.start_fun - ends.fun
        self.number += number
        self.settled += int(ends.settled.sum())
        land.gains.extend(gains[np.isfinite(gains)])
        self.ends.take(ends)
        land.seen.take(ends)
        best = int(np.argmin(ends.fun))
        return ends.y[best], float(ends.fun[best])


class Evolving:
    """Runs of CMA-ES, each with twice the population of the one before."""

    width = 0.3
    narrow_widths = (1e-3, 1e-9)
    """Widths at which L-BFGS begins; the second where it leads to two minima at the first."""
    flat_generations = 20
    """Generations of equal values that end an evolution."""

    def __init__(self, land: Landscape):
        self.land = land
        self.ends = Ends()
        self.population = default_population(land.dimension)
        self.budget: float = math.inf
        """Of one run."""
        self.flat = 0
        """Generations of equal values in turn."""

    def run(self) -> None:
        """Let a law evolve until it is narrow or the budget is spent, then search from its mean and its best draw."""
        land = self.land
        start = land.best_drawn(1)[0]
        law = Evolution(start, self.width, self.population)
        self.population *= 2
        self.flat = 0
        best = law.mean, math.inf
        end = land.spent + self.budget
        for narrow in self.narrow_widths:
            best = self._narrowed(law, best, narrow, end)
            if land.done:
                return
            ends = land.search(land.fold(np.stack([law.mean, best[0]])))
            distance = np.linalg.norm(ends.y[0] - ends.y[1])
            near = distance <= NEAR * math.sqrt(land.dimension)
            agree = near and np.ptp(ends.fun) <= land.difference
            if agree or narrow == self.narrow_widths[-1]:
                lowest = np.arange(len(ends.fun)) == np.argmin(ends.fun)
                self.ends.take(ends, lowest)
                land.seen.take(ends, lowest)
                return

    def _narrowed(
        self,
        law: Evolution,
        best: tuple[np.ndarray, float],
        narrow: float,
        end: float,
    ) -> tuple[np.ndarray, float]:
        """Let the law evolve down to a width; return the best draw and its value."""
        land = self.land
        while (
            not land.done
            and land.spent < end
            and law.width > narrow
            and self.flat < self.flat_generations
        ):
            draws = land.fold(law.draw(land.rng))
            fun = land.values(draws)
            law.learn(draws, fun)
            level = np.ptp(fun) <= 0.01 * land.difference or not np.isfinite(fun).all()
            self.flat = self.flat + 1 if level else 0
            if fun.min() < best[1]:
                best = draws[np.argmin(fun)], float(fun.min())
        return best


class Portfolio:
    """The searches of one call, and which of them is next."""

    few_basins = 3
    """Searches for each basin from which more of them are likely to be enough to count basins."""
    preference = 2
    """Cost of hopping over that of evolution, and the reverse on rough functions."""

    def __init__(self, land: Landscape, largest_expected: float):
        self.land = land
        self.largest_expected = largest_expected
        self.multistart = Multistart(land)
        self.hopping = Hopping(land, lambda: self.multistart.best_of(LANES))
        self.evolving = Evolving(land)

    def tallies(self) -> tuple[Tally, Tally, Tally]:
        """Return what local searches agree on, runs of hopping, and runs of evolution."""
        land = self.land
        searches, hops, laws = (
            tally(
                kind.ends.y,
                kind.ends.fun,
                kind.ends.moved,
                land.difference,
                land.best_fun,
            )
            for kind in (self.multistart, self.hopping, self.evolving)
        )
        return searches, hops, laws

    @property
    def expected_better_basins(self) -> float:
        """The expected number of unseen better basins, by whichever kind of search has most to say."""
        return min(counted.expected_better for counted in self.tallies())

    def run(self, start: Place) -> None:
        """Search until an unseen better basin is unlikely, or the budget is spent."""
        land = self.land
        self._begin(start)
        costs: dict[PlannedSearch, float] = {self.hopping: 0.0, self.evolving: 0.0}
        while not land.done:
            counted = self.tallies()
            if min(kind.expected_better for kind in counted) <= self.largest_expected:
                if self.hopping.doubted_enough(self._needed_doubts(counted[0])):
                    return
                continue
            before = land.spent
            search = self._next(counted[0], costs)
            search.run()
            if search in costs:
                costs[search] += land.spent - before

    def _begin(self, start: Place) -> None:
        land = self.land
        land.seen.take(land.search(start[None]))
        if not land.done:
            self.multistart.best_of(3)
        if math.isfinite(land.best_fun) and np.any(land.seen.moved):
            self.hopping.hop(land.best_y, land.best_fun, LANES // 2)
        if not land.done:
            self.multistart.best_of(12)
        self.check_not_flat()

    def _needed_doubts(self, searches: Tally) -> int:
        """Return how many hops from the best are to lead nowhere: fewer where searches know a single basin."""
        patience = self.hopping.patience
        return min(searches.searches, patience) if searches.basins == 1 else patience

    def _next(
        self, searches: Tally, costs: dict[PlannedSearch, float]
    ) -> PlannedSearch:
        """Return more local searches where basins are few, else what has cost less, hopping or evolution."""
        if searches.basins * self.few_basins <= searches.searches:
            return self.multistart
        hops = costs[self.hopping]
        share = 1 / self.preference if self.rough else self.preference
        if hops <= costs[self.evolving] * share:
            return self.hopping
        at_least = hops * (self.preference if self.rough else 1)
        self.evolving.budget = max(at_least, self.land.budget / 10)
        return self.evolving

    @property
    def rough(self) -> bool:
        """True where most local searches fail before they settle, as on functions with kinks everywhere."""
        return self.multistart.settled < self.multistart.number / 2

    def check_not_flat(self) -> None:
        """Raise unless fun is finite somewhere, and has two values at places that cost half of the budget."""
        land = self.land
        drawn = land.searches
        if not math.isfinite(land.best_fun) and not land.best_fun < 0:
            raise ValueError(
                f"fun is not finite at any of {drawn} starts; draw them where it is."
            )
        seen = land.seen
        constant = not np.any(seen.moved) and len(seen.fun) and np.ptp(seen.fun) == 0
        while constant:
            if land.spent >= land.budget / 2:
                raise ValueError(
                    f"fun is {land.best_fun:.6g} at x0 and at all of {drawn:,} places "
                    "around; pass bounds where it is not constant, or a larger spread."
                )
            fun = land.values(land.draw(CHUNK))
            drawn = drawn + CHUNK
            constant = bool(np.all(fun == land.best_fun))
