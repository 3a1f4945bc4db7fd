"""Inverse problems: an unknown function, a forward map, noisy data and a Gaussian process prior.

    y = G(f) + xi,      xi ~ N(0, C),      f ~ prior;      the posterior of f is exp(-potential(x) / temperature),
    potential(x) = (1/m) <r, C^-1 r> / 2 + 1/2 <x, x / mu> / m,      r = G(f) - y,      temperature = 1/m

with m data and x the coefficients, in the basis of the prior, of f less its prior mean. More modes add detail to f
without changing the step size or the mixing time (Muzellec, Sato, Massias, Suzuki, COLT 2022; Cotter et al.,
Statistical Science 2013).

G is written in JAX, or is any function on NumPy arrays, with an adjoint where there is one: a `ForwardSolver`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, ArrayLike, Float

from langevax import checks
from langevax._typing import FloatScalar, PRNGKey, PyTree
from langevax.problems.problem import Problem
from langevax.sampling.fields import field_dataset
from langevax.sampling.noise import GaussianNoise
from langevax.sampling.solver import Adjoint, ForwardSolver, NumpyMap, check_shape
from langevax.spaces import GaussianPrior
from langevax.trees import in_double

if TYPE_CHECKING:
    import xarray

ForwardMap = Callable[[Any], Any]


class SolverWarning(UserWarning):
    """A forward map fails for parts of its prior."""


class InverseProblem(NamedTuple):
    """A target of `sample` whose positions are coefficients (N,) of the function less its prior mean."""

    problem: Problem
    temperature: float
    """1/m, m the number of data."""
    prior: GaussianPrior
    forward_map: ForwardMap
    data: Float[np.ndarray, "..."]
    noise: GaussianNoise
    prior_mean: Float[np.ndarray, "..."]
    """Values on the grid, or one number."""
    solver: ForwardSolver | None = None
    """The forward map in Python, with its counts; None where it is written in JAX."""

    @property
    def start(self) -> Float[Array, " modes"]:
        """The mean of the prior."""
        return jnp.zeros(self.prior.num_modes, self.prior.eigenvalues.dtype)

    @property
    def scales(self) -> Float[np.ndarray, " modes"]:
        """Standard deviations of the prior: units of the solver's coefficients."""
        return np.sqrt(in_double(self.prior.eigenvalues))

    def check_start(self, start: PyTree) -> None:
        """Raise unless `start` has one coefficient for each mode."""
        expected = (self.prior.num_modes,)
        if jnp.shape(start) != expected:
            raise ValueError(
                f"start must have shape {expected}, one coefficient per mode, got "
                f"{checks.shown(start)}."
            )

    def functions(self, positions: ArrayLike) -> Float[Array, "*batch grid"]:
        """Values of the drawn functions on the grid of the basis."""
        values = self.prior.basis.synthesize(jnp.asarray(positions))
        return values + jnp.asarray(self.prior_mean, values.dtype)

    def fields(
        self, positions: ArrayLike, *, coverage: float = 0.9
    ) -> "xarray.Dataset":
        """Drawn functions on the coordinates of their grid, with `mean`, `deviation`, `low` and `high`.

        Args:
            positions: draws (chain, draw, modes).
            coverage: of the pointwise bands from `low` to `high`, in (0, 1).
        """
        return field_dataset(self.prior.basis, self.functions(positions), coverage)

    def sample_predictive(self, positions: ArrayLike, *, key: PRNGKey) -> Array:
        """Draw data that would be measured again: predictions of draws, a solve each, and noise."""
        predicted = self.predictions(positions)
        unit = random.normal(key, predicted.shape, predicted.dtype)
        return predicted + jnp.asarray(
            self.noise.scaled(np.asarray(unit), self.data.shape), predicted.dtype
        )

    def predictions(self, positions: ArrayLike) -> Array:
        """Predicted data of draws with one leading axis, or with (chain, draw); a solve each."""
        positions = jnp.asarray(positions)
        flat = positions.reshape(-1, positions.shape[-1])
        if self.solver is None:
            predicted = jax.lax.map(
                lambda x: self.forward_map(self.functions(x)), flat, batch_size=64
            )
        else:
            places = in_double(flat) / self.scales
            solves = self.solver.each(self.solver.predict, places)
            predicted = jnp.asarray(np.stack(solves), jnp.result_type(float))
        return predicted.reshape(*positions.shape[:-1], *self.data.shape)


class Misfit(eqx.Module):
    """`(1/m) <r, C^-1 r> / 2`, r = G(f) - y, as a function of the coefficients of f less its prior mean."""

    forward_map: ForwardMap
    data: Float[Array, "..."]
    noise: GaussianNoise
    prior: GaussianPrior
    mean: np.ndarray

    def __call__(self, position: Float[Array, " modes"]) -> FloatScalar:
        values = self.prior.basis.synthesize(position)
        predicted = self.forward_map(values + jnp.asarray(self.mean, values.dtype))
        check_shape(jnp.shape(predicted), self.data.shape)
        wide = max(
            predicted.dtype, self.data.dtype, key=lambda dtype: dtype.itemsize
        )  # not data to fewer bits
        residual = predicted.astype(wide) - self.data.astype(wide)
        return jnp.mean(self.noise.whitened(residual) ** 2) / 2


def solver_of(target: InverseProblem) -> ForwardSolver:
    """Return the solver of a problem: its own, or one that calls the forward map in JAX and its derivative."""
    if target.solver is not None:
        return target.solver
    dtype = target.prior.eigenvalues.dtype
    adjoint = transposed_derivative(target.forward_map, dtype)
    return ForwardSolver(
        compiled_map(target.forward_map, dtype),
        adjoint,
        target.data,
        target.noise,
        target.prior,
        target.prior_mean,
    )


def compiled_map(forward_map: ForwardMap, dtype: Any) -> NumpyMap:
    """Return a map in JAX as one on NumPy arrays."""
    compiled = jax.jit(forward_map)
    return lambda values: in_double(compiled(jnp.asarray(values, dtype)))


def transposed_derivative(forward_map: ForwardMap, dtype: Any) -> Adjoint:
    """Return `adjoint(values, residual)` of a map in JAX, by reverse-mode differentiation."""

    @jax.jit
    def product(values: Array, residual: Array) -> Array:
        predicted, backward = jax.vjp(forward_map, values)
        return backward(residual.astype(predicted.dtype))[0]

    return lambda values, residual: product(
        jnp.asarray(values, dtype), jnp.asarray(residual, dtype)
    )
