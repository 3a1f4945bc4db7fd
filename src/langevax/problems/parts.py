"""Rows split over devices: a problem of which each device has some rows, and sums over these.

A sum over rows is then one sum on every device and one all-reduce of the sums. What is taken by index (a batch, the
row of a dual coordinate) is fetched from where it lies.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

from langevax.problems.blocks import Split
from langevax.problems.problem import Problem

ROWS = "rows"
"""The axis of a mesh over which rows are split; the others split particles, or chains."""


def in_parts(problem: PyTree, split: Split | None, particles: Split | None = None) -> PyTree:
    """`problem`, or any tree with problems in it, told how its rows are split, and its particles.

    Raises:
        ValueError: no problem has rows, or they do not split evenly.
    """
    found, rows = False, 1 if split is None else split.parts

    def one(node: Any) -> Any:
        nonlocal found
        if not _has_rows(node):
            return node
        found = True
        if node.max_size % rows:
            full = -(-node.max_size // rows) * rows
            raise ValueError(
                f"sharding splits rows over {rows} devices, but {type(node).__name__} has {node.max_size}; drop "
                f"{node.max_size % rows} of them, or fill up to {full} with copies and pass count={node.max_size}."
            )
        return with_fields(node, split_rows=split, split_particles=particles)

    parted = jax.tree.map(one, problem, is_leaf=_has_rows)
    if split is not None and not found:
        raise ValueError(
            "sharding has an axis named 'rows', but the problem has no rows that can be split; call the axis "
            "'particles' or 'chains', or pass a FiniteSum or a MeanFieldRisk."
        )
    return parted


def laid_out(problem: PyTree, rows: Callable[[Array], Array], others: Callable[[Array], Array]) -> PyTree:
    """Every array where it belongs: `rows` puts those with one row per component, `others` the rest."""

    def put(tree: PyTree, where: Callable[[Array], Array]) -> PyTree:
        return jax.tree.map(lambda leaf: where(leaf) if isinstance(leaf, jax.Array) else leaf, tree)

    def one(node: Any) -> Any:
        if not _has_rows(node):
            return put(node, others)
        names = [field.name for field in dataclasses.fields(node) if not field.metadata.get("static", False)]
        places = {name: rows if name in node.row_fields else others for name in names}
        return with_fields(node, **{name: put(getattr(node, name), where) for name, where in places.items()})

    return jax.tree.map(one, problem, is_leaf=_has_rows)


def with_fields(module: eqx.Module, **changed: Any) -> Any:
    """The same module with other fields, static ones too, not checked again."""
    new = object.__new__(type(module))
    for field in dataclasses.fields(module):
        object.__setattr__(new, field.name, changed.get(field.name, getattr(module, field.name)))
    return new


def _has_rows(node: Any) -> bool:
    return isinstance(node, Problem) and hasattr(node, "row_fields")
