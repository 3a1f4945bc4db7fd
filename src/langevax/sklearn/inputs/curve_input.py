"""From what users call curves to times and values: tables, several channels, pairs (t, x), scikit-fda's objects.

Curves seen at the same times form one group, whose values are a matrix: a table is one group, curves seen at times
of their own are one group each. All that follows works on groups.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Missing = Literal["error", "interpolate"]

FINE = 501  # points at which a curve given by a formula (scikit-fda's FDataBasis) is looked at
REMEDY = "fill the gaps, or pass missing='interpolate'"


@dataclass(frozen=True)
class Group:
    """Curves of one channel seen at the same times."""

    times: np.ndarray
    """(G,) increasing."""
    values: np.ndarray
    """(r, G) float64."""
    rows: np.ndarray
    """(r,) which of the curves these are."""


@dataclass(frozen=True)
class Curves:
    """n curves: for each channel its groups, which together hold every curve once."""

    channels: list[list[Group]]
    size: int

    @property
    def grid(self) -> np.ndarray | None:
        """(G,) where all curves and channels were seen at the same times."""
        first = self.channels[0][0].times
        same = all(len(groups) == 1 and np.array_equal(groups[0].times, first) for groups in self.channels)
        return first if same else None

    @property
    def range(self) -> tuple[float, float]:
        """The first and the last time of all."""
        times = [group.times for groups in self.channels for group in groups]
        return float(min(t[0] for t in times)), float(max(t[-1] for t in times))


def read(X: Any, grid: Any, channels: int, missing: Missing, validated: Callable[[Any], np.ndarray]) -> Curves:
    """Curves of whatever form; `validated` is scikit-learn's look at tables.

    Args:
        X: (n, G), (n, channels G) or (n, channels, G) numbers on `grid`; a list of tuples (t, x) with t (m,) and x
            (m,) or (channels, m), or of tuples ((t_1, x_1), ...) of one pair a channel; an object of scikit-fda.
        grid: (G,) increasing; G even steps from 0 to 1 where it is None.
        channels: of each curve.
        missing: what to do about NaN: refuse it, or drop it and interpolate where a table needs a value.

    Raises:
        ValueError: a grid that does not increase or has another length, another number of channels, NaN or infinity,
            a curve without a value.

    >>> table = read([[1.0, 2.0, 4.0]], None, 1, "error", np.asarray)
    >>> table.grid, table.channels[0][0].values
    (array([0. , 0.5, 1. ]), array([[1., 2., 4.]]))
    >>> read([([0.0, 0.3], [1.0, 2.0]), ([0.1], [3.0])], None, 1, "error", np.asarray).range
    (0.0, 0.3)
    """
    if hasattr(X, "to_grid") and hasattr(X, "domain_range"):  # of scikit-fda, with or without a grid of its own
        if hasattr(X, "start_indices"):  # FDataIrregular
            return _of_pairs(_pairs(X), channels, missing)
        if not hasattr(X, "data_matrix"):
            left, right = X.domain_range[0]
            X = X.to_grid(np.linspace(left, right, FINE))
        return _of_fda_grid(X, channels, missing)
    if isinstance(X, list | tuple) and len(X) and all(isinstance(curve, tuple) and len(curve) > 0 for curve in X):
        return _of_pairs(X, channels, missing)
    if isinstance(X, list | tuple) and _ragged(X):
        raise ValueError("X holds curves of different lengths without times; pass a list of tuples (t, x).")
    return _of_table(validated(X), grid, channels, missing)


def increasing(name: str, grid: Any) -> np.ndarray:
    """(G,) float64; raise unless finite and increasing."""
    grid = np.asarray(grid, np.float64)
    if grid.ndim != 1 or len(grid) == 0:
        raise ValueError(f"{name} must be numbers of shape (G,), G >= 1, got shape {grid.shape}.")
    bad = np.flatnonzero(~(np.isfinite(grid[1:]) & (np.diff(grid) > 0)))
    if len(bad) or not np.isfinite(grid[0]):
        j = int(bad[0]) if len(bad) else 0
        raise ValueError(
            f"{name} must be finite and increasing, but goes {grid[j : j + 2].tolist()} at place {j}; sort the times, "
            "and the values with them, and merge values of equal times."
        )
    return grid


def _of_table(table: np.ndarray, grid: Any, channels: int, missing: Missing) -> Curves:
    if table.ndim == 3:
        if table.shape[1] != channels:
            raise ValueError(
                f"X has {table.shape[1]} channels, (n, channels, G) = {table.shape}, but channels={channels}."
            )
        values = table
    elif table.shape[1] % channels:
        raise ValueError(f"X has {table.shape[1]} columns, which channels={channels} does not divide.")
    else:
        values = table.reshape(len(table), channels, -1)
    num_points = values.shape[-1]
    if grid is None:
        grid = np.linspace(0, 1, num_points) if num_points > 1 else np.array([0.5])
    grid = increasing("grid", grid)
    if len(grid) != num_points:
        raise ValueError(
            f"grid has {len(grid)} points, but the curves have {num_points} values in each of {channels} channels; "
            "pass one time for each value."
        )
    return _on_grid(grid, values, missing)


def _on_grid(grid: np.ndarray, values: np.ndarray, missing: Missing) -> Curves:
    """One group a channel, of values (n, channels, G)."""
    values = np.array(values, np.float64)
    for i, c in np.argwhere(~np.isfinite(values).all(-1)):
        values[i, c] = _filled(grid, values[i, c], missing, int(i))
    rows = np.arange(len(values))
    return Curves([[Group(grid, values[:, c], rows)] for c in range(values.shape[1])], len(values))


def _filled(grid: np.ndarray, curve: np.ndarray, missing: Missing, row: int) -> np.ndarray:
    """NaN by monotone cubics between the values that are there, and as the nearest of them beyond."""
    from scipy.interpolate import PchipInterpolator

    seen = _seen(grid, curve, missing, row)
    if seen.sum() == 1:
        return np.full_like(curve, curve[seen][0])
    times = grid[seen]
    return PchipInterpolator(times, curve[seen])(np.clip(grid, times[0], times[-1]))


def _seen(times: np.ndarray, curve: np.ndarray, missing: Missing, row: int) -> np.ndarray:
    """Where there is a value; raise for infinity, for NaN where that is an error, and where there is none."""
    seen = ~np.isnan(curve)
    if np.isinf(curve).any() or (missing == "error" and not seen.all()):
        place = int(np.flatnonzero(~np.isfinite(curve))[0])
        raise ValueError(f"curve {row} of X is {curve[place]} at t={times[place]:.6g}; {REMEDY}, which takes NaN.")
    if not seen.any():
        raise ValueError(f"curve {row} of X has no value at all; drop it.")
    return seen


def _of_pairs(pairs: Sequence[Any], channels: int, missing: Missing) -> Curves:
    parts: list[dict[bytes, list[tuple[int, np.ndarray, np.ndarray]]]] = [{} for _ in range(channels)]
    for i, curve in enumerate(pairs):
        for c, (times, values) in enumerate(_channels_of(curve, channels, i)):
            times = increasing(f"t of curve {i}", times)
            if values.shape != times.shape:
                raise ValueError(
                    f"curve {i} has {len(times)} times but values of shape {values.shape}; pass tuples (t, x) of one "
                    "value for each time."
                )
            seen = _seen(times, values, missing, i)
            times, values = times[seen], values[seen]
            parts[c].setdefault(times.tobytes(), []).append((i, times, values))
    groups = [
        [
            Group(same[0][1], np.stack([values for _, _, values in same]), np.array([i for i, _, _ in same]))
            for same in by_times.values()
        ]
        for by_times in parts
    ]
    return Curves(groups, len(pairs))


def _channels_of(curve: tuple[Any, ...], channels: int, row: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(t, x) of each channel."""
    if isinstance(curve[0], tuple):
        found = [(np.asarray(t, np.float64), np.asarray(x, np.float64)) for t, x in curve]
    elif len(curve) == 2:
        times, values = np.asarray(curve[0], np.float64), np.asarray(curve[1], np.float64)
        found = [(times, part) for part in (values[None] if values.ndim == 1 else values)]
    else:
        raise ValueError(f"curve {row} is a tuple of {len(curve)} entries; pass tuples (t, x).")
    if len(found) != channels:
        raise ValueError(f"curve {row} of X has {len(found)} channels, but channels={channels}; set channels to it.")
    return found


def _of_fda_grid(X: Any, channels: int, missing: Missing) -> Curves:
    if len(X.grid_points) != 1:
        raise ValueError(
            f"X holds functions of {len(X.grid_points)} variables; encode them by SurfaceCoefficients, from arrays."
        )
    values = np.moveaxis(np.asarray(X.data_matrix, np.float64), -1, 1)
    if values.shape[1] != channels:
        raise ValueError(
            f"X has {values.shape[1]} channels (its codomain), but channels={channels}; set channels to it."
        )
    return _on_grid(increasing("grid_points of X", X.grid_points[0]), values, missing)


def _pairs(X: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """(t, x) of each curve of scikit-fda's FDataIrregular."""
    if np.shape(X.points)[1] != 1:
        raise ValueError(f"X holds functions of {np.shape(X.points)[1]} variables; pass curves.")
    times, values = np.asarray(X.points, np.float64)[:, 0], np.asarray(X.values, np.float64)
    cuts = np.asarray(X.start_indices)[1:]
    return [(t, x.T) for t, x in zip(np.split(times, cuts), np.split(values, cuts), strict=True)]


def _ragged(X: Sequence[Any]) -> bool:
    return len({np.shape(curve)[0] for curve in X if isinstance(curve, list | np.ndarray) and np.ndim(curve) == 1}) > 1
