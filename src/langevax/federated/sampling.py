"""Client sampling without replacement, with probabilities proportional to weights.

With weights w_i and p clients a round, client i is selected with probability pi_i = min(1, c w_i), where c makes these
add up to p, and counts with the share w_i / pi_i: the sum of share_i a_i over selected clients is then an unbiased
estimate of `sum_i w_i a_i` (Horvitz and Thompson 1952). Shares add up to one, so that the estimate is exact where all
clients agree; with uniform selection and shares P w_i / p, clients of unequal size would add noise even there. With
equal weights these are p distinct clients, uniformly, each with share 1/p.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Float, Int

from langevax._typing import PRNGKey, PyTree
from langevax.gradients import batches
from langevax.log_weights import particles_at
from langevax.problems.federation import Clients


class Selection(NamedTuple):
    """The selected clients and their shares in a mean."""

    ids: Int[Array, " selected"] | None
    """None: all clients, in order."""
    shares: Float[Array, " selected"]

    def all_ids(self, num_clients: int) -> Int[Array, " selected"]:
        """The ids, written out where all `num_clients` are selected."""
        return (
            jnp.arange(num_clients, dtype=jnp.int32) if self.ids is None else self.ids
        )

    def write(self, table: PyTree, new: PyTree) -> PyTree:
        """The table with the rows `new` for the selected clients; in place if `new` depends on the old rows."""
        ids = self.ids
        return (
            new
            if ids is None
            else jax.tree.map(
                lambda a, b: a.at[ids].set(b, unique_indices=True), table, new
            )
        )


def draw(key: PRNGKey, clients: Clients, clients_per_round: int | None) -> Selection:
    """Draw `clients_per_round` distinct clients; None or P selects all. O(p) with equal weights, else O(P log P)."""
    num_clients = clients.num_clients
    weights = clients.weights
    if clients_per_round is None or clients_per_round == num_clients:
        return Selection(None, weights)
    if clients.equal_weights:
        ranks = jnp.arange(clients_per_round, dtype=jnp.int32)
        ids = batches.permuted(key, ranks, jnp.int32(num_clients))
        return Selection(
            ids, jnp.full((clients_per_round,), 1 / clients_per_round, weights.dtype)
        )
    order_key, offset_key = random.split(key)
    # probabilities are multiples of 1 / whole, which shares take into account
    whole = 2**24 // clients_per_round
    units = _units(weights, clients_per_round, whole)
    # Madow's systematic sampling over a shuffled list: intervals of at most one unit length, points one unit apart
    order = batches.permuted(
        order_key, jnp.arange(num_clients, dtype=jnp.int32), jnp.int32(num_clients)
    )
    offset = random.randint(offset_key, (), 0, whole, jnp.int32)
    points = offset + whole * jnp.arange(clients_per_round, dtype=jnp.int32)
    ids = order[particles_at(jnp.cumsum(units[order], dtype=jnp.int32), points)]
    return Selection(ids, weights[ids] * whole / units[ids].astype(weights.dtype))


def _units(
    weights: Float[Array, " clients"], clients_per_round: int, whole: int
) -> Int[Array, " clients"]:
    """The probabilities in units of 1 / whole, at least one each, adding up to `clients_per_round * whole`."""
    falling = jnp.sort(weights, descending=True)
    rest = jnp.cumsum(falling[::-1])[::-1]  # of each weight and the lighter ones
    ranks = jnp.arange(clients_per_round, dtype=jnp.int32)
    scales = (clients_per_round - ranks).astype(weights.dtype) / rest[
        :clients_per_round
    ]
    fits = scales * falling[:clients_per_round] <= 1
    certain = jnp.argmax(fits).astype(
        jnp.int32
    )  # the number of clients so heavy that they are always selected
    light = weights <= falling[certain]
    raw = jnp.clip(
        jnp.floor(scales[certain] * weights * whole).astype(jnp.int32), 1, whole
    )
    units = jnp.where(light, raw, whole)
    missing = clients_per_round * whole - jnp.sum(units, dtype=jnp.int32)
    free = light & (units < whole)
    number = jnp.maximum(jnp.sum(free, dtype=jnp.int32), 1)
    rank = jnp.cumsum(free, dtype=jnp.int32) - 1
    extra = missing // number + (rank < missing % number).astype(jnp.int32)
    return jnp.where(free, jnp.clip(units + extra, 1, whole), units)
