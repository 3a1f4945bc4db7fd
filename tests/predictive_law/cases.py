"""A Poisson model of counts whose rates differ, in one coordinate (the log rate), as a problem and as a grid."""

from math import lgamma

import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from langevax.predictive_law.law_problem import LawProblem

COUNTS = np.array(
    [0] * 16 + [1] * 6 + [2] * 5 + [3] * 3 + [5, 6, 7, 8, 9, 9, 10, 12, 14, 15],
    np.float32,
)
RIGHT = np.random.default_rng(4).poisson(2.0, 40).astype(np.float32)
GRID = np.linspace(-7, 5, 601)


def log_prior(log_rate):
    return -(log_rate**2) / 2


def log_likelihood(log_rate, count):
    return count * log_rate - jnp.exp(log_rate) - jax.scipy.special.gammaln(count + 1)


def log_likelihoods(log_rates, counts):
    """In double precision, (rate, row)."""
    log_factorials = np.array([lgamma(count + 1) for count in counts])
    return log_rates[:, None] * counts - np.exp(log_rates)[:, None] - log_factorials


def table(counts):
    """Log likelihoods of the grid (grid, row), and its log prior."""
    return log_likelihoods(GRID, counts.astype(float)), -(GRID**2) / 2


def problem_of(counts, num_particles=256):
    target = lx.posterior(log_prior, log_likelihood, counts)
    return LawProblem.of(target.problem, jnp.zeros(()), num_particles)


def draws_of(weights, count):
    """Quantiles of a law on the grid, evenly spaced and in random order, as (draw, 1)."""
    levels = (np.arange(count) + 0.5) / count
    draws = np.interp(levels, np.cumsum(weights), GRID)
    return np.random.default_rng(0).permutation(draws)[:, None].astype(np.float32)
