"""A normal law near a posterior of functions: the prior, narrowed along the directions that the data inform.

    N(m, C),      C = I - V diag(lambda / (1 + lambda)) V^T      in units of the prior, z ~ N(0, I)

with J^T C_noise^-1 J = V diag(lambda) V^T, J the derivative of the predictions. For a linear map with Gaussian noise it
is the posterior. Otherwise m is the mode, and w with z = m + C^{1/2} w are coordinates in which pCN and pCNL step
as far along directions that the data inform as elsewhere, whatever the number of modes (Cui, Law, Marzouk,
J. Comput. Phys. 2016; Rudolf, Sprungk, Found. Comput. Math. 2018).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float

from langevax._typing import FloatScalar, IntScalar, PRNGKey
from langevax.algorithm import Algorithm, Info
from langevax.problems.coordinates import Reparametrised
from langevax.problems.problem import Indices, Problem, Scalar
from langevax.sampling.solver import ForwardSolver, Solve, Vector
from langevax.sampling.tolerances import LEAST_WEIGHT, NEAR_MODE, UNINFORMED

FULL_RANK = 1000
"""Data or modes up to which the whole derivative is computed."""


class NormalReference(NamedTuple):
    """N(mean, I + V diag(scales^2 - 1) V^T)."""

    mean: Vector
    directions: Float[np.ndarray, "modes r"]
    """V, orthonormal columns."""
    scales: Float[np.ndarray, " r"]
    """Deviations along them."""

    @classmethod
    def standard(cls, num_modes: int) -> "NormalReference":
        """Return N(0, I), the prior."""
        return cls(np.zeros(num_modes), np.zeros((num_modes, 1)), np.ones(1))

    def stretch(self, w: np.ndarray) -> np.ndarray:
        """Return C^{1/2} w, for w with leading axes."""
        return w + (w @ self.directions * (self.scales - 1)) @ self.directions.T

    def to_prior_units(self, w: np.ndarray) -> np.ndarray:
        """Return z = mean + C^{1/2} w."""
        return self.mean + self.stretch(w)

    def from_prior_units(self, z: np.ndarray) -> np.ndarray:
        """Return w."""
        return self.shrink(z - self.mean)

    def shrink(self, v: np.ndarray) -> np.ndarray:
        """Return C^{-1/2} v, for v with leading axes."""
        return v + (v @ self.directions * (1 / self.scales - 1)) @ self.directions.T

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
        centre = along.mean(0)
        centred = along - centre
        covariance = weight * centred.T @ centred / count
        covariance += (1 - weight) * np.diag(self.scales**2)
        shift = weight * (centre - self.mean @ self.directions)
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
    products: np.ndarray
    """(k, *data): J times each column."""

    @classmethod
    def of(
        cls,
        solver: ForwardSolver,
        basis: np.ndarray,
        products: np.ndarray,
        least: float,
    ) -> "Information":
        """Diagonalise; eigenvalues below `least` are left out."""
        weighted = np.stack(
            [solver.noise.times_precision(product) for product in products]
        )
        gram = (
            products.reshape(len(products), -1) @ weighted.reshape(len(products), -1).T
        )
        eigenvalues, rotation = np.linalg.eigh((gram + gram.T) / 2)
        order = np.argsort(-eigenvalues)[: max(1, int(np.sum(eigenvalues > least)))]
        return cls(
            basis @ rotation[:, order],
            np.maximum(eigenvalues[order], 0.0),
            basis,
            products,
        )

    def reference(self, mean: Vector) -> NormalReference:
        """Return the normal law of this information."""
        return NormalReference(mean, self.directions, 1 / np.sqrt(1 + self.eigenvalues))

    def newton_step(self, gradient: Vector) -> Vector:
        """Return -(I + V diag(eigenvalues) V^T)^-1 gradient."""
        shares = self.eigenvalues / (1 + self.eigenvalues)
        return -gradient + self.directions @ (shares * (self.directions.T @ gradient))

    def misfit_gradient(self, solver: ForwardSolver, solve: Solve) -> Vector:
        """Return the gradient of the misfit: by the adjoint, or in the span of the basis."""
        assert solve.residual is not None
        if solver.adjoint is not None:
            solved = solver.with_gradient(solve)
            if solved is not None and solved.gradient is not None:
                return solved.gradient
        weighted = solver.noise.times_precision(solve.residual).reshape(-1)
        return self.basis @ (self.products.reshape(len(self.products), -1) @ weighted)


class Derivative(NamedTuple):
    """Method by which the derivative of the predictions is taken."""

    least: float = UNINFORMED
    """Eigenvalues below which directions are left to the prior."""
    step: float | None = None
    """Of difference quotients, in deviations of the prior; None: as short as the map's precision allows."""
    is_whole: bool = False
    """True: in all directions, up to FULL_RANK modes or data."""
    rank: int = 60
    """Of the random range finder beyond, and directions along which differences are taken without an adjoint."""
    patience: int = 8
    """Directions in a row without information after which no more differences are taken."""


def information(
    solver: ForwardSolver,
    solve: Solve,
    rng: np.random.Generator,
    how: Derivative,
) -> Information:
    """Return what the data inform at a solve.

    By adjoints where data are few; otherwise by a random range finder with adjoints (Halko, Martinsson, Tropp, SIAM
    Review 2011), or by differences along the directions in which the predictions' prior is widest.
    """
    assert solve.residual is not None
    num_data = solver.data.size
    num_modes = solver.num_modes
    at = solve.residual + solver.data
    if solver.adjoint is not None and num_data <= min(
        num_modes, FULL_RANK if how.is_whole else 2 * how.rank
    ):
        units = np.eye(num_data).reshape(num_data, *solver.data.shape)
        rows = np.stack(
            solver.each(lambda unit: solver.transposed(solve.z, unit), units)
        )
        basis = np.linalg.qr(rows.T)[0]
        return Information.of(
            solver, basis, (rows @ basis).T.reshape(-1, *solver.data.shape), how.least
        )
    if solver.adjoint is None or num_modes <= how.rank or how.is_whole:
        return _by_differences(solver, solve.z, at, how)
    noises = rng.standard_normal((how.rank, *solver.data.shape))
    weighted = [solver.noise.times_precision(noise) for noise in noises]
    probes = solver.each(lambda noise: solver.transposed(solve.z, noise), weighted)
    basis = np.linalg.qr(np.stack(probes, axis=1))[0]
    products = np.stack(
        solver.each(
            lambda column: solver.directional(solve.z, column, at, how.step), basis.T
        )
    )
    return Information.of(solver, basis, products, how.least)


def _by_differences(
    solver: ForwardSolver,
    z: Vector,
    at: np.ndarray,
    how: Derivative,
) -> Information:
    """Take differences along the widest coordinates of the prior, until several in a row carry no information."""
    order = np.argsort(-np.sum(solver.synthesis**2, axis=1), kind="stable")
    order = order if how.is_whole else order[: how.rank]
    units = np.zeros((len(order), solver.num_modes))
    units[np.arange(len(order)), order] = 1.0
    products = _until_silent(solver, z, at, how, units)
    basis = units[: len(products)].T
    return Information.of(solver, basis, np.stack(products), how.least)


def _until_silent(
    solver: ForwardSolver,
    z: Vector,
    at: np.ndarray,
    how: Derivative,
    units: np.ndarray,
) -> list[np.ndarray]:
    """Return the derivatives along the directions, those after `patience` silent ones left out."""
    products: list[np.ndarray] = []
    silent = 0
    for first in range(0, len(units), solver.parallel):
        at_once = units[first : first + solver.parallel]
        for product in solver.each(
            lambda unit: solver.directional(z, unit, at, how.step), at_once
        ):
            products.append(product)
            size = float(np.sum(product * solver.noise.times_precision(product)))
            silent = silent + 1 if size < how.least else 0
            if silent == how.patience and not how.is_whole:
                return products
    return products


class PosteriorMode(NamedTuple):
    """A mode of the posterior, by the normal law there."""

    law: NormalReference
    energy: float
    log_weight: float
    """Logarithm of the mass of the posterior near it, by Laplace's formula, up to a constant of all modes."""

    def holds(self, solve: Solve, within: float = 1.0) -> bool:
        """True where a search has come near and not below, as it would beside a saddle.

        `within` is a distance in units of the law there, and in nats.
        """
        distance = float(np.linalg.norm(self.law.from_prior_units(solve.z)))
        return distance < within and _energy(solve) > self.energy - within


def find_reference(
    solver: ForwardSolver, start: Vector, rng: np.random.Generator
) -> NormalReference:
    """Return the normal law at a mode of the posterior, by Gauss-Newton with halved steps."""
    return find_references(solver, start, rng, num_pairs=0)[0]


def find_references(
    solver: ForwardSolver,
    start: Vector,
    rng: np.random.Generator,
    num_pairs: int = 2,
) -> list[NormalReference]:
    """Return the normal laws at modes of the posterior that matter, the one with most mass first.

    Gauss-Newton starts at `start`, and at pairs of a draw of the prior and its mirror image.
    """
    here = solver.solve(start)
    if here.residual is None:
        raise ValueError(
            f"forward_map fails at the start ({solver.counts.first_failure}); start where it is defined."
        )
    modes: list[PosteriorMode] = []
    more = rng.spawn(1)[0]
    draws = more.standard_normal((num_pairs, solver.num_modes))
    for there in (here, *(solver.solve(sign * z) for z in draws for sign in (1, -1))):
        mode = (
            None
            if there.residual is None
            else _climb(solver, there, modes, more if modes else rng)
        )
        modes += [] if mode is None else [mode]
    modes.sort(key=lambda mode: -mode.log_weight)
    return [
        mode.law
        for mode in modes
        if mode.log_weight > modes[0].log_weight + np.log(LEAST_WEIGHT)
    ]


def _climb(
    solver: ForwardSolver,
    here: Solve,
    modes: list[PosteriorMode],
    rng: np.random.Generator,
    max_steps: int = 12,
    max_halvings: int = 6,
) -> PosteriorMode | None:
    """Return the mode that Gauss-Newton reaches, None where it is one of `modes`."""
    informed = information(solver, here, rng, Derivative())
    for _ in range(max_steps):
        gradient = informed.misfit_gradient(solver, here) + here.z
        step = informed.newton_step(gradient)
        decrement = float(-(gradient @ step))
        if not decrement > NEAR_MODE**2:
            break
        energy = _energy(here)
        for halving in range(max_halvings):
            length = 0.5**halving
            there = solver.solve(here.z + length * step)
            if _energy(there) < energy - 0.1 * length * decrement:
                break
        else:
            break
        here = there
        if any(mode.holds(here) for mode in modes):
            return None
        informed = information(solver, here, rng, Derivative())
    law = informed.reference(here.z)
    return PosteriorMode(
        law, _energy(here), float(np.sum(np.log(law.scales))) - _energy(here)
    )


def _energy(solve: Solve) -> float:
    """Return minus the logarithm of the posterior, up to a constant."""
    return solve.misfit + float(solve.z @ solve.z) / 2


def exact_reference(
    solver: ForwardSolver, rng: np.random.Generator
) -> NormalReference | None:
    """Return the posterior of a linear map, or None where the map is not linear, or too large for its matrix."""
    smaller = (
        solver.num_modes
        if solver.adjoint is None
        else min(solver.num_modes, solver.data.size)
    )
    if smaller > FULL_RANK or not is_linear(solver, rng):
        return None
    start = np.zeros(solver.num_modes)
    here = solver.solve(start)
    how = Derivative(least=0.0, step=1.0, is_whole=True)
    informed = information(solver, here, rng, how)
    gradient = informed.misfit_gradient(solver, here)
    reference = informed.reference(start + informed.newton_step(gradient))
    return (
        reference if _is_linear_there(solver, here, informed, reference, rng) else None
    )


def _is_linear_there(
    solver: ForwardSolver,
    base: Solve,
    informed: Information,
    reference: NormalReference,
    rng: np.random.Generator,
    largest: float = 0.1,
) -> bool:
    """True where predictions at the mean and four places of a normal law are those of the derivative at `base`.

    Draws of the prior do not reach where a map saturates, or where a derivative that is nearly right is far off. A
    departure of `largest` deviations of the noise moves the posterior's mean by at most as many of its own.
    """
    assert base.residual is not None
    wide = 2 * rng.standard_normal((2, solver.num_modes))
    for z in reference.to_prior_units(
        np.concatenate([np.zeros_like(wide[:1]), wide, -wide])
    ):
        solve = solver.solve(z)
        if solve.residual is None:
            return False
        departure = (
            solve.residual
            - base.residual
            - np.tensordot(informed.basis.T @ z, informed.products, axes=1)
        )
        if (
            not float(np.sum(departure * solver.noise.times_precision(departure)))
            <= largest**2
        ):
            return False
    return True


def is_linear(
    solver: ForwardSolver, rng: np.random.Generator, in_noise: float = 0.01
) -> bool:
    """True where the predictions at sums and multiples of two draws of the prior are those of a linear map.

    To rounding, and to `in_noise` deviations of the noise.
    """
    a, b = rng.standard_normal((2, solver.num_modes))
    zero, at_a, at_b, both, triple = (
        solver.solve(z) for z in (np.zeros_like(a), a, b, a - b, -3 * a)
    )
    base, *others = (solve.residual for solve in (zero, at_a, at_b, both, triple))
    residuals = [residual for residual in others if residual is not None]
    if base is None or len(residuals) < len(others):
        return False
    first, second, difference, multiple = (residual - base for residual in residuals)
    size = float(
        np.abs(first).max() + np.abs(second).max() + np.abs(base + solver.data).max()
    )
    small = 3e-5 if solver.is_single else 1e-8
    return all(
        float(np.abs(departure).max()) <= small * size
        and float(np.sum(departure * solver.noise.times_precision(departure)))
        <= in_noise**2
        for departure in (first - second - difference, multiple + 3 * first)
    )


class NearReference(Reparametrised):
    """`problem`, in units of the prior, in the coordinates w of a normal law; its quadratic part is |w|^2 T / 2.

    value(w) = potential(z) - T |w|^2 / 2, so that pCN and pCNL take the normal law for the prior. The map to positions
    is affine: it has an offset.
    """

    problem: Problem
    mean: Float[Array, " d"]
    directions: Float[Array, "d r"]
    scales: Float[Array, " r"]
    precision: FloatScalar

    def __init__(
        self,
        problem: Problem,
        reference: NormalReference,
        temperature: float,
    ):
        dtype = jnp.result_type(float)
        self.problem = problem
        self.mean = jnp.asarray(reference.mean, dtype)
        self.directions = jnp.asarray(reference.directions, dtype)
        self.scales = jnp.asarray(reference.scales, dtype)
        self.precision = jnp.asarray(temperature, dtype)

    def to_position(self, z: Float[Array, " d"]) -> Float[Array, " d"]:
        """The position, in units of the prior."""
        return self.mean + self.pull_back(z)

    def from_position(self, position: Float[Array, " d"]) -> Float[Array, " d"]:
        """The coordinates of a position in units of the prior."""
        moved = position - self.mean
        return moved + self.directions @ (
            (1 / self.scales - 1) * (self.directions.T @ moved)
        )

    def pull_back(self, gradient: Float[Array, " d"]) -> Float[Array, " d"]:
        """The gradient times the symmetric root of the covariance."""
        return gradient + self.directions @ (
            (self.scales - 1) * (self.directions.T @ gradient)
        )

    def value(self, position: Float[Array, " d"]) -> Scalar:
        quadratic = self.precision.astype(position.dtype) * jnp.sum(position**2) / 2
        return self.problem.potential(self.to_position(position)) - quadratic

    def gradient(self, position: Float[Array, " d"]) -> Float[Array, " d"]:
        return self.value_and_gradient(position)[1]

    def value_and_gradient(
        self, position: Float[Array, " d"]
    ) -> tuple[Scalar, Float[Array, " d"]]:
        potential, gradient = self.problem.potential_and_gradient(
            self.to_position(position)
        )
        level = self.precision.astype(position.dtype)
        value = potential - level * jnp.sum(position**2) / 2
        return value, self.pull_back(gradient) - level * position

    def gradient_at(
        self, position: Float[Array, " d"], indices: Indices
    ) -> Float[Array, " d"]:
        return self.gradient(position)

    def gradients_at(
        self, position: Float[Array, " d"], indices: Indices
    ) -> Float[Array, "batch d"]:
        gradient = self.gradient(position)
        return jnp.broadcast_to(gradient, (len(indices), *gradient.shape))


class IndependentState(NamedTuple):
    """A draw."""

    position: Float[Array, " d"]


class IndependentDraws(Algorithm):
    """Independent draws of N(0, temperature / precision): the posterior of a linear map with Gaussian noise."""

    temperature: float

    def init(
        self,
        problem: Problem,
        position: Array,
        key: PRNGKey,
    ) -> tuple[IndependentState, Info]:
        return self._draw(problem, position, key)

    def step(
        self,
        problem: Problem,
        state: IndependentState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[IndependentState, Info]:
        return self._draw(problem, state.position, key)

    def _draw(
        self,
        problem: Problem,
        like: Array,
        key: PRNGKey,
    ) -> tuple[IndependentState, Info]:
        scale = jnp.sqrt(
            jnp.asarray(self.temperature, like.dtype)
            / jnp.asarray(problem.precision, like.dtype)
        )
        position = scale * random.normal(key, like.shape, like.dtype)
        return IndependentState(position), {
            "evaluations": jnp.int32(0),
            "acceptance": jnp.ones((), like.dtype),
        }
