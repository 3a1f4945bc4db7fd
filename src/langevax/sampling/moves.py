"""Proposals of chains on a solver in Python, in the coordinates of normal laws.

    posterior(w) = exp(-psi(w)) N(0, I),      psi(w) = misfit(z) + |z|^2 / 2 - |w|^2 / 2,      z = mean + C^{1/2} w

A move proposes a solve and gives the logarithm of its Metropolis ratio. Those of `langevax.samplers`, pCN, which takes
a solve, and pCNL, which takes an adjoint solve as well, run about the walk's reference or about the prior. `Rotation` is
Hamiltonian dynamics (Beskos, Pinski, Sanz-Serna, Stuart, Stochastic Process. Appl. 2011), whose step is a turn in parts
of angle h,

    v <- v - h/2 psi'(w),      (w, v) <- (w cos h + v sin h, v cos h - w sin h),      v <- v - h/2 psi'(w),

with a solve and an adjoint one a part: a quarter turn about a reference that suits is a draw of its own. All are exact
for every reference law.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import equinox as eqx
import numpy as np

from langevax import checks
from langevax.samplers import PCN, PCNL, PCNLState
from langevax.sampling.reference import NormalReference
from langevax.sampling.solver import ForwardSolver, Solve
from langevax.sampling.surrogate import FittedMisfit

Proposal = tuple[Solve | None, Any]
"""The solve, None where it fails, and the logarithm of the Metropolis ratio."""
REFUSED: Proposal = (None, -np.inf)


class Move(Protocol):
    """A way to propose; `length` is its share of, or angle of, the longest step."""

    @property
    def length(self) -> float: ...
    @property
    def needs_gradient(self) -> bool: ...
    def propose(
        self,
        solver: ForwardSolver,
        reference: NormalReference,
        here: Solve,
        rng: np.random.Generator,
    ) -> Proposal: ...


def state_at(law: NormalReference, solve: Solve) -> PCNLState:
    """Return w, psi and its gradient (None where the solve has none) in the coordinates of a normal law."""
    z = solve.z
    w = law.from_prior_units(z)
    psi: Any = np.float64(solve.misfit) + (z @ z - w @ w) / 2
    gradient = solve.gradient
    slope = None if gradient is None else law.stretch(gradient + z) - w
    return PCNLState(w, psi, slope)


class Around(NamedTuple):
    """A step of pCN or pCNL about a normal law, at temperature 1."""

    algorithm: PCN | PCNL
    law: NormalReference | None = None
    """None is the reference of the walk."""

    @property
    def length(self) -> float:
        step_size: Any = self.algorithm.step_size
        return float(step_size)

    @property
    def needs_gradient(self) -> bool:
        return isinstance(self.algorithm, PCNL)

    def propose(
        self,
        solver: ForwardSolver,
        reference: NormalReference,
        here: Solve,
        rng: np.random.Generator,
    ) -> Proposal:
        law = self.law or reference
        state = state_at(law, here)
        noise = rng.standard_normal(len(here.z))
        w = self.algorithm.propose(1.0, state, noise, 0)
        there = solver.at(law.to_prior_units(w), self.needs_gradient)
        if there is None:
            return REFUSED
        proposal = state_at(law, there)
        return there, self.algorithm.log_ratio(
            1.0,
            state,
            proposal,
            noise,
            0,
        )


class HMC(eqx.Module):
    """Hamiltonian dynamics about a normal law: exact, for inverse problems with a gradient; for `sample` alone.

    Args:
        step_size: the angle of a part of a turn, in (0, pi / 2]; "auto" follows the acceptance rate.
        temperature: that of the target, "auto" for `langevax.sample`.

    Raises:
        ValueError: a step size outside (0, pi / 2].

    Example:
        >>> import langevax
        >>> langevax.sampling.HMC(step_size=0.5)
        HMC(step_size=0.5)
    """

    step_size: float | Literal["auto"] = "auto"
    temperature: float | Literal["auto"] = "auto"
    largest_step_size: ClassVar[float] = np.pi / 2

    def __check_init__(self) -> None:
        most = self.largest_step_size
        checks.number("step_size", self.step_size, positive=True, auto=True, most=most)


class Rotation(NamedTuple):
    """A turn of Hamiltonian dynamics about the reference, in parts of angle `length`."""

    length: float
    needs_gradient = True
    diverged = 30.0
    """Nats by which the energy may rise in a turn; solvers may not survive where it leads then."""
    mean_angle = 2.4
    """Of a turn of several parts; a quarter is short where scales are wide."""
    most_parts = 8

    def propose(
        self,
        solver: ForwardSolver,
        reference: NormalReference,
        here: Solve,
        rng: np.random.Generator,
    ) -> Proposal:
        h = self.length
        w, psi, slope = state_at(reference, here)
        v = rng.standard_normal(len(w))
        parts = min(self.most_parts, max(1, int(self.mean_angle / h)))
        energies = [psi + (w @ w + v @ v) / 2]
        for _ in range(rng.integers((parts + 1) // 2, parts + parts // 2 + 1)):
            v = v - h / 2 * slope
            ahead = np.cos(h) * w + np.sin(h) * v
            v = np.cos(h) * v - np.sin(h) * w
            w = ahead
            arrived = solver.at(reference.to_prior_units(w), needs_gradient=True)
            if arrived is None:
                return REFUSED
            here = arrived
            w, psi, slope = state_at(reference, here)
            v = v - h / 2 * slope
            energies.append(psi + (w @ w + v @ v) / 2)
            if not energies[-1] < energies[0] + self.diverged:
                return REFUSED
        if max(energies) >= energies[-1] + self.diverged:
            return REFUSED  # a turn back from the end would have stopped as well
        return here, energies[0] - energies[-1]


class FromModes(NamedTuple):
    """A draw from the even mixture of the normal laws at the modes."""

    modes: Sequence[NormalReference]
    length: float = 1.0
    needs_gradient = False

    def propose(
        self,
        solver: ForwardSolver,
        reference: NormalReference,
        here: Solve,
        rng: np.random.Generator,
    ) -> Proposal:
        law = self.modes[int(rng.integers(len(self.modes)))]
        there = solver.at(law.to_prior_units(rng.standard_normal(len(here.z))))
        if there is None:
            return REFUSED
        return there, self._excess(there) - self._excess(here)

    def _excess(self, solve: Solve) -> float:
        """Return the log posterior less the log density of the mixture."""
        logs = [
            -np.sum(np.log(law.scales)) - np.sum(law.from_prior_units(solve.z) ** 2) / 2
            for law in self.modes
        ]
        return -solve.energy - np.logaddexp.reduce(logs)


class ByFit(NamedTuple):
    """The end of a chain on a fit to the predictions."""

    fit: FittedMisfit
    length: float = 1.0
    needs_gradient = False

    def propose(
        self,
        solver: ForwardSolver,
        reference: NormalReference,
        here: Solve,
        rng: np.random.Generator,
    ) -> Proposal:
        state = state_at(reference, here)
        w, rise = self.fit.end_of_chain(state.position, rng)
        there = solver.at(reference.to_prior_units(w))
        if there is None:
            return REFUSED
        return there, state.value - state_at(reference, there).value + rise
