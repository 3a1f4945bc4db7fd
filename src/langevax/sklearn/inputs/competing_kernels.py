"""Kernels that compete for each place of a curve: the features of Hydra, in NumPy.

    (W_g x)_k(t) = sum_j w_gkj x(t + (j - 4) d),      k = 1, ..., 8 in each group g,      j = 0, ..., 8

At each place the kernel of the largest response in its group gets this response, and the one of the smallest response
a point; the features are the square roots of the means of both over all places. At each of the distances d = 1, 2,
4, ... up to the length of the curve, 32 groups of random kernels of mean 0 see the curve, and 32 others its differences
(Dempster, Schmidt, Webb, Data Mining and Knowledge Discovery 2023).

Deviations: kernels and subsets of several channels are drawn with a fixed seed; where nothing responds, as in a
constant part, no kernel gets a point. Cost: 512 kernels for each distance and value.
"""

from dataclasses import dataclass

import numpy as np

from langevax.sklearn.inputs.convolutions import TAPS, channel_subsets, shifted
from langevax.sklearn.persistence import saved_class

GROUPS, KERNELS = 32, 8  # groups at each distance, kernels of a group
NO_RESPONSE = 1e-5  # of standardised curves: rounding
VALUES_AT_ONCE = 2**15  # of curves, which a processor's cache holds


@saved_class
@dataclass(frozen=True)
class CompetingKernels:
    """Groups of kernels at all distances, for curves and for their differences."""

    weights: np.ndarray
    """(D, 2, 32, 8, 9) float32, at distances 1, 2, 4, ..., 2^(D - 1)."""
    channels: np.ndarray
    """(D, 2, 32, channels) bool: those that a group adds up."""

    @classmethod
    def fit(cls, values: np.ndarray) -> "CompetingKernels":
        """Draw kernels by the shape of curves (n, channels, length), length >= 9."""
        random = np.random.default_rng(0)
        num_distances = 1 + int(np.log2((values.shape[-1] - 1) / (TAPS - 1)))
        weights = random.normal(size=(num_distances, 2, GROUPS, KERNELS, TAPS))
        weights -= weights.mean(-1, keepdims=True)
        weights /= np.abs(weights).sum(-1, keepdims=True)
        channels = channel_subsets(num_distances * 2 * GROUPS, values.shape[1], random)
        return cls(
            weights.astype(np.float32), channels.reshape(num_distances, 2, GROUPS, -1)
        )

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the features (n, D * 2 * 2 * 256) float32 of curves (n, channels, length)."""
        rows = max(1, VALUES_AT_ONCE // values.shape[-1])
        return np.concatenate(
            [
                self._of_few(values[start : start + rows])
                for start in range(0, len(values), rows)
            ]
        )

    def _of_few(self, values: np.ndarray) -> np.ndarray:
        features = []
        for i, groups in enumerate(self.weights):
            for curves, weights, channels in zip(
                (values, np.diff(values)), groups, self.channels[i], strict=True
            ):
                features += _wins(_responses(shifted(curves, 2**i), weights, channels))
        return np.sqrt(np.concatenate(features)).T


def _responses(
    taps: np.ndarray, weights: np.ndarray, channels: np.ndarray
) -> np.ndarray:
    """Return (8, 32, n, length) of shifted curves (9, n, channels, length)."""
    by_kernel = weights.swapaxes(0, 1)
    if channels.shape[1] == 1:
        return np.tensordot(by_kernel, taps[:, :, 0], 1)
    groups = [
        np.tensordot(by_kernel[:, g], taps[:, :, channels[g]].sum(2), 1)
        for g in range(len(channels))
    ]
    return np.stack(groups, 1)


def _wins(responses: np.ndarray) -> list[np.ndarray]:
    """Return means of the largest responses and shares of the smallest, (256, n) each."""
    largest, smallest = responses.max(0), np.minimum(responses.min(0), -NO_RESPONSE)
    size, n = responses.shape[-1], responses.shape[-2]
    won = np.where(responses == largest, responses, np.float32(0)).sum(-1) / np.float32(
        size
    )
    lost = np.count_nonzero(responses == smallest, axis=-1).astype(
        np.float32
    ) / np.float32(size)
    return [np.maximum(won, 0).reshape(-1, n), lost.reshape(-1, n)]
