"""Problems of one row of inputs and one weight whose optimum and partition functions are known by quadrature."""

import jax
import jax.numpy as jnp
import numpy as np

from grid_laws import GridRisk
from langevax import MeanFieldRisk, losses, neurons
from langevax.meanfield.clouds import Clouds
from langevax.meanfield.gibbs_law import GibbsLaw
from tests.theory.grids import kl_objective

LOSSES = {
    "squared": (
        lambda z, y: (z - y) ** 2 / 2,
        lambda z, y: z - y,
        lambda g, y: g**2 / 2 + g * y,
    ),
    "logistic": (
        lambda z, y: np.logaddexp(0, -y * z),
        lambda z, y: -y / (1 + np.exp(y * z)),
        lambda g, y: -y * g * np.log(-y * g) + (1 + y * g) * np.log1p(y * g),
    ),
}


class Odd(neurons.Neuron):
    """tanh(w x), one-dimensional particles, so that quadrature knows everything."""

    def __call__(self, particle, x):
        return 3 * jnp.tanh(jnp.dot(particle, x))

    def slope_bounds(self, second_moments):
        return 9 * second_moments

    def particle_size(self, num_features):
        return num_features

    @property
    def output_shape(self):
        return ()

    @property
    def bound(self):
        return 3.0


class Needle(Odd):
    """A well of width .05 at w = 4, where alone cos(2 x) can be had."""

    def __call__(self, particle, x):
        well = jnp.exp(-(((particle[0] - 4) / 0.05) ** 2) / 2)
        return super().__call__(particle, x) + 8 * well * jnp.cos(2 * x[0])

    @property
    def bound(self):
        return 11.0


def needle_values(inputs, grid):
    well = np.exp(-(((grid - 4) / 0.05) ** 2) / 2)
    return 3 * np.tanh(inputs[:, None] * grid) + 8 * well * np.cos(2 * inputs)[:, None]


class Problem:
    """A risk with the same problem on a grid, of weights of variance 1 under the prior."""

    def __init__(
        self, neuron, values, inputs, targets, loss, temperature, row_weights=None
    ):
        self.temperature, self.neuron, self.loss = temperature, neuron, loss
        options = {} if row_weights is None else {"weights": np.float32(row_weights)}
        columns, numbers = np.float32(inputs[:, None]), np.float32(targets)
        precision = np.float32(temperature)
        self.risk = MeanFieldRisk(
            neuron,
            getattr(losses, loss),
            columns,
            numbers,
            precision=precision,
            **options,
        )
        times = (
            np.ones(len(inputs), int)
            if row_weights is None
            else np.asarray(row_weights)
        )
        every = np.repeat(np.arange(len(inputs)), times)
        grid = np.linspace(-9, 9, 6001)
        self.grid = GridRisk(
            grid,
            values(inputs, grid)[every],
            targets[every],
            temperature / 2,
            temperature,
            *LOSSES[loss],
        )
        self.times = times

    def optimal_dual(self):
        """The best dual, of each row of the risk."""
        dual = self.grid.optimal_dual()
        used = self.times > 0
        whole = np.zeros(len(self.times))
        whole[used] = dual[(np.cumsum(self.times) - self.times)[used]]
        return whole

    def lower(self, dual):
        """D of a dual, of each row of the risk."""
        every = np.repeat(np.arange(len(self.times)), self.times)
        return (
            self.grid.dual_objective(np.asarray(dual, float)[every])
            + self.temperature * np.log(2 * np.pi) / 2
        )

    @property
    def optimum(self):
        """The least objective."""
        return self.lower(self.optimal_dual())

    @property
    def prior_objective(self):
        return kl_objective(self.grid, self.grid.prior())

    def log_partition(self, dual):
        return self.grid.log_partition(np.asarray(dual, float)) - np.log(2 * np.pi) / 2

    def clouds(self, seed=0):
        """Clouds of its laws; close them."""
        law = GibbsLaw.of(self.risk, self.temperature)
        return Clouds(law, int(np.sum(self.times > 0)), jax.random.key(seed))

    def tilt(self, dual):
        law = GibbsLaw.of(self.risk, self.temperature)
        return law.tilt(jnp.asarray(dual, jnp.float32), self.temperature)

    def draws(self, dual, shape, seed=0):
        """Exact draws of the law of a dual, by the inverse of its distribution on the grid."""
        grid = self.grid
        distribution = np.cumsum(grid.measure * grid.gibbs(np.asarray(dual, float)))
        uniform = np.random.default_rng(seed).uniform(size=shape) * distribution[-1]
        return np.interp(uniform, distribution, grid.points).astype(np.float32)[
            ..., None
        ]


def odd_values(inputs, grid):
    return 3 * np.tanh(inputs[:, None] * grid)


def smooth(loss="squared", temperature=0.1):
    """Six rows and one neuron of few modes."""
    inputs = np.linspace(-2, 2, 6)
    targets = {
        "squared": np.tanh(2 * inputs) + 0.2,
        "logistic": np.array([-1.0, -1.0, 1.0, -1.0, 1.0, 1.0]),
    }[loss]
    return Problem(Odd(), odd_values, inputs, targets, loss, temperature)


def needle(loss="squared"):
    """A well of a thousandth of the prior's mass, which holds nearly all of the optimum's."""
    rng = np.random.default_rng(0)
    inputs = 1.5 * rng.normal(size=20)
    targets = 1.5 * np.cos(2 * inputs) + 0.3 * np.tanh(inputs)
    targets = targets if loss == "squared" else np.where(targets > 0.2, 1.0, -1.0)
    return Problem(Needle(), needle_values, inputs, targets, loss, 0.01)
