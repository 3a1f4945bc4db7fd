"""The tree that `to_datatree` returns, for both lines of ArviZ.

ArviZ 1.x takes an `xarray.DataTree`. ArviZ 0.x, the last line for Python 3.11, takes its own `InferenceData` alone,
whose groups are attributes. Where 0.x is installed, the tree is a `DataTree` whose groups, as attributes, are datasets.
"""

import functools
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from langevax import checks

if TYPE_CHECKING:
    import xarray


class GroupPaths(tuple[str, ...]):
    """Paths of the groups, as `DataTree.groups` has them; called, their names, as of `InferenceData.groups()`."""

    __slots__ = ()

    def __call__(self) -> list[str]:
        return [path.removeprefix("/") for path in self if path != "/"]


@functools.cache
def datatree_type() -> "type[xarray.DataTree]":
    """Return `xarray.DataTree`, or a subclass that ArviZ 0.x accepts where that is installed."""
    with checks.needs("xarray", "to_datatree"):
        from xarray import DataTree
    try:
        if int(metadata.version("arviz").split(".")[0]) >= 1:
            return DataTree
        from arviz import InferenceData  # pyright: ignore[reportMissingImports]
    except ImportError:  # of which PackageNotFoundError is a case
        return DataTree

    class InferenceTree(DataTree):
        __slots__ = ()

        def __getattr__(self, name: str) -> Any:
            value = super().__getattr__(name)
            return (
                value.to_dataset()
                if isinstance(value, DataTree) and name in self.children
                else value
            )

        @property
        def groups(self) -> GroupPaths:
            return GroupPaths(super().groups)

    InferenceData.register(InferenceTree)
    return InferenceTree


def draws_dataset(
    arrays: Mapping[str, ArrayLike], num_chains: int, num_draws: int
) -> "xarray.Dataset":
    """Return arrays (chain, draw, ...) as a dataset in ArviZ's layout; further axes are numbered."""
    import xarray

    variables = {}
    for name, array in arrays.items():
        others = (f"{name}_dim_{i}" for i in range(np.ndim(array) - 2))
        variables[name] = (["chain", "draw", *others], np.asarray(array))
    places = {"chain": np.arange(num_chains), "draw": np.arange(num_draws)}
    return xarray.Dataset(variables, places)
