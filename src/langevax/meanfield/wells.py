"""Wells of a Gibbs law that walks may have missed: descents from the prior and wider, and the mass of where they end.

What no descent enters is not seen. A well whose basin holds a share eps of the starts is missed by N descents with
probability (1 - eps)^N: with 95 % confidence none that holds more than 3 / N.
"""

from typing import NamedTuple

import numpy as np

from langevax.meanfield.clouds import Clouds, Mixture, mixture
from langevax.meanfield.gibbs_law import Tilt
from langevax.meanfield.walks import effective_share, log_mean

NUM_DESCENTS = 2000  # half of them from a wider prior; half as many more from the clouds
NUM_STEPS = 100
MOST_WELLS = 7
APART = 0.1  # of the distance to the prior's mode: ends nearer than this are one well
NEWTON_STEPS, DIFFERENCE = 4, 1e-2
INFLATION = 1.5  # of a well's covariance in the proposals that measure its mass
ENOUGH = 0.02  # of the proposals effective: then their mean weight is used, else the normal around the bottom


class Wells(NamedTuple):
    """Bottoms of the deepest wells met, with normals around them."""

    log_partition: float
    """log of the mass of all of them, relative to the prior's; -inf where none was met."""
    positions: np.ndarray
    log_masses: np.ndarray
    covariances: np.ndarray
    num_descents: int


def wider(size: int) -> float:
    """Return the factor of the wider prior: 4 in one dimension, nearly 1 in many."""
    return 1 + 3 / np.sqrt(2 * size) if size > 1 else 4.0


def search(clouds: Clouds, tilt: Tilt, others: list[np.ndarray], num_descents: int = NUM_DESCENTS) -> Wells:
    """Descend from the prior, the wider prior and `others`, and measure the mass of the lowest distinct ends."""
    size = clouds.law.size
    half = num_descents // 2
    starts = [clouds.prior(half), clouds.prior(half) * np.asarray(wider(size), clouds.dtype)]
    for other in others:
        chosen = clouds.generator().choice(len(other), min(len(other), half // len(others)), replace=False)
        starts.append(other[chosen])
    ends, energies, _ = clouds.descended(tilt, np.concatenate(starts), NUM_STEPS)
    bottoms = _lowest(ends, energies)
    positions, masses, covariances = [], [], []
    for bottom in bottoms:
        bottom_of = _bottom(clouds, tilt, bottom)
        if bottom_of is None or any(np.linalg.norm(bottom_of[0] - other) < APART for other in positions):
            continue
        positions.append(bottom_of[0])
        masses.append(bottom_of[1])
        covariances.append(bottom_of[2])
    count = len(ends)
    if not positions:
        return Wells(-np.inf, np.zeros((0, size)), np.zeros(0), np.zeros((0, size, size)), count)
    where, logs, spreads = np.array(positions), np.array(masses), np.array(covariances)
    laplace = float(np.logaddexp.reduce(logs))
    start = mixture(np.exp(logs - logs.max()) + 0.01, where, INFLATION * spreads, clouds.dtype)
    value, share = _importance(clouds, tilt, start)
    # few effective proposals err downwards: then whichever is larger
    log_partition = value if share > ENOUGH else max(value, laplace)
    return Wells(log_partition, where, logs, spreads, count)


def _importance(clouds: Clouds, tilt: Tilt, start: Mixture) -> tuple[float, float]:
    """Return log of the mean weight prior e^v / q of draws of q, and the share of effective draws."""
    cloud = clouds.drawn(start, 2 * clouds.block)
    values = clouds.values(clouds.target(tilt, 0.0, 0.0, start), cloud)
    log_weights = values.log_prior + values.exponent - values.log_start
    return float(log_mean(log_weights)), effective_share(log_weights)


def _lowest(ends: np.ndarray, energies: np.ndarray) -> list[np.ndarray]:
    """Return the lowest ends that are apart from each other."""
    chosen: list[np.ndarray] = []
    for index in np.argsort(energies)[:2000]:
        apart = APART * (1 + np.linalg.norm(ends[index]))
        if all(np.linalg.norm(ends[index] - other) > apart for other in chosen):
            chosen.append(ends[index])
        if len(chosen) == MOST_WELLS:
            break
    return chosen


def _bottom(clouds: Clouds, tilt: Tilt, position: np.ndarray) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Return the bottom by Newton steps, the log mass of the normal around it, and its covariance; None at a saddle."""
    for _ in range(NEWTON_STEPS):
        energy, gradient, hessian = _curved(clouds, tilt, position)
        values, vectors = np.linalg.eigh(hessian)
        step = vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(values), 1e-3))
        lower = position - step
        if np.linalg.norm(step) < 1e-3 or _curved(clouds, tilt, lower)[0] > energy:
            break
        position = lower
    energy, _, hessian = _curved(clouds, tilt, position)
    values, vectors = np.linalg.eigh(hessian)
    if not np.all(values > 0):
        return None
    # the prior's own normal has energy |x|^2 / 2 and mass 1
    return position, -energy - float(np.log(values).sum()) / 2, (vectors / values) @ vectors.T


def _curved(clouds: Clouds, tilt: Tilt, position: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the energy, its gradient, and its Hessian by differences of gradients."""
    size = len(position)
    offsets = DIFFERENCE * np.concatenate([np.zeros((1, size)), np.eye(size), -np.eye(size)])
    _, energies, gradients = clouds.descended(tilt, (position + offsets).astype(clouds.dtype), 0)
    hessian = (gradients[1 : size + 1] - gradients[size + 1 :]).astype(np.float64) / (2 * DIFFERENCE)
    return float(energies[0]), gradients[0].astype(np.float64), (hessian + hessian.T) / 2
