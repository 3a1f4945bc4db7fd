"""Draws of an inverse problem where `sample` has a shorter way than its pilot and compiled chains.

Linear maps with Gaussian noise have a normal posterior, which is drawn from independently. A solver in Python is
sampled by pCN, pCNL or Hamiltonian dynamics in a loop on the host.
"""

import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from jax import random
from jaxtyping import Float

from langevax._typing import PRNGKey, PyTree
from langevax.algorithm import Algorithm
from langevax.run import Result, Run
from langevax.sampling.choice import Requested
from langevax.sampling.draws import TunedChains
from langevax.sampling.exact import independent_chains, reference_coordinates
from langevax.sampling.inverse import InverseProblem, solver_of
from langevax.sampling.moves import HMC
from langevax.sampling.preconditioning import CoordinateMap
from langevax.sampling.reference import (
    NormalReference,
    exact_reference,
    find_references,
)
from langevax.sampling.samples import Samples
from langevax.sampling.solver import Coefficients, ForwardSolver, SolveCounts
from langevax.sampling.solver_chains import HostLoop, HostWalk, generator
from langevax.sampling.solver_walk import (
    FEW_MODES,
    SolverWalk,
    dynamics_of,
)
from langevax.sampling.starts import Lengths


class SolverUse(NamedTuple):
    """A solver, and what it had done when its use began."""

    solver: ForwardSolver
    before: SolveCounts
    began: float

    def chains(
        self,
        algorithm: Algorithm | HMC,
        result: Result,
        thinning: int,
    ) -> TunedChains:
        """Return chains on the host and what they cost."""
        step_size = float(getattr(algorithm, "step_size", 1.0))
        spent = self.solver.counts.since(self.before).evaluations
        return TunedChains(
            algorithm,
            result,
            step_size,
            thinning,
            spent,
        )

    def samples(
        self,
        chains: TunedChains,
        coordinates: CoordinateMap,
        temperature: float,
        method: str,
        reason: str,
        walk: HostWalk | None = None,
    ) -> Samples:
        """Return draws with the solves and the time since."""
        counts = self.solver.counts.since(self.before)
        return Samples.of(
            chains,
            coordinates,
            None,
            temperature=temperature,
            method=method,
            reason=reason,
            modes=[],
            evaluations=counts.evaluations,
            seconds=time.perf_counter() - self.began,
            walk=walk,
            solves=counts,
        )


class InverseRun(NamedTuple):
    """Arguments of `sample` for an inverse problem."""

    target: InverseProblem
    dynamics: Requested
    """"auto" where no argument asks for particular dynamics."""
    lengths: Lengths
    step_size: float | Literal["auto"]
    preconditioner: str | None
    start: Float[Any, " modes"]
    chain_start: Callable[[PRNGKey], PyTree] | None
    run: Run
    key: PRNGKey
    default_warmup = 200
    """Steps."""
    most_numbers = 2**24
    """Of the matrix from coefficients to values, with which a map in JAX is tried on the host."""

    def draws(self) -> Samples | None:
        """Return draws, or None where the general way is to be taken."""
        began = time.perf_counter()
        target = self.target
        in_python = target.solver is not None
        is_open = self.dynamics == "auto"
        size = target.prior.num_modes * len(target.prior.basis.grid)
        is_small = in_python or size <= self.most_numbers
        asks_walk = in_python and self.dynamics in ("pcn", "pcnl")
        if not ((is_open and is_small) or asks_walk or self.dynamics == "hmc"):
            return None
        pilot_key, *keys = random.split(self.key, 4)
        solver = solver_of(target)
        use = SolverUse(solver, solver.counts, began)
        doubt = ""
        if is_open:
            exact, doubt = exact_reference(solver, generator(pilot_key))
            if exact is not None:
                return self._independent(use, exact, keys[0])
            if not in_python and not self._is_for_host(solver, generator(pilot_key)):
                return None
        return self._walk(use, keys, doubt)

    def _is_for_host(self, solver: ForwardSolver, rng: np.random.Generator) -> bool:
        """True where a map in JAX is sampled on the host, by steps about the prior as well.

        There are few coefficients, whose law may be far from normal, or several modes.
        """
        if self.preconditioner != "auto" or self.run.checkpoint is not None:
            return False
        is_few = solver.num_modes <= FEW_MODES
        return is_few or len(self._references(solver, rng)) > 1

    def _independent(
        self,
        use: SolverUse,
        exact: NormalReference,
        key: PRNGKey,
    ) -> Samples:
        coordinates = self._coordinates(exact)
        temperature = self.target.temperature
        num_samples, num_chains = self.lengths[:2]
        chains = independent_chains(
            coordinates,
            temperature,
            num_samples,
            num_chains,
            key,
            self.run,
        )
        reason = (
            "the forward map is linear and the noise Gaussian: draws of the normal "
            "posterior are independent"
        )
        return use.samples(
            chains,
            coordinates,
            temperature,
            "exact",
            reason,
        )

    def _walk(self, use: SolverUse, keys: list[PRNGKey], doubt: str) -> Samples:
        solver = use.solver
        dynamics = dynamics_of(self.dynamics, solver, "hmc")
        self._check()
        reason = f"the forward map has {'no' if solver.adjoint is None else 'an'} adjoint{doubt}"
        if self.dynamics != "auto":
            reason = f"algorithm={dynamics.upper()} was passed"
        rng = generator(keys[0])
        references = self._references(solver, rng)
        walk = SolverWalk(solver, references, dynamics, self.step_size)
        lengths = self.lengths
        loop = HostLoop(*lengths[:2], lengths.spacing(1), self.run.progress)
        starts = self._start_of_chain(keys[1])
        states = walk.first_states(references, loop.num_chains, starts, rng)
        steps = self.lengths.warmup(self.default_warmup)
        states = loop.warm_up(walk, states, steps, rng)
        run = loop.record(walk, states, keys[2])
        temperature = self.target.temperature
        chains = use.chains(walk.algorithm(temperature), run, loop.thinning)
        coordinates = self._coordinates(walk.reference)
        return use.samples(
            chains,
            coordinates,
            temperature,
            dynamics,
            reason,
            walk,
        )

    def _check(self) -> None:
        """Raise where an argument asks for what chains on the host do not have."""
        if self.run.checkpoint is not None:
            remedy = (
                "pass algorithm=langevax.PCNL(), or draw in parts with Samples.extend"
                if self.target.solver is None
                else (
                    "pass cache=file to inverse_problem, whose solves a run that was "
                    "stopped takes up again"
                )
            )
            raise ValueError(
                f"checkpoint is for chains in JAX, and these run on the host: {remedy}."
            )

    def _references(
        self, solver: ForwardSolver, rng: np.random.Generator
    ) -> list[NormalReference]:
        """Return the laws at the modes, or the prior where the preconditioner is None."""
        if self.preconditioner is None:
            return [NormalReference.standard(solver.num_modes)]
        start = np.asarray(self.start, np.float64) / self.target.scales
        return find_references(solver, start, rng)

    def _start_of_chain(self, key: PRNGKey) -> Callable[[int], Coefficients] | None:
        start = self.chain_start
        if start is None:
            return None
        return lambda chain: (
            np.asarray(start(random.fold_in(key, chain)), np.float64)
            / self.target.scales
        )

    def _coordinates(self, reference: NormalReference) -> CoordinateMap:
        return reference_coordinates(
            self.target.problem, self.target.start, reference, self.target.temperature
        )
