"""Several chains of one step: together or one by one, and split over devices without communication."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax, random
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Key

from langevax._typing import PRNGKey, PyTree
from langevax.algorithm import Algorithm
from langevax.problems.sharding import ROW_AXIS


class Chains(NamedTuple):
    """The number of chains, and the axes of a mesh over which they are split if every device has all rows."""

    number: int
    mesh: Mesh | None = None
    axes: tuple[str, ...] = ()


def of(positions: PyTree, num_chains: int | None) -> Chains | None:
    """Return the chains of positions that lie on the devices of the run; None for a run without a chain axis."""
    if num_chains is None:
        return None
    sharding = jax.tree.leaves(positions)[0].sharding
    if not isinstance(sharding, NamedSharding) or not isinstance(sharding.mesh, Mesh):
        return Chains(num_chains)
    axes = axes_of(next(iter(sharding.spec), None))
    if not axes or ROW_AXIS in set(sharding.mesh.axis_names).difference(axes):
        return Chains(num_chains)
    return Chains(num_chains, sharding.mesh, axes)


def axes_of(part: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the axes of a mesh that an entry of a `PartitionSpec` names."""
    return (part,) if isinstance(part, str) else tuple(part or ())


def keys_of(key: PRNGKey, chains: Chains | None) -> Key[Array, "..."]:
    """Return one key per chain."""
    return key if chains is None else random.split(key, chains.number)


def over(
    function: Callable[..., Any], algorithm: Algorithm, chains: Chains | None
) -> Callable[..., Any]:
    """Map `function` of one chain over all chains, together or one by one as its `chains` says.

    Split chains run as a program of each device: XLA would synchronise the devices to decide whether a loop of one
    chain has ended, and would gather chains that go one by one.
    """
    if chains is None:
        return function

    def one_by_one(*per_chain: Any) -> Any:
        return lax.map(lambda arguments: function(*arguments), per_chain)

    mapped = jax.vmap(function) if algorithm.chains == "vmap" else one_by_one
    if chains.mesh is None:
        return mapped
    split = PartitionSpec(chains.axes)
    return jax.shard_map(
        mapped,
        mesh=chains.mesh,
        in_specs=split,
        out_specs=split,
        axis_names=set(chains.axes),
        check_vma=False,
    )
