"""Laws that floating-point numbers cannot resolve: too narrow for the distances between the numbers around them."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax._typing import PRNGKey
from langevax.run.result import named_leaves
from langevax.sampling.preconditioning import CoordinateMap
from langevax.sampling.starts import normal_deviates

FINER = (
    "sample its difference from a constant, or compute in float64 (jax.enable_x64, "
    "with data and start of float64)."
)


class ResolutionError(ValueError):
    """A law is too narrow for floating-point numbers."""


def check_resolution(
    deviations: Mapping[str, np.ndarray],
    centres: Mapping[str, np.ndarray],
    remedy: str,
    few: int = 8,
) -> None:
    """Raise where a law with these standard deviations around these centres is too narrow for their dtype.

    Args:
        deviations, centres: of each array of the position, by its name.
        remedy: how to write the position in other coordinates.
        few: distances between floating-point numbers, fewer of which in a standard deviation cannot be sampled.
    """
    for name, centre in centres.items():
        widths = np.asarray(deviations[name])
        around = np.asarray(centre)
        spacings = np.spacing(np.abs(around))
        narrow = np.argwhere(widths < few * spacings)
        if len(narrow):
            index = tuple(map(int, narrow[0]))
            raise ResolutionError(
                f"{name}{list(index) or ''} has a standard deviation of about "
                f"{widths[index]:.2g} around {around[index]:.6g}, where {around.dtype} "
                f"numbers are {spacings[index]:.2g} apart; {remedy}"
            )


def normal_deviations(
    coordinates: CoordinateMap,
    scales: Float[Array, " d"],
    key: PRNGKey,
    num_deviates: int = 16,
) -> dict[str, Float[np.ndarray, "..."]]:
    """Return standard deviations of the arrays of the position, whose sampled coordinates have these, independently."""
    moves = normal_deviates(key, (num_deviates, 1, len(scales))) * np.asarray(
        scales, np.float64
    )
    leaves = named_leaves(
        coordinates.to_positions(jnp.asarray(moves, scales.dtype))
    )  # a linear map
    return {
        name: np.std(np.asarray(leaf, np.float64)[:, 0], axis=0)
        for name, leaf in leaves.items()
    }
