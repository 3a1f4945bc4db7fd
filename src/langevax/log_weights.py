"""Particles with logarithms of weights, up to a constant: their mean, how many are effective, and resampling.

Arrays of NumPy are computed by NumPy, in double precision where they are resampled; those of JAX by JAX, also inside a
program. Resampling turns weights into whole numbers, whose sums do not depend on the order of summation, so that the
particles drawn do not depend on how they are split over devices.
"""

from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int

LogWeights = Float[Array | np.ndarray, " particles"]
"""Up to a constant."""
Whole = Int[Array | np.ndarray, " _"]

LEAST_EFFECTIVE = 0.5
"""Share of the particles that weights have to leave effective; below it a cloud is resampled."""


def log_mean_exp(logs: Any, axis: int = -1) -> Any:
    """Return the logarithm of the mean of exp(logs) over an axis.

    >>> float(log_mean_exp(np.array([1000.0, 1000.0 + np.log(3)])).round(4))  # 1000 + log 2
    1000.6931
    """
    if _library(logs) is jnp:
        size = jnp.asarray(logs.shape[axis], logs.dtype)
        return logsumexp(logs, axis=axis) - jnp.log(size)
    largest = logs.max(axis, keepdims=True)
    shift = np.where(np.isfinite(largest), largest, 0)
    mean = np.exp(logs - shift).mean(axis)
    with np.errstate(divide="ignore"):
        mean = np.log(mean)
    return mean + shift.squeeze(axis)


def normalised(log_weights: Any, axis: int = -1) -> Any:
    """Return weights of sum one over an axis."""
    largest = log_weights.max(axis, keepdims=True)
    weights = _library(log_weights).exp(log_weights - largest)
    return weights / weights.sum(axis, keepdims=True)


def effective_share(log_weights: LogWeights) -> Any:
    """Return (sum w)^2 / sum w^2 over the number of particles; 0 of weights that are not finite."""
    xp = _library(log_weights)
    finite = xp.all(xp.isfinite(log_weights))
    shares = normalised(xp.where(finite, log_weights, 0))
    share = 1 / xp.sum(shares**2) / len(shares)
    share = xp.where(finite, share, 0)
    return share if xp is jnp else float(share)


def systematic(log_weights: LogWeights, offset: Any, size: int | None = None) -> Any:
    """Return (size,) indices of a systematic resample: each particle comes floor or ceil of size times its weight.

    Args:
        log_weights: (particles,).
        offset: in [0, 1), drawn uniformly; 1/2 needs no key.
        size: as many as there are particles by default.
    """
    weights, positions = integer_weights(log_weights, offset, size)
    return particles_at(_library(weights).cumsum(weights), positions)


def integer_weights(
    log_weights: LogWeights, offset: Any, size: int | None = None
) -> tuple[Any, Any]:
    """Return (weights, positions) as integers: of particles, and of children on the cumulative weights.

    Positions are a mean weight apart, the first at `offset` in [0, 1) of one. 30 bits tell a million particles apart
    better than the 24 of float32.
    """
    xp = _library(log_weights)
    if xp is np:
        log_weights = np.asarray(log_weights, np.float64)
    number = len(log_weights)
    size = number if size is None else size
    whole = xp.int64 if log_weights.dtype.itemsize > 4 else xp.int32
    one = 2 ** (xp.iinfo(whole).bits - 2) // size
    weights = xp.exp(log_weights - log_weights.max())
    scale = size / number * one / weights.mean()
    positions = xp.arange(size, dtype=whole) * one
    start = xp.asarray(offset * one).astype(whole)
    return xp.round(weights * scale).astype(whole), positions + start


def particles_at(sums: Whole, positions: Whole) -> Any:
    """Return the particles at `positions` on the cumulative weights `sums`."""
    xp = _library(sums)
    index = xp.searchsorted(sums, positions, side="right")
    return xp.minimum(index, len(sums) - 1).astype(xp.int32)


def _library(array: Any) -> ModuleType:
    return np if isinstance(array, np.ndarray) else jnp
