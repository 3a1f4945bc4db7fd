"""Leave-one-out scores of a predictive law in closed form, from the log likelihoods of its particles.

With r_i = p_i / z_i, s_i = a log p_i + (1-a) r_i, K = Cov_q(r, r), V_ji = Cov_q(r_j, s_i), M = (I + (1-a) K W)^-1 and W
the diagonal of the rows' weights w_i, which are 1 by default:

    L_i = w_i (M V)_ii / (1 - (1-a) w_i (M K)_ii),      gamma_i = L_i / V_ii in [0, w_i]
    log z_i without row i  =  log E_q[p_i exp(-gamma_i s_i)] - log E_q[exp(-gamma_i s_i)],      p_eff = sum_i L_i

L_i is the first-order drop of log z_i where row i leaves and the dual of all other rows answers; gamma_i is the share
of the tilt of row i that this drop amounts to, and the tilt is then taken off exactly. At a = 1 this is importance
sampling. The derivation is langevax's own. Cost: P^2 n for P particles, by the identity of Woodbury.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from langevax.log_weights import log_mean_exp
from langevax.trees import in_double


class LeftOutScores(NamedTuple):
    """Scores of rows under the law of all other rows."""

    scores: Float[np.ndarray, " n"]
    leverages: Float[np.ndarray, " n"]
    """L_i, which add up to `p_eff`."""

    @property
    def p_eff(self) -> float:
        """Effective number of parameters."""
        return float(self.leverages.sum())


def leave_one_out(
    log_likelihoods: Float[np.ndarray, "particle n"],
    posterior_share: float,
    weights: float | Float[np.ndarray, " n"] = 1.0,
    numbers_at_once: int = 2**22,
) -> LeftOutScores:
    """Return what every row scores under the law of all others, each left out with all of its weight.

    So many numbers of the table of particles and rows are held in double precision at a time.
    """
    particles, size = log_likelihoods.shape
    weights = np.broadcast_to(weights, size)
    width = max(1, numbers_at_once // particles)
    tables = [slice(start, start + width) for start in range(0, size, width)]
    share = 1 - posterior_share
    gram = particles * np.eye(particles)
    if share:
        for rows in tables:
            centred = _tilts(log_likelihoods[:, rows], posterior_share)[0]
            gram += share * (centred * weights[rows]) @ centred.T
    scores = np.empty(size)
    leverages = np.empty(size)
    for rows in tables:
        centred, tilt = _tilts(log_likelihoods[:, rows], posterior_share)
        solved = np.linalg.solve(gram, centred) if share else centred / particles
        weight = weights[rows]
        drop = weight * np.sum(solved * (tilt - tilt.mean(axis=0)), axis=0)
        drop /= np.maximum(
            1 - share * weight * np.sum(solved * centred, axis=0), np.finfo(float).tiny
        )
        own = np.mean(centred * tilt, axis=0)
        gamma = np.clip(
            np.divide(drop, own, out=np.array(weight, float), where=own > 0), 0, weight
        )
        without = -gamma * tilt
        logs = in_double(log_likelihoods[:, rows])
        scores[rows] = log_mean_exp(logs + without, 0) - log_mean_exp(without, 0)
        leverages[rows] = drop
    return LeftOutScores(scores, leverages)


def _tilts(
    logs: Float[np.ndarray, "particle n"], posterior_share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return r - 1 and s, a column for each row; log p is relative to log z, and -inf is below every finite one."""
    relative = in_double(logs)
    relative = relative - log_mean_exp(relative, 0)
    relative = np.where(np.isneginf(relative), -1e3, relative)
    ratio = np.exp(relative)
    return ratio - 1, posterior_share * relative + (1 - posterior_share) * ratio
