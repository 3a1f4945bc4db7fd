"""Systematic resampling of a cloud that lies in parts, one on each device, of which little moves between them.

Child j has the place (j + u) / M on the ladder of the weights' sums, and its parent is the particle there. Where the
weights are independent of the order of particles, parent and child are about sqrt(M t (1 - t)) v apart at a share t of
the cloud, with v the weights' coefficient of variation. So that a device that knows K = 2 sqrt(M) particles of each
neighbour, its halo, finds all parents of its own children, at v = 1 (half of the particles effective) up to four
standard deviations. Where it does not, at one heavy particle for instance, every device is sent the whole cloud.

Sent, for P parts of a cloud (M, d): 2 K (d + 1) numbers to each device, P totals and three sums, where all particles
would be M (d + 1) numbers to each. Nothing here names a device: parts are the leading axis of a view, and XLA makes of
a roll along it that each device sends its edge.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Float, Int, Key

from langevax.meanfield.weights import LogWeights, ladder, under

Cloud = Float[Array, "particles size"]

HALO = 2.0
"""K over sqrt(M)."""


def resampled(key: Key[Array, ""], cloud: Cloud, log_weights: LogWeights, parts: int = 1) -> Cloud:
    """A cloud of equal weights: particles `systematic(key, log_weights)` of this one, whatever the parts.

    `parts` is the number of equal stretches of axis 0 that lie on different devices.

    >>> import jax, jax.numpy as jnp
    >>> cloud, log_weights = jnp.arange(4.0)[:, None], jnp.log(jnp.array([2.0, 1.0, 1.0, 0.0]))
    >>> resampled(jax.random.key(0), cloud, log_weights, parts=2)[:, 0]
    Array([0., 0., 1., 2.], dtype=float32)
    """
    size = len(cloud)
    steps, places = ladder(log_weights, random.uniform(key, (), log_weights.dtype))
    if parts == 1:
        return cloud[under(jnp.cumsum(steps), places)]
    halo = min(size // parts, math.ceil(HALO * math.sqrt(size)))
    sums = _cumulative(steps.reshape(parts, -1))
    near = _haloed(sums, halo, below=-1, above=int(jnp.iinfo(sums.dtype).max))
    found = jax.vmap(lambda here, of: jnp.searchsorted(here, of, side="right"))(near, places.reshape(parts, -1))
    known = jnp.all((found > 0) & (found < near.shape[1]))  # nobody knows who is below the first

    def from_neighbours(cloud: Cloud) -> Cloud:
        near = _haloed(cloud.reshape(parts, size // parts, -1), halo)
        beyond = near.shape[1] - np.where(np.arange(parts) < parts - 1, 0, halo)[:, None]  # the end of the whole
        return jnp.take_along_axis(near, jnp.minimum(found, beyond - 1)[..., None], axis=1).reshape(cloud.shape)

    def from_all(cloud: Cloud) -> Cloud:
        return cloud[under(sums.reshape(size), places)]

    return lax.cond(known, from_neighbours, from_all, cloud)


def _cumulative(steps: Int[Array, "parts part"]) -> Int[Array, "parts part"]:
    """Sums over all steps up to each: within its part, and the totals of the parts before."""
    within = jnp.cumsum(steps, axis=1)
    earlier = np.triu(np.ones((len(steps), len(steps)), bool), 1)
    return within + jnp.sum(jnp.where(earlier, within[:, -1:], 0), axis=0)[:, None]


def _haloed(blocks: Array, halo: int, below: int | None = None, above: int | None = None) -> Array:
    """Every part between the last `halo` rows of the part before and the first of the part after.

    Beyond both ends of the whole: the other end, or `below` and `above`.
    """
    before, after = jnp.roll(blocks[:, -halo:], 1, axis=0), jnp.roll(blocks[:, :halo], -1, axis=0)
    part = np.arange(len(blocks))[:, None]
    if below is not None:
        before = jnp.where(part > 0, before, below)
    if above is not None:
        after = jnp.where(part < len(blocks) - 1, after, above)
    return jnp.concatenate([before, blocks, after], axis=1)
