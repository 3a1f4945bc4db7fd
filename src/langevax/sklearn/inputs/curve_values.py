"""From users' curves to times and values: tables, several channels, and pairs (t, x).

Curves observed at the same times form one group, whose values are a matrix: a table is one group, curves with times of
their own are one group each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

Missing = Literal["error", "interpolate"]
AnyCurves = Any
"""Curves in the forms that `read_curves` accepts."""


@dataclass(frozen=True)
class CurvesAtTimes:
    """Curves of one channel observed at the same times."""

    times: np.ndarray
    """(G,) increasing."""
    values: np.ndarray
    """(r, G) float64."""
    rows: np.ndarray
    """(r,) indices of the curves."""


@dataclass(frozen=True)
class ObservedCurves:
    """n curves: the groups of each channel, which together hold every curve once."""

    channels: list[list[CurvesAtTimes]]
    size: int

    @property
    def grid(self) -> np.ndarray | None:
        """Return (G,) where all curves and channels were observed at the same times."""
        first = self.channels[0][0].times
        same = all(
            len(groups) == 1 and np.array_equal(groups[0].times, first)
            for groups in self.channels
        )
        return first if same else None

    @property
    def range(self) -> tuple[float, float]:
        """Return the first and the last time of all."""
        times = [group.times for groups in self.channels for group in groups]
        return float(min(t[0] for t in times)), float(max(t[-1] for t in times))

    @property
    def num_readings(self) -> int:
        """Return how many readings a channel of a curve has, the median."""
        groups = [group for channel in self.channels for group in channel]
        lengths = [len(group.times) for group in groups]
        return int(np.median(np.repeat(lengths, [len(group.rows) for group in groups])))


def is_pairs(X: AnyCurves) -> bool:
    """Return whether curves are tuples with times of their own.

    >>> is_pairs([([0.0, 1.0], [2.0, 3.0])]), is_pairs([[2.0, 3.0]])
    (True, False)
    """
    return isinstance(X, list | tuple) and any(isinstance(x, tuple) for x in X)


def read_pairs(X: Sequence[Any], missing: Missing) -> ObservedCurves:
    """Return curves with times of their own.

    Args:
        X: a list of tuples (t, x) with t (m,) and x (m,) or (channels, m), or of tuples ((t_1, x_1), ...) of one pair a
            channel.
        missing: refuse NaN, or drop it.

    Raises:
        ValueError: times that do not increase, values that do not fit them, another number of channels, NaN or infinity,
            a curve without a value.

    >>> read_pairs([([0.0, 0.3], [1.0, 2.0]), ([0.1], [3.0])], "error").range
    (0.0, 0.3)
    """
    curves = [_channels_of(curve, row) for row, curve in enumerate(X)]
    parts: list[dict[bytes, list[tuple[int, np.ndarray, np.ndarray]]]]
    parts = [{} for _ in curves[0]]
    for i, curve in enumerate(curves):
        if len(curve) != len(parts):
            raise ValueError(
                f"curve {i} of X has {len(curve)} channels, and curve 0 has "
                f"{len(parts)}."
            )
        for part, (times, values) in zip(parts, curve, strict=True):
            times = increasing(f"t of curve {i}", times)
            if values.shape != times.shape:
                raise ValueError(
                    f"curve {i} has {len(times)} times but values of shape "
                    f"{values.shape}; pass tuples (t, x) of one value for each time."
                )
            present = _present(times, values, missing, i)
            times = times[present]
            values = values[present]
            part.setdefault(times.tobytes(), []).append((i, times, values))
    groups = [[_group(same) for same in part.values()] for part in parts]
    return ObservedCurves(groups, len(curves))


def read_table(table: np.ndarray, grid: Any, missing: Missing) -> ObservedCurves:
    """Return curves at the same times.

    Args:
        table: (n, G) or (n, channels, G).
        grid: (G,) increasing; None for G even steps from 0 to 1.
        missing: refuse NaN, or fill it by interpolation.

    Raises:
        ValueError: a grid that does not increase or has another length, NaN or infinity, a curve without a value.

    >>> curves = read_table(np.array([[1.0, 2.0, 4.0]]), None, "error")
    >>> curves.grid, curves.channels[0][0].values
    (array([0. , 0.5, 1. ]), array([[1., 2., 4.]]))
    """
    values = np.array(table if table.ndim == 3 else table[:, None], np.float64)
    num_points = values.shape[-1]
    if grid is None:
        grid = np.linspace(0, 1, num_points) if num_points > 1 else np.array([0.5])
    grid = increasing("grid", grid)
    if len(grid) != num_points:
        raise ValueError(
            f"grid has {len(grid)} points, but the curves have {num_points} values; "
            "pass one time for each value, or curves at other times as tuples (t, x)."
        )
    for i, c in np.argwhere(~np.isfinite(values).all(-1)):
        values[i, c] = _filled(grid, values[i, c], missing, int(i))
    rows = np.arange(len(values))
    groups = [[CurvesAtTimes(grid, channel, rows)] for channel in values.swapaxes(0, 1)]
    return ObservedCurves(groups, len(values))


def windows(num_parts: int, places: np.ndarray) -> np.ndarray:
    """Return (parts, places): smooth windows around evenly spaced centres of [0, 1], of sum 1 at every place.

    Example:
        >>> windows(3, np.array([0.0, 0.125, 0.5])).round(2)
        array([[1.  , 0.85, 0.  ],
               [0.  , 0.15, 1.  ],
               [0.  , 0.  , 0.  ]])
    """
    distances = np.abs(np.linspace(0, 1, num_parts)[:, None] - places) * (num_parts - 1)
    return np.cos(np.pi / 2 * np.minimum(distances, 1)) ** 2


def increasing(name: str, grid: ArrayLike) -> np.ndarray:
    """Return (G,) float64; raise unless finite and increasing."""
    times = np.asarray(grid, np.float64)
    if times.ndim != 1 or len(times) == 0:
        raise ValueError(
            f"{name} must be numbers of shape (G,), G >= 1, got shape {times.shape}."
        )
    if not (np.isfinite(times).all() and np.all(np.diff(times) > 0)):
        raise ValueError(
            f"{name} must be finite and increasing; sort the times, and the values "
            "with them, and merge values of equal times."
        )
    return times


def _filled(
    grid: np.ndarray,
    curve: np.ndarray,
    missing: Missing,
    row: int,
) -> np.ndarray:
    """Fill NaN by monotone cubics between the values, and by the nearest value beyond them."""
    from scipy.interpolate import PchipInterpolator

    present = _present(grid, curve, missing, row)
    if present.sum() == 1:
        return np.full_like(curve, curve[present][0])
    times = grid[present]
    return PchipInterpolator(times, curve[present])(np.clip(grid, times[0], times[-1]))


def _present(
    times: np.ndarray,
    curve: np.ndarray,
    missing: Missing,
    row: int,
) -> np.ndarray:
    """Return where there is a value; raise for infinity, forbidden NaN, and a curve without a value."""
    present = ~np.isnan(curve)
    if np.isinf(curve).any() or (missing == "error" and not present.all()):
        place = int(np.flatnonzero(~np.isfinite(curve))[0])
        raise ValueError(
            f"curve {row} of X is {curve[place]} at t={times[place]:.6g}; fill the "
            "gaps, or pass missing='interpolate', which accepts NaN."
        )
    if not present.any():
        raise ValueError(f"curve {row} of X has no value at all; drop it.")
    return present


def _group(same: Sequence[tuple[int, np.ndarray, np.ndarray]]) -> CurvesAtTimes:
    """Return curves (row, times, values) of equal times as one group."""
    rows, times, values = zip(*same, strict=True)
    return CurvesAtTimes(times[0], np.stack(values), np.array(rows))


def _channels_of(curve: Any, row: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (t, x) of each channel."""
    if not isinstance(curve, tuple) or len(curve) == 0:
        raise ValueError(f"curve {row} of X has no times; pass tuples (t, x).")
    if isinstance(curve[0], tuple):
        pairs = curve
    elif len(curve) == 2:
        pairs = [(curve[0], channel) for channel in np.atleast_2d(curve[1])]
    else:
        raise ValueError(
            f"curve {row} is a tuple of {len(curve)} entries; pass tuples (t, x)."
        )
    return [(np.asarray(t, np.float64), np.asarray(x, np.float64)) for t, x in pairs]
