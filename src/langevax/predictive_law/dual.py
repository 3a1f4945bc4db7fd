"""Newton steps for the dual of a mixture: t of the highest w sum_i log t_i - log E exp(sum_i t_i r_i).

E is over particles of weights q_0, r_i >= 0 the likelihood of row i there. At the highest t, t_i z_i = w with
z_i = E_q r_i, q the law q_0 exp(t r) normalised: q minimises -w sum_i log z_i + KL(q || q_0).
"""

import math

import numpy as np
from jaxtyping import Float

from langevax.log_weights import effective_share, normalised

Ratios = Float[np.ndarray, "particle n"]
PerRow = Float[np.ndarray, " n"]


def newton_step(
    ratios: Ratios,
    shares: np.ndarray,
    tilt: PerRow,
    weight: float,
) -> tuple[PerRow, float]:
    """Return the relative change of t, and twice the rise that it predicts; `shares` are those of q."""
    root = math.sqrt(weight)
    size = ratios.shape[1]
    masses = tilt * (shares @ ratios)  # t z, which is w at the optimum
    centred = (ratios * tilt - masses) * np.sqrt(shares)[:, None] / root
    right = (weight - masses) / root
    if size <= len(centred):
        step = np.linalg.solve(np.eye(size) + centred.T @ centred, right)
    else:
        inner = np.eye(len(centred)) + centred @ centred.T
        step = right - centred.T @ np.linalg.solve(inner, centred @ right)
    return step / root, max(float(step @ right), 0.0)


def best_tilt(
    ratios: Ratios,
    log_weights: np.ndarray,
    tilt: PerRow,
    weight: float,
    max_steps: int = 40,
    max_halvings: int = 10,
    settled: float = 1e-4,
) -> tuple[PerRow, np.ndarray]:
    """Return the best t that a weighted cloud sees, and the log weights that it gives the cloud.

    Steps are damped so that t stays positive, as long as half of the particles stay effective, until Newton's decrement
    is below `settled`.
    """
    if weight == 0:
        return tilt, log_weights
    least = 0.5 * min(1.0, effective_share(log_weights))
    ratios = np.asarray(ratios, np.float64)
    for _ in range(max_steps):
        step, rise = newton_step(ratios, normalised(log_weights), tilt, weight)
        decrement = math.sqrt(rise / weight)
        if decrement < settled:
            break
        share = 1.0 if decrement < 0.25 else 1 / (1 + decrement)
        for _ in range(max_halvings):
            trial = tilt * (1 + share * step)
            logs = log_weights + ratios @ (trial - tilt)
            if np.all(trial > 0) and effective_share(logs) >= least:
                break
            share /= 2
        else:
            break
        tilt = trial
        log_weights = logs
    return tilt, log_weights
