"""Steps of one chain on a solver in Python, in the coordinates of a normal reference law.

    posterior(w) = exp(-psi(w)) N(0, I),      psi(w) = misfit(z) + |z|^2 / 2 - |w|^2 / 2,      z = mean + C^{1/2} w

Steps are pCN, which takes a solve, pCNL, which takes an adjoint solve as well, or Hamiltonian dynamics (Beskos, Pinski,
Sanz-Serna, Stuart, Stochastic Process. Appl. 2011), whose step is a turn in parts of angle h,

    v <- v - h/2 psi'(w),      (w, v) <- (w cos h + v sin h, v cos h - w sin h),      v <- v - h/2 psi'(w),

with a solve and an adjoint one a part: a quarter turn about a reference that suits is a draw of its own. All are exact
for every reference law.

A normal law about a mode has lighter tails than a posterior that is far from normal, and chains that propose from it
alone may miss parts of the posterior for long. There every step draws its length, and whether it is one about the
reference or one of pCN about the prior, for which the misfit is bounded below, so that no part of the posterior is out
of reach. Warm-up weights these moves by the squared distance that they go for a solve.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from langevax.sampling.reference import NormalReference
from langevax.sampling.solver import ForwardSolver, Solve, Vector
from langevax.sampling.surrogate import FittedMisfit, fitted_misfit

Dynamics = Literal["pcn", "pcnl", "hmc"]
LONGEST_STEP = {
    "pcn": 1.0,
    "pcnl": 2.0,
    "hmc": math.pi / 2,
}  # at which proposals are independent of the state
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


class SolverWalk:
    """pCN, pCNL or Hamiltonian dynamics on a solver, in the coordinates of a reference law."""

    diverged = 30.0
    """Nats by which the energy may rise in a turn; solvers may not survive where it leads then."""
    short_step = 0.5
    """Share of the longest step below which the reference suits the posterior badly."""
    lengths = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03)
    """Of the moves far from normal, as shares of the longest."""
    even_share = 0.2
    """Of the steps, over all moves alike, whatever the warm-up measured."""
    most_by_fit = 0.9
    """Of the steps."""

    def __init__(
        self,
        solver: ForwardSolver,
        reference: NormalReference,
        dynamics: Dynamics,
        step_size: float,
    ):
        self.solver = solver
        self.reference = reference
        self.dynamics = dynamics
        self.step_size = step_size
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
        longest = LONGEST_STEP[self.dynamics]
        self.is_mixed = True
        self.moves = [Move("reference", longest * share) for share in self.lengths]
        self.moves += [Move("prior", share) for share in self.lengths]
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
        return (
            self.is_mixed
            or about_reference < self.short_step * LONGEST_STEP[self.dynamics]
        )

    def add_fit(self, solves: Sequence[Solve], visited: Sequence[bool]) -> None:
        """Take steps by a fit to the predictions too, where it helps; its moves are the last."""
        self.fit = (
            fitted_misfit(self.reference, self.solver.noise, solves, visited)
            or self.fit
        )
        has_move = bool(self.moves) and self.moves[-1].kind == "fit"
        if self.fit is not None and not has_move:
            self.moves = [
                *(self.moves or [Move("reference", self.step_size)]),
                Move("fit", 1.0),
            ]
            self.weights = np.full(len(self.moves), 1 / len(self.moves))

    def weigh(self, gains: Float[np.ndarray, " moves"]) -> None:
        """Set the weights of the moves by the squared distances that they go for a solve.

        A rough fit has less weight: where it leaves out a part of the posterior, the other moves alone lead out.
        """
        has_fit = self.moves[-1].kind == "fit"
        others = gains[:-1] if has_fit else gains
        shares = (
            others / others.sum()
            if others.sum() > 0
            else np.full(len(others), 1 / len(others))
        )
        self.weights = (1 - self.even_share) * shares + self.even_share / len(others)
        if has_fit and self.fit is not None:
            square = gains[-1] ** 2
            best = others.max() ** 2
            share = (
                self.most_by_fit
                / self.fit.cost
                * (square / (square + best) if square > 0 else 0.0)
            )
            self.weights = np.append((1 - share) * self.weights, share)
        self.step_size = float(self.weights @ [move.length for move in self.moves])

    def spread(self, rng: np.random.Generator, num_draws: int = 16) -> float:
        """Return the standard deviation of psi at draws of the reference: 0 where it is the posterior."""
        places = self.reference.to_prior_units(
            rng.standard_normal((num_draws, self.solver.num_modes))
        )
        squares = np.sum(self.reference.from_prior_units(places) ** 2, axis=1)
        misfits = np.array(
            [solve.misfit for solve in self.solver.each(self.solver.solve, places)]
        )
        psi = misfits + (np.sum(places**2, axis=1) - squares) / 2
        return float(np.std(psi)) if np.isfinite(psi).all() else np.inf

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
        narrowest = self.reference.directions.T[
            np.argsort(self.reference.scales)[:num_directions]
        ]
        w = np.concatenate(
            [0 * narrowest[:1]]
            + [sign * place * narrowest for place in places for sign in (-1, 1)]
        )
        z = self.reference.to_prior_units(w)
        misfits = np.array(
            [solve.misfit for solve in self.solver.each(self.solver.solve, z)]
        )
        energies = misfits + np.sum(z**2, axis=1) / 2
        depths = energies[1:] - energies[0]
        log_weights = np.sum(w[1:] ** 2, axis=1) / 2 - depths
        return bool(np.any((log_weights > heavy) & (depths < deepest)))

    def state_at(self, z: Vector) -> ChainState | None:
        """Return the state at a place, or None where the solver fails."""
        return self._state(self.solver.solve(z), self.reference.from_prior_units(z))

    def _state(self, solve: Solve, w: Vector) -> ChainState | None:
        return (
            None
            if solve.residual is None
            else self._with_slope(self._without_slope(solve, w))
        )

    def _without_slope(self, solve: Solve, w: Vector) -> ChainState:
        return ChainState(
            solve, w, solve.misfit + float(solve.z @ solve.z - w @ w) / 2, None
        )

    def _with_slope(self, state: ChainState) -> ChainState | None:
        """Return the state with its gradient where the dynamics need one; None where the adjoint fails."""
        if self.dynamics == "pcn" or state.slope is not None:
            return state
        gradient = self.solver.gradient(state.solve)
        if gradient is None:
            return None
        return state._replace(
            slope=self.slope_of(gradient, state.solve.z, state.w), gradient=gradient
        )

    def slope_of(self, gradient: Vector, z: Vector, w: Vector) -> Vector:
        """Return the gradient of psi for that of the misfit."""
        return self.reference.stretch(gradient + z) - w

    def step(self, state: ChainState, rng: np.random.Generator) -> WalkStep:
        """Return the next state of a chain."""
        number = int(rng.choice(len(self.moves), p=self.weights)) if self.moves else 0
        move = self.moves[number] if self.moves else Move("reference", self.step_size)
        propose = {
            "reference": self._by_turning
            if self.dynamics == "hmc"
            else self._about_reference,
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
        moved = (
            0.0
            if proposal is None
            else float(
                np.sum(((proposal.w - state.w) @ self.reference.directions) ** 2)
            )
        )
        chosen = proposal if is_accepted and proposal is not None else state
        return WalkStep(
            chosen,
            rate,
            rate * moved,
            number,
            None if proposal is None else proposal.solve,
        )

    def _about_prior(
        self, state: ChainState, s: float, rng: np.random.Generator
    ) -> tuple[ChainState | None, float]:
        z = np.sqrt(1 - s**2) * state.solve.z + s * rng.standard_normal(len(state.w))
        solve = self.solver.solve(z)
        if solve.residual is None:
            return None, -np.inf
        return self._without_slope(
            solve, self.reference.from_prior_units(z)
        ), state.solve.misfit - solve.misfit

    def _by_fit(
        self, state: ChainState, _: float, rng: np.random.Generator
    ) -> tuple[ChainState | None, float]:
        if self.fit is None:
            return None, -np.inf
        w, rise = self.fit.end_of_chain(state.w, rng)
        solve = self.solver.solve(self.reference.to_prior_units(w))
        if solve.residual is None:
            return None, -np.inf
        proposal = self._without_slope(solve, w)
        return proposal, state.psi - proposal.psi + rise

    def _from_modes(
        self, state: ChainState, _: float, rng: np.random.Generator
    ) -> tuple[ChainState | None, float]:
        law = self.modes[rng.integers(len(self.modes))]
        solve = self.solver.solve(law.to_prior_units(rng.standard_normal(len(state.w))))
        if solve.residual is None:
            return None, -np.inf
        log_ratio = self._log_ratio_to_modes(solve) - self._log_ratio_to_modes(
            state.solve
        )
        return self._without_slope(
            solve, self.reference.from_prior_units(solve.z)
        ), log_ratio

    def _log_ratio_to_modes(self, solve: Solve) -> float:
        """Return log posterior less the log density of the even mixture of the laws at the modes."""
        logs = [
            -np.sum(np.log(law.scales)) - np.sum(law.from_prior_units(solve.z) ** 2) / 2
            for law in self.modes
        ]
        return (
            -solve.misfit
            - float(solve.z @ solve.z) / 2
            - float(np.logaddexp.reduce(logs))
        )

    def _about_reference(
        self, state: ChainState, h: float, rng: np.random.Generator
    ) -> tuple[ChainState | None, float]:
        u = state.w
        xi = rng.standard_normal(len(state.w))
        if state.slope is None:
            w = np.sqrt(1 - h**2) * u + h * xi
        else:
            w = ((2 - h) * u - 2 * h * state.slope + np.sqrt(8 * h) * xi) / (2 + h)
        proposal = self._state(self.solver.solve(self.reference.to_prior_units(w)), w)
        if proposal is None:
            return None, -np.inf
        log_ratio = state.psi - proposal.psi
        if state.slope is not None and proposal.slope is not None:
            g = state.slope
            k = proposal.slope
            log_ratio += float(
                np.sum(
                    (w - u) * (g + k) / 2
                    + h / 4 * ((u + w) * (g - k) + (g - k) * (g + k))
                )
            )
        return proposal, log_ratio if np.isfinite(log_ratio) else -np.inf

    def _by_turning(
        self, state: ChainState, h: float, rng: np.random.Generator
    ) -> tuple[ChainState | None, float]:
        w = state.w
        slope = state.slope
        v = rng.standard_normal(len(state.w))
        assert slope is not None
        parts = _num_parts(h)
        energies = [state.psi + float(w @ w + v @ v) / 2]
        end = state
        for _ in range(rng.integers((parts + 1) // 2, parts + parts // 2 + 1)):
            v = v - h / 2 * slope
            w, v = np.cos(h) * w + np.sin(h) * v, np.cos(h) * v - np.sin(h) * w
            arrived = self._state(
                self.solver.solve(self.reference.to_prior_units(w)), w
            )
            if arrived is None or arrived.slope is None:
                return None, -np.inf
            end = arrived
            slope = arrived.slope
            v = v - h / 2 * slope
            energies.append(end.psi + float(w @ w + v @ v) / 2)
            if not energies[-1] < energies[0] + self.diverged:
                return None, -np.inf
        # a turn back from the end would have stopped as well
        return end, energies[0] - energies[-1] if max(energies) < energies[
            -1
        ] + self.diverged else -np.inf

    def moved_to(self, state: ChainState, reference: NormalReference) -> ChainState:
        """Return the state in the coordinates of another reference."""
        slope = state.slope
        w = reference.from_prior_units(state.solve.z)
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


def _num_parts(h: float, turn: float = 2.4, most: int = 8) -> int:
    """Return the parts of angle h of a mean turn of several; a quarter is short where scales are wide."""
    return min(most, max(1, int(turn / h)))
