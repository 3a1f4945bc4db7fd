"""Chains on a solver in Python: a walk draws the kind of each step from its moves, and learns their shares.

A normal law about a mode has lighter tails than many posteriors, and chains that propose from it alone may miss parts of
them for long. Every step draws its length, and whether it is one about the reference or one of pCN about the prior, for
which the misfit is bounded below, so that no part of the posterior is out of reach. Warm-up weights these moves by the
squared distance that they go for a solve, adapts the reference to the moments of the draws, and adds a fit.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from langevax.samplers import PCN, PCNL
from langevax.sampling.choice import Requested
from langevax.sampling.moves import HMC, Around, ByFit, FromModes, Move, Rotation
from langevax.sampling.reference import NormalReference
from langevax.sampling.solver import Coefficients, ForwardSolver, Solve, SolveCounts
from langevax.sampling.surrogate import MOST_RESIDUALS, fitted_misfit

Dynamics = Literal["pcn", "pcnl", "hmc"]
FEW_MODES = 20  # up to which moments are taken in all directions


class HostDynamics(NamedTuple):
    """A kind of step about the reference."""

    move: Callable[[float], Move]
    """By its length."""
    algorithm: type[PCN | PCNL | HMC]
    """What describes it in the result."""


HOST_DYNAMICS: dict[Dynamics, HostDynamics] = {
    "pcn": HostDynamics(lambda h: Around(PCN(h, 1.0)), PCN),
    "pcnl": HostDynamics(lambda h: Around(PCNL(h, 1.0)), PCNL),
    "hmc": HostDynamics(Rotation, HMC),
}


def dynamics_of(
    requested: Requested, solver: ForwardSolver, best: Dynamics
) -> Dynamics:
    """Return those that were asked for; for "auto" the best with an adjoint, and pCN without; raise where they need one."""
    has_adjoint = solver.adjoint is not None
    if requested == "auto":
        return best if has_adjoint else "pcn"
    if requested != "pcn" and not has_adjoint:
        raise ValueError(
            f"{requested.upper()} needs a gradient: pass adjoint= to inverse_problem, "
            "or algorithm=langevax.PCN()."
        )
    return requested


class WalkStep(NamedTuple):
    """Outcome of a step."""

    state: Any
    """A solve, or the state of another walk."""
    acceptance: float
    """Probability with which the proposal was accepted."""
    counts: SolveCounts = SolveCounts()
    """Solves of the step."""
    learnt: Any = None
    """What the walk learns from in its warm-up."""


class MoveRecord(NamedTuple):
    """The part of a step from which a `SolverWalk` learns."""

    move: int
    distance: float
    """Expected squared distance along the informed directions, in units of the reference."""
    proposed: Solve | None
    """None where there was none."""


def ends_stage(number: int, num_steps: int, num_stages: int = 5) -> bool:
    """True after the last step of a stage of a warm-up: walks adapt between these."""
    return (number + 1) * num_stages // num_steps > number * num_stages // num_steps


class SolverWalk:
    """pCN, pCNL or Hamiltonian dynamics on a solver, in the coordinates of a reference law; a state is a solve."""

    num_lengths = 6
    """Of the moves, each half of the one before."""
    least_share = 0.1
    """Of the steps, over all moves by their lengths, whatever the warm-up measured."""

    def __init__(
        self,
        solver: ForwardSolver,
        references: Sequence[NormalReference],
        dynamics: Dynamics,
        step_size: float | Literal["auto"] = "auto",
    ):
        self.solver = solver
        self.reference = references[0]
        self.dynamics: Dynamics = dynamics
        kind = HOST_DYNAMICS[dynamics]
        if isinstance(step_size, str):
            prior = NormalReference.standard(solver.num_modes)
            lengths = 0.5 ** np.arange(self.num_lengths)
            longest = kind.algorithm.largest_step_size
            moves = [kind.move(float(longest * length)) for length in lengths]
            moves += [Around(PCN(float(length), 1.0), prior) for length in lengths]
            if solver.num_modes <= FEW_MODES:
                self.reference = self.reference.in_all_directions()
            if len(references) > 1:
                moves.append(FromModes(references))
        else:
            moves = [kind.move(step_size)]
        self._set_moves(moves)
        self.draws: list[Coefficients] = []
        """Of the steps since moves were adapted."""
        self.solves: list[Solve] = []
        self.visited: list[bool] = []

    @property
    def step_size(self) -> float:
        """The mean length of a step."""
        return float(self.weights @ [move.length for move in self.moves])

    def algorithm(self, temperature: float) -> PCN | PCNL | HMC:
        """Return what describes the steps in the result."""
        kind = HOST_DYNAMICS[self.dynamics].algorithm
        return kind(self.step_size, temperature)

    def _set_moves(self, moves: list[Move]) -> None:
        self.moves = moves
        self.weights = self._by_length
        self.gains = np.zeros((2, len(moves)))
        """Squared distance and solves of each move since moves were adapted."""

    @property
    def _by_length(self) -> Float[np.ndarray, " moves"]:
        lengths = np.array([move.length for move in self.moves])
        return lengths / lengths.sum()

    def first_states(
        self,
        references: Sequence[NormalReference],
        num_chains: int,
        start: Callable[[int], Coefficients] | None,
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
                solve = self.solver.at(z, self.moves[0].needs_gradient)
                if solve is not None:
                    states.append(solve)
                    break
            else:
                raise ValueError(
                    f"forward_map fails where chain {chain} starts "
                    f"({self.solver.counts.first_failure}); pass a start at which it "
                    "is defined."
                )
        return states

    def step(self, state: Solve, rng: np.random.Generator) -> WalkStep:
        """Return the next state of a chain."""
        number = int(rng.choice(len(self.moves), p=self.weights))
        move = self.moves[number]
        if move.needs_gradient:
            solved = self.solver.with_gradient(state)
            if solved is None:
                return WalkStep(state, 0.0, learnt=MoveRecord(number, 0.0, None))
            state = solved
        proposal, log_ratio = move.propose(self.solver, self.reference, state, rng)
        if not np.isfinite(log_ratio):
            log_ratio = -np.inf
        rate = float(np.exp(min(log_ratio, 0.0)))
        is_accepted = np.log(rng.uniform()) < log_ratio
        moved = 0.0
        if proposal is not None:
            path = self.reference.shrink(proposal.z - state.z)
            moved = float(np.sum((path @ self.reference.directions) ** 2))
        chosen = proposal if is_accepted and proposal is not None else state
        return WalkStep(chosen, rate, learnt=MoveRecord(number, rate * moved, proposal))

    def learn(
        self,
        steps: list[WalkStep],
        number: int,
        num_steps: int,
    ) -> None:
        """Adapt to the `number`-th of so many steps of the chains; a single move is one of a length that was passed."""
        if len(self.moves) == 1:
            return
        self.count(steps)
        for step in steps:
            self.draws.append(step.state.z)
            proposed = step.learnt.proposed
            room = MOST_RESIDUALS - len(self.solves) * self.solver.data.size
            if proposed is not None and room > 0:
                self.solves.append(proposed)
                self.visited.append(step.state is proposed)
        if not ends_stage(number, num_steps):
            return
        gains = self.weigh()
        is_last = number + 1 == num_steps
        if not is_last and np.argmax(gains[: self.num_lengths]) > 0:
            later = self.draws[len(self.draws) // 2 :]
            self.reference = self.reference.with_moments_of(np.stack(later))
        if not is_last or self._has_fit:  # a new one has no weight yet
            self.add_fit(self.solves, self.visited)
        self.draws = []

    def count(self, steps: list[WalkStep]) -> None:
        """Add to the gains of the moves."""
        for step in steps:
            move, distance, _ = step.learnt
            self.gains[:, move] += distance, step.counts.evaluations

    @property
    def _has_fit(self) -> bool:
        return isinstance(self.moves[-1], ByFit)

    def add_fit(self, solves: Sequence[Solve], visited: Sequence[bool]) -> None:
        """Take steps by a fit to the predictions too, where it helps; its move is the last."""
        fit = fitted_misfit(self.reference, self.solver.noise, solves, visited)
        if fit is None:
            return
        if self._has_fit:
            self.moves = [*self.moves[:-1], ByFit(fit)]
        else:
            self._set_moves([*self.moves, ByFit(fit)])

    def weigh(self) -> Float[np.ndarray, " moves"]:
        """Set the weights of the moves by the squares of their gains, distance by solves, and return these.

        A rough fit counts for less: where it leaves out a part of the posterior, the other moves alone lead out.
        """
        gains = self.gains[0] / np.maximum(self.gains[1], 1)
        self.gains = np.zeros_like(self.gains)
        if isinstance(fit := self.moves[-1], ByFit):
            gains[-1] /= fit.fit.cost
        shares = gains**2
        others = self._by_length
        shares = shares / shares.sum() if shares.any() else others
        self.weights = (1 - self.least_share) * shares + self.least_share * others
        return gains

    def coordinates(self, state: Solve) -> Coefficients:
        """Return the numbers that are recorded of a state."""
        return self.reference.from_prior_units(state.z)
