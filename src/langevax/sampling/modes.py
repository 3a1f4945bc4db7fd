"""Other modes of a law, sought before its chains start: a tempered pilot.

Descents start from the normal law about the mode, heated to temperatures between T and a million T, and end in modes.
Others start where the potential is least on the way from one mode to another: a narrow mode between broad ones has a
small basin. Another mode counts where the potential rises by more than a barrier of 5 T on the straight way from each one that
is known: chains cross there about exp(-5) of their steps, or never. Its rough weight is that of the normal law
about it, exp(-U / T) det(H)^(-1/2). Where the law is far from normal such weights mislead; there the ends of descents
show afterwards what all chains missed.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float

from langevax._typing import PRNGKey, PyTree
from langevax.problems.problem import Problem
from langevax.sampling.choice import CHEAP_ROWS, NormalFit
from langevax.sampling.descents import descend
from langevax.sampling.evaluations import evaluate
from langevax.sampling.preconditioning import (
    CoordinateMap,
    Pilot,
    Preconditioner,
    as_matrix,
    hessian_at,
    run_even_pilot,
)
from langevax.sampling.starts import StartNearMode, StartNearModes, normal_deviates
from langevax.sampling.tolerances import LEAST_WEIGHT


class SearchPlan(NamedTuple):
    """Starts of descents, and limits by which their ends count as modes, or as unvisited."""

    heat: tuple[float, ...] = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
    """Widths of the heated laws, in standard deviations of the normal law about the mode."""
    descents: int = 25
    """From each of the heated laws."""
    few_descents: int = 2
    """The same where passes are over more than `CHEAP_ROWS` rows."""
    rounds: int = 4
    """Of descents: from the heated laws, then at most as many from between modes."""
    nearby_rounds: int = 4
    """More of them from within `farthest` widths, where descents are short: few lead to a narrow mode beside a broad
    one."""
    farthest: float = 10.0
    short: int = 10
    """Evaluations of a short descent, at most."""
    points: int = 33
    """On the straight way between two ends."""
    barrier: float = 5.0
    """Rise of the potential on it, in temperatures, from which they are two modes."""
    same_mode: float = 0.1
    """Distance of two ends, in standard deviations of the normal law about the mode, within which they are one."""
    most_modes: int = 24
    """The lowest; more are ends of descents that rounding holds up, as in a narrow peak."""
    curvatures: tuple[float, float] = (1e-2, 1e8)
    """In pilot coordinates, between which the normal law about a mode means something."""
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


class ModeSearch(NamedTuple):
    """The modes that the pilot and the descents ended in, the pilot's first, in the coordinates of its problem."""

    positions: Float[np.ndarray, "m d"]
    roots: Float[np.ndarray, "m d d"]
    """Of the inverse Hessians."""
    weights: Float[np.ndarray, " m"]
    barriers: Float[np.ndarray, " m"]
    evaluations: int
    ends: tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n d d"]]
    """Positions and roots of all, those of hardly any weight and those in curved valleys, too."""
    lowest: Float[np.ndarray, " d"] | None = None
    """An end far below the pilot's mode, of which these coordinates do not resolve the curvature."""

    @property
    def is_pilot_negligible(self) -> bool:
        """True where nearly all of the weight is elsewhere than about the pilot's mode."""
        return bool(self.weights[0] < LEAST_WEIGHT)

    @property
    def heaviest(self) -> Float[np.ndarray, " d"]:
        """The position of the mode with the largest weight."""
        return self.positions[np.argmax(self.weights)]

    def relevant(self) -> "ModeSearch":
        """Return the modes with at least `LEAST_WEIGHT`, and their shares."""
        heavy = self.weights >= LEAST_WEIGHT
        weights = self.weights[heavy] / self.weights[heavy].sum()
        return self._replace(
            positions=self.positions[heavy],
            roots=self.roots[heavy],
            weights=weights,
            barriers=self.barriers[heavy],
        )


def find_modes(
    problem: Problem,
    even_problem: Problem,
    pilot: Pilot,
    temperature: float,
    key: PRNGKey,
    elsewhere: Float[np.ndarray, "n d"] | None = None,
) -> ModeSearch | None:
    """Return the modes that descents in the coordinates of the pilot end in, or None without a whole Hessian.

    `even_problem` is the problem in the coordinates in which the pilot's curvature is 1. Descents start `elsewhere`,
    too, in these coordinates.
    """
    if pilot.curvatures is None or pilot.scales is None:
        return None
    dtype = pilot.mode.dtype
    matrix = as_matrix(np.asarray(pilot.scales, np.float64))
    centre = np.linalg.solve(matrix, np.asarray(pilot.mode, np.float64))
    is_cheap = int(problem.size) <= CHEAP_ROWS
    widths = np.repeat(PLAN.heat, PLAN.descents if is_cheap else PLAN.few_descents)
    shape = len(widths), len(centre)
    heated = (np.sqrt(temperature) * widths)[:, None]
    starts = centre + normal_deviates(key, shape) * heated
    starts = starts if elsewhere is None else np.concatenate([elsewhere, starts])
    distinct = DistinctModes(even_problem, temperature, dtype)
    distinct.add(centre)
    rng = np.random.default_rng(np.asarray(random.key_data(key)))
    nearby_rounds = PLAN.nearby_rounds if is_cheap else 0
    for _ in range(PLAN.rounds + nearby_rounds):
        spent = distinct.descend_from(starts, centre)
        if nearby_rounds and spent <= PLAN.short * len(starts):
            nearby_rounds -= 1
            nearby = np.sqrt(temperature) * PLAN.farthest ** rng.uniform(size=shape[0])
            starts = centre + rng.normal(size=shape) * nearby[:, None]
            continue
        nearby_rounds = 0
        starts = distinct.take_between(len(widths))
        if not len(starts):
            break
    return _weighed(problem, distinct, matrix, dtype)


def _weighed(
    problem: Problem,
    distinct: "DistinctModes",
    matrix: Float[np.ndarray, "d d"],
    dtype: jnp.dtype,
) -> ModeSearch:
    """Return the modes with their weights, in the coordinates z of the problem, where `matrix` z are those of them."""
    positions = np.array(distinct.positions) @ matrix.T
    count, dimension = positions.shape
    barriers = np.array(distinct.barriers)
    num_rows = int(problem.size)
    if count == 1:  # without a Hessian, which costs 2 d passes
        ends = positions, np.zeros((1, dimension, dimension))
        spent = distinct.evaluations * num_rows
        return ModeSearch(*ends, np.ones(1), barriers, spent, ends)
    laws = [
        _laplace(
            np.asarray(hessian_at(problem, jnp.asarray(x, dtype)), np.float64), matrix
        )
        for x in positions
    ]
    volumes = np.array([law.log_volume for law in laws])
    rises = (np.array(distinct.levels) - distinct.levels[0]) / distinct.temperature
    log_weights = volumes - rises
    log_weights[0] = volumes[0] if np.isfinite(volumes[0]) else 0.0
    weights = np.exp(log_weights - log_weights.max())
    lowest = int(np.argmin(rises))
    is_unresolved = weights[lowest] == 0 and -rises[lowest] > PLAN.barrier
    ends = positions, np.array([law.root for law in laws])
    return ModeSearch(
        *ends,
        weights / weights.sum(),
        barriers,
        (distinct.evaluations + 2 * dimension * count) * num_rows,
        ends,
        positions[lowest] if is_unresolved else None,
    )


class DistinctModes:
    """Modes with valleys between them, in coordinates in which the curvature at the first one is 1."""

    def __init__(self, problem: Problem, temperature: float, dtype: jnp.dtype):
        self.problem = problem
        self.temperature = temperature
        self.dtype = dtype
        self.positions: list[Float[np.ndarray, " d"]] = []
        self.levels: list[float] = []
        self.barriers: list[float] = []
        self.evaluations = 0
        self._between: list[tuple[float, Float[np.ndarray, " d"]]] = []

    def descend_from(
        self, starts: Float[np.ndarray, "n d"], centre: Float[np.ndarray, " d"]
    ) -> int:
        """Add the ends of descents, none of whose steps is longer than the way to the centre; return evaluations."""
        reach = jnp.asarray(centre, self.dtype)
        descents = descend(self.problem, starts, reach, self.temperature)
        self.evaluations += descents.evaluations
        for end in descents.ends:
            self.add(end)
        return descents.evaluations

    def add(self, end: Float[np.ndarray, " d"]) -> None:
        """Add the end of a descent, unless no valley parts it from a mode that is there, or its weight is negligible.

        The volume about the first mode is 1, and none that `_laplace` reports exceeds the flattest one's.
        """
        moves = [end - other for other in self.positions]
        if len(moves) == PLAN.most_modes or any(
            np.linalg.norm(move) < PLAN.same_mode * np.sqrt(self.temperature)
            for move in moves
        ):
            return
        rises = []
        between = []
        values = np.zeros(0)
        for other in self.positions or [end]:
            points = other + np.linspace(0, 1, PLAN.points)[:, None] * (end - other)
            values, _ = evaluate(self.problem, points.astype(self.dtype))
            self.evaluations += len(values)
            rises.append(
                float(np.max(values) - max(values[0], values[-1])) / self.temperature
            )
            if self.positions and not (
                -np.inf < values[-1] < self._highest and rises[-1] > PLAN.barrier
            ):
                return
            least = (values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])
            between += list(zip(values[1:-1][least], points[1:-1][least], strict=True))
        self.barriers = (
            [min(pair) for pair in zip(self.barriers, rises, strict=True)]
            if self.positions
            else []
        )
        self.barriers.append(min(rises) if self.positions else np.inf)
        self.positions.append(end)
        self.levels.append(float(values[-1]))
        self._between += between

    def take_between(self, most: int) -> Float[np.ndarray, "m d"]:
        """Return, once, where the potential is least within straight ways between modes: others may lie near there."""
        between = sorted(self._between, key=lambda pair: pair[0])
        self._between = []
        return np.array([point for _, point in between[:most]])

    @property
    def _highest(self) -> float:
        """Above it no mode has `LEAST_WEIGHT` of the first one's."""
        most_volume = len(self.positions[0]) / 2 * np.log(1 / PLAN.curvatures[0])
        return self.levels[0] + self.temperature * (most_volume - np.log(LEAST_WEIGHT))


class NormalLaw(NamedTuple):
    """The normal law about a mode: a root of the inverse Hessian, and log det(H)^(-1/2) in even coordinates."""

    root: Float[np.ndarray, "d d"]
    log_volume: float


def _laplace(
    hessian: Float[np.ndarray, "d d"], matrix: Float[np.ndarray, "d d"]
) -> NormalLaw:
    """Return the normal law of a Hessian; its volume is 0 where a curvature is not positive."""
    even = matrix.T @ hessian @ matrix
    if not np.isfinite(even).all():
        return NormalLaw(np.zeros_like(matrix), -np.inf)
    values, vectors = np.linalg.eigh(even)
    clipped = values.clip(*PLAN.curvatures)
    log_volume = (
        -np.log(clipped).sum() / 2 if values.min() > PLAN.curvatures[0] else -np.inf
    )
    return NormalLaw(matrix @ (vectors / np.sqrt(clipped)), float(log_volume))


class Exploration(NamedTuple):
    """The pilot, the coordinates in which its curvature is 1, and what else was met before chains start."""

    flat: CoordinateMap
    """The coordinates of the pilot."""
    pilot: Pilot
    coordinates: CoordinateMap
    mode: Float[Array, " d"]
    fit: NormalFit | None
    search: ModeSearch | None

    @property
    def evaluations(self) -> int:
        return self.pilot.evaluations + (
            0 if self.search is None else self.search.evaluations
        )

    @property
    def depth(self) -> float:
        """The deepest valley between modes, in temperatures; 0 where only one mode was met."""
        return (
            float(self.search.barriers.max())
            if self.search is not None and self.has_modes
            else 0.0
        )

    def modes(self) -> list[Mode]:
        """Return the modes in the user's coordinates, heaviest first; none where only one was met."""
        if self.search is None or not self.has_modes:
            return []
        dtype = self.pilot.mode.dtype
        modes = [
            Mode(
                self.flat.to_position(jnp.asarray(position, dtype)),
                float(weight),
                float(barrier),
            )
            for position, weight, barrier in zip(
                self.search.positions,
                self.search.weights,
                self.search.barriers,
                strict=True,
            )
        ]
        return sorted(modes, key=lambda mode: -mode.weight)

    def with_relevant_modes(self, evaluations: int) -> "Exploration":
        """Return the exploration without modes of nearly no weight, and with more evaluations."""
        search = None if self.search is None else self.search.relevant()
        pilot = self.pilot._replace(evaluations=self.pilot.evaluations + evaluations)
        return self._replace(search=search, pilot=pilot)

    def log_mass(self, temperature: float) -> float:
        """Return that of the normal law about the mode, up to a constant; the coordinates are linear."""
        potential = evaluate(self.coordinates.problem, np.asarray(self.mode)[None])[0][
            0
        ]
        return float(
            np.linalg.slogdet(self.coordinates.matrix)[1] - potential / temperature
        )

    @property
    def has_modes(self) -> bool:
        """True where several modes were met."""
        return self.search is not None and len(self.search.weights) > 1

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
        if self.search is None or not (self.flat.is_linear and coordinates.is_linear):
            return []
        positions, roots = self.search.ends
        if len(positions) == PLAN.most_modes:
            return []
        change = np.linalg.solve(coordinates.matrix, self.flat.matrix)
        dtype = self.mode.dtype
        dimension = len(self.mode)
        modes = []
        draws = np.asarray(draws, np.float64).reshape(-1, dimension)
        draws = draws[:: max(1, len(draws) // PLAN.draws)]
        deviations = np.maximum(draws.std(axis=0), np.finfo(float).tiny)
        log_widths = (
            np.linalg.slogdet(change / deviations[:, None] @ roots)[1] / dimension
        )
        ends = positions[log_widths > np.log(PLAN.narrowest)] @ change.T
        at_draws, _ = evaluate(coordinates.problem, draws[::10].astype(dtype))
        highest = np.quantile(at_draws, PLAN.as_dense)
        for end in ends:
            nearest = draws[
                np.argsort(np.sum(((draws - end) / deviations) ** 2, axis=1))[
                    : PLAN.nearest
                ],
                None,
            ]
            points = (
                nearest + np.linspace(0, 1, PLAN.points)[:, None] * (end - nearest)
            ).astype(dtype)
            values, _ = evaluate(coordinates.problem, points.reshape(-1, len(end)))
            values = values.reshape(len(nearest), -1)
            rise = (
                np.min(values.max(axis=1) - np.maximum(values[:, 0], values[:, -1]))
                / temperature
            )
            if values[0, -1] <= highest and rise > PLAN.barrier:
                modes.append(
                    Mode(
                        coordinates.to_position(jnp.asarray(end, dtype)),
                        np.nan,
                        float(rise),
                    )
                )
        return modes

    def start(self, temperature: float) -> StartNearMode | StartNearModes:
        """Return draws from the normal law about the mode, or of one that is drawn by the weights."""
        dtype = self.mode.dtype
        scale = jnp.sqrt(jnp.asarray(temperature, dtype))
        if self.search is None or not self.has_modes:
            return StartNearMode(self.mode, scale)
        inverse = np.linalg.inv(as_matrix(np.asarray(self.pilot.scales, np.float64)))
        positions = self.search.positions @ inverse.T
        roots = inverse @ self.search.roots
        log_weights = np.log(self.search.weights)
        return StartNearModes(
            *(jnp.asarray(a, dtype) for a in (positions, roots, log_weights, scale))
        )


class Explorer(NamedTuple):
    """Exploration of a law: its target and its settings."""

    base: CoordinateMap
    kind: Preconditioner | None
    temperature: float
    key: PRNGKey
    is_compared: bool
    """The law is compared with the normal law at the mode."""
    is_searched: bool
    """Other modes are searched for."""
    exact_prior: bool
    elsewhere: Float[np.ndarray, "n d"] | None = None
    """Positions, in the coordinates of `base`, from which descents start, too."""

    def explore(self, vector: Float[Array, " d"]) -> Exploration:
        """Run the pilot, and again from the heaviest mode where its own has nearly none of the weight.

        Also from a lower one of unknown weight, such as that of a law far narrower than the one about the pilot's mode.
        """
        best = self._from(vector)
        spent = 0
        if best.search is not None and best.search.is_pilot_negligible:
            spent = best.evaluations
            best = self._from(self._vector(best, best.search.heaviest))
        if (
            best.search is not None
            and best.search.lowest is not None
            and best.coordinates.is_linear
        ):
            try:
                other = self._from(self._vector(best, best.search.lowest))
            except ValueError:  # the curvature says nothing there
                return best.with_relevant_modes(spent)
            masses = [
                exploration.log_mass(self.temperature) for exploration in (best, other)
            ]
            is_heavier = (other.fit is None or other.fit.is_usable) and masses[
                1
            ] > masses[0]
            best, worse = (other, best) if is_heavier else (best, other)
            spent += worse.evaluations
        return best.with_relevant_modes(spent)

    def _vector(
        self, exploration: Exploration, position: Float[np.ndarray, " d"]
    ) -> Float[Array, " d"]:
        """Return a position of the search in the coordinates of `base`."""
        return self.base.from_position(
            exploration.flat.to_position(jnp.asarray(position, exploration.mode.dtype))
        )

    def _from(self, vector: Float[Array, " d"]) -> Exploration:
        flat, pilot = run_even_pilot(
            self.base,
            vector,
            self.kind,
            self.temperature,
            self.key,
            exact_prior=self.exact_prior,
        )
        coordinates, mode = flat.preconditioned_at(pilot)
        fit = None
        search = None
        if self.is_compared:
            fit = NormalFit.of(coordinates.problem, mode, self.temperature, self.key)
        if self.is_searched:
            elsewhere = None
            if (
                self.elsewhere is not None
                and coordinates.is_linear
                and self.base.is_linear
            ):
                elsewhere = np.linalg.solve(
                    coordinates.matrix, self.base.matrix @ self.elsewhere.T
                ).T
            search = find_modes(
                flat.problem,
                coordinates.problem,
                pilot,
                self.temperature,
                self.key,
                elsewhere,
            )
        return Exploration(flat, pilot, coordinates, mode, fit, search)
