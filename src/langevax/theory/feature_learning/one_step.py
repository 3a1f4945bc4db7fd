"""Risk after one gradient step on the first layer, and the ridge and step size of least risk.

In Ba et al. (NeurIPS 2022), f(x) = a^T s(W^T x) / sqrt(N) with a ~ N(0, 1/N), the step is

    W1 = W0 - step_size sqrt(N) grad_W (1 / 2n) sum_i (y_i - f(x_i))^2

and the ridge that of 1/n |y - S w|^2 + ridge |w|^2 on features S = s(X W1): with Phi = S / sqrt(N) and
a = sqrt(N) w the same as 1/n |y - Phi a|^2 + (ridge / N) |a|^2. Optima are found on a grid over decades, then by
bisection on the derivative of the risk, which goes through the fixed points by the implicit function theorem.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from langevax.theory.feature_learning.activations import (
    Activation,
    Coefficients,
    Function,
)
from langevax.theory.feature_learning.large_step import (
    Tables,
    after_step,
    moments_after_step,
    readout_nodes,
    unified,
)
from langevax.theory.feature_learning.numerics import (
    Errors,
    Numbers,
    as_numpy,
    bisected,
    broadcast_call,
    centred,
)
from langevax.theory.feature_learning.small_step import ClosedForm, closed_form
from langevax.theory.lsi import nonnegative, positive

_closed_form = jax.jit(closed_form)

Named = tuple[Activation, Activation, Coefficients, Coefficients, str, bool]
"""Student, teacher, their coefficients, readout, unit_rows."""
SixNumbers = tuple[Numbers, Numbers, Numbers, Numbers, Numbers, Numbers]


def _checked(
    samples_per_dim: Numbers,
    neurons_per_dim: Numbers,
    ridge: Numbers,
    step_size: Numbers,
    noise: Numbers,
    gradient_samples_per_dim: Numbers | None,
) -> SixNumbers:
    """Return the numbers of one gradient step and its ridge; the gradient has as many samples by default."""
    if gradient_samples_per_dim is None:
        gradient_samples_per_dim = samples_per_dim
    positive(
        samples_per_dim=samples_per_dim,
        neurons_per_dim=neurons_per_dim,
        ridge=ridge,
        gradient_samples_per_dim=gradient_samples_per_dim,
    )
    nonnegative(step_size=step_size, noise=noise)
    sizes = samples_per_dim, neurons_per_dim
    return *sizes, ridge, step_size, noise, gradient_samples_per_dim


def errors_one_step(
    samples_per_dim: Numbers,
    neurons_per_dim: Numbers,
    ridge: Numbers,
    step_size: Numbers,
    student: Function,
    teacher: Function,
    noise: Numbers,
    gradient_samples_per_dim: Numbers | None = None,
    num_neurons: Numbers | None = None,
    readout: str = "gaussian",
    unit_rows: bool = False,
) -> Errors:
    """Ridge errors on the features after one step of gradient descent on the first layer, as n / d and N / d are fixed.

    x ~ N(0, I_d), y = teacher(<x, beta>) + noise xi, and with a ~ N(0, 1/N), W0 ~ N(0, 1/d) of shape (d, N)

        W1 = W0 - step_size sqrt(N) grad_W 1/(2 n0) sum_i (y_i - a^T student(W^T x_i) / sqrt(N))^2      at W = W0
        w  = argmin 1/n sum_i (y_i - <w, student(W1^T x_i)>)^2 + ridge |w|^2      on n new samples

    n0 / d = `gradient_samples_per_dim`, by default that of the ridge. docs/feature_learning.md converts other papers'
    step sizes and ridges. Without `num_neurons` it is the closed form, for steps of size Theta(1), any `readout`
    and infinitely many neurons; microseconds a point. With `num_neurons` it is the unified theory, for any step, of order
    sqrt(num_neurons) as well; milliseconds a point. A `readout` is gaussian, constant or rademacher; `unit_rows` is
    for neurons that start with length 1 exactly. A teacher without a linear part (s1 = 0) has nothing that one step
    could find, and the risk is that of initial features but for their spread.

    Raises:
        ValueError: numbers out of range, a student or teacher whose mean is not 0, an unknown readout.
        RuntimeError: the unified theory found no fixed point, as at n = N with a ridge of 1e-7 and below.

    >>> setting = dict(neurons_per_dim=2.0, ridge=1e-3, student="erf", teacher="erf", noise=0.1)
    >>> errors_one_step(np.array([1.0, 4.0]), step_size=1.0, **setting).risk.round(6)
    array([0.308251, 0.14586 ])
    >>> round(errors_one_step(4.0, step_size=1.0, **setting).training_error, 4)
    0.0409
    >>> long = errors_one_step(8.0, step_size=1000**0.5, num_neurons=1000, **setting)
    >>> round(long.risk, 5)  # below the kernels' floor of 0.04015
    0.03111
    """
    readout_nodes(readout)
    sizes = samples_per_dim, neurons_per_dim
    numbers = _checked(*sizes, ridge, step_size, noise, gradient_samples_per_dim)
    if num_neurons is None:
        closed = _closed(numbers, student, teacher)
        return Errors(closed.risk, closed.training_error)
    positive(num_neurons=num_neurons)
    named = (*student_and_teacher(student, teacher), readout, unit_rows)
    return _long_step_errors(named, numbers, num_neurons)


def _closed(numbers: SixNumbers, student: Function, teacher: Function) -> ClosedForm:
    return broadcast_call(_closed_form, *numbers, *_coefficients(student, teacher))


def improvement(
    samples_per_dim: Numbers,
    neurons_per_dim: Numbers,
    ridge: Numbers,
    step_size: Numbers,
    student: Function,
    teacher: Function,
    noise: Numbers,
    gradient_samples_per_dim: Numbers | None = None,
) -> float | np.ndarray:
    """Risk without the step minus risk with it, arguments as in `errors_one_step`: delta of Ba et al., Theorem 5.

    Never negative, and zero only without a step or where student or teacher has no linear part; computed as one
    product, so that small gains keep their digits. It vanishes as `neurons_per_dim` grows.

    >>> round(improvement(4.0, 2.0, 1e-3, 1.0, "erf", "erf", noise=0.1), 6)
    0.004879
    """
    sizes = samples_per_dim, neurons_per_dim
    numbers = _checked(*sizes, ridge, step_size, noise, gradient_samples_per_dim)
    return as_numpy(_closed(numbers, student, teacher).improvement)


def _long_step_errors(
    named: Named, numbers: SixNumbers, num_neurons: Numbers
) -> Errors:
    """`unified` at every point, one after the other."""

    def core(*numbers: Array) -> Errors:
        samples, neurons, ridge, step, noise, gradient_samples, total = numbers
        tables = _tables(named, step, total, noise, gradient_samples)
        return _unified(tables, samples, neurons, total, ridge, noise)

    errors = broadcast_call(core, *numbers, num_neurons)
    lost = np.isnan(errors.risk)
    if np.any(lost):
        ridges = np.broadcast_to(numbers[2], np.shape(lost))[lost]
        raise RuntimeError(
            f"no fixed point was found at ridge = {np.max(ridges):.3g}, which happens "
            "for tiny ridges where samples and neurons are equally many; pass a larger "
            "ridge, or samples_per_dim a little off neurons_per_dim."
        )
    return errors


def student_and_teacher(
    student: Function, teacher: Function
) -> tuple[Activation, Activation, Coefficients, Coefficients]:
    """Both with their coefficients; raise unless centred, and where E student'^2 is not finite."""
    (s, of_student) = centred("student", student)
    (target, of_teacher) = centred("teacher", teacher)
    if not np.isfinite(of_student.slope_rest):
        raise ValueError(
            "student jumps, so that its gradient does not exist; pass a smooth one."
        )
    return s, target, of_student, of_teacher


def tables_of_point(
    named: Named,
    step: Array,
    total: Array,
    noise: Array,
    gradient_samples: Array,
) -> Tables:
    """Tables of student, teacher, their coefficients, readout, unit_rows at one point."""
    student, teacher, of_student, of_teacher, readout, unit_rows = named
    readouts, shares = readout_nodes(readout)
    aligned = after_step(
        of_student, of_teacher, readouts, step, total, noise, gradient_samples
    )
    return moments_after_step(student, teacher, aligned, shares, unit_rows)


@functools.partial(jax.jit, static_argnums=0)
def _tables(named: Named, *points: Array) -> Tables:
    """Tables of all points (step size, number of neurons, noise, gradient's samples per dimension), stacked."""
    return jax.lax.map(lambda point: tables_of_point(named, *point), points)


@jax.jit
def _unified(tables: Tables, *numbers: Array) -> Errors:
    return jax.lax.map(
        lambda point: unified(*point[:-1], tables=point[-1]), (*numbers, tables)
    )


class Optimum(NamedTuple):
    """Minimiser and least risk; an end of the range where the risk still falls at that end."""

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
    bounds: tuple[float, float] = (1e-8, 1e4),
) -> Optimum:
    """The ridge within `bounds` of least risk; other arguments as in `errors_one_step`.

    By the closed form, or where `num_neurons` is given by the unified theory.

    >>> best = optimal_ridge(2.0, 2.0, 1.0, "erf", "erf", noise=0.1)  # where samples are as many as neurons
    >>> round(best.at, 4), round(best.risk, 4)
    (0.0648, 0.1436)
    """
    positive(bounds=bounds)
    sizes = samples_per_dim, neurons_per_dim
    *_, gradient_samples = _checked(
        *sizes, 1.0, step_size, noise, gradient_samples_per_dim
    )
    numbers = (*bounds, *sizes, step_size, noise, gradient_samples)
    if num_neurons is None:
        coefficients = _coefficients(student, teacher)
        return broadcast_call(_closed_ridge, *numbers, *coefficients)
    positive(num_neurons=num_neurons)
    named = (*student_and_teacher(student, teacher), readout, unit_rows)

    def core(*numbers: Array) -> Optimum:
        low, high, samples, neurons, step, noise, gradient_samples, total = numbers
        tables = _tables(named, step, total, noise, gradient_samples)
        return _unified_ridge(low, high, samples, neurons, total, noise, tables)

    return broadcast_call(core, *numbers, num_neurons)


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
    bounds: tuple[float, float] = (1e-3, 1e3),
) -> Optimum:
    """The step size within `bounds` of least risk by the unified theory, other arguments as in `errors_one_step`.

    The closed form has no optimum: in all cases tried, longer steps gain more.

    >>> best = optimal_step_size(8.0, 2.0, 1e-2, "erf", "erf", noise=0.1, num_neurons=1000, readout="constant")
    >>> round(best.at, 1), round(best.risk, 4)
    (97.5, 0.0194)
    """
    positive(bounds=bounds, num_neurons=num_neurons)
    sizes = samples_per_dim, neurons_per_dim
    *_, gradient_samples = _checked(*sizes, ridge, 1.0, noise, gradient_samples_per_dim)
    named = (*student_and_teacher(student, teacher), readout, unit_rows)
    numbers = (*bounds, *sizes, ridge, noise, gradient_samples, num_neurons)
    return broadcast_call(functools.partial(_unified_step, named), *numbers)


def _coefficients(
    student: Function, teacher: Function
) -> tuple[float, float, float, float]:
    (_, s) = centred("student", student)
    (_, target) = centred("teacher", teacher)
    return s.linear, s.rest, target.linear, target.rest


@jax.jit
def _closed_ridge(*numbers: Array) -> Optimum:
    def one(
        low: Array,
        high: Array,
        samples: Array,
        neurons: Array,
        step: Array,
        *others: Array,
    ) -> Optimum:
        return _least(
            lambda ridge: closed_form(samples, neurons, ridge, step, *others).risk,
            low,
            high,
        )

    return jax.vmap(one)(*numbers)


@jax.jit
def _unified_ridge(*numbers_and_tables: Any) -> Optimum:
    def one(point: tuple[Any, ...]) -> Optimum:
        low, high, samples, neurons, total, noise, tables = point
        return _least(
            lambda ridge: unified(samples, neurons, total, ridge, noise, tables).risk,
            low,
            high,
        )

    return lax.map(one, numbers_and_tables)


@functools.partial(jax.jit, static_argnums=0)
def _unified_step(named: Named, *numbers: Array) -> Optimum:
    def one(point: tuple[Array, ...]) -> Optimum:
        low, high, samples, neurons, ridge, noise, gradient_samples, total = point

        def risk(step: Array) -> Array:
            tables = tables_of_point(named, step, total, noise, gradient_samples)
            return unified(samples, neurons, total, ridge, noise, tables).risk

        return _least(risk, low, high)

    return lax.map(one, numbers)


def _least(
    risk: Callable[[Array], Array],
    low: Array,
    high: Array,
    num_points: int = 33,
    halvings: int = 40,
) -> Optimum:
    """Traced: the best of the grid, then where the derivative changes sign between its neighbours."""

    def at(x: Array) -> Array:
        return risk(jnp.exp(x))

    grid = jnp.linspace(jnp.log(low), jnp.log(high), num_points)
    best = jnp.argmin(lax.map(at, grid))
    low = grid[jnp.maximum(best - 1, 0)]
    high = grid[jnp.minimum(best + 1, num_points - 1)]

    def falls(x: Array) -> Array:
        return jax.jvp(at, (x,), (jnp.ones_like(x),))[1] < 0

    best = jnp.exp(bisected(falls, (low, high), halvings))
    return Optimum(best, risk(best))
