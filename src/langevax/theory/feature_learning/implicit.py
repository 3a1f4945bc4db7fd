"""Roots that can be differentiated: found by bisection or Newton, differentiated by the implicit function theorem."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

HALVINGS = 64
MAX_ITERATIONS, TOLERANCE = 1000, 1e-12
GAIN = 0.7
"""Newton steps are taken where they shrink the residual to this."""
NEAR = 1e-6
"""Here only rounding can keep Newton from gaining, and it ends."""


def positive_root(function: Callable[[jax.Array], jax.Array], low: jax.Array, high: jax.Array) -> jax.Array:
    """Root of an increasing, elementwise function between two positive numbers, by bisection of the logarithm."""

    def on_logarithm(x: jax.Array) -> jax.Array:
        return function(jnp.exp(x))

    def solve(f: Callable[[jax.Array], jax.Array], start: tuple[jax.Array, jax.Array]) -> jax.Array:
        del start

        def halve(_: Any, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            low, high = ends
            middle = (low + high) / 2
            below = f(middle) < 0
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        low, high = lax.fori_loop(0, HALVINGS, halve, ends)
        return (low + high) / 2

    def tangent_solve(g: Callable[[jax.Array], jax.Array], y: jax.Array) -> jax.Array:
        return y / g(jnp.ones_like(y))  # elementwise, so diagonal

    ends = lax.stop_gradient((jnp.log(low), jnp.log(high)))
    return jnp.exp(lax.custom_root(on_logarithm, ends[0], solve, tangent_solve))  # pyright: ignore[reportArgumentType]


def newton_or_plain(
    residual: Callable[[jax.Array], jax.Array],
    step: Callable[[jax.Array], jax.Array],
    start: jax.Array,
    longest: float = math.inf,
) -> jax.Array:
    """Where the residual is 0: x - step(x) where that gains, else x - residual(x), the plain iteration.

    Not to be differentiated; the plain iteration must settle by itself, however slowly.
    """

    def advance(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        x, value, size, count, _ = state
        newton = x - jnp.clip(step(x), -longest, longest)
        newton_value = residual(newton)
        gains = jnp.max(jnp.abs(newton_value)) < GAIN * size
        x = jnp.where(gains, newton, x - value)
        value = jnp.where(gains, newton_value, residual(x))
        return x, value, jnp.max(jnp.abs(value)), count + 1, gains | (size > NEAR)

    def is_open(state: tuple[jax.Array, ...]) -> jax.Array:
        return (state[2] > TOLERANCE) & (state[3] < MAX_ITERATIONS) & state[4]

    value = residual(start)
    state = start, value, jnp.max(jnp.abs(value)), jnp.asarray(0, jnp.int32), jnp.asarray(True)
    return lax.while_loop(is_open, advance, state)[0]


def with_derivatives(step: Callable[[jax.Array], jax.Array], solution: jax.Array) -> jax.Array:
    """The solution, with the derivatives of the implicit function up to order three.

    Each Newton step doubles the order to which they are right, from none.
    """
    x = lax.stop_gradient(solution)
    for _ in range(2):
        x = x - step(x)
    return x


def fixed_point(function: Callable[[jax.Array], jax.Array], start: jax.Array) -> jax.Array:
    """x = function(x) for a few unknowns, with derivatives up to order three."""

    def residual(x: jax.Array) -> jax.Array:
        return x - function(x)

    def step(x: jax.Array) -> jax.Array:
        return jnp.linalg.solve(jax.jacfwd(residual)(x), residual(x))

    return with_derivatives(step, newton_or_plain(residual, step, start))
