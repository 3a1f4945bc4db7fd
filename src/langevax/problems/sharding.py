"""Rows split over devices: a problem of which each device has some rows, and sums over these.

A sum over rows is then one sum on every device and one all-reduce of the sums. Rows taken by index (a batch, the
row of a dual coordinate) are fetched from the device that has them.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeVar

import equinox as eqx
import jax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from langevax._typing import IntScalar, PyTree
from langevax.problems.problem import Problem, Size

ROW_AXIS = "rows"
"""The axis of a mesh over which rows are split; the others split particles, or chains."""

Module = TypeVar("Module", bound=eqx.Module)


class RowSharding(NamedTuple):
    """The axes of a mesh over whose devices rows, or particles, are split."""

    mesh: Mesh
    axes: tuple[str, ...]

    @property
    def num_devices(self) -> int:
        return math.prod(self.mesh.shape[axis] for axis in self.axes)

    def __call__(
        self,
        function: Callable[..., PyTree],
        rows: PyTree,
        *others: PyTree,
        summed: bool = False,
    ) -> PyTree:
        """`function(own rows, *others)` on every device; the results side by side, or any device's where all agree.

        A program of each device, not a batch of shards: XLA computes a batch of one product twenty times as slowly.
        """
        split = PartitionSpec(self.axes)
        whole = PartitionSpec()
        nested = (
            not jax.sharding.get_abstract_mesh().empty
        )  # within another `shard_map`, which has the mesh already
        on_each_device = jax.shard_map(
            function,
            mesh=None if nested else self.mesh,
            in_specs=(split, *[whole] * len(others)),
            out_specs=whole if summed else split,
            axis_names=set(self.axes),
            check_vma=False,
        )
        return on_each_device(rows, *others)


class RowProblem(Problem):
    """A problem with one component per row of its arrays, the first `count` rows in use; None uses all."""

    row_fields: ClassVar[tuple[str, ...]]
    """Fields whose arrays have one row per component."""

    weights: eqx.AbstractVar[Float[Array, " n"] | None]
    count: eqx.AbstractVar[IntScalar | None]
    row_sharding: eqx.AbstractVar[RowSharding | None]

    @property
    def size(self) -> Size:
        return self.max_size if self.count is None else self.count


def shard_problem(
    problem: PyTree, rows: RowSharding | None, particles: RowSharding | None = None
) -> PyTree:
    """Return `problem`, or a tree with problems that have rows, with how rows and particles are split, evenly."""
    num_devices = 1 if rows is None else rows.num_devices
    if rows is not None and not any(
        map(_has_rows, jax.tree.leaves(problem, is_leaf=_has_rows))
    ):
        raise ValueError(
            "sharding has an axis named 'rows', but the problem has no rows that can "
            "be split; call the axis 'particles' or 'chains', or pass a FiniteSum or a "
            "MeanFieldRisk."
        )

    def shard(node: PyTree) -> PyTree:
        if not isinstance(node, RowProblem):
            return node
        if surplus := node.max_size % num_devices:
            full = node.max_size - surplus + num_devices
            raise ValueError(
                f"sharding splits rows over {num_devices} devices, but "
                f"{type(node).__name__} has {node.max_size}; drop {surplus} of them, "
                f"or fill up to {full} with copies and pass count={node.max_size}."
            )
        return _replace_fields(node, row_sharding=rows, particle_sharding=particles)

    return jax.tree.map(shard, problem, is_leaf=_has_rows)


def place_arrays(
    problem: PyTree, rows: Callable[[Array], Array], others: Callable[[Array], Array]
) -> PyTree:
    """Move every array to its devices: `rows` puts those with one row per component, `others` the rest."""

    def put(tree: PyTree, place: Callable[[Array], Array]) -> PyTree:
        return jax.tree.map(
            lambda leaf: place(leaf) if isinstance(leaf, jax.Array) else leaf, tree
        )

    def put_fields(node: PyTree) -> PyTree:
        if not isinstance(node, RowProblem):
            return put(node, others)
        names = [
            field.name
            for field in dataclasses.fields(node)
            if not field.metadata.get("static", False)
        ]
        places = {name: rows if name in node.row_fields else others for name in names}
        return _replace_fields(
            node,
            **{name: put(getattr(node, name), place) for name, place in places.items()},
        )

    return jax.tree.map(put_fields, problem, is_leaf=_has_rows)


def _replace_fields(module: Module, **changed: PyTree) -> Module:
    """The same module with other fields, static ones too, not checked again."""
    new = object.__new__(type(module))
    for field in dataclasses.fields(module):
        object.__setattr__(
            new, field.name, changed.get(field.name, getattr(module, field.name))
        )
    return new


def _has_rows(node: PyTree) -> bool:
    return isinstance(node, RowProblem)
