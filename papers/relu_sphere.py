"""Exact risks on the uniform sphere, of ReLU networks and of linear estimators, without any sampling.

A network f(x) = sum_j outer_j relu(inner_j . x) is a pair (outer, inner); x is uniform on the unit sphere of R^d, and
the excess risk against a teacher f* is E (f(x) - f*(x))^2. Between networks it is a quadratic form in

    E relu(u . x) relu(v . x) = |u| |v| (sin t + (pi - t) cos t) / (2 pi d),      t the angle of u and v

(Cho and Saul, NeurIPS 2009; a Gaussian x has E|x|^2 = d). A kernel estimator f(x) = sum_i c_i k(x_i . x) is expanded
in Legendre polynomials P_l of dimension d, of which there are N_l harmonics: k = sum_l a_l P_l, relu = sum_l r_l P_l,

    E k(x_i . x) k(x_j . x)    = sum_l a_l^2 / N_l P_l(x_i . x_j)
    E k(x_i . x) relu(w . x)   = |w| sum_l a_l r_l / N_l P_l(x_i . w / |w|)

(Funk and Hecke), so that its excess risk needs no test set either. Rates: Akiyama and Suzuki (ICLR 2023).

Estimators that are linear in y, each tuned by its own excess risk, in its favour: kernel ridge regression with kernels
of Cho and Saul and of Jacot et al. (NeurIPS 2018), ridge regression on random ReLU features, and k nearest neighbours.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key
from scipy.special import comb
from sklearn.neighbors import KNeighborsRegressor

from langevax.teacher_student.networks import on_sphere

Batch = Float[np.ndarray, "*batch"]
MAX_DEGREE = 400
NEGLIGIBLE = 1e-15  # share of E k^2 that the degrees left out may have
ACCURACY = 1e-7  # of E f*^2, what the degrees left out may add to a risk: where coefficients are huge, they count
NODES, WEIGHTS = np.polynomial.legendre.leggauss(MAX_DEGREE // 2 + 60)
UNIT = 1e-9
BLOCK = 2**15  # pairs of inputs at a time: polynomials of a block stay in the processor's cache

Network = tuple[ArrayLike, ArrayLike]
"""(outer, inner) of shapes (..., m) and (..., m, d)."""


Kernel = Callable[[np.ndarray], np.ndarray]
"""k(x, y) of unit vectors as a function of x . y."""


class Expansion(NamedTuple):
    """Of a function of t = x . y in Legendre polynomials of dimension d: `sum_l coefficients_l P_l(t)`."""

    coefficients: Float[np.ndarray, " degrees"]
    multiplicities: Float[np.ndarray, " degrees"]  # N_l, the number of spherical harmonics of degree l


def relu_product(
    left: Float[np.ndarray, "*batch m d"], right: Float[np.ndarray, "*batch k d"]
) -> Float[np.ndarray, "*batch m k"]:
    """E relu(u . x) relu(v . x) for all pairs of rows."""
    u, v = np.asarray(left, float), np.asarray(right, float)
    lengths = np.linalg.norm(u, axis=-1)[..., :, None] * np.linalg.norm(v, axis=-1)[..., None, :]
    products = u @ np.swapaxes(v, -1, -2)
    cosine = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return lengths * arc_cosine(cosine) / (2 * u.shape[-1])


def excess_risk(network: Network, teacher: Network) -> Batch:
    """E (f(x) - f*(x))^2 of networks against one teacher; leading axes are those of `network`.

    Exact to rounding: about 1e-16 of E f^2 + E f*^2. Many outer weights (..., m) may share one inner (m, d), at the
    cost of m^2 d once.
    """
    outer, inner = (np.asarray(a, float) for a in network)
    true_outer, true_inner = (np.asarray(a, float) for a in teacher)
    if inner.shape[-1] != true_inner.shape[-1]:
        raise ValueError(f"network has {inner.shape[-1]} inputs but teacher has {true_inner.shape[-1]}.")
    together = np.concatenate([outer, np.broadcast_to(-true_outer, (*outer.shape[:-1], len(true_outer)))], -1)
    neurons = np.concatenate([inner, np.broadcast_to(true_inner, (*inner.shape[:-2], *true_inner.shape))], -2)
    products = (together[..., None, :] @ relu_product(neurons, neurons))[..., 0, :]
    return np.maximum(np.sum(products * together, axis=-1), 0)  # rounding


def expand(profile: Kernel, dim: int) -> Expansion:
    """Of a kernel k(x, y) = profile(x . y) on the sphere of R^dim, dim >= 2.

    Gauss-Legendre quadrature in the angle on either side of 90 degrees: a profile that is smooth in the angle on each
    side (ReLU, arc-cosine kernels, Gaussians) has its coefficients to rounding.
    """
    angles = np.concatenate([np.pi / 4 * (1 + NODES), np.pi / 4 * (3 + NODES)])
    density = np.tile(WEIGHTS, 2) * np.sin(angles) ** (dim - 2)
    density /= density.sum()
    t = np.cos(angles)
    values = density * profile(t)
    degree = np.arange(MAX_DEGREE + 1)  # N_l = C(l + d - 1, l) - C(l + d - 3, l - 2)
    multiplicities = comb(degree + dim - 1, dim - 1) - np.where(degree >= 2, comb(degree + dim - 3, dim - 1), 0)
    means = [values @ polynomial for polynomial in _legendre(t, dim, MAX_DEGREE)]
    return Expansion(multiplicities * np.array(means), multiplicities)


def kernel_excess_risk(
    profile: Kernel,
    inputs: Float[np.ndarray, "n d"],
    coefficients: Float[np.ndarray, "*batch n"],
    teacher: Network,
) -> Batch:
    """E (sum_i c_i k(x_i, x) - f*(x))^2 for k(x, y) = profile(x . y), for several vectors of coefficients.

    Where penalties are small, coefficients are huge and cancel: degrees 0, 1, 2 are therefore summed as squares of
    moments, and inputs must be unit vectors to double precision, the very ones that the coefficients were fitted to.
    """
    x, c = np.asarray(inputs, float), np.asarray(coefficients, float)
    outer, inner = (np.asarray(a, float) for a in teacher)
    off = np.max(np.abs(np.linalg.norm(x, axis=1) - 1))
    if off > UNIT:
        raise ValueError(f"inputs must be unit vectors, their lengths are off by {off:.1g}; normalise them in float64.")
    dim = x.shape[1]
    kernel, relu = expand(profile, dim), expand(lambda t: np.maximum(t, 0), dim)
    squares = kernel.coefficients**2 / kernel.multiplicities
    target = outer @ relu_product(inner, inner) @ outer
    largest = np.max(np.sum(c**2, axis=-1)) * np.maximum(1, len(x) / kernel.multiplicities)  # of sum_ij c_i c_j P_l
    allowed = np.minimum(NEGLIGIBLE * squares.sum(), ACCURACY * target / np.maximum(largest, UNIT))
    degree = int(np.max(np.flatnonzero(squares[::-1].cumsum()[::-1] > allowed), initial=2))

    lengths = np.linalg.norm(inner, axis=1)
    directions = inner / np.where(lengths > 0, lengths, 1)[:, None]
    with_teacher = _series(kernel.coefficients * relu.coefficients / kernel.multiplicities, x @ directions.T, dim)
    above = np.concatenate([np.zeros(3), squares[3 : degree + 1]])
    own = _quadratic(above, x, c) + squares[:3] @ _moments(x, c)
    risk = own - 2 * c @ (with_teacher @ (outer * lengths)) + target
    return np.maximum(risk, 0)


def linear_rate(dim: int) -> float:
    """The exponent no linear estimator can beat over all teachers: Theorem 4.1 of Akiyama and Suzuki (ICLR 2023)."""
    return (dim + 2) / (2 * dim + 2)


def parametric_risk(num_neurons: int, dim: int, noise_variance: float, size: int) -> float:
    """m d v^2 / n, the excess risk of least squares with m d free parameters, to first order in 1 / n."""
    return num_neurons * dim * noise_variance / size


def _legendre(t: np.ndarray, dim: int, degree: int) -> Iterator[np.ndarray]:
    """P_0(t), ..., P_degree(t), with P_l(1) = 1: (l + d - 2) P_{l+1} = (2l + d - 2) t P_l - l P_{l-1}."""
    before, now = np.ones_like(t), t
    yield before
    for k in range(1, degree + 1):
        yield now
        before, now = now, ((2 * k + dim - 2) * t * now - k * before) / (k + dim - 2)


def _moments(x: np.ndarray, c: np.ndarray) -> np.ndarray:
    """sum_ij c_i c_j P_l(x_i . x_j) for l = 0, 1, 2, along axis 0."""
    dim = x.shape[1]
    total, mean = c.sum(-1), c @ x
    second = np.einsum("...i,ij,ik->...jk", c, x, x, optimize=True) - total[..., None, None] / dim * np.eye(dim)
    spread = dim / (dim - 1) * np.sum(second**2, axis=(-1, -2))
    return np.stack([total**2, np.sum(mean**2, axis=-1), spread])


def _quadratic(coefficients: np.ndarray, x: np.ndarray, c: np.ndarray) -> np.ndarray:
    """sum_ij c_i c_j sum_l coefficients_l P_l(x_i . x_j), a block of rows after another, each pair once."""
    total, rows = np.zeros(c.shape[:-1]), max(1, BLOCK // len(x))
    for start in range(0, len(x), rows):
        series = _series(coefficients, x[start : start + rows] @ x[start:].T, x.shape[1])
        series[:, len(series) :] *= 2
        total += np.sum(c[..., start : start + rows] @ series * c[..., start:], axis=-1)
    return total


def _series(coefficients: np.ndarray, t: np.ndarray, dim: int) -> np.ndarray:
    """sum_l coefficients_l P_l(t)."""
    t = np.clip(t, -1, 1)
    total = np.zeros_like(t)
    for coefficient, polynomial in zip(coefficients, _legendre(t, dim, len(coefficients) - 1), strict=True):
        total += coefficient * polynomial
    return total


def arc_cosine(t: np.ndarray) -> np.ndarray:
    """The kernel of networks with a random first layer of ReLUs."""
    t = np.clip(t, -1, 1)
    angle = np.arccos(t)
    return (np.sin(angle) + (np.pi - angle) * t) / np.pi


def neural_tangent(t: np.ndarray) -> np.ndarray:
    """The neural tangent kernel of a two-layer ReLU network without biases, both layers trained, with k(x, x) = 2."""
    t = np.clip(t, -1, 1)
    return t * (np.pi - np.arccos(t)) / np.pi + arc_cosine(t)


def gaussian(bandwidth: float, t: np.ndarray) -> np.ndarray:
    """exp(-|x - y|^2 / (2 bandwidth^2))."""
    return np.exp((t - 1) / bandwidth**2)


RIDGES = np.logspace(-6, 1, 29)  # four to a decade, in units of the mean of the Gram matrix's diagonal
NEIGHBORS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


class Tuned(NamedTuple):
    """A linear estimator at its best, over one grid for every n."""

    excess: float
    error: float
    """Of the excess; 0 where it is exact."""
    on_edge: bool
    """The best penalty or k is the first or the last of the grid."""
    choice: float
    """The bandwidth, the number of features, or k; NaN where there is none."""
    weights: np.ndarray
    """Of the kernel functions or of the features; empty for neighbours."""


def tuned_ridge(
    kernels: dict[float, Kernel],
    inputs: Float[np.ndarray, "n d"],
    targets: Float[np.ndarray, " n"],
    teacher: Network,
    ridges: Float[np.ndarray, " ridges"],
) -> Tuned:
    """Kernel ridge regression, (K + ridge I)^-1 y, with the best of some kernels by their bandwidths, and ridge.

    Inputs must be unit vectors in float64.
    """
    fits = []
    for bandwidth, kernel in kernels.items():
        values, vectors = _eigenpairs(kernel(inputs @ inputs.T))
        penalties = ridges * values.mean()  # the mean of K's diagonal
        coefficients = (vectors.T @ targets / (values + penalties[:, None])) @ vectors.T
        risks = kernel_excess_risk(kernel, inputs, coefficients, teacher)
        fits.append(_best(risks, bandwidth, coefficients))
    return min(fits, key=lambda fit: fit.excess)


def tuned_features(
    widths: tuple[int, ...],
    inputs: Float[np.ndarray, "n d"],
    targets: Float[np.ndarray, " n"],
    teacher: Network,
    ridges: Float[np.ndarray, " ridges"] = RIDGES,
    *,
    key: Key[Array, ""],
) -> Tuned:
    """Ridge regression on features relu(w_j . x), w_j uniform on the sphere; fewer features are the first of more.

    A network whose inner weights stay where they are drawn, hence the exact excess risk.
    """
    drawn, fits = np.asarray(on_sphere(key, max(widths), inputs.shape[1]), np.float64), []
    for width in widths:
        features = np.maximum(inputs @ drawn[:width].T, 0)
        values, vectors = _eigenpairs(features.T @ features)
        penalties = ridges * values.sum() / len(inputs)
        outer = (vectors.T @ (features.T @ targets) / (values + penalties[:, None])) @ vectors.T
        fits.append(_best(excess_risk((outer, drawn[:width]), teacher), width, outer))
    return min(fits, key=lambda fit: fit.excess)


def tuned_neighbors(
    inputs: Float[np.ndarray, "n d"],
    targets: Float[np.ndarray, " n"],
    test_inputs: Float[np.ndarray, "tests d"],
    test_values: Float[np.ndarray, " tests"],
    neighbors: tuple[int, ...] = NEIGHBORS,
) -> Tuned:
    """The mean of the number of nearest targets that is best against the values at the test inputs."""
    grid = np.array([number for number in neighbors if number <= len(targets)])
    search = KNeighborsRegressor(n_neighbors=int(grid[-1])).fit(inputs, targets)
    nearest = search.kneighbors(test_inputs, return_distance=False)
    means = np.cumsum(targets[nearest], axis=1)[:, grid - 1] / grid
    squares = (means - test_values[:, None]) ** 2
    risks = squares.mean(axis=0)
    best = int(np.argmin(risks))
    error = float(squares[:, best].std(ddof=1) / np.sqrt(len(test_values)))
    return Tuned(float(risks[best]), error, best in (0, len(grid) - 1), float(grid[best]), np.empty(0))


def _eigenpairs(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eigh(matrix)
    return np.maximum(values, 0), vectors


def _best(risks: np.ndarray, choice: float, weights: np.ndarray) -> Tuned:
    best = int(np.argmin(risks))
    return Tuned(float(risks[best]), 0.0, best in (0, len(risks) - 1), float(choice), weights[best])
