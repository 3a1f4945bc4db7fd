"""Drawn functions as fields on their domain, for xarray and ArviZ."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike, Float

from langevax import checks
from langevax.spaces import TensorProduct
from langevax.spaces.basis import Basis
from langevax.spaces.nodes import OnNodes

if TYPE_CHECKING:
    import xarray

AXES = "x", "y", "z"


def field_dataset(
    basis: Basis, functions: ArrayLike, coverage: float
) -> "xarray.Dataset":
    """Return functions (chain, draw, grid), their mean, standard deviation and bands, on the coordinates of a basis."""
    with checks.needs("xarray", "fields"):
        import xarray

    checks.number("coverage", coverage, positive=True)
    if not float(coverage) < 1:
        raise ValueError(f"coverage must be below 1, got {checks.shown(coverage)}.")
    values = np.asarray(functions)
    if values.ndim != 3:
        raise ValueError(
            "positions must be draws with leading axes (chain, draw), got "
            f"{values.ndim - 1} leading axes; pass draws.positions."
        )
    names, shape, coordinates = _axes(basis)
    values = values.reshape(*values.shape[:2], *shape)
    ends = (1 - coverage) / 2, (1 + coverage) / 2
    low, high = np.quantile(values, ends, axis=(0, 1))
    variables = {
        "function": (("chain", "draw", *names), values),
        "mean": (names, values.mean((0, 1), np.float64)),
        "standard_deviation": (names, values.std((0, 1), np.float64)),
        "low": (names, low),
        "high": (names, high),
    }
    chains, draws = map(np.arange, values.shape[:2])
    labels = {"chain": chains, "draw": draws}
    return xarray.Dataset(
        variables, labels | coordinates, {"coverage": float(coverage)}
    )


def _axes(
    basis: Basis,
) -> tuple[
    tuple[str, ...], tuple[int, ...], dict[str, tuple[str, Float[np.ndarray, "..."]]]
]:
    """Return the names of the axes of a field, its shape, and coordinates."""
    if isinstance(basis, TensorProduct) and len(basis.bases) <= len(AXES):
        factors = zip(AXES, basis.bases, strict=False)
        grids = {name: (name, np.asarray(factor.grid)) for name, factor in factors}
        return tuple(grids), basis.grid_shape, grids
    points = np.asarray(basis.grid)
    size = len(basis.grid)
    if points.ndim == 1:
        name = "node" if isinstance(basis, OnNodes) else "x"
        return (name,), (size,), {name: (name, points)}
    columns = {"point": ("point", np.arange(size))}
    for name, column in zip(AXES, points.T, strict=False):
        columns[name] = "point", column
    return ("point",), (size,), columns
