"""Mean-field Langevin dynamics where it can be solved: the linear neuron, and any neuron on a 1-d grid.

A law q of particles theta gives outputs z_i = E_q h_i, h_i = h(theta, x_i), and the objective

    P(q) = (1/n) sum_i loss_i(z_i) + ridge E_q|theta|^2 + temperature E_q log q

Its dual is D(g) = -(1/n) sum_i loss*_i(g_i) - temperature log Z(g), g_i = loss'_i(z_i), with

    U_g = (1/n) sum_i g_i h_i + ridge |theta|^2,    Z(g) = int exp(-U_g / temperature),
    p_g = exp(-U_g / temperature) / Z(g), the proximal Gibbs law of q.

Nitanda, Wu, Suzuki (AISTATS 2022), whose lambda' is `ridge` and lambda `temperature`. Adding
temperature log Z(0) to P turns the entropy into KL(q || prior), prior = N(0, temperature / (2 ridge)).
The closed forms of the linear neuron h = <theta, x> with loss 1/2 (z - y)^2 are derived.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from langevax.theory.gaussian import stationary_variance


class LinearOptimum(NamedTuple):
    """The optimal law N(mean, variance I) of the linear neuron, and what it predicts."""

    mean: Float[np.ndarray, " d"]
    variance: float
    outputs: Float[np.ndarray, " n"]
    dual: Float[np.ndarray, " n"]
    objective: float
    """P of the module docstring, with the entropy."""
    kl_objective: float
    """The same with temperature KL(q || prior) in place of ridge and entropy: objective + temperature log Z(0)."""


class LinearFlow(NamedTuple):
    """The Gaussian law N(mean, covariance) along the flow, and objective minus optimum; axis 0 is time."""

    mean: Float[np.ndarray, "times d"]
    covariance: Float[np.ndarray, "times d d"]
    gap: Float[np.ndarray, " times"]


class CloudVariance(NamedTuple):
    """Stationary spread of N particles: of their mean over time, and of one particle around that mean."""

    of_mean: Float[np.ndarray, "d d"]
    within: float


def linear_optimum(
    inputs: Float[np.ndarray, "n d"], targets: Float[np.ndarray, " n"], ridge: float, temperature: float
) -> LinearOptimum:
    """q* = N(m*, temperature / (2 ridge) I), m* = (X^T X / n + 2 ridge)^{-1} X^T y / n (derived).

    >>> optimum = linear_optimum(np.eye(2), np.array([2.0, 0.0]), ridge=0.25, temperature=0.1)
    >>> optimum.mean, optimum.variance, optimum.dual
    (array([1., 0.]), 0.2, array([-1.,  0.]))
    """
    x, y = np.asarray(inputs, float), np.asarray(targets, float)
    n, d = x.shape
    mean = np.linalg.solve(x.T @ x / n + 2 * ridge * np.eye(d), x.T @ y / n)
    outputs = x @ mean
    kl_objective = float(np.mean((outputs - y) ** 2) / 2 + ridge * mean @ mean)
    objective = kl_objective - temperature * linear_log_partition(np.zeros(n), x, ridge, temperature)
    return LinearOptimum(mean, temperature / (2 * ridge), outputs, outputs - y, objective, kl_objective)


def linear_log_partition(
    dual: Float[np.ndarray, " n"], inputs: Float[np.ndarray, "n d"], ridge: float, temperature: float
) -> float:
    """log Z(g) = (d/2) log(pi temperature / ridge) + |X^T g / n|^2 / (4 temperature ridge) (derived).

    >>> round(linear_log_partition(np.ones(1), np.ones((1, 1)), ridge=math.pi, temperature=1.0), 6)
    0.079577
    """
    x, g = np.asarray(inputs, float), np.asarray(dual, float)
    n, d = x.shape
    pull = x.T @ g / n
    return float(d / 2 * math.log(math.pi * temperature / ridge) + pull @ pull / (4 * temperature * ridge))


def linear_flow(
    inputs: Float[np.ndarray, "n d"],
    targets: Float[np.ndarray, " n"],
    ridge: float,
    temperature: float,
    start_mean: Float[np.ndarray, " d"],
    start_covariance: Float[np.ndarray, "d d"],
    times: Float[np.ndarray, " times"],
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


def linear_cloud_variance(
    inputs: Float[np.ndarray, "n d"],
    ridge: float,
    temperature: float,
    num_particles: int,
    step_size: float,
    integrator: str = "explicit",
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


def finite_particle_gap(
    inputs: Float[np.ndarray, "n d"], ridge: float, temperature: float, num_particles: int
) -> float:
    """Optimal objective per particle of N linear particles, minus the mean-field optimum (derived).

    (1/N) inf L^N - L* = sum over eigenvalues s of X^T X / n of temperature / (2 N) log(1 + s / (2 ridge)); at
    most (1 / (2 n N)) sum_i Var_{q*}(h_i).

    >>> round(finite_particle_gap(np.ones((1, 1)), ridge=0.5, temperature=2.0, num_particles=1), 6)
    0.693147
    """
    x = np.asarray(inputs, float)
    _, log_determinant = np.linalg.slogdet(np.eye(x.shape[1]) + x.T @ x / (len(x) * 2 * ridge))
    return float(temperature / (2 * num_particles) * log_determinant)


def quadrature_weights(grid: Float[np.ndarray, " grid"]) -> Float[np.ndarray, " grid"]:
    """Trapezoidal weights of an increasing grid: the measure against which densities below are meant.

    >>> quadrature_weights(np.array([0.0, 1.0, 3.0]))
    array([0.5, 1.5, 1. ])
    """
    steps = np.diff(np.asarray(grid, float))
    return (np.append(steps, 0) + np.insert(steps, 0, 0)) / 2


def proximal_gibbs_on_grid(
    potential: Float[np.ndarray, " grid"], grid: Float[np.ndarray, " grid"], temperature: float
) -> tuple[Float[np.ndarray, " grid"], float]:
    """Density exp(-potential / temperature) / Z on the grid, and log Z.

    >>> grid = np.linspace(-8, 8, 201)
    >>> density, log_partition = proximal_gibbs_on_grid(grid**2 / 2, grid, temperature=1.0)
    >>> round(log_partition / (math.log(2 * math.pi) / 2), 12), round(float(density[100]), 6)
    (1.0, 0.398942)
    """
    from scipy.special import logsumexp

    exponent = -np.asarray(potential, float) / temperature
    log_partition = float(np.asarray(logsumexp(exponent, b=quadrature_weights(grid))))
    return np.exp(exponent - log_partition), log_partition


def entropy_on_grid(density: Float[np.ndarray, " grid"], grid: Float[np.ndarray, " grid"]) -> float:
    """Differential entropy -int p log p, in nats.

    >>> round(entropy_on_grid(np.full(3, 0.5), np.array([0.0, 1.0, 2.0])) / math.log(2), 12)
    1.0
    """
    from scipy.special import entr

    return float(quadrature_weights(grid) @ entr(np.asarray(density, float)))


def kl_on_grid(
    density: Float[np.ndarray, " grid"], reference: Float[np.ndarray, " grid"], grid: Float[np.ndarray, " grid"]
) -> float:
    """KL(density || reference), in nats; infinite where the reference vanishes under the density.

    >>> round(kl_on_grid(np.array([0.0, 1.0, 0.0]), np.full(3, 0.5), np.array([0.0, 1.0, 2.0])) / math.log(2), 12)
    1.0
    """
    from scipy.special import rel_entr

    return float(quadrature_weights(grid) @ rel_entr(np.asarray(density, float), np.asarray(reference, float)))


@dataclass(frozen=True)
class GridRisk:
    """The module's P and D for one-dimensional particles whose laws are densities on a grid.

    `values` holds h_i on the grid, (n, grid). `loss(z, y)`, its derivative in z, and its conjugate
    `conjugate(g, y)` are NumPy functions of (n,) arrays. The identities between P, D and KL hold on the grid
    to rounding, whatever its spacing: it is a measure of its own.

    >>> risk = GridRisk(
    ...     grid=np.linspace(-6, 6, 121), values=np.linspace(-6, 6, 121)[None], targets=np.ones(1), ridge=0.5,
    ...     temperature=0.5, loss=lambda z, y: (z - y) ** 2 / 2, derivative=lambda z, y: z - y,
    ...     conjugate=lambda g, y: g**2 / 2 + g * y,
    ... )
    >>> dual = risk.optimal_dual()
    >>> dual.round(9), bool(abs(risk.primal_objective(risk.gibbs(dual)) - risk.dual_objective(dual)) < 1e-14)
    (array([-0.5]), True)
    """

    grid: Float[np.ndarray, " grid"]
    values: Float[np.ndarray, "n grid"]
    targets: Float[np.ndarray, " n"]
    ridge: float
    temperature: float
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray]
    derivative: Callable[[np.ndarray, np.ndarray], np.ndarray]
    conjugate: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def outputs(self, density: Float[np.ndarray, " grid"]) -> Float[np.ndarray, " n"]:
        """z_i = E_q h_i."""
        return self.values @ (quadrature_weights(self.grid) * density)

    def dual_of(self, density: Float[np.ndarray, " grid"]) -> Float[np.ndarray, " n"]:
        """g_i = loss'_i(z_i): the dual vector whose Gibbs law is the proximal Gibbs law of q."""
        return self.derivative(self.outputs(density), self.targets)

    def gibbs(self, dual: Float[np.ndarray, " n"]) -> Float[np.ndarray, " grid"]:
        """The density p_g."""
        return proximal_gibbs_on_grid(self._potential(dual), self.grid, self.temperature)[0]

    def primal_objective(self, density: Float[np.ndarray, " grid"]) -> float:
        """P(q)."""
        risk = np.mean(self.loss(self.outputs(density), self.targets))
        second_moment = quadrature_weights(self.grid) @ (density * self.grid**2)
        return float(risk + self.ridge * second_moment - self.temperature * entropy_on_grid(density, self.grid))

    def dual_objective(self, dual: Float[np.ndarray, " n"]) -> float:
        """D(g)."""
        _, log_partition = proximal_gibbs_on_grid(self._potential(dual), self.grid, self.temperature)
        return float(-np.mean(self.conjugate(dual, self.targets)) - self.temperature * log_partition)

    def fenchel_young(self, dual: Float[np.ndarray, " n"]) -> float:
        """P(p_g) - D(g) = (1/n) sum_i [loss_i(z_i) + loss*_i(g_i) - g_i z_i] at z = E_{p_g} h, without log Z."""
        z = self.outputs(self.gibbs(dual))
        return float(np.mean(self.loss(z, self.targets) + self.conjugate(dual, self.targets) - dual * z))

    def optimal_dual(self) -> Float[np.ndarray, " n"]:
        """The maximiser of D: the root of g = loss'(E_{p_g} h), found to rounding by Powell's hybrid method."""
        from scipy.optimize import root

        solution = root(lambda g: g - self.dual_of(self.gibbs(g)), np.zeros(len(self.targets)), tol=1e-14)
        return self.dual_of(self.gibbs(solution.x))

    def _potential(self, dual: np.ndarray) -> np.ndarray:
        return dual @ self.values / len(self.targets) + self.ridge * self.grid**2
