"""Kernels of labels by Laplace's approximation of the evidence.

    -2 log p(y) = f' K^{-1} f - 2 sum_i w_i log p(y_i | f_i) + log det(I + sqrt(W) K sqrt(W))

at the mode f, with W = -w (log p)'' there (Rasmussen and Williams 2006, eq. 3.32); Newton's method is their algorithm
3.1, with halved steps where one overshoots, and the gradient their algorithm 5.1, with row weights.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

from langevax.problems.losses import logistic
from langevax.sklearn.kernel_langevin.evidence import (
    kinds_of,
    one_thread,
)
from langevax.sklearn.kernel_langevin.length_scales import (
    KINDS,
    LENGTHS,
    Scales,
    Slopes,
    climb_columns,
)
from langevax.sklearn.table import subsampled


@one_thread
def fit_labels(
    kernel: Any,
    inputs: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    length_scale: str = "shared",
    most_rows: int = 200,
    most_classes: int = 4,
    tolerance: float = 0.05,
) -> Any:
    """Return the kernel whose length scales and amplitude maximise Laplace's approximation for classes 0, ..., C-1.

    With more than two classes the evidence is the sum over one class against the rest, the most frequent ones.
    """
    if not isinstance(kernel, str):
        return kernel
    inputs, labels, weights = subsampled(most_rows, inputs, labels, weights)
    classes, counts = np.unique(labels, return_counts=True)
    classes = classes[np.argsort(-counts, kind="stable")][
        : 1 if len(classes) <= 2 else most_classes
    ]
    signs = [np.where(labels == label, 1.0, -1.0) for label in classes]

    bounds = np.log(np.transpose([LENGTHS, (0.1, 1e4)]))  # of length and amplitude

    def cost(kind: str, place: np.ndarray) -> float:
        length, c = np.exp(np.clip(place, *bounds))
        gram = c * KINDS[kind](float(length))(inputs)
        return sum(laplace_cost(gram, y, weights) for y in signs)

    coarse = [
        (kind, np.log([length, c]))
        for kind in kinds_of(kernel)
        for length in (0.5, 1.5, 5.0)
        for c in (3, 30, 300)
    ]
    kind, place = min(coarse, key=lambda candidate: cost(*candidate))
    options = {
        "maxfev": 30,
        "xatol": tolerance,
        "fatol": tolerance,
        "initial_simplex": place + np.array([[0, 0], [0.5, 0], [0, 1]]),
    }
    optimum: Any = minimize(
        lambda place: cost(kind, place), place, method="Nelder-Mead", options=options
    )
    length, c = np.exp(np.clip(optimum.x, *bounds))
    best = Scales(c, 1.0, np.array([length]))
    if length_scale == "each":
        slopes = label_slopes(signs, weights)
        best, _ = climb_columns(
            kind, inputs, best, float(optimum.fun), slopes, noise_is_free=False
        )
    if len(signs) > 1:
        # a function against the mean of the others varies more than one alone
        best = best._replace(amplitude=best.amplitude * (1 - 1 / len(signs)))
    return best.kernel(kind)


def laplace_cost(gram: np.ndarray, signs: np.ndarray, weights: np.ndarray) -> float:
    """Return -2 log p(y) by Laplace's approximation, logistic likelihood."""
    return _mode(gram, signs, weights)[0]


def label_slopes(
    signs: list[np.ndarray], weights: np.ndarray
) -> Callable[[np.ndarray, float], Slopes]:
    """Return the sum over classes of the evidence of one against the rest."""

    def slopes(gram: np.ndarray, _noise: float) -> Slopes:
        parts = [laplace(gram, y, weights) for y in signs]
        cost = sum(part.cost for part in parts)
        return Slopes(cost, np.sum([part.gram for part in parts], axis=0), 0.0)

    return slopes


def laplace(gram: np.ndarray, signs: np.ndarray, weights: np.ndarray) -> Slopes:
    """Return the evidence and its derivatives; the mode moves with the kernel, too."""
    cost, alpha = _mode(gram, signs, weights)
    at = logistic.expansion(gram @ alpha, signs)
    root, factor = _factor(gram, weights * at.curvature)
    half = solve_triangular(
        factor, root[:, None] * gram, lower=True, check_finite=False
    )
    variance = np.diag(gram) - np.sum(half**2, axis=0)  # of f given y
    inverse = root[:, None] * cho_solve(
        (factor, True), np.diag(root), check_finite=False
    )
    first = weights * at.first
    by_mode = -variance * weights * at.curvature_slope / 2  # of log p(y) in f
    moved = by_mode - inverse @ (gram @ by_mode)
    cross = np.outer(moved, first)
    return Slopes(cost, inverse - np.outer(first, first) - cross - cross.T, 0.0)


def _mode(
    gram: np.ndarray,
    signs: np.ndarray,
    weights: np.ndarray,
    most_steps: int = 60,
    most_halvings: int = 12,
) -> tuple[float, np.ndarray]:
    """Return (-2 log p(y), alpha) at the mode f = gram alpha, by Newton's method."""
    alpha = f = np.zeros(len(signs))
    at = logistic.expansion(f, signs)
    value = -float(np.sum(weights * at.value))
    for _ in range(most_steps):
        curvature = weights * at.curvature
        root, factor = _factor(gram, curvature)
        b = curvature * f + weights * at.first
        solved = cho_solve((factor, True), root * (gram @ b), check_finite=False)
        step = b - root * solved - alpha
        before = value
        origin = (alpha, f)
        along = gram @ step
        for halvings in range(most_halvings):
            alpha = origin[0] + step / 2**halvings
            f = origin[1] + along / 2**halvings
            at = logistic.expansion(f, signs)
            value = float(alpha @ f / 2 - np.sum(weights * at.value))
            if value <= before + 1e-12 * abs(before):
                break
        if abs(before - value) < 1e-8 * (1 + abs(value)):
            break
    _, factor = _factor(gram, weights * at.curvature)
    return float(2 * value + 2 * np.sum(np.log(np.diag(factor)))), alpha


def _factor(gram: np.ndarray, curvature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (sqrt(W), the lower Cholesky factor of I + sqrt(W) K sqrt(W))."""
    root = np.sqrt(curvature)
    matrix = root[:, None] * gram * root
    np.fill_diagonal(matrix, np.diag(matrix) + 1)
    return root, np.tril(
        cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)[0]
    )
