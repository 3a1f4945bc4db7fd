"""Functions of one real number that losses share, to full digits in any precision."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

OMEGA_STEPS = 2
"""Quartic steps; the start is close enough that these reach rounding in float64 (the tests hold it)."""


def relative_entropy(
    s: Float[Array, "*k"],
    p: Float[Array, "*k"],
    log_p: Float[Array, "*k"],
    difference: Float[Array, "*k"],
) -> Float[Array, "*k"]:
    """s log(s/p) - s + p >= 0, given p, its logarithm (finite where p underflows) and an accurate s - p.

    Near s = p the series of Loader (Fast and accurate computation of binomial probabilities, 2000) in
    v = (s - p) / (s + p): (s - p) v + 2 s (v^3/3 + v^5/5 + ...); seven terms are exact for |v| < 0.1.
    """
    positive = s > 0
    normal = p >= jnp.finfo(p.dtype).tiny
    safe = jnp.where(positive, s, 1.0)
    log_ratio = jnp.where(
        normal, jnp.log(safe / jnp.where(normal, p, 1.0)), jnp.log(safe) - log_p
    )
    direct = jnp.where(positive, s * log_ratio, 0.0) - difference
    total = s + p
    v = difference / jnp.where(total > 0, total, 1.0)
    near = jnp.abs(v) < 0.1
    v = jnp.where(near, v, 0.0)
    tail = jnp.zeros_like(v)
    for odd in range(15, 1, -2):
        tail = v**2 * (tail + 1 / odd)
    return jnp.where(near, v * (difference + 2 * s * tail), direct)


def wright_omega(x: Float[Array, "*k"]) -> Float[Array, "*k"]:
    """The omega > 0 with omega + log(omega) = x, by the quartic steps of Fritsch, Shafer, Crowley (CACM 1973)."""
    floor = -50.0  # below, omega = e^x to rounding in any precision
    inside = jnp.maximum(x, floor)
    omega = jnp.where(
        inside > 1, inside - jnp.log(jnp.maximum(inside, 1.0)), jax.nn.sigmoid(inside)
    )
    for _ in range(OMEGA_STEPS):
        r = inside - omega - jnp.log(omega)
        q = (1 + omega) * (1 + omega + 2 * r / 3)
        omega = omega * (1 + r / (1 + omega) * (q - r / 2) / (q - r))
    return jnp.where(x > floor, omega, jnp.exp(jnp.minimum(x, floor)))
