"""Chains on a solver in Python: the loop runs on the host, with solves of several chains at once where threads allow.

    posterior(w) = exp(-psi(w)) N(0, I),      psi(w) = misfit(z) + |z|^2 / 2 - |w|^2 / 2,      z = mean + C^{1/2} w

in the coordinates of a normal reference law N(mean, C), sampled by pCN, which takes a solve a step, or pCNL, which
takes an adjoint solve as well. Both are exact for every reference law. Warm-up adapts the step size and, where the
reference suits the posterior badly, its moments along the informed directions.

A normal law about a mode has lighter tails than a posterior that is far from normal, and chains that propose from it
alone may miss parts of the posterior for long. There every step draws its length, and whether it is one about the
reference or one of pCN about the prior, for which the misfit is bounded below, so that no part of the posterior is out
of reach. Warm-up weights these moves by the squared distance that they go for a solve.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from jax import random
from jaxtyping import Array, Float, Key

from langevax._typing import PyTree
from langevax.run import Result
from langevax.run.progress import Progress
from langevax.run.result import Trace
from langevax.sampling.reference import NormalReference
from langevax.sampling.solve_threads import SolveThreads
from langevax.sampling.solver import ForwardSolver, Solve, Vector
from langevax.sampling.surrogate import MOST_NUMBERS, FittedMisfit, fitted_misfit

Dynamics = Literal["pcn", "pcnl"]
ACCEPTANCE_GOAL = {"pcn": 0.3, "pcnl": 0.65}
LONGEST_STEP = {"pcn": 1.0, "pcnl": 2.0}  # at which proposals are independent of the state
NUM_STAGES = 5  # of the warm-up; the reference is adapted between them, and the fit
SHORT_STEP = 0.5  # share of the longest step below which the reference suits the posterior badly
PRIOR_WEIGHT = 5  # draws for each direction that the earlier covariance counts for
NUM_TRIES = 20  # of a start at which the solver works
NUM_COMPARED, FAR_FROM_NORMAL = 16, 1.0  # draws of the reference, and the deviation of psi there beyond which it is far
NUM_PROBED = 4  # directions along which tails are compared
PROBED_AT = -8, -5, -3, 3, 5, 8  # deviations of the reference
HEAVY = 2.0  # nats above the reference that are a heavy tail
NEGLIGIBLE_DEPTH = 7.0  # nats below the mode at which there is hardly any mass
COUNTS = "solves", "adjoint_solves", "failed_solves"
LENGTHS = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03)  # of the moves far from normal, as shares of the longest
EVEN_SHARE = 0.2  # of the steps, over all moves alike, whatever the warm-up measured
MOST_BY_FIT = 0.9  # of the steps
FEW_MODES = 20  # up to which moments are taken in all directions


class ChainState(NamedTuple):
    """One chain, with its last solve."""

    solve: Solve
    w: Vector
    psi: float
    slope: Vector | None
    """Gradient of psi, for pCNL."""
    gradient: Vector | None = None
    """Of the misfit, from which the slope is computed."""


class Move(NamedTuple):
    """A way to propose, of which a walk far from normal has several."""

    kind: Literal["reference", "prior", "modes", "fit"]
    length: float


class WalkStep(NamedTuple):
    """Outcome of a step."""

    state: Any
    """`ChainState`, or that of another walk."""
    acceptance: float
    """Probability with which the proposal was accepted."""
    distance: float
    """Expected squared distance along the informed directions, in units of the reference."""
    move: int
    """Number of the move in `SolverWalk.moves`; 0 where there is one kind alone."""
    proposed: Solve | None = None
    """The solve of the proposal; None where there was none."""


class SolveCounts(NamedTuple):
    """Solves of a sampling run, those of its pilot included."""

    forward: int
    adjoint: int
    failed: int
    first_failure: str
    """Why the first one failed."""

    @classmethod
    def of(cls, solver: ForwardSolver) -> "SolveCounts":
        """The counts of a solver so far."""
        return cls(solver.num_solves, solver.num_adjoints, solver.num_failed, solver.first_failure)

    def since(self, before: "SolveCounts") -> "SolveCounts":
        """Those that are not in earlier counts."""
        forward, adjoint, failed = (now - then for now, then in zip(self[:3], before[:3], strict=True))
        return SolveCounts(forward, adjoint, failed, self.first_failure)

    def plus(self, counts: Mapping[str, int]) -> "SolveCounts":
        """These and the counts of a further run."""
        forward, adjoint, failed = (count + counts[name] for count, name in zip(self[:3], COUNTS, strict=True))
        return SolveCounts(forward, adjoint, failed, self.first_failure)


class SolverWalk:
    """pCN or pCNL on a solver, in the coordinates of a reference law."""

    solves_per_step = 1

    def __init__(self, solver: ForwardSolver, reference: NormalReference, dynamics: Dynamics, step_size: float):
        self.solver, self.reference, self.dynamics, self.step_size = solver, reference, dynamics, step_size
        self.moves: list[Move] = []
        """None where all steps are about the reference and of one length."""
        self.weights = np.ones(0)
        """Probability of each move."""
        self.modes: list[NormalReference] = []
        self.fit: FittedMisfit | None = None
        self.is_mixed = False
        """True where the reference alone would miss parts of the posterior."""

    def mix(self, modes: Sequence[NormalReference] = ()) -> None:
        """Draw every step from all moves, of which independent draws of the laws at several modes are one."""
        longest, self.is_mixed = LONGEST_STEP[self.dynamics], True
        self.moves = [Move("reference", longest * share) for share in LENGTHS]
        self.moves += [Move("prior", share) for share in LENGTHS]
        if len(modes) > 1:
            self.modes = list(modes)
            self.moves.append(Move("modes", 1.0))
        self.weights = np.full(len(self.moves), 1 / len(self.moves))
        if self.solver.num_modes <= FEW_MODES:
            self.reference = self.reference.in_all_directions()

    @property
    def suits_badly(self) -> bool:
        """True where steps about the reference are short, so that it is adapted to moments of the draws."""
        about_reference = self.moves[0].length if self.moves else self.step_size
        return self.is_mixed or about_reference < SHORT_STEP * LONGEST_STEP[self.dynamics]

    def add_fit(self, solves: Sequence[Solve], visited: Sequence[bool]) -> None:
        """Take steps by a fit to the predictions too, where it helps; its moves are the last."""
        self.fit = fitted_misfit(self.reference, self.solver.noise, solves, visited) or self.fit
        has_move = bool(self.moves) and self.moves[-1].kind == "fit"
        if self.fit is not None and not has_move:
            self.moves = [*(self.moves or [Move("reference", self.step_size)]), Move("fit", 1.0)]
            self.weights = np.full(len(self.moves), 1 / len(self.moves))

    def weigh(self, gains: Float[np.ndarray, " moves"]) -> None:
        """Set the weights of the moves by the squared distances that they go for a solve.

        A rough fit has less weight: where it leaves out a part of the posterior, the other moves alone lead out.
        """
        has_fit = self.moves[-1].kind == "fit"
        others = gains[:-1] if has_fit else gains
        shares = others / others.sum() if others.sum() > 0 else np.full(len(others), 1 / len(others))
        self.weights = (1 - EVEN_SHARE) * shares + EVEN_SHARE / len(others)
        if has_fit and self.fit is not None:
            square, best = gains[-1] ** 2, others.max() ** 2
            share = MOST_BY_FIT / self.fit.cost * (square / (square + best) if square > 0 else 0.0)
            self.weights = np.append((1 - share) * self.weights, share)
        self.step_size = float(self.weights @ [move.length for move in self.moves])

    def spread(self, rng: np.random.Generator) -> float:
        """Return the standard deviation of psi at draws of the reference: 0 where it is the posterior."""
        places = self.reference.to_prior_units(rng.standard_normal((NUM_COMPARED, self.solver.num_modes)))
        squares = np.sum(self.reference.from_prior_units(places) ** 2, axis=1)
        misfits = np.array([solve.misfit for solve in self.solver.each(self.solver.solve, places)])
        psi = misfits + (np.sum(places**2, axis=1) - squares) / 2
        return float(np.std(psi)) if np.isfinite(psi).all() else np.inf

    def is_far_from_normal(self, rng: np.random.Generator) -> bool:
        """True where chains about the reference alone would miss parts of the posterior."""
        return self.spread(rng) > FAR_FROM_NORMAL or self._has_heavy_tails()

    def _has_heavy_tails(self) -> bool:
        """True where the posterior has mass that the reference leaves out, along the directions that data inform most.

        Draws of the reference do not reach there, and chains about it agree with each other.
        """
        narrowest = self.reference.directions.T[np.argsort(self.reference.scales)[:NUM_PROBED]]
        w = np.concatenate([np.zeros((1, self.solver.num_modes)), *(t * narrowest for t in PROBED_AT)])
        places = self.reference.to_prior_units(w)
        misfits = np.array([solve.misfit for solve in self.solver.each(self.solver.solve, places)])
        energies = misfits + np.sum(places**2, axis=1) / 2
        depths = energies[1:] - energies[0]
        log_weights = np.sum(w[1:] ** 2, axis=1) / 2 - depths
        return bool(np.any((log_weights > HEAVY) & (depths < NEGLIGIBLE_DEPTH)))

    def state_at(self, z: Vector) -> ChainState | None:
        """Return the state at a place, or None where the solver fails."""
        return self._state(self.solver.solve(z), self.reference.from_prior_units(z))

    def _state(self, solve: Solve, w: Vector) -> ChainState | None:
        return None if solve.residual is None else self._with_slope(self._without_slope(solve, w))

    def _without_slope(self, solve: Solve, w: Vector) -> ChainState:
        return ChainState(solve, w, solve.misfit + float(solve.z @ solve.z - w @ w) / 2, None)

    def _with_slope(self, state: ChainState) -> ChainState | None:
        """Return the state with its gradient where pCNL needs one; None where the adjoint fails."""
        if self.dynamics == "pcn" or state.slope is not None:
            return state
        gradient = self.solver.gradient(state.solve)
        if gradient is None:
            return None
        return state._replace(slope=self.slope_of(gradient, state.solve.z, state.w), gradient=gradient)

    def slope_of(self, gradient: Vector, z: Vector, w: Vector) -> Vector:
        """Return the gradient of psi for that of the misfit."""
        return self.reference.stretch(gradient + z) - w

    def step(self, state: ChainState, rng: np.random.Generator) -> WalkStep:
        """Return the next state of a chain."""
        number = int(rng.choice(len(self.moves), p=self.weights)) if self.moves else 0
        move = self.moves[number] if self.moves else Move("reference", self.step_size)
        propose = {
            "reference": self._about_reference,
            "prior": self._about_prior,
            "modes": self._from_modes,
            "fit": self._by_fit,
        }[move.kind]
        if move.kind == "reference":
            with_slope = self._with_slope(state)
            if with_slope is None:
                return WalkStep(state, 0.0, 0.0, number)
            state = with_slope
        proposal, log_ratio = propose(state, move.length, rng)
        threshold = np.log(rng.uniform())
        is_accepted = threshold < log_ratio
        rate = float(np.exp(min(log_ratio, 0.0)))
        moved = 0.0 if proposal is None else float(np.sum(((proposal.w - state.w) @ self.reference.directions) ** 2))
        chosen = proposal if is_accepted and proposal is not None else state
        return WalkStep(chosen, rate, rate * moved, number, None if proposal is None else proposal.solve)

    def _about_prior(self, state: ChainState, s: float, rng: np.random.Generator) -> tuple[ChainState | None, float]:
        z = np.sqrt(1 - s**2) * state.solve.z + s * rng.standard_normal(len(state.w))
        solve = self.solver.solve(z)
        if solve.residual is None:
            return None, -np.inf
        return self._without_slope(solve, self.reference.from_prior_units(z)), state.solve.misfit - solve.misfit

    def _by_fit(self, state: ChainState, _: float, rng: np.random.Generator) -> tuple[ChainState | None, float]:
        if self.fit is None:
            return None, -np.inf
        w, rise = self.fit.end_of_chain(state.w, rng)
        solve = self.solver.solve(self.reference.to_prior_units(w))
        if solve.residual is None:
            return None, -np.inf
        proposal = self._without_slope(solve, w)
        return proposal, state.psi - proposal.psi + rise

    def _from_modes(self, state: ChainState, _: float, rng: np.random.Generator) -> tuple[ChainState | None, float]:
        law = self.modes[rng.integers(len(self.modes))]
        solve = self.solver.solve(law.to_prior_units(rng.standard_normal(len(state.w))))
        if solve.residual is None:
            return None, -np.inf
        log_ratio = self._log_ratio_to_modes(solve) - self._log_ratio_to_modes(state.solve)
        return self._without_slope(solve, self.reference.from_prior_units(solve.z)), log_ratio

    def _log_ratio_to_modes(self, solve: Solve) -> float:
        """Return log posterior less the log density of the even mixture of the laws at the modes."""
        logs = [-np.sum(np.log(law.scales)) - np.sum(law.from_prior_units(solve.z) ** 2) / 2 for law in self.modes]
        return -solve.misfit - float(solve.z @ solve.z) / 2 - float(np.logaddexp.reduce(logs))

    def _about_reference(
        self, state: ChainState, h: float, rng: np.random.Generator
    ) -> tuple[ChainState | None, float]:
        u, xi = state.w, rng.standard_normal(len(state.w))
        if state.slope is None:
            w = np.sqrt(1 - h**2) * u + h * xi
        else:
            w = ((2 - h) * u - 2 * h * state.slope + np.sqrt(8 * h) * xi) / (2 + h)
        proposal = self._state(self.solver.solve(self.reference.to_prior_units(w)), w)
        if proposal is None:
            return None, -np.inf
        log_ratio = state.psi - proposal.psi
        if state.slope is not None and proposal.slope is not None:
            g, k = state.slope, proposal.slope
            log_ratio += float(np.sum((w - u) * (g + k) / 2 + h / 4 * ((u + w) * (g - k) + (g - k) * (g + k))))
        return proposal, log_ratio if np.isfinite(log_ratio) else -np.inf

    def moved_to(self, state: ChainState, reference: NormalReference) -> ChainState:
        """Return the state in the coordinates of another reference."""
        slope, w = state.slope, reference.from_prior_units(state.solve.z)
        if slope is not None:
            slope = reference.stretch(self.reference.shrink(slope + state.w)) - w
        psi = state.solve.misfit + float(state.solve.z @ state.solve.z - w @ w) / 2
        return ChainState(state.solve, w, psi, slope, state.gradient)

    @property
    def num_coordinates(self) -> int:
        """Numbers of a draw."""
        return self.solver.num_modes

    def coordinates(self, state: ChainState) -> Vector:
        """Return the numbers that are recorded of a state."""
        return state.w

    def warnings(self, positions: PyTree) -> list[str]:
        """Return reasons to doubt draws that only this walk knows, a sentence each."""
        return []


class HostWalk(Protocol):
    """Steps of chains on the host, such as those of `SolverWalk`."""

    solver: ForwardSolver
    dynamics: str
    solves_per_step: int

    def step(self, state: Any, rng: np.random.Generator) -> "WalkStep": ...
    @property
    def num_coordinates(self) -> int: ...
    def coordinates(self, state: Any) -> Vector: ...
    def warnings(self, positions: PyTree) -> list[str]: ...


def steps_of_chains(
    walk: HostWalk, states: Sequence[Any], rngs: Sequence[np.random.Generator], threads: SolveThreads
) -> Iterator[tuple[WalkStep, SolveCounts]]:
    """Yield a step of each chain with its solves.

    Each chain has random numbers of its own, so that the number of threads does not matter to its draws.
    """

    def step(chain: int) -> tuple[WalkStep, SolveCounts]:
        own = copy(walk)
        own.solver = walk.solver.counted_apart()
        return own.step(states[chain], rngs[chain]), SolveCounts.of(own.solver)

    return threads.map(step, range(len(states)))


def generator(key: Key[Array, ""]) -> np.random.Generator:
    """Return NumPy's generator for a key."""
    return np.random.default_rng(np.asarray(random.key_data(key)).tolist())


def first_states(
    walk: SolverWalk,
    references: Sequence[NormalReference],
    num_chains: int,
    start: Callable[[int], Vector] | None,
    rng: np.random.Generator,
) -> list[ChainState]:
    """Return a state for each chain: at `start(chain)`, or at draws of `references`, a mode each, in turn."""
    states = []
    for chain in range(num_chains):
        state = None
        for attempt in range(NUM_TRIES):
            wide = rng.standard_normal(walk.solver.num_modes) * 0.8**attempt
            law = references[chain % len(references)]
            state = walk.state_at(law.to_prior_units(wide) if start is None else start(chain))
            if state is not None or start is not None:
                break
        if state is None:
            raise ValueError(
                f"forward_map fails where chain {chain} starts ({walk.solver.first_failure}); pass a start at which "
                "it is defined."
            )
        states.append(state)
    return states


def warm_up(
    walk: SolverWalk,
    states: list[ChainState],
    num_steps: int,
    is_adaptive: bool,
    rng: np.random.Generator,
    progress: Progress,
    threads: SolveThreads,
) -> list[ChainState]:
    """Run, and adapt the step size and the reference where `is_adaptive`."""
    goal, longest, done = ACCEPTANCE_GOAL[walk.dynamics], LONGEST_STEP[walk.dynamics], 0
    distances = np.zeros((max(1, len(walk.moves)), 2))
    """Squared distance and solves of each move."""
    rngs = rng.spawn(len(states))
    solves: list[Solve] = []
    visited_solves: list[bool] = []
    is_fitted = is_adaptive and num_steps * len(states) * walk.solver.data.size <= MOST_NUMBERS
    for stage in range(NUM_STAGES):
        last = stage == NUM_STAGES - 1
        length = num_steps - done if last else num_steps // NUM_STAGES
        visited = np.empty((length, len(states), walk.solver.num_modes))
        for i in range(length):
            rates = []
            for chain, (step, counts) in enumerate(steps_of_chains(walk, states, rngs, threads)):
                states[chain], visited[i, chain] = step.state, step.state.solve.z
                distances[step.move] += step.distance, counts.forward + counts.adjoint
                if is_fitted and step.proposed is not None:
                    solves.append(step.proposed)
                    visited_solves.append(step.state.solve is step.proposed)
                rates.append(step.acceptance)
            progress.update(walk.solver.num_solves, float(np.mean(rates)))
            if is_adaptive and not walk.moves:
                walk.step_size = min(longest, walk.step_size * np.exp((np.mean(rates) - goal) / np.sqrt(i + 1)))
        done += length
        if not is_adaptive:
            continue
        if walk.moves:
            walk.weigh(distances[:, 0] / np.maximum(distances[:, 1], 1))
        if walk.suits_badly and not last and length > 1:
            reference = with_moments_of(walk.reference, visited[length // 2 :].reshape(-1, visited.shape[2]))
            states = [walk.moved_to(state, reference) for state in states]
            walk.reference = reference
        if is_fitted and (not last or walk.fit is not None):  # one that is new has no weight yet
            walk.add_fit(solves, visited_solves)
        distances = np.zeros((max(1, len(walk.moves)), 2))
    return states


def with_moments_of(reference: NormalReference, draws: Float[np.ndarray, "draw modes"]) -> NormalReference:
    """Return the reference with the mean and covariance of draws along its directions."""
    directions = reference.directions
    along = draws @ directions
    count, rank = along.shape
    weight = count / (count + PRIOR_WEIGHT * rank)
    centred = along - along.mean(0)
    covariance = weight * centred.T @ centred / count + (1 - weight) * np.diag(reference.scales**2)
    mean = reference.mean + directions @ (weight * (along.mean(0) - reference.mean @ directions))
    variances, rotation = np.linalg.eigh(covariance)
    return NormalReference(mean, directions @ rotation, np.sqrt(np.maximum(variances, 1e-12)))


def run_chains(
    walk: HostWalk,
    states: Sequence[Any],
    num_samples: int,
    thinning: int,
    key: Key[Array, ""],
    progress: bool | Literal["auto"],
) -> Result:
    """Return every `thinning`-th state of the chains; positions are in the coordinates of the walk."""
    began, rngs, solver = time.perf_counter(), generator(key).spawn(len(states)), walk.solver
    num_chains, before = len(states), SolveCounts.of(solver)
    draws = np.empty((num_chains, num_samples, walk.num_coordinates))
    acceptance = np.zeros((num_chains, num_samples))
    counts = np.zeros((3, num_chains, num_samples), np.int64)
    total = np.zeros((3, num_chains), np.int64)
    states, done = list(states), 0
    bar = solve_progress(walk, num_chains * num_samples * thinning, progress)
    with SolveThreads(min(solver.parallel, num_chains)) as threads:
        for draw in range(num_samples):
            for _ in range(thinning):
                for chain, (step, spent) in enumerate(steps_of_chains(walk, states, rngs, threads)):
                    states[chain], done = step.state, done + 1
                    total[:, chain] += spent[:3]
                    acceptance[chain, draw] += step.acceptance / thinning
                    bar.update(solver.num_solves if walk.solves_per_step else done, step.acceptance)
            draws[:, draw] = [walk.coordinates(state) for state in states]
            counts[:, :, draw] = total
    bar.close()
    assert SolveCounts.of(solver).since(before).forward == total[0].sum()
    info = dict(zip(COUNTS, counts, strict=True)) | {"acceptance": acceptance}
    info["evaluations"] = counts[0] + counts[1]
    steps = thinning * np.arange(1, num_samples + 1)
    by_chain: dict[str, Any] = dict(zip(COUNTS, total, strict=True)) | {"evaluations": total[0] + total[1]}
    return Result(
        position=draws[:, -1],
        state=states,
        trace=Trace(steps, draws, info),
        average=None,
        counts_by_chain=by_chain,
        metrics={"acceptance": float(acceptance.mean())},
        steps=num_samples * thinning,
        num_chains=num_chains,
        seconds=time.perf_counter() - began,
        outcome=f"Finished all {num_samples * thinning} steps.",
    )


def solve_progress(walk: HostWalk, num_steps: int, shown: bool | Literal["auto"]) -> Progress:
    """Return a progress bar in solves, from the solver's present count; in steps where these need none."""
    done = walk.solver.num_solves if walk.solves_per_step else 0
    total, unit = done + num_steps * max(1, walk.solves_per_step), "solve" if walk.solves_per_step else "step"
    return Progress(walk.dynamics, total, done, shown, lambda rate: ("acceptance", rate), unit=unit)
