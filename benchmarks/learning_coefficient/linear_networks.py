"""Deep linear networks at their most singular minima: thresholds in closed form, and exact values at finite n.

The real log canonical threshold is Aoyagi's (2024, "Consideration on the learning efficiency of multiple-layered neural
networks with linear units"), of which reduced-rank regression (Aoyagi, Watanabe, Neural Networks 2005) is the case of
two layers, and half the number of parameters that of one. At finite n the mean loss is that of a Gibbs sampler in
float64: each layer given the others is normal, with a curvature that is a Kronecker product. It shares nothing with the
estimator but the law.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Layers = list[np.ndarray]


def threshold(widths: Sequence[int], rank: int) -> float:
    """Return the real log canonical threshold of a map of this rank through layers of these widths (Aoyagi 2024).

    With excesses of the widths over the rank, it is carried by the smallest of them: those k = l + 1 of which the sum
    is at least l times the largest, and less than l times the next.
    """
    excesses = sorted(width - rank for width in widths)
    for k in range(2, len(excesses) + 1):
        chosen, layers, total = excesses[:k], k - 1, sum(excesses[:k])
        if total >= layers * chosen[-1] and (
            k == len(excesses) or total < layers * excesses[k]
        ):
            break
    else:
        raise ValueError(
            f"no layers of {tuple(widths)} carry the threshold of rank {rank}; pass widths of at least it."
        )
    remainder = total - (math.ceil(total / layers) - 1) * layers
    pairs = sum(a * b for a, b in itertools.combinations(chosen, 2))
    regular = rank * (widths[0] + widths[-1] - rank) / 2
    singular = (
        remainder * (layers - remainder) / (4 * layers)
        - (layers - 1) * total**2 / (4 * layers)
        + pairs / 2
    )
    return regular + singular


def reduced_rank_threshold(inputs: int, hidden: int, outputs: int, rank: int) -> float:
    """Return the real log canonical threshold of two layers (Aoyagi, Watanabe 2005, Theorem 1)."""
    if inputs + hidden < outputs + rank:
        return (hidden * inputs - hidden * rank + outputs * rank) / 2
    if outputs + hidden < inputs + rank:
        return (hidden * outputs - hidden * rank + inputs * rank) / 2
    if inputs + outputs < hidden + rank:
        return inputs * outputs / 2
    total = (
        2 * (hidden + rank) * (inputs + outputs)
        - (inputs - outputs) ** 2
        - (hidden + rank) ** 2
    )
    return (total + (inputs + hidden + outputs + rank) % 2) / 8


def most_singular(widths: Sequence[int], rank: int, rng: np.random.Generator) -> Layers:
    """Return layers of this rank each, with singular values of 1 and random singular vectors."""
    frames = [
        np.linalg.qr(rng.normal(size=(width, max(rank, 1))))[0][:, :rank]
        for width in widths
    ]
    return [after @ before.T for before, after in itertools.pairwise(frames)]


class ExactMean(NamedTuple):
    """A mean with its standard error."""

    value: float
    error: float


def exact_coefficient(
    layers: Layers,
    gram: np.ndarray,
    temperature: float,
    localization: float,
    sweeps: int,
    rng: np.random.Generator,
) -> ExactMean:
    """Return E (L - L*) / T by Gibbs sampling of the layers, where L is half the mean square error of the map.

    Two chains, one from the minimum and one from the localization's normal law; a quarter of each is left out. At each
    visit the conditional mean of L counts, rather than L. The error is that of means over eight stretches of them.
    """
    root, true = (
        np.linalg.cholesky(gram),
        functools.reduce(lambda product, layer: layer @ product, layers),
    )
    values = []
    for spread in (0.0, 1 / math.sqrt(localization)):
        moving = [layer + spread * rng.normal(size=layer.shape) for layer in layers]
        means = [
            _sweep(moving, layers, true, root, temperature, localization, rng)
            for _ in range(sweeps)
        ]
        values.append(means[sweeps // 4 :])
    stretches = np.array(
        [np.mean(part) for chain in values for part in np.array_split(chain, 4)]
    )
    return ExactMean(
        float(np.mean(values)), float(stretches.std(ddof=1) / math.sqrt(len(stretches)))
    )


def _sweep(
    moving: Layers,
    layers: Layers,
    true: np.ndarray,
    root: np.ndarray,
    temperature: float,
    localization: float,
    rng: np.random.Generator,
) -> float:
    """Draw each layer given the others, in place; return the mean of the conditional means of the coefficient.

    With `after` and `before` the products of the layers behind and in front, the map is after W before. Only the part
    of W between the row space of `after` and the column space of `before` enters it; the rest is normal noise.
    """
    afters = [np.eye(len(true))]
    for layer in moving[:0:-1]:
        afters.insert(0, afters[0] @ layer)
    before, conditional = (
        root,
        [],
    )  # whitened: the squared length of (map - true) root is the mean square error
    for index, (after, centre) in enumerate(zip(afters, layers, strict=True)):
        u, a, out = np.linalg.svd(after, full_matrices=False)
        within, c, v = np.linalg.svd(before, full_matrices=False)
        curvature = np.outer(a, c) ** 2 / temperature
        precision = curvature + localization
        target = u.T @ (true @ root) @ v.T
        mean = (
            np.outer(a, c) * target / temperature + localization * out @ centre @ within
        ) / precision
        fitted = a[:, None] * mean * c
        lost = np.sum((true @ root) ** 2) - np.sum(target**2)  # that no W reaches
        error = max(lost, 0.0) + np.sum((fitted - target) ** 2)
        conditional.append(
            error / (2 * temperature) + np.sum(curvature / precision) / 2
        )
        drawn = centre + rng.normal(size=centre.shape) / math.sqrt(localization)
        block = mean + rng.normal(size=mean.shape) / np.sqrt(precision)
        moving[index] = drawn + out.T @ (block - out @ drawn @ within) @ within.T
        before = moving[index] @ before
    return float(np.mean(conditional))
