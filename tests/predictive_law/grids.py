"""Predictive laws on a grid of parameters, to rounding: an independent transcript in NumPy, and its data.

    D(c) = w (1-a) (n + sum log c_i) - log sum_k prior_k exp( w sum_i [ a log p_ki + (1-a) c_i p_ki ] )

is concave and self-concordant in c, so that damped Newton steps converge from anywhere. Its maximum is the least J.
"""

from dataclasses import dataclass

import numpy as np

# Velocities of 82 galaxies in km/s, as MASS for R has them (Roeder 1990), whose 78th differs from the paper's.
GALAXIES = np.array(
    [
        9172,
        9350,
        9483,
        9558,
        9775,
        10227,
        10406,
        16084,
        16170,
        18419,
        18552,
        18600,
        18927,
        19052,
        19070,
        19330,
        19343,
        19349,
        19440,
        19473,
        19529,
        19541,
        19547,
        19663,
        19846,
        19856,
        19863,
        19914,
        19918,
        19973,
        19989,
        20166,
        20175,
        20179,
        20196,
        20215,
        20221,
        20415,
        20629,
        20795,
        20821,
        20846,
        20875,
        20986,
        21137,
        21492,
        21701,
        21814,
        21921,
        21960,
        22185,
        22209,
        22242,
        22249,
        22314,
        22374,
        22495,
        22746,
        22747,
        22888,
        22914,
        23206,
        23241,
        23263,
        23484,
        23538,
        23542,
        23666,
        23706,
        23711,
        24129,
        24285,
        24289,
        24366,
        24717,
        24990,
        25633,
        26690,
        26995,
        32065,
        32789,
        34279.0,
    ]
)


@dataclass
class GridLaw:
    """A minimiser of J on a grid."""

    log_dual: np.ndarray
    weights: np.ndarray
    fit: float
    """Mean of log z over rows, each counted as often as it occurs."""
    value: float
    """J / w."""
    gap: float
    """J / w minus D / w."""


def solve(log_p, log_prior, posterior_share, weight=1.0, counts=None, log_dual=None):
    """Return the least J for a table of log likelihoods (grid, row); `weight` is 1 / temperature."""
    counts = np.ones(log_p.shape[1]) if counts is None else counts
    log_prior = log_prior - np.logaddexp.reduce(log_prior)
    a, b, p = posterior_share, weight * (1 - posterior_share) * counts, np.exp(log_p)
    log_c = -np.log(np.exp(log_prior) @ p) if log_dual is None else log_dual

    def law(log_c):
        tilt = log_prior + log_p @ (a * weight * counts) + np.exp(log_c + log_p) @ b
        log_total = np.logaddexp.reduce(tilt)
        return np.exp(tilt - log_total), log_total

    for _ in range(500):
        q, _ = law(log_c)
        z = q @ p
        u, root = np.exp(log_c) * z, np.sqrt(b)
        centred = (p / z - 1) * (u * root)
        hessian = np.eye(len(z)) + (centred * q[:, None]).T @ centred
        step = np.linalg.solve(hessian, root * (1 - u))  # sqrt(b) dc / c
        decrement = np.sqrt(step @ (root * (1 - u)))
        if decrement < 1e-9:
            break
        size = 1.0 if decrement < 0.25 else 1 / (1 + decrement)
        log_c = log_c + np.log1p(
            size * np.divide(step, root, out=np.zeros_like(step), where=root > 0)
        )
    q, log_total = law(log_c)
    z = q @ p
    divergence = np.sum(
        np.where(q > 0, q * (np.log(np.maximum(q, 1e-300)) - log_prior), 0)
    )
    primal = -b @ np.log(z) - a * weight * counts @ (q @ log_p) + divergence
    dual = b @ (1 + log_c) - log_total
    return GridLaw(
        log_c,
        q,
        counts @ np.log(z) / counts.sum(),
        primal / weight,
        (primal - dual) / weight,
    )


def cooled(
    log_p,
    log_prior,
    temperatures,
    counts=None,
    start=200.0,
    ratio=1.25,
    posterior_share=0.0,
):
    """Return the law at each of these falling temperatures, by default with no share of Bayes, from a hot one down."""
    temperature, log_dual, laws = start, None, []
    for target in temperatures:
        while temperature > target:
            temperature = max(target, temperature / ratio)
            law = solve(
                log_p, log_prior, posterior_share, 1 / temperature, counts, log_dual
            )
            log_dual = law.log_dual
        laws.append(law)
    return laws
