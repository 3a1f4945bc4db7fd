"""New curves and graphs that the training ones say nothing about, since their level or size is another.

A network answers on any input. Where no training curve has such a level or such a size, often because of another unit,
its answer rests on nothing, and a warning names the curve.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from langevax.sklearn.inputs.curve_values import ObservedCurves
from langevax.sklearn.persistence import saved_class

FACTOR = 2.0  # above the largest of training, or at least below the smallest, by which a size is another one
ROUNDING = (
    1e-6  # share of a curve's largest value below which its deviations are rounding
)

Remark = tuple[int, str]
"""Place of an input among those passed, and how it differs from all of training."""


class UnlikeTrainingWarning(UserWarning):
    """A prediction is asked for at curves or graphs of another scale than those of the training."""


def warn_of(remarks: list[Remark], noun: str, number: int) -> None:
    """Warn of inputs of a kind, such as "curve", among `number` of them.

    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_of([(3, "its mean is 9, and theirs are 0 to 1")], "curve", 10)
    >>> print(caught[0].message)
    curve 3 of X is unlike all of training: its mean is 9, and theirs are 0 to 1. Nothing supports a prediction there; \
check its unit.
    """
    if remarks:
        names = [f"{noun} {row} of X" for row, _ in remarks]
        warnings.warn(
            sentence(remarks, names, noun, number), UnlikeTrainingWarning, stacklevel=3
        )


def sentence(remarks: list[Remark], names: list[str], noun: str, number: int) -> str:
    """Return what to say of these inputs, the first by its name."""
    why = f"{remarks[0][1]}. Nothing supports a prediction there; check its unit."
    if len(remarks) == 1:
        return f"{names[0]} is unlike all of training: {why}"
    return f"{len(remarks)} of {number} {noun}s are unlike all of training, such as {names[0]}: {why}"


@saved_class
@dataclass(frozen=True)
class CurveRanges:
    """Least and greatest level and size of the training curves.

    The level is the mean of a curve's readings, and its size their standard deviation; from a line, where only second
    derivatives are read. A level counts where values are read.
    """

    order: int
    """The least derivative that is read."""
    levels: np.ndarray
    """(channels, 2)."""
    sizes: np.ndarray
    """(channels, 2)."""

    @classmethod
    def learn(cls, curves: ObservedCurves, order: int) -> "CurveRanges":
        """Return the ranges of these curves."""
        levels, sizes = _levels_and_sizes(curves, order)
        return cls(
            order,
            *(
                np.stack([values.min(1), values.max(1)], 1)
                for values in (levels, sizes)
            ),
        )

    def remarks(self, curves: ObservedCurves) -> list[Remark]:
        """Return the curves whose level is beyond the range by more than its width and any training curve's size, or
        whose size is more than `FACTOR` times the largest, or less than the smallest by `FACTOR` and the range's ratio.
        """
        levels, sizes = _levels_and_sizes(curves, self.order)
        reasons: dict[int, str] = {}
        for c, (of_level, of_size) in enumerate(
            zip(self.levels, self.sizes, strict=True)
        ):
            where = f" in channel {c}" * (len(self.levels) > 1)
            margin = max(of_level[1] - of_level[0], of_size[1])
            least = of_size[0] if of_size[0] > ROUNDING * of_size[1] else 0.0
            # sizes that come near 0 in training come nearer by chance: the factor is that of their range, if larger
            below = least * min(
                1 / FACTOR, least / max(of_size[1], np.finfo(float).tiny)
            )
            beyond = (sizes[c] > FACTOR * of_size[1]) | (sizes[c] < below)
            for row in np.flatnonzero(~np.isfinite(sizes[c]) | beyond).tolist():
                words = "deviation" if self.order < 2 else "deviation from a line"
                reasons.setdefault(
                    row, _words(f"standard {words}{where}", sizes[c, row], of_size)
                )
            if self.order == 0:
                off = (
                    np.maximum(of_level[0] - levels[c], levels[c] - of_level[1])
                    > margin
                )
                for row in np.flatnonzero(off).tolist():
                    reasons.setdefault(
                        row, _words(f"mean{where}", levels[c, row], of_level)
                    )
        return sorted(reasons.items())


def _words(what: str, value: float, limits: np.ndarray) -> str:
    low, high = (f"{limit:.3g}" for limit in limits)
    return f"its {what} is {value:.3g}, and theirs are {low if low == high else f'{low} to {high}'}"


def _levels_and_sizes(
    curves: ObservedCurves, order: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (channels, n) each."""
    levels, sizes = np.empty((2, len(curves.channels), curves.size))
    for c, groups in enumerate(curves.channels):
        for group in groups:
            with np.errstate(over="ignore", invalid="ignore"):
                level = group.values.mean(1)
                rest = group.values - level[:, None]
                if order >= 2 and len(group.times) > 1:
                    line = group.times - group.times.mean()
                    line = line / np.linalg.norm(line)
                    rest = rest - np.outer(rest @ line, line)
                size = np.sqrt(np.mean(rest**2, axis=1))
            rounding = ROUNDING * np.abs(group.values).max(1)
            levels[c, group.rows], sizes[c, group.rows] = (
                level,
                np.where(size > rounding, size, 0.0),
            )
    return levels, sizes
