"""Weighted clouds: particles that stand for a law together with the logarithms of their weights."""

import jax
import jax.numpy as jnp
from jax import random
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int, Key

LogWeights = Float[Array, " particles"]
"""Up to a constant."""


def systematic(key: Key[Array, ""], log_weights: LogWeights) -> Int[Array, " particles"]:
    """Indices of a systematic resample: each particle comes floor or ceil of M times its weight."""
    return _at_places(log_weights, random.uniform(key, (), log_weights.dtype))


def evenly(log_weights: LogWeights) -> Int[Array, " particles"]:
    """The same without chance, for a cloud that is only looked at."""
    return _at_places(log_weights, jnp.asarray(0.5, log_weights.dtype))


def effective_size(log_weights: LogWeights) -> Float[Array, ""]:
    """(sum w)^2 / sum w^2."""
    return jnp.exp(2 * logsumexp(log_weights) - logsumexp(2 * log_weights))


def log_mean_exp(log_weights: LogWeights) -> Float[Array, ""]:
    """log of the mean weight."""
    return logsumexp(log_weights) - jnp.log(jnp.asarray(len(log_weights), log_weights.dtype))


def recentred(log_weights: LogWeights) -> tuple[LogWeights, Float[Array, ""], Float[Array, ""]]:
    """The same weights with mean one, the log of the mean they had, and their effective share of the particles."""
    top = jnp.max(log_weights)
    weights = jnp.exp(log_weights - top)
    mean = jnp.mean(weights)
    log_mean = top + jnp.log(mean)
    return log_weights - log_mean, log_mean, mean**2 / jnp.mean(weights**2)


def _at_places(log_weights: LogWeights, offset: Array) -> Int[Array, " particles"]:
    size = log_weights.shape[0]
    cumulative = jnp.cumsum(jax.nn.softmax(log_weights))
    places = (jnp.arange(size, dtype=jnp.int32).astype(log_weights.dtype) + offset) / size
    return jnp.minimum(jnp.searchsorted(cumulative / cumulative[-1], places), size - 1).astype(jnp.int32)
