"""Kernels of a length scale per column, and maxima of an evidence over their logarithms by its gradient.

    k(x, x') = c g(r),      dk / d log l_j = c h(r) (x_j - x'_j)^2 / l_j^2,      r^2 = sum_j (x_j - x'_j)^2 / l_j^2
    rbf: g = h = exp(-r^2 / 2);      matern: g = (1 + t) exp(-t), h = 3 exp(-t), t = sqrt(3) r

The derivative of an evidence is sum_ii' M_ii' dK_ii' with one symmetric matrix M, so that all columns together cost a
product of M with the inputs (Rasmussen and Williams 2006, eqs. 5.9 and 5.23).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern

LENGTHS = 0.03, 30.0
"""Shortest and longest length scale of all columns that is tried, in standard deviations of a column."""
KINDS: dict[str, Callable[[Any], Any]] = {
    "rbf": lambda length: RBF(length),
    "matern": lambda length: Matern(length, nu=1.5),
}


class Slopes(NamedTuple):
    """-2 log evidence at a kernel matrix K and a noise, and its derivatives."""

    cost: float
    gram: np.ndarray
    """(n, n): M, with d cost = sum_ii' M_ii' dK_ii'."""
    noise: float
    """In log noise."""


class Scales(NamedTuple):
    """Amplitude c, noise s, and length scales (d,), or (1,) for one shared by all columns."""

    amplitude: float
    noise: float
    lengths: np.ndarray

    def kernel(self, kind: str) -> Any:
        lengths = self.lengths if len(self.lengths) > 1 else float(self.lengths[0])
        return ConstantKernel(float(self.amplitude)) * KINDS[kind](lengths)


def climb_columns(
    kind: str,
    inputs: np.ndarray,
    shared: Scales,
    cost: float,
    slopes: Callable[[np.ndarray, float], Slopes],
    noise_is_free: bool,
    most_steps: int = 200,
) -> tuple[Scales, float]:
    """Return scales with a length for each column, by L-BFGS on their logarithms from a shared one, and their cost.

    The start is returned unless the cost falls. A length scale is bounded in standard deviations of its column, which the
    largest leaves out; amplitude and noise are bounded in units of their starts.
    """
    deviation = np.std(inputs, axis=0)
    unit = np.where(deviation > 0, deviation, 1.0)
    heads = [shared.amplitude, *([shared.noise] if noise_is_free else [])]
    bounds = np.log(
        np.vstack([np.outer(heads, (1e-4, 1e4)), np.outer(unit, (LENGTHS[0], 1e5))])
    )

    def scales(place: np.ndarray) -> Scales:
        values = np.exp(place)
        return Scales(
            values[0],
            values[1] if noise_is_free else shared.noise,
            values[len(heads) :],
        )

    def objective(place: np.ndarray) -> tuple[float, np.ndarray]:
        here = scales(place)
        gram, derivative = gram_and_derivative(kind, inputs, here.lengths)
        value = slopes(here.amplitude * gram, here.noise)
        first = [
            here.amplitude * np.sum(value.gram * gram),
            *([value.noise] if noise_is_free else []),
        ]
        columns = here.amplitude * column_slopes(
            value.gram * derivative, inputs, here.lengths
        )
        return value.cost, np.concatenate([first, columns])

    lengths = np.repeat(shared.lengths, inputs.shape[1])
    place = np.clip(np.log([*heads, *lengths]), *bounds.T)
    options = {"maxiter": most_steps, "maxcor": 20, "ftol": 1e-10, "gtol": 1e-3}
    optimum: Any = minimize(
        objective, place, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    if optimum.fun < cost:
        return scales(optimum.x), float(optimum.fun)
    return shared, cost


def gram_and_derivative(
    kind: str, inputs: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return g and h (n, n), see the module."""
    scaled = inputs / lengths
    if kind == "rbf":
        gram = np.exp(-cdist(scaled, scaled, "sqeuclidean") / 2)
        return gram, gram
    t = np.sqrt(3.0) * cdist(scaled, scaled)
    decay = np.exp(-t)
    return (1 + t) * decay, 3 * decay


def column_slopes(
    weights: np.ndarray, inputs: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """Return `sum_ii' weights_ii' (x_ij - x_i'j)^2 / l_j^2` of each column (d,), of symmetric weights."""
    centred = (inputs - inputs.mean(axis=0)) / lengths
    return 2 * (
        weights.sum(axis=1) @ centred**2 - np.sum(centred * (weights @ centred), axis=0)
    )


def normal_slopes(
    targets: np.ndarray, weights: np.ndarray
) -> Callable[[np.ndarray, float], Slopes]:
    """Return the evidence of normal residuals, -2 log p(y) up to a constant."""
    root = np.sqrt(weights)
    whitened = root * targets

    def slopes(gram: np.ndarray, noise: float) -> Slopes:
        total = root[:, None] * gram * root
        diagonal = np.diag(total) * (1 + 1e-10)  # a noise near 0 has a factor, too
        np.fill_diagonal(total, diagonal + noise**2)
        factor = cho_factor(total, lower=True, overwrite_a=True, check_finite=False)
        inverse = cho_solve(
            factor, np.eye(len(root)), overwrite_b=True, check_finite=False
        )
        solved = inverse @ whitened
        cost = solved @ whitened + 2 * np.sum(np.log(np.diag(factor[0])))
        matrix = inverse - np.outer(solved, solved)
        return Slopes(
            float(cost),
            root[:, None] * matrix * root,
            float(2 * noise**2 * np.trace(matrix)),
        )

    return slopes
