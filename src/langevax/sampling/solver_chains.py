"""Chains on a solver in Python: the loop runs on the host, with solves of several chains at once where threads allow.

A walk says what a step is and what it learns from the steps of a warm-up. Each chain has random numbers of its own, so
that the number of threads does not matter to its draws.
"""

import time
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, NamedTuple, Protocol

import numpy as np
from jax import random

from langevax._typing import PRNGKey
from langevax.run import Result
from langevax.run.options import ProgressOption
from langevax.run.progress import report_to
from langevax.run.result import Trace
from langevax.sampling.solve_threads import SolveThreads
from langevax.sampling.solver import Coefficients, ForwardSolver, SolveCounts
from langevax.sampling.solver_walk import WalkStep

SOLVE_COUNTS = "solves", "adjoint_solves", "failed_solves"


def counts_of(result: Result) -> SolveCounts:
    """Return the solves of a recorded run."""
    forward, adjoint, failed = (int(result.counts[name]) for name in SOLVE_COUNTS)
    return SolveCounts(forward, adjoint, failed)


class HostWalk(Protocol):
    """Steps of chains on the host, such as those of `SolverWalk`."""

    solver: ForwardSolver
    dynamics: Any

    def step(self, state: Any, rng: np.random.Generator) -> WalkStep: ...
    def learn(
        self,
        steps: list[WalkStep],
        number: int,
        num_steps: int,
    ) -> None: ...
    def coordinates(self, state: Any) -> Coefficients: ...


def generator(key: PRNGKey) -> np.random.Generator:
    """Return NumPy's generator for a key."""
    return np.random.default_rng(np.asarray(random.key_data(key)).tolist())


class HostLoop(NamedTuple):
    """The loop over the steps of chains, and its progress bar."""

    num_samples: int
    num_chains: int
    thinning: int = 1
    progress: ProgressOption = "auto"

    def warm_up(
        self,
        walk: HostWalk,
        states: Sequence[Any],
        num_steps: int,
        rng: np.random.Generator,
    ) -> list[Any]:
        """Run the chains, and let the walk learn from their steps."""
        for number, steps in enumerate(self._steps(walk, states, num_steps, rng)):
            states = [step.state for step in steps]
            walk.learn(steps, number, num_steps)
        return list(states)

    def record(
        self,
        walk: HostWalk,
        states: Sequence[Any],
        key: PRNGKey,
    ) -> Result:
        """Return every `thinning`-th state of the chains; positions are in the coordinates of the walk."""
        began = time.perf_counter()
        num_steps = self.num_samples * self.thinning
        draws: list[list[Coefficients]] = []
        rates: list[list[float]] = []
        counts: list[list[tuple[int, ...]]] = []
        for steps in self._steps(walk, states, num_steps, generator(key)):
            states = [step.state for step in steps]
            rates.append([step.acceptance for step in steps])
            counts.append([step.counts[:3] for step in steps])
            if len(rates) % self.thinning == 0:
                draws.append([walk.coordinates(state) for state in states])
        drawn = np.swapaxes(draws, 0, 1)
        acceptance = np.transpose(rates).reshape(self.num_chains, -1, self.thinning)
        spent = np.cumsum(counts, axis=0)[self.thinning - 1 :: self.thinning]
        info: dict[str, Any] = dict(zip(SOLVE_COUNTS, spent.T, strict=True))
        info["evaluations"] = info["solves"] + info["adjoint_solves"]
        total = {name: numbers[:, -1] for name, numbers in info.items()}
        info["acceptance"] = acceptance.mean(axis=2)
        steps_of_draws = self.thinning * np.arange(1, self.num_samples + 1)
        return Result(
            position=drawn[:, -1],
            state=list(states),
            trace=Trace(steps_of_draws, drawn, info),
            average=None,
            counts_by_chain=total,
            metrics={"acceptance": float(acceptance.mean())},
            steps=num_steps,
            num_chains=self.num_chains,
            seconds=time.perf_counter() - began,
            outcome=f"Finished all {num_steps} steps.",
        )

    def _steps(
        self,
        walk: HostWalk,
        states: Sequence[Any],
        num_steps: int,
        rng: np.random.Generator,
    ) -> Iterator[list[WalkStep]]:
        """Yield a step of all chains, so many times; the walk may change in between."""
        rngs = rng.spawn(self.num_chains)

        def step(chain: int) -> WalkStep:
            own = copy(walk)
            own.solver = walk.solver.counted_apart()
            return own.step(states[chain], rngs[chain])._replace(
                counts=own.solver.counts
            )

        total = num_steps * self.num_chains
        done = 0
        with (
            report_to(self.progress) as report,
            SolveThreads(min(walk.solver.parallel, self.num_chains)) as threads,
        ):
            for _ in range(num_steps):
                steps = []
                for one in threads.map(step, range(self.num_chains)):
                    steps.append(one)
                    done += 1
                    report(f"{walk.dynamics} {done} of {total} steps", done / total)
                states = [one.state for one in steps]
                yield steps
