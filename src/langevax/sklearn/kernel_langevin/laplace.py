"""Kernels of labels and of quantiles by Laplace's approximation of the evidence.

    -2 log p(y) = f' K^{-1} f - 2 sum_i w_i log p(y_i | f_i) + log det(I + sqrt(W) K sqrt(W))

at the mode f, with W = -w (log p)'' there (Rasmussen and Williams 2006, eq. 3.32); Newton's method is their algorithm
3.1, with halved steps where one overshoots, and the gradient their algorithm 5.1, with row weights and for a likelihood
with a scale of its own.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize, minimize_scalar
from scipy.special import betaln, expit, log_expit

from langevax.sklearn.kernel_langevin.evidence import (
    NEWTON_STEPS,
    fit_robust,
    huber_fit,
    kinds_of,
    one_thread,
)
from langevax.sklearn.kernel_langevin.length_scales import (
    KINDS,
    Scales,
    Slopes,
    climb,
    climb_columns,
)
from langevax.sklearn.table import subsample

MAX_LABELLED, MAX_QUANTILE = (
    200,
    300,
)  # rows the evidence of labels and of quantiles is computed on
LABEL_BOUNDS = np.log([[0.03, 0.1], [30, 1e4]])  # of length scale and amplitude
MOST_CLASSES = 4
EVIDENCE_WIDTH = 1.0  # of a check loss, in units of its scale: curvatures of narrower ones depend on few rows
HALVINGS = 12


class Pointwise(NamedTuple):
    """log p(y | f) at each row, with derivatives in f and log noise; all (n,)."""

    value: np.ndarray
    first: np.ndarray
    curvature: np.ndarray
    """Minus the second derivative."""
    curvature_slope: np.ndarray
    """The derivative of the curvature in f."""
    noise_value: np.ndarray | float = 0.0
    """The derivative of the value in log noise; likewise of `first` and of the curvature."""
    noise_first: np.ndarray | float = 0.0
    noise_curvature: np.ndarray | float = 0.0


class RowLikelihood(Protocol):
    """log p(y | f) of all rows."""

    def __call__(self, f: np.ndarray, noise: float) -> Pointwise: ...


class Laplace(NamedTuple):
    """The evidence at a kernel matrix, with the mode f = K alpha."""

    slopes: Slopes
    alpha: np.ndarray


@one_thread
def fit_labels(
    kernel: Any,
    inputs: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    length_scale: str = "shared",
) -> Any:
    """Return the kernel whose length scales and amplitude maximise Laplace's approximation for classes 0, ..., C-1.

    With more than two classes the evidence is the sum over one class against the rest, MOST_CLASSES of them at most.
    """
    if not isinstance(kernel, str):
        return kernel
    rows = subsample(len(inputs), MAX_LABELLED)
    inputs, labels, weights = inputs[rows], labels[rows], weights[rows]
    classes, counts = np.unique(labels, return_counts=True)
    classes = classes[np.argsort(-counts, kind="stable")][
        : 1 if len(classes) <= 2 else MOST_CLASSES
    ]
    signs = [np.where(labels == label, 1.0, -1.0) for label in classes]

    def cost(kind: str, place: np.ndarray) -> float:
        length, c = np.exp(np.clip(place, *LABEL_BOUNDS))
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
        "xatol": 0.05,
        "fatol": 0.05,
        "initial_simplex": place + np.array([[0, 0], [0.5, 0], [0, 1]]),
    }
    optimum: Any = minimize(
        lambda place: cost(kind, place), place, method="Nelder-Mead", options=options
    )
    length, c = np.exp(np.clip(optimum.x, *LABEL_BOUNDS))
    best = Scales(c, 1.0, np.array([length]))
    if length_scale == "each":
        slopes = label_slopes(signs, weights)
        best, _ = climb_columns(
            kind, inputs, best, float(optimum.fun), slopes, noise_is_free=False
        )
    if (
        len(signs) > 1
    ):  # a function against the mean of the others varies more than one alone
        best = best._replace(amplitude=best.amplitude * (1 - 1 / len(signs)))
    return best.kernel(kind)


class QuantileFit(NamedTuple):
    """A kernel, the scale s of the check loss, and the level of the quantile around which the function varies."""

    kernel: Any
    noise: float
    centre: float


@one_thread
def fit_quantile(
    kernel: Any,
    inputs: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    noise: float | None,
    level: float,
    length_scale: str = "shared",
    is_centred: bool = True,
) -> QuantileFit:
    """Maximise Laplace's evidence of a smoothed check loss over kernel and scale.

    The function varies around the quantile of the residuals of a robust fit, or around 0 where not `is_centred`. The
    evidence is that of the quantile itself, since it may vary where the mean of the targets does not.
    """
    rows = subsample(len(inputs), MAX_QUANTILE)
    inputs, targets, weights = inputs[rows], targets[rows], weights[rows]
    robust = fit_robust(kernel, inputs, targets, weights, None)
    residuals = (
        targets - huber_fit(robust.kernel(inputs), targets, weights, robust.noise)[0]
    )
    order = np.argsort(residuals)
    reached = np.cumsum(weights[order]) / weights.sum()
    shift = float(residuals[order][np.searchsorted(reached, level)])
    excess = residuals - shift
    scale = (
        float(
            np.average(
                np.maximum(level * excess, (level - 1) * excess), weights=weights
            )
        )
        or robust.noise
    )
    centre = shift if is_centred else 0.0
    slopes = _check_slopes(targets - centre, weights, level)
    if not isinstance(kernel, str):
        if noise is None:
            gram, logs = kernel(inputs), np.log(scale) + np.array([-2.0, 2.0])
            best_log: Any = minimize_scalar(
                lambda log: slopes(gram, float(np.exp(log))).cost,
                bounds=logs,
                method="bounded",
                options={"xatol": 0.02},
            )
            noise = float(np.exp(best_log.x))
        return QuantileFit(kernel, noise, centre)
    start, fits = noise or scale, []
    for kind in kinds_of(kernel):
        coarse = [
            Scales(c * scale**2, start, np.array([length]))
            for length in (0.4, 1.2, 4.0)
            for c in (300, 30, 3)
        ]
        best = min(
            coarse, key=lambda place: slopes(place.kernel(kind)(inputs), start).cost
        )
        best, cost = climb(kind, inputs, best, slopes, noise is None)
        if length_scale == "each":
            best, cost = climb_columns(kind, inputs, best, cost, slopes, noise is None)
        fits.append((cost, best, kind))
    _, best, kind = min(fits, key=lambda fit: fit[0])
    return QuantileFit(best.kernel(kind), float(best.noise), centre)


def _check_slopes(
    targets: np.ndarray, weights: np.ndarray, level: float
) -> Callable[[np.ndarray, float], Slopes]:
    """Return the evidence of a check loss, each mode searched for from the last one."""
    check, alpha = check_loss(targets, level), np.zeros(len(targets))

    def slopes(gram: np.ndarray, noise: float) -> Slopes:
        nonlocal alpha
        evidence, alpha = laplace(gram, check, weights, noise, alpha)
        return evidence

    return slopes


def laplace_cost(gram: np.ndarray, signs: np.ndarray, weights: np.ndarray) -> float:
    """Return -2 log p(y) by Laplace's approximation, logistic likelihood."""
    return _mode(gram, logistic(signs), weights, 1.0, np.zeros(len(signs)))[0]


def label_slopes(
    signs: list[np.ndarray], weights: np.ndarray
) -> Callable[[np.ndarray, float], Slopes]:
    """Return the sum over classes of the evidence of one against the rest."""

    def slopes(gram: np.ndarray, noise: float) -> Slopes:
        parts = [
            laplace(gram, logistic(y), weights, noise, np.zeros(len(y))).slopes
            for y in signs
        ]
        return Slopes(
            sum(part.cost for part in parts),
            np.sum([part.gram for part in parts], axis=0),
            0.0,
        )

    return slopes


def logistic(signs: np.ndarray) -> RowLikelihood:
    """Return log sigmoid(y f), y = -1 or +1."""

    def pointwise(f: np.ndarray, noise: float) -> Pointwise:
        p = expit(f)
        curvature = p * (1 - p)
        return Pointwise(
            log_expit(signs * f),
            (signs + 1) / 2 - p,
            curvature,
            curvature * (1 - 2 * p),
        )

    return pointwise


def check_loss(
    targets: np.ndarray, level: float, width: float = EVIDENCE_WIDTH
) -> RowLikelihood:
    """Return the log density of `likelihoods.Quantile`, its normalising constant included."""
    constant = np.log(width) + betaln(width * level, width * (1 - level))

    def pointwise(f: np.ndarray, noise: float) -> Pointwise:
        r = (f - targets) / noise
        p = expit(r / width)
        curvature = p * (1 - p) / width
        third = curvature * (1 - 2 * p) / width
        return Pointwise(
            level * r + width * log_expit(-r / width) - np.log(noise) - constant,
            (level - p) / noise,
            curvature / noise**2,
            third / noise**3,
            (p - level) * r - 1,
            (p - level + curvature * r) / noise,
            -(2 * curvature + third * r) / noise**2,
        )

    return pointwise


def laplace(
    gram: np.ndarray,
    likelihood: RowLikelihood,
    weights: np.ndarray,
    noise: float,
    start: np.ndarray,
) -> Laplace:
    """Return the evidence and its derivatives, the mode searched for from gram start; it moves with the kernel, too."""
    cost, alpha = _mode(gram, likelihood, weights, noise, start)
    f = gram @ alpha
    at = likelihood(f, noise)
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
    matrix = inverse - np.outer(first, first) - cross - cross.T
    by_noise = (
        np.sum(weights * at.noise_value)
        - np.sum(variance * weights * at.noise_curvature) / 2
        + moved @ gram @ (weights * at.noise_first)
    )
    return Laplace(Slopes(cost, matrix, float(-2 * by_noise)), alpha)


def _mode(
    gram: np.ndarray,
    likelihood: RowLikelihood,
    weights: np.ndarray,
    noise: float,
    alpha: np.ndarray,
) -> tuple[float, np.ndarray]:
    """Return (-2 log p(y), alpha) at the mode f = gram alpha, by Newton's method from an alpha."""
    f = gram @ alpha
    at = likelihood(f, noise)
    value = float(alpha @ f / 2 - np.sum(weights * at.value))
    for _ in range(2 * NEWTON_STEPS):
        curvature = np.maximum(weights * at.curvature, 1e-12)
        root, factor = _factor(gram, curvature)
        b = curvature * f + weights * at.first
        step = (
            b
            - root * cho_solve((factor, True), root * (gram @ b), check_finite=False)
            - alpha
        )
        before, origin, along = value, (alpha, f), gram @ step
        for halvings in range(HALVINGS):
            alpha, f = origin[0] + step / 2**halvings, origin[1] + along / 2**halvings
            at = likelihood(f, noise)
            value = float(alpha @ f / 2 - np.sum(weights * at.value))
            if value <= before + 1e-12 * abs(before):
                break
        if abs(before - value) < 1e-8 * (1 + abs(value)):
            break
    _, factor = _factor(gram, weights * at.curvature)
    return float(2 * value + 2 * np.sum(np.log(np.diag(factor)))), alpha


def _factor(gram: np.ndarray, curvature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (sqrt(W), the lower Cholesky factor of I + sqrt(W) K sqrt(W))."""
    root = np.sqrt(np.maximum(curvature, 1e-12))
    matrix = root[:, None] * gram * root
    np.fill_diagonal(matrix, np.diag(matrix) + 1)
    return root, np.tril(
        cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)[0]
    )
