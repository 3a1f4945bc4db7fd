"""The ridge, and the step size, of least risk: a grid over decades, then bisection on the derivative of the risk.

The derivative goes through the fixed points by the implicit function theorem. Both searches are over the logarithm.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from langevax.theory.feature_learning.arguments import Numbers, broadcast_call, centred, check_numbers, positive
from langevax.theory.feature_learning.closed import closed_form
from langevax.theory.feature_learning.hermite import Function, is_traceable
from langevax.theory.feature_learning.long_step import make_tables, student_and_teacher, tables_of_point
from langevax.theory.feature_learning.unified import unified

RIDGES, STEPS = (1e-8, 1e4), (1e-3, 1e3)
GRID, HALVINGS = 33, 40


class Optimum(NamedTuple):
    """Where the risk is least, and the risk there; an end of the range where it still falls at that end."""

    at: Any
    risk: Any


def optimal_ridge(
    samples_per_dim: Numbers,
    neurons_per_dim: Numbers,
    step_size: Numbers,
    student: Function,
    teacher: Function,
    noise: Numbers,
    gradient_samples_per_dim: Numbers | None = None,
    num_neurons: Numbers | None = None,
    readout: str = "gaussian",
    unit_rows: bool = False,
    bounds: tuple[float, float] = RIDGES,
) -> Optimum:
    """The ridge within `bounds` of least risk; other arguments as in `risk_one_step`.

    By the closed form, or where `num_neurons` is given by the unified theory.

    >>> best = optimal_ridge(2.0, 2.0, 1.0, "erf", "erf", noise=0.1)  # where samples are as many as neurons
    >>> round(best.at, 4), round(best.risk, 4)
    (0.0648, 0.1436)
    """
    if gradient_samples_per_dim is None:
        gradient_samples_per_dim = samples_per_dim
    positive(bounds=bounds)
    check_numbers(samples_per_dim, neurons_per_dim, 1.0, step_size, noise, gradient_samples_per_dim)
    if num_neurons is None:
        coefficients = _coefficients(student, teacher)
        numbers = (samples_per_dim, neurons_per_dim, step_size, noise, gradient_samples_per_dim)
        return broadcast_call(_closed_ridge, *bounds, *numbers, *coefficients)
    positive(num_neurons=num_neurons)
    named = (*student_and_teacher(student, teacher), readout, unit_rows)

    def core(*numbers: jax.Array) -> Optimum:
        low, high, samples, neurons, step, noise, gradient_samples, total = numbers
        tables = make_tables(named, step, total, noise, gradient_samples)
        return _unified_ridge(low, high, samples, neurons, total, noise, tables)

    numbers = (samples_per_dim, neurons_per_dim, step_size, noise, gradient_samples_per_dim, num_neurons)
    return broadcast_call(core, *bounds, *numbers)


def optimal_step_size(
    samples_per_dim: Numbers,
    neurons_per_dim: Numbers,
    ridge: Numbers,
    student: Function,
    teacher: Function,
    noise: Numbers,
    gradient_samples_per_dim: Numbers | None = None,
    *,
    num_neurons: Numbers,
    readout: str = "gaussian",
    unit_rows: bool = False,
    bounds: tuple[float, float] = STEPS,
) -> Optimum:
    """The step size within `bounds` of least risk by the unified theory, other arguments as in `risk_one_step`.

    The closed form has no such: its steps only gain, the more the longer they are in all that was tried.

    Raises:
        ValueError: a student or teacher that JAX cannot differentiate.

    >>> best = optimal_step_size(8.0, 2.0, 1e-2, "erf", "erf", noise=0.1, num_neurons=1000, readout="constant")
    >>> round(best.at, 1), round(best.risk, 4)
    (97.5, 0.0194)
    """
    if gradient_samples_per_dim is None:
        gradient_samples_per_dim = samples_per_dim
    positive(bounds=bounds, num_neurons=num_neurons)
    check_numbers(samples_per_dim, neurons_per_dim, ridge, 1.0, noise, gradient_samples_per_dim)
    named = (*student_and_teacher(student, teacher), readout, unit_rows)
    for name, function in (("student", named[0]), ("teacher", named[1])):
        if not is_traceable(function):
            raise ValueError(f"{name} must be a function of JAX to be differentiated; pass jnp.tanh, not np.tanh.")
    numbers = (samples_per_dim, neurons_per_dim, ridge, noise, gradient_samples_per_dim, num_neurons)
    return broadcast_call(functools.partial(_unified_step, named), *bounds, *numbers)


def _coefficients(student: Function, teacher: Function) -> tuple[float, float, float, float]:
    (_, s), (_, target) = centred("student", student), centred("teacher", teacher)
    return s.linear, s.rest, target.linear, target.rest


@jax.jit
def _closed_ridge(*numbers: jax.Array) -> Optimum:
    def one(low: Any, high: Any, samples: Any, neurons: Any, step: Any, *others: jax.Array) -> Optimum:
        return _least(lambda ridge: closed_form(samples, neurons, ridge, step, *others).risk, low, high)

    return jax.vmap(one)(*numbers)


@jax.jit
def _unified_ridge(*numbers_and_tables: Any) -> Optimum:
    def one(point: tuple[Any, ...]) -> Optimum:
        low, high, samples, neurons, total, noise, tables = point
        return _least(lambda ridge: unified(samples, neurons, total, ridge, noise, tables).risk, low, high)

    return lax.map(one, numbers_and_tables)


@functools.partial(jax.jit, static_argnums=0)
def _unified_step(named: Any, *numbers: jax.Array) -> Optimum:
    def one(point: tuple[jax.Array, ...]) -> Optimum:
        low, high, samples, neurons, ridge, noise, gradient_samples, total = point

        def risk(step: jax.Array) -> jax.Array:
            tables = tables_of_point(named, jnp, step, total, noise, gradient_samples)
            return unified(samples, neurons, total, ridge, noise, tables).risk

        return _least(risk, low, high)

    return lax.map(one, numbers)


def _least(risk: Callable[[jax.Array], jax.Array], low: jax.Array, high: jax.Array) -> Optimum:
    """Traced: the best of the grid, then where the derivative changes sign between its neighbours."""

    def at(x: jax.Array) -> jax.Array:
        return risk(jnp.exp(x))

    grid = jnp.linspace(jnp.log(low), jnp.log(high), GRID)
    best = jnp.argmin(lax.map(at, grid))
    ends = grid[jnp.maximum(best - 1, 0)], grid[jnp.minimum(best + 1, GRID - 1)]

    def halve(_: Any, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        falls = jax.jvp(at, (middle,), (jnp.ones_like(middle),))[1] < 0
        return jnp.where(falls, middle, low), jnp.where(falls, high, middle)

    low, high = lax.fori_loop(0, HALVINGS, halve, ends)
    found = jnp.exp((low + high) / 2)
    return Optimum(found, risk(found))
