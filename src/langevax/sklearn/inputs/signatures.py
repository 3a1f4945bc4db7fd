"""Curves as signatures of windows: iterated integrals of a path, in NumPy.

    S_k = integral over u_1 < ... < u_k of dP(u_1) x ... x dP(u_k),      k = 1, ..., depth

P(u) = (u, x(u), x(u - lag)) is linear between the points of the curve, and goes from 0 to its first value at the start:
time counts, and so does a level. A straight piece of increment D has S_k = D x ... x D / k!, and pieces a, b one after
the other have S_k(ab) = sum_j S_j(a) x S_(k-j)(b) (Chen 1958). Windows are the whole curve, its halves, quarters and
eighths (dyadic; Morrill, Fermanian, Kidger, Lyons, 2020). Within a window the order of events counts more than their
times: numbers of the curve alone do not change where its clock runs unevenly, only those with time or the lag do.

Deviations: each number is over its deviation among the training curves afterwards, in place of a factor k!; the lag is
1/32 of the curve and not one point, so that finer readings change little. Cost: (1 + 2 channels)^(depth - 1) sums for
each value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from langevax.sklearn.persistence import saved_class

MOST_FEATURES = 5000
MOST_DEPTH = 4
MOST_SPLITS = 3  # halvings of the curve
LAGS = 32  # in a curve
NUMBERS_AT_ONCE = 2**22  # of iterated integrals, in memory
Levels = list[np.ndarray]
"""The tensors S_1, ..., S_depth of paths, each (..., channels^k)."""


@saved_class
@dataclass(frozen=True)
class Signatures:
    """Signatures of dyadic windows, up to a depth at which their number stays below `MOST_FEATURES`."""

    depth: int
    num_splits: int
    lag: int
    """In points."""

    @classmethod
    def fit(cls, values: np.ndarray) -> "Signatures":
        """Choose the depth and the number of halvings by the shape of curves (n, channels, length).

        Example:
            >>> Signatures.fit(np.zeros((5, 1, 100))), Signatures.fit(np.zeros((5, 12, 20)))
            (Signatures(depth=4, num_splits=3, lag=3), Signatures(depth=2, num_splits=2, lag=1))
        """
        channels, length = 1 + 2 * values.shape[1], values.shape[2]
        sizes = list(accumulate(channels**k for k in range(1, MOST_DEPTH + 1)))
        depth = max(
            [1, *(k for k, size in enumerate(sizes, 1) if 7 * size <= MOST_FEATURES)]
        )
        splits = [
            s
            for s in range(MOST_SPLITS + 1)
            if (2 ** (s + 1) - 1) * sizes[depth - 1] <= MOST_FEATURES
        ]
        return cls(depth, max([0, *splits]), max(1, length // LAGS))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return (n, features) float32 of curves (n, channels, length): S_1, S_2, ... of the longest window first."""
        numbers = values.shape[-1] * (1 + 2 * values.shape[1]) ** max(1, self.depth - 1)
        rows = max(1, NUMBERS_AT_ONCE // numbers)
        parts = [
            self._of_few(values[start : start + rows])
            for start in range(0, len(values), rows)
        ]
        return np.concatenate(parts)

    def _of_few(self, values: np.ndarray) -> np.ndarray:
        lead, lagged = values[..., self.lag :], values[..., : -self.lag]
        times = np.broadcast_to(
            np.linspace(0, 1, lead.shape[-1]), (len(values), 1, lead.shape[-1])
        )
        path = np.concatenate([times, lead, lagged], axis=1, dtype=np.float64)
        steps = np.diff(path, axis=2, prepend=0.0).transpose(0, 2, 1)
        ends = (
            np.linspace(0, steps.shape[1], 2**self.num_splits + 1).round().astype(int)
        )
        pieces = [signature(steps[:, i:j], self.depth) for i, j in pairwise(ends)]
        windows = [pieces]
        while len(pieces) > 1:
            pieces = [
                joined(one, other)
                for one, other in zip(pieces[::2], pieces[1::2], strict=True)
            ]
            windows.insert(0, pieces)
        tensors = [tensor for row in windows for piece in row for tensor in piece]
        return np.concatenate(tensors, axis=1).astype(np.float32)


def signature(steps: np.ndarray, depth: int) -> Levels:
    """Return S_1, ..., S_depth of paths with increments (n, steps, channels), each (n, channels^k).

    Example:
        >>> one, two = signature(np.array([[[1.0, 0.0], [0.0, 1.0]]]), 2)  # right, then up
        >>> one, two
        (array([[1., 1.]]), array([[0.5, 1. , 0. , 0.5]]))
    """
    powers = [steps]  # D^j / j! of each step
    for j in range(2, depth + 1):
        powers.append(_product(powers[-1], steps) / j)
    before = [np.ones((*steps.shape[:2], 1))]  # S_j up to each step, without it
    levels = []
    for k in range(1, depth + 1):
        pairs = zip(before, reversed(powers[:k]), strict=True)
        if k == depth:
            levels.append(
                sum(
                    np.matmul(one.mT, power).reshape(len(steps), -1)
                    for one, power in pairs
                )
            )
        else:
            sums = np.cumsum(sum(_product(one, power) for one, power in pairs), axis=1)
            levels.append(sums[:, -1])
            before.append(
                np.concatenate([np.zeros_like(sums[:, :1]), sums[:, :-1]], axis=1)
            )
    return levels


def joined(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> Levels:
    """Return the tensors of one path followed by another, by Chen's identity."""
    levels = []
    for k in range(len(one)):
        products = (_product(one[j], other[k - 1 - j]) for j in range(k))
        levels.append(one[k] + other[k] + sum(products))
    return levels


def _product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the tensor products over the last axes, (..., a b)."""
    return (one[..., :, None] * other[..., None, :]).reshape(*one.shape[:-1], -1)
