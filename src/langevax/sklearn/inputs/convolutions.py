"""Shares of a curve that match short patterns: the features of MiniRocket, in NumPy.

    z(x) = share of the times t at which sum_j w_j x(t + (j - 4) d) > b,      j = 0, ..., 8

w has three weights 2 and six weights -1: 84 patterns. Each comes at up to 32 distances d of its taps (dilations),
spaced evenly on a logarithmic scale up to the length of the curve, and with several biases b, quantiles of the
responses of training curves (Dempster, Schmidt, Webb, KDD 2021; 9,996 features there and here). A share does not depend
on where the pattern occurs in the curve.

Deviations: curves, and subsets of several channels, are drawn with a fixed seed, so that equal curves have equal
features. Cost: about 10,000 comparisons for each value of a curve.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from langevax.sklearn.persistence import saved_class

TAPS, LARGE = 9, 3
PATTERNS = np.array(list(combinations(range(TAPS), LARGE)))  # (84, 3) taps of weight 2
NUM_FEATURES = 10_000
MOST_DILATIONS = 32
MOST_CHANNELS = 9  # that one pattern adds up
GOLDEN_RATIO = (np.sqrt(5) + 1) / 2
VALUES_AT_ONCE = 2**15  # of curves, which a processor's cache holds


@saved_class
@dataclass(frozen=True)
class Convolutions:
    """Patterns at all dilations, with their biases.

    Features are in the order of dilations, patterns, biases. Every other pattern sees a curve continued by zeros, the
    others see only places where all taps are inside it.
    """

    dilations: np.ndarray
    """(D,) increasing."""
    counts: np.ndarray
    """(D,) biases of each pattern."""
    channels: np.ndarray
    """(D, 84, channels) bool: those that the pattern adds up."""
    biases: np.ndarray
    """(features,) float32."""

    @classmethod
    def fit(cls, values: np.ndarray) -> "Convolutions":
        """Choose dilations by the length, and biases from responses of curves (n, channels, length), length >= 9."""
        random = np.random.default_rng(0)
        dilations, counts = spaced_dilations(
            values.shape[-1], NUM_FEATURES // len(PATTERNS)
        )
        channels = channel_subsets(
            len(dilations) * len(PATTERNS), values.shape[1], random
        )
        channels = channels.reshape(len(dilations), len(PATTERNS), -1)
        curves = random.integers(len(values), size=(len(dilations), len(PATTERNS)))
        levels = np.arange(1, len(PATTERNS) * counts.sum() + 1) * GOLDEN_RATIO % 1
        biases, first = np.empty(len(levels), np.float32), 0
        for i, (dilation, count) in enumerate(zip(dilations, counts, strict=True)):
            for k, pattern in enumerate(PATTERNS):
                curve = values[curves[i, k], channels[i, k]].sum(0)[None]
                response = _response(curve, pattern, int(dilation))
                biases[first : first + count] = np.quantile(
                    response, levels[first : first + count]
                )
                first += count
        return cls(dilations, counts, channels, biases)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the features (n, features) float32 of curves (n, channels, length)."""
        rows = max(1, VALUES_AT_ONCE // values.shape[-1])
        parts = [
            self._shares(values[start : start + rows])
            for start in range(0, len(values), rows)
        ]
        return np.concatenate(parts)

    def _shares(self, values: np.ndarray) -> np.ndarray:
        shares, first = np.empty((len(values), len(self.biases)), np.float32), 0
        for i, (dilation, count) in enumerate(
            zip(self.dilations.tolist(), self.counts.tolist(), strict=True)
        ):
            taps = shifted(values, dilation)
            totals = taps.sum(0)
            for k, pattern in enumerate(PATTERNS):
                response = 3 * taps[pattern].sum(0) - totals
                one = (
                    response[:, 0]
                    if values.shape[1] == 1
                    else response[:, self.channels[i, k]].sum(1)
                )
                one = _valid(one, dilation, i + k)
                above = one[:, None] > self.biases[first : first + count, None]
                shares[:, first : first + count] = (
                    np.count_nonzero(above, axis=2) / one.shape[1]
                )
                first += count
        return shares


def spaced_dilations(length: int, per_pattern: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (dilations, biases of each pattern at each of them), which add up to `per_pattern`.

    Example:
        >>> spaced_dilations(24, 119)
        (array([1, 2]), array([79, 40]))
    """
    number = min(per_pattern, MOST_DILATIONS)
    largest = np.log2((length - 1) / (TAPS - 1))
    places = np.logspace(0, largest, number, base=2).astype(np.int32).astype(np.int64)
    dilations, counts = np.unique(places, return_counts=True)
    counts = (counts * (per_pattern / number)).astype(np.int64)
    rest = per_pattern - counts.sum()
    counts += rest // len(counts)
    counts[: rest % len(counts)] += 1
    return dilations, counts


def shifted(values: np.ndarray, dilation: int) -> np.ndarray:
    """Return (9, ...) the curves shifted by each tap, continued by zeros."""
    length, reach = values.shape[-1], TAPS // 2 * dilation
    wide = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(reach, reach)])
    return np.stack(
        [wide[..., j * dilation : j * dilation + length] for j in range(TAPS)]
    )


def _response(values: np.ndarray, pattern: np.ndarray, dilation: int) -> np.ndarray:
    taps = shifted(values, dilation)
    return 3 * taps[pattern].sum(0) - taps.sum(0)


def _valid(response: np.ndarray, dilation: int, number: int) -> np.ndarray:
    """Return the response at all places for even numbers, and where all taps are inside the curve for odd ones."""
    reach = TAPS // 2 * dilation
    return (
        response
        if number % 2 == 0
        else response[..., reach : response.shape[-1] - reach]
    )


def channel_subsets(
    number: int, num_channels: int, random: np.random.Generator
) -> np.ndarray:
    """Return (number, channels) bool: subsets whose sizes are uniform on a logarithmic scale."""
    largest = np.log2(min(num_channels, MOST_CHANNELS) + 1)
    sizes = np.floor(2 ** random.uniform(0, largest, number)).astype(int)
    order = np.argsort(random.uniform(size=(number, num_channels)), axis=1)
    return np.argsort(order, axis=1) < sizes[:, None]
