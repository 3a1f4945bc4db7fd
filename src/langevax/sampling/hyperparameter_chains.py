"""Chains of a function and of the hyperparameters of its noise and prior, on the host in float64.

Linear maps: the function is integrated out. With y ~ N(c, B diag(mu) B^T + sigma^2 C) the logarithms u of the
hyperparameters are sampled by Metropolis steps, and the function given u is drawn exactly.

Other maps: Metropolis-within-Gibbs. A step of the function by pCN or pCNL at the present u alternates with

    centred:    the function x stays; u is sampled from p(x | u) p(u), and sigma from the residual; no solve
    whitened:   w with z = x / sqrt(mu) = m(u) + C(u)^{1/2} w stays, u is proposed and x moves along; a solve

of which the interweaving mixes well whether data say much or little (Yu, Meng, J. Comput. Graph. Statist. 2011).
N(m(u), C(u)) is the posterior at u of the map linearised at the mode. For a linear map the whitened step is that of the
function integrated out. All are exact whatever these laws are.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_solve, solve_triangular

from langevax.sampling.hyperparameters import HierarchicalInverseProblem, Logarithms
from langevax.sampling.reference import NormalReference
from langevax.sampling.solver import Coefficients, ForwardSolver, Solve
from langevax.sampling.solver_walk import MoveRecord, SolverWalk, WalkStep, ends_stage

LogDensity = Callable[[Logarithms], float]


class LinearData(NamedTuple):
    """Data of a linear map, rotated: |G(x) - y|^2 in units of the noise is |rows x - data|^2 + rest."""

    rows: Float[np.ndarray, "r modes"]
    data: Float[np.ndarray, " r"]
    rest: float
    size: int
    """Number of data."""

    @classmethod
    def of(
        cls,
        solver: ForwardSolver,
        law: NormalReference,
        scales: Coefficients,
        level: float,
    ) -> "LinearData":
        """Return those whose posterior is `law`, in the units of a solver: x = scales z, and noise of that level."""
        information = 1 / law.scales**2 - 1
        rounding = 1e-14 * max(1.0, float(information.max()))
        informed = information > rounding
        eigenvalues = information[informed]
        directions = law.directions[:, informed]
        rows = np.sqrt(eigenvalues)[:, None] * directions.T
        data = (1 + eigenvalues) / np.sqrt(eigenvalues) * (law.mean @ directions)
        square = 2 * solver.solve(law.mean).misfit - float(
            np.sum((rows @ law.mean - data) ** 2)
        )
        return cls(
            level * rows / scales,
            level * data,
            level**2 * max(square, 0.0),
            solver.data.size,
        )

    def misfit(self, x: Coefficients, level: float) -> float:
        """Return that of the function."""
        square = float(np.sum((self.rows @ x - self.data) ** 2))
        return (square + self.rest) / (2 * level**2)

    def factor(self, mu: Coefficients, level: float) -> Float[np.ndarray, "r r"]:
        """Return the Cholesky factor of rows diag(mu) rows^T + level^2 I."""
        return np.linalg.cholesky(
            self.rows * mu @ self.rows.T + level**2 * np.eye(len(self.rows))
        )

    def log_evidence(self, factor: Float[np.ndarray, "r r"], level: float) -> float:
        """Return the log density of the data with the function integrated out, up to a constant."""
        white = solve_triangular(factor, self.data, lower=True)
        log_det = np.sum(np.log(np.diag(factor)))
        log_det += (self.size - len(factor)) * np.log(level)
        square = float(white @ white) + self.rest / level**2
        return -float(log_det) - square / 2

    def draw(
        self,
        factor: Float[np.ndarray, "r r"],
        mu: Coefficients,
        level: float,
        rng: np.random.Generator,
    ) -> Coefficients:
        """Draw the function given the hyperparameters."""
        x = np.sqrt(mu) * rng.standard_normal(len(mu))
        noise = level * rng.standard_normal(len(self.data))
        gap = self.data - self.rows @ x - noise
        return x + mu * (self.rows.T @ cho_solve((factor, True), gap))

    def law(self, mu: Coefficients, level: float) -> NormalReference:
        """Return the posterior of z = x / sqrt(mu)."""
        if not len(self.rows):
            return NormalReference.standard(len(mu))
        left, values, right = np.linalg.svd(
            self.rows * np.sqrt(mu) / level, full_matrices=False
        )
        mean = (left.T @ self.data / level) * values / (1 + values**2) @ right
        return NormalReference(mean, right.T, 1 / np.sqrt(1 + values**2))


class ProposalLaw(NamedTuple):
    """Student's t law of independent proposals of the hyperparameters, by which a random walk is scaled too."""

    centre: Logarithms
    root: Float[np.ndarray, "d d"]
    """Lower triangular."""
    degrees = 5
    """Of freedom."""

    def with_moments_of(self, draws: Float[np.ndarray, "draw d"]) -> "ProposalLaw":
        """Return the law with the draws' moments; itself where they have no spread in some direction."""
        covariance = np.atleast_2d(np.cov(draws.T))
        if np.linalg.matrix_rank(covariance, hermitian=True) < len(covariance):
            return self
        return ProposalLaw(draws.mean(0), np.linalg.cholesky(covariance))

    def log_density(self, u: Logarithms) -> float:
        """Return its log density up to a constant."""
        white = np.linalg.solve(self.root, u - self.centre)
        log_kernel = np.log1p(np.sum(white**2) / self.degrees)
        return -(self.degrees + len(u)) / 2 * float(log_kernel)

    def independent(
        self, u: Logarithms, rng: np.random.Generator
    ) -> tuple[Logarithms, float]:
        """Return a proposal and log q(u) - log q(proposal)."""
        stretch = np.sqrt(self.degrees / rng.chisquare(self.degrees))
        proposal = self.centre + stretch * self.root @ rng.standard_normal(len(u))
        return proposal, self.log_density(u) - self.log_density(proposal)


def slice_step(
    log_density: Callable[[float], float],
    u: float,
    width: float,
    rng: np.random.Generator,
) -> float:
    """Return the next state of slice sampling with stepping out (Neal, Annals of Statistics 2003)."""
    level = log_density(u) + np.log(rng.uniform())
    left = u - width * rng.uniform()
    right = left + width
    while log_density(left) > level:
        left -= width
    while log_density(right) > level:
        right += width
    while True:
        proposal = rng.uniform(left, right)
        if log_density(proposal) > level:
            return proposal
        if proposal < u:
            left = proposal
        else:
            right = proposal


class HyperparameterWalk(ABC):
    """Of both walks: what is recorded of a state, and the proposals of the hyperparameters."""

    dynamics: str
    acceptance = 0.3
    """Of steps of the random walk, to which warm-up adapts their length."""

    def __init__(
        self,
        target: HierarchicalInverseProblem,
        solver: ForwardSolver,
        law: ProposalLaw,
    ):
        self.target = target
        self.solver = solver
        """In units of the base problem's prior."""
        self.law = law
        self.length = 1.0
        """Of steps of the random walk, in units of the law."""
        self.visited: list[list[Logarithms]] = []

    @abstractmethod
    def step(self, state: Any, rng: np.random.Generator) -> WalkStep:
        """Return the next state of a chain, and the acceptance of the random walk to learn from."""

    @abstractmethod
    def function(self, state: Any) -> Coefficients:
        """Return the coefficients of a state."""

    def propose(
        self,
        u: Logarithms,
        rng: np.random.Generator,
        is_walk: bool,
    ) -> tuple[Logarithms, float]:
        """Return a proposal, of the random walk or independent, and the logarithm of the ratio of its densities."""
        if not is_walk:
            return self.law.independent(u, rng)
        return u + self.length * self.law.root @ rng.standard_normal(len(u)), 0.0

    def learn(
        self,
        steps: list[WalkStep],
        number: int,
        num_steps: int,
    ) -> None:
        """Adapt the random walk, and after each stage but the last take the moments of the later half of the steps."""
        self.visited.append([step.state.u for step in steps])
        rates = [step.learnt for step in steps if step.learnt is not None]
        if rates:
            excess = float(np.mean(rates)) - self.acceptance
            change = excess / np.sqrt(number + 1)
            self.length *= float(np.exp(change))
        if ends_stage(number, num_steps) and number + 1 < num_steps:
            later = self.visited[len(self.visited) // 2 :]
            self.law = self.law.with_moments_of(np.concatenate(later))
            self.length = 1.0

    def coordinates(self, state: Any) -> Coefficients:
        """Return the numbers that are recorded of a state."""
        return np.concatenate([self.function(state) / self.target.scales, state.u])

    def first_logarithms(
        self,
        log_density: LogDensity,
        rng: np.random.Generator,
        num_tries: int = 100,
    ) -> Logarithms:
        """Draw u of the proposals where its density is positive."""
        for _ in range(num_tries):
            u, _ = self.law.independent(self.law.centre, rng)
            if np.isfinite(log_density(u)):
                return u
        raise ValueError(
            "the hyperparameters' density is zero about their priors' centre; pass "
            "other priors."
        )


class CollapsedState(NamedTuple):
    """Hyperparameters, and a function given them."""

    u: Logarithms
    log_density: float
    factor: Float[np.ndarray, "r r"]
    x: Coefficients


class CollapsedWalk(HyperparameterWalk):
    """The walk of a linear map, which takes no solves."""

    dynamics = "collapsed"

    def __init__(
        self,
        target: HierarchicalInverseProblem,
        solver: ForwardSolver,
        linear: LinearData,
    ):
        law = ProposalLaw(target.centre, np.diag(target.deviation))
        super().__init__(target, solver, law)
        self.linear = linear

    def state_at(self, u: Logarithms) -> CollapsedState | None:
        """Return a state without its function, or None where the density of u is zero."""
        log_prior = self.target.log_prior(u)
        if not np.isfinite(log_prior):
            return None
        mu = self.target.variances(u)
        level = self.target.level(u)
        try:
            factor = self.linear.factor(mu, level)
        except np.linalg.LinAlgError:  # far out, where numbers of the prior overflow
            return None
        log_density = self.linear.log_evidence(factor, level) + log_prior
        if not np.isfinite(log_density):
            return None
        return CollapsedState(u, log_density, factor, np.zeros(len(mu)))

    def log_density(self, u: Logarithms) -> float:
        """Return that of u given the data, up to a constant."""
        state = self.state_at(u)
        return -np.inf if state is None else state.log_density

    def step(self, state: CollapsedState, rng: np.random.Generator) -> WalkStep:
        """Return the next state: an independent proposal, one of a random walk, and a function."""
        rates = []
        for is_walk in (False, True):
            u, log_ratio = self.propose(state.u, rng, is_walk)
            proposal = self.state_at(u)
            if proposal is None:
                rates.append(0.0)
                continue
            log_ratio += proposal.log_density - state.log_density
            rates.append(float(np.exp(min(log_ratio, 0.0))))
            if np.log(rng.uniform()) < log_ratio:
                state = proposal
        mu = self.target.variances(state.u)
        level = self.target.level(state.u)
        x = self.linear.draw(state.factor, mu, level, rng)
        acceptance = float(np.mean(rates))
        return WalkStep(state._replace(x=x), acceptance, learnt=rates[1])

    def function(self, state: CollapsedState) -> Coefficients:
        """Return the coefficients of a state."""
        return state.x

    def is_linear_at(self, coordinates: Coefficients, nats: float = 0.1) -> bool:
        """True where the misfit of the map at a draw is that of the linear one, to so many nats."""
        number = len(self.target.scales)
        x = self.target.scales * coordinates[:number]
        u = coordinates[number:]
        z = x / np.sqrt(self.target.variances(u))
        solve = self.target.solver_at(self.solver, u).solve(z)
        expected = self.linear.misfit(x, self.target.level(u))
        return bool(abs(solve.misfit - expected) < nats + 1e-3 * expected)


class InterwovenState(NamedTuple):
    """One chain: hyperparameters, and the last solve in the units of prior and noise there."""

    u: Logarithms
    solve: Solve


class InterwovenRecord(NamedTuple):
    """The part of a step from which the walk learns."""

    function: MoveRecord
    rate: float | None
    """Acceptance of the hyperparameters' random walk, None where they took no step of it."""


class InterwovenWalk(HyperparameterWalk):
    """The walk of every other map: two solves a step."""

    def __init__(
        self,
        target: HierarchicalInverseProblem,
        solver: ForwardSolver,
        law: ProposalLaw,
        function_walk: SolverWalk,
        linear: LinearData,
    ):
        super().__init__(target, solver, law)
        self.function_walk = function_walk
        self.linear = linear
        """The map near the mode, whose posterior at u is the reference there."""
        self.dynamics = function_walk.dynamics

    def function(self, state: InterwovenState) -> Coefficients:
        """Return the coefficients of a state."""
        return self.target.units(state.u).deviations * state.solve.z

    def step(self, state: InterwovenState, rng: np.random.Generator) -> WalkStep:
        """Return the next state of a chain: the function moves, then hyperparameters by both steps."""
        walk = copy(self.function_walk)
        walk.solver = self.target.solver_at(self.solver, state.u)
        walk.reference = self._law_at(state.u)
        moved = walk.step(state.solve, rng)
        state = self.move_centred(state._replace(solve=moved.state), rng)
        is_walk = bool(rng.integers(2))
        state, rate = self.move_whitened(state, rng, is_walk)
        record = InterwovenRecord(moved.learnt, rate if is_walk else None)
        return WalkStep(state, moved.acceptance, learnt=record)

    def learn(
        self,
        steps: list[WalkStep],
        number: int,
        num_steps: int,
    ) -> None:
        """Weigh the moves of the function too, by what they do at changing hyperparameters."""
        of_function = [step._replace(learnt=step.learnt.function) for step in steps]
        self.function_walk.count(of_function)
        if ends_stage(number, num_steps):
            self.function_walk.weigh()
        rates = [step._replace(learnt=step.learnt.rate) for step in steps]
        super().learn(rates, number, num_steps)

    def _law_at(self, u: Logarithms) -> NormalReference:
        return self.linear.law(self.target.variances(u), self.target.level(u))

    def move_centred(
        self, state: InterwovenState, rng: np.random.Generator
    ) -> InterwovenState:
        """Sample each hyperparameter given the function, by a slice."""
        before = self.target.units(state.u)
        x = before.deviations * state.solve.z
        energy = state.solve.misfit * before.level**2
        size = self.solver.data.size

        u = state.u.copy()
        for i in range(len(u)):

            def log_density(number: float, i: int = i) -> float:
                moved = u.copy()
                moved[i] = number
                log_prior = self.target.log_prior(moved)
                if not np.isfinite(log_prior):
                    return -np.inf
                mu = self.target.variances(moved)
                level = self.target.level(moved)
                log_function = -float(np.sum(np.log(mu) + x**2 / mu)) / 2
                log_noise = -energy / level**2 - size * float(np.log(level))
                return log_prior + log_function + log_noise

            width = 2 * float(np.linalg.norm(self.law.root[i]))
            u[i] = slice_step(log_density, u[i], width, rng)
        return InterwovenState(u, before.rescaled(state.solve, self.target.units(u)))

    def move_whitened(
        self,
        state: InterwovenState,
        rng: np.random.Generator,
        is_walk: bool,
    ) -> tuple[InterwovenState, float]:
        """Propose hyperparameters and move the function along; also return the acceptance."""
        u, log_ratio = self.propose(state.u, rng, is_walk)
        if not np.isfinite(self.target.log_prior(u)):
            return state, 0.0
        law = self._law_at(state.u)
        new_law = self._law_at(u)
        new_z = new_law.to_prior_units(law.from_prior_units(state.solve.z))
        solve = self.target.solver_at(self.solver, u).at(new_z)
        if solve is None:
            return state, 0.0
        proposal = InterwovenState(u, solve)
        log_ratio += self._log_density(proposal, new_law)
        log_ratio -= self._log_density(state, law)
        rate = 0.0
        if np.isfinite(log_ratio):
            rate = float(np.exp(min(log_ratio, 0.0)))
        is_accepted = np.log(rng.uniform()) < log_ratio
        return proposal if is_accepted else state, rate

    def _log_density(self, state: InterwovenState, law: NormalReference) -> float:
        """Return that of u and w."""
        u, solve = state
        log_volume = float(np.sum(np.log(law.scales)))
        level = self.target.level(u)
        log_noise = self.solver.data.size * float(np.log(level))
        return self.target.log_prior(u) - solve.energy + log_volume - log_noise
