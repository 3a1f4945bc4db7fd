"""Draws of an inverse problem with unknown hyperparameters: the choice of the walk, its pilot and its warm-up."""

import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from jax import random
from jaxtyping import Float

from langevax import checks
from langevax._typing import PRNGKey, PyTree
from langevax.algorithm import Algorithm
from langevax.run import Result
from langevax.run.options import ProgressOption
from langevax.sampling.choice import Requested
from langevax.sampling.hyperparameter_chains import (
    CollapsedWalk,
    HyperparameterWalk,
    InterwovenState,
    InterwovenWalk,
    LinearData,
    ProposalLaw,
)
from langevax.sampling.hyperparameters import (
    HierarchicalCoordinates,
    HierarchicalInverseProblem,
    Logarithms,
)
from langevax.sampling.inverse import solver_of
from langevax.sampling.inverse_draws import SolverUse
from langevax.sampling.preconditioning import CoordinateMap
from langevax.sampling.reference import (
    IndependentDraws,
    NormalReference,
    exact_reference,
    find_reference,
    find_references,
)
from langevax.sampling.samples import Samples
from langevax.sampling.solver import ForwardSolver
from langevax.sampling.solver_chains import HostLoop, generator
from langevax.sampling.solver_walk import Dynamics, SolverWalk


class HierarchicalRun(NamedTuple):
    """Arguments of `sample` for unknown hyperparameters."""

    target: HierarchicalInverseProblem
    dynamics: Requested
    num_samples: int
    num_chains: int
    num_warmup: int | Literal["auto"]
    thinning: int | Literal["auto"]
    progress: ProgressOption
    key: PRNGKey
    default_warmup = 400
    """Steps, half of them with fixed hyperparameters."""
    default_collapsed_warmup = 200
    num_verified = 8
    """Draws at which a linear map is compared with its matrix."""

    def draws(self, start: PyTree, others: Mapping[str, Any]) -> Samples:
        """Return draws; raise where one of the other arguments asks for what these chains do not have."""
        self._check(start, others)
        began = time.perf_counter()
        pilot_key, chain_key = random.split(self.key)
        solver = solver_of(self.target.base)
        use = SolverUse(solver, solver.counts, began)
        rng = generator(pilot_key)
        x, u = self.target.start_from(start)
        chains = None
        if self.dynamics == "auto":
            chains = self._collapsed(solver, rng, chain_key)
        if chains is None:
            chains = self._interwoven(solver, x, u, rng, chain_key)
        walk, result, algorithm, reason = chains
        coordinates = HierarchicalCoordinates(self.target, self.target.scales)
        tuned = use.chains(algorithm, result, self._loop.thinning)
        return use.samples(
            tuned, CoordinateMap((coordinates,)), 1.0, walk.dynamics, reason, walk
        )

    def _check(self, start: PyTree, others: Mapping[str, Any]) -> None:
        if self.dynamics not in ("auto", "pcn", "pcnl"):
            raise ValueError(
                f"algorithm={self.dynamics.upper()} does not sample hyperparameters of an inverse problem; pass PCN(), PCNL() "
                "or 'auto', or fix them by target.at(...)."
            )
        for name, value in others.items():
            is_default = value is None and name != "preconditioner"
            if not is_default and not checks.is_auto(value):
                raise ValueError(
                    f"{name} is not for inverse problems with unknown hyperparameters; leave it out."
                )
        if callable(start):
            raise TypeError(
                "start must be a dict of one position here: chains start at draws about the mode."
            )

    def _collapsed(
        self,
        solver: ForwardSolver,
        rng: np.random.Generator,
        key: PRNGKey,
    ) -> "WalkedChains | None":
        """Return the chains of a linear map, None where the map is not linear."""
        exact = exact_reference(solver, rng)
        if exact is None:
            return None
        target = self.target
        linear = LinearData.of(
            solver, exact, target.scales, target.level(target.centre)
        )
        walk = CollapsedWalk(target, solver, linear, rng)
        states = [
            walk.state_at(walk.first_logarithms(walk.log_density, rng))
            for _ in range(self.num_chains)
        ]
        states = self._loop.warm_up(
            walk, states, self._warmup(self.default_collapsed_warmup), rng
        )
        result = self._loop.record(walk, states, key)
        draws = result.positions.reshape(-1, walk.num_coordinates)
        verified = np.linspace(0, len(draws) - 1, self.num_verified).astype(int)
        if not all(walk.is_linear_at(draw) for draw in draws[verified]):
            return None
        return WalkedChains(
            walk,
            result,
            IndependentDraws(1.0),
            "the forward map is linear and the noise Gaussian: hyperparameters are sampled by Metropolis steps with "
            "the function integrated out, and the function given them exactly",
        )

    def _interwoven(
        self,
        solver: ForwardSolver,
        x: Float[np.ndarray, " modes"],
        u: Logarithms,
        rng: np.random.Generator,
        key: PRNGKey,
    ) -> "WalkedChains":
        """Return the chains of any map: the walk of the function warms up first, then hyperparameters move too."""
        dynamics = self._dynamics(solver)
        target = self.target
        law, references, u = find_modes(target, solver, x, u, rng)
        there = target.solver_at(solver, u)
        function_walk = SolverWalk(there, references[0], dynamics, 1.0)
        if len(references) > 1 or function_walk.is_far_from_normal(rng):
            function_walk.mix(references)
        num_warmup = self._warmup(self.default_warmup)
        fixed = num_warmup // 2
        solves = function_walk.first_states(references, self.num_chains, None, rng)
        solves = self._loop.warm_up(function_walk, solves, fixed, rng)
        laws = [function_walk.reference, *references[1:]]
        units = target.units(u)
        linear = [LinearData.of(there, law, *units) for law in laws]
        walk = InterwovenWalk(target, solver, law, function_walk, linear)
        states = []
        for solve in solves:
            first = walk.first_logarithms(target.log_prior, rng)
            states.append(
                InterwovenState(first, units.rescaled(solve, target.units(first)))
            )
        states = self._loop.warm_up(walk, states, num_warmup - fixed, rng)
        why = (
            "the forward map is not linear, or too large for its matrix"
            if self.dynamics == "auto"
            else f"algorithm={dynamics.upper()} was passed"
        )
        return WalkedChains(
            walk,
            self._loop.record(walk, states, key),
            function_walk.algorithm(1.0),
            f"{why}: steps of the function alternate with steps of the hyperparameters, centred and whitened",
        )

    def _dynamics(self, solver: ForwardSolver) -> Dynamics:
        if self.dynamics == "auto":
            return "pcn" if solver.adjoint is None else "pcnl"
        if self.dynamics == "pcnl" and solver.adjoint is None:
            raise ValueError(
                "PCNL needs a gradient: pass adjoint= to inverse_problem, or algorithm=langevax.PCN()."
            )
        return "pcn" if self.dynamics == "pcn" else "pcnl"

    @property
    def _loop(self) -> HostLoop:
        thinning = 1 if self.thinning == "auto" else self.thinning
        return HostLoop(self.num_samples, self.num_chains, thinning, self.progress)

    def _warmup(self, default: int) -> int:
        return default if self.num_warmup == "auto" else self.num_warmup


class WalkedChains(NamedTuple):
    """A recorded run of a walk, and what is reported of it."""

    walk: HyperparameterWalk
    result: Result
    algorithm: Algorithm
    reason: str


def find_modes(
    target: HierarchicalInverseProblem,
    solver: ForwardSolver,
    x: Float[np.ndarray, " modes"],
    u: Logarithms,
    rng: np.random.Generator,
    max_rounds: int = 5,
    settled: float = 0.5,
) -> tuple[ProposalLaw, list[NormalReference], Logarithms]:
    """Return the proposals of hyperparameters, the normal laws at the modes of the function, and where those are.

    The mode of the function at fixed hyperparameters and that of these for the map linearised there are found in turn,
    until these move by less than `settled` deviations.
    """
    law = None
    for _ in range(max_rounds):
        there = target.solver_at(solver, u)
        units = target.units(u)
        reference = find_reference(there, x / units.deviations, rng)
        linear = LinearData.of(there, reference, *units)
        law = CollapsedWalk(target, solver, linear, rng).law
        move = np.linalg.solve(law.roots[0], law.centres[0] - u)
        x = units.deviations * reference.mean
        u = law.centres[0]
        if np.linalg.norm(move) < settled:
            break
    assert law is not None
    start = x / target.units(u).deviations
    return law, find_references(target.solver_at(solver, u), start, rng), u
