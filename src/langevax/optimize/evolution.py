"""CMA-ES: a normal law whose mean, step size and covariance follow the better half of its draws.

Hansen, The CMA Evolution Strategy: A Tutorial (arXiv:1604.00772), with its default weights and rates; equations (38)
to (49). Values alone are used, and only their order. Draws are reflected into the box before they are evaluated, and
the law learns from the reflected ones. Cost: `population` values and O(d^2 population) numbers a generation, with an
eigendecomposition each time.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from langevax._typing import HostVector

Values = Callable[[Float[np.ndarray, "places d"]], Float[np.ndarray, " places"]]


class Evolution:
    """The state of a strategy between two generations."""

    def __init__(
        self,
        mean: HostVector,
        sigma: float,
        population: int,
    ):
        d = len(mean)
        ranks = np.arange(1, population // 2 + 1)
        gains = np.log((population + 1) / 2) - np.log(ranks)
        self.weights: Float[np.ndarray, " parents"] = gains / gains.sum()
        mass = float(1 / np.sum(self.weights**2))
        self.selected_mass: float = mass
        self.rate_sigma: float = (mass + 2) / (d + mass + 5)
        excess = np.sqrt((mass - 1) / (d + 1)) - 1
        self.damping: float = 1 + 2 * max(0.0, excess) + self.rate_sigma
        self.rate_path: float = (4 + mass / d) / (d + 4 + 2 * mass / d)
        self.rate_one: float = 2 / ((d + 1.3) ** 2 + mass)
        rate_many = 2 * (mass - 2 + 1 / mass) / ((d + 2) ** 2 + mass)
        self.rate_many: float = min(1 - self.rate_one, rate_many)
        expansion = 1 - 1 / (4 * d) + 1 / (21 * d**2)
        self.mean_norm: float = np.sqrt(d) * expansion
        self.population = population
        self.sigma = sigma
        self.generation = 0
        self.mean: HostVector = np.array(mean, float)
        self.covariance: Float[np.ndarray, "d d"] = np.eye(d)
        self.path = np.zeros(d)
        self.sigma_path = np.zeros(d)
        self._decompose()

    def _decompose(self) -> None:
        squares, self.axes = np.linalg.eigh(self.covariance)
        self.lengths: HostVector = np.sqrt(np.maximum(squares, 1e-20))

    @property
    def width(self) -> float:
        """Largest standard deviation of the law."""
        return float(self.sigma * self.lengths.max())

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "places d"]:
        """Return `population` draws of the law."""
        normals = rng.standard_normal((self.population, len(self.mean)))
        return self.mean + self.sigma * (normals * self.lengths) @ self.axes.T

    def learn(
        self,
        places: Float[np.ndarray, "places d"],
        values: Float[np.ndarray, " places"],
    ) -> None:
        """Move the law towards the better half of these places."""
        order = np.argsort(values, kind="stable")
        better = places[order[: len(self.weights)]]
        steps = (better - self.mean) / self.sigma
        step = self.weights @ steps
        mass = self.selected_mass
        self.mean = self.mean + self.sigma * step
        self.generation += 1
        whitened = self.axes @ ((self.axes.T @ step) / self.lengths)
        c = self.rate_sigma
        gain = np.sqrt(c * (2 - c) * mass)
        self.sigma_path = (1 - c) * self.sigma_path + gain * whitened
        norm = np.linalg.norm(self.sigma_path)
        begun = 1 - (1 - c) ** (2 * self.generation)
        expected = np.sqrt(begun) * self.mean_norm
        stalls = norm / expected < 1.4 + 2 / (len(step) + 1)
        rise = c / self.damping * (norm / self.mean_norm - 1)
        c = self.rate_path
        gain = stalls * np.sqrt(c * (2 - c) * mass)
        self.path = (1 - c) * self.path + gain * step
        lost = (1 - stalls) * self.rate_one * c * (2 - c)
        stays = 1 - self.rate_one - self.rate_many + lost
        self.covariance = (
            stays * self.covariance
            + self.rate_one * np.outer(self.path, self.path)
            + self.rate_many * (steps.T * self.weights) @ steps
        )
        self.sigma *= float(np.exp(min(1.0, rise)))
        self._decompose()


def default_population(dimension: int) -> int:
    """Return 4 + 3 log d, which restarts double."""
    return 4 + int(3 * np.log(dimension))
