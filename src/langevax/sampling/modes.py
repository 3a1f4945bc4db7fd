"""Other modes of a law, sought before its chains start: a tempered pilot.

Descents start from the normal law about the mode, heated to temperatures between T and a million T, and end in modes.
Another mode counts where the potential rises by more than BARRIER T on the straight way from each one that is known:
chains cross there about exp(-BARRIER) of their steps, or never. Its rough weight is that of the normal law about it,
exp(-U / T) det(H)^(-1/2).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, Key

from langevax._typing import PyTree
from langevax.problems.problem import Problem
from langevax.sampling.choice import FEW_ROWS, NUM_DRAWS, NormalFit, potentials
from langevax.sampling.preconditioning import (
    CoordinateMap,
    Pilot,
    Preconditioner,
    find_mode,
    hessian_at,
    run_even_pilot,
)
from langevax.sampling.starts import StartNearMode, StartNearModes

HEAT = np.array([3.0, 10.0, 30.0, 100.0, 300.0, 1000.0])
"""Widths of the heated laws, in standard deviations of the normal law about the mode."""
DESCENTS, FEW_DESCENTS = 5, 1
"""From each of the heated laws; few where passes are over more than `FEW_ROWS` rows."""
MAX_ITERATIONS = 50
BARRIER = 5.0
SAME_MODE = 0.1  # distance of two ends, in standard deviations of the normal law about the mode
LEAST_WEIGHT = 0.01  # of a mode that is reported
FLATTEST, STEEPEST = 1e-2, 1e8  # curvatures in pilot coordinates at which the normal law about a mode means something


class Mode(NamedTuple):
    """A mode, its rough weight, and how deep the valleys about it are."""

    position: PyTree
    """In the user's coordinates, those of NumPyro's unconstrained space."""
    weight: float
    """Of the normal law about it, among all modes."""
    barrier: float
    """Least rise of the potential on straight ways to other modes, in temperatures."""


class ModeSearch(NamedTuple):
    """The modes that the pilot and the descents ended in, the pilot's first, in the coordinates of its problem."""

    positions: Float[np.ndarray, "m d"]
    roots: Float[np.ndarray, "m d d"]
    """Of the inverse Hessians."""
    weights: Float[np.ndarray, " m"]
    barriers: Float[np.ndarray, " m"]
    evaluations: int

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
        return ModeSearch(self.positions[heavy], self.roots[heavy], weights, self.barriers[heavy], self.evaluations)


def find_modes(
    problem: Problem, even_problem: Problem, pilot: Pilot, temperature: float, key: Key[Array, ""]
) -> ModeSearch | None:
    """Return the modes that descents in the coordinates of the pilot end in, or None without a whole Hessian.

    `even_problem` is the problem in the coordinates in which the pilot's curvature is 1.
    """
    if pilot.curvatures is None or pilot.scales is None:
        return None
    dimension, num_rows, dtype = len(pilot.mode), int(problem.size), pilot.mode.dtype
    scales, mode = np.asarray(pilot.scales, np.float64), np.asarray(pilot.mode, np.float64)
    widths = np.repeat(HEAT, DESCENTS if num_rows <= FEW_ROWS else FEW_DESCENTS) * np.sqrt(temperature)
    xi = np.asarray(random.normal(key, (len(widths), dimension), dtype), np.float64) * widths[:, None]
    ends, passes = [mode], 0
    for start in mode + xi @ _as_matrix(scales).T:
        try:
            with np.errstate(all="ignore"):
                end, used = find_mode(problem, jnp.asarray(start, dtype), MAX_ITERATIONS)
        except ValueError:  # outside of the support
            used, end = 1, None
        passes += used
        ends += [] if end is None else [np.asarray(end, np.float64)]
    steps = np.linspace(0, 1, NUM_DRAWS + 1)[:, None]
    positions, levels, barriers = [], [], []
    for end in ends:
        moves = [np.linalg.solve(_as_matrix(scales), end - other) for other in positions]
        if any(np.linalg.norm(move) < SAME_MODE * np.sqrt(temperature) for move in moves):
            continue
        rises, values = [], np.zeros(0)
        for other in positions or [mode]:
            values = _potentials_along(even_problem, scales, other + steps * (end - other), dtype)
            passes += len(values)
            rises.append((np.max(values) - max(values[0], values[-1])) / temperature)
            if positions and not (np.isfinite(values[-1]) and rises[-1] > BARRIER):
                break
        else:
            barriers = [min(pair) for pair in zip(barriers, rises, strict=True)] if positions else []
            barriers.append(min(rises) if positions else np.inf)
            positions.append(end)
            levels.append(values[-1])
    if len(positions) == 1:  # without a Hessian, which costs 2 d passes
        root = np.zeros((1, dimension, dimension))
        return ModeSearch(np.array(positions), root, np.ones(1), np.array(barriers), passes * num_rows)
    fits = [_laplace(np.asarray(hessian_at(problem, jnp.asarray(x, dtype)), np.float64), scales) for x in positions]
    passes += 2 * dimension * len(positions)
    log_weights = np.array([fit.log_volume for fit in fits]) - (np.array(levels) - levels[0]) / temperature
    log_weights[0] = fits[0].log_volume if np.isfinite(fits[0].log_volume) else 0.0
    weights = np.exp(log_weights - log_weights.max())
    roots = np.array([fit.root for fit in fits])
    return ModeSearch(np.array(positions), roots, weights / weights.sum(), np.array(barriers), passes * num_rows)


class NormalLaw(NamedTuple):
    """The normal law about a mode: a root of the inverse Hessian, and log det(H)^(-1/2) in even coordinates."""

    root: Float[np.ndarray, "d d"]
    log_volume: float


def _laplace(hessian: Float[np.ndarray, "d d"], scales: Float[np.ndarray, "d ..."]) -> NormalLaw:
    """Return the normal law of a Hessian; its volume is 0 where a curvature is not positive."""
    matrix = _as_matrix(scales)
    even = matrix.T @ hessian @ matrix
    if not np.isfinite(even).all():
        return NormalLaw(np.zeros_like(matrix), -np.inf)
    values, vectors = np.linalg.eigh(even)
    clipped = values.clip(FLATTEST, STEEPEST)
    log_volume = -np.log(clipped).sum() / 2 if values.min() > FLATTEST else -np.inf
    return NormalLaw(matrix @ (vectors / np.sqrt(clipped)), float(log_volume))


def _potentials_along(
    problem: Problem, scales: Float[np.ndarray, "d ..."], points: Float[np.ndarray, "m d"], dtype: jnp.dtype
) -> Float[np.ndarray, " m"]:
    """Return potentials at NUM_DRAWS + 1 points, by the program that compares the law with the normal law."""
    z = np.linalg.solve(scales, points.T).T if scales.ndim == 2 else points / scales
    return np.asarray(potentials(problem, jnp.asarray(z, dtype)), np.float64)


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
        return self.pilot.evaluations + (0 if self.search is None else self.search.evaluations)

    @property
    def depth(self) -> float:
        """The deepest valley between modes, in temperatures; 0 where only one mode was met."""
        return 0.0 if self.search is None or len(self.search.weights) < 2 else float(self.search.barriers.max())

    def modes(self) -> list[Mode]:
        """Return the modes in the user's coordinates, heaviest first; none where only one was met."""
        if self.search is None or len(self.search.weights) < 2:
            return []
        dtype = self.pilot.mode.dtype
        modes = [
            Mode(self.flat.to_position(jnp.asarray(position, dtype)), float(weight), float(barrier))
            for position, weight, barrier in zip(
                self.search.positions, self.search.weights, self.search.barriers, strict=True
            )
        ]
        return sorted(modes, key=lambda mode: -mode.weight)

    def with_relevant_modes(self, evaluations: int) -> "Exploration":
        """Return the exploration without modes of nearly no weight, and with more evaluations."""
        search = None if self.search is None else self.search.relevant()
        pilot = self.pilot._replace(evaluations=self.pilot.evaluations + evaluations)
        return self._replace(search=search, pilot=pilot)

    def start(self, temperature: float) -> StartNearMode | StartNearModes:
        """Return draws from the normal law about the mode, or of one that is drawn by the weights."""
        dtype = self.mode.dtype
        scale = jnp.sqrt(jnp.asarray(temperature, dtype))
        if self.search is None or len(self.search.weights) < 2:
            return StartNearMode(self.mode, scale)
        inverse = np.linalg.inv(_as_matrix(np.asarray(self.pilot.scales, np.float64)))
        positions, roots = self.search.positions @ inverse.T, inverse @ self.search.roots
        log_weights = np.log(self.search.weights)
        return StartNearModes(*(jnp.asarray(a, dtype) for a in (positions, roots, log_weights, scale)))


class Explorer(NamedTuple):
    """What is explored, and how."""

    base: CoordinateMap
    kind: Preconditioner | None
    temperature: float
    key: Key[Array, ""]
    is_compared: bool
    """The law is compared with the normal law at the mode."""
    is_searched: bool
    """Other modes are searched for, where the law is not far from normal."""
    exact_prior: bool

    def explore(self, vector: Float[Array, " d"]) -> Exploration:
        """Run the pilot, and again from the heaviest mode where its own has nearly none of the weight."""
        first = self._from(vector)
        if first.search is None or not first.search.is_pilot_negligible:
            return first.with_relevant_modes(0)
        heaviest = first.flat.to_position(jnp.asarray(first.search.heaviest, vector.dtype))
        return self._from(self.base.from_position(heaviest)).with_relevant_modes(first.evaluations)

    def _from(self, vector: Float[Array, " d"]) -> Exploration:
        flat, pilot = run_even_pilot(
            self.base, vector, self.kind, self.temperature, self.key, exact_prior=self.exact_prior
        )
        coordinates = flat.preconditioned(pilot.scales, pilot.directions)
        mode, fit, search = coordinates.from_position(pilot.mode, len(flat.layers)), None, None
        if self.is_compared:
            fit = NormalFit.of(coordinates.problem, mode, self.temperature, self.key)
        if self.is_searched and (fit is None or fit.is_usable):
            search = find_modes(flat.problem, coordinates.problem, pilot, self.temperature, self.key)
        return Exploration(flat, pilot, coordinates, mode, fit, search)


def _as_matrix(scales: Float[np.ndarray, "d ..."]) -> Float[np.ndarray, "d d"]:
    return scales if scales.ndim == 2 else np.diag(scales)
