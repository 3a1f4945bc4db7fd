"""Functions of one real number that losses and likelihoods share, to full digits in any precision."""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from scipy.special import bernoulli

OMEGA_STEPS = 2
"""Quartic steps; the start is close enough that these reach rounding in float64 (the tests hold it)."""

Numbers = Float[Array, "*k"]


def relative_entropy(
    s: Numbers,
    p: Numbers,
    log_p: Numbers,
    difference: Numbers,
) -> Numbers:
    """s log(s/p) - s + p >= 0, given p, its logarithm (finite where p underflows) and an accurate s - p.

    Near s = p the series of Loader (Fast and accurate computation of binomial probabilities, 2000) in
    v = (s - p) / (s + p): (s - p) v + 2 s (v^3/3 + v^5/5 + ...); seven terms are exact for |v| < 0.1.
    """
    positive = s > 0
    normal = p >= jnp.finfo(p.dtype).tiny
    safe = jnp.where(positive, s, 1.0)
    direct_ratio = jnp.log(safe / jnp.where(normal, p, 1.0))
    log_ratio = jnp.where(normal, direct_ratio, jnp.log(safe) - log_p)
    direct = jnp.where(positive, s * log_ratio, 0.0) - difference
    total = s + p
    v = difference / jnp.where(total > 0, total, 1.0)
    near = jnp.abs(v) < 0.1
    v = jnp.where(near, v, 0.0)
    tail = jnp.zeros_like(v)
    for odd in range(15, 1, -2):
        tail = v**2 * (tail + 1 / odd)
    return jnp.where(near, v * (difference + 2 * s * tail), direct)


def wright_omega(x: Numbers) -> Numbers:
    """The omega > 0 with omega + log(omega) = x, by the quartic steps of Fritsch, Shafer, Crowley (CACM 1973)."""
    floor = -50.0  # below, omega = e^x to rounding in any precision
    inside = jnp.maximum(x, floor)
    of_large = inside - jnp.log(jnp.maximum(inside, 1.0))
    omega = jnp.where(inside > 1, of_large, jax.nn.sigmoid(inside))
    for _ in range(OMEGA_STEPS):
        r = inside - omega - jnp.log(omega)
        q = (1 + omega) * (1 + omega + 2 * r / 3)
        omega = omega * (1 + r / (1 + omega) * (q - r / 2) / (q - r))
    below = jnp.exp(jnp.minimum(x, floor))
    return jnp.where(x > floor, omega, below)


def _stirling(x: jax.Array) -> tuple[int, list[float]]:
    """Return steps of the recurrence after which so many terms of Stirling's series have all digits of `x`.

    The coefficients are B_k / (k (k - 1)) for k = 2, 4, ..., with Bernoulli's numbers.
    """
    steps, terms = (10, 8) if x.dtype == jnp.float64 else (4, 3)
    numbers = bernoulli(2 * terms)
    return steps, [float(numbers[k] / (k * (k - 1))) for k in range(2, len(numbers), 2)]


@jax.custom_jvp
def beyond_stirling(x: jax.Array) -> jax.Array:
    """Return log gamma(x) less (x - 1/2) log x - x + log(2 pi) / 2, which tends to 0, for any x > 0.

    By the recurrence of the gamma function N times and Stirling's series there, with t = 1 / (x + N),

        (x + 1/2) log(1 + N/x) - N - log[(1 - t) (1 - 2t) ... (1 - (N-1) t)]  +  c_1 t + c_2 t^3 + ...

    The derivative is that of the formula: XLA's `lgamma` and `digamma` take several times as long.
    """
    steps, coefficients = _stirling(x)
    t = 1 / (x + steps)
    factors = functools.reduce(operator.mul, (1 - j * t for j in range(1, steps)))
    return (
        (x + 0.5) * jnp.log1p(steps / x)
        - steps
        - jnp.log(factors)
        + t * _polynomial(coefficients, t * t)
    )


@beyond_stirling.defjvp
def _(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,) = primals
    (tangent,) = tangents
    steps, coefficients = _stirling(x)
    t = 1 / (x + steps)
    factors = jnp.ones_like(x)
    slope = jnp.zeros_like(x)
    for j in range(1, steps):
        factor = 1 - j * t
        slope = slope * factor - j * factors
        factors = factors * factor
    of_series = _polynomial(
        [(2 * k + 1) * one for k, one in enumerate(coefficients)], t * t
    )
    derivative = (
        jnp.log1p(steps / x)
        - (x + 0.5) * steps * t / x
        + t * t * (slope / factors - of_series)
    )
    return beyond_stirling(x), derivative * tangent


def _polynomial(coefficients: Sequence[float], x: jax.Array) -> jax.Array:
    total = jnp.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = coefficient + x * total
    return total
