"""Kernel, amplitude and noise by the marginal likelihood of a Gaussian process, on some hundred rows.

For residuals of a normal law, with row weights w (a row of weight w has noise s^2 / w), whitened by sqrt(w),

    -2 log p(y) = sum_i v_i^2 / (c l_i + s^2) + log(c l_i + s^2) + const
    sqrt(w) K sqrt(w) = U diag(l) U',      v = U' sqrt(w) y

(Rasmussen and Williams 2006, eq. 5.8): one decomposition a length scale serves all amplitudes c and noises s, and with
both free c is known in closed form given s^2 / c. scikit-learn's regressor climbs the same likelihood by gradients,
and knows no row weights. For labels the evidence is scikit-learn's, Laplace's approximation (their algorithm 3.1).
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern
from threadpoolctl import threadpool_limits

from langevax.problems.likelihoods import Huber
from langevax.sklearn.table import subsampled

MOST_ROWS = 400
"""Of the evidence of numbers, an eigendecomposition a length scale."""
LENGTHS = 0.03, 30.0
"""Shortest and longest length scale that is tried, in standard deviations of a column."""
AMPLITUDES = 0.1, 1e4
"""Smallest and largest variance of log odds."""
KINDS: dict[str, Callable[[float], Any]] = {
    "rbf": lambda length: RBF(length, LENGTHS),
    "matern": lambda length: Matern(length, LENGTHS, nu=1.5),
}
NORMAL_DISTANCE = 0.6745
"""Median distance of N(0, 1) from 0."""
one_thread = threadpool_limits.wrap(
    limits=1, user_api="blas"
)  # matrices so small wait for each other's threads


class Evidence(NamedTuple):
    """A kernel, the noise's standard deviation, and -2 log evidence up to a constant."""

    kernel: Any
    noise: float
    cost: float


class EvidenceRows(NamedTuple):
    """Rows whose targets the evidence is about."""

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    def spectrum(self, kernel: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return (l, v^2), see the module."""
        root = np.sqrt(self.weights)
        values, vectors = np.linalg.eigh(root[:, None] * kernel(self.inputs) * root)
        return np.maximum(values, 0.0), (vectors.T @ (root * self.targets)) ** 2

    def bulk(
        self, evidence: Evidence, noise: float | None, least: float
    ) -> tuple[np.ndarray, Any]:
        """Return Huber's fit of this kernel, and the noise around it unless one is passed.

        By pseudo-values: targets clipped around the fit, to which the kernel is fitted.
        """
        gram = evidence.kernel(self.inputs)
        scale = evidence.noise
        fitted = np.full(len(gram), _median(self.targets, self.weights))
        for _ in range(3):
            variances = scale**2 / np.maximum(self.weights, 1e-6)
            shares = np.linalg.solve(gram + np.diag(variances), gram).T
            reach = Huber.threshold * scale
            for _ in range(50):
                near = np.clip(self.targets, fitted - reach, fitted + reach)
                fitted = shares @ near
            if noise is None:
                left = max(1 - np.trace(shares) / len(gram), 0.1)
                distance = _median(np.abs(self.targets - fitted), self.weights)
                scale = max(distance / NORMAL_DISTANCE / np.sqrt(left), least)
        return fitted, scale


@one_thread
def fit_numbers(
    kernel: Any,
    inputs: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    noise: float | None,
) -> Evidence:
    """Maximise the evidence for normal residuals; a kernel that is not a word, and a noise, stay as they are.

    Args:
        kernel: "auto" (the better of the words), "rbf", "matern", or a function (n, d) -> (n, n), such as a kernel of
            scikit-learn.
        inputs: (n, d), standardised where the kernel is a word.
        targets: (n,) of mean near 0.

    Example:
        >>> X = np.linspace(-1, 1, 100)[:, None]
        >>> y = np.sin(4 * X[:, 0]) + 0.1 * np.random.default_rng(0).normal(size=100)
        >>> evidence = fit_numbers("rbf", X, y, np.ones(100), None)
        >>> 0.08 < evidence.noise < 0.12
        True
    """
    rows = EvidenceRows(*subsampled(MOST_ROWS, inputs, targets, weights))
    if not isinstance(kernel, str):
        cost, _, noise = _scales(*rows.spectrum(kernel), noise, 1.0)
        return Evidence(kernel, noise, cost)
    evidences = [_best_length(kind, rows, noise) for kind in kinds_of(kernel)]
    return min(evidences, key=lambda evidence: evidence.cost)


@one_thread
def fit_robust(
    kernel: Any,
    inputs: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    noise: float | None,
) -> Evidence:
    """Fit residuals with outliers: `fit_numbers` on targets clipped to two noises around the fit before, twice.

    The noise is that of the bulk, from the median size of residuals over the remaining degrees of freedom.
    """
    rows = EvidenceRows(*subsampled(MOST_ROWS, inputs, targets, weights))
    fitted, spread = robust_moments(rows.targets, rows.weights)
    evidence = Evidence(None, 1.5 * spread, 0.0)
    for _ in range(2):
        reach = 2 * evidence.noise
        clipped = np.clip(rows.targets, fitted - reach, fitted + reach)
        evidence = fit_numbers(kernel, rows.inputs, clipped, rows.weights, noise)
        fitted, scale = rows.bulk(evidence, noise, 1e-3 * spread)
        evidence = evidence._replace(noise=float(scale))
    return evidence


@one_thread
def fit_labels(
    kernel: Any,
    inputs: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    most_rows: int = 200,
) -> Any:
    """Return the kernel of the greatest evidence by Laplace's approximation; one that is not a word stays as it is.

    By scikit-learn's classifier; of more than two classes it has a kernel for each against the rest, of which this is
    the geometric mean. Rows are drawn by their weights, in even steps, so that a row of weight 2 is two rows.
    """
    if not isinstance(kernel, str):
        return kernel
    order = np.argsort(labels, kind="stable")
    reached = np.cumsum(weights[order])
    size = int(np.clip(reached[-1], 2, most_rows))
    even = np.linspace(0, reached[-1], size)
    rows = order[np.minimum(np.searchsorted(reached, even), len(order) - 1)]
    shapes = [
        ConstantKernel(10.0, AMPLITUDES) * KINDS[kind](np.sqrt(inputs.shape[1]))
        for kind in kinds_of(kernel)
    ]
    with (
        warnings.catch_warnings()
    ):  # of amplitudes at the bound, where classes are separated
        warnings.simplefilter("ignore", ConvergenceWarning)
        fits = [
            GaussianProcessClassifier(shape).fit(inputs[rows], labels[rows])
            for shape in shapes
        ]
    best = max(fits, key=lambda fit: fit.log_marginal_likelihood_value_)
    of_classes = getattr(best.kernel_, "kernels", [best.kernel_])
    mean = np.mean([shape.theta for shape in of_classes], axis=0)
    return of_classes[0].clone_with_theta(mean)


def robust_moments(targets: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return the median, and the median distance from it over that of N(0, 1), or the standard deviation where it is 0.

    Example:
        >>> centre, spread = robust_moments(np.array([1.0, 2.0, 3.0, 4.0, 1e9]), np.ones(5))
        >>> centre, round(spread, 3)
        (3.0, 1.483)
    """
    centre = _median(targets, weights)
    spread = _median(np.abs(targets - centre), weights) / NORMAL_DISTANCE
    return centre, spread or float(
        np.sqrt(np.average((targets - centre) ** 2, weights=weights))
    )


def _median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    low, high = np.searchsorted(reached, [0.5 - 1e-12, 0.5 + 1e-12])
    return float(values[order[low]] + values[order[min(high, len(order) - 1)]]) / 2


def kinds_of(kernel: str) -> tuple[str, ...]:
    return tuple(KINDS) if kernel == "auto" else (kernel,)


def _scales(
    values: np.ndarray,
    squares: np.ndarray,
    noise: float | None,
    amplitude: float | None,
) -> tuple[float, float, float]:
    """Return (cost, c, s) at the minimum over those that are None."""
    power = float(np.mean(squares)) or 1.0
    unit = float(np.mean(values)) or 1.0

    def scales(t: Any) -> tuple[Any, Any]:
        """Return (amplitude, noise variance) at e^t, their ratio or that of the free one to its scale."""
        free = np.exp(t)
        if amplitude is not None:
            return amplitude, power * free if noise is None else noise**2
        if noise is not None:
            return power / unit * free, noise**2
        c = (
            np.mean(squares / (values + np.asarray(free)[..., None]), axis=-1) + 1e-300
        )  # the best one
        return c, c * free

    if noise is not None and amplitude is not None:
        return float(_costs(values, squares, *scales(0.0))), amplitude, noise
    ratios = np.geomspace(1e-6, 1e4, 41)  # noise variance over amplitude
    grid = np.log(ratios if amplitude is None else ratios[ratios <= 10])
    t, cost = _least(lambda t: _costs(values, squares, *scales(t)), grid)
    c, variance = scales(t)
    return cost, float(c), float(np.sqrt(variance))


def _costs(
    values: np.ndarray,
    squares: np.ndarray,
    c: Any,
    variance: Any,
) -> np.ndarray:
    """Return the cost of each of the amplitudes c or noise variances."""
    total = np.multiply.outer(c, values) + np.asarray(variance)[..., None]
    return np.sum(squares / total + np.log(total), axis=-1)


def _least(
    costs: Callable[[np.ndarray], np.ndarray], grid: np.ndarray
) -> tuple[float, float]:
    """Return (place, value) of the minimum on a grid, refined twice around it."""
    for _ in range(2):
        best = int(np.argmin(costs(grid)))
        grid = np.linspace(
            grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], 21
        )
    values = costs(grid)
    best = int(np.argmin(values))
    return float(grid[best]), float(values[best])


def _best_length(kind: str, rows: EvidenceRows, noise: float | None) -> Evidence:
    def at(log_length: float) -> tuple[float, float, float]:
        kernel = KINDS[kind](float(np.exp(log_length)))
        return _scales(*rows.spectrum(kernel), noise, None)

    # in units of the root mean square distance of columns
    grid = np.log(np.geomspace(*LENGTHS, 9))
    costs = [at(t)[0] for t in grid]
    best = int(np.argmin(costs))
    low = grid[max(best - 1, 0)]
    high = grid[min(best + 1, len(grid) - 1)]
    refined: Any = minimize_scalar(
        lambda t: at(t)[0],
        bounds=(low, high),
        method="bounded",
        options={"xatol": 0.05, "maxiter": 8},
    )
    t = float(refined.x) if refined.fun < costs[best] else float(grid[best])
    cost, c, s = at(t)
    return Evidence(ConstantKernel(c) * KINDS[kind](float(np.exp(t))), s, cost)
