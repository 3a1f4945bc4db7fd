"""The part that searches of `minimize` share: the function in units of its box, with what it cost; places; ends of searches."""

import math
from collections.abc import Callable
from typing import Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from langevax.optimize.basins import Tally, tally
from langevax.optimize.local_search import (
    CHUNK,
    FIRST_LENGTH,
    Frame,
    Place,
    Places,
    SearchEnds,
    Values,
    local_searches,
    values,
)
from langevax.problems.problem import Problem


class HostValues(Protocol):
    """A function of vectors on the host."""

    size: int
    """Rows that a value takes."""

    def __call__(self, xs: Places) -> Values:
        """Return the values at places."""
        ...


GRADIENT_COST = 4  # of a value with its gradient, in values
LANES = 16
"""Local searches at once."""
ROUNDINGS = 100
"""Of a value, that count as none."""


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

    def add(
        self,
        y: np.ndarray,
        fun: np.ndarray,
        moved: np.ndarray,
    ) -> None:
        """Append ends whose values are finite."""
        finite = np.isfinite(fun)
        before = self.y.reshape(-1, y.shape[1])
        self.y = np.concatenate([before, y[finite]])
        self.fun = np.concatenate([self.fun, fun[finite]])
        self.moved = np.concatenate([self.moved, moved[finite]])


class Landscape:
    """A function in units of its box, the budget, and the best place that any search has met.

    Args:
        problem: the function; on the host it takes positions as vectors, and returns their values.
        frame: the box.
        budget: in values; a gradient counts as `gradient_cost` of them.
        starts: draws places, in units of the box; None draws them from the box.
        stops: called after each batch of searches, says whether to stop.
    """

    limit = 1000
    """Gradients of one local search."""
    first_lengths = (0.02, 0.2)
    """Of the first steps of searches: short ones stay in a basin, long ones step across rings."""
    resolution = 1e-6
    """Difference of values up to which two minima are one, in units of what searches gain."""

    def __init__(
        self,
        problem: Problem | HostValues,
        frame: Frame,
        rng: np.random.Generator,
        budget: float,
        gradient_cost: int,
        *,
        starts: Callable[[int, np.random.Generator], Places] | None,
        stops: Callable[["Landscape"], bool],
    ):
        self.problem = problem
        self.rows = int(problem.size)
        self.frame = frame
        self.rng = rng
        self.budget = budget
        self.gradient_cost = gradient_cost
        self.starts = starts
        self.stops = stops
        self.lower, self.upper = (
            np.asarray(side, np.float64) for side in (frame.lower, frame.upper)
        )
        self.dimension: int = len(self.lower)
        self.eps: float = float(jnp.finfo(frame.scale.dtype).eps)
        self.bounded: Bool[np.ndarray, " d"] = np.isfinite(self.upper - self.lower)
        self.nfev = 0
        self.njev = 0
        self.spent = 0.0
        self.searches = 0
        self.best_y: Place = np.zeros(self.dimension)
        self.best_fun: float = math.inf
        self.gains: list[float] = []
        """Of independent searches."""
        self.size: float = 0.0  # of the values that were seen first
        self.seen = Ends()
        self.history: list[tuple[int, int, float]] = []
        """(nfev, njev, best value) after each batch of searches."""
        self.stopped = False

    @property
    def done(self) -> bool:
        """True where the budget is spent, the callback has stopped the search, or no value is lower."""
        return self.stopped or self.spent >= self.budget or self.best_fun == -math.inf

    @property
    def difference(self) -> float:
        """Values that differ by less are one."""
        gain = float(np.median(self.gains)) if self.gains else 0.0
        lowest = self.best_fun if math.isfinite(self.best_fun) else 0.0
        return self.resolution * gain + ROUNDINGS * self.eps * abs(lowest)

    def tally(self, ends: Ends) -> Tally:
        """Count the basins of these ends."""
        met = ends.y, ends.fun, ends.moved
        return tally(*met, self.difference, self.best_fun)

    def values(self, ys: Places) -> Values:
        """Return the values at these places, infinite where they are not numbers."""
        if isinstance(self.problem, Problem):
            fun = values(self.problem, self.frame, ys)
        else:
            fun = self.problem(self.x(ys))
            fun = np.where(np.isnan(fun), np.inf, fun)
        self.nfev += len(ys) * self.rows
        self.spent += len(ys)
        finite = np.abs(fun[np.isfinite(fun)])
        if not self.size and len(finite):
            self.size = float(np.quantile(finite, 0.75))
        self.update(ys, fun)
        return fun

    def search(
        self,
        starts: Places,
        target: float = math.inf,
        home: Place | None = None,
    ) -> SearchEnds:
        """Return where local searches end, and record it; those that would end above `target`, or at `home`, do not."""
        shortest, longest = np.log(self.first_lengths)
        first = np.exp(self.rng.uniform(shortest, longest, len(starts)))
        ends = self.descend(starts, first, target, home)
        self.searches += len(starts)
        self.note()
        return ends

    def note(self) -> None:
        """Append to the history, and ask the callback whether to stop."""
        self.history.append((self.nfev, self.njev, self.best_fun))
        self.stopped = self.stopped or self.stops(self)

    def descend(
        self,
        starts: Places,
        first: Values | float = FIRST_LENGTH,
        target: float = math.inf,
        home: Place | None = None,
    ) -> SearchEnds:
        """Return where local searches end, of which each may take what the budget leaves for it."""
        affordable = (self.budget - self.spent) / (self.gradient_cost * len(starts))
        limit = max(2, min(self.limit, int(affordable)))
        assert isinstance(self.problem, Problem)
        ends = local_searches(
            self.problem, self.frame, starts, LANES, limit, target, first, home
        )
        self.add_gradients(int(ends.evaluations.sum()))
        self.update(ends.y, ends.fun)
        return ends

    def add_gradients(self, gradients: int) -> None:
        """Count gradients with their values, or the values of finite differences."""
        size = self.rows
        self.spent += self.gradient_cost * gradients
        if self.gradient_cost == GRADIENT_COST:
            self.njev += gradients * size
            self.nfev += gradients * size
        else:
            self.nfev += self.gradient_cost * gradients * size

    def update(self, ys: Places, fun: Values) -> None:
        """Keep the best of these places, if it is the best so far."""
        best = int(np.argmin(fun))
        if fun[best] < self.best_fun:
            self.best_y = ys[best]
            self.best_fun = float(fun[best])

    def x(self, y: Float[np.ndarray, "*places d"]) -> Float[np.ndarray, "*places d"]:
        """Return places in the units of the function."""
        place = jnp.asarray(y, self.frame.scale.dtype)
        return np.asarray(self.frame.to_x(place))

    def draw(self, number: int) -> Places:
        """Draw places uniformly between bounds, and normally around the start elsewhere; or as the user's function."""
        if self.starts is not None:
            return self.starts(number, self.rng)
        low = np.where(self.bounded, self.lower, 0)
        high = np.where(self.bounded, self.upper, 1)
        uniform = self.rng.uniform(low, high, (number, self.dimension))
        normal = self.rng.standard_normal((number, self.dimension))
        return self.fold(np.where(self.bounded, uniform, normal))

    def best_drawn(self, number: int) -> Places:
        """Return the best of eight drawn places each."""
        places = self.draw(8 * number)
        fun = self.values(places).reshape(number, 8)
        best = np.argmin(fun, axis=1)
        return places.reshape(number, 8, -1)[np.arange(number), best]

    def check_not_flat(self) -> None:
        """Raise unless fun is finite somewhere, and has two values at places that cost half of the budget."""
        drawn = self.searches
        if not math.isfinite(self.best_fun) and not self.best_fun < 0:
            raise ValueError(
                f"fun is not finite at any of {drawn} starts; draw them where it is."
            )
        seen = self.seen
        constant = not np.any(seen.moved) and len(seen.fun) and np.ptp(seen.fun) == 0
        while constant:
            if self.spent >= self.budget / 2:
                raise ValueError(
                    f"fun is {self.best_fun:.6g} at x0 and at all of {drawn:,} places "
                    "around; pass bounds where it is not constant, or a larger spread."
                )
            fun = self.values(self.draw(CHUNK))
            drawn = drawn + CHUNK
            constant = bool(np.all(fun == self.best_fun))

    def fold(self, ys: Places) -> Places:
        """Reflect places into the box."""
        width = np.where(self.bounded, self.upper - self.lower, 1)
        low = np.where(self.bounded, self.lower, 0)
        tiled = low + width - np.abs((ys - low) % (2 * width) - width)
        ys = np.where(self.bounded, tiled, ys)
        ys = np.where(ys < self.lower, 2 * self.lower - ys, ys)
        ys = np.where(ys > self.upper, 2 * self.upper - ys, ys)
        return np.clip(ys, self.lower, self.upper)
