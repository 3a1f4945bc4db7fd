"""Particles of a predictive law: Metropolised Langevin moves of all of them under a dual that averages over time.

    x'_k  =  x_k + h_k C grad log p_c(x_k) + sqrt(2 h_k) C^(1/2) noise,      accepted as MALA does
    log z  <-  log( (1-rate) z + rate mean_k p(x_i | x_k) ),                 c = 1 / z

All particles answer the same dual. Without the average they answer it at once and overshoot; with it the map converges.
Each particle has a step size h_k of its own, since the law may be wide in one place and narrow in another. A round is
`MOVES_OF_ROUND` moves under one dual, and one pass over the rows with gradients more.

Moves are local: the masses of separate modes change slowly, and a mode that no draw has reached stays empty.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Float

from langevax import trees
from langevax._typing import IntScalar, PRNGKey
from langevax.keys import unrolled
from langevax.predictive_law.law_problem import LawProblem, Points, RowBlocks
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
    count, dimension = points.shape
    covariance = np.atleast_2d(np.cov(np.asarray(points, np.float64), rowvar=False))
    rounding = np.finfo(points.dtype).eps ** 2 * (
        1 + np.mean(points, axis=0, dtype=np.float64) ** 2
    )
    variances = np.diag(covariance) + rounding
    shrinkage = min(1.0, dimension / count)
    shrunk = (1 - shrinkage) * covariance
    np.fill_diagonal(shrunk, variances)
    return np.linalg.cholesky(shrunk).astype(points.dtype)


@eqx.filter_jit
def advance(
    problem: LawProblem,
    cloud: Cloud,
    bayes_share: Scalar,
    weights: RowBlocks,
    factor: Float[Array, "d d"],
    key: PRNGKey,
    *,
    rate: float = 0.02,
    acceptance: float = 0.55,
    gain_decay: float = 0.6,
) -> Cloud:
    """Return the cloud after a block of moves.

    Args:
        problem: the rows and the prior.
        cloud: particles, their step sizes, and the dual.
        bayes_share: that of the law.
        weights: of the rows.
        factor: Cholesky factor of the metric.
        key: a typed key.
        rate: share of the present cloud in the dual, for each move; at 0.05 the masses of modes oscillate.
        acceptance, gain_decay: the t-th step size of a level changes by (acceptance - 0.55) / t^0.6, in logarithms.
    """
    rate = 1 - (1 - rate) ** MOVES_OF_ROUND

    def one_round(cloud: Cloud, key: PRNGKey) -> tuple[Cloud, None]:
        present = problem.tilted(cloud.points, bayes_share, cloud.log_means, weights)

        def move(
            state: tuple[Array, ...], key: PRNGKey
        ) -> tuple[tuple[Array, ...], None]:
            points, value, gradient, log_steps, count = state
            noise_key, uniform_key = random.split(key)
            step = jnp.exp(log_steps)[:, None]
            noise = trees.normal_like(points, key=noise_key)
            change = (
                step * (gradient @ factor) + jnp.sqrt(2 * step) * noise
            )  # in whitened coordinates
            proposal = points + change @ factor.T
            target = problem.tilted(proposal, bayes_share, cloud.log_means, weights)
            back = change + step * (target.gradient @ factor)
            log_ratio = target.value - value
            log_ratio += jnp.sum(noise**2, axis=1) / 2 - jnp.sum(back**2, axis=1) / (
                4 * step[:, 0]
            )
            log_ratio = jnp.where(jnp.isnan(log_ratio), -jnp.inf, log_ratio)
            accepted = (
                jnp.log(random.uniform(uniform_key, value.shape, value.dtype))
                < log_ratio
            )
            chance = jnp.exp(jnp.minimum(log_ratio, 0))
            gain = (count + 1).astype(value.dtype) ** -gain_decay
            state = (
                jnp.where(accepted[:, None], proposal, points),
                jnp.where(accepted, target.value, value),
                jnp.where(accepted[:, None], target.gradient, gradient),
                log_steps + gain * (chance - acceptance),
                count + 1,
            )
            return state, None

        state = (
            cloud.points,
            present.value,
            present.gradient,
            cloud.log_steps,
            cloud.num_moves,
        )
        (points, _, _, log_steps, count), _ = lax.scan(
            move, state, random.split(key, MOVES_OF_ROUND)
        )
        log_means = jnp.logaddexp(
            math.log1p(-rate) + cloud.log_means, math.log(rate) + present.log_means
        )
        return Cloud(points, log_steps, log_means, count), None

    return lax.scan(one_round, cloud, random.split(unrolled(key), ROUNDS_OF_BLOCK))[0]
