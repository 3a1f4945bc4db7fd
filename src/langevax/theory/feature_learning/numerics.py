"""Checks of arguments, calls on broadcast arrays, and roots that can be differentiated.

Roots are found by bisection or Newton steps and differentiated by the implicit
function theorem.
"""

import math
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
    activation,
    hermite_coefficients,
)

ROUNDING_SHARE = 1e-8
"""What is smaller, relative to the largest or to a standard deviation, counts as none."""

Numbers = float | int | np.ndarray
"""One number or an array; all such arguments of one call broadcast."""


class Errors(NamedTuple):
    """Errors of ridge regression in the limit; floats, or arrays of the broadcast shape."""

    risk: Any
    """E (f(x) - f*(x))^2 on new inputs, without the noise of labels."""
    training_error: Any
    """Mean squared residual of the noisy training labels, without the penalty."""


def centred(name: str, function: Function) -> tuple[Activation, Coefficients]:
    """An activation and its coefficients; raise unless its mean is 0."""
    made = activation(function)
    coefficients = hermite_coefficients(made)
    if abs(coefficients.mean) > ROUNDING_SHARE:
        called = (
            f'"centred {function}"'
            if isinstance(function, str)
            else f"activation({name}, centred=True)"
        )
        raise ValueError(
            f"{name} must have mean 0 under N(0, 1), got {function!r} with mean "
            f"{coefficients.mean:.4g}; pass {called}."
        )
    return made, coefficients


def broadcast_call(core: Callable[..., Any], *arrays: Any) -> Any:
    """`core` of the flattened, broadcast arrays in float64, its outputs as NumPy in the broadcast shape.

    Lengths are padded to powers of two, so that few programs are compiled.
    """
    values = np.broadcast_arrays(*(np.asarray(a, float) for a in arrays))
    shape = values[0].shape
    size = values[0].size
    padded = 1 << max(size - 1, 0).bit_length()
    flat = np.stack(
        [
            np.concatenate(
                [v.ravel(), np.full(padded - size, v.flat[0] if size else 1.0)]
            )
            for v in values
        ]
    )
    with jax.enable_x64():
        out = core(*jnp.asarray(flat))
    return jax.tree.map(
        lambda leaf: as_numpy(np.asarray(leaf)[:size].reshape(shape)), out
    )


def as_numpy(array: Any) -> Any:
    """Return a float for one number, else the array."""
    array = np.asarray(array)
    return float(array) if array.ndim == 0 else array


def bisected(
    is_below: Callable[[Array], Array], ends: tuple[Array, Array], halvings: int
) -> Array:
    """Traced: the middle of what is left of the interval where `is_below` changes from true to false."""

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        below = is_below(middle)
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = lax.fori_loop(0, halvings, halve, ends)
    return (low + high) / 2


def positive_root(
    function: Callable[[Array], Array],
    low: Array,
    high: Array,
    halvings: int = 64,
) -> Array:
    """Root of an increasing, elementwise function between two positive numbers, by bisection of the logarithm."""

    def on_logarithm(x: Array) -> Array:
        return function(jnp.exp(x))

    def solve(f: Callable[[Array], Array], start: tuple[Array, Array]) -> Array:
        del start

        return bisected(lambda x: f(x) < 0, ends, halvings)

    def tangent_solve(g: Callable[[Array], Array], y: Array) -> Array:
        return y / g(jnp.ones_like(y))  # elementwise, so diagonal

    ends = lax.stop_gradient((jnp.log(low), jnp.log(high)))
    return jnp.exp(lax.custom_root(on_logarithm, ends[0], solve, tangent_solve))  # pyright: ignore[reportArgumentType]


def newton_or_plain(
    residual: Callable[[Array], Array],
    step: Callable[[Array], Array],
    start: Array,
    longest: float = math.inf,
    *,
    max_iterations: int = 1000,
    tolerance: float = 1e-12,
    gain: float = 0.7,
    near: float = 1e-6,
) -> Array:
    """Return where the residual is 0: x - step(x) where that gains, else x - residual(x), the plain iteration.

    Not to be differentiated; the plain iteration must settle by itself, however slowly.

    Args:
        residual, step: of x; the residual is 0 and the step Newton's.
        start: first x.
        longest: Newton steps are cut at it.
        max_iterations, tolerance: most iterations, and the residual at which they end.
        gain: Newton steps are taken where they shrink the residual to this share.
        near: a residual at which only rounding can keep Newton from gaining, so that the iteration ends.
    """

    def advance(state: tuple[Array, ...]) -> tuple[Array, ...]:
        x, value, size, count, _ = state
        newton = x - jnp.clip(step(x), -longest, longest)
        newton_value = residual(newton)
        gains = jnp.max(jnp.abs(newton_value)) < gain * size
        x = jnp.where(gains, newton, x - value)
        value = jnp.where(gains, newton_value, residual(x))
        return x, value, jnp.max(jnp.abs(value)), count + 1, gains | (size > near)

    def is_open(state: tuple[Array, ...]) -> Array:
        return (state[2] > tolerance) & (state[3] < max_iterations) & state[4]

    value = residual(start)
    state = (
        start,
        value,
        jnp.max(jnp.abs(value)),
        jnp.asarray(0, jnp.int32),
        jnp.asarray(True),
    )
    return lax.while_loop(is_open, advance, state)[0]


def with_derivatives(step: Callable[[Array], Array], solution: Array) -> Array:
    """The solution, with the derivatives of the implicit function up to order three.

    Each Newton step doubles the order to which they are right, from none.
    """
    x = lax.stop_gradient(solution)
    for _ in range(2):
        x = x - step(x)
    return x
