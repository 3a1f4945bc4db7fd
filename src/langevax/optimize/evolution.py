"""Global search by values alone: runs of CMA-ES with BIPOP restarts, by the library cma.

A run is a normal law whose mean, step size and covariance follow the better half of its draws (Hansen, arXiv:1604.00772).
Restarts with a population that doubles take turns with small ones of fewer draws and narrower laws, so that both cost
the same (Hansen, GECCO 2009); where the ends are few basins, those of the smallest population count them. Each begins
at a new start, so that runs are independent and their ends can be counted.
A run ends where its values are equal to rounding or its law is narrow, or where it comes home, to a known end that is
not higher.
"""

import math
from typing import Any

import numpy as np

from langevax.imports import needs
from langevax.optimize.basins import NEAR, Tally
from langevax.optimize.landscape import ROUNDINGS, Ends, Landscape
from langevax.optimize.local_search import Place, Places


class Evolution:
    """The runs of one call."""

    width = 0.25
    """Of a law at its start, in units of the box."""
    few_basins = 3
    """Runs for each basin from which more of the smallest are likely to be enough to count basins."""

    def __init__(self, land: Landscape, largest_expected: float):
        with needs("cma", "minimize(use_gradients=False)"):
            import cma  # pyright: ignore[reportMissingImports]

        self.strategy = cma.CMAEvolutionStrategy
        self.land = land
        self.largest_expected = largest_expected
        self.independent = Ends()
        self.smallest = 4 + int(3 * math.log(land.dimension))
        """Population of the first run, the default of cma."""

    @property
    def ends(self) -> list[Ends]:
        """Ends of all searches."""
        return [self.independent]

    def tallies(self) -> list[tuple[Tally, str, str]]:
        """Return what the runs agree on, with their name."""
        return [(self.land.tally(self.independent), "evolution", "evolutions")]

    def run(self, start: Place) -> None:
        """Search until an unseen better basin is unlikely, or the budget is spent."""
        land = self.land
        costs = [0.0, 0.0]  # of small populations and of large ones
        is_large = True
        population, width, longest = self.smallest, self.width, math.inf
        large = population
        cost = 0.0  # of the last large one
        while not land.done:
            before = land.spent
            self._evolve(start, width, population, longest)
            spent = land.spent - before
            costs[is_large] += spent
            cost = spent if is_large else cost
            counted = land.tally(self.independent)
            if counted.expected_better <= self.largest_expected:
                return
            land.check_not_flat()
            start = land.draw(1)[0]
            population, width, longest = self.smallest, self.width, math.inf
            is_large = costs[True] <= costs[False]
            if self.few_basins * counted.basins <= counted.searches:
                is_large = False
            elif is_large:
                population = large = 2 * large
            else:
                first, second = land.rng.uniform(size=2)
                ratio = large / (2 * self.smallest)
                population = int(population * max(1, ratio) ** (first**2))
                width = width * 100**-second
                longest = cost / 2

    def _evolve(
        self, start: Place, width: float, population: int, longest: float
    ) -> None:
        """Let a law evolve to its end, or for so many values."""
        land = self.land
        d = len(start)
        options: dict[str, Any] = {
            "bounds": [list(land.lower), list(land.upper)],
            "maxstd_boundrange": 1 / 3 if d > 1 else math.inf,
            "popsize": population,
            "randn": lambda *shape: land.rng.standard_normal(shape),
            "seed": math.nan,  # of NumPy's global numbers, which stay as they are
            "tolfacupx": math.inf,
            "tolfun": 0,
            "tolfunhist": 0,
            "verbose": -9,
            "verb_log": 0,
        }
        law = self.strategy(start, width, options)
        best = start, math.inf
        first: np.ndarray | None = None
        last = land.spent + longest
        level = False
        while not (level or law.stop()):
            if land.done or land.spent >= last:
                return
            drawn = law.ask()
            places = np.array(drawn)[: int(min(population, land.budget - land.spent))]
            fun = land.values(places)
            land.note()
            if len(fun) < population:
                return
            worse = 1 + 2 * np.max(fun, where=np.isfinite(fun), initial=0)
            ranked = np.where(np.isfinite(fun), fun, worse)
            law.tell(drawn, list(ranked))
            first = fun if first is None else first
            best = places[np.argmin(fun)], float(fun.min())  # of these: where it ends
            rounding = ROUNDINGS * land.eps * np.abs(ranked).min()
            level = np.ptp(ranked) <= rounding
            home = self._home(places, best[1])
            if home is not None:
                best = self.independent.y[home], float(self.independent.fun[home])
                break
        land.searches += 1
        assert first is not None
        finite = first[np.isfinite(first)]
        land.gains.extend([float(np.median(finite)) - best[1]] if len(finite) else [])
        moved = bool(best[1] < first.max())
        end = best[0][None], np.array([best[1]]), np.array([moved])
        self.independent.add(*end)
        land.seen.add(*end)

    def _home(self, places: Places, fun: float) -> int | None:
        """Return the known end, not above the value of a run, that all of its places are near to."""
        ends = self.independent
        if not len(ends.fun):
            return None
        away = np.linalg.norm(ends.y[:, None] - places, axis=2).max(axis=1)
        away[ends.fun > fun] = math.inf
        nearest = int(np.argmin(away))
        return nearest if away[nearest] <= NEAR * math.sqrt(len(places[0])) else None
