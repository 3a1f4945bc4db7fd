"""Other modes of a law, sought before its chains start, by descents from heated starts.

Descents start from the normal law about the mode, heated to temperatures between T and a million T, and end in modes;
where they are short, more of them start nearby, as few lead to a narrow mode beside a broad one. Another mode counts
where the potential rises by more than 5 T on the straight way from each one that is known: chains cross there about
exp(-5) of their steps, or never. Its rough weight is that of the normal law about it, exp(-U / T) det(H)^(-1/2). Where
the law is far from normal such weights mislead; there the ends of descents show afterwards what all chains missed.

All positions are in coordinates in which the curvature at the pilot's mode is 1.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from langevax._typing import HostMatrix, HostVector, PRNGKey, PyTree, Vector
from langevax.problems.problem import Problem
from langevax.run.result import named_leaves
from langevax.sampling.choice import CHEAP_ROWS, NormalFit
from langevax.sampling.descents import descend
from langevax.sampling.evaluations import evaluate
from langevax.sampling.preconditioning import (
    CoordinateMap,
    Pilot,
    find_mode,
    hessian_at,
    run_even_pilot,
)
from langevax.sampling.starts import (
    StartNear,
    StartNearModes,
    generator,
    normal_deviates,
)
from langevax.sampling.tolerances import LEAST_WEIGHT
from langevax.trees import in_double

Points = Float[np.ndarray, "n d"]
Numbers = Float[np.ndarray, " n"]


class SearchPlan(NamedTuple):
    """Starts of descents, and limits by which their ends count as modes, or as unvisited."""

    heat: tuple[float, ...] = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
    """Widths of the heated laws, in standard deviations of the normal law about the mode."""
    descents: int = 25
    """From each of the heated laws."""
    few_descents: int = 2
    """The same where passes are over more than `CHEAP_ROWS` rows."""
    nearby: int = 600
    """Descents from within `farthest` widths, where others are `short`."""
    farthest: float = 10.0
    short: int = 10
    """Evaluations of a short descent, at most."""
    points: int = 33
    """On the straight way between two places."""
    barrier: float = 5.0
    """Rise of the potential on it, in temperatures, from which they are two modes."""
    same_mode: float = 0.1
    """Distance of two ends, in standard deviations of the normal law about the mode, within which they are one."""
    repeats: tuple[int, ...] = (-20, 7, 30)
    """Times that the way between two modes leads to as deep a place where the law is periodic."""
    most_modes: int = 24
    """The lowest; more are ends of descents that rounding holds up, as in a narrow peak."""
    curvatures: tuple[float, float] = (1e-2, 1e8)
    """Between which the normal law about a mode means something."""
    arrived: float = 0.25
    """Newton's step, in standard deviations of the normal law about an end, up to which it is a minimum."""
    draws: int = 1000
    """Of which the nearest are compared with an end."""
    nearest: int = 5
    """Draws from which straight ways to an end are tried."""
    as_dense: float = 0.9
    """Quantile of the draws' potentials up to which an end is as dense as they are."""
    narrowest: float = 0.003
    """Geometric mean of an end's widths, in deviations of the draws, below which it is a peak."""


PLAN = SearchPlan()


class Mode(NamedTuple):
    """A mode, its rough weight, and how deep the valleys about it are."""

    position: PyTree
    """In the user's coordinates, those of NumPyro's unconstrained space."""
    weight: float
    """Of the normal law about it, among all modes; NaN where the law is far from normal and no draw came near."""
    barrier: float
    """Least rise of the potential on straight ways to other modes, or to the nearest draws, in temperatures."""

    def __str__(self) -> str:
        named = named_leaves(self.position).items()
        places = [
            f"{n} = {np.array2string(x, precision=3, suppress_small=True, threshold=6)}"
            for n, x in named
        ]
        return ", ".join(places)


class End(NamedTuple):
    """The end of descents, in the coordinates of the search."""

    position: HostVector
    root: HostMatrix
    """Of the inverse Hessian; 0 where there is one end."""
    weight: float
    barrier: float


class ModeSearch(NamedTuple):
    """The modes that the pilot and the descents ended in, the pilot's first."""

    ends: list[End]
    evaluations: int

    @property
    def several(self) -> list[End]:
        """Those with at least `LEAST_WEIGHT`, where there are several."""
        heavy = [end for end in self.ends if end.weight >= LEAST_WEIGHT]
        return heavy if len(heavy) > 1 else []


def find_modes(
    problem: Problem,
    mode: Vector,
    temperature: float,
    key: PRNGKey,
    elsewhere: Points | None = None,
) -> ModeSearch:
    """Return the modes that descents end in; they start `elsewhere`, too."""
    centre = in_double(mode)
    is_cheap = int(problem.size) <= CHEAP_ROWS
    repeats = PLAN.descents if is_cheap else PLAN.few_descents
    widths = np.repeat(PLAN.heat, repeats)
    deviates = normal_deviates(key, (len(widths), len(centre)))
    starts = centre + np.sqrt(temperature) * widths[:, None] * deviates
    if elsewhere is not None:
        starts = np.concatenate([elsewhere, starts])
    distinct = DistinctModes(problem, mode, temperature)
    spent = distinct.descend_from(starts)
    if is_cheap and spent <= PLAN.short * len(starts):
        rng = generator(key)
        widths = PLAN.farthest ** rng.uniform(size=(PLAN.nearby, 1))
        deviates = rng.normal(size=(PLAN.nearby, len(centre)))
        distinct.descend_from(centre + np.sqrt(temperature) * widths * deviates)
    return distinct.weighed()


class DistinctModes:
    """Modes with valleys between them, the first of which has curvature 1."""

    def __init__(
        self,
        problem: Problem,
        mode: Vector,
        temperature: float,
    ):
        self.problem = problem
        self.temperature = temperature
        self.mode = mode
        self.positions = in_double(mode)[None]
        self.levels = evaluate(problem, np.asarray(mode)[None])[0]
        self.barriers = np.full(1, np.inf)
        self.evaluations = 1

    def descend_from(self, starts: Points) -> int:
        """Add the ends of descents, none of whose steps is longer than the way to the first mode; return evaluations."""
        descents = descend(self.problem, starts, self.mode, self.temperature)
        self.evaluations += descents.evaluations
        for end in descents.ends[np.isfinite(descents.values)]:
            self.add(end)
        return descents.evaluations

    def add(self, end: HostVector) -> None:
        """Add the end of a descent, unless no valley parts it from a mode that is there, or its weight is negligible.

        The volume about the first mode is 1, and none that `_laplace` reports exceeds the flattest one's.
        """
        distances = np.linalg.norm(self.positions - end, axis=1)
        nearest = PLAN.same_mode * np.sqrt(self.temperature)
        if len(distances) == PLAN.most_modes or distances.min() < nearest:
            return
        dtype = self.mode.dtype
        rises, level = rises_between(self.problem, self.positions, end, dtype)
        rises = rises / self.temperature
        self.evaluations += PLAN.points * len(rises)
        most_volume = len(end) / 2 * np.log(1 / PLAN.curvatures[0])
        highest = self.temperature * (most_volume - np.log(LEAST_WEIGHT))
        is_possible = -np.inf < level < self.levels[0] + highest
        if not (is_possible and (rises > PLAN.barrier).all()):
            return
        if self._is_repeated(end, level):
            return
        self.barriers = np.append(np.minimum(self.barriers, rises), rises.min())
        self.positions = np.vstack([self.positions, end])
        self.levels = np.append(self.levels, level)

    def _is_repeated(self, end: HostVector, level: float) -> bool:
        """True where the way from a mode to the end repeats itself on and on, as by whole turns of an angle."""
        ways = end - self.positions
        further = end + ways[:, None] * np.array(PLAN.repeats)[:, None]
        flat = further.reshape(-1, len(end)).astype(self.mode.dtype)
        values, _ = evaluate(self.problem, flat)
        self.evaluations += len(values)
        change = np.abs(values.reshape(len(ways), -1) - level).max(axis=1)
        return bool((change < PLAN.same_mode * self.temperature).any())

    def weighed(self) -> ModeSearch:
        """Return the modes with their weights.

        A lower one whose curvature these coordinates do not resolve counts as wide as the first: the pilot goes there.
        """
        count, dimension = self.positions.shape
        size = int(self.problem.size)
        if count == 1:  # without a Hessian, which costs 2 d passes
            root = np.zeros((dimension, dimension))
            only = End(self.positions[0], root, 1.0, np.inf)
            return ModeSearch([only], self.evaluations * size)
        roots, volumes = zip(*map(self._laplace, self.positions), strict=True)
        falls = (self.levels[0] - self.levels) / self.temperature
        is_lower = falls > PLAN.barrier
        is_lower[0] = True
        unresolved = np.where(is_lower, 0.0, -np.inf)
        log_weights = falls + np.where(np.isfinite(volumes), volumes, unresolved)
        weights = np.exp(log_weights - log_weights.max())
        spent = (self.evaluations + 2 * dimension * count) * size
        shares = weights / weights.sum()
        numbers = self.positions, roots, shares.tolist(), self.barriers.tolist()
        ends = [End(*each) for each in zip(*numbers, strict=True)]
        return ModeSearch(ends, spent)

    def _laplace(
        self,
        position: HostVector,
    ) -> tuple[HostMatrix, float]:
        """Return a root of the inverse Hessian, and log det(H)^(-1/2), -inf where the end is not a minimum."""
        point = jnp.asarray(position, self.mode.dtype)
        _, gradients = evaluate(self.problem, np.asarray(point)[None])
        hessian = in_double(hessian_at(self.problem, point))
        if not np.isfinite(hessian).all():
            return np.zeros_like(hessian), -np.inf
        values, vectors = np.linalg.eigh(hessian)
        clipped = values.clip(*PLAN.curvatures)
        root = vectors / np.sqrt(clipped)
        step = np.linalg.norm(gradients @ root) / np.sqrt(self.temperature)
        is_minimum = values.min() > PLAN.curvatures[0] and step <= PLAN.arrived
        if not is_minimum:
            return root, -np.inf
        return root, float(-np.log(clipped).sum() / 2)


def rises_between(
    problem: Problem,
    places: Points,
    end: HostVector,
    dtype: jnp.dtype,
) -> tuple[Numbers, float]:
    """Return how far the potential rises above both ends of straight ways from the places to the end, and that there."""
    shares = np.linspace(0, 1, PLAN.points)[:, None]
    ways = places[:, None] + shares * (end - places[:, None])
    values, _ = evaluate(problem, ways.reshape(-1, len(end)).astype(dtype))
    values = values.reshape(len(places), -1)
    higher_end = np.maximum(values[:, 0], values[:, -1])
    rises = values.max(axis=1) - higher_end
    return rises, float(values[0, -1])


class Exploration(NamedTuple):
    """The pilot, the coordinates in which its curvature is 1, and what else was met before chains start."""

    flat: CoordinateMap
    """The coordinates of the pilot."""
    pilot: Pilot
    coordinates: CoordinateMap
    mode: Vector
    fit: NormalFit | None = None
    search: ModeSearch | None = None

    @property
    def evaluations(self) -> int:
        searched = 0 if self.search is None else self.search.evaluations
        return self.pilot.evaluations + searched

    @property
    def several(self) -> list[End]:
        return [] if self.search is None else self.search.several

    @property
    def depth(self) -> float:
        """The deepest valley between modes, in temperatures; 0 where only one mode was met."""
        return max((end.barrier for end in self.several), default=0.0)

    def modes(self) -> list[Mode]:
        """Return the modes in the user's coordinates, heaviest first; none where only one was met."""
        heaviest_first = sorted(self.several, key=lambda end: -end.weight)
        return [
            Mode(self._position(end.position), end.weight, end.barrier)
            for end in heaviest_first
        ]

    def _position(self, point: HostVector) -> PyTree:
        return self.coordinates.to_position(jnp.asarray(point, self.mode.dtype))

    def unvisited(
        self,
        coordinates: CoordinateMap,
        draws: Float[np.ndarray, "chain draw d"],
        temperature: float,
    ) -> list[Mode]:
        """Return ends of descents, of unknown weight, to which no draw came although they are as dense as draws are.

        The potential rises on the straight ways there from the nearest draws. A valley that draws follow is visited.
        A peak far narrower than the draws, as where the groups of a hierarchy are alike, does not count.
        """
        if self.search is None or not (
            self.coordinates.is_linear and coordinates.is_linear
        ):
            return []
        if len(self.search.ends) == PLAN.most_modes:
            return []
        dtype = self.mode.dtype
        dimension = len(self.mode)
        change = np.linalg.solve(self.coordinates.matrix, coordinates.matrix)
        draws = in_double(draws).reshape(-1, dimension)
        draws = draws @ change.T
        draws = draws[:: max(1, len(draws) // PLAN.draws)]
        deviations = np.maximum(draws.std(axis=0), np.finfo(float).tiny)
        problem = self.coordinates.problem
        at_draws, _ = evaluate(problem, draws.astype(dtype))
        highest = np.quantile(at_draws, PLAN.as_dense)
        modes = []
        for end, root, _, _ in self.search.ends:
            log_volume = np.linalg.slogdet(root / deviations[:, None])[1]
            if log_volume / dimension <= np.log(PLAN.narrowest):
                continue
            distances = np.sum(((draws - end) / deviations) ** 2, axis=1)
            nearest_first = np.argsort(distances)
            nearest = draws[nearest_first[: PLAN.nearest]]
            rises, level = rises_between(problem, nearest, end, dtype)
            rise = float(rises.min()) / temperature
            if level <= highest and rise > PLAN.barrier:
                modes.append(Mode(self._position(end), np.nan, rise))
        return modes

    def log_mass(self, temperature: float) -> float:
        """Return that of the normal law about the mode, up to a constant."""
        problem = self.coordinates.problem
        potentials, _ = evaluate(problem, np.asarray(self.mode)[None])
        return self.coordinates.log_volume - float(potentials[0]) / temperature

    def start(self, temperature: float) -> StartNear | StartNearModes:
        """Return draws from the normal law about the mode, or about one that is drawn by the weights."""
        dtype = self.mode.dtype
        scale = jnp.sqrt(jnp.asarray(temperature, dtype))
        if self.several:
            numbers = zip(*(end[:3] for end in self.several), strict=True)
            positions, roots, weights = (
                jnp.asarray(np.array(a), dtype) for a in numbers
            )
            return StartNearModes(positions, roots, weights, scale)
        return StartNear(self.coordinates.problem, self.mode, scale)


class Wishes(NamedTuple):
    """Needs of the dynamics."""

    is_preconditioned: bool
    needs_mode: bool
    """Chains start about a mode with a curvature; the others also start from elsewhere."""
    keeps_prior: bool
    """Steps are those of the Gaussian prior, which stays the quadratic part."""


class Explorer(NamedTuple):
    """Exploration of a law: its target and its settings."""

    base: CoordinateMap
    wishes: Wishes
    temperature: float
    key: PRNGKey
    is_searched: bool
    """Other modes are searched for."""
    elsewhere: Points | None = None
    """Positions, laid out as vectors, from which descents start, too."""

    def explore(self, vector: Vector) -> Exploration:
        """Run the pilot, and again from the heaviest mode where its own has nearly none of the weight.

        The first one stays where the law about the other is not nearly normal, or has less mass.
        """
        first = self._from(vector)
        if first.search is None or first.search.ends[0].weight >= LEAST_WEIGHT:
            return first
        heaviest = max(first.search.ends, key=lambda end: end.weight).position
        position = first.coordinates.to_position(jnp.asarray(heaviest, vector.dtype))
        try:
            with np.errstate(over="ignore"):  # of a peak without any width
                second = self._from(self.base.from_position(position))
        except ValueError:  # the curvature says nothing there
            return first
        is_usable = second.fit is None or second.fit.is_usable
        mass = first.log_mass(self.temperature)
        if is_usable and second.log_mass(self.temperature) > mass:
            spent = first.evaluations + second.pilot.evaluations
            return second._replace(pilot=second.pilot._replace(evaluations=spent))
        # other ends may be of a peak, at any place of which rounding holds descents up
        spent = first.evaluations + second.evaluations
        pilot = first.pilot._replace(evaluations=spent)
        return first._replace(pilot=pilot, search=None)

    def _from(self, vector: Vector) -> Exploration:
        options = self.temperature, self.key
        flat = coordinates = self.base
        if self.wishes.is_preconditioned:
            keeps_prior = self.wishes.keeps_prior
            flat, pilot = run_even_pilot(flat, vector, *options, keeps_prior)
            coordinates, mode = flat.preconditioned(pilot)
        else:
            mode, passes = find_mode(flat.problem, vector)
            pilot = Pilot(mode, None, passes * int(flat.problem.size))
        fit = None
        if not self.wishes.needs_mode:
            fit = NormalFit.of(coordinates.problem, mode, *options)
        search = None
        if self.is_searched and pilot.curvatures is not None:
            elsewhere = self.elsewhere
            if elsewhere is not None:
                elsewhere = coordinates.from_vectors(elsewhere)
            search = find_modes(coordinates.problem, mode, *options, elsewhere)
        return Exploration(flat, pilot, coordinates, mode, fit, search)
