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
from langevax.samplers import PCN, PCNL
from langevax.sampling.choice import Requested
from langevax.sampling.draws import TunedChains
from langevax.sampling.hyperparameter_chains import (
    CollapsedWalk,
    HyperparameterWalk,
    InterwovenWalk,
    LinearData,
    ProposalLaw,
    scales_of,
    solver_at,
)
from langevax.sampling.hyperparameters import (
    HierarchicalCoordinates,
    HierarchicalInverseProblem,
    Logarithms,
)
from langevax.sampling.inverse import solver_of
from langevax.sampling.preconditioning import CoordinateMap
from langevax.sampling.reference import (
    IndependentDraws,
    NormalReference,
    exact_reference,
    find_reference,
    find_references,
)
from langevax.sampling.samples import Samples
from langevax.sampling.solve_threads import SolveThreads
from langevax.sampling.solver import ForwardSolver
from langevax.sampling.solver_chains import (
    SolveCounts,
    first_states,
    generator,
    run_chains,
    walk_progress,
    warm_up,
)
from langevax.sampling.solver_walk import Dynamics, SolverWalk


class HierarchicalRun(NamedTuple):
    """Arguments of `sample` for unknown hyperparameters."""

    target: HierarchicalInverseProblem
    dynamics: Requested
    num_samples: int
    num_chains: int
    num_warmup: int | Literal["auto"]
    thinning: int | Literal["auto"]
    progress: bool | Literal["auto"]
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
        (pilot_key, chain_key) = random.split(self.key)
        solver = solver_of(self.target.base)
        rng = generator(pilot_key)
        before = SolveCounts.of(solver)
        x, u = self.target.start_from(start)
        chains = None
        if self.dynamics == "auto":
            chains = self._collapsed(solver, rng, chain_key)
        if chains is None:
            chains = self._interwoven(solver, x, u, rng, chain_key)
        counts = SolveCounts.of(solver).since(before)
        spent = counts.forward + counts.adjoint
        walk = chains.walk
        return Samples.of(
            TunedChains(
                chains.algorithm,
                chains.result,
                float(getattr(chains.algorithm, "step_size", 1.0)),
                self._thinning,
                spent,
            ),
            CoordinateMap((HierarchicalCoordinates(self.target, walk.scales),)),
            None,
            temperature=1.0,
            method=walk.dynamics,
            reason=chains.reason,
            modes=[],
            evaluations=spent,
            seconds=time.perf_counter() - began,
            walk=walk,
            solves=counts,
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
        self, solver: ForwardSolver, rng: np.random.Generator, key: PRNGKey
    ) -> "WalkedChains | None":
        """Return the chains of a linear map, None where the map is not linear."""
        exact = exact_reference(solver, rng)
        if exact is None:
            return None
        target = self.target
        linear = LinearData.of(
            solver, exact, scales_of(target), target.level(target.centre)
        )
        walk = CollapsedWalk(target, solver, linear, rng)
        states = [
            walk.state_at(walk.first_logarithms(walk.log_density, rng))
            for _ in range(self.num_chains)
        ]
        number = self.num_warmup
        if number == "auto":
            number = self.default_collapsed_warmup
        visited = []
        law = walk.law
        for step in range(number):
            states = [
                walk.step(state, rng).state for state in states if state is not None
            ]
            visited.append([state.u for state in states])
            walk.law = _adapted(law, walk.law, visited, step, number)
        result = self._run(walk, states, key)
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
        there = solver_at(target, solver, u)
        deviations = np.sqrt(target.variances(u))
        function_walk = SolverWalk(there, references[0], dynamics, 1.0)
        if len(references) > 1 or function_walk.is_far_from_normal(rng):
            function_walk.mix(references)
        num_warmup = self.num_warmup
        if num_warmup == "auto":
            num_warmup = self.default_warmup
        fixed = num_warmup // 2
        free = num_warmup - num_warmup // 2
        bar = walk_progress(function_walk, num_warmup * self.num_chains, self.progress)
        starts = first_states(function_walk, references, self.num_chains, None, rng)
        with SolveThreads(min(solver.parallel, self.num_chains)) as threads:
            starts = warm_up(function_walk, starts, fixed, True, rng, bar, threads)
        level = target.level(u)
        linear = [
            LinearData.of(there, reference, deviations, level)
            for reference in (function_walk.reference, *references[1:])
        ]
        walk = InterwovenWalk(target, solver, law, function_walk, linear)
        states = [
            walk.state_of(
                start, deviations, level, walk.first_logarithms(target.log_prior, rng)
            )
            for start in starts
        ]
        visited = []
        rngs = rng.spawn(len(states))
        with SolveThreads(min(solver.parallel, self.num_chains)) as threads:
            for number in range(free):
                steps = list(
                    threads.map(walk.free_step, list(zip(states, rngs, strict=True)))
                )
                for step in steps:
                    walk.adapt(step, number)
                states = [step.state for step in steps]
                visited.append([state.u for state in states])
                walk.law = _adapted(law, walk.law, visited, number, free)
                bar.update((fixed + number + 1) * self.num_chains, steps[0].rate)
        bar.close()
        why = (
            "the forward map is not linear, or too large for its matrix"
            if self.dynamics == "auto"
            else f"algorithm={dynamics.upper()} was passed"
        )
        return WalkedChains(
            walk,
            self._run(walk, states, key),
            (PCN if dynamics == "pcn" else PCNL)(walk.step_size, 1.0),
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
    def _thinning(self) -> int:
        return 1 if self.thinning == "auto" else self.thinning

    def _run(self, walk: HyperparameterWalk, states: list[Any], key: PRNGKey) -> Result:
        return run_chains(
            walk, states, self.num_samples, self._thinning, key, self.progress
        )


class WalkedChains(NamedTuple):
    """A recorded run of a walk, and what is reported of it."""

    walk: HyperparameterWalk
    result: Result
    algorithm: Algorithm
    reason: str


def _adapted(
    first: ProposalLaw, law: ProposalLaw, visited: list[Any], step: int, number: int
) -> ProposalLaw:
    """Return proposals with moments of the later half of the steps so far, at each quarter of a warm-up."""
    if step + 1 not in (number // 4, number // 2, 3 * number // 4):
        return law
    later = np.array(visited[len(visited) // 2 :])
    return first.with_moments_of(later.reshape(-1, later.shape[2]))


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
    walk = None
    for _ in range(max_rounds):
        there = solver_at(target, solver, u)
        deviations = np.sqrt(target.variances(u))
        reference = find_reference(there, x / deviations, rng)
        walk = CollapsedWalk(
            target,
            solver,
            LinearData.of(there, reference, deviations, target.level(u)),
            rng,
        )
        move = np.linalg.norm(
            np.linalg.solve(walk.law.roots[0], walk.law.centres[0] - u)
        )
        x = deviations * reference.mean
        u = walk.law.centres[0]
        if move < settled:
            break
    assert walk is not None
    references = find_references(
        solver_at(target, solver, u), x / np.sqrt(target.variances(u)), rng
    )
    return walk.law, references, u
