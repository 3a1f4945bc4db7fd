"""Mean-field methods in closed form: the linear neuron, and the rates of theorems.

A law q of particles theta gives outputs z_i = E_q h_i, h_i = h(theta, x_i), and the objective

    P(q) = (1/n) sum_i loss_i(z_i) + ridge E_q|theta|^2 + temperature E_q log q

Its dual is D(g) = -(1/n) sum_i loss*_i(g_i) - temperature log Z(g), g_i = loss'_i(z_i), with

    U_g = (1/n) sum_i g_i h_i + ridge |theta|^2,    Z(g) = int exp(-U_g / temperature),
    p_g = exp(-U_g / temperature) / Z(g), the proximal Gibbs law of q.

Nitanda, Wu, Suzuki (AISTATS 2022), whose lambda' is `ridge` and lambda `temperature`. Adding
temperature log Z(0) to P turns the entropy into KL(q || prior), prior = N(0, temperature / (2 ridge)).
The closed forms of the linear neuron h = <theta, x> with loss 1/2 (z - y)^2 are derived.

The constants and rates of theorems are small functions of what the theorems ask for: P* = D* the common optimum, alpha
(`lsi_constant`) a log-Sobolev constant that all proximal Gibbs laws p_q share, and gamma (`convexity`) that of the
conjugates, 1 / sup loss'': 1 for the squared loss, 4 for the logistic one, the width of a smoothed hinge, 2 for
softmax.

| function | source |
|---|---|
| `network_lsi`, `flow_*`, `mfld_*` | Nitanda, Wu, Suzuki (AISTATS 2022); constants by Bakry-Emery and Holley-Stroock |
| `fictitious_play_gap_bound` | Chen, Ren, Wang (2022), Nitanda et al. (2023) |
| `sdca_*` | Oko, Suzuki, Nitanda, Wu (ICLR 2022); derived for neurons bounded by B in place of 1 |
| `finite_particle_gap_bound` | Nitanda (2024); derived |
| all others | derived |

Log-Sobolev constants by Holley and Stroock are too small to set a horizon by: where the gap of the tests' logistic
problem falls at a rate of 1.2, they promise 0.3 by the oscillation along the path, and 1e-6 as printed.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from langevax.theory.lsi import holley_stroock, positive, strongly_log_concave

Inputs = Float[np.ndarray, "n d"]
Rows = Float[np.ndarray, " n"]
"""One number a row."""
Times = Float[np.ndarray, " times"]


class LinearOptimum(NamedTuple):
    """The optimal law N(mean, variance I) of the linear neuron, and what it predicts."""

    mean: Float[np.ndarray, " d"]
    variance: float
    outputs: Rows
    dual: Rows
    objective: float
    """P of the module docstring, with the entropy."""
    kl_objective: float
    """The same with temperature KL(q || prior) in place of ridge and entropy: objective + temperature log Z(0)."""


def linear_optimum(
    inputs: Inputs,
    targets: Rows,
    ridge: float,
    temperature: float,
) -> LinearOptimum:
    """q* = N(m*, temperature / (2 ridge) I), m* = (X^T X / n + 2 ridge)^{-1} X^T y / n (derived).

    >>> optimum = linear_optimum(np.eye(2), np.array([2.0, 0.0]), ridge=0.25, temperature=0.1)
    >>> optimum.mean, optimum.variance, optimum.dual
    (array([1., 0.]), 0.2, array([-1.,  0.]))
    """
    x = np.asarray(inputs, float)
    y = np.asarray(targets, float)
    n, d = x.shape
    precision = x.T @ x / n + 2 * ridge * np.eye(d)
    mean = np.linalg.solve(precision, x.T @ y / n)
    outputs = x @ mean
    kl_objective = float(np.mean((outputs - y) ** 2) / 2 + ridge * mean @ mean)
    objective = kl_objective - temperature * linear_log_partition(
        np.zeros(n), x, ridge, temperature
    )
    return LinearOptimum(
        mean, temperature / (2 * ridge), outputs, outputs - y, objective, kl_objective
    )


def linear_log_partition(
    dual: Rows,
    inputs: Inputs,
    ridge: float,
    temperature: float,
) -> float:
    """log Z(g) = (d/2) log(pi temperature / ridge) + |X^T g / n|^2 / (4 temperature ridge) (derived).

    >>> round(linear_log_partition(np.ones(1), np.ones((1, 1)), ridge=math.pi, temperature=1.0), 6)
    0.079577
    """
    x = np.asarray(inputs, float)
    g = np.asarray(dual, float)
    n, d = x.shape
    mean_gradient = x.T @ g / n
    return float(
        d / 2 * math.log(math.pi * temperature / ridge)
        + mean_gradient @ mean_gradient / (4 * temperature * ridge)
    )


def network_lsi(
    ridge: float,
    temperature: float,
    slope_bound: float,
    neuron_bound: float,
) -> float:
    """alpha = (2 ridge / temperature) exp(-4 C B / temperature), |loss'| <= C and |h| <= B: as printed.

    The data potential lies within C B, so that half the exponent would do: `potential_lsi` with oscillation 2 C B.

    >>> round(network_lsi(ridge=0.5, temperature=1.0, slope_bound=1.0, neuron_bound=0.5), 6)
    0.135335
    """
    return potential_lsi(ridge, temperature, 4 * slope_bound * neuron_bound)


def potential_lsi(ridge: float, temperature: float, oscillation: float) -> float:
    """alpha = (2 ridge / temperature) exp(-oscillation / temperature), oscillation = sup - inf of the data potential.

    That of (1/n) sum_i g_i h_i is at most (1/n) sum_i |g_i| osc(h_i); a path of g needs the largest.

    >>> round(potential_lsi(ridge=0.5, temperature=1.0, oscillation=2.0), 6)
    0.135335
    """
    return holley_stroock(
        strongly_log_concave(2 * ridge, temperature), oscillation, temperature
    )


def flow_gap_bound(
    start_gap: float,
    lsi_constant: float,
    temperature: float,
    times: Times,
) -> Times:
    """P(q_t) - P* <= exp(-2 alpha temperature t) (P(q_0) - P*), along the mean-field Langevin flow.

    >>> flow_gap_bound(2.0, lsi_constant=0.5, temperature=1.0, times=np.array([0.0, 1.0])).round(6)
    array([2.      , 0.735759])
    """
    return start_gap * np.exp(
        -2 * lsi_constant * temperature * np.asarray(times, float)
    )


def flow_divergence_bound(
    start_gap: float,
    lsi_constant: float,
    temperature: float,
    time: float,
) -> float:
    """min_{s <= t} KL(q_s || p_{q_s}) <= exp(-2 alpha T (t - 1)) / (2 alpha T^2) (P(q_0) - P*), T temperature, t >= 1.

    >>> flow_divergence_bound(2.0, lsi_constant=0.5, temperature=1.0, time=1.0)
    2.0
    """
    if time < 1:
        raise ValueError(f"time is {time}; the bound holds from time 1 on.")
    later = float(
        flow_gap_bound(start_gap, lsi_constant, temperature, np.array([time - 1]))[0]
    )
    return later / (2 * lsi_constant * temperature**2)


def mfld_gap_bound(
    start_gap: float,
    lsi_constant: float,
    temperature: float,
    step_size: float,
    num_steps: int,
    drift_error: float,
) -> float:
    """P(q_k) - P* <= drift_error / (2 alpha temperature) + exp(-alpha temperature step_size k) (P(q_0) - P*).

    For infinitely many particles. `drift_error`, the paper's delta, bounds E |grad U(theta_k) - grad U(theta_t)|^2
    within a step and is of the order of the step size.

    >>> round(mfld_gap_bound(2.0, 0.5, 1.0, step_size=0.1, num_steps=20, drift_error=0.01), 6)
    0.745759
    """
    decay = math.exp(-lsi_constant * temperature * step_size * num_steps)
    return drift_error / (2 * lsi_constant * temperature) + decay * start_gap


def fictitious_play_gap_bound(start_gap: float, times: Times) -> Times:
    """P(q_t) - P* <= exp(-t) (P(q_0) - P*) along dq/dt = p_q - q, whatever the log-Sobolev constant.

    >>> fictitious_play_gap_bound(2.0, np.array([0.0, 1.0])).round(6)
    array([2.      , 0.735759])
    """
    return start_gap * np.exp(-np.asarray(times, float))


def fictitious_play_rounds_bound(
    start_gap: float,
    rate: float,
    num_rounds: int,
    neuron_bound: float,
    convexity: float,
) -> float:
    """P - P* <= (1 - a)^k (P(q_0) - P*) + a 2 B^2 / gamma, after k rounds q <- (1 - a) q + a p_q with |h| <= B.

    >>> round(fictitious_play_rounds_bound(2.0, rate=0.1, num_rounds=10, neuron_bound=1.0, convexity=4.0), 6)
    0.747357
    """
    return (1 - rate) ** num_rounds * start_gap + 2 * rate * neuron_bound**2 / convexity


def sdca_condition(
    size: int,
    neuron_bound: float,
    temperature: float,
    convexity: float,
) -> float:
    """kappa = n + B^2 / (temperature gamma).

    >>> sdca_condition(size=100, neuron_bound=2.0, temperature=0.01, convexity=4.0)
    200.0
    """
    positive(temperature=temperature, convexity=convexity)
    return size + neuron_bound**2 / (temperature * convexity)


def sdca_gap_bound(
    start_gap: float, condition: float, num_steps: Float[np.ndarray, "*steps"]
) -> Float[np.ndarray, "*steps"]:
    """E[D* - D(g)] <= (1 - 1 / kappa)^t (D* - D(g_0)), with E_{p_g} h exact. kappa times it bounds E[P(p_g) - P*].

    >>> sdca_gap_bound(1.0, condition=10.0, num_steps=np.array([0, 10])).round(6)
    array([1.      , 0.348678])
    """
    return start_gap * (1 - 1 / condition) ** np.asarray(num_steps)


def finite_particle_gap_bound(
    variances: Rows, convexity: float, num_particles: int
) -> float:
    """(1/N) inf L^N - P* <= (1 / (2 gamma N)) (1/n) sum_i Var_{q*}(h_i), for N interacting particles.

    L^N is the free energy of all of them. For the squared loss it is exactly the excess risk, in expectation, of N
    independent particles of q*.

    >>> finite_particle_gap_bound(np.array([1.0, 3.0]), convexity=1.0, num_particles=100)
    0.01
    """
    return float(np.mean(variances) / (2 * convexity * num_particles))
