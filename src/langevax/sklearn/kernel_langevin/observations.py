"""Observations given values of the function: noise of residuals, probabilities of classes."""

import numpy as np
from scipy.special import expit, softmax
from scipy.stats import norm, truncnorm

from langevax.problems.likelihoods import Huber, Residual, StudentT


def draw_noise(
    loss: Residual, rng: np.random.Generator, shape: tuple[int, ...]
) -> np.ndarray:
    """Return draws of the noise of that loss, in units of s."""
    if isinstance(loss, StudentT):
        return rng.standard_t(loss.degrees, size=shape)
    if not isinstance(loss, Huber):
        return rng.normal(size=shape)
    # density e^{-r^2/2} within k and e^{k^2/2 - k|r|} beyond: truncated normal draws, or exponential ones beyond
    k = loss.threshold
    inside = np.sqrt(2 * np.pi) * (1 - 2 * norm.sf(k))
    beyond = 2 * np.exp(-(k**2) / 2) / k
    tails = (k + rng.exponential(1 / k, size=shape)) * rng.choice(
        [-1.0, 1.0], size=shape
    )
    core = truncnorm.ppf(rng.uniform(size=shape), -k, k)
    return np.where(rng.uniform(size=shape) < beyond / (inside + beyond), tails, core)


def class_probabilities(values: np.ndarray) -> np.ndarray:
    """Return (n, draws, C) of log odds (n, draws), or of (n, draws, C) unnormalised log probabilities."""
    return (
        np.stack([expit(-values), expit(values)], axis=-1)
        if values.ndim == 2
        else softmax(values, axis=-1)
    )


def mean_probabilities(values: np.ndarray, leftover: np.ndarray) -> np.ndarray:
    """Return (n, draws, C) for functions with these values and variance (n,) left out of them.

    The mean of sigmoid(z + sqrt(v) xi) is about sigmoid(z / sqrt(1 + pi v / 8)) (MacKay, Neural Computation 1992).
    """
    return class_probabilities(
        values / np.sqrt(1 + np.pi / 8 * along_rows(leftover, values))
    )


def along_rows(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return (n,) numbers with as many axes as `values` (n, ...)."""
    return numbers.reshape(-1, *[1] * (values.ndim - 1))
