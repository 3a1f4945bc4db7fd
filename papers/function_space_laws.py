"""Langevin chains in a Hilbert space, mode by mode: stability, laws at every step, what a step and a cut-off cost.

Modes k have precision p_k (lambda / mu_k, the penalty over the prior's eigenvalue) and curvature q_k, that of the loss.
Every integrator is then the linear recursion

    x_k  <-  r_k x_k  +  c_k sqrt(temperature) xi,      r_k = 1 - b_k (p_k + q_k),

about the target's mean, and the target is N(mean, temperature / (p_k + q_k)). Derived, but for the semi-implicit scheme
and the orders of Muzellec, Sato, Massias, Suzuki (COLT 2022), eq. 3 and Proposition 11.
"""

from bisect import bisect_left

import numpy as np
from jaxtyping import Float

from langevax.theory.gaussian import Modes, linear_gains, stationary_variance


def stability_limit(integrator: str, precision: Modes, curvature: Modes) -> float:
    """The step below which all of these modes settle, |r| < 1; `inf` where every step does (derived)."""
    p, q = np.broadcast_arrays(
        np.asarray(precision, float), np.asarray(curvature, float)
    )
    if np.any(p + q <= 0):
        raise ValueError(
            f"precision + curvature must be > 0, got {np.min(p + q)}; there is no law to settle to."
        )
    linear_gains(integrator, 1.0, 0.0)  # raises, naming the known ones
    b = 2 / (p + q)  # there r = -1; now solved for the step
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = {
            "explicit": b,
            "semi_implicit": 2 / (q - p),
            "exponential": np.where(p > 0, 2 * np.arctanh(p / q) / p, b),
            "crank_nicolson": 2 / q,
        }[integrator]
    return float(np.where(limit > 0, limit, np.inf).min())


def mode_moments(
    integrator: str,
    step_size: float,
    precision: Modes,
    curvature: Modes,
    temperature: float,
    steps: int | np.integer | np.ndarray,
    start_mean: Modes = 0.0,
    start_variance: Modes = 0.0,
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Mean, counted from the target's, and variance of every mode after so many steps (derived):

    mean      r^n start_mean
    variance  r^{2n} start_variance  +  temperature c^2 (1 - r^{2n}) / (1 - r^2)
    """
    p, q = np.broadcast_arrays(
        np.asarray(precision, float), np.asarray(curvature, float)
    )
    b, c2 = linear_gains(integrator, step_size, p)
    rate, number = b * (p + q), np.asarray(steps)
    n = number.reshape(number.shape + (1,) * p.ndim)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        # log |r| keeps its digits near r = 1, where 10^9 steps would lose them
        log_power = np.where(n > 0, n * np.log1p(-np.minimum(rate, 2 - rate)), 0.0)
        growth = np.where(rate == 2, n, np.expm1(2 * log_power) / (rate * (rate - 2)))
        settled = np.asarray(
            stationary_variance(integrator, step_size, p, q, temperature)
        )
        noise = np.where(
            np.isfinite(settled),
            -np.expm1(2 * log_power) * settled,
            temperature * c2 * growth,
        )
    power = np.exp(
        np.minimum(log_power, 350.0)
    )  # finite, so that nothing times it is nothing
    mean = np.where(rate > 1, 1.0 - 2 * (n % 2), 1.0) * power * start_mean
    return mean, power**2 * start_variance + noise


def wasserstein(
    mean0: Modes, variance0: Modes, mean1: Modes, variance1: Modes
) -> float | np.ndarray:
    """W2 between Gaussians of independent modes, along the last axis: KL to the target need not be finite."""
    shift = np.asarray(mean0, float) - mean1
    spread = np.sqrt(np.asarray(variance0, float)) - np.sqrt(
        np.asarray(variance1, float)
    )
    return np.sqrt(np.sum(shift**2 + spread**2, axis=-1))


def steps_to_wasserstein(
    integrator: str,
    step_size: float,
    precision: Float[np.ndarray, " modes"],
    curvature: Modes,
    temperature: float,
    distance: float,
    start_mean: Modes = 0.0,
    start_variance: Modes = 0.0,
) -> float:
    """Steps after which W2 to the target is `distance`, by bisection; `inf` where the chain settles further away."""

    def near(steps: int) -> bool:
        law = integrator, step_size, precision, curvature, temperature, steps
        moments = mode_moments(*law, start_mean, start_variance)
        return bool(
            wasserstein(
                *moments, 0.0, temperature / (np.asarray(precision, float) + curvature)
            )
            <= distance
        )

    high = next(
        (steps for steps in (0, *(2**k for k in range(51))) if near(steps)), None
    )
    if high is None:
        return np.inf
    return float(bisect_left(range(high), True, lo=high // 2, key=near))


def trace_bias(
    integrator: str,
    step_size: float,
    precision: Modes,
    curvature: Modes,
    temperature: float,
) -> float:
    """E |x - mean|^2 where the chain settles, minus that of the target: the sum over modes (derived)."""
    settled = np.asarray(
        stationary_variance(integrator, step_size, precision, curvature, temperature)
    )
    return float(
        np.sum(settled - temperature / (np.asarray(precision, float) + curvature))
    )


def weak_order(decay: float) -> float:
    """(decay - 1) / decay: the order of the semi-implicit scheme in the step, mu_k like k^-decay (derived)."""
    if not decay > 1:
        raise ValueError(
            f"decay must be > 1, or the variances have no finite sum, got {decay}."
        )
    return (decay - 1) / decay


def galerkin_tail(
    eigenvalues: Float[np.ndarray, " modes"],
    num_modes: int,
    ridge: float,
    temperature: float,
    curvature: Modes = 0.0,
) -> float:
    """E |x|^2 of the modes that a cut-off after `num_modes` leaves out: order N^{1 - decay} (derived)."""
    mu = np.asarray(eigenvalues, float)
    variance = temperature * mu / (ridge + np.asarray(curvature, float) * mu)
    return float(variance[num_modes:].sum())
