"""Normalised resolvent traces of W (d x N, independent N(0, 1/d) entries) in the limit N / d -> neurons_per_dim.

Nothing here subtracts numbers that nearly agree, whatever the size of w and of the ratio.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Traces(NamedTuple):
    """Of a W W^T + w (d x d) and a W^T W + w (N x N), for a >= 0 and w > 0."""

    outer: jax.Array
    """tr (a W W^T + w)^-1 / d"""
    inner: jax.Array
    """tr (a W^T W + w)^-1 / N"""
    outer_filled: jax.Array
    """tr a W W^T (a W W^T + w)^-1 / d"""
    inner_filled: jax.Array
    """tr a W^T W (a W^T W + w)^-1 / N"""


def traces(a: jax.Array, w: jax.Array, neurons_per_dim: jax.Array) -> Traces:
    """With M the outer trace, which solves a w M^2 + (w + a (neurons_per_dim - 1)) M = 1, and m = a M:

        inner = 1 / (w (1 + m)),   outer_filled = neurons_per_dim m / (1 + m),   inner_filled = m / (1 + m)

    Traced; all arguments broadcast.
    """
    middle = w + a * (neurons_per_dim - 1)
    root = jnp.sqrt(middle**2 + 4 * a * w)
    is_positive = middle > 0
    aw = jnp.where(is_positive, 1, a * w)
    outer = jnp.where(is_positive, 2 / jnp.where(is_positive, middle + root, 1), (root - middle) / (2 * aw))
    m = a * outer
    return Traces(outer, 1 / (w * (1 + m)), neurons_per_dim * m / (1 + m), m / (1 + m))
