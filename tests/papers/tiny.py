"""A problem whose exact answer a grid knows: eight rows, neurons 3 tanh(w x + b), particles (w, b)."""

import numpy as np

from grid_laws import GridRisk, tensor_grid
from tests.theory.grids import LOSSES

RIDGE, TEMPERATURE, BOUND = 0.06, 0.03, 3.0
INPUTS = np.array([-1.9, -1.2, -0.6, -0.1, 0.3, 0.8, 1.4, 2.0])
TARGETS = {
    "squared": np.array([0.4, 0.8, 0.1, -0.7, -0.5, 0.2, 0.9, 0.5]),
    "logistic": np.array([1.0, 1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0]),
    "smoothed hinge": np.array([1.0, 1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0]),
}


def neuron(particle, x):
    return 3 * np.tanh(particle[0] * x + particle[1])


def neuron_gradient(particle, x):
    return 3 * (1 - np.tanh(particle[0] * x + particle[1]) ** 2) * np.array([x, 1.0])


def derivative(loss):
    """loss'(z, y) of numbers."""
    return lambda z, y: float(LOSSES[loss][1](z, y))


def exact(loss):
    """The problem on a grid that is fine against its laws."""
    points, weights = tensor_grid(np.linspace(-4, 4, 61), 2)
    values = 3 * np.tanh(INPUTS[:, None] * points[:, 0] + points[:, 1])
    return GridRisk(
        points,
        values,
        TARGETS[loss],
        RIDGE,
        TEMPERATURE,
        *LOSSES[loss],
        weights=weights,
    )


def prior_draws(rng, num_particles):
    return rng.normal(scale=np.sqrt(TEMPERATURE / (2 * RIDGE)), size=(num_particles, 2))


def prior_points(num_particles):
    """An even spread of the prior: normal quantiles of a two-dimensional additive recurrence."""
    from scipy.special import ndtri

    ratio = 1.32471795724474602596  # of the plastic number, for which the recurrence spreads evenly in two dimensions
    index = np.arange(1, num_particles + 1)[:, None]
    spread = (0.5 + index * np.array([1 / ratio, 1 / ratio**2])) % 1
    return np.sqrt(TEMPERATURE / (2 * RIDGE)) * ndtri(spread)
