"""Newton steps for the dual of a mixture: t of the highest sum_i w_i log t_i - log E exp(sum_i t_i r_i).

E is over particles or points of weights q_0, r_i >= 0 the likelihood of row i there. At the highest t, t_i z_i = w_i
with z_i = E_q r_i, q the law q_0 exp(t r) normalised: q minimises -sum_i w_i log z_i + KL(q || q_0).
"""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from langevax.log_weights import effective_share, normalised

Ratios = Float[np.ndarray, "particle n"]
PerRow = Float[np.ndarray, " n"]

SHORTEST_STEP = 2**-10
"""Share of a Newton step below which none is taken."""


def newton_step(
    ratios: Ratios,
    shares: np.ndarray,
    tilt: PerRow,
    weights: PerRow,
) -> tuple[PerRow, float]:
    """Return the relative change of t, and twice the rise that it predicts; `shares` are those of q."""
    root = np.sqrt(weights)
    size = ratios.shape[1]
    masses = tilt * (shares @ ratios)  # t z, which is w at the optimum
    centred = (ratios * tilt - masses) * np.sqrt(shares)[:, None] / root
    right = (weights - masses) / root
    if size <= len(centred):
        step = np.linalg.solve(np.eye(size) + centred.T @ centred, right)
    else:
        inner = np.eye(len(centred)) + centred @ centred.T
        step = right - centred.T @ np.linalg.solve(inner, centred @ right)
    return step / root, max(float(step @ right), 0.0)


def _halvings(share: float) -> Iterator[float]:
    """Yield shares of a Newton step, from the longest on."""
    while share > SHORTEST_STEP:
        yield share
        share /= 2


def best_tilt(
    ratios: Ratios,
    log_weights: np.ndarray,
    tilt: PerRow,
    weight: float,
    max_steps: int = 40,
    settled: float = 1e-4,
) -> tuple[PerRow, np.ndarray]:
    """Return the best t that a weighted cloud sees, and the log weights that it gives the cloud.

    Steps are damped so that t stays positive, as long as half of the particles stay effective, until Newton's decrement
    is below `settled`.
    """
    if weight == 0:
        return tilt, log_weights
    least = 0.5 * min(1.0, effective_share(log_weights))
    ratios, weights = np.asarray(ratios, np.float64), np.full(ratios.shape[1], weight)
    for _ in range(max_steps):
        step, rise = newton_step(ratios, normalised(log_weights), tilt, weights)
        decrement = math.sqrt(rise / weight)
        if decrement < settled:
            break
        for share in _halvings(1.0 if decrement < 0.25 else 1 / (1 + decrement)):
            trial = tilt * (1 + share * step)
            logs = log_weights + ratios @ (trial - tilt)
            if np.all(trial > 0) and effective_share(logs) >= least:
                break
        else:
            break
        tilt = trial
        log_weights = logs
    return tilt, log_weights


def exact_tilt(
    ratios: Ratios,
    log_prior: np.ndarray,
    tilt: PerRow,
    weights: PerRow,
    max_steps: int = 200,
    settled: float = 1e-10,
) -> tuple[PerRow, np.ndarray]:
    """Return the best t on points that are all there is, and the masses of its law.

    Steps end where twice the rise in nats is below `settled`; each brings a share of what it predicts (Armijo).
    """

    def law(tilt: PerRow) -> tuple[float, np.ndarray]:
        logs = log_prior + ratios @ tilt
        total = np.logaddexp.reduce(logs)
        return float(weights @ np.log(tilt) - total), np.exp(logs - total)

    value, masses = law(tilt)
    for _ in range(max_steps):
        step, rise = newton_step(ratios, masses, tilt, weights)
        if rise < settled:
            break
        for share in _halvings(min(1.0, 0.9 / max(float(-step.min()), 1e-9))):
            trial = tilt * (1 + share * step)
            higher, shares = law(trial)
            if higher >= value + 1e-4 * share * rise:
                break
        else:  # rounding is all that is left
            break
        tilt = trial
        value = higher
        masses = shares
    return tilt, masses
