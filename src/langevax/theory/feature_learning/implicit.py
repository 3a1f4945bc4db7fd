"""Roots that can be differentiated: found by bisection or Newton, differentiated by the implicit function theorem."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

HALVINGS = 64


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
