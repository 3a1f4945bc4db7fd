"""Curves as their distances from short pieces of training curves: random dilated shapelets, in NumPy.

    d_s(t) = |x(t, t + d, ..., t + 10 d) - s|,      s a piece of a training curve at the same distance d of its points

Each shapelet s makes three features: the least distance, its place, and how many places are nearer than a threshold
(Guillaume, Vrain, Elloumi, ICPRAI 2022). Half of the shapelets compare pieces as they are, the others pieces less
their mean and over their deviation. With several channels each shapelet compares a subset of them.

Deviations: Euclidean distances, which are matrix products; a threshold is a quantile of the distances from another
curve drawn at random, not of one of the same class, so that labels play no part. Cost: 11 multiplications
and three comparisons for each shapelet, channel and value.
"""

from dataclasses import dataclass

import numpy as np

from langevax.sklearn.inputs.convolutions import channel_subsets
from langevax.sklearn.persistence import saved_class

POINTS = 11  # of a shapelet
NUM_SHAPELETS = 2000
QUANTILES = (
    0.05,
    0.10,
)  # of the distances within one curve, between which thresholds are drawn
SMALLEST_DEVIATION = 1e-4  # of a piece, over that of the curves: below it has no shape
DISTANCES_AT_ONCE = 2**21


@saved_class
@dataclass(frozen=True)
class Shapelets:
    """Pieces of curves, and thresholds of their distances."""

    dilations: np.ndarray
    """(S,) distance of the points, increasing."""
    normalised: np.ndarray
    """(S,) bool."""
    channels: np.ndarray
    """(S, channels) bool: those that are compared."""
    pieces: np.ndarray
    """(S, channels, 11) float32, 0 in other channels."""
    thresholds: np.ndarray
    """(S,) of squared distances."""

    @classmethod
    def fit(cls, values: np.ndarray) -> "Shapelets":
        """Draw pieces and thresholds from curves (n, channels, length), length >= 11."""
        n, num_channels, length = values.shape
        random = np.random.default_rng(0)
        largest = np.log2((length - 1) / (POINTS - 1))
        dilations = np.sort(2 ** random.uniform(0, largest, NUM_SHAPELETS)).astype(
            np.int64
        )
        normalised = np.arange(NUM_SHAPELETS) % 2 == 0
        channels = channel_subsets(NUM_SHAPELETS, num_channels, random)
        curves, others = random.integers(n, size=(2, NUM_SHAPELETS))
        levels = random.uniform(*QUANTILES, NUM_SHAPELETS)
        pieces = np.empty((NUM_SHAPELETS, num_channels, POINTS), np.float32)
        thresholds = np.empty(NUM_SHAPELETS, np.float32)
        for k, dilation in enumerate(dilations.tolist()):
            windows = (
                _windows(values[[curves[k], others[k]]], dilation, bool(normalised[k]))
                * channels[k, :, None]
            )
            pieces[k] = windows[0, random.integers(windows.shape[1])]
            squares = np.sum((windows[1] - pieces[k]) ** 2, axis=(1, 2))
            thresholds[k] = np.quantile(squares, levels[k])
        return cls(dilations, normalised, channels, pieces, thresholds)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return (n, 3 S) float32 of curves (n, channels, length): least distances, places, shares of near places."""
        features = np.empty((3, len(self.dilations), len(values)), np.float32)
        groups, first = np.unique(
            2 * self.dilations + self.normalised, return_inverse=True
        )
        for k, group in enumerate(groups.tolist()):
            members = np.flatnonzero(first == k)
            rows = max(
                1,
                DISTANCES_AT_ONCE
                // (values.shape[-1] * max(len(members), POINTS * values.shape[1])),
            )
            for start in range(0, len(values), rows):
                block = slice(start, start + rows)
                windows = _windows(values[block], group // 2, bool(group % 2))
                features[:, members, block] = self._of_windows(windows, members)
        return features.reshape(-1, len(values)).T

    def _of_windows(self, windows: np.ndarray, members: np.ndarray) -> np.ndarray:
        n, places = windows.shape[:2]
        pieces = self.pieces[members].reshape(len(members), -1)
        sizes = np.einsum("npcj,npcj->npc", windows, windows)
        squares = (
            self.channels[members].astype(np.float32) @ sizes.reshape(n * places, -1).T
        )
        squares -= 2 * pieces @ windows.reshape(n * places, -1).T
        squares += np.sum(pieces**2, axis=1)[:, None]
        squares = squares.reshape(len(members), n, places)
        near = (
            np.count_nonzero(squares < self.thresholds[members, None, None], axis=2)
            / places
        )
        first = squares.argmin(2)
        least = np.take_along_axis(squares, first[..., None], 2)[..., 0]
        return np.stack([np.sqrt(np.maximum(least, 0.0)), first / places, near])


def _windows(values: np.ndarray, dilation: int, normalised: bool) -> np.ndarray:
    """Return (n, places, channels, 11) float32: pieces of curves whose points are `dilation` apart."""
    windows = np.lib.stride_tricks.sliding_window_view(
        values, (POINTS - 1) * dilation + 1, axis=-1
    )[..., ::dilation]
    windows = windows.transpose(0, 2, 1, 3).astype(np.float32)
    if not normalised:
        return windows
    windows = windows - windows.mean(3, keepdims=True)
    deviations = np.sqrt(np.mean(windows**2, axis=3, keepdims=True))
    return np.where(
        deviations > SMALLEST_DEVIATION,
        windows / np.maximum(deviations, SMALLEST_DEVIATION),
        0.0,
    )
