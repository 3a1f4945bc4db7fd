"""Where a run begins: positions from what the user gave, on the devices the user named."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Key, PyTree

from langevax import checks
from langevax.problems.sharding import ROWS, RowSharding, place_arrays, shard_problem
from langevax.run import processes, program
from langevax.run.result import Result


def start_positions(start: Any, key: Key[Array, ""], num_chains: int | None) -> tuple[PyTree, int | None]:
    """(positions, chains first; number of chains) of a position, a function of a key, or a `Result`."""
    if isinstance(start, Result):
        if num_chains is not None and num_chains != start.num_chains:
            raise ValueError(
                f"num_chains is {num_chains} but start has {start.num_chains} chains; leave num_chains out."
            )
        positions, num_chains = jax.tree.map(_here, start.position), start.num_chains
    elif num_chains is None and hasattr(start, "drawn"):
        positions = start.drawn(program.start_key(key))
    elif callable(start):
        positions = program.start_positions(start, key, num_chains)
    else:
        positions = jax.tree.map_with_path(_as_position, start)
        if num_chains is not None:
            positions = jax.tree.map(lambda x: jnp.broadcast_to(x, (num_chains, *x.shape)), positions)
    leaves = jax.tree.leaves_with_path(positions)
    if not leaves:
        raise ValueError(f"start holds no array, got {start!r}; pass a pytree of floating arrays.")
    for path, leaf in leaves:
        label = f"start{jax.tree_util.keystr(path)}"
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(f"{label} must be floating, got {leaf.dtype}; pass for instance start.astype(float).")
        if leaf.size == 0:
            raise ValueError(f"{label} is empty, of shape {leaf.shape}; pass at least one number.")
    checks.finite("start", positions, remedy="start from finite numbers")
    return positions, num_chains


def _here(leaf: Array) -> Array:
    """An array that other processes have parts of, whole on this one."""
    return jnp.asarray(processes.whole(leaf)) if processes.spans(leaf) else leaf


def _as_position(path: Any, leaf: Any) -> Array:
    if not eqx.is_array_like(leaf):
        label = f"start{jax.tree_util.keystr(path)}"
        raise TypeError(f"{label} must be an array, got {leaf!r}; pass a pytree of floating arrays.")
    leaf = jnp.asarray(leaf)
    return jnp.asarray(leaf, leaf.dtype)  # given its own dtype, an array is not weakly typed


def place(
    positions: PyTree, shared: PyTree, sharding: Mesh | NamedSharding, num_chains: int | None = None
) -> tuple[PyTree, PyTree]:
    """Positions split along axis 0 (or as the sharding's spec says), rows along the mesh's axis "rows", the other
    arrays of `shared` on every device."""
    given, spec = (sharding, None) if isinstance(sharding, Mesh) else (sharding.mesh, sharding.spec)
    names, devices = given.axis_names, np.asarray(given.devices)
    mesh = Mesh(devices, names, axis_types=(AxisType.Auto,) * len(names))  # `jax.make_mesh` makes explicit axes
    if spec is None:
        spec = PartitionSpec(tuple(name for name in names if name != ROWS) or None)
    axes = [(part,) if isinstance(part, str) else tuple(part or ()) for part in spec]
    first, position = RowSharding(mesh, sum(axes[:1], ())), RowSharding(mesh, sum(axes, ()))
    rows = RowSharding(mesh, (ROWS,)) if ROWS in names and ROWS not in position.axes else None
    particles = first if num_chains is None and first.num_devices > 1 else None
    split, by_rows, everywhere = (
        NamedSharding(mesh, each) for each in (spec, PartitionSpec(None if rows is None else ROWS), PartitionSpec())
    )

    def place_one(leaf: Array) -> Array:
        try:
            return processes.put(leaf, split)
        except ValueError as error:
            raise ValueError(
                f"sharding splits {split.spec} over {position.num_devices} devices, which does not go into a "
                f"position of shape {leaf.shape}; make axis 0 (chains, or particles) a multiple of {first.num_devices}."
            ) from error

    shared = shard_problem(shared, rows, particles)
    shared = place_arrays(shared, lambda a: processes.put(a, by_rows), lambda a: processes.put(a, everywhere))
    return jax.tree.map(place_one, positions), shared
