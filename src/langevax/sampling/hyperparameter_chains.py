"""Chains of a function and of the hyperparameters of its noise and prior, on the host in float64.

Linear maps: the function is integrated out. With y ~ N(c, B diag(mu) B^T + sigma^2 C) the logarithms u of the
hyperparameters are sampled by Metropolis steps, and the function given u is drawn exactly.

Other maps: Metropolis-within-Gibbs. A step of the function by pCN or pCNL at the present u alternates with

    centred:    the function x stays; u is sampled from p(x | u) p(u), and sigma from the residual; no solve
    whitened:   w with z = x / sqrt(mu) = m(u) + C(u)^{1/2} w stays, u is proposed and x moves along; a solve

of which the interweaving mixes well whether data say much or little (Yu, Meng, J. Comput. Graph. Statist. 2011).
N(m(u), C(u)) is the posterior at u of the map linearised at the mode, and N(0, I) in the plain form. For a linear map
the whitened step is that of the function integrated out. All are exact whatever these laws are.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from langevax.sampling.hyperparameters import (
    NOISE,
    HierarchicalInverseProblem,
    Logarithms,
)
from langevax.sampling.reference import NormalReference
from langevax.sampling.solver import ForwardSolver, Solve, Vector
from langevax.sampling.solver_walk import SolverWalk, WalkStep

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
        scales: Vector,
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

    def misfit(self, x: Vector, level: float) -> float:
        """Return that of the function."""
        return (float(np.sum((self.rows @ x - self.data) ** 2)) + self.rest) / (
            2 * level**2
        )

    def factor(self, mu: Vector, level: float) -> Float[np.ndarray, "r r"]:
        """Return the Cholesky factor of rows diag(mu) rows^T + level^2 I."""
        return np.linalg.cholesky(
            self.rows * mu @ self.rows.T + level**2 * np.eye(len(self.rows))
        )

    def log_evidence(self, factor: Float[np.ndarray, "r r"], level: float) -> float:
        """Return the log density of the data with the function integrated out, up to a constant."""
        white = np.linalg.solve(factor, self.data)
        log_det = 2 * float(np.sum(np.log(np.diag(factor)))) + 2 * (
            self.size - len(factor)
        ) * np.log(level)
        return -(log_det + float(white @ white) + self.rest / level**2) / 2

    def draw(
        self,
        factor: Float[np.ndarray, "r r"],
        mu: Vector,
        level: float,
        rng: np.random.Generator,
    ) -> Vector:
        """Draw the function given the hyperparameters."""
        x = np.sqrt(mu) * rng.standard_normal(len(mu))
        gap = self.data - self.rows @ x - level * rng.standard_normal(len(self.data))
        return x + mu * (
            self.rows.T @ np.linalg.solve(factor.T, np.linalg.solve(factor, gap))
        )

    def law(self, mu: Vector, level: float) -> NormalReference:
        """Return the posterior of z = x / sqrt(mu)."""
        if not len(self.rows):
            return NormalReference.standard(len(mu))
        left, values, right = np.linalg.svd(
            self.rows * np.sqrt(mu) / level, full_matrices=False
        )
        mean = (left.T @ self.data / level) * values / (1 + values**2) @ right
        return NormalReference(mean, right.T, 1 / np.sqrt(1 + values**2))


class ProposalLaw(NamedTuple):
    """A mixture of Student's t laws about the modes of the hyperparameters, and a wide one."""

    centres: Float[np.ndarray, "c d"]
    roots: Float[np.ndarray, "c d d"]
    """Lower triangular."""
    log_weights: Float[np.ndarray, " c"]
    degrees = 5
    """Of freedom."""
    wider = 1.2
    """Width of a law relative to the curvature or the moments that it is from."""

    @classmethod
    def about_modes(
        cls,
        log_density: LogDensity,
        centre: Logarithms,
        deviation: Logarithms,
        rng: np.random.Generator,
        num_starts: int = 5,
        wide_share: float = 0.1,
        settled: float = 1e-3,
    ) -> "ProposalLaw":
        """Search from the centre and from other places within the deviation of it; the best mode comes first.

        `wide_share` is that of proposals from a law as wide as the prior; a search ends where it changes logarithms and
        their log density by less than `settled`.
        """
        modes: list[tuple[float, Logarithms, np.ndarray]] = []
        simplex = np.vstack([np.zeros_like(centre), np.diag(deviation / 2)])
        for start in np.vstack(
            [
                centre,
                centre + deviation * rng.standard_normal((num_starts - 1, len(centre))),
            ]
        ):
            if not np.isfinite(log_density(start)):
                continue
            options = {
                "initial_simplex": start + simplex,
                "xatol": settled,
                "fatol": settled,
            }
            mode = minimize(
                lambda u: -log_density(u), start, method="Nelder-Mead", options=options
            ).x
            if any(
                np.linalg.norm(np.linalg.solve(root, mode - other)) < 1
                for _, other, root in modes
            ):
                continue
            root = _root_at(log_density, mode, deviation)
            modes.append(
                (log_density(mode) + float(np.sum(np.log(np.diag(root)))), mode, root)
            )
        if not modes:
            raise ValueError(
                "the hyperparameters' density is zero about their priors' centre; pass other priors."
            )
        modes.sort(key=lambda mode: -mode[0])
        masses = np.array([mass for mass, _, _ in modes])
        weights = (
            (1 - wide_share)
            * np.exp(masses - masses.max())
            / np.exp(masses - masses.max()).sum()
        )
        return cls(
            np.stack([mode for _, mode, _ in modes] + [centre]),
            np.stack([cls.wider * root for _, _, root in modes] + [np.diag(deviation)]),
            np.log(np.maximum(np.append(weights, wide_share), 1e-6)),
        )

    def with_moments_of(
        self, draws: Float[np.ndarray, "draw d"], few: int = 20
    ) -> "ProposalLaw":
        """Return the mixture with a law of the draws' moments as its first.

        Itself where there are `few` draws for each number, or where they have no spread in some direction.
        """
        if len(draws) < few * draws.shape[1]:
            return self
        covariance = np.atleast_2d(np.cov(draws.T))
        if np.linalg.matrix_rank(covariance, hermitian=True) < len(covariance):
            return self
        return ProposalLaw(
            np.concatenate([draws.mean(0)[None], self.centres]),
            np.concatenate(
                [self.wider * np.linalg.cholesky(covariance)[None], self.roots]
            ),
            np.concatenate([[0.0], self.log_weights]) - np.log(2),
        )

    def log_density(self, u: Logarithms) -> float:
        """Return its log density up to a constant."""
        squares = [
            np.sum(np.linalg.solve(r, u - c) ** 2)
            for c, r in zip(self.centres, self.roots, strict=True)
        ]
        heights = [np.sum(np.log(np.diag(root))) for root in self.roots]
        degrees = self.degrees
        tails = (degrees + len(u)) / 2 * np.log1p(np.array(squares) / degrees)
        return float(np.logaddexp.reduce(self.log_weights - heights - tails))

    def independent(
        self,
        u: Logarithms,
        rng: np.random.Generator,
        scale: float = 1.0,
    ) -> tuple[Logarithms, float]:
        """Return a proposal and log q(u) - log q(proposal)."""
        weights = np.exp(self.log_weights)
        number = rng.choice(len(weights), p=weights / weights.sum())
        stretch = np.sqrt(self.degrees / rng.chisquare(self.degrees))
        proposal = self.centres[number] + stretch * (
            self.roots[number] @ rng.standard_normal(len(u))
        )
        return proposal, self.log_density(u) - self.log_density(proposal)

    def walk(
        self,
        u: Logarithms,
        rng: np.random.Generator,
        scale: float = 1.0,
    ) -> tuple[Logarithms, float]:
        """Return a proposal of a random walk, and 0."""
        step = 2.4 / np.sqrt(len(u)) * scale / self.wider  # the best for normal laws
        return u + step * (self.roots[0] @ rng.standard_normal(len(u))), 0.0


def _root_at(
    log_density: LogDensity,
    mode: Logarithms,
    deviation: Logarithms,
    drop: float = 2.0,
    max_halvings: int = 30,
) -> np.ndarray:
    """Return the root of the covariance of the normal law about a mode, by differences over which it drops so far."""
    number = len(mode)
    top = log_density(mode)
    units = np.eye(number)
    steps = deviation.copy()
    for i in range(number):
        for _ in range(max_halvings):
            drops = np.array(
                [
                    top - log_density(mode + sign * steps[i] * units[i])
                    for sign in (1, -1)
                ]
            )
            if np.isfinite(drops).any() and drops[np.isfinite(drops)].max() < drop:
                break
            steps[i] /= 2
    moved = np.diag(steps)

    def along(direction: Logarithms) -> float:
        return 2 * top - log_density(mode + direction) - log_density(mode - direction)

    hessian = np.diag([along(move) for move in moved])
    for i in range(number):
        for j in range(i):
            hessian[i, j] = hessian[j, i] = (
                along(moved[i] + moved[j]) - along(moved[i] - moved[j])
            ) / 4
    if not np.isfinite(hessian).all() or np.linalg.eigvalsh(hessian)[0] < 1e-3:
        return moved  # near an end of the support, or flat
    return np.linalg.cholesky(moved @ np.linalg.inv(hessian) @ moved)


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

    def __init__(
        self,
        target: HierarchicalInverseProblem,
        solver: ForwardSolver,
        law: ProposalLaw,
    ):
        self.target = target
        self.solver = solver
        """In units of the base problem's prior."""
        self.scales = target.scales
        self.first_law = law
        self.law = law
        """Proposals of the hyperparameters."""
        self.visited: list[list[Logarithms]] = []

    @abstractmethod
    def step(self, state: Any, rng: np.random.Generator) -> WalkStep:
        """Return the next state of a chain."""

    @abstractmethod
    def function(self, state: Any) -> Vector:
        """Return the coefficients of a state."""

    def learn(
        self,
        steps: list[WalkStep],
        number: int,
        num_steps: int,
    ) -> None:
        """Take proposals with moments of the later half of the steps so far, at each quarter of a warm-up."""
        self.visited.append([step.state.u for step in steps])
        if number + 1 in (num_steps // 4, num_steps // 2, 3 * num_steps // 4):
            later = self.visited[len(self.visited) // 2 :]
            self.law = self.first_law.with_moments_of(np.concatenate(later))

    @property
    def num_coordinates(self) -> int:
        """Numbers of a draw."""
        return len(self.scales) + len(self.target.hyperpriors)

    def coordinates(self, state: Any) -> Vector:
        """Return the numbers that are recorded of a state."""
        return np.concatenate([self.function(state) / self.scales, state.u])

    def first_logarithms(
        self, log_density: LogDensity, rng: np.random.Generator
    ) -> Logarithms:
        """Draw u of the proposals where its density is positive."""
        for _ in range(100):
            u, _ = self.law.independent(self.law.centres[0], rng)
            if np.isfinite(log_density(u)):
                return u
        return self.law.centres[0]


class CollapsedState(NamedTuple):
    """Hyperparameters, and a function given them."""

    u: Logarithms
    log_density: float
    factor: Float[np.ndarray, "r r"]
    x: Vector


class CollapsedWalk(HyperparameterWalk):
    """The walk of a linear map, which takes no solves."""

    dynamics = "collapsed"

    def __init__(
        self,
        target: HierarchicalInverseProblem,
        solver: ForwardSolver,
        linear: LinearData,
        rng: np.random.Generator,
    ):
        self.linear = linear
        self.target = target
        centre = target.centre
        deviation = target.deviation
        law = ProposalLaw.about_modes(self.log_density, centre, deviation, rng)
        super().__init__(target, solver, law)

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
        for propose in (self.law.independent, self.law.walk):
            u, log_ratio = propose(state.u, rng)
            proposal = self.state_at(u)
            if proposal is None:
                rates.append(0.0)
                continue
            log_ratio += proposal.log_density - state.log_density
            rates.append(np.exp(min(log_ratio, 0.0)))
            if np.log(rng.uniform()) < log_ratio:
                state = proposal
        mu = self.target.variances(state.u)
        x = self.linear.draw(state.factor, mu, self.target.level(state.u), rng)
        return WalkStep(state._replace(x=x), float(np.mean(rates)))

    def function(self, state: CollapsedState) -> Vector:
        """Return the coefficients of a state."""
        return state.x

    def is_linear_at(self, coordinates: Vector, nats: float = 0.1) -> bool:
        """True where the misfit of the map at a draw is that of the linear one, to so many nats."""
        number = len(self.scales)
        x = self.scales * coordinates[:number]
        u = coordinates[number:]
        z = x / np.sqrt(self.target.variances(u))
        solve = self.target.solver_at(self.solver, u).solve(z)
        expected = self.linear.misfit(x, self.target.level(u))
        return bool(abs(solve.misfit - expected) < nats + 1e-3 * expected)


class InterwovenState(NamedTuple):
    """One chain: hyperparameters, and the last solve in the units of prior and noise there."""

    u: Logarithms
    solve: Solve


class InterwovenWalk(HyperparameterWalk):
    """The walk of every other map: two solves a step."""

    shares: ClassVar[dict[str, float]] = {"independent": 0.4, "walk": 0.4, "prior": 0.2}
    """Of the whitened steps."""
    acceptance: ClassVar[float] = 0.3
    """Of whitened steps, to which warm-up adapts their lengths."""
    longest: ClassVar[float] = 3.0

    def __init__(
        self,
        target: HierarchicalInverseProblem,
        solver: ForwardSolver,
        law: ProposalLaw,
        function_walk: SolverWalk,
        references: list[LinearData],
    ):
        super().__init__(target, solver, law)
        self.function_walk = function_walk
        self.references = references
        """The first reference is that of pCN."""
        self.dynamics = function_walk.dynamics
        self.walk_scales = {"walk": 1.0, "prior": 1.0}

    def function(self, state: InterwovenState) -> Vector:
        """Return the coefficients of a state."""
        return self.target.units(state.u).deviations * state.solve.z

    def step(self, state: InterwovenState, rng: np.random.Generator) -> WalkStep:
        """Return the next state of a chain: the function moves, then hyperparameters by both steps."""
        moved = self._walk_at(state.u).step(state.solve, rng)
        state = self.move_centred(state._replace(solve=moved.state), rng)
        state, kind, rate = self.move_whitened(state, rng)
        return WalkStep(state, moved.acceptance, learnt=(kind, rate))

    def learn(
        self,
        steps: list[WalkStep],
        number: int,
        num_steps: int,
    ) -> None:
        """Adapt the step sizes and the proposals."""
        super().learn(steps, number, num_steps)
        for step in steps:
            self.function_walk.adapt(step.acceptance, number)
            kind, rate = step.learnt
            if kind in self.walk_scales:
                change = np.exp((rate - self.acceptance) / np.sqrt(number + 1))
                length = float(self.walk_scales[kind] * change)
                self.walk_scales[kind] = min(self.longest, length)

    def _walk_at(self, u: Logarithms) -> SolverWalk:
        """Return that of the function at u."""
        walk = copy(self.function_walk)
        walk.solver = self.target.solver_at(self.solver, u)
        walk.modes = self._laws_at(u)
        walk.reference = walk.modes[0]
        return walk

    def _laws_at(self, u: Logarithms) -> list[NormalReference]:
        mu = self.target.variances(u)
        level = self.target.level(u)
        return [linear.law(mu, level) for linear in self.references]

    def move_centred(
        self, state: InterwovenState, rng: np.random.Generator
    ) -> InterwovenState:
        """Sample each hyperparameter given the function, by a slice."""
        before = self.target.units(state.u)
        x = before.deviations * state.solve.z
        energy = state.solve.misfit * before.level**2
        size = self.solver.data.size

        def given_residual(u: Logarithms) -> float:
            level = self.target.level(u)
            return -energy / level**2 - size * float(np.log(level))

        def given_function(u: Logarithms) -> float:
            mu = self.target.variances(u)
            return -float(np.sum(np.log(mu) + x**2 / mu)) / 2

        u = state.u.copy()
        for i, name in enumerate(self.target.names):
            conditional = given_residual if name == NOISE else given_function

            def log_density(
                number: float, i: int = i, conditional: LogDensity = conditional
            ) -> float:
                moved = u.copy()
                moved[i] = number
                log_prior = self.target.log_prior(moved)
                is_possible = np.isfinite(log_prior)
                return log_prior + conditional(moved) if is_possible else -np.inf

            width = 2 * float(np.linalg.norm(self.law.roots[0][i]))
            u[i] = slice_step(log_density, u[i], width, rng)
        return InterwovenState(u, before.rescaled(state.solve, self.target.units(u)))

    def move_whitened(
        self,
        state: InterwovenState,
        rng: np.random.Generator,
        kind: str | None = None,
    ) -> tuple[InterwovenState, str, float]:
        """Propose hyperparameters and move the function along; also return the kind of step, and its acceptance."""
        kind = kind or str(rng.choice(list(self.shares), p=list(self.shares.values())))
        propose = self.law.independent if kind == "independent" else self.law.walk
        u, log_ratio = propose(state.u, rng, self.walk_scales.get(kind, 1.0))
        if not np.isfinite(self.target.log_prior(u)):
            return state, kind, 0.0
        law = new_law = NormalReference.standard(self.solver.num_modes)
        if kind != "prior":
            law = self._laws_at(state.u)[0]
            new_law = self._laws_at(u)[0]
        new_z = new_law.to_prior_units(law.from_prior_units(state.solve.z))
        solve = self.target.solver_at(self.solver, u).at(new_z)
        if solve is None:
            return state, kind, 0.0
        proposal = InterwovenState(u, solve)
        log_ratio += self._log_density(proposal, new_law)
        log_ratio -= self._log_density(state, law)
        rate = float(np.exp(min(log_ratio, 0.0))) if np.isfinite(log_ratio) else 0.0
        is_accepted = np.log(rng.uniform()) < log_ratio
        return proposal if is_accepted else state, kind, rate

    def _log_density(self, state: InterwovenState, law: NormalReference) -> float:
        """Return that of u and w."""
        u, solve = state
        log_volume = float(np.sum(np.log(law.scales)))
        log_noise = self.solver.data.size * float(np.log(self.target.level(u)))
        log_function = -solve.misfit - float(solve.z @ solve.z) / 2
        return self.target.log_prior(u) + log_function + log_volume - log_noise
