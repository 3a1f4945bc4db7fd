"""Particle stochastic dual coordinate ascent, Oko, Suzuki, Nitanda, Wu (ICLR 2022), in plain NumPy.

The state is (g, particles, log-weights): a coordinate of g moves to the maximum of a quadratic bound of the dual, the
particles' weights follow at once, the particles themselves only at refreshes. Outputs may be vectors: then h and every
g_i are (C,), and products are inner products.

Ours, not the paper's: the start at g = 0 with draws from its law, the trigger by effective size, the running log Z.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import lambertw

from tests.papers import transcripts


def squared(z, g, y, c):
    """The coordinate's new dual value: argmax_u -loss*(u) + z u - (c / 2) (u - g)^2, for 1/2 (z - y)^2."""
    v = z + c * g
    return (v - y) / (1 + c)


def logistic(z, g, y, c):
    """The same for log(1 + e^{-y z}): g' = -y sigma(u), where u + c sigma(u) + y v = 0, by bisection."""
    v = z + c * g
    low, high = -y * v - c, -y * v
    for _ in range(100):  # Newton would cycle here for large c
        u = (low + high) / 2
        sigma = 1 / (1 + np.exp(-u)) if u > 0 else np.exp(u) / (1 + np.exp(u))
        low, high = (low, u) if u + c * sigma + y * v > 0 else (u, high)
    return -y / (1 + np.exp(-u))


def smoothed_hinge(z, g, y, c, smoothing=0.5):
    """The same for the hinge rounded over a width `smoothing` below the margin 1."""
    v = z + c * g
    return -y * np.clip((1 - y * v) / (smoothing + c), 0, 1)


def softmax(z, g, y, c):
    """The same for logsumexp(z) - z_y: s_k = W(c e^{a_k - nu}) / c, nu by bisection such that sum s = 1."""
    unit = np.zeros(len(z))
    unit[int(y)] = 1
    a = z + c * g + c * unit
    low, high = (
        np.max(a) - c,
        np.max(a) + np.log(len(a)),
    )  # there the sum is >= 1 and <= 1
    for _ in range(200):
        nu = (low + high) / 2
        s = lambertw(c * np.exp(a - nu)).real / c
        low, high = (nu, high) if np.sum(s) > 1 else (low, nu)
    return s - unit


class Path(NamedTuple):
    """Axis 0 of the first four is the step, the start included; `refreshed` and `accepted` have one entry a step."""

    dual: np.ndarray
    particles: np.ndarray
    log_weights: np.ndarray
    log_partition: np.ndarray  # estimate of log Z(g), with the weights
    refreshed: np.ndarray
    accepted: np.ndarray  # share of the moves; nan where there were none


def psdca(
    neuron,
    neuron_gradient,
    coordinate,
    inputs,
    targets,
    start,
    bound,
    ridge,
    temperature,
    rows,
    period,
    step_size,
    resampling_uniform,
    normals,
    uniforms,
    threshold=0.5,
    curvature=None,
    pace=None,
    trust=None,
):
    """P-SDCA from g = 0.

    `start` (M, d) are draws from N(0, temperature / (2 ridge)), `rows[t]` the coordinate of step t, `bound` is sup |h|.
    Step t > 0 begins with a refresh where t is a multiple of `period` or the effective size lies below
    threshold M: systematic resampling with `resampling_uniform(t)`, then MALA moves by `normals(t)` (k, M, d) and
    `uniforms(t)` (k, M). Ours: `step_size` may depend on t, `pace(gradients)` gives each coordinate a scale,
    `curvature(weights, values of the row)` stands in place of bound^2, and a step that would change the log-weights by
    more than `trust` standard deviations under the weights is shortened until it changes them by `trust`.
    """
    n, theta = len(inputs), np.array(start, float)
    num_particles, d = theta.shape
    c = bound**2 / (n * temperature)

    values = _values(neuron, inputs, theta)
    dual = np.zeros(values.shape[1:])
    log_weights = np.zeros(num_particles)
    log_partition = d / 2 * np.log(np.pi * temperature / ridge)

    def potential(particle):
        total = ridge * np.sum(particle**2)
        for i in range(n):
            total += np.sum(dual[i] * neuron(particle, inputs[i])) / n
        return total

    def gradient(particle):
        total = 2 * ridge * particle
        for i in range(n):
            slope = neuron_gradient(particle, inputs[i])  # (d,), or (d, C)
            total = (
                total
                + (slope * dual[i] if np.ndim(dual[i]) == 0 else slope @ dual[i]) / n
            )
        return total

    path = [(dual.copy(), theta, log_weights, log_partition)]
    refreshed, accepted = [], []
    for t in range(len(rows)):
        weights = _softmax(log_weights)
        effective_size = 1 / np.sum(weights**2)
        refresh = t > 0 and (
            t % period == 0 or effective_size < threshold * num_particles
        )
        share = np.nan
        if refresh:
            log_partition = log_partition + _log_mean_exp(log_weights)
            theta = theta[systematic(weights, resampling_uniform(t))]
            xi, uniform = normals(t), uniforms(t)
            moved, share = np.empty_like(theta), 0.0
            scale = (
                np.ones(d)
                if pace is None
                else pace(np.array([gradient(particle) for particle in theta]))
            )
            h = step_size(t) if callable(step_size) else step_size
            for r in range(num_particles):
                chain, flags = transcripts.mala(
                    lambda x, scale=scale: potential(scale * x),
                    lambda x, scale=scale: scale * gradient(scale * x),
                    theta[r] / scale,
                    h,
                    temperature,
                    xi[:, r],
                    uniform[:, r],
                )
                moved[r] = scale * chain[-1]
                share += np.sum(flags) / (num_particles * len(xi))
            theta = moved
            values = _values(neuron, inputs, theta)
            log_weights = np.zeros(num_particles)
        i = rows[t]
        weights = _softmax(log_weights)
        z = np.zeros(values.shape[2:])
        for r in range(num_particles):
            z = z + weights[r] * values[r, i]
        if curvature is not None:
            c = curvature(weights, values[:, i]) / (n * temperature)
        new = coordinate(z, dual[i], targets[i], c)
        if trust is not None:
            ahead = np.array(
                [np.sum(values[r, i] * (new - dual[i])) for r in range(num_particles)]
            ) / (n * temperature)
            deviation = np.sqrt(weights @ (ahead - weights @ ahead) ** 2)
            if deviation > trust:
                new = dual[i] + (new - dual[i]) * trust / deviation
        change = np.array(
            [np.sum(values[r, i] * (new - dual[i])) for r in range(num_particles)]
        )
        log_weights = log_weights - change / (n * temperature)
        dual[i] = new
        path.append(
            (
                dual.copy(),
                theta,
                log_weights,
                log_partition + _log_mean_exp(log_weights),
            )
        )
        refreshed.append(refresh)
        accepted.append(share)
    return Path(
        *(np.array(part) for part in zip(*path, strict=True)),
        np.array(refreshed),
        np.array(accepted),
    )


def systematic(weights, uniform):
    """Indices of as many draws as there are weights: the particle under (uniform + r) / M on the ladder of sums."""
    num_particles, ladder = len(weights), np.cumsum(weights)
    indices = []
    for r in range(num_particles):
        j = 0
        while j < num_particles - 1 and ladder[j] <= (uniform + r) / num_particles:
            j += 1
        indices.append(j)
    return np.array(indices)


def _values(neuron, inputs, cloud):
    return np.array(
        [[neuron(particle, x) for x in inputs] for particle in cloud], float
    )


def _softmax(log_weights):
    weights = np.exp(log_weights - np.max(log_weights))
    return weights / np.sum(weights)


def _log_mean_exp(log_weights):
    top = np.max(log_weights)
    return top + np.log(np.mean(np.exp(log_weights - top)))
