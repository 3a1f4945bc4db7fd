"""Searches from near the best place: scans along axes, and hops from basin to basin.

Perturbations are normal with a width at which half of them fall back into the basin, redraw a few coordinates, are
differences of known minima, or lead towards a mean of several; those that succeed are drawn more often. What one batch
gained in several places is added up and tried in the next (Li and Scheraga 1987; Leary 2000).
"""

import math
from collections.abc import Callable
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, Float

from langevax.optimize.basins import NEAR
from langevax.optimize.landscape import LANES, Ends, Landscape
from langevax.optimize.local_search import HOME, Place, Places, SearchEnds

End = tuple[Place, float]
"""With its value."""


class Perturbation(IntEnum):
    """Kinds of moves from which hops start."""

    NORMAL = 0
    COORDINATES = 1
    DIFFERENCE = 2
    MEAN = 3


class Scan:
    """Moves to the best places on lines along the axes."""

    points = 32
    zoomed = 3
    zoom_points = 6
    """Points on a line along an axis, those of them around which there are finer ones, and how many."""
    reach = 3.0
    """Of a coordinate without bounds, in scales of the start."""
    single_moves = 4
    """Coordinates that are moved alone, where moving all of them gains less than the best of them promised."""

    def __init__(self, land: Landscape):
        self.land = land
        self.scanned: float = math.inf
        """Value of the place from which a scan brought nothing."""

    def while_better(self, y: Place, fun: float) -> End:
        """Scan the axes as long as moves of all coordinates gain more than those of single ones: as gains add up."""
        while not self.land.done and fun != self.scanned:
            y, fun = self.once(y, fun)
        return y, fun

    def once(self, y: Place, fun: float) -> End:
        """Move all coordinates to the best places on lines along the axes, or single ones where these gain more."""
        land = self.land
        steps, heights = self._lowest(y)
        gains = fun - heights
        number = np.sum(gains > land.difference)
        order = np.argsort(-gains)[:number]
        if not len(order) or land.done:
            self.scanned = fun
            return y, fun
        axes = np.eye(land.dimension)
        half = order[: (len(order) + 1) // 2]
        together = np.stack([axes[order].sum(0), axes[half].sum(0)])
        for chosen in (together, axes[order[: self.single_moves]]):
            ends = land.search(np.clip(y + chosen * steps, land.lower, land.upper))
            best = int(np.argmin(ends.fun))
            # as all coordinates gain more than any one alone
            if ends.fun[best] < fun - gains[order[0]] or land.done:
                break
        else:
            self.scanned = float(min(fun, ends.fun[best]))
        if ends.fun[best] < fun:
            return ends.y[best], float(ends.fun[best])
        return y, fun

    def _lowest(self, y: Place) -> tuple[Place, Place]:
        """Return the step along each axis to the lowest place met there, and the values."""
        land = self.land
        d = land.dimension
        low = np.where(land.bounded, land.lower, y - self.reach)[:, None]
        high = np.where(land.bounded, land.upper, y + self.reach)[:, None]
        spacing = (high - low) / self.points
        offsets = land.rng.uniform(size=(d, self.points))
        points = low + spacing * (np.arange(self.points) + offsets)
        heights = self._on_axes(y, points)
        lowest = np.argsort(heights, axis=1)[:, : self.zoomed]
        points, heights = (
            np.take_along_axis(a, lowest, 1)[:, :, None] for a in (points, heights)
        )
        for zoom in (1.0, 0.25):
            around = zoom * spacing * np.linspace(-1, 1, self.zoom_points)
            closer = points + around[:, None]
            closer = np.clip(closer, low[:, None], high[:, None])
            fresh = self._on_axes(y, closer.reshape(d, -1)).reshape(closer.shape)
            closer = np.concatenate([points, closer], 2)
            fresh = np.concatenate([heights, fresh], 2)
            lowest = np.argmin(fresh, axis=2)[:, :, None]
            points, heights = (
                np.take_along_axis(a, lowest, 2) for a in (closer, fresh)
            )
        lowest = np.argmin(heights[:, :, 0], axis=1)
        best = np.arange(d), lowest, 0
        return points[best] - y, heights[best]

    def _on_axes(
        self, y: Place, points: Float[np.ndarray, "d points"]
    ) -> Float[np.ndarray, "d points"]:
        places = np.repeat(y[None], points.size, axis=0)
        axes = np.repeat(np.arange(len(y)), points.shape[1])
        places[np.arange(points.size), axes] = points.ravel()
        return self.land.values(places).reshape(points.shape)


class Hopping:
    """Runs of hopping, each from the end of a scan; `new_start` says where the next one begins."""

    fewest = 2
    """Hops at once; twice as many after each batch that brings nothing."""
    fall_back = 0.5
    """Share of normal perturbations that is to fall back into the basin."""
    far_from_home = 4
    """Times the distance of a return from which hops may end where they come back; shorter ones look for what is near."""
    pool = 32
    """Best minima whose differences and means are perturbations."""

    def __init__(self, land: Landscape, new_start: Callable[[], End]):
        self.land = land
        self.new_start = new_start
        self.scan = Scan(land)
        self.ends = Ends()
        self.width: float = 0.1
        """Of the next normal perturbation; it follows `fall_back`."""
        self.doubted: tuple[float, int] = math.inf, 0
        """A value, and hops from its place that led to nothing better."""

    @property
    def patience(self) -> int:
        """Searches without success that end a run."""
        return LANES * (2 + self.land.dimension)

    def run(self) -> None:
        """Hop from the best place, the first time, and from a new one later."""
        land = self.land
        place = land.best_y, land.best_fun
        if len(self.ends.fun):
            place = self.new_start()
        y, fun = self.hop(*place, self.patience)
        self.ends.add(y[None], np.array([fun]), np.ones(1, bool))

    @property
    def doubts(self) -> int:
        """Hops from the best place that led to nothing better."""
        fun, hops = self.doubted
        return hops if self.land.best_fun >= fun - self.land.difference else 0

    def doubted_enough(self, hops: int) -> bool:
        """Return whether so many hops from the best place have led to nothing better; hop on otherwise."""
        if self.doubts >= hops:
            return True
        self.hop(
            self.land.best_y, self.land.best_fun, hops - self.doubts, until_gain=True
        )
        return False

    def hop(
        self,
        y: Place,
        fun: float,
        patience: int,
        until_gain: bool = False,
    ) -> End:
        """Hop from basin to basin, downwards, until `patience` searches bring nothing, or until they bring a gain."""
        land = self.land
        y, fun = self.scan.while_better(y, fun)
        begin = fun
        number = self.fewest
        failed = 0
        gained = np.zeros((0, land.dimension))
        successes = np.ones(len(Perturbation))
        while not land.done and failed < patience and not (until_gain and fun < begin):
            number = min(number, patience - failed)
            shares = successes / successes.sum()
            kinds = land.rng.choice(len(Perturbation), number, p=shares)
            ends, better, back = self._tried(y, fun, self._moves(y, kinds, gained))
            self._adapt(back[kinds == Perturbation.NORMAL])
            times = np.bincount(kinds[better], minlength=len(Perturbation))
            successes = 1 + 0.9 * (successes - 1) + times
            land.seen.take(ends, ends.settled & ~back)
            best = int(np.argmin(ends.fun))
            elsewhere = better.copy()
            elsewhere[best] = False
            gained = ends.y[elsewhere] - y
            if better.any():
                failed = 0
                number = max(self.fewest, number // 2)
                y = ends.y[best]
                fun = float(ends.fun[best])
            else:
                failed += number
                number = min(LANES, 2 * number)
        if failed >= patience and fun <= land.best_fun + land.difference:
            self.doubted = land.best_fun, self.doubts + patience
        return self.scan.while_better(y, fun)

    def _moves(
        self,
        y: Place,
        kinds: np.ndarray,
        gained: np.ndarray,
    ) -> Places:
        """Return moves of these kinds; the first is the sum of what the last batch gained elsewhere, if anything."""
        normals = self.land.rng.standard_normal(len(kinds))
        widths = self.width * np.exp(0.5 * normals)
        moves = [self._move(y, *move) for move in zip(kinds, widths, strict=True)]
        if len(gained):
            moves[0] = gained.sum(axis=0)
        return np.stack(moves)

    def _tried(
        self,
        y: Place,
        fun: float,
        moves: Places,
    ) -> tuple[SearchEnds, Bool[np.ndarray, " hops"], Bool[np.ndarray, " hops"]]:
        """Return the ends of searches from moved places, which of them are better, and which came back."""
        land = self.land
        root = math.sqrt(land.dimension)
        starts = land.fold(y + moves)
        nearest = np.linalg.norm(starts - y, axis=1).min()
        wide = nearest > self.far_from_home * HOME * root
        ends = land.search(starts, fun + land.difference, y if wide else None)
        near = np.linalg.norm(ends.y - y, axis=1) <= NEAR * root
        better = ends.fun < fun - land.difference
        same = wide | (np.abs(ends.fun - fun) <= land.difference)
        return ends, better, near & same & ~better

    def _adapt(self, back: Bool[np.ndarray, " hops"]) -> None:
        """Widen normal perturbations where too many fell back."""
        if len(back):
            wider = self.width * np.exp(back.mean() - self.fall_back)
            self.width = float(np.clip(wider, 1e-6, 1.0))

    def _move(
        self,
        y: Place,
        kind: int,
        width: float,
    ) -> Place:
        land = self.land
        rng = land.rng
        normal = width * rng.standard_normal(land.dimension)
        if kind == Perturbation.COORDINATES:
            chosen = rng.uniform(size=land.dimension) < 1.5 / land.dimension
            chosen[rng.integers(land.dimension)] = True
            return np.where(chosen, land.draw(1)[0] - y, 0)
        seen = land.seen
        if kind == Perturbation.NORMAL or len(seen.fun) < len(Perturbation):
            return normal
        best = seen.y[np.argsort(seen.fun, kind="stable")[: self.pool]]
        if kind == Perturbation.DIFFERENCE:
            one, other = best[rng.choice(len(best), 2, replace=False)]
            return one - other + 0.1 * normal
        number = min(len(best), 1 << rng.integers(1, 4))
        chosen = rng.choice(len(best), number, replace=False)
        towards = best[chosen].mean(axis=0) - y
        return min(1.0, rng.uniform(0, 2)) * towards
