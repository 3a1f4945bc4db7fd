"""A normal law near a posterior of functions: the prior, narrowed along the directions that the data inform.

    N(m, C),      C = I - V diag(lambda / (1 + lambda)) V^T      in units of the prior, z ~ N(0, I)

with J^T C_noise^-1 J = V diag(lambda) V^T, J the derivative of the predictions. For a linear map with Gaussian noise it
is the posterior. Otherwise m is the mode, and w with z = m + C^{1/2} w are coordinates in which pCN and pCNL step
as far along directions that the data inform as elsewhere, whatever the number of modes (Cui, Law, Marzouk,
J. Comput. Phys. 2016; Rudolf, Sprungk, Found. Comput. Math. 2018).
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float

from langevax._typing import IntScalar, PRNGKey, Vector
from langevax.algorithm import Algorithm, Info
from langevax.problems.coordinates import Reparametrised
from langevax.problems.problem import Problem
from langevax.sampling.preconditioning import QuadraticInValue
from langevax.sampling.solver import DIFFERENCE, Coefficients, ForwardSolver, Solve
from langevax.sampling.tolerances import LEAST_WEIGHT, NEAR_MODE, UNINFORMED

FULL_RANK = 1000
"""Data or modes up to which the whole derivative is computed."""


class NormalReference(NamedTuple):
    """N(mean, I + V diag(scales^2 - 1) V^T)."""

    mean: Coefficients
    directions: Float[np.ndarray, "modes r"]
    """V, orthonormal columns."""
    scales: Float[np.ndarray, " r"]
    """Deviations along them."""

    @classmethod
    def standard(cls, num_modes: int) -> "NormalReference":
        """Return N(0, I), the prior."""
        none = np.zeros((num_modes, 1))
        return cls(np.zeros(num_modes), none, np.ones(1))

    def stretch(self, w: np.ndarray) -> np.ndarray:
        """Return C^{1/2} w, for w with leading axes."""
        return self._scaled(w, self.scales)

    def to_prior_units(self, w: np.ndarray) -> np.ndarray:
        """Return z = mean + C^{1/2} w."""
        return self.mean + self.stretch(w)

    def from_prior_units(self, z: np.ndarray) -> np.ndarray:
        """Return w."""
        return self.shrink(z - self.mean)

    def shrink(self, v: np.ndarray) -> np.ndarray:
        """Return C^{-1/2} v, for v with leading axes."""
        return self._scaled(v, 1 / self.scales)

    def _scaled(self, w: np.ndarray, scales: np.ndarray) -> np.ndarray:
        along = w @ self.directions
        return w + along * (scales - 1) @ self.directions.T

    def in_all_directions(self) -> "NormalReference":
        """Return the same law with as many directions as there are modes."""
        root = self.stretch(np.eye(len(self.mean)))
        scales, directions = np.linalg.eigh(root)
        return NormalReference(self.mean, directions, scales)

    def with_moments_of(
        self, draws: Float[np.ndarray, "draw modes"], prior_weight: float = 5
    ) -> "NormalReference":
        """Return the law with the mean and covariance of draws along its directions.

        The earlier covariance counts for `prior_weight` draws for each direction.
        """
        along = draws @ self.directions
        count, rank = along.shape
        weight = count / (count + prior_weight * rank)
        covariance = weight * np.atleast_2d(np.cov(along.T, bias=True))
        covariance += (1 - weight) * np.diag(self.scales**2)
        shift = weight * (along.mean(0) - self.mean @ self.directions)
        variances, rotation = np.linalg.eigh(covariance)
        return NormalReference(
            self.mean + self.directions @ shift,
            self.directions @ rotation,
            np.sqrt(np.maximum(variances, 1e-12)),
        )


class Information(NamedTuple):
    """`J^T C_noise^-1 J = V diag(eigenvalues) V^T` at one place, in units of the prior."""

    directions: Float[np.ndarray, "modes r"]
    eigenvalues: Float[np.ndarray, " r"]
    basis: Float[np.ndarray, "modes k"]
    """Orthonormal columns that span the directions."""
    white: Float[np.ndarray, "k data"]
    """J times each column, in units of the noise."""

    @classmethod
    def of(
        cls,
        solver: ForwardSolver,
        basis: Float[np.ndarray, "modes k"],
        products: Iterable[np.ndarray],
        least: float,
    ) -> "Information":
        """Take J times each column apart; eigenvalues below `least` are left out."""
        white = np.stack([_white(solver, product) for product in products])
        rotation, roots, _ = np.linalg.svd(white, full_matrices=False)
        number = max(1, np.sum(roots**2 > least))
        directions = basis @ rotation[:, :number]
        return cls(directions, roots[:number] ** 2, basis, white)

    def reference(self, mean: Coefficients) -> NormalReference:
        """Return the normal law of this information."""
        scales = 1 / np.sqrt(1 + self.eigenvalues)
        return NormalReference(mean, self.directions, scales)

    def newton_step(self, gradient: Coefficients) -> Coefficients:
        """Return -(I + V diag(eigenvalues) V^T)^-1 gradient."""
        shares = self.eigenvalues / (1 + self.eigenvalues)
        along = self.directions.T @ gradient
        return -gradient + self.directions @ (shares * along)

    def misfit_gradient(self, solver: ForwardSolver, solve: Solve) -> Coefficients:
        """Return the gradient of the misfit: by the adjoint, or in the span of the basis."""
        assert solve.residual is not None
        if solver.adjoint is not None:
            solved = solver.with_gradient(solve)
            if solved is not None and solved.gradient is not None:
                return solved.gradient
        return self.basis @ (self.white @ _white(solver, solve.residual))


def _white(solver: ForwardSolver, change: np.ndarray) -> Float[np.ndarray, " data"]:
    """Return a change of the predictions in units of the noise."""
    return np.ravel(solver.noise.whitened(change))


class Derivative(NamedTuple):
    """Method by which the derivative of the predictions is taken."""

    least: float
    """Eigenvalues below which directions are left to the prior."""
    step: float
    """Of difference quotients, in deviations of the prior."""
    rank: int
    """Directions along which differences are taken; with an adjoint, twice as many data are few."""


LOCAL = Derivative(UNINFORMED, DIFFERENCE, 60)
WHOLE = Derivative(0.0, 1.0, FULL_RANK)
"""Of a linear map."""


def information(
    solver: ForwardSolver, solve: Solve, how: Derivative = LOCAL
) -> Information:
    """Return what the data inform at a solve.

    By adjoints where data are few, otherwise by differences along the directions in which the prior is widest.
    """
    size = solver.data.size
    if solver.adjoint is not None and size <= min(solver.num_modes, 2 * how.rank):
        units = np.eye(size).reshape(-1, *solver.data.shape)
        transposed = lambda residual: solver.transposed(solve.z, residual)
        rows = np.stack(solver.each(transposed, units))
        basis = np.linalg.qr(rows.T)[0]
        products = (rows @ basis).T.reshape(-1, *solver.data.shape)
        return Information.of(solver, basis, products, how.least)
    widest = np.argsort(-np.sum(solver.synthesis**2, axis=1), kind="stable")
    columns = np.eye(solver.num_modes)[widest[: how.rank]]
    return _by_differences(solver, solve, columns, how)


def _by_differences(
    solver: ForwardSolver,
    solve: Solve,
    columns: Float[np.ndarray, "k modes"],
    how: Derivative,
    at_once: int = 8,
) -> Information:
    """Take differences along the columns, until `at_once` in a row carry no information."""
    assert solve.residual is not None
    at = solve.residual + solver.data
    derivative = lambda column: solver.directional(solve.z, column, at, how.step)
    products: list[np.ndarray] = []
    for first in range(0, len(columns), at_once):
        block = solver.each(derivative, columns[first : first + at_once])
        products += block
        if all(np.sum(_white(solver, each) ** 2) < how.least for each in block):
            break
    return Information.of(solver, columns[: len(products)].T, products, how.least)


class PosteriorMode(NamedTuple):
    """A mode of the posterior, by the normal law there."""

    law: NormalReference
    energy: float
    log_weight: float
    """Logarithm of the mass of the posterior near it, by Laplace's formula, up to a constant of all modes."""

    def holds(self, solve: Solve) -> bool:
        """True within a deviation of it, and not below it by more than a nat, as it would be beside a saddle."""
        distance = float(np.linalg.norm(self.law.from_prior_units(solve.z)))
        return distance < 1 and solve.energy > self.energy - 1


def find_reference(solver: ForwardSolver, start: Coefficients) -> NormalReference:
    """Return the normal law at a mode of the posterior, by Gauss-Newton with halved steps."""
    return find_references(solver, start, np.random.default_rng(0), num_pairs=0)[0]


def find_references(
    solver: ForwardSolver,
    start: Coefficients,
    rng: np.random.Generator,
    num_pairs: int = 2,
) -> list[NormalReference]:
    """Return the normal laws at modes of the posterior that matter, the one with most mass first.

    Gauss-Newton starts at `start`, and at pairs of a draw of the prior and its mirror image.
    """
    draws = rng.standard_normal((num_pairs, solver.num_modes))
    modes: list[PosteriorMode] = []
    for place in (start, *(sign * z for z in draws for sign in (1, -1))):
        here = solver.solve(place)
        if here.residual is not None:
            modes += _climb(solver, here, modes)
        elif place is start:
            raise ValueError(
                f"forward_map fails at the start ({solver.counts.first_failure}); "
                "start where it is defined."
            )
    modes.sort(key=lambda mode: -mode.log_weight)
    least = modes[0].log_weight + np.log(LEAST_WEIGHT)
    return [mode.law for mode in modes if mode.log_weight > least]


def _climb(
    solver: ForwardSolver,
    here: Solve,
    modes: list[PosteriorMode],
    max_steps: int = 12,
    max_halvings: int = 6,
) -> list[PosteriorMode]:
    """Return the mode that Gauss-Newton reaches, nothing where it is one of `modes`."""
    informed = information(solver, here)
    for _ in range(max_steps):
        gradient = informed.misfit_gradient(solver, here) + here.z
        step = informed.newton_step(gradient)
        decrement = float(-(gradient @ step))
        if not decrement > NEAR_MODE**2:
            break
        for length in 0.5 ** np.arange(max_halvings):
            there = solver.solve(here.z + length * step)
            if there.energy < here.energy - 0.1 * length * decrement:
                break
        else:
            break
        here = there
        if any(mode.holds(here) for mode in modes):
            return []
        informed = information(solver, here)
    law = informed.reference(here.z)
    log_weight = float(np.sum(np.log(law.scales))) - here.energy
    return [PosteriorMode(law, here.energy, log_weight)]


def exact_reference(
    solver: ForwardSolver, rng: np.random.Generator, largest: float = 0.1
) -> tuple[NormalReference | None, str]:
    """Return the posterior of a linear map, or None where the map is not linear, or too large for its matrix.

    Where the map is linear and its adjoint is not the transposed map, the second says so.

    Predictions are compared with those of the derivative at the mean of the prior: at draws of the prior, and at the
    mean and four places of the normal law that follows. Draws of the prior do not reach where a map saturates, or where
    a derivative that is nearly right is far off. A departure of `largest` deviations of the noise moves the posterior's
    mean by at most as many of its own.
    """
    smaller = solver.num_modes
    if solver.adjoint is not None:
        smaller = min(smaller, solver.data.size)
    if smaller > FULL_RANK or not is_linear(solver, rng):
        return None, ""
    here = solver.solve(np.zeros(solver.num_modes))
    informed = information(solver, here, WHOLE)
    gradient = informed.misfit_gradient(solver, here)
    law = informed.reference(informed.newton_step(gradient))
    wide = 2 * rng.standard_normal((2, solver.num_modes))
    places = law.to_prior_units(np.concatenate([0 * wide[:1], wide, -wide]))
    changes = []
    for z in places:
        residual = solver.solve(z).residual
        if residual is None or here.residual is None:
            return None, ""
        changes.append(_white(solver, residual - here.residual))
    departures = changes - (places @ informed.basis) @ informed.white
    off = np.linalg.norm(departures, axis=1)
    if off.max() <= largest:
        return law, ""
    center, first, second, *opposite = changes
    bends = np.array([first, second]) + opposite - 2 * center
    if solver.adjoint is None or np.linalg.norm(bends) > largest:
        return None, ""
    share = np.max(off / np.linalg.norm(changes, axis=1))
    return None, (
        f", which is off by {share:.1%} of what this linear map changes; with the "
        "transposed map, or without an adjoint, draws are independent"
    )


def is_linear(solver: ForwardSolver, rng: np.random.Generator) -> bool:
    """True where the predictions at sums and multiples of two draws of the prior are those of a linear map.

    To the rounding of float32, and to a hundredth of the noise's deviation.
    """
    a, b = rng.standard_normal((2, solver.num_modes))
    solves = [solver.solve(z) for z in (0 * a, a, b, a - b, -3 * a)]
    residuals = [solve.residual for solve in solves if solve.residual is not None]
    if len(residuals) < len(solves):
        return False
    first, second, difference, multiple = (
        each - residuals[0] for each in residuals[1:]
    )
    size = max(np.abs(residual + solver.data).max() for residual in residuals)
    departures = first - second - difference, multiple + 3 * first
    return all(
        np.abs(departure).max() <= 3e-5 * size
        and np.linalg.norm(_white(solver, departure)) <= 0.01
        for departure in departures
    )


class NearReference(Reparametrised):
    """`problem`, in units of the prior, in the coordinates w of a normal law; its value is the whole potential.

    The map to positions is affine: it has an offset.
    """

    problem: Problem
    mean: Vector
    directions: Float[Array, "d r"]
    scales: Float[Array, " r"]
    precision: float

    def __init__(self, problem: Problem, reference: NormalReference):
        dtype = jnp.result_type(float)
        self.problem = QuadraticInValue(problem)
        self.mean = jnp.asarray(reference.mean, dtype)
        self.directions = jnp.asarray(reference.directions, dtype)
        self.scales = jnp.asarray(reference.scales, dtype)
        self.precision = 0.0

    def to_position(self, z: Vector) -> Vector:
        """The position, in units of the prior."""
        return self.mean + self.pull_back(z)

    def from_position(self, position: Vector) -> Vector:
        """The coordinates of a position in units of the prior."""
        return self._stretched(position - self.mean, 1 / self.scales)

    def pull_back(self, gradient: Vector) -> Vector:
        """The gradient times the symmetric root of the covariance."""
        return self._stretched(gradient, self.scales)

    def _stretched(self, vector: Vector, scales: Float[Array, " r"]) -> Vector:
        along = self.directions.T @ vector
        return vector + self.directions @ ((scales - 1) * along)


class IndependentState(NamedTuple):
    """A draw."""

    position: Vector


class IndependentDraws(Algorithm):
    """Independent draws of N(0, I), the coordinates of a normal law such as the posterior of a linear map."""

    temperature: float
    """Of the law."""

    def init(
        self,
        problem: Problem,
        position: Array,
        key: PRNGKey,
    ) -> tuple[IndependentState, Info]:
        draw = random.normal(key, position.shape, position.dtype)
        acceptance = jnp.ones((), position.dtype)
        counts = {"evaluations": jnp.int32(0), "acceptance": acceptance}
        return IndependentState(draw), counts

    def step(
        self,
        problem: Problem,
        state: IndependentState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[IndependentState, Info]:
        return self.init(problem, state.position, key)
