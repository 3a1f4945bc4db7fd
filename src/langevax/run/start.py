"""Starting positions of a run, and their placement on devices."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from langevax import checks
from langevax._typing import PRNGKey, PyTree
from langevax.problems.sharding import (
    ROW_AXIS,
    RowSharding,
    place_arrays,
    shard_problem,
)
from langevax.run import processes, program
from langevax.run.chains import axes_of
from langevax.run.result import Result


@dataclass(frozen=True)
class Stacked:
    """Starting positions of several chains, one per chain along axis 0 of every leaf.

    A bare position is shared by all chains; wrapped in `Stacked`, its leading axis is the chain axis, and `num_chains`
    may be left out.

    Raises:
        ValueError: in `simulate`, leaves whose leading axes disagree with each other or with `num_chains`.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> problem = langevax.Function(lambda x: jnp.sum(x**2))
        >>> starts = langevax.Stacked(jnp.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]))
        >>> descent = langevax.Langevin(step_size=0.1, temperature=0.0)
        >>> result = langevax.simulate(descent, problem, starts, key=jax.random.key(0), num_steps=50)
        >>> result.num_chains, result.position.shape
        (3, (3, 2))
    """

    positions: PyTree


@runtime_checkable
class HostDraw(Protocol):
    """A function `key -> position` that can also draw on the host, without compiling a program for its shape.

    `simulate` calls `draw_on_host` to start a single chain. Both must return the same numbers for a key.
    """

    def __call__(self, key: PRNGKey) -> PyTree: ...

    def draw_on_host(self, key: PRNGKey) -> PyTree: ...


Start: TypeAlias = PyTree | Callable[[PRNGKey], PyTree] | Result | Stacked
"""A position shared by all chains, a function `key -> position`, the end of another run, or one position per chain."""


def is_draw(start: Start) -> bool:
    """True of a function `key -> position`; an object that can be called but holds arrays, as a network, is a position.

    Methods and partial functions are functions, whatever they hold.
    """
    if isinstance(start, HostDraw | functools.partial) or hasattr(start, "__func__"):
        return True
    leaves = jax.tree.leaves(start)
    holds_arrays = any(isinstance(leaf, np.ndarray | jax.Array) for leaf in leaves)
    return callable(start) and not holds_arrays


def start_positions(
    start: Start, key: PRNGKey, num_chains: int | None
) -> tuple[PyTree, int | None]:
    """Return the positions, chains first, and the number of chains."""
    if isinstance(start, Result):
        if num_chains is not None and num_chains != start.num_chains:
            raise ValueError(
                f"num_chains is {num_chains} but start has {start.num_chains} chains; "
                "leave num_chains out."
            )
        positions = jax.tree.map(_on_this_process, start.position)
        num_chains = start.num_chains
    elif isinstance(start, Stacked):
        positions = checks.arrays("start", start.positions)
        num_chains = _stacked_length(positions, num_chains)
    elif num_chains is None and isinstance(start, HostDraw):
        positions = start.draw_on_host(program.start_key(key))
    elif is_draw(start):
        positions = program.start_positions(start, key, num_chains)
    else:
        positions = checks.arrays("start", start)
        if num_chains is not None:
            positions = jax.tree.map(
                lambda x: jnp.broadcast_to(x, (num_chains, *x.shape)), positions
            )
    checks.position("start", positions)
    return positions, num_chains


def _stacked_length(positions: PyTree, num_chains: int | None) -> int | None:
    length = num_chains
    for path, leaf in jax.tree.leaves_with_path(positions):
        label = f"start{jax.tree_util.keystr(path)}"
        if leaf.ndim == 0:
            raise ValueError(
                f"{label} is a scalar, but Stacked positions have the chains along "
                "axis 0; pass an array."
            )
        if length is not None and leaf.shape[0] != length:
            expected = (
                f"num_chains is {num_chains}"
                if num_chains is not None
                else f"another leaf has {length}"
            )
            raise ValueError(
                f"{label} has shape {leaf.shape}, so {leaf.shape[0]} chains along axis "
                f"0, but {expected}; pass one position per chain."
            )
        length = leaf.shape[0]
    return length


def _on_this_process(leaf: Array) -> Array:
    return (
        jnp.asarray(processes.gather(leaf)) if processes.spans_processes(leaf) else leaf
    )


def place(
    positions: PyTree,
    shared: PyTree,
    sharding: Mesh | NamedSharding,
    num_chains: int | None = None,
) -> tuple[PyTree, PyTree]:
    """Put a run's arrays on devices.

    Positions are split along axis 0, or as the sharding's spec says; rows along the mesh's axis "rows"; the other
    arrays of `shared` are replicated.
    """
    user_mesh, spec = (
        (sharding, None)
        if isinstance(sharding, Mesh)
        else (sharding.mesh, sharding.spec)
    )
    names = user_mesh.axis_names
    devices = np.asarray(user_mesh.devices)
    mesh = Mesh(
        devices, names, axis_types=(AxisType.Auto,) * len(names)
    )  # `jax.make_mesh` makes explicit axes
    if spec is None:
        spec = PartitionSpec(tuple(name for name in names if name != ROW_AXIS) or None)
    axes = list(map(axes_of, spec))
    first = RowSharding(mesh, sum(axes[:1], ()))
    position = RowSharding(mesh, sum(axes, ()))
    rows = (
        RowSharding(mesh, (ROW_AXIS,))
        if ROW_AXIS in names and ROW_AXIS not in position.axes
        else None
    )
    particles = first if num_chains is None and first.num_devices > 1 else None
    split = NamedSharding(mesh, spec)
    by_rows = NamedSharding(mesh, PartitionSpec(None if rows is None else ROW_AXIS))
    replicated = NamedSharding(mesh, PartitionSpec())

    def place_position(leaf: Array) -> Array:
        try:
            return processes.put(leaf, split)
        except ValueError as error:
            raise ValueError(
                f"sharding splits {split.spec} over {position.num_devices} devices, "
                f"which does not divide a position of shape {leaf.shape}; make axis 0 "
                f"(chains, or particles) a multiple of {first.num_devices}."
            ) from error

    shared = shard_problem(shared, rows, particles)
    shared = place_arrays(
        shared,
        lambda a: processes.put(a, by_rows),
        lambda a: processes.put(a, replicated),
    )
    return jax.tree.map(place_position, positions), shared
