"""Linear particles: the flow of infinitely many, and where clouds of finitely many settle.

The linear neuron h = <theta, x> with loss 1/2 (z - y)^2, in the notation of `langevax.theory.mean_field`. All derived.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from langevax.theory.gaussian import stationary_variance
from langevax.theory.mean_field import linear_optimum

Inputs = Float[np.ndarray, "n d"]
Rows = Float[np.ndarray, " n"]
"""One number a row."""
Times = Float[np.ndarray, " times"]


class CloudVariance(NamedTuple):
    """Stationary spread of N particles: of their mean over time, and of one particle around that mean."""

    of_mean: Float[np.ndarray, "d d"]
    within: float


def linear_cloud_variance(
    inputs: Inputs, ridge: float, temperature: float, num_particles: int, step_size: float, integrator: str = "explicit"
) -> CloudVariance:
    """Stationary variances of N interacting linear particles under mean-field Langevin steps (derived).

    For the explicit step and an eigenvalue s of S = X^T X / n: of the cloud's mean
    (temperature / N) / ((s + 2 ridge)(1 - step_size (s + 2 ridge) / 2)); of a particle about it
    (1 - 1/N) temperature / (2 ridge (1 - step_size ridge)). Other integrators as in `stationary_variance`,
    with precision 2 ridge.

    >>> cloud = linear_cloud_variance(np.ones((1, 1)), 0.5, temperature=1.0, num_particles=4, step_size=0.5)
    >>> cloud.of_mean, cloud.within
    (array([[0.25]]), 1.0)
    """
    x = np.asarray(inputs, float)
    curvatures, modes = np.linalg.eigh(x.T @ x / len(x))
    curvatures = np.maximum(curvatures, 0)  # rounding
    of_mean = stationary_variance(integrator, step_size, 2 * ridge, curvatures, temperature / num_particles)
    alone = stationary_variance(integrator, step_size, 2 * ridge, 0.0, temperature)
    if not (np.all(np.isfinite(of_mean)) and np.isfinite(alone)):
        raise ValueError(f"step_size is {step_size}, for which the cloud does not settle; pass a smaller one.")
    return CloudVariance(modes * of_mean @ modes.T, float((1 - 1 / num_particles) * alone))


def linear_output_variance(
    inputs: Inputs, ridge: float, temperature: float, num_particles: int, step_size: float, integrator: str = "explicit"
) -> Rows:
    """Stationary variance of the n outputs <mean particle, x_i> of N interacting linear particles (derived).

    The outputs' mean is that of the optimum: their weak error is zero. That of the risk is half the mean variance:
    E (1/n) sum_i 1/2 (z_i - y_i)^2 lies above the optimal law's by (1 / 2n) sum_i Var z_i, of order 1/N.

    >>> linear_output_variance(np.array([[2.0]]), 0.5, temperature=1.0, num_particles=4, step_size=0.1).round(6)
    array([0.266667])
    """
    x = np.asarray(inputs, float)
    cloud = linear_cloud_variance(x, ridge, temperature, num_particles, step_size, integrator)
    return np.einsum("ij,jk,ik->i", x, cloud.of_mean, x)


def finite_particle_gap(inputs: Inputs, ridge: float, temperature: float, num_particles: int) -> float:
    """Optimal objective per particle of N linear particles, minus the mean-field optimum (derived).

    (1/N) inf L^N - L* = sum over eigenvalues s of X^T X / n of temperature / (2 N) log(1 + s / (2 ridge)); at
    most (1 / (2 n N)) sum_i Var_{q*}(h_i).

    >>> round(finite_particle_gap(np.ones((1, 1)), ridge=0.5, temperature=2.0, num_particles=1), 6)
    0.693147
    """
    x = np.asarray(inputs, float)
    _, log_determinant = np.linalg.slogdet(np.eye(x.shape[1]) + x.T @ x / (len(x) * 2 * ridge))
    return float(temperature / (2 * num_particles) * log_determinant)


class LinearFlow(NamedTuple):
    """The Gaussian law N(mean, covariance) along the flow, and objective minus optimum; axis 0 is time."""

    mean: Float[np.ndarray, "times d"]
    covariance: Float[np.ndarray, "times d d"]
    gap: Times


def linear_flow(
    inputs: Inputs,
    targets: Rows,
    ridge: float,
    temperature: float,
    start_mean: Float[np.ndarray, " d"],
    start_covariance: Float[np.ndarray, "d d"],
    times: Times,
) -> LinearFlow:
    """Law of the mean-field flow from a Gaussian start, at the given times.

    m' = -(S + 2 ridge) m + X^T y / n and C' = -4 ridge C + 2 temperature I, with S = X^T X / n (derived).
    The gap, 1/2 <m - m*, (S + 2 ridge)(m - m*)> + (temperature / 2) sum (r - 1 - log r) over
    the eigenvalues r of C over the optimal variance, obeys gap(t) <= exp(-4 ridge t) gap(0): the rate
    2 alpha temperature of Nitanda, Wu, Suzuki (AISTATS 2022), continuous time, at alpha = 2 ridge / temperature.

    >>> flow = linear_flow(np.zeros((1, 1)), np.zeros(1), 0.5, 1.0, np.ones(1), np.eye(1), np.array([0.0, 1.0]))
    >>> flow.gap.round(6)
    array([0.5     , 0.067668])
    """
    optimum = linear_optimum(inputs, targets, ridge, temperature)
    x, t = np.asarray(inputs, float), np.asarray(times, float)[:, None]
    rates, modes = np.linalg.eigh(x.T @ x / len(x) + 2 * ridge * np.eye(x.shape[1]))
    shift = (modes.T @ (np.asarray(start_mean, float) - optimum.mean)) * np.exp(-rates * t)
    ratios, axes = np.linalg.eigh(np.asarray(start_covariance, float) / optimum.variance)
    excess = (ratios - 1) * np.exp(-4 * ridge * t)  # r - 1
    covariance = optimum.variance * np.einsum("ij,tj,kj->tik", axes, 1 + excess, axes)
    with np.errstate(divide="ignore"):  # a point has infinite entropy gap
        spread = np.sum(excess - np.log1p(excess), axis=1)
    gap = np.sum(rates * shift**2, axis=1) / 2 + temperature / 2 * spread
    return LinearFlow(optimum.mean + shift @ modes.T, covariance, gap)
