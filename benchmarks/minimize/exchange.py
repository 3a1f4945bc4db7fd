"""Replica exchange Langevin dynamics as a solver of the table: what it solves alone, at the same cost as the others.

Sixteen replicas take Metropolis-adjusted Langevin steps at temperatures from the spread of the values down, each along
the covariance of the replicas that were at its temperature; neighbours swap, the ladder follows the swap rates, the
steps the acceptance. Ten times in a run L-BFGS-B descends from three of the coldest. Steps are reflected into the box,
which the acceptance does not correct: a search, not a sampler.
"""

import itertools
import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import scipy.optimize as scipy

REPLICAS, SCREENED, DESCENTS = 16, 8, 10
ACCEPTANCE, SWAP_RATE = 0.57, 0.3  # aimed at
FIRST_STEP, SHORTEST, LONGEST = 0.1, 1e-7, 1.0  # in half widths of the box
LADDER_PERIOD, COVARIANCE_PERIOD, FORGET = 20, 5, 0.7
DESCENDED = (0, 3, 6)  # replicas, coldest first

ValueAndGradient = Callable[[np.ndarray], tuple[float, np.ndarray]]


class Counted(Protocol):
    """A function that counts its evaluations, and raises where its budget is spent."""

    budget: float
    cost: float

    def value(self, x: np.ndarray) -> float:
        """Return a value."""
        ...

    def both(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return a value and its gradient."""
        ...


class Replicas:
    """Positions in units of the box, coldest first, with all that is adapted."""

    def __init__(
        self,
        places: np.ndarray,
        both: ValueAndGradient,
        spread: float,
        rng: np.random.Generator,
    ):
        self.both, self.rng, self.y = both, rng, places.copy()
        count, d = places.shape
        self.fun, self.slopes = self._evaluated(places)
        self.hottest = spread * math.sqrt(
            2 / d
        )  # the deviation of values in a quadratic well is T sqrt(d / 2)
        self.temperatures: np.ndarray = self.hottest * (
            1 + math.sqrt(2 / d)
        ) ** -np.arange(count)[::-1].astype(float)
        self.log_steps = np.full(count, math.log(FIRST_STEP))
        self.means, self.covariances = places.copy(), np.tile(np.eye(d), (count, 1, 1))
        self.swapped, self.tried, self.number = (
            np.zeros(count - 1),
            np.zeros(count - 1),
            0,
        )
        self.factors: np.ndarray = self.covariances.copy()

    def _evaluated(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        fun, slopes = (
            np.array(part) for part in zip(*map(self.both, places), strict=True)
        )
        return fun, np.where(np.isfinite(slopes), slopes, 0)

    def step(self) -> None:
        """Move every replica, try the swaps of every second pair, and adapt."""
        count, d = self.y.shape
        length = np.exp(self.log_steps)[:, None]
        noise = self.rng.standard_normal((count, d))
        forward = self._white_drift(self.slopes, length)
        there = self.y + np.einsum("kij,kj->ki", self.factors, forward + length * noise)
        new = 1 - np.abs((there + 1) % 4 - 2)
        fun, slopes = self._evaluated(new)
        back = np.linalg.solve(self.factors, (self.y - there)[..., None])[
            ..., 0
        ] - self._white_drift(slopes, length)
        log_ratio = (self.fun - fun) / self.temperatures
        log_ratio += (
            np.sum(noise**2, axis=1) - np.sum((back / length) ** 2, axis=1)
        ) / 2
        accepted = np.exp(
            np.minimum(np.where(np.isfinite(log_ratio), log_ratio, -np.inf), 0)
        )
        taken = self.rng.uniform(size=count) < accepted
        self.y[taken], self.fun[taken], self.slopes[taken] = (
            new[taken],
            fun[taken],
            slopes[taken],
        )
        self.number += 1
        self.log_steps += 3 * (accepted - ACCEPTANCE) / (1 + self.number) ** 0.6
        self.log_steps = np.clip(self.log_steps, math.log(SHORTEST), math.log(LONGEST))
        self._learn()
        self._swap()

    def _white_drift(self, slopes: np.ndarray, length: np.ndarray) -> np.ndarray:
        """Return the drift in coordinates of unit covariance, at most as long as the noise."""
        white = (
            -(length**2)
            / (2 * self.temperatures[:, None])
            * np.einsum("kji,kj->ki", self.factors, slopes)
        )
        norm = np.linalg.norm(white, axis=1, keepdims=True)
        return white * np.minimum(
            1, length * math.sqrt(white.shape[1]) / np.maximum(norm, 1e-300)
        )

    def _learn(self) -> None:
        d = self.y.shape[1]
        rate = max(1 / (self.number + d), 1 / (10 * d))
        apart = self.y - self.means
        self.means += rate * apart
        self.covariances = (1 - rate) * self.covariances + rate * apart[
            :, :, None
        ] * apart[:, None, :]
        if self.number % COVARIANCE_PERIOD == 0:
            scale = np.trace(self.covariances, axis1=1, axis2=2) / d
            shapes = self.covariances / np.maximum(scale, 1e-300)[:, None, None]
            self.factors = np.linalg.cholesky(shapes + 1e-6 * np.eye(d))
        if self.number % LADDER_PERIOD == 0:
            rates = (self.swapped + 1) / (self.tried + 2)
            steps = np.clip(
                np.diff(np.log(self.temperatures)) * np.exp((rates - SWAP_RATE) / 2),
                0.02,
                3,
            )
            below = np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]])
            self.temperatures = self.hottest * np.exp(-below)
            self.swapped, self.tried = FORGET * self.swapped, FORGET * self.tried

    def _swap(self) -> None:
        inverse = 1 / self.temperatures
        for k in range(self.number % 2, len(inverse) - 1, 2):
            log_ratio = (inverse[k] - inverse[k + 1]) * (self.fun[k] - self.fun[k + 1])
            probability = (
                math.exp(min(0.0, log_ratio)) if math.isfinite(log_ratio) else 0.0
            )
            self.swapped[k] += probability
            self.tried[k] += 1
            if self.rng.uniform() < probability:
                for array in (self.y, self.fun, self.slopes):
                    array[[k, k + 1]] = array[[k + 1, k]]


def replica_exchange(
    function: Counted, x0: np.ndarray, low: np.ndarray, high: np.ndarray, seed: int
) -> None:
    """Run until the budget is spent."""
    rng, d = np.random.default_rng(seed), len(x0)
    middle, half = (low + high) / 2, (high - low) / 2

    def both(y: np.ndarray) -> tuple[float, np.ndarray]:
        fun, gradient = function.both(middle + half * y)
        return fun, gradient * half

    drawn = np.concatenate(
        [(x0[None] - middle) / half, rng.uniform(-1, 1, (SCREENED * REPLICAS - 1, d))]
    )
    fun = np.array([function.value(middle + half * y) for y in drawn])
    replicas = Replicas(
        drawn[np.argsort(fun)[:REPLICAS]], both, float(np.std(fun)), rng
    )
    for number in itertools.count(1):
        while function.cost < function.budget * number / DESCENTS:
            replicas.step()
        for k in DESCENDED:
            scipy.minimize(
                both,
                replicas.y[k],
                jac=True,
                method="L-BFGS-B",
                bounds=[(-1.0, 1.0)] * d,
            )
