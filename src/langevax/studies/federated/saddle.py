"""A federation at a saddle point along whose way out no client's gradient points, and how long leaving it takes.

    f(x) = x_0^4 / 4 - gamma x_0^2 / 2 + 1/2 sum_{k > 0} x_k^2

Clients add curvatures in every direction, and slopes in all but the first; both cancel in the mean. From x_0 = 0 only
noise leads away, and then |x_0| grows by 1 + step_size gamma a local step.
"""

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float

from langevax.federated import BVRLPSGD, FLEDGE
from langevax.problems.federation import Federation
from langevax.studies.federated.runs import paths

GAMMA, DIM, CLIENTS, ROWS = 0.5, 10, 20, 32
LOCAL_STEPS, BATCH, STEP_SIZE, PARTICIPANTS = 16, 4, 0.02, 5
RADII = (0.0, 1e-6, 1e-3)
OUT = 0.5 * GAMMA**0.5  # of the way to the minimum, at x_0 = sqrt(gamma)
ROUNDS = 400
METHODS = {
    "FLEDGE": lambda radius: FLEDGE(STEP_SIZE, LOCAL_STEPS, BATCH, PARTICIPANTS, radius=radius),
    "BVR-L-PSGD": lambda radius: BVRLPSGD(STEP_SIZE, LOCAL_STEPS, BATCH, radius),
}
"""Functions of the radius of the noise."""


def growth_per_round() -> float:
    """log of the factor by which |x_0| grows while it is small."""
    return LOCAL_STEPS * float(np.log1p(STEP_SIZE * GAMMA))


def loss(x: Float[Array, " d"], row: tuple[Array, Array]) -> Float[Array, ""]:
    """Of one row (slopes, curvatures)."""
    slopes, curvatures = row
    bowl = x[0] ** 4 / 4 - GAMMA * x[0] ** 2 / 2 + jnp.sum(x[1:] ** 2) / 2
    return bowl + jnp.sum(slopes * x + curvatures * x**2 / 2)


def federation(seed: int, heterogeneity: float = 0.2) -> Federation:
    """Clients' Hessians differ by the heterogeneity, their gradients at 0 by 2."""
    rng = np.random.default_rng(seed)
    signs = rng.permuted(np.tile(np.repeat([1.0, -1.0], CLIENTS // 2)[:, None], (1, DIM)), axis=0)
    half = rng.normal(size=(CLIENTS // 2, DIM))
    half[:, 0] = 0
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    rows = rng.permuted(np.tile(np.repeat([1.0, -1.0], ROWS // 2)[None, :, None], (CLIENTS, 1, DIM)), axis=1)
    slopes = np.concatenate([half, -half])[:, None] + np.where(np.arange(DIM) > 0, rows, 0)
    curvatures = heterogeneity / 2 * signs[:, None] + heterogeneity / 2 * rows
    return Federation(loss, (slopes.astype(np.float32), curvatures.astype(np.float32)))


def distance(of: Federation, x: Float[Array, " d"]) -> Float[Array, ""]:
    """From the saddle, along the way out."""
    return jnp.abs(x[0])


def left(name: str, num_seeds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(radius, seed, round) |x_0|, and exchanges by then, (round,)."""
    start = jnp.ones(DIM, jnp.float32).at[0].set(0)
    keys = random.split(random.key(seed), num_seeds)
    found = paths(METHODS[name], federation(seed), start, np.array(RADII), keys, 2 * ROUNDS, distance)
    return found.seen, found.exchanges
