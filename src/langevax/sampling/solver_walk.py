"""Steps of chains on a solver in Python: about a normal reference law, and some about the prior.

A normal law about a mode has lighter tails than a posterior that is far from normal, and chains that propose from it
alone may miss parts of the posterior for long. A share of the steps is therefore pCN of random length, as often about
the prior, for which the misfit is bounded below, so that no part of the posterior is out of reach. Warm-up adapts the
length of the others; where they are short, the law suits the posterior badly, and every second step is of random length.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from langevax.samplers import PCN, PCNL
from langevax.sampling.moves import Around, Move, Rotation
from langevax.sampling.reference import NormalReference
from langevax.sampling.solver import ForwardSolver, Solve, SolveCounts, Vector

Dynamics = Literal["pcn", "pcnl", "hmc"]


class HostDynamics(NamedTuple):
    """A kind of step about the reference."""

    move: Callable[[float], Move]
    """By its length."""
    longest: float
    """At which proposals are independent of the state."""
    acceptance: float
    """To which warm-up adapts the length."""


HOST_DYNAMICS: dict[Dynamics, HostDynamics] = {
    "pcn": HostDynamics(lambda h: Around(PCN(h, 1.0)), 1.0, 0.3),
    "pcnl": HostDynamics(lambda h: Around(PCNL(h, 1.0)), 2.0, 0.65),
    "hmc": HostDynamics(Rotation, math.pi / 2, 0.75),
}


class WalkStep(NamedTuple):
    """Outcome of a step."""

    state: Any
    """A solve, or the state of another walk."""
    acceptance: float
    """Probability with which the proposal was accepted."""
    counts: SolveCounts = SolveCounts()
    """Solves of the step."""
    learnt: Any = None
    """What the walk learns from in its warm-up; of a `SolverWalk`, whether the step was about the reference."""


class SolverWalk:
    """pCN, pCNL or Hamiltonian dynamics on a solver, in the coordinates of a reference law; a state is a solve."""

    lengths = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03)
    """Of the steps of random length."""
    num_stages = 5
    """Of a warm-up."""

    def __init__(
        self,
        solver: ForwardSolver,
        reference: NormalReference,
        dynamics: Dynamics,
        step_size: float | Literal["auto"] = "auto",
    ):
        self.solver = solver
        self.reference = reference
        self.dynamics: Dynamics = dynamics
        self.is_adaptive = isinstance(step_size, str)
        """False: all steps are about the reference, of the same length."""
        self.move: Move = self.kind.move(
            1.0 if isinstance(step_size, str) else step_size
        )
        self.prior = NormalReference.standard(solver.num_modes)

    @property
    def kind(self) -> HostDynamics:
        """The kind of step about the reference."""
        return HOST_DYNAMICS[self.dynamics]

    def algorithm(self, temperature: float) -> PCN | PCNL:
        """Return what describes the steps in the result."""
        kind = PCN if self.dynamics == "pcn" else PCNL
        return kind(self.move.length, temperature)

    def first_states(
        self,
        references: Sequence[NormalReference],
        num_chains: int,
        start: Callable[[int], Vector] | None,
        rng: np.random.Generator,
        num_tries: int = 20,
    ) -> list[Solve]:
        """Return a state for each chain: at `start(chain)`, or at draws of `references`, a mode each, in turn."""
        states = []
        for chain in range(num_chains):
            law = references[chain % len(references)]
            for attempt in range(num_tries if start is None else 1):
                wide = rng.standard_normal(self.solver.num_modes) * 0.8**attempt
                z = law.to_prior_units(wide) if start is None else start(chain)
                solve = self.solver.at(z, self.move.needs_gradient)
                if solve is not None:
                    states.append(solve)
                    break
            else:
                raise ValueError(
                    f"forward_map fails where chain {chain} starts ({self.solver.counts.first_failure}); pass a start at "
                    "which it is defined."
                )
        return states

    @property
    def wide_share(self) -> float:
        """Of the steps, that of those of random length, about the prior or the reference."""
        if not self.is_adaptive:
            return 0.0
        return 0.1 if self.move.length > self.kind.longest / 2 else 0.5

    def step(self, state: Solve, rng: np.random.Generator) -> WalkStep:
        """Return the next state of a chain."""
        is_main = rng.uniform() >= self.wide_share
        law = self.reference
        move = self.move
        if not is_main:
            law = (self.reference, self.prior)[rng.integers(2)]
            move = Around(PCN(float(rng.choice(self.lengths)), 1.0))
        elif move.needs_gradient:
            solved = self.solver.with_gradient(state)
            if solved is None:
                return WalkStep(state, 0.0, learnt=is_main)
            state = solved
        proposal, log_ratio = move.propose(self.solver, law, state, rng)
        if not np.isfinite(log_ratio):
            log_ratio = -np.inf
        rate = float(np.exp(min(log_ratio, 0.0)))
        is_accepted = np.log(rng.uniform()) < log_ratio
        chosen = proposal if is_accepted and proposal is not None else state
        return WalkStep(chosen, rate, learnt=is_main)

    def learn(self, steps: list[WalkStep], number: int, num_steps: int) -> None:
        """Adapt the length to the `number`-th of so many steps of the chains; each stage begins with larger changes."""
        rates = [step.acceptance for step in steps if step.learnt]
        if not (rates and self.is_adaptive):
            return
        since = number % max(1, num_steps // self.num_stages)
        change = (np.mean(rates) - self.kind.acceptance) / np.sqrt(since + 1)
        length = float(self.move.length * np.exp(change))
        self.move = self.kind.move(min(self.kind.longest, length))

    def coordinates(self, state: Solve) -> Vector:
        """Return the numbers that are recorded of a state."""
        return self.reference.from_prior_units(state.z)
