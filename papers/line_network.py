"""Networks whose neurons have one weight, and the exact law of their MFLD at its own step size, on a grid.

    h(w, x) = scale tanh(a w + c),     x = (a, c);     mean loss + ridge E w^2 + temperature E_q log q

One step moves a particle to a w - b grad V_g(w) + c sqrt(temperature) xi (`Exponential`, g the dual vector of the law
it is at), so that the law of infinitely many particles is pushed by a matrix which depends on the law itself.
N particles fluctuate about it: eta = sqrt(N) (empirical - law) has in the limit of large N the covariance

    S  <-  A S A' + diag(law') - K diag(law) K',      A = K + (derivative of K law in g) diag(loss'') h'

(the central limit theorem of interacting Markov chains; derived).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy.special import entr, expit
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from grid_laws import GridRisk
from langevax import trees
from langevax.algorithm import State
from langevax.problems import losses
from langevax.problems.mean_field import MeanFieldRisk
from langevax.problems.neurons import Scaled
from langevax.theory.gaussian import linear_gains


def dual_of(problem: MeanFieldRisk, state: State) -> Array:
    """Return the dual in the state, or loss' at the outputs where the method has none."""
    dual = getattr(state, "dual", None)
    return problem.dual(state.position) if dual is None else dual


class ExactLoss(NamedTuple):
    """A loss and its derivatives in z, in NumPy, for the laws on a grid."""

    loss: Callable[[np.ndarray, np.ndarray], np.ndarray]
    derivative: Callable[[np.ndarray, np.ndarray], np.ndarray]
    conjugate: Callable[[np.ndarray, np.ndarray], np.ndarray]
    second_derivative: Callable[[np.ndarray, np.ndarray], np.ndarray]


EXACT = {
    "squared": ExactLoss(
        lambda z, y: (z - y) ** 2 / 2,
        lambda z, y: z - y,
        lambda g, y: g**2 / 2 + g * y,
        lambda z, y: np.ones_like(z),
    ),
    "logistic": ExactLoss(
        lambda z, y: np.logaddexp(0, -y * z),
        lambda z, y: -y * expit(-y * z),
        lambda g, y: -entr(-y * g) - entr(1 + y * g),
        lambda z, y: expit(z) * expit(-z),
    ),
}


class Line(Scaled):
    """h = scale tanh(a w + c), with particle (w,) and input (a, c)."""

    scale: float | Float[Array, ""] = 1.0

    def activation(
        self, particle: Float[Array, "1"], x: Float[Array, "2"]
    ) -> Float[Array, ""]:
        return jnp.tanh(x[0] * particle[0] + x[1])

    def activation_slopes(self, second_moments: Float[Array, "2"]) -> Float[Array, "1"]:
        return second_moments[:1]

    def particle_size(self, num_features: int) -> int:
        return 1


def normal_start(
    mean: float, deviation: float, num_particles: int, key: Key[Array, ""]
) -> Array:
    return mean + deviation * trees.normal((num_particles, 1), jnp.float32, key=key)


@dataclass(frozen=True, kw_only=True)
class LineNetwork:
    """The same problem for particles and for the grid, and the normal law it starts from."""

    slopes: tuple[float, ...] = (2.0, 1.5, -1.0, -2.0, 1.0, -1.5)
    shifts: tuple[float, ...] = (-1.0, 0.8, -1.2, 0.5, 0.2, 1.0)
    targets: tuple[float, ...] = (1.0, 1.0, -1.0, 1.0, -1.0, -1.0)
    scale: float
    ridge: float
    temperature: float
    loss: str
    start_mean: float
    start_deviation: float

    def risk(self) -> MeanFieldRisk:
        inputs = jnp.asarray(np.stack([self.slopes, self.shifts], 1), jnp.float32)
        targets = jnp.asarray(self.targets, jnp.float32)
        return MeanFieldRisk(
            Line(self.scale),
            getattr(losses, self.loss),
            inputs,
            targets,
            2 * self.ridge,
        )

    def start(self, num_particles: int) -> Callable[[Key[Array, ""]], Array]:
        return eqx.Partial(
            normal_start, self.start_mean, self.start_deviation, num_particles
        )

    def grid_risk(self, points: Float[np.ndarray, " grid"]) -> GridRisk:
        values = self.scale * np.tanh(
            np.outer(self.slopes, points) + np.array(self.shifts)[:, None]
        )
        return GridRisk(
            points,
            values,
            np.array(self.targets),
            self.ridge,
            self.temperature,
            *EXACT[self.loss][:3],
        )

    def start_density(self, risk: GridRisk) -> Float[np.ndarray, " grid"]:
        density = norm.pdf(risk.points, self.start_mean, self.start_deviation)
        return density / (risk.measure @ density)


class ChainLaws(NamedTuple):
    """Infinitely many particles of MFLD, axis 0 the step, the start included."""

    density: Float[np.ndarray, "steps grid"]
    outputs: Float[np.ndarray, "steps n"]
    fluctuation: Float[
        np.ndarray, "steps n"
    ]  # the limit of N Var z_i; NaN where it was not asked for


@threadpool_limits.wrap(limits=1, user_api="blas")
def chain_laws(
    network: LineNetwork,
    points: Float[np.ndarray, " grid"],
    step_size: float,
    num_steps: int,
    fluctuations: bool,
) -> ChainLaws:
    """The exact law of MFLD's steps. The grid's spacing must resolve the noise of one step, sqrt(2 step T) about.

    On one thread: with several, products this small take up to thirty times as long on a busy machine.
    """
    risk, n = network.grid_risk(points), len(network.targets)
    weights, values = risk.measure, risk.values
    slopes = np.array(network.slopes)[:, None] * (
        network.scale - values**2 / network.scale
    )  # of h_i in w
    b, c2 = linear_gains("exponential", step_size, 2 * network.ridge)
    deviation = np.sqrt(c2 * network.temperature)
    if np.max(np.diff(points)) > deviation:
        raise ValueError(
            f"the grid is coarser than the noise of one step, {deviation:.3g}; pass a finer one."
        )
    mass = weights * network.start_density(risk)
    covariance, masses, spread = np.diag(mass) - np.outer(mass, mass), [], []
    for _ in range(num_steps + 1):  # the last push is not recorded
        masses.append(mass)
        spread.append(
            np.einsum("ij,jk,ik->i", values, covariance, values)
            if fluctuations
            else np.full(n, np.nan)
        )
        z = values @ mass
        dual = risk.derivative(z, risk.targets)
        moves = (
            points[:, None]
            - ((1 - 2 * network.ridge * b) * points - b * (dual @ slopes) / n)[None, :]
        )
        kernel = (
            weights[:, None]
            * np.exp(-((moves / deviation) ** 2) / 2)
            / np.sqrt(2 * np.pi * deviation**2)
        )
        pushed = kernel @ mass
        if fluctuations:
            transported = -b / n * (kernel * moves / deviation**2) @ (mass * slopes).T
            response = (
                kernel
                + transported
                * EXACT[network.loss].second_derivative(z, risk.targets)
                @ values
            )
            covariance = (
                response @ covariance @ response.T
                + np.diag(pushed)
                - kernel * mass @ kernel.T
            )
        mass = pushed
    law = np.array(masses)
    return ChainLaws(law / weights, law @ values.T, np.array(spread))
