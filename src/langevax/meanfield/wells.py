"""Wells of a Gibbs law that walks may have missed: descents from the prior and wider, and the mass of where they end.

What no descent enters is not seen. A well whose basin holds a share eps of the starts is missed by N descents with
probability (1 - eps)^N: with 95 % confidence none that holds more than 3 / N.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from langevax.log_weights import effective_share, log_mean_exp
from langevax.meanfield.clouds import Clouds, Mixture, mixture
from langevax.meanfield.gibbs_law import Tilt

NUM_DESCENTS = 2000
"""Half of them from a wider prior; half as many more are from the clouds."""
INFLATION = 1.5  # of a well's covariance, for proposals


class Wells(NamedTuple):
    """Bottoms of the deepest wells met, with normals around them."""

    log_partition: float
    """log of the mass of all of them, relative to the prior's; -inf where none was met."""
    positions: np.ndarray
    log_masses: np.ndarray
    covariances: np.ndarray
    num_descents: int
    """0 where none of them ended in a well."""


def wider(size: int) -> float:
    """Return the factor of the wider prior: 4 in one dimension, nearly 1 in many."""
    return 1 + 3 / np.sqrt(2 * size) if size > 1 else 4.0


def search(
    clouds: Clouds,
    tilt: Tilt,
    others: list[np.ndarray],
    num_descents: int = NUM_DESCENTS,
    num_steps: int = 100,
    apart: float = 0.1,
    enough: float = 0.02,
) -> Wells:
    """Descend from the prior, the wider prior and `others`, and measure the mass of the lowest distinct ends.

    Args:
        clouds, tilt: the law.
        others: clouds from which descents start as well.
        num_descents, num_steps: from the priors, and steps of each.
        apart: ends nearer than this, relative to their distance to the prior's mode, are one well.
        enough: share of the proposals that is effective where their mean weight is the mass; below it may be the normal
            around the bottom.
    """
    starts = _starts(clouds, others, num_descents // 2)
    ends, energies, _ = clouds.descended(tilt, starts, num_steps)
    met: list[tuple[np.ndarray, float, np.ndarray]] = []
    for bottom in _bottoms(clouds, tilt, _lowest(ends, energies, apart)):
        if all(np.linalg.norm(bottom[0] - other[0]) >= apart for other in met):
            met.append(bottom)
    if not met:
        size = clouds.law.size
        nothing = np.zeros((0, size)), np.zeros(0), np.zeros((0, size, size))
        return Wells(-np.inf, *nothing, 0)
    where, logs, spreads = (np.array(part) for part in zip(*met, strict=True))
    start = mixture(
        np.exp(logs - logs.max()) + 0.01, where, INFLATION * spreads, clouds.dtype
    )
    value, share = _importance(clouds, tilt, start)
    # few effective proposals err downwards: then whichever is larger
    if share <= enough:
        value = max(value, float(np.logaddexp.reduce(logs)))
    return Wells(value, where, logs, spreads, len(ends))


def _starts(clouds: Clouds, others: list[np.ndarray], half: int) -> np.ndarray:
    """Return draws of the prior, as many of the wider prior, and half as many as all of these from `others`."""
    wide = np.asarray(wider(clouds.law.size), clouds.dtype)
    starts = [clouds.prior(half), clouds.prior(half) * wide]
    for other in others:
        number = min(len(other), half // len(others))
        chosen = clouds.generator().choice(len(other), number, replace=False)
        starts.append(other[chosen])
    return np.concatenate(starts)


def _importance(clouds: Clouds, tilt: Tilt, start: Mixture) -> tuple[float, float]:
    """Return log of the mean weight prior e^v / q of draws of q, and the share of effective draws."""
    cloud = clouds.drawn(start, 2 * clouds.block)
    values = clouds.values(clouds.target(tilt, 0.0, 0.0, start), cloud)
    log_weights = values.log_prior + values.exponent - values.log_start
    return float(log_mean_exp(log_weights)), effective_share(log_weights)


def _lowest(
    ends: np.ndarray,
    energies: np.ndarray,
    apart: float,
    most: int = 7,
) -> np.ndarray:
    """Return the lowest ends that are apart from each other, at most so many."""
    chosen: list[np.ndarray] = []
    for index in np.argsort(energies)[:2000]:
        away = apart * (1 + np.linalg.norm(ends[index]))
        if all(np.linalg.norm(ends[index] - other) > away for other in chosen):
            chosen.append(ends[index])
        if len(chosen) == most:
            break
    return np.array(chosen)


def _bottoms(
    clouds: Clouds,
    tilt: Tilt,
    positions: np.ndarray,
    newton_steps: int = 30,
    flattest: float = 1e-3,
    first_damping: float = 1.0,
    difference: float = 1e-2,
) -> Iterator[tuple[np.ndarray, float, np.ndarray]]:
    """Yield bottoms by damped Newton steps, the log mass of the normal around each, and its covariance, but no saddles.

    All of them step together: each evaluation fills a block, however few its particles are. A step counts on curvatures
    of at least `flattest`; `first_damping` is added to all of them after one that led upwards.
    """
    energies, gradients, hessians = _curved(clouds, tilt, positions, difference)
    damping = np.zeros(len(positions))
    for _ in range(newton_steps):
        values, vectors = np.linalg.eigh(hessians)
        along = np.einsum("kij,ki->kj", vectors, gradients)
        along /= np.maximum(np.abs(values), flattest) + damping[:, None]
        steps = np.einsum("kij,kj->ki", vectors, along)
        moving = np.linalg.norm(steps, axis=1) >= 1e-3
        if not moving.any():
            break
        lower = _curved(clouds, tilt, positions - steps, difference)
        down = moving & (lower[0] <= energies)
        damping = np.where(down, damping / 10, np.maximum(10 * damping, first_damping))
        positions = np.where(down[:, None], positions - steps, positions)
        energies = np.where(down, lower[0], energies)
        gradients = np.where(down[:, None], lower[1], gradients)
        hessians = np.where(down[:, None, None], lower[2], hessians)
    eps = float(np.finfo(clouds.dtype).eps)
    for position, energy, hessian in zip(positions, energies, hessians, strict=True):
        values, vectors = np.linalg.eigh(hessian)
        rounding = eps * values.max() * (1 + np.linalg.norm(position)) / difference
        if np.all(values > -rounding):
            values = np.maximum(values, rounding)
            # the prior's own normal has energy |x|^2 / 2 and mass 1
            yield (
                position,
                -float(energy) - float(np.log(values).sum()) / 2,
                (vectors / values) @ vectors.T,
            )


def _curved(
    clouds: Clouds,
    tilt: Tilt,
    positions: np.ndarray,
    difference: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return energies, their gradients, and their Hessians by differences of gradients."""
    count, size = positions.shape
    offsets = difference * np.concatenate(
        [np.zeros((1, size)), np.eye(size), -np.eye(size)]
    )
    around = (positions[:, None] + offsets).reshape(-1, size).astype(clouds.dtype)
    _, energies, gradients = clouds.descended(tilt, around, 0)
    slopes = gradients.reshape(count, -1, size).astype(np.float64)
    hessians = (slopes[:, 1 : size + 1] - slopes[:, size + 1 :]) / (2 * difference)
    return (
        energies.reshape(count, -1)[:, 0].astype(np.float64),
        slopes[:, 0],
        (hessians + hessians.mT) / 2,
    )
