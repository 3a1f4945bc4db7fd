"""Chains on a solver in Python: a walk draws the kind of each step from its moves, and learns their shares.

A normal law about a mode has lighter tails than a posterior that is far from normal, and chains that propose from it
alone may miss parts of the posterior for long. There every step draws its length, and whether it is one about the
reference or one of pCN about the prior, for which the misfit is bounded below, so that no part of the posterior is out
of reach. Warm-up weights these moves by the squared distance that they go for a solve, and adapts the reference to the
moments of the draws where it suits the posterior badly.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from langevax.samplers import PCN, PCNL
from langevax.sampling.moves import Around, ByFit, FromModes, Move, Rotation
from langevax.sampling.reference import NormalReference
from langevax.sampling.solver import ForwardSolver, Solve, SolveCounts, Vector
from langevax.sampling.surrogate import MOST_RESIDUALS, fitted_misfit

Dynamics = Literal["pcn", "pcnl", "hmc"]
FEW_MODES = 20  # up to which moments are taken in all directions


class HostDynamics(NamedTuple):
    """A kind of step about the reference."""

    move: Callable[[float], Move]
    """By its length."""
    longest: float
    """At which proposals are independent of the state."""
    acceptance: float
    """To which warm-up adapts the step size."""


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
    """What the walk learns from in its warm-up."""


class MoveRecord(NamedTuple):
    """The part of a step from which a `SolverWalk` learns."""

    move: int
    distance: float
    """Expected squared distance along the informed directions, in units of the reference."""
    proposed: Solve | None
    """None where there was none."""


class SolverWalk:
    """pCN, pCNL or Hamiltonian dynamics on a solver, in the coordinates of a reference law; a state is a solve."""

    short_step = 0.5
    """Share of the longest step below which the reference suits the posterior badly."""
    lengths = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03)
    """Of the moves far from normal, as shares of the longest."""
    even_share = 0.2
    """Of the steps, over all moves alike, whatever the warm-up measured."""
    most_by_fit = 0.9
    """Of the steps."""
    num_stages = 5
    """Of a warm-up, between which moves and the reference are adapted."""

    def __init__(
        self,
        solver: ForwardSolver,
        reference: NormalReference,
        dynamics: Dynamics,
        step_size: float,
    ):
        self.solver = solver
        self.reference = reference
        self.dynamics: Dynamics = dynamics
        self.modes: list[NormalReference] = []
        self.is_mixed = False
        """True where the reference alone would miss parts of the posterior."""
        self._set_moves([self.kind.move(step_size)])
        self.draws: list[Float[np.ndarray, "chain modes"]] = []
        """Of the steps since moves were adapted."""
        self.solves: list[Solve] = []
        self.visited: list[bool] = []

    @property
    def kind(self) -> HostDynamics:
        """The kind of step about the reference."""
        return HOST_DYNAMICS[self.dynamics]

    @property
    def step_size(self) -> float:
        """The mean length of a step."""
        return float(self.weights @ [move.length for move in self.moves])

    def algorithm(self, temperature: float) -> PCN | PCNL:
        """Return what describes the steps in the result."""
        kind = PCN if self.dynamics == "pcn" else PCNL
        return kind(self.step_size, temperature)

    def _set_moves(self, moves: list[Move]) -> None:
        self.moves = moves
        self.weights = np.full(len(moves), 1 / len(moves))
        self.gains = np.zeros((2, len(moves)))
        """Squared distance and solves of each move since moves were adapted."""

    def mix(self, modes: Sequence[NormalReference] = ()) -> None:
        """Draw every step from all moves, of which independent draws of the laws at several modes are one."""
        self.is_mixed = True
        prior = NormalReference.standard(self.solver.num_modes)
        moves = [self.kind.move(self.kind.longest * share) for share in self.lengths]
        moves += [Around(PCN(share, 1.0), prior) for share in self.lengths]
        if len(modes) > 1:
            self.modes = list(modes)
            moves.append(FromModes())
        self._set_moves(moves)
        if self.solver.num_modes <= FEW_MODES:
            self.reference = self.reference.in_all_directions()

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
                solve = self.solver.at(z, self.moves[0].needs_gradient)
                if solve is not None:
                    states.append(solve)
                    break
            else:
                raise ValueError(
                    f"forward_map fails where chain {chain} starts ({self.solver.counts.first_failure}); pass a start at "
                    "which it is defined."
                )
        return states

    def spread(self, rng: np.random.Generator, num_draws: int = 16) -> float:
        """Return the standard deviation of psi at draws of the reference: 0 where it is the posterior."""
        w = rng.standard_normal((num_draws, self.solver.num_modes))
        z = self.reference.to_prior_units(w)
        squares = np.sum(self.reference.from_prior_units(z) ** 2, axis=1)
        psi = self._energies(z) - squares / 2
        return float(np.std(psi)) if np.isfinite(psi).all() else np.inf

    def _energies(self, z: Float[np.ndarray, "n modes"]) -> Float[np.ndarray, " n"]:
        """Return minus the logarithm of the posterior at places, up to a constant."""
        misfits = [solve.misfit for solve in self.solver.each(self.solver.solve, z)]
        return np.array(misfits) + np.sum(z**2, axis=1) / 2

    def is_far_from_normal(self, rng: np.random.Generator) -> bool:
        """True where chains about the reference alone would miss parts of the posterior."""
        return self.spread(rng) > 1 or self._has_heavy_tails()

    def _has_heavy_tails(
        self,
        num_directions: int = 4,
        places: Sequence[float] = (3, 5, 8),
        heavy: float = 2.0,
        deepest: float = 7.0,
    ) -> bool:
        """True where the posterior has mass that the reference leaves out, along the directions that data inform most.

        Draws of the reference do not reach there, and chains about it agree with each other. At so many deviations of
        the reference to either side, the posterior is `heavy` nats above it, and less than `deepest` nats below its mode.
        """
        order = np.argsort(self.reference.scales)[:num_directions]
        narrowest = self.reference.directions.T[order]
        w = [sign * place * narrowest for place in places for sign in (-1, 1)]
        w = np.concatenate([0 * narrowest[:1], *w])
        energies = self._energies(self.reference.to_prior_units(w))
        depths = energies[1:] - energies[0]
        log_weights = np.sum(w[1:] ** 2, axis=1) / 2 - depths
        return bool(np.any((log_weights > heavy) & (depths < deepest)))

    def step(self, state: Solve, rng: np.random.Generator) -> WalkStep:
        """Return the next state of a chain."""
        number = 0
        if len(self.moves) > 1:
            number = int(rng.choice(len(self.moves), p=self.weights))
        move = self.moves[number]
        if move.needs_gradient:
            solved = self.solver.with_gradient(state)
            if solved is None:
                return WalkStep(state, 0.0, learnt=MoveRecord(number, 0.0, None))
            state = solved
        proposal, log_ratio = move.propose(self, state, rng)
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

    def adapt(self, rate: float, number: int) -> None:
        """Move a single step size to an acceptance for the `number`-th time."""
        if len(self.moves) == 1:
            change = np.exp((rate - self.kind.acceptance) / np.sqrt(number + 1))
            size = min(self.kind.longest, float(self.step_size * change))
            self._set_moves([self.kind.move(size)])

    def learn(
        self,
        steps: list[WalkStep],
        number: int,
        num_steps: int,
    ) -> None:
        """Adapt to the `number`-th of so many steps of the chains."""
        length = max(1, num_steps // self.num_stages)
        stage = min(number // length, self.num_stages - 1)
        is_last = stage == self.num_stages - 1
        is_fitted = num_steps * len(steps) * self.solver.data.size <= MOST_RESIDUALS
        self.adapt(float(np.mean([s.acceptance for s in steps])), len(self.draws))
        self.draws.append(np.stack([step.state.z for step in steps]))
        for step in steps:
            move, distance, proposed = step.learnt
            self.gains[:, move] += distance, step.counts.evaluations
            if is_fitted and proposed is not None:
                self.solves.append(proposed)
                self.visited.append(step.state is proposed)
        if number + 1 == (num_steps if is_last else (stage + 1) * length):
            self._end_stage(is_last, is_fitted)

    def _end_stage(self, is_last: bool, is_fitted: bool) -> None:
        """Adapt the weights of the moves, the reference and the fit."""
        if len(self.moves) > 1:
            self._weigh(self.gains[0] / np.maximum(self.gains[1], 1))
        if self._suits_badly and not is_last and len(self.draws) > 1:
            later = np.concatenate(self.draws[len(self.draws) // 2 :])
            self.reference = self.reference.with_moments_of(later)
        if is_fitted and (not is_last or self._has_fit):  # a new one has no weight yet
            self.add_fit(self.solves, self.visited)
        self.draws = []
        self.gains = np.zeros((2, len(self.moves)))

    @property
    def _suits_badly(self) -> bool:
        """True where steps about the reference are short, so that it is adapted to moments of the draws."""
        short = self.short_step * self.kind.longest
        return self.is_mixed or self.moves[0].length < short

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

    def _weigh(self, gains: Float[np.ndarray, " moves"]) -> None:
        """Set the weights of the moves by their gains.

        A rough fit has less weight: where it leaves out a part of the posterior, the other moves alone lead out.
        """
        fit = self.moves[-1]
        others = gains[:-1] if isinstance(fit, ByFit) else gains
        total = others.sum()
        even = np.full(len(others), 1 / len(others))
        shares = others / total if total > 0 else even
        self.weights = (1 - self.even_share) * shares + self.even_share * even
        if isinstance(fit, ByFit):
            squares = np.array([gains[-1], others.max()]) ** 2
            share = squares[0] / squares.sum() if squares[0] > 0 else 0.0
            share *= self.most_by_fit / fit.fit.cost
            self.weights = np.append((1 - share) * self.weights, share)

    @property
    def num_coordinates(self) -> int:
        """Numbers of a draw."""
        return self.solver.num_modes

    def coordinates(self, state: Solve) -> Vector:
        """Return the numbers that are recorded of a state."""
        return self.reference.from_prior_units(state.z)
