"""Whom the server asks: clients without replacement, with chances in proportion to their weights.

With weights w_i and p clients a round, client i is asked with probability pi_i = min(1, c w_i), where c makes these add
up to p, and counts with the share w_i / pi_i: `sum over asked of share_i a_i` is then an unbiased estimate of
`sum_i w_i a_i` (Horvitz and Thompson 1952). Shares add up to one, so that what all clients agree on is exact; asked
with equal chances and counted by P w_i, clients of unequal size add noise even where they agree. With equal weights
these are p distinct clients, uniformly, each with share 1/p.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Float, Int, Key

from langevax.gradients import batches
from langevax.problems.federation import Roster

UNITS = 2**24  # of all probabilities together: probabilities are multiples of p / UNITS, which shares take into account


class Selection(NamedTuple):
    """Clients that are asked, and what each counts in a mean."""

    ids: Int[Array, " asked"] | None
    """None: all of them, in order."""
    shares: Float[Array, " asked"]


def draw(key: Key[Array, ""], roster: Roster, clients_per_round: int | None) -> Selection:
    """`clients_per_round` distinct clients; None or P asks all. O(p) with equal weights, O(P log P) otherwise."""
    num_clients, weights = roster.num_clients, roster.weights
    if clients_per_round is None or clients_per_round == num_clients:
        return Selection(None, weights)
    if roster.equal:
        places = jnp.arange(clients_per_round, dtype=jnp.int32)
        ids = batches.permuted(key, places, jnp.int32(num_clients))
        return Selection(ids, jnp.full((clients_per_round,), 1 / clients_per_round, weights.dtype))
    order_key, offset_key = random.split(key)
    whole = UNITS // clients_per_round
    units = _units(weights, clients_per_round, whole)
    # Madow's systematic sampling over a shuffled list: intervals of at most one unit length, points one unit apart
    order = batches.permuted(order_key, jnp.arange(num_clients, dtype=jnp.int32), jnp.int32(num_clients))
    offset = random.randint(offset_key, (), 0, whole, jnp.int32)
    points = offset + whole * jnp.arange(clients_per_round, dtype=jnp.int32)
    ids = order[jnp.searchsorted(jnp.cumsum(units[order], dtype=jnp.int32), points, side="right")]
    return Selection(ids, weights[ids] * whole / units[ids].astype(weights.dtype))


def _units(weights: Float[Array, " clients"], clients_per_round: int, whole: int) -> Int[Array, " clients"]:
    """The probabilities in units of 1 / whole, at least one each, adding up to `clients_per_round * whole`."""
    falling = jnp.sort(weights, descending=True)
    rest = jnp.cumsum(falling[::-1])[::-1]  # of each and the lighter ones
    asked = jnp.arange(clients_per_round, dtype=jnp.int32)
    scales = (clients_per_round - asked).astype(weights.dtype) / rest[:clients_per_round]
    fits = scales * falling[:clients_per_round] <= 1
    certain = jnp.argmax(fits).astype(jnp.int32)  # clients so heavy that they are always asked
    light = weights <= falling[certain]
    raw = jnp.clip(jnp.floor(scales[certain] * weights * whole).astype(jnp.int32), 1, whole)
    units = jnp.where(light, raw, whole)
    missing = clients_per_round * whole - jnp.sum(units, dtype=jnp.int32)
    free = light & (units < whole)
    number = jnp.maximum(jnp.sum(free, dtype=jnp.int32), 1)
    rank = jnp.cumsum(free, dtype=jnp.int32) - 1
    extra = missing // number + (rank < missing % number).astype(jnp.int32)
    return jnp.where(free, jnp.clip(units + extra, 1, whole), units)
