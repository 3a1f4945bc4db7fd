"""The tree that `to_datatree` returns: groups of datasets in ArviZ's layout."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike

from langevax import checks

if TYPE_CHECKING:
    import xarray


def datatree_type() -> "type[xarray.DataTree]":
    """Return `xarray.DataTree`; raise ImportError where xarray is not installed."""
    with checks.needs("xarray", "to_datatree"):
        from xarray import DataTree
    return DataTree


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
