"""Inverse problems: an unknown function, a forward map, noisy data and a Gaussian process prior.

    y = G(f) + xi,      xi ~ N(0, C),      f ~ prior;      the posterior of f is exp(-potential(x) / temperature),
    potential(x) = (1/m) <r, C^-1 r> / 2 + 1/2 <x, x / mu> / m,      r = G(f) - y,      temperature = 1/m

with m data and x the coefficients, in the basis of the prior, of f less its prior mean. More modes add detail to f
without changing the step size or the mixing time (Muzellec, Sato, Massias, Suzuki, COLT 2022; Cotter et al.,
Statistical Science 2013).

G is written in JAX, or is any function on NumPy arrays, with an adjoint where there is one: a `ForwardSolver`.
"""

import os
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, ArrayLike, Float, Key

from langevax import checks
from langevax._typing import PyTree
from langevax.problems import tracing
from langevax.problems.problem import Function, Problem
from langevax.sampling.fields import drawn_fields, field_dataset, plot_fields
from langevax.sampling.hyperparameters import (
    HierarchicalInverseProblem,
    hierarchical_problem,
)
from langevax.sampling.marginals import Functional, marginals, modes
from langevax.sampling.noise import GaussianNoise
from langevax.sampling.solve_cache import SolveCache
from langevax.sampling.solver import Adjoint, ForwardSolver, NumpyMap, SolverMisfit
from langevax.sampling.umbridge import UMBridgeModel
from langevax.spaces import GaussianPrior, MaternPrior
from langevax.spaces.matern_prior import Distribution

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.figure import Figure

    from langevax.sampling.summary_table import SummaryTable

ForwardMap = Callable[[Any], Any]


class SolverWarning(UserWarning):
    """A forward map fails for parts of its prior, or noise and prior practically exclude the data."""


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

    def check_start(self, start: PyTree) -> None:
        """Raise unless `start` has one coefficient for each mode."""
        expected = (self.prior.num_modes,)
        if jnp.shape(start) != expected:
            raise ValueError(
                f"start must have shape {expected}, one coefficient per mode, got {checks.shown(start)}."
            )

    def functions(self, positions: ArrayLike) -> Float[Array, "*batch grid"]:
        """Values of the drawn functions on the grid of the basis."""
        values = self.prior.basis.synthesize(jnp.asarray(positions))
        return values + jnp.asarray(self.prior_mean, values.dtype)

    def fields(
        self,
        positions: ArrayLike,
        *,
        coverage: float = 0.9,
        places: ArrayLike | None = None,
    ) -> "xarray.Dataset":
        """Drawn functions on the coordinates of their grid, with `mean`, `deviation`, `low` and `high`.

        Args:
            positions: draws (chain, draw, modes).
            coverage: of the pointwise bands from `low` to `high`, in (0, 1).
            places: (nodes, dimension), where the nodes of a mesh or a graph are.
        """
        return field_dataset(
            self.prior.basis, self.functions(positions), coverage, places
        )

    def plot(
        self,
        positions: ArrayLike,
        *,
        coverage: float = 0.9,
        places: ArrayLike | None = None,
    ) -> "Figure":
        """Plot `fields`: a curve in its band, or maps of mean and deviation over the plane."""
        return plot_fields(self.fields(positions, coverage=coverage, places=places))

    def marginals(
        self,
        positions: ArrayLike,
        functionals: Mapping[str, Functional],
        *,
        key: Key[Array, ""],
        coverage: float = 0.9,
        num_prior_draws: int = 1000,
    ) -> "pandas.DataFrame | SummaryTable":
        """Return the laws of numbers computed from the function, a row each, beside those under the prior.

        `mean`, `sd`, `low` and `high` (of `coverage`), `mcse_mean`, `ess_bulk`, `ess_tail` and `r_hat` over draws, and
        `prior_mean`, `prior_sd` over `num_prior_draws` of the prior: where these are as wide, the data say nothing.

        Args:
            positions: draws (chain, draw, modes).
            functionals: functions of one drawn function, an array of NumPy in float64 of its values on the grid (for
                a `TensorProduct` with an axis a factor), by name; each returns one number.
            key: of the draws of the prior.
            coverage: of the intervals, in (0, 1).
            num_prior_draws: how many functions of the prior.

        Raises:
            TypeError: `functionals` is not a dict of functions.
            ValueError: a functional that returns several numbers, or one that is not a finite real one.
        """
        checks.typed_key(key)
        checks.positive_int("num_prior_draws", num_prior_draws, minimum=2)
        prior = self.prior.sample((1, num_prior_draws), key=key)
        shaped = [
            drawn_fields(self.prior.basis, self.functions(of), coverage)
            for of in (positions, prior)
        ]
        return marginals(shaped[0], shaped[1][0], functionals, coverage)

    def modes(self, positions: ArrayLike) -> "pandas.DataFrame | SummaryTable":
        """Return mean, sd, prior_sd of each coefficient, and `informed`, 1 - (sd / prior_sd)^2: the data's share."""
        return modes(
            np.asarray(positions, np.float64),
            np.asarray(self.prior.eigenvalues, np.float64),
        )

    def sample_predictive(self, positions: ArrayLike, *, key: Key[Array, ""]) -> Array:
        """Draw data that would be measured again: predictions of draws, a solve each, and noise.

        Raises ValueError where the noise is described by its precision as a function.
        """
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
            scales = np.sqrt(np.asarray(self.prior.eigenvalues, np.float64))
            predicted = np.stack(
                self.solver.each(
                    self.solver.predict, np.asarray(flat, np.float64) / scales
                )
            )
            predicted = jnp.asarray(predicted, jnp.result_type(float))
        return jax.tree.map(
            lambda a: a.reshape(*positions.shape[:-1], *a.shape[1:]), predicted
        )


class Misfit(eqx.Module):
    """`(1/m) <r, C^-1 r> / 2`, r = G(f) - y, as a function of the coefficients of f less its prior mean."""

    forward_map: ForwardMap
    data: Float[Array, "..."]
    prior: GaussianPrior
    mean: Float[Array, "..."]
    deviation: Float[Array, "..."] | None
    whitener: Float[Array, "m m"] | None
    operator: Callable | None

    def __init__(
        self,
        forward_map: ForwardMap,
        data: Array,
        noise: GaussianNoise,
        prior: GaussianPrior,
        mean: np.ndarray,
    ):
        as_numbers = lambda array: (
            None if array is None else jnp.asarray(array, data.dtype)
        )
        self.forward_map, self.data, self.prior = forward_map, data, prior
        self.mean = jnp.asarray(mean, data.dtype)
        self.deviation, self.whitener = (
            as_numbers(noise.deviation),
            as_numbers(noise.whitener),
        )
        self.operator = noise.operator

    def __call__(self, position: Float[Array, " modes"]) -> Float[Array, ""]:
        values = self.prior.basis.synthesize(position)
        predicted = self.forward_map(values + self.mean.astype(values.dtype))
        _check_shape(jnp.shape(predicted), self.data.shape)
        wide = max(
            predicted.dtype, self.data.dtype, key=lambda dtype: dtype.itemsize
        )  # not data to fewer bits
        residual = predicted.astype(wide) - self.data.astype(wide)
        if self.operator is not None:
            flat = residual.reshape(-1)
            return jnp.vdot(flat, self.operator(flat)) / (2 * flat.size)
        if self.whitener is not None:
            return (
                jnp.mean(
                    (self.whitener.astype(residual.dtype) @ residual.reshape(-1)) ** 2
                )
                / 2
            )
        assert self.deviation is not None
        return jnp.mean((residual / self.deviation.astype(residual.dtype)) ** 2) / 2


@overload
def inverse_problem(
    forward_map: ForwardMap,
    data: ArrayLike,
    noise: float | ArrayLike | GaussianNoise,
    prior: GaussianPrior,
    *,
    adjoint: Adjoint | None = None,
    prior_mean: ArrayLike = 0.0,
    parallel: int = 1,
    cache: str | os.PathLike[str] | None = None,
) -> InverseProblem: ...
@overload
def inverse_problem(
    forward_map: ForwardMap,
    data: ArrayLike,
    noise: Distribution,
    prior: GaussianPrior | MaternPrior,
    *,
    adjoint: Adjoint | None = None,
    prior_mean: ArrayLike = 0.0,
    parallel: int = 1,
    cache: str | os.PathLike[str] | None = None,
) -> HierarchicalInverseProblem: ...
@overload
def inverse_problem(
    forward_map: ForwardMap,
    data: ArrayLike,
    noise: float | ArrayLike | GaussianNoise | Distribution,
    prior: GaussianPrior | MaternPrior,
    *,
    adjoint: Adjoint | None = None,
    prior_mean: ArrayLike = 0.0,
    parallel: int = 1,
    cache: str | os.PathLike[str] | None = None,
) -> InverseProblem | HierarchicalInverseProblem: ...
def inverse_problem(
    forward_map: ForwardMap,
    data: ArrayLike,
    noise: float | ArrayLike | GaussianNoise | Distribution,
    prior: GaussianPrior | MaternPrior,
    *,
    adjoint: Adjoint | None = None,
    prior_mean: ArrayLike = 0.0,
    parallel: int = 1,
    cache: str | os.PathLike[str] | None = None,
) -> InverseProblem | HierarchicalInverseProblem:
    """Return the posterior of a function given noisy data, ready for `sample`.

    A forward map that JAX cannot trace, or not differentiate in both modes, runs as it is on NumPy arrays in float64,
    called from a loop outside of JAX. It is checked here by a few calls: for its shape, numbers that are
    not finite, an argument that it changes, two calls that differ, and an adjoint that is not its derivative's. In
    `sample` a call that raises or returns a number that is not finite is a rejected proposal, and counted.

    Args:
        forward_map: `forward_map(values) -> predictions`, from the values of the function on `prior.basis.grid` to
            predictions with the shape of `data`, linear or not: in JAX, any function on NumPy arrays, or a
            `langevax.sampling.UMBridgeModel`, which brings its adjoint.
        data: the measurements y, an array without NaN.
        noise: their standard deviation > 0, one number or an array like `data`; or a
            `langevax.sampling.GaussianNoise`, by a covariance, a factor of it or its precision; or a distribution of
            NumPyro of one unknown deviation.
        prior: `langevax.spaces.GaussianPrior`, or `MaternPrior`, whose parameters may have distributions too. With a
            distribution anywhere, positions are a dict: "function", and each unknown by its name.
        adjoint: `adjoint(values, residual) -> like values`, the transposed derivative of a map on NumPy arrays at
            `values` times an array like `data`. With it `sample` takes pCNL and needs few solves to find the directions
            that data inform; without it, pCN and difference quotients.
        prior_mean: mean of the function, one number or values on the grid. Positions are coefficients of the
            function less this mean.
        parallel: number of threads in which chains of pCN and pCNL call a forward map on NumPy arrays at once; draws
            do not depend on it. It helps solvers that leave the interpreter while they work: those behind HTTP
            (`UMBridgeModel`), programs run by `subprocess`, Fortran and C that release the lock; loops in Python gain
            nothing. Several threads must be able to call the solver, which is tried here by calls at once.
        cache: a file, made where there is none, for the results of a forward map on NumPy arrays and of its adjoint.
            A call with the same numbers is read from it: the same script, started again after an interruption, goes on
            where it was. Three calls test that the file is of this solver. `solves` counts what is read, too.

    Raises:
        SolveCacheError: `cache` cannot be opened, read or written.
        TypeError: `forward_map` or `adjoint` is not a function, or `prior` is not a `GaussianPrior`.
        ValueError: data that are empty or not finite; noise of another shape or not > 0; predictions whose shape is not
            that of the data; what the checks above refuse.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> from langevax import spaces
        >>> basis = spaces.Cosine(32)
        >>> prior = spaces.GaussianPrior(basis, spaces.spectra.matern(basis, length_scale=0.3))
        >>> running_mean = lambda values: jnp.cumsum(values)[3::4] / 32  # at eight places
        >>> data = jnp.linspace(0.125, 1.0, 8) ** 2 / 2  # of the identity
        >>> target = langevax.inverse_problem(running_mean, data, noise=0.01, prior=prior)
        >>> draws = langevax.sample(target, key=jax.random.key(0), num_samples=600)
        >>> mean = target.functions(draws.positions).mean((0, 1))
        >>> bool(jnp.sqrt(jnp.mean((mean - basis.grid) ** 2)) < 0.05)
        True
    """
    if not callable(forward_map):
        raise TypeError(
            f"forward_map must be a function of the unknown function's values, got {checks.shown(forward_map)}."
        )
    checks.function(
        "adjoint", adjoint, "(values, residual) -> like values", optional=True
    )
    parallel = checks.whole("parallel", parallel)
    if not isinstance(prior, GaussianPrior | MaternPrior):
        raise TypeError(
            f"prior must be a langevax.spaces.GaussianPrior or MaternPrior, got {type(prior).__name__}."
        )
    of_objects = isinstance(noise, list | tuple) or (
        isinstance(noise, np.ndarray) and noise.dtype == object
    )
    if of_objects and any(
        isinstance(entry, Distribution) for entry in np.ravel(np.asarray(noise, object))
    ):
        raise ValueError(
            "noise must be one distribution or numbers, got an array with distributions; where data differ in noise, "
            "divide them and their predictions by its deviations, and pass the distribution of the common factor."
        )
    if isinstance(noise, Distribution) or isinstance(prior, MaternPrior):
        if not isinstance(noise, GaussianNoise | Distribution):
            checks.number("noise", noise, positive=True)

        def build(noise: GaussianNoise, prior: GaussianPrior) -> InverseProblem:
            return inverse_problem(
                forward_map,
                data,
                noise,
                prior,
                adjoint=adjoint,
                prior_mean=prior_mean,
                parallel=parallel,
                cache=cache,
            )

        return hierarchical_problem(build, noise, prior)
    exact = checks.real_array("data", data)
    y = jnp.asarray(exact, prior.eigenvalues.dtype)
    checks.finite(
        "data",
        y,
        remedy="drop missing measurements, and their predictions from forward_map",
    )
    if not isinstance(noise, GaussianNoise):
        checks.number("noise", noise, positive=True)
        noise = GaussianNoise(deviation=noise)
    noise.check_size(y.shape)
    like = jax.ShapeDtypeStruct((prior.num_modes,), prior.eigenvalues.dtype)
    grid = jax.eval_shape(prior.basis.synthesize, like)
    if isinstance(forward_map, UMBridgeModel):
        forward_map.check_size(grid.size)
        adjoint = adjoint or forward_map.adjoint
    mean = checks.real_array("prior_mean", prior_mean)
    checks.finite("prior_mean", mean, remedy="pass finite values")
    if mean.shape not in ((), grid.shape):
        raise ValueError(
            f"prior_mean must be one number or of the grid's shape {grid.shape}, got shape {mean.shape}."
        )
    temperature, precision = 1 / y.size, prior.precision(ridge=1 / y.size)
    dtype = _predicted_dtype(forward_map, grid)
    is_compiled = tracing.is_traced(forward_map, grid, _value)
    if is_compiled and parallel > 1:
        raise ValueError(
            "parallel is for forward maps on NumPy arrays; JAX runs this one on all cores: leave parallel out."
        )
    if is_compiled and cache is not None:
        raise ValueError(
            "cache is for forward maps on NumPy arrays, and JAX runs this one: leave cache out."
        )
    has_derivative = (
        adjoint is None and dtype is not None and jnp.issubdtype(dtype, jnp.floating)
    )
    if has_derivative and tracing.is_traced(forward_map, grid, jax.jvp):
        _check_shape(jax.eval_shape(forward_map, grid).shape, y.shape)
        _check_reproducible(forward_map, grid)
        problem = Function(Misfit(forward_map, y, noise, prior, mean), precision)
        return InverseProblem(
            problem, temperature, prior, forward_map, exact, noise, mean
        )
    called = forward_map
    if has_derivative and tracing.is_traced(forward_map, grid, _vjp):
        adjoint = transposed_derivative(forward_map, grid.dtype)
    if is_compiled:
        called = _compiled(forward_map, grid.dtype)
    solver = ForwardSolver(called, adjoint, exact, noise, prior, mean, parallel)
    if warning := solver.check(np.random.default_rng(0)):
        warnings.warn(warning, SolverWarning, stacklevel=2)
    if cache is not None:
        solver.use_cache(SolveCache(cache))
    problem = SolverMisfit(
        precision=precision, solver=solver, scales=jnp.sqrt(prior.eigenvalues)
    )
    return InverseProblem(
        problem, temperature, prior, forward_map, exact, noise, mean, solver
    )


def solver_of(target: InverseProblem) -> ForwardSolver:
    """Return the solver of a problem: its own, or one that calls the forward map in JAX and its derivative."""
    if target.solver is not None:
        return target.solver
    dtype = target.prior.eigenvalues.dtype
    adjoint = transposed_derivative(target.forward_map, dtype)
    solver = ForwardSolver(
        _compiled(target.forward_map, dtype),
        adjoint,
        target.data,
        target.noise,
        target.prior,
        target.prior_mean,
    )
    solver.is_single = dtype.itemsize < 8
    return solver


def _compiled(forward_map: ForwardMap, dtype: Any) -> NumpyMap:
    """Return a map in JAX as one on NumPy arrays."""
    compiled = jax.jit(forward_map)
    return lambda values: np.asarray(compiled(jnp.asarray(values, dtype)))


def transposed_derivative(forward_map: ForwardMap, dtype: Any) -> Adjoint:
    """Return `adjoint(values, residual)` of a map in JAX, by reverse-mode differentiation."""

    @jax.jit
    def product(values: Array, residual: Array) -> Array:
        predicted, backward = jax.vjp(forward_map, values)
        return backward(residual.astype(predicted.dtype))[0]

    return lambda values, residual: product(
        jnp.asarray(values, dtype), jnp.asarray(residual, dtype)
    )


def _vjp(forward_map: ForwardMap, primals: tuple[Array], _: tuple[Array]) -> Array:
    predicted, backward = jax.vjp(forward_map, *primals)
    return backward(jnp.zeros_like(predicted))[0]


def _value(forward_map: ForwardMap, primals: tuple[Array], _: tuple[Array]) -> Array:
    return forward_map(*primals)


def _predicted_dtype(forward_map: ForwardMap, like: jax.ShapeDtypeStruct) -> Any:
    """Return that of the predictions of a map in JAX, None for others; raise where it is not one of real numbers."""
    try:
        predicted = jax.eval_shape(forward_map, like)
    except Exception:  # a function on NumPy arrays raises anything on a tracer
        return None
    if not isinstance(predicted, jax.ShapeDtypeStruct):
        raise TypeError(
            f"forward_map must return one array of predictions, got {type(predicted).__name__}; stack them with "
            "jnp.stack."
        )
    if jnp.issubdtype(predicted.dtype, jnp.complexfloating):
        raise TypeError(
            f"forward_map returned {predicted.dtype} numbers; return real ones."
        )
    return predicted.dtype


def _check_reproducible(forward_map: ForwardMap, like: jax.ShapeDtypeStruct) -> None:
    """Raise where two traces of a map differ in their constants, such as random numbers of NumPy."""
    if not tracing.is_reproducible(forward_map, like):
        raise ValueError(
            "forward_map is not deterministic: two calls compute with different constants; fix its random numbers, and "
            "leave out what it remembers between calls."
        )


def _check_shape(predicted: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if predicted != expected:
        raise ValueError(
            f"forward_map returned shape {predicted} for data of shape {expected}; it must predict each datum from "
            "the function's values on prior.basis.grid."
        )
