"""Weighted clouds: particles that stand for a law together with the logarithms of their weights."""

import jax.numpy as jnp
from jax import random
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int, Key

LogWeights = Float[Array, " particles"]
"""Up to a constant."""


def systematic(key: Key[Array, ""], log_weights: LogWeights) -> Int[Array, " particles"]:
    """Indices of a systematic resample: each particle comes floor or ceil of M times its weight."""
    return _drawn(log_weights, random.uniform(key, (), log_weights.dtype))


def evenly(log_weights: LogWeights) -> Int[Array, " particles"]:
    """The same without chance, for a cloud that is only looked at."""
    return _drawn(log_weights, jnp.asarray(0.5, log_weights.dtype))


def effective_size(log_weights: LogWeights) -> Float[Array, ""]:
    """(sum w)^2 / sum w^2."""
    return jnp.exp(2 * logsumexp(log_weights) - logsumexp(2 * log_weights))


def log_mean_exp(log_weights: Float[Array, "*clouds particles"]) -> Float[Array, "*clouds"]:
    """log of the mean weight, of one cloud or of each."""
    return logsumexp(log_weights, axis=-1) - jnp.log(jnp.asarray(log_weights.shape[-1], log_weights.dtype))


def ladder(log_weights: LogWeights, offset: Array) -> tuple[Int[Array, " particles"], Int[Array, " particles"]]:
    """(steps, places) in whole numbers: particle r stands on step r, as high as it weighs, and child j at place j.

    Places are a mean step apart, the first at `offset` in [0, 1) of one. Sums of whole numbers are the same in any
    order, so that who is drawn does not depend on where a cloud is cut; and their 30 bits tell a million particles
    apart better than the 24 of float32.
    """
    size, whole = len(log_weights), jnp.int64 if log_weights.dtype.itemsize > 4 else jnp.int32
    one = 2 ** (jnp.iinfo(whole).bits - 2) // size
    weights = jnp.exp(log_weights - jnp.max(log_weights))
    steps = jnp.round(weights * (one / jnp.mean(weights))).astype(whole)
    return steps, jnp.arange(size, dtype=whole) * one + (offset * one).astype(whole)


def under(sums: Int[Array, " particles"], places: Int[Array, " children"]) -> Int[Array, " children"]:
    """The particles on whose steps the places lie; `sums` are those of the steps up to each."""
    return jnp.minimum(jnp.searchsorted(sums, places, side="right"), len(sums) - 1).astype(jnp.int32)


def _drawn(log_weights: LogWeights, offset: Array) -> Int[Array, " particles"]:
    steps, places = ladder(log_weights, offset)
    return under(jnp.cumsum(steps), places)
