"""Risks on the uniform sphere: of ReLU networks exactly, and of estimators that are linear in y on test inputs.

A network f(x) = sum_j outer_j relu(inner_j . x) is a pair (outer, inner); x is uniform on the unit sphere of R^d, and
the excess risk against a teacher f* is E (f(x) - f*(x))^2. Between networks it is a quadratic form in

    E relu(u . x) relu(v . x) = |u| |v| (sin t + (pi - t) cos t) / (2 pi d),      t the angle of u and v

(Cho and Saul, NeurIPS 2009; a Gaussian x has E|x|^2 = d). Rates: Akiyama and Suzuki (ICLR 2023).

Linear estimators are kernel ridge regression with kernels of Cho and Saul and of Jacot et al. (NeurIPS 2018), or with
random ReLU features, and k nearest neighbours, each tuned by its own excess risk at the test inputs, in its favour.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float
from sklearn.neighbors import KNeighborsRegressor

from estimates import mean_and_error

Network = tuple[ArrayLike, ArrayLike]
"""(outer, inner) of shapes (..., m) and (..., m, d)."""
Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""k(x_i, y_j) of rows of unit vectors."""
NEIGHBORS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)

Rows = tuple[np.ndarray, np.ndarray]
"""Inputs (n, d) and targets (n,): noisy ones to fit, the teacher's own to test."""
Tuned = tuple[float, float, bool]
"""Of an estimator at its best: excess risk, its error, and whether the best of the grid is its first or last."""


def relu_product(
    left: Float[np.ndarray, "*batch m d"], right: Float[np.ndarray, "*batch k d"]
) -> Float[np.ndarray, "*batch m k"]:
    """E relu(u . x) relu(v . x) for all pairs of rows."""
    u, v = np.asarray(left, float), np.asarray(right, float)
    lengths = (
        np.linalg.norm(u, axis=-1)[..., :, None]
        * np.linalg.norm(v, axis=-1)[..., None, :]
    )
    products = u @ np.swapaxes(v, -1, -2)
    cosine = np.divide(
        products, lengths, out=np.zeros_like(products), where=lengths > 0
    )
    return lengths * _arc_cosine(cosine) / (2 * u.shape[-1])


def excess_risk(network: Network, teacher: Network) -> Float[np.ndarray, "*batch"]:
    """E (f(x) - f*(x))^2 of networks against one teacher; leading axes are those of `network`.

    Exact to rounding: about 1e-16 of E f^2 + E f*^2.
    """
    outer, inner = (np.asarray(a, float) for a in network)
    true_outer, true_inner = (np.asarray(a, float) for a in teacher)
    if inner.shape[-1] != true_inner.shape[-1]:
        raise ValueError(
            f"network has {inner.shape[-1]} inputs but teacher has {true_inner.shape[-1]}."
        )
    together = np.concatenate(
        [outer, np.broadcast_to(-true_outer, (*outer.shape[:-1], len(true_outer)))], -1
    )
    neurons = np.concatenate(
        [inner, np.broadcast_to(true_inner, (*inner.shape[:-2], *true_inner.shape))], -2
    )
    products = (together[..., None, :] @ relu_product(neurons, neurons))[..., 0, :]
    return np.maximum(np.sum(products * together, axis=-1), 0)  # rounding


def linear_rate(dim: int) -> float:
    """The exponent no linear estimator can beat over all teachers: Theorem 4.1 of Akiyama and Suzuki (ICLR 2023)."""
    return (dim + 2) / (2 * dim + 2)


def parametric_risk(
    num_neurons: int, dim: int, noise_variance: float, size: int
) -> float:
    """m d v^2 / n, the excess risk of least squares with m d free parameters, to first order in 1 / n."""
    return num_neurons * dim * noise_variance / size


def _arc_cosine(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, -1, 1)
    angle = np.arccos(t)
    return (np.sin(angle) + (np.pi - angle) * t) / np.pi


def arc_cosine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The kernel of networks with a random first layer of ReLUs."""
    return _arc_cosine(left @ right.T)


def neural_tangent(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The neural tangent kernel of a two-layer ReLU network without biases, both layers trained, with k(x, x) = 2."""
    t = np.clip(left @ right.T, -1, 1)
    return t * (np.pi - np.arccos(t)) / np.pi + _arc_cosine(t)


def relu_features(inner: Float[np.ndarray, "m d"]) -> Kernel:
    """The kernel of features relu(inner_j . x): ridge regression on them is kernel ridge regression with it."""
    return lambda left, right: (
        np.maximum(left @ inner.T, 0) @ np.maximum(right @ inner.T, 0).T
    )


def tuned_ridge(
    kernels: Sequence[Kernel],
    ridges: Float[np.ndarray, " ridges"],
    rows: Rows,
    tests: Rows,
) -> Tuned:
    """Kernel ridge regression, K(K + ridge I)^-1 y, with the best of some kernels and penalties.

    Penalties are in units of the mean of the Gram matrix's diagonal.
    """
    (x, y), fits = rows, []
    for kernel in kernels:
        values, vectors = np.linalg.eigh(kernel(x, x))
        denominators = np.maximum(values, 0)[:, None] + ridges * values.mean()
        coefficients = vectors @ ((vectors.T @ y)[:, None] / denominators)
        fits.append(_best(kernel(tests[0], x) @ coefficients, tests[1]))
    return min(fits)


def tuned_neighbors(rows: Rows, tests: Rows) -> Tuned:
    """The mean of the best number of nearest targets."""
    numbers = [number for number in NEIGHBORS if number <= len(rows[1])]
    fits = [
        KNeighborsRegressor(number).fit(*rows).predict(tests[0]) for number in numbers
    ]
    return _best(np.column_stack(fits), tests[1])


def _best(
    predictions: Float[np.ndarray, "tests choices"], truth: Float[np.ndarray, " tests"]
) -> Tuned:
    squares = (predictions - truth[:, None]) ** 2
    risks = squares.mean(axis=0)
    best = int(np.argmin(risks))
    return (
        float(risks[best]),
        float(mean_and_error(squares[:, best])[1]),
        best in (0, len(risks) - 1),
    )
