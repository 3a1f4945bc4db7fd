"""Losses as NumPy functions, and random problems and laws on grids, for the tests of the exact side."""

import numpy as np
from scipy.special import expit, logsumexp, rel_entr, xlogy

from grid_laws import GridRisk, quadrature_weights, tensor_grid

RIDGE, TEMPERATURE = 0.2, 0.1

LOSSES = {  # value, derivative, conjugate
    "squared": (
        lambda z, y: (z - y) ** 2 / 2,
        lambda z, y: z - y,
        lambda g, y: g**2 / 2 + g * y,
    ),
    "logistic": (
        lambda z, y: np.logaddexp(0, -y * z),
        lambda z, y: -y * expit(-y * z),
        lambda g, y: xlogy(-y * g, -y * g) + xlogy(1 + y * g, 1 + y * g),
    ),
    "smoothed hinge": (
        lambda z, y: np.where(y * z > 0.5, np.maximum(1 - y * z, 0) ** 2, 0.75 - y * z),
        lambda z, y: -y * np.clip((1 - y * z) / 0.5, 0, 1),
        lambda g, y: y * g + 0.5 * g**2 / 2,
    ),
}
CONVEXITY = {
    "squared": 1.0,
    "logistic": 4.0,
    "smoothed hinge": 0.5,
}  # of the conjugate: 1 / sup loss''


def proximal_gibbs_on_grid(potential, grid, temperature):
    """Density exp(-potential / temperature) / Z on a one-dimensional grid, and log Z."""
    exponent = -np.asarray(potential, float) / temperature
    log_partition = float(logsumexp(exponent, b=quadrature_weights(grid)))
    return np.exp(exponent - log_partition), log_partition


def kl_on_grid(density, reference, grid):
    """KL(density || reference) on a one-dimensional grid, in nats; infinite where the reference alone vanishes."""
    return float(quadrature_weights(grid) @ rel_entr(density, reference))


def tanh_risk(loss, size=5, scale=1.0, temperature=TEMPERATURE, seed=6):
    """`size` tanh neurons with a bias on a coarse, uneven grid; targets are labels."""
    rng = np.random.default_rng(seed)
    grid = np.linspace(-2, 2, 101) ** 3
    grid = grid + np.linspace(0, 0.5, 101)
    values = scale * np.tanh(
        rng.normal(size=(size, 1)) * grid + rng.normal(size=(size, 1))
    )
    targets = np.resize([1.0, -1.0, 1.0, 1.0, -1.0], size)
    return GridRisk(grid, values, targets, RIDGE, temperature, *LOSSES[loss])


def plane_risk(loss, size=8, axis=41, scale=2.0, temperature=TEMPERATURE, seed=7):
    """h = scale tanh(w x + b) on a square grid of (w, b), with labels that one neuron cannot give."""
    points, weights = tensor_grid(np.linspace(-3.5, 3.5, axis), 2)
    x = np.sort(np.random.default_rng(seed).normal(size=size))
    values = scale * np.tanh(x[:, None] * points[:, 0] + points[:, 1])
    targets = np.where(np.abs(x) < 0.7, 1.0, -1.0)
    return GridRisk(
        points, values, targets, RIDGE, temperature, *LOSSES[loss], weights=weights
    )


def kl_objective(risk, density):
    """P(q) + temperature log Z(0) = mean loss + temperature KL(q || prior), whatever the units of theta."""
    loss = np.mean(risk.loss(risk.outputs(density), risk.targets))
    return float(loss + risk.temperature * risk.kl(density, risk.prior()))


def fenchel_young(risk, dual):
    """P(p_g) - D(g) = (1/n) sum_i [loss_i(z_i) + loss*_i(g_i) - g_i z_i] at z = E_{p_g} h, without log Z."""
    z = risk.outputs(risk.gibbs(dual))
    return float(
        np.mean(
            risk.loss(z, risk.targets) + risk.conjugate(dual, risk.targets) - dual * z
        )
    )


def random_density(rng, risk):
    """A mixture of three bumps, above 0 everywhere."""
    points = risk.points.reshape(len(risk.points), -1)
    density = np.full(len(points), 1e-6)
    for share in rng.dirichlet(np.ones(3)):
        center = rng.normal(scale=2 / points.shape[1], size=points.shape[1])
        density += share * np.exp(
            -np.sum((points - center) ** 2, axis=1) / rng.uniform(0.5, 3)
        )
    return density / (risk.measure @ density)
