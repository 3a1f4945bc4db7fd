"""Particles of a predictive law: Metropolised Langevin moves of all of them under a dual that averages over time.

    x'_k  =  x_k + h_k C grad log p_c(x_k) + sqrt(2 h_k) C^(1/2) noise,      accepted as MALA does
    log z  <-  log( (1-rate) z + rate mean_k p(x_i | x_k) ),                 c = 1 / z

All particles answer the same dual. Without the average they answer it at once and overshoot; with it the map converges.
Each particle has a step size h_k of its own, since the law may be wide in one place and narrow in another. A round is
`MOVES_OF_ROUND` moves under one dual, and one pass over the rows with gradients more.

Moves are local: the masses of separate modes change slowly, and a mode that no draw has reached stays empty.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Float

from langevax import trees
from langevax._typing import IntScalar, PRNGKey
from langevax.keys import unrolled
from langevax.meanfield.walks import covariance
from langevax.predictive_law.law_problem import (
    LawProblem,
    Points,
    RowBlocks,
    TiltedDensity,
)
from langevax.problems.problem import Scalar

MOVES_OF_ROUND = 4
"""Moves under one dual."""
ROUNDS_OF_BLOCK = 8
MOVES_PER_BLOCK = MOVES_OF_ROUND * ROUNDS_OF_BLOCK


class Cloud(NamedTuple):
    """The state of the solver."""

    points: Points
    log_steps: Float[Array, " particle"]
    log_means: RowBlocks
    """log z_i, averaged over time."""
    num_moves: IntScalar
    """On this level of the path."""

    def at_new_level(self) -> "Cloud":
        """Return the same particles with step sizes that adapt from the start."""
        return self._replace(num_moves=jnp.zeros((), jnp.int32))


def first_cloud(
    problem: LawProblem, points: np.ndarray, log_means: Float[np.ndarray, " n"]
) -> Cloud:
    """Return particles at posterior draws, with the step size of a normal law in their whitened coordinates."""
    count, dimension = points.shape
    log_steps = np.full(count, -np.log(dimension) / 3, points.dtype)
    means = problem.in_blocks(log_means.astype(points.dtype))
    zero = jnp.zeros((), jnp.int32)
    return Cloud(jnp.asarray(points), jnp.asarray(log_steps), jnp.asarray(means), zero)


def square_root_of_covariance(points: np.ndarray) -> Float[np.ndarray, "d d"]:
    """Return the Cholesky factor of the covariance of a cloud, correlations shrunk where particles are few."""
    scales = points.std(axis=0, dtype=np.float64)
    correlations = covariance(points / scales)
    return (scales[:, None] * np.linalg.cholesky(correlations)).astype(points.dtype)


class Walkers(NamedTuple):
    """Particles between two moves under one dual, with what the density of their law is there."""

    points: Points
    value: Float[Array, " particle"]
    gradient: Points
    log_steps: Float[Array, " particle"]
    num_moves: IntScalar


def move(
    walkers: Walkers,
    density: Callable[[Points], TiltedDensity],
    factor: Float[Array, "d d"],
    *,
    key: PRNGKey,
    acceptance: float = 0.55,
    gain_decay: float = 0.6,
) -> Walkers:
    """Return the particles after a Metropolised Langevin move of each.

    The t-th step size of a level changes by (acceptance - 0.55) / t^0.6, in logarithms.
    """
    noise_key, uniform_key = random.split(key)
    step = jnp.exp(walkers.log_steps)[:, None]
    noise = trees.normal_like(walkers.points, key=noise_key)
    # in whitened coordinates
    change = step * (walkers.gradient @ factor) + jnp.sqrt(2 * step) * noise
    proposal = walkers.points + change @ factor.T
    target = density(proposal)
    back = change + step * (target.gradient @ factor)
    forward = jnp.sum(noise**2, axis=1) / 2
    log_ratio = target.value - walkers.value
    log_ratio += forward - jnp.sum(back**2, axis=1) / (4 * step[:, 0])
    log_ratio = jnp.where(jnp.isnan(log_ratio), -jnp.inf, log_ratio)
    uniform = random.uniform(uniform_key, log_ratio.shape, log_ratio.dtype)
    accepted = jnp.log(uniform) < log_ratio
    chance = jnp.exp(jnp.minimum(log_ratio, 0))
    gain = (walkers.num_moves + 1).astype(log_ratio.dtype) ** -gain_decay
    return Walkers(
        jnp.where(accepted[:, None], proposal, walkers.points),
        jnp.where(accepted, target.value, walkers.value),
        jnp.where(accepted[:, None], target.gradient, walkers.gradient),
        walkers.log_steps + gain * (chance - acceptance),
        walkers.num_moves + 1,
    )


@eqx.filter_jit
def advance(
    problem: LawProblem,
    cloud: Cloud,
    posterior_share: Scalar,
    weights: RowBlocks,
    factor: Float[Array, "d d"],
    key: PRNGKey,
    *,
    rate: float = 0.02,
) -> Cloud:
    """Return the cloud after a block of moves.

    Args:
        problem: the rows and the prior.
        cloud: particles, their step sizes, and the dual.
        posterior_share: that of the law.
        weights: of the rows.
        factor: Cholesky factor of the metric.
        key: a typed key.
        rate: share of the present cloud in the dual, for each move; at 0.05 the masses of modes oscillate.
    """
    rate = 1 - (1 - rate) ** MOVES_OF_ROUND

    def one_round(cloud: Cloud, key: PRNGKey) -> tuple[Cloud, None]:
        def density(points: Points) -> TiltedDensity:
            return problem.tilted(points, posterior_share, cloud.log_means, weights)

        def one_move(walkers: Walkers, key: PRNGKey) -> tuple[Walkers, None]:
            return move(walkers, density, factor, key=key), None

        points, value, gradient, log_means = cloud.points, *density(cloud.points)
        walkers = Walkers(points, value, gradient, cloud.log_steps, cloud.num_moves)
        walkers, _ = lax.scan(one_move, walkers, random.split(key, MOVES_OF_ROUND))
        log_means = jnp.logaddexp(
            math.log1p(-rate) + cloud.log_means, math.log(rate) + log_means
        )
        after = Cloud(walkers.points, walkers.log_steps, log_means, walkers.num_moves)
        return after, None

    return lax.scan(one_round, cloud, random.split(unrolled(key), ROUNDS_OF_BLOCK))[0]
