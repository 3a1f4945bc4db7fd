"""Many chains, one step: together, one by one, and over devices without a word between them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax, random
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Key, PyTree

from langevax.algorithm import Algorithm
from langevax.problems.sharding import ROWS


class Chains(NamedTuple):
    """How many there are, and the axes of a mesh over which they are split, where each device has all rows."""

    number: int
    mesh: Mesh | None = None
    axes: tuple[str, ...] = ()


def of(positions: PyTree, num_chains: int | None) -> Chains | None:
    """The chains of positions that lie where they are to run; None for a run without a chain axis."""
    if num_chains is None:
        return None
    sharding = jax.tree.leaves(positions)[0].sharding
    if not isinstance(sharding, NamedSharding) or not isinstance(sharding.mesh, Mesh):
        return Chains(num_chains)
    first = sharding.spec[0] if len(sharding.spec) else None
    axes: tuple[str, ...] = first if isinstance(first, tuple) else (first,) if isinstance(first, str) else ()
    if not axes or ROWS in set(sharding.mesh.axis_names).difference(axes):
        return Chains(num_chains)
    return Chains(num_chains, sharding.mesh, axes)


def keys_of(key: Key[Array, ""], chains: Chains | None) -> Key[Array, "..."]:
    """One for each chain."""
    return key if chains is None else random.split(key, chains.number)


def over(function: Callable[..., Any], algorithm: Algorithm, chains: Chains | None) -> Callable[..., Any]:
    """`function(*per chain)` for all chains; `algorithm` says whether together or one by one.

    Split chains run as a program of each device: XLA would ask all of them whether a loop of one has ended, and would
    gather what goes one by one.
    """
    if chains is None:
        return function
    together = jax.vmap(function) if algorithm.chains == "vmap" else _one_by_one(function)
    if chains.mesh is None:
        return together
    split = PartitionSpec(chains.axes)
    return jax.shard_map(
        together, mesh=chains.mesh, in_specs=split, out_specs=split, axis_names=set(chains.axes), check_vma=False
    )


def _one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *per_chain: lax.map(lambda one: function(*one), per_chain)
