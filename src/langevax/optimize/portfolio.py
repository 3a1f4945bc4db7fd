"""The portfolio of `minimize`: local searches from everywhere, from near the best, along axes, and an evolving law.

In the order of cost, with one budget:

1. `multistart`: L-BFGS from the best of eight places each drawn in the box, in batches. Independent, so that basins can
   be counted; enough where they are few.
2. `scan`: each coordinate alone over the whole box, by values. It solves sums over coordinates, whatever their wells.
3. `hop`: basin hopping (Li and Scheraga 1987; Leary 2000) from the best of a new batch: L-BFGS from perturbed places,
   where the best is replaced by better ones. Perturbations are normal with a width at which half of them fall back
   into the basin, redraw a few coordinates, are differences of known minima, or lead towards a mean of several; those
   that succeed are drawn more often. What one batch gained in several places is added up and tried in the next.
4. `evolve`: CMA-ES with a population that doubles, then L-BFGS from its mean and best.

3 and 4 take turns and are independent runs themselves: their ends are counted as those of searches are. Hops from the
best of the first four searches, until eight bring nothing, come before the other twelve. The portfolio stops when the
odds of an unseen better basin are low enough (`basins`) and hops from the best have brought nothing (`doubt`), a whole
run of them where there are several basins: searches from everywhere may agree on a broad basin beside a small one that
is better. Or it stops when the budget is spent.
"""

import math
from collections.abc import Callable
from enum import IntEnum

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from langevax.optimize.basins import NEAR, Tally, tally
from langevax.optimize.evolution import Evolution, default_population
from langevax.optimize.local_search import (
    CHUNK,
    FIRST_LENGTH,
    HOME,
    Frame,
    SearchEnds,
    gradient_at,
    local_searches,
    values,
)
from langevax.optimize.newton import Polished, newton
from langevax.problems.problem import NO_FORWARD_MODE, Problem

GRADIENT_COST = 4  # of a value with its gradient, in values


class Perturbation(IntEnum):
    """Kinds of moves from which hops start."""

    NORMAL = 0
    COORDINATES = 1
    DIFFERENCE = 2
    MEAN = 3


class Portfolio:
    """The searches of one call; lengths are in units of the box."""

    lanes = 16
    """Local searches at once."""
    screened = 8
    """Places of which a search starts at the best."""
    limit = 1000
    """Gradients of one local search."""
    first_lengths = (0.02, 0.2)
    """Of the first steps of searches: short ones stay in a basin, long ones step across rings."""
    few_basins = 3
    """Searches for each basin from which more of them are likely to be enough to count basins."""
    scan_points = 32
    zoomed = 3
    zoom_points = 6
    """Points on a line along an axis, those of them around which there are finer ones, and how many."""
    scan_reach = 3.0
    """Of a coordinate without bounds, in scales of the start."""
    single_moves = 4
    """Coordinates that are moved alone, where moving all of them gains less than the best of them promised."""
    fewest_hops = 2
    """Hops at once; twice as many after each batch that brings nothing."""
    hop_width = 0.1
    """Of the first perturbation; it follows `fall_back`."""
    fall_back = 0.5
    """Share of normal perturbations that is to fall back into the basin."""
    far_from_home = 4
    """Times the distance of a return from which hops may end where they come back; shorter ones look for what is near."""
    pool = 32
    """Best minima whose differences and means are perturbations."""
    preference = 2
    """Cost of hopping over that of evolution, and the reverse on rough functions."""
    evolution_width = 0.3
    narrow_widths = (1e-3, 1e-9)
    """Widths at which L-BFGS begins; the second where it leads to two minima at the first."""
    flat_generations = 20
    """Generations of equal values that end an evolution."""
    resolution = 1e-6
    """Difference of values up to which two minima are one, in units of what searches gain."""
    newton_dimensions = 64
    """Coordinates up to which Newton's steps end the best."""
    newton_share = 0.25
    newton_steps = (16, 500)
    """Part of the budget that these may take beyond it, and fewest and most of them."""

    def __init__(
        self,
        problem: Problem,
        coarse: Problem,
        frame: Frame,
        rng: np.random.Generator,
        budget: float,
        max_odds: float,
        gradient_cost: int,
        around: bool,
        starts: Callable[[int, np.random.Generator], Float[np.ndarray, "places d"]]
        | None,
        stops: Callable[["Portfolio"], bool],
    ):
        self.problem = problem
        self.coarse = coarse
        self.frame = frame
        self.rng = rng
        self.budget = budget
        self.max_odds = max_odds
        self.gradient_cost = gradient_cost
        self.stops = stops
        self.share: float = int(coarse.size) / int(problem.size)
        self.lower, self.upper = (
            np.asarray(side, np.float64) for side in (frame.lower, frame.upper)
        )
        self.dimension: int = len(self.lower)
        self.eps: float = float(jnp.finfo(frame.scale.dtype).eps)
        self.bounded: Bool[np.ndarray, " d"] = np.isfinite(self.upper - self.lower)
        self.around = around
        self.starts = starts
        self.nfev = 0
        self.njev = 0
        self.spent = 0.0
        self.searches = 0
        self.best_y: Float[np.ndarray, " d"] = np.zeros(self.dimension)
        self.best_fun: float = math.inf
        self.gains: list[float] = []
        self.multistarts = 0
        self.settled = 0
        self.size: float = 0.0  # of the values that were seen first
        self.multistart_ends = Ends()
        self.hop_ends = Ends()
        self.evolution_ends = Ends()
        self.seen = Ends()
        self.scanned: float = (
            math.inf
        )  # value of the place from which a scan brought nothing
        self.doubted: tuple[float, int] = math.inf, 0
        """A value, and hops from its place that led to nothing better."""
        self.history: list[tuple[int, int, float]] = []
        """(nfev, njev, best value) after each batch of searches."""
        self.stopped = False

    # -- evaluations ----------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """True where the budget is spent, the callback has stopped the search, or no value is lower."""
        return self.stopped or self.spent >= self.budget or self.best_fun == -math.inf

    @property
    def difference(self) -> float:
        """Values that differ by less are one."""
        gain = float(np.median(self.gains)) if self.gains else 0.0
        return self.resolution * gain + 100 * self.eps * abs(
            self.best_fun if math.isfinite(self.best_fun) else 0.0
        )

    def values(self, ys: Float[np.ndarray, "places d"]) -> Float[np.ndarray, " places"]:
        """Return the values at these places, infinite where they are not numbers."""
        fun = values(self.coarse, self.frame, ys)
        self.nfev += len(ys) * int(self.coarse.size)
        self.spent += len(ys) * self.share
        best = int(np.argmin(fun))
        if not self.size and np.isfinite(fun).any():
            self.size = float(np.quantile(np.abs(fun[np.isfinite(fun)]), 0.75))
        if self.share == 1:
            self._update(ys[best], float(fun[best]))
        return fun

    def search(
        self,
        starts: Float[np.ndarray, "searches d"],
        target: float = math.inf,
        home: Float[np.ndarray, " d"] | None = None,
    ) -> SearchEnds:
        """Return where local searches end, and record it; those that would end above `target`, or at `home`, do not."""
        shortest, longest = np.log(self.first_lengths)
        ends = self._descend(
            starts,
            np.exp(self.rng.uniform(shortest, longest, len(starts))),
            target,
            home,
        )
        self.searches += len(starts)
        self.history.append((self.nfev, self.njev, self.best_fun))
        self.stopped = self.stopped or self.stops(self)
        return ends

    def _descend(
        self,
        starts: Float[np.ndarray, "searches d"],
        first: Float[np.ndarray, " searches"] | float = FIRST_LENGTH,
        target: float = math.inf,
        home: Float[np.ndarray, " d"] | None = None,
    ) -> SearchEnds:
        """Search the coarse problem first where there is one; no target counts there, as its values are others."""
        limit = max(
            2,
            min(
                self.limit,
                int((self.budget - self.spent) / (self.gradient_cost * len(starts))),
            ),
        )
        aim = target if self.coarse is self.problem else math.inf
        known = home if self.coarse is self.problem else None
        ends = local_searches(
            self.coarse,
            self.frame,
            starts,
            self.lanes,
            limit,
            aim,
            first,
            known,
        )
        self._count(ends, self.coarse)
        if self.coarse is not self.problem:
            fine = local_searches(self.problem, self.frame, ends.y, self.lanes, limit)
            self._count(fine, self.problem)
            ends = fine._replace(moved=ends.moved | fine.moved)
        best = int(np.argmin(ends.fun))
        self._update(ends.y[best], float(ends.fun[best]))
        return ends

    def _count(self, ends: SearchEnds, problem: Problem) -> None:
        self.add_gradients(int(ends.evaluations.sum()), problem)

    def add_gradients(self, gradients: int, problem: Problem) -> None:
        """Count gradients with their values, or the values of finite differences."""
        size = int(problem.size)
        self.spent += self.gradient_cost * gradients * size / int(self.problem.size)
        if self.gradient_cost == GRADIENT_COST:
            self.njev += gradients * size
            self.nfev += gradients * size
        else:
            self.nfev += self.gradient_cost * gradients * size

    def _update(self, y: Float[np.ndarray, " d"], fun: float) -> None:
        if fun < self.best_fun:
            self.best_y = y
            self.best_fun = fun

    def x(self, y: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
        """Return a place in the units of the function."""
        return np.asarray(self.frame.to_x(self._device(y)))

    def _device(self, ys: np.ndarray) -> jnp.ndarray:
        return jnp.asarray(ys, self.frame.scale.dtype)

    # -- places ---------------------------------------------------------------------------------------------------

    def draw(self, number: int) -> Float[np.ndarray, "places d"]:
        """Draw places uniformly between bounds, and normally around the start elsewhere; or as the user's function."""
        if self.starts is not None:
            return self.starts(number, self.rng)
        low = np.where(self.bounded, self.lower, 0)
        high = np.where(self.bounded, self.upper, 1)
        uniform = self.rng.uniform(low, high, (number, self.dimension))
        normal = self.rng.standard_normal((number, self.dimension))
        return self.fold(np.where(self.bounded & (not self.around), uniform, normal))

    def fold(self, ys: Float[np.ndarray, "places d"]) -> Float[np.ndarray, "places d"]:
        """Reflect places into the box."""
        width = np.where(self.bounded, self.upper - self.lower, 1)
        low = np.where(self.bounded, self.lower, 0)
        tiled = low + width - np.abs((ys - low) % (2 * width) - width)
        ys = np.where(self.bounded, tiled, ys)
        ys = np.where(ys < self.lower, 2 * self.lower - ys, ys)
        ys = np.where(ys > self.upper, 2 * self.upper - ys, ys)
        return np.clip(ys, self.lower, self.upper)

    # -- searches -------------------------------------------------------------------------------------------------

    def multistart(self, number: int) -> tuple[Float[np.ndarray, " d"], float]:
        """Search from the best of several new places each, count the basins, and return the best end."""
        places = self.draw(self.screened * number)
        fun = self.values(places).reshape(number, self.screened)
        starts = places.reshape(number, self.screened, -1)[
            np.arange(number), np.argmin(fun, axis=1)
        ]
        ends = self.search(starts)
        gains = ends.start_fun - ends.fun
        self.multistarts += number
        self.settled += int(ends.settled.sum())
        self.gains.extend(gains[np.isfinite(gains)])
        self.multistart_ends.take(ends)
        self.seen.take(ends)
        best = int(np.argmin(ends.fun))
        return ends.y[best], float(ends.fun[best])

    def scan(
        self, y: Float[np.ndarray, " d"], fun: float
    ) -> tuple[Float[np.ndarray, " d"], float]:
        """Move all coordinates to the best places on lines along the axes, or single ones where these gain more."""
        d = self.dimension
        rows = np.arange(self.dimension)
        low = np.where(self.bounded, self.lower, y - self.scan_reach)
        high = np.where(self.bounded, self.upper, y + self.scan_reach)
        spacing = (high - low)[:, None] / self.scan_points
        points = low[:, None] + spacing * (
            np.arange(self.scan_points) + self.rng.uniform(size=(d, self.scan_points))
        )
        heights = self._on_axes(y, points)
        lowest = np.argsort(heights, axis=1)[:, : self.zoomed]
        points = np.take_along_axis(points, lowest, 1)
        heights = np.take_along_axis(heights, lowest, 1)
        for zoom in (1.0, 0.25):
            offsets = zoom * spacing * np.linspace(-1, 1, self.zoom_points)
            closer = np.clip(
                points[:, :, None] + offsets[:, None, :],
                low[:, None, None],
                high[:, None, None],
            )
            fresh = self._on_axes(y, closer.reshape(d, -1)).reshape(d, self.zoomed, -1)
            closer, fresh = (
                np.concatenate([a[:, :, None], b], 2)
                for a, b in ((points, closer), (heights, fresh))
            )
            lowest = np.argmin(fresh, axis=2)[:, :, None]
            points = np.take_along_axis(closer, lowest, 2)[:, :, 0]
            heights = np.take_along_axis(fresh, lowest, 2)[:, :, 0]
        lowest = np.argmin(heights, axis=1)
        points = points[rows, lowest]
        gains = fun - heights[rows, lowest]
        order = np.argsort(-gains)[: int(np.sum(gains > self.difference))]
        if not len(order) or self.done:
            self.scanned = fun
            return y, fun
        moves = np.zeros((min(len(order), self.single_moves), d))
        moves[np.arange(len(moves)), order[: len(moves)]] = (points - y)[
            order[: len(moves)]
        ]
        together = (
            np.isin(rows, order) * (points - y),
            np.isin(rows, order[: (len(order) + 1) // 2]) * (points - y),
        )
        for steps in (np.stack(together), moves):
            ends = self.search(np.clip(y + steps, self.lower, self.upper))
            best = int(np.argmin(ends.fun))
            if (
                ends.fun[best] < fun - gains[order[0]] or self.done
            ):  # as all coordinates gain more than any one alone
                break
        else:
            self.scanned = float(min(fun, ends.fun[best]))
        return (
            (ends.y[best], float(ends.fun[best])) if ends.fun[best] < fun else (y, fun)
        )

    def _on_axes(
        self, y: Float[np.ndarray, " d"], points: Float[np.ndarray, "d points"]
    ) -> Float[np.ndarray, "d points"]:
        places = np.repeat(y[None], points.size, axis=0)
        places[
            np.arange(points.size),
            np.repeat(np.arange(self.dimension), points.shape[1]),
        ] = points.ravel()
        return self.values(places).reshape(points.shape)

    def scan_while_better(
        self, y: Float[np.ndarray, " d"], fun: float
    ) -> tuple[Float[np.ndarray, " d"], float]:
        """Scan the axes as long as moves of all coordinates gain more than those of single ones: as gains add up."""
        while not self.done and fun != self.scanned:
            y, fun = self.scan(y, fun)
        return y, fun

    @property
    def patience(self) -> int:
        """Searches without success that end a run of hopping."""
        return self.lanes * (2 + self.dimension)

    def hop(
        self, y: Float[np.ndarray, " d"], fun: float, patience: int, once: bool = False
    ) -> tuple[Float[np.ndarray, " d"], float]:
        """Hop from basin to basin, downwards, until `patience` searches bring nothing; or `once` they bring a gain."""
        y, begin = self.scan_while_better(y, fun)
        fun = begin
        number = self.fewest_hops
        failed = 0
        gained = np.zeros((0, self.dimension))
        successes = np.ones(len(Perturbation))
        while not self.done and failed < patience and not (once and fun < begin):
            number = min(number, patience - failed)
            kinds = self.rng.choice(
                len(Perturbation), number, p=successes / successes.sum()
            )
            widths = self.hop_width * np.exp(0.5 * self.rng.standard_normal(number))
            moves = np.stack(
                [self._move(kind, y, w) for kind, w in zip(kinds, widths, strict=True)]
            )
            if len(gained):
                moves[0] = gained.sum(axis=0)
            starts = self.fold(y + moves)
            wide = np.linalg.norm(
                starts - y, axis=1
            ).min() > self.far_from_home * HOME * math.sqrt(self.dimension)
            ends = self.search(starts, fun + self.difference, y if wide else None)
            near = np.linalg.norm(ends.y - y, axis=1) <= NEAR * math.sqrt(
                self.dimension
            )
            better = ends.fun < fun - self.difference
            back = near & (wide | (np.abs(ends.fun - fun) <= self.difference)) & ~better
            normal = kinds == Perturbation.NORMAL
            if normal.any():
                self.hop_width = float(
                    np.clip(
                        self.hop_width * np.exp(back[normal].mean() - self.fall_back),
                        1e-6,
                        1.0,
                    )
                )
            successes = (
                1
                + 0.9 * (successes - 1)
                + np.bincount(kinds[better], minlength=len(Perturbation))
            )
            self.seen.take(ends, ends.settled & ~back)
            failed = 0 if better.any() else failed + number
            number = (
                max(self.fewest_hops, number // 2)
                if better.any()
                else min(self.lanes, 2 * number)
            )
            best = int(np.argmin(ends.fun))
            gained = (ends.y - y)[better & (np.arange(len(better)) != best)]
            if better.any():
                y = ends.y[best]
                fun = float(ends.fun[best])
        if failed >= patience and fun <= self.best_fun + self.difference:
            self.doubted = self.best_fun, self.doubts + patience
        return self.scan_while_better(y, fun)

    @property
    def doubts(self) -> int:
        """Hops from the best place that led to nothing better."""
        fun, hops = self.doubted
        return hops if self.best_fun >= fun - self.difference else 0

    def doubt(self, hops: int) -> None:
        """Hop from the best place until so many hops have led to nothing better."""
        if self.doubts < hops and not self.done:
            self.hop(self.best_y, self.best_fun, hops - self.doubts, once=True)

    def _move(
        self, kind: int, y: Float[np.ndarray, " d"], width: float
    ) -> Float[np.ndarray, " d"]:
        normal = width * self.rng.standard_normal(self.dimension)
        if kind == Perturbation.COORDINATES:
            chosen = self.rng.uniform(size=self.dimension) < 1.5 / self.dimension
            chosen[self.rng.integers(self.dimension)] = True
            return np.where(chosen, self.draw(1)[0] - y, 0)
        if kind == Perturbation.NORMAL or len(self.seen.fun) < len(Perturbation):
            return normal
        best = self.seen.y[np.argsort(self.seen.fun, kind="stable")[: self.pool]]
        if kind == Perturbation.DIFFERENCE:
            one, other = best[self.rng.choice(len(best), 2, replace=False)]
            return one - other + 0.1 * normal
        chosen = self.rng.choice(
            len(best), min(len(best), 1 << self.rng.integers(1, 4)), replace=False
        )
        return min(1.0, self.rng.uniform(0, 2)) * (best[chosen].mean(axis=0) - y)

    def evolve(self, population: int, budget: float) -> None:
        """Let a law evolve until it is narrow or `budget` is spent, then search from its mean and its best draw."""
        places = self.draw(self.screened)
        law = Evolution(
            places[np.argmin(self.values(places))],
            self.evolution_width,
            population,
        )
        best_y = law.mean
        best_fun = math.inf
        end = self.spent + budget
        flat = 0
        for narrow in self.narrow_widths:
            while (
                not self.done
                and self.spent < end
                and law.width > narrow
                and flat < self.flat_generations
            ):
                draws = self.fold(law.draw(self.rng))
                fun = self.values(draws)
                law.learn(draws, fun)
                flat = (
                    flat + 1
                    if np.ptp(fun) <= 0.01 * self.difference
                    or not np.isfinite(fun).all()
                    else 0
                )
                if fun.min() < best_fun:
                    best_y = draws[np.argmin(fun)]
                    best_fun = float(fun.min())
            if self.done:
                return
            ends = self.search(self.fold(np.stack([law.mean, best_y])))
            apart = np.linalg.norm(ends.y[0] - ends.y[1]) > NEAR * math.sqrt(
                self.dimension
            )
            agree = not apart and np.ptp(ends.fun) <= self.difference
            if agree or narrow == self.narrow_widths[-1]:
                lowest = np.arange(len(ends.fun)) == np.argmin(ends.fun)
                self.evolution_ends.take(ends, lowest)
                self.seen.take(ends, lowest)
                return

    # -- the whole ------------------------------------------------------------------------------------------------

    def tallies(self) -> tuple[Tally, Tally, Tally]:
        """Return what local searches agree on, runs of hopping, and runs of evolution."""
        of = (self.multistart_ends, self.hop_ends, self.evolution_ends)
        searches, hops, laws = (
            tally(e.y, e.fun, e.moved, self.difference, self.best_fun) for e in of
        )
        return searches, hops, laws

    @property
    def odds(self) -> float:
        """The expected number of unseen better basins, by whichever kind of search has most to say."""
        return min(counted.odds for counted in self.tallies())

    def run(self, start: Float[np.ndarray, " d"]) -> None:
        """Search until the odds are low enough or the budget is spent."""
        first = self.search(start[None])
        self.seen.take(first)
        if not self.done:
            self.multistart(3)
        if math.isfinite(self.best_fun) and np.any(self.seen.moved):
            self.hop(self.best_y, self.best_fun, self.lanes // 2)
        if not self.done:
            self.multistart(12)
        self.check_not_flat()
        population = default_population(self.dimension)
        preference = self.preference
        in_hops = 0.0
        in_evolutions = 0.0
        while not self.done:
            counted = self.tallies()
            before = self.spent
            if min(tallied.odds for tallied in counted) <= self.max_odds:
                needed = (
                    min(counted[0].searches, self.patience)
                    if counted[0].basins == 1
                    else self.patience
                )
                if self.doubts >= needed:
                    return
                self.doubt(needed)
            elif counted[0].basins * self.few_basins <= counted[0].searches:
                self.multistart(self.lanes)
            elif in_hops <= in_evolutions * (
                1 / preference if self.rough else preference
            ):
                place = self.best_y, self.best_fun
                if len(self.hop_ends.fun):
                    place = self.multistart(self.lanes)
                y, fun = self.hop(*place, self.patience)
                self.hop_ends.add(y[None], np.array([fun]), np.ones(1, bool))
                in_hops += self.spent - before
            else:
                budget = max(
                    in_hops * (preference if self.rough else 1), self.budget / 10
                )
                self.evolve(population, budget)
                in_evolutions += self.spent - before
                population *= 2

    @property
    def rough(self) -> bool:
        """True where most local searches fail before they settle, as on functions with kinks everywhere."""
        return self.settled < self.multistarts / 2

    def check_not_flat(self) -> None:
        """Raise unless fun is finite somewhere, and has two values at places that cost half of the budget."""
        drawn = self.searches
        if not math.isfinite(self.best_fun) and not self.best_fun < 0:
            raise ValueError(
                f"fun is not finite at any of {drawn} starts; draw them where it is."
            )
        constant = (
            not np.any(self.seen.moved)
            and len(self.seen.fun)
            and np.ptp(self.seen.fun) == 0
        )
        while constant:
            if self.spent >= self.budget / 2:
                raise ValueError(
                    f"fun is {self.best_fun:.6g} at x0 and at all of {drawn:,} places around; pass bounds where it "
                    "is not constant, or a larger spread."
                )
            fun = self.values(self.draw(CHUNK))
            drawn = drawn + CHUNK
            constant = bool(np.all(fun == self.best_fun))

    def polish(self) -> Polished:
        """Go to the minimum below the best place, to rounding; by Newton's method where there are Hessians."""
        if self.best_fun == -math.inf:
            return Polished(
                self.best_y, self.best_fun, np.full(self.dimension, np.nan), False, 0
            )
        ends = self._descend(self.best_y[None])
        settled = float(ends.start_fun[0] - ends.fun[0]) <= self.difference
        slopes = gradient_at(self.problem, self.frame, self.best_y)
        end = Polished(self.best_y, self.best_fun, slopes, settled, 1)
        end = self.newton_end(self.problem, end)
        self._update(end.y, end.fun)
        self.add_gradients(end.evaluations, self.problem)
        return end

    def newton_end(self, problem: Problem, place: Polished) -> Polished:
        """Return the end of Newton's steps from a place, or the place itself if Hessians are unavailable."""
        few = self.dimension <= self.newton_dimensions
        if not few or self.gradient_cost != GRADIENT_COST:
            return place
        affordable = self.newton_share * self.budget
        steps = affordable / (self.gradient_cost * (1 + self.dimension))
        steps = int(np.clip(steps, *self.newton_steps))
        try:
            return newton(problem, self.frame, place.y, self.size, steps)
        except (TypeError, ValueError) as error:
            if not any(words in str(error) for words in NO_FORWARD_MODE):
                raise
            return place


class Ends:
    """Ends of searches, in the order in which they came."""

    def __init__(self) -> None:
        self.y: Float[np.ndarray, "ends d"] = np.zeros((0, 0))
        self.fun: Float[np.ndarray, " ends"] = np.zeros(0)
        self.moved: Bool[np.ndarray, " ends"] = np.zeros(0, bool)

    def take(
        self, ends: SearchEnds, chosen: Bool[np.ndarray, " searches"] | None = None
    ) -> None:
        """Append the chosen ends of searches, or all, whose values are finite."""
        added = slice(None) if chosen is None else chosen
        self.add(ends.y[added], ends.fun[added], ends.moved[added])

    def add(self, y: np.ndarray, fun: np.ndarray, moved: np.ndarray) -> None:
        """Append ends whose values are finite."""
        finite = np.isfinite(fun)
        self.y = np.concatenate([self.y.reshape(-1, y.shape[1]), y[finite]])
        self.fun = np.concatenate([self.fun, fun[finite]])
        self.moved = np.concatenate([self.moved, moved[finite]])
