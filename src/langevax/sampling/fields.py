"""Drawn functions as fields on their domain, for xarray and ArviZ, and their plot."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike, Float

from langevax import checks
from langevax.figures import fields as figures
from langevax.spaces import TensorProduct
from langevax.spaces.basis import Basis
from langevax.spaces.nodes import OnNodes

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

AXES = "x", "y", "z"


def field_dataset(
    basis: Basis, functions: ArrayLike, coverage: float
) -> "xarray.Dataset":
    """Return functions (chain, draw, grid), their mean, standard deviation and bands, on the coordinates of a basis."""
    with checks.needs("xarray", "fields"):
        import xarray

    names, shape, coordinates = _axes(basis)
    values = _chains(functions, coverage)
    values = values.reshape(*values.shape[:2], *shape)
    low, high = np.quantile(
        values, [(1 - coverage) / 2, (1 + coverage) / 2], axis=(0, 1)
    )
    variables = {
        "function": (("chain", "draw", *names), values),
        "mean": (names, values.mean((0, 1), np.float64)),
        "standard_deviation": (names, values.std((0, 1), np.float64)),
        "low": (names, low),
        "high": (names, high),
    }
    labels = {"chain": np.arange(values.shape[0]), "draw": np.arange(values.shape[1])}
    return xarray.Dataset(
        variables, labels | coordinates, {"coverage": float(coverage)}
    )


def _chains(
    functions: ArrayLike, coverage: float
) -> Float[np.ndarray, "chain draw points"]:
    """Return functions as an array, with the leading axes (chain, draw) and a possible coverage."""
    checks.number("coverage", coverage, positive=True)
    if not float(coverage) < 1:
        raise ValueError(f"coverage must be below 1, got {checks.shown(coverage)}.")
    values = np.asarray(functions)
    if values.ndim != 3:
        raise ValueError(
            f"positions must be draws with leading axes (chain, draw), got {values.ndim - 1} leading axes; pass "
            "draws.positions."
        )
    return values


def plot_fields(dataset: "xarray.Dataset") -> "Figure":
    """Return the figure of a dataset of `field_dataset`."""
    mean = np.asarray(dataset["mean"])
    spread = np.asarray(dataset["standard_deviation"])
    axes = [np.asarray(dataset[name]) for name in AXES if name in dataset.coords]
    if len(axes) == 1:
        (x,) = axes
        return figures.band(
            x,
            mean,
            np.asarray(dataset["low"]),
            np.asarray(dataset["high"]),
            dataset.attrs["coverage"],
        )
    if len(axes) != 2:
        raise ValueError(
            f"a field with {len(axes)} coordinates cannot be plotted, but ones with 1 or 2; plot "
            "fields(positions) by the coordinates of your mesh, or a slice of it."
        )
    x, y = axes
    return figures.maps(x, y, mean, spread)


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
    columns = {
        name: ("point", column) for name, column in zip(AXES, points.T, strict=False)
    }
    return ("point",), (size,), {"point": ("point", np.arange(size)), **columns}
