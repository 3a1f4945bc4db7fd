"""Resampling of a weighted cloud that is split over devices, with little that moves between them.
 Child j has the position (j + u) / M on the cumulative weights,
and its parent is the particle there. Where weights are independent of the order of particles, parent and child are
about sqrt(M t (1 - t)) v apart at a share t of the cloud, v the weights' coefficient of variation. So a device that
knows K = 2 sqrt(M) particles of each neighbour, its halo, finds all parents of its own children up to four standard
deviations at v = 1 (half of the particles effective). Otherwise, at one heavy particle for instance, every device
receives the whole cloud. With P shards of a cloud (M, d) a device receives 2 K (d + 1) numbers, P totals and three
sums, instead of M (d + 1) numbers. No device is named: shards are the leading axis of a view, and XLA turns a roll
along it into an exchange between neighbours.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Float, Int

from langevax._typing import PRNGKey
from langevax.log_weights import LogWeights, integer_weights, particles_at

Cloud = Float[Array, "particles size"]

HALO = 2.0
"""K over sqrt(M)."""
NEARLY_EVEN = 0.9
"""Share that they leave effective from one law to the next, where few laws are needed."""


def resample(
    key: PRNGKey,
    cloud: Cloud,
    log_weights: LogWeights,
    num_shards: int = 1,
) -> Cloud:
    """Return a cloud of equal weights: particles `systematic(log_weights, uniform(key))` of this, however split.

    `num_shards` is the number of equal stretches of axis 0 that lie on different devices.

    >>> import jax, jax.numpy as jnp
    >>> cloud, log_weights = jnp.arange(4.0)[:, None], jnp.log(jnp.array([2.0, 1.0, 1.0, 0.0]))
    >>> resample(jax.random.key(0), cloud, log_weights, num_shards=2)[:, 0]
    Array([0., 0., 1., 2.], dtype=float32)
    """
    size = len(cloud)
    weights, positions = integer_weights(
        log_weights, random.uniform(key, (), log_weights.dtype)
    )
    if num_shards == 1:
        return cloud[particles_at(jnp.cumsum(weights), positions)]
    halo = min(size // num_shards, math.ceil(HALO * math.sqrt(size)))
    sums = _cumulative(weights.reshape(num_shards, -1))
    near = _with_halo(sums, halo, below=-1, above=int(jnp.iinfo(sums.dtype).max))
    parents = jax.vmap(lambda own, at: jnp.searchsorted(own, at, side="right"))(
        near, positions.reshape(num_shards, -1)
    )
    known = jnp.all(
        (parents > 0) & (parents < near.shape[1])
    )  # what lies below the first is unknown

    def from_neighbours(cloud: Cloud) -> Cloud:
        near = _with_halo(cloud.reshape(num_shards, size // num_shards, -1), halo)
        last = np.arange(num_shards) == num_shards - 1
        beyond = (
            near.shape[1] - np.where(last, halo, 0)[:, None]
        )  # the end of the whole cloud
        return jnp.take_along_axis(
            near, jnp.minimum(parents, beyond - 1)[..., None], axis=1
        ).reshape(cloud.shape)

    def from_all(cloud: Cloud) -> Cloud:
        return cloud[particles_at(sums.reshape(size), positions)]

    return lax.cond(known, from_neighbours, from_all, cloud)


def _cumulative(weights: Int[Array, "shards shard"]) -> Int[Array, "shards shard"]:
    """Return cumulative sums over all shards: those within a shard plus the totals of the shards before."""
    within = jnp.cumsum(weights, axis=1)
    earlier = np.triu(np.ones((len(weights), len(weights)), bool), 1)
    return within + jnp.sum(jnp.where(earlier, within[:, -1:], 0), axis=0)[:, None]


def _with_halo(
    shards: Array,
    halo: int,
    below: int | None = None,
    above: int | None = None,
) -> Array:
    """Put every shard between the last `halo` rows of the shard before and the first of the shard after.

    Beyond both ends of the whole: the other end, or `below` and `above`.
    """
    before = jnp.roll(shards[:, -halo:], 1, axis=0)
    after = jnp.roll(shards[:, :halo], -1, axis=0)
    number = np.arange(len(shards))[:, None]
    if below is not None:
        before = jnp.where(number > 0, before, below)
    if above is not None:
        after = jnp.where(number < len(shards) - 1, after, above)
    return jnp.concatenate([before, shards, after], axis=1)
