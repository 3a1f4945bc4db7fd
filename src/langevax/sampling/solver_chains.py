"""Chains on a solver in Python: the loop runs on the host, with solves of several chains at once where threads allow.

Warm-up adapts the step size and, where the reference suits the posterior badly, its moments along the informed
directions. Steps are those of `solver_walk`, or of another walk.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple, Protocol

import numpy as np
from jax import random
from jaxtyping import Float, Int

from langevax._typing import PRNGKey
from langevax.run import Result
from langevax.run.options import ProgressOption
from langevax.run.progress import Progress
from langevax.run.result import Trace
from langevax.sampling.reference import NormalReference
from langevax.sampling.solve_threads import SolveThreads
from langevax.sampling.solver import ForwardSolver, Solve, Vector
from langevax.sampling.solver_walk import LONGEST_STEP, ChainState, SolverWalk, WalkStep
from langevax.sampling.surrogate import MOST_RESIDUALS

ACCEPTANCE_GOAL = {"pcn": 0.3, "pcnl": 0.65, "hmc": 0.75}
SOLVE_COUNTS = "solves", "adjoint_solves", "failed_solves"


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
        return cls(
            solver.num_solves,
            solver.num_adjoints,
            solver.tally.failed,
            solver.tally.first_failure,
        )

    @property
    def numbers(self) -> Int[np.ndarray, " counts"]:
        """The counts, in the order of SOLVE_COUNTS."""
        return np.array([self.forward, self.adjoint, self.failed])

    def since(self, before: "SolveCounts") -> "SolveCounts":
        """Those that are not in earlier counts."""
        forward, adjoint, failed = (self.numbers - before.numbers).tolist()
        return SolveCounts(forward, adjoint, failed, self.first_failure)

    def plus(self, counts: Mapping[str, int]) -> "SolveCounts":
        """These and the counts of a further run."""
        further = [counts[name] for name in SOLVE_COUNTS]
        forward, adjoint, failed = (self.numbers + further).tolist()
        return SolveCounts(forward, adjoint, failed, self.first_failure)


class HostWalk(Protocol):
    """Steps of chains on the host, such as those of `SolverWalk`."""

    solver: ForwardSolver
    dynamics: str

    def step(self, state: Any, rng: np.random.Generator) -> "WalkStep": ...
    @property
    def num_coordinates(self) -> int: ...
    def coordinates(self, state: Any) -> Vector: ...


def steps_of_chains(
    walk: HostWalk,
    states: Sequence[Any],
    rngs: Sequence[np.random.Generator],
    threads: SolveThreads,
) -> Iterator[tuple[WalkStep, SolveCounts]]:
    """Yield a step of each chain with its solves.

    Each chain has random numbers of its own, so that the number of threads does not matter to its draws.
    """

    def step(chain: int) -> tuple[WalkStep, SolveCounts]:
        own = copy(walk)
        own.solver = walk.solver.counted_apart()
        return own.step(states[chain], rngs[chain]), SolveCounts.of(own.solver)

    return threads.map(step, range(len(states)))


def generator(key: PRNGKey) -> np.random.Generator:
    """Return NumPy's generator for a key."""
    return np.random.default_rng(np.asarray(random.key_data(key)).tolist())


def first_states(
    walk: SolverWalk,
    references: Sequence[NormalReference],
    num_chains: int,
    start: Callable[[int], Vector] | None,
    rng: np.random.Generator,
    num_tries: int = 20,
) -> list[ChainState]:
    """Return a state for each chain: at `start(chain)`, or at draws of `references`, a mode each, in turn."""
    states = []
    for chain in range(num_chains):
        state = None
        for attempt in range(num_tries):
            wide = rng.standard_normal(walk.solver.num_modes) * 0.8**attempt
            law = references[chain % len(references)]
            state = walk.state_at(
                law.to_prior_units(wide) if start is None else start(chain)
            )
            if state is not None or start is not None:
                break
        if state is None:
            raise ValueError(
                f"forward_map fails where chain {chain} starts ({walk.solver.tally.first_failure}); pass a start at which "
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
    num_stages: int = 5,
) -> list[ChainState]:
    """Run, and adapt the step size where `is_adaptive`, and between stages the reference and the fit."""
    goal = ACCEPTANCE_GOAL[walk.dynamics]
    longest = LONGEST_STEP[walk.dynamics]
    done = 0
    distances = np.zeros((max(1, len(walk.moves)), 2))
    """Squared distance and solves of each move."""
    rngs = rng.spawn(len(states))
    solves: list[Solve] = []
    visited_solves: list[bool] = []
    is_fitted = (
        is_adaptive
        and num_steps * len(states) * walk.solver.data.size <= MOST_RESIDUALS
    )
    for stage in range(num_stages):
        last = stage == num_stages - 1
        length = num_steps - done if last else num_steps // num_stages
        visited = np.empty((length, len(states), walk.solver.num_modes))
        for i in range(length):
            rates = []
            for chain, (step, counts) in enumerate(
                steps_of_chains(walk, states, rngs, threads)
            ):
                states[chain], visited[i, chain] = step.state, step.state.solve.z
                distances[step.move] += step.distance, counts.forward + counts.adjoint
                if is_fitted and step.proposed is not None:
                    solves.append(step.proposed)
                    visited_solves.append(step.state.solve is step.proposed)
                rates.append(step.acceptance)
            progress.update((done + i + 1) * len(states), float(np.mean(rates)))
            if is_adaptive and not walk.moves:
                walk.step_size = min(
                    longest,
                    walk.step_size * np.exp((np.mean(rates) - goal) / np.sqrt(i + 1)),
                )
        done += length
        if not is_adaptive:
            continue
        if walk.moves:
            walk.weigh(distances[:, 0] / np.maximum(distances[:, 1], 1))
        if walk.suits_badly and not last and length > 1:
            reference = with_moments_of(
                walk.reference, visited[length // 2 :].reshape(-1, visited.shape[2])
            )
            states = [walk.moved_to(state, reference) for state in states]
            walk.reference = reference
        if is_fitted and (
            not last or walk.fit is not None
        ):  # one that is new has no weight yet
            walk.add_fit(solves, visited_solves)
        distances = np.zeros((max(1, len(walk.moves)), 2))
    return states


def with_moments_of(
    reference: NormalReference,
    draws: Float[np.ndarray, "draw modes"],
    prior_weight: float = 5,
) -> NormalReference:
    """Return the reference with the mean and covariance of draws along its directions.

    The earlier covariance counts for `prior_weight` draws for each direction.
    """
    directions = reference.directions
    along = draws @ directions
    count, rank = along.shape
    weight = count / (count + prior_weight * rank)
    centred = along - along.mean(0)
    covariance = weight * centred.T @ centred / count + (1 - weight) * np.diag(
        reference.scales**2
    )
    mean = reference.mean + directions @ (
        weight * (along.mean(0) - reference.mean @ directions)
    )
    variances, rotation = np.linalg.eigh(covariance)
    return NormalReference(
        mean, directions @ rotation, np.sqrt(np.maximum(variances, 1e-12))
    )


def run_chains(
    walk: HostWalk,
    states: Sequence[Any],
    num_samples: int,
    thinning: int,
    key: PRNGKey,
    progress: ProgressOption,
) -> Result:
    """Return every `thinning`-th state of the chains; positions are in the coordinates of the walk."""
    began = time.perf_counter()
    rngs = generator(key).spawn(len(states))
    solver = walk.solver
    num_chains = len(states)
    before = SolveCounts.of(solver)
    draws = np.empty((num_chains, num_samples, walk.num_coordinates))
    acceptance = np.zeros((num_chains, num_samples))
    total = np.zeros((len(SOLVE_COUNTS), num_chains), np.int64)
    counts = np.zeros((*total.shape, num_samples), np.int64)
    states = list(states)
    done = 0
    bar = walk_progress(walk, num_chains * num_samples * thinning, progress)
    with SolveThreads(min(solver.parallel, num_chains)) as threads:
        for draw in range(num_samples):
            for _ in range(thinning):
                for chain, (step, spent) in enumerate(
                    steps_of_chains(walk, states, rngs, threads)
                ):
                    states[chain], done = step.state, done + 1
                    total[:, chain] += spent.numbers
                    acceptance[chain, draw] += step.acceptance / thinning
                    bar.update(done, step.acceptance)
            draws[:, draw] = [walk.coordinates(state) for state in states]
            counts[:, :, draw] = total
    bar.close()
    assert SolveCounts.of(solver).since(before).forward == total[0].sum()
    info = dict(zip(SOLVE_COUNTS, counts, strict=True)) | {"acceptance": acceptance}
    info["evaluations"] = counts[0] + counts[1]
    steps = thinning * np.arange(1, num_samples + 1)
    by_chain: dict[str, Any] = dict(zip(SOLVE_COUNTS, total, strict=True)) | {
        "evaluations": total[0] + total[1]
    }
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


def walk_progress(walk: HostWalk, num_steps: int, shown: ProgressOption) -> Progress:
    """Return a progress bar of so many steps of all chains."""
    headline = lambda rate: ("acceptance", rate)
    return Progress(walk.dynamics, num_steps, 0, shown, headline)
