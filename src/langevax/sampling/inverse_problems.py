"""`inverse_problem`: the arguments checked, and made a target of `sample`, of known or unknown noise and prior."""

import os
import warnings
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from langevax import checks
from langevax.platforms import not_forked
from langevax.problems import tracing
from langevax.problems.problem import Function
from langevax.sampling.hyperparameters import NOISE, HierarchicalInverseProblem
from langevax.sampling.inverse import (
    ForwardMap,
    InverseProblem,
    Misfit,
    SolverWarning,
    compiled_map,
    transposed_derivative,
)
from langevax.sampling.noise import GaussianNoise
from langevax.sampling.solve_cache import SolveCache
from langevax.sampling.solver import Adjoint, ForwardSolver, check_shape, misfit_problem
from langevax.sampling.umbridge import UMBridgeModel
from langevax.spaces import GaussianPrior, MaternPrior
from langevax.spaces.matern_prior import Distribution, Hyperprior


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
            `langevax.sampling.GaussianNoise`, by a covariance; or a distribution of NumPyro of one unknown deviation.
        prior: `langevax.spaces.GaussianPrior`, or `MaternPrior`, whose parameters may have distributions too. With a
            distribution anywhere, positions are a dict: "function", and each unknown by its name.
        adjoint: `adjoint(values, residual) -> like values`, the transposed derivative of a map on NumPy arrays at
            `values` times an array like `data`. With it `sample` takes Hamiltonian dynamics and needs few solves to find
            the directions that data inform; without it, pCN and difference quotients.
        prior_mean: mean of the function, one number or values on the grid. Positions are coefficients of the
            function less this mean.
        parallel: number of threads in which chains of pCN and pCNL call a forward map on NumPy arrays at once; draws
            do not depend on it. It helps solvers that leave the interpreter while they work: those behind HTTP
            (`UMBridgeModel`), programs run by `subprocess`, Fortran and C that release the lock; loops in Python gain
            nothing. Several threads must be able to call the solver, which is tried here by calls at once.
        cache: a file, made where there is none, for the results of a forward map on NumPy arrays and of its adjoint.
            A call with the same numbers is read from it: the same script, started again after an interruption, goes on
            where it was. Calls test that the file is of this solver. `solves` counts what is read, too.

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
    not_forked()
    if not callable(forward_map):
        raise TypeError(
            "forward_map must be a function of the unknown function's values, got "
            f"{checks.shown(forward_map)}."
        )
    checks.function(
        "adjoint", adjoint, "(values, residual) -> like values", optional=True
    )
    parallel = checks.whole("parallel", parallel)
    if not isinstance(prior, GaussianPrior | MaternPrior):
        raise TypeError(
            "prior must be a langevax.spaces.GaussianPrior or MaternPrior, got "
            f"{type(prior).__name__}."
        )
    build = partial(
        _of_numbers, forward_map, data, adjoint, prior_mean, parallel, cache
    )
    hyperpriors = dict(prior.hyperpriors) if isinstance(prior, MaternPrior) else {}
    if isinstance(noise, Distribution):
        hyperpriors = {NOISE: Hyperprior(NOISE, noise)} | hyperpriors
        known_noise = None
    elif isinstance(noise, GaussianNoise):
        known_noise = noise
    else:
        checks.number("noise", noise, positive=True)
        known_noise = GaussianNoise(standard_deviation=noise)
    typical = {name: law.typical for name, law in hyperpriors.items()}
    level = known_noise or GaussianNoise(standard_deviation=typical[NOISE])
    fixed = (
        prior.at(**{name: typical[name] for name in prior.hyperpriors})
        if isinstance(prior, MaternPrior)
        else prior
    )
    base = build(level, fixed)
    if not hyperpriors:
        return base
    return HierarchicalInverseProblem(base, prior, hyperpriors, known_noise, build)


def _of_numbers(
    forward_map: ForwardMap,
    data: ArrayLike,
    adjoint: Adjoint | None,
    prior_mean: ArrayLike,
    parallel: int,
    cache: str | os.PathLike[str] | None,
    noise: GaussianNoise,
    prior: GaussianPrior,
) -> InverseProblem:
    """Return the problem of known noise and prior."""
    exact = checks.real_array("data", data)
    y = jnp.asarray(exact, prior.eigenvalues.dtype)
    checks.finite(
        "data",
        y,
        remedy="drop missing measurements, and their predictions from forward_map",
    )
    noise.check_size(y.shape)
    like = jax.ShapeDtypeStruct((prior.num_modes,), prior.eigenvalues.dtype)
    grid = jax.eval_shape(prior.basis.synthesize, like)
    if isinstance(forward_map, UMBridgeModel):
        forward_map.check_size(grid.size)
        adjoint = adjoint or forward_map.adjoint
    mean = _mean(prior_mean, grid.shape)
    temperature = 1 / y.size
    precision = prior.precision(temperature=temperature)
    dtype = _predicted_dtype(forward_map, grid)
    is_compiled = tracing.is_traced(forward_map, grid, _value)
    if is_compiled and (parallel > 1 or cache is not None):
        raise ValueError(
            "parallel and cache are for forward maps on NumPy arrays, and JAX runs "
            "this one; leave both out."
        )
    has_derivative = (
        adjoint is None and dtype is not None and jnp.issubdtype(dtype, jnp.floating)
    )
    if has_derivative and tracing.is_traced(forward_map, grid, jax.jvp):
        check_shape(jax.eval_shape(forward_map, grid).shape, y.shape)
        _check_reproducible(forward_map, grid)
        problem = Function(Misfit(forward_map, y, noise, prior, mean), precision)
        return InverseProblem(
            problem, temperature, prior, forward_map, exact, noise, mean
        )
    if has_derivative and tracing.is_traced(forward_map, grid, _vjp):
        adjoint = transposed_derivative(forward_map, grid.dtype)
    called = compiled_map(forward_map, grid.dtype) if is_compiled else forward_map
    solver = ForwardSolver(called, adjoint, exact, noise, prior, mean, parallel)
    if warning := solver.check(np.random.default_rng(0)):
        warnings.warn(warning, SolverWarning, stacklevel=3)
    if cache is not None:
        solver.use_cache(SolveCache(cache))
    problem = misfit_problem(solver, jnp.sqrt(prior.eigenvalues), precision)
    return InverseProblem(
        problem, temperature, prior, forward_map, exact, noise, mean, solver
    )


def _mean(prior_mean: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Return the checked mean of the prior."""
    mean = checks.real_array("prior_mean", prior_mean)
    checks.finite("prior_mean", mean, remedy="pass finite values")
    if mean.shape not in ((), shape):
        raise ValueError(
            f"prior_mean must be one number or of the grid's shape {shape}, got shape "
            f"{mean.shape}."
        )
    return mean


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
            "forward_map must return one array of predictions, got "
            f"{type(predicted).__name__}; stack them with jnp.stack."
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
            "forward_map is not deterministic: two calls compute with different "
            "constants; fix its random numbers, and leave out what it remembers "
            "between calls."
        )
