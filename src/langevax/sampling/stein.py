"""Kernel Stein discrepancy: how far draws are from a law of which only the score is known.

    KSD^2 = mean over pairs of  <s(x), s(y)> k + <s(x), grad_y k> + <s(y), grad_x k> + tr grad_x grad_y k

with s = grad log p and the inverse multiquadric k = (1 + |x - y|^2)^(-1/2), for which KSD tends to 0 exactly where the
draws tend to p (Gorham and Mackey, ICML 2017). Cost: M^2 d in blocks, memory M * block.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from langevax.problems import blocks

BLOCK = 256


def stein_discrepancy(points: Float[Array, "m d"], scores: Float[Array, "m d"]) -> float:
    """KSD of M draws, all pairs included (the V-statistic, which is never negative).

    Args:
        points: (M, d), best in coordinates in which the law is about round and of unit scale.
        scores: (M, d): -grad potential / temperature at each, in the same coordinates.

    Raises:
        ValueError: shapes that are not one (M, d).

    Example:
        >>> import jax
        >>> x = jax.random.normal(jax.random.key(0), (200, 2))
        >>> stein_discrepancy(x, -x) < stein_discrepancy(x + 1, -(x + 1)) / 3
        True
    """
    if points.ndim != 2 or points.shape != scores.shape:
        raise ValueError(f"points and scores must have one shape (M, d), got {points.shape} and {scores.shape}.")
    return float(_discrepancy(points, scores))


@eqx.filter_jit
def _discrepancy(points: Array, scores: Array) -> Float[Array, ""]:
    dimension = jnp.asarray(points.shape[1], points.dtype)

    def row(x: Array, s: Array) -> Float[Array, ""]:
        r = x - points
        square = jnp.sum(r * r, axis=1)
        k = jax.lax.rsqrt(1 + square)
        # grad_x k = -r k^3, grad_y k = r k^3, tr grad_x grad_y k = d k^3 - 3 |r|^2 k^5
        slope = k**3 * (r @ s - jnp.sum(r * scores, axis=1))
        return jnp.mean(scores @ s * k + slope + dimension * k**3 - 3 * square * k**5)

    rows = blocks.block_map(lambda pair: jax.vmap(row)(*pair), (points, scores), BLOCK)
    return jnp.sqrt(jnp.maximum(jnp.mean(rows), 0))
