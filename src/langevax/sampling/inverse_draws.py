"""Draws of an inverse problem where `sample` has a shorter way than its pilot and compiled chains.

Linear maps with Gaussian noise have a normal posterior, which is drawn from independently. A solver in Python is
sampled by pCN, pCNL or Hamiltonian dynamics in a loop on the host.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from jax import random
from jaxtyping import Array, Float

from langevax._typing import PRNGKey, PyTree
from langevax.run.options import Run
from langevax.samplers import PCN, PCNL
from langevax.sampling.choice import Requested
from langevax.sampling.draws import TunedChains
from langevax.sampling.exact import independent_chains, reference_coordinates
from langevax.sampling.inverse import InverseProblem, solver_of
from langevax.sampling.preconditioning import CoordinateMap
from langevax.sampling.reference import (
    NormalReference,
    exact_reference,
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
from langevax.sampling.solver_walk import FEW_MODES, LONGEST_STEP, Dynamics, SolverWalk


class InverseRun(NamedTuple):
    """Arguments of `sample` for an inverse problem."""

    target: InverseProblem
    dynamics: Requested
    """"auto" where no argument asks for particular dynamics."""
    num_samples: int
    num_chains: int
    num_warmup: int | Literal["auto"]
    thinning: int | Literal["auto"]
    step_size: float | Literal["auto"]
    preconditioner: str | None
    start: Float[Array, " modes"]
    chain_start: Callable[[PRNGKey], PyTree] | None
    progress: bool | Literal["auto"]
    saving: Mapping[str, Any]
    """`checkpoint` and `resume`."""
    key: PRNGKey
    default_warmup = 200
    """Steps."""
    most_numbers = 2**24
    """Of the matrix from coefficients to values, with which a map in JAX is tried on the host."""

    def draws(self) -> Samples | None:
        """Return draws, or None where the general way is to be taken."""
        began = time.perf_counter()
        target = self.target
        pilot_key, *keys = random.split(self.key, 4)
        if self.dynamics == "auto":
            size = target.prior.num_modes * len(target.prior.basis.grid)
            large = size > self.most_numbers
            solver = (
                target.solver
                if target.solver is not None or large
                else solver_of(target)
            )
            if solver is not None:
                before = SolveCounts.of(solver)
                exact = exact_reference(solver, generator(pilot_key))
                if exact is not None:
                    return self._independent(solver, before, exact, keys, began)
                if target.solver is not None:
                    return self._walk(solver, before, keys, began)
                if self._is_far_from_normal(solver, generator(pilot_key)):
                    return self._walk(solver, before, keys, began)
        elif self.dynamics == "hmc" or (
            target.solver is not None and self.dynamics in ("pcn", "pcnl")
        ):
            solver = target.solver or solver_of(target)
            return self._walk(solver, SolveCounts.of(solver), keys, began)
        return None

    def _independent(
        self,
        solver: ForwardSolver,
        before: SolveCounts,
        exact: NormalReference,
        keys: list[PRNGKey],
        began: float,
    ) -> Samples:
        coordinates = self._coordinates(exact)
        temperature = self.target.temperature
        chains = independent_chains(
            coordinates,
            temperature,
            self.num_samples,
            self.num_chains,
            keys[0],
            Run(**self.saving, progress=self.progress),
        )
        counts = SolveCounts.of(solver).since(before)
        return self._samples(
            chains,
            coordinates,
            "exact",
            "the forward map is linear and the noise Gaussian: draws of the normal posterior are independent",
            counts,
            began,
        )

    def _walk(
        self,
        solver: ForwardSolver,
        before: SolveCounts,
        keys: list[PRNGKey],
        began: float,
    ) -> Samples:
        dynamics, reason = self._dynamics(solver)
        if self.preconditioner == "diagonal":
            raise ValueError(
                "preconditioner='diagonal' is not for a forward map in Python; pass 'low-rank', 'auto', or None for "
                "the prior's own proposals."
            )
        if self.saving["checkpoint"] is not None:
            remedy = (
                "pass algorithm=langevax.PCNL(), or draw in parts with Samples.extend"
                if self.target.solver is None
                else "pass cache=file to inverse_problem, whose solves a run that was stopped takes up again"
            )
            raise ValueError(
                f"checkpoint is for chains in JAX, and these run on the host: {remedy}."
            )
        scales = self._scales
        rng = generator(keys[0])
        thinning = 1 if self.thinning == "auto" else self.thinning
        if self.preconditioner is None:
            references = [
                NormalReference(
                    np.zeros(len(scales)), np.zeros((len(scales), 1)), np.ones(1)
                )
            ]
        else:
            references = find_references(
                solver, np.asarray(self.start, np.float64) / scales, rng
            )
        is_adaptive = isinstance(self.step_size, str)
        if (
            not isinstance(self.step_size, str)
            and self.step_size > LONGEST_STEP[dynamics]
        ):
            raise ValueError(
                f"step_size={self.step_size:g} is beyond {LONGEST_STEP[dynamics]:.4g}, at which proposals of "
                f"{dynamics.upper()} are independent of the state; pass less, or 'auto'."
            )
        walk = SolverWalk(
            solver,
            references[0],
            dynamics,
            1.0 if isinstance(self.step_size, str) else self.step_size,
        )
        if is_adaptive and (len(references) > 1 or walk.is_far_from_normal(rng)):
            walk.mix(references)
        num_warmup = self.num_warmup
        if num_warmup == "auto":
            num_warmup = self.default_warmup
        bar = walk_progress(walk, num_warmup * self.num_chains, self.progress)
        states = first_states(
            walk,
            references,
            self.num_chains,
            self._start_of_chain(scales, keys[1]),
            rng,
        )
        with SolveThreads(min(solver.parallel, self.num_chains)) as threads:
            states = warm_up(walk, states, num_warmup, is_adaptive, rng, bar, threads)
        bar.close()
        run = run_chains(
            walk, states, self.num_samples, thinning, keys[2], self.progress
        )
        coordinates = self._coordinates(walk.reference)
        temperature = self.target.temperature
        algorithm = (PCN if dynamics == "pcn" else PCNL)(walk.step_size, temperature)
        counts = SolveCounts.of(solver).since(before)
        chains = TunedChains(
            algorithm,
            run,
            float(walk.step_size),
            thinning,
            counts.forward + counts.adjoint,
        )
        return self._samples(chains, coordinates, dynamics, reason, counts, began, walk)

    def _is_far_from_normal(
        self, solver: ForwardSolver, rng: np.random.Generator
    ) -> bool:
        """True where a map in JAX is better sampled on the host, by steps about the prior as well.

        There are several modes, or few coefficients whose law is far from normal about the only one.
        """
        if self.preconditioner != "auto" or self.saving["checkpoint"] is not None:
            return False
        references = find_references(
            solver, np.asarray(self.start, np.float64) / self._scales, rng
        )
        if len(references) > 1 or solver.num_modes > FEW_MODES:
            return len(references) > 1
        return SolverWalk(solver, references[0], "pcn", 1.0).is_far_from_normal(rng)

    @property
    def _scales(self) -> Float[np.ndarray, " modes"]:
        """Deviations of the prior."""
        return np.sqrt(np.asarray(self.target.prior.eigenvalues, np.float64))

    def _dynamics(self, solver: ForwardSolver) -> tuple[Dynamics, str]:
        if self.dynamics == "auto":
            if self.target.solver is None:
                return (
                    "hmc",
                    "the unknown has few coefficients, and their posterior is far from normal",
                )
            if solver.adjoint is None:
                return "pcn", "the forward map has no adjoint"
            return "hmc", "the forward map has an adjoint"
        dynamics: Dynamics = (
            self.dynamics if self.dynamics in ("pcn", "hmc") else "pcnl"
        )
        if dynamics != "pcn" and solver.adjoint is None:
            raise ValueError(
                f"{dynamics.upper()} needs a gradient: pass adjoint= to inverse_problem, or algorithm=langevax.PCN()."
            )
        return dynamics, f"algorithm={dynamics.upper()} was passed"

    def _start_of_chain(
        self, scales: Float[np.ndarray, " modes"], key: PRNGKey
    ) -> Callable[[int], Float[np.ndarray, " modes"]] | None:
        start = self.chain_start
        if start is None:
            return None
        return lambda chain: (
            np.asarray(start(random.fold_in(key, chain)), np.float64) / scales
        )

    def _coordinates(self, reference: NormalReference) -> CoordinateMap:
        return reference_coordinates(
            self.target.problem, self.target.start, reference, self.target.temperature
        )

    def _samples(
        self,
        chains: TunedChains,
        coordinates: CoordinateMap,
        method: str,
        reason: str,
        counts: SolveCounts,
        began: float,
        walk: SolverWalk | None = None,
    ) -> Samples:
        return Samples.of(
            chains,
            coordinates,
            None,
            temperature=self.target.temperature,
            method=method,
            reason=reason,
            modes=[],
            evaluations=counts.forward + counts.adjoint,
            seconds=time.perf_counter() - began,
            walk=walk,
            solves=counts,
        )
