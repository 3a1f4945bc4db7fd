"""Draws of an inverse problem with unknown hyperparameters: the choice of the walk, its pilot and its warm-up."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jax import random

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
from langevax.sampling.moves import HMC
from langevax.sampling.preconditioning import CoordinateMap
from langevax.sampling.reference import (
    IndependentDraws,
    NormalReference,
    exact_reference,
    find_reference,
    find_references,
)
from langevax.sampling.samples import Samples
from langevax.sampling.solver import Coefficients, ForwardSolver
from langevax.sampling.solver_chains import HostLoop, generator
from langevax.sampling.solver_walk import SolverWalk, dynamics_of
from langevax.sampling.starts import Lengths


class HierarchicalRun(NamedTuple):
    """Arguments of `sample` for unknown hyperparameters."""

    target: HierarchicalInverseProblem
    dynamics: Requested
    lengths: Lengths
    progress: ProgressOption
    key: PRNGKey
    default_warmup = 400
    """Steps; of a map that is not linear, half of them with fixed hyperparameters."""
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
        samples = None
        if self.dynamics == "auto":
            samples = self._collapsed(use, rng, chain_key)
        return samples or self._interwoven(
            use,
            x,
            u,
            rng,
            chain_key,
        )

    def _samples(
        self,
        use: SolverUse,
        walk: HyperparameterWalk,
        result: Result,
        algorithm: Algorithm | HMC,
        reason: str,
    ) -> Samples:
        coordinates = HierarchicalCoordinates(self.target, self.target.scales)
        chains = use.chains(algorithm, result, self._loop.thinning)
        return use.samples(
            chains,
            CoordinateMap((coordinates,)),
            1.0,
            walk.dynamics,
            reason,
            walk,
        )

    def _check(self, start: PyTree, others: Mapping[str, Any]) -> None:
        if self.dynamics not in ("auto", "pcn", "pcnl"):
            raise ValueError(
                f"algorithm={self.dynamics.upper()} does not sample hyperparameters of "
                "an inverse problem; pass PCN(), PCNL() or 'auto', or fix them by "
                "target.at(...)."
            )
        for name, value in others.items():
            is_default = value is None and name != "preconditioner"
            if not is_default and not checks.is_auto(value):
                raise ValueError(
                    f"{name} is not for inverse problems with unknown hyperparameters; "
                    "leave it out."
                )
        if callable(start):
            raise TypeError(
                "start must be a dict of one position here: chains start at draws "
                "about the mode."
            )

    def _collapsed(
        self,
        use: SolverUse,
        rng: np.random.Generator,
        key: PRNGKey,
    ) -> Samples | None:
        """Return draws of a linear map, None where the map is not linear."""
        solver = use.solver
        exact, _ = exact_reference(solver, rng)
        if exact is None:
            return None
        target = self.target
        level = target.level(target.centre)
        linear = LinearData.of(solver, exact, target.scales, level)
        walk = CollapsedWalk(target, solver, linear)
        steps = self.lengths.warmup(self.default_warmup)
        states = collapsed_states(walk, self._loop, steps, rng)
        result = self._loop.record(walk, states, key)
        draws = np.concatenate(result.positions)
        verified = np.linspace(0, len(draws) - 1, self.num_verified).astype(int)
        if not all(walk.is_linear_at(draw) for draw in draws[verified]):
            return None
        reason = (
            "the forward map is linear and the noise Gaussian: hyperparameters are "
            "sampled by Metropolis steps with the function integrated out, and the "
            "function given them exactly"
        )
        return self._samples(
            use,
            walk,
            result,
            IndependentDraws(1.0),
            reason,
        )

    def _interwoven(
        self,
        use: SolverUse,
        x: Coefficients,
        u: Logarithms,
        rng: np.random.Generator,
        key: PRNGKey,
    ) -> Samples:
        """Return draws of any map: the walk of the function warms up first, then hyperparameters move too."""
        solver = use.solver
        dynamics = dynamics_of(self.dynamics, solver, "pcnl")
        target = self.target
        loop = self._loop
        law, references, u = find_modes(
            target,
            solver,
            x,
            u,
            rng,
        )
        there = target.solver_at(solver, u)
        function_walk = SolverWalk(there, references, dynamics)
        steps = self.lengths.warmup(self.default_warmup)
        solves = function_walk.first_states(references, loop.num_chains, None, rng)
        solves = loop.warm_up(function_walk, solves, steps // 2, rng)
        linear = LinearData.of(there, references[0], *target.units(u))
        walk = InterwovenWalk(
            target,
            solver,
            law,
            function_walk,
            linear,
        )
        states = []
        for solve in solves:
            first = walk.first_logarithms(target.log_prior, rng)
            moved = target.units(u).rescaled(solve, target.units(first))
            states.append(InterwovenState(first, moved))
        states = loop.warm_up(walk, states, steps - steps // 2, rng)
        why = (
            "the forward map is not linear, or too large for its matrix"
            if self.dynamics == "auto"
            else f"algorithm={dynamics.upper()} was passed"
        )
        reason = (
            f"{why}: steps of the function alternate with steps of the "
            "hyperparameters, centred and whitened"
        )
        result = loop.record(walk, states, key)
        return self._samples(
            use,
            walk,
            result,
            function_walk.algorithm(1.0),
            reason,
        )

    @property
    def _loop(self) -> HostLoop:
        lengths = self.lengths
        return HostLoop(*lengths[:2], lengths.spacing(1), self.progress)


def collapsed_states(
    walk: CollapsedWalk,
    loop: HostLoop,
    num_steps: int,
    rng: np.random.Generator,
) -> list[Any]:
    """Return the ends of a warm-up that starts as widely as the prior."""
    states = [
        walk.state_at(walk.first_logarithms(walk.log_density, rng))
        for _ in range(loop.num_chains)
    ]
    return loop.warm_up(walk, states, num_steps, rng)


def find_modes(
    target: HierarchicalInverseProblem,
    solver: ForwardSolver,
    x: Coefficients,
    u: Logarithms,
    rng: np.random.Generator,
    max_rounds: int = 5,
    num_steps: int = 200,
) -> tuple[ProposalLaw, list[NormalReference], Logarithms]:
    """Return the proposals of hyperparameters, the normal laws at the modes of the function, and where those are.

    The mode of the function at fixed hyperparameters and the law of these for the map linearised there, from chains
    without solves, are found in turn, until the centre moves by less than half a deviation.
    """
    law = ProposalLaw(target.centre, np.diag(target.deviation))
    loop = HostLoop(num_steps, 4, progress=False)
    for _ in range(max_rounds):
        there = target.solver_at(solver, u)
        units = target.units(u)
        reference = find_reference(there, x / units.deviations)
        walk = CollapsedWalk(target, solver, LinearData.of(there, reference, *units))
        collapsed_states(walk, loop, num_steps, rng)
        law = walk.law
        x = units.deviations * reference.mean
        move = np.linalg.solve(law.root, law.centre - u)
        u = law.centre
        if np.linalg.norm(move) < 0.5:
            break
    start = x / target.units(u).deviations
    return law, find_references(target.solver_at(solver, u), start, rng), u
