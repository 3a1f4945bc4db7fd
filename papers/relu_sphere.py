"""Exact risks of ReLU networks and of kernel estimators on the uniform sphere, without any sampling.

A network f(x) = sum_j outer_j relu(inner_j . x) is a pair (outer, inner); x is uniform on the unit sphere of R^d, and
the excess risk against a teacher f* is E (f(x) - f*(x))^2. Between networks it is a quadratic form in

    E relu(u . x) relu(v . x) = |u| |v| (sin t + (pi - t) cos t) / (2 pi d),      t the angle of u and v

(Cho and Saul, NeurIPS 2009; a Gaussian x has E|x|^2 = d). A kernel estimator f(x) = sum_i c_i k(x_i . x) is expanded
in Legendre polynomials P_l of dimension d, of which there are N_l harmonics: k = sum_l a_l P_l, relu = sum_l r_l P_l,

    E k(x_i . x) k(x_j . x)    = sum_l a_l^2 / N_l P_l(x_i . x_j)
    E k(x_i . x) relu(w . x)   = |w| sum_l a_l r_l / N_l P_l(x_i . w / |w|)

(Funk and Hecke), so that its excess risk needs no test set either. Rates: Akiyama and Suzuki (ICLR 2023).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

Batch = Float[np.ndarray, "*batch"]
MAX_DEGREE = 400
NEGLIGIBLE = 1e-15
"""Share of E k^2 that the degrees left out may have."""
ACCURACY = 1e-7
"""Of E f*^2, about what the degrees left out may add to a risk: where coefficients are huge, small degrees count."""
EXTRA_NODES = 60
UNIT = 1e-9
BLOCK = 2**15
"""Pairs of inputs at a time: polynomials of a block stay in the processor's cache."""

Network = tuple[Any, Any]
"""(outer, inner) of shapes (..., m) and (..., m, d)."""


class Expansion(NamedTuple):
    """Of a function of t = x . y in Legendre polynomials of dimension d: `sum_l coefficients_l P_l(t)`."""

    coefficients: Float[np.ndarray, " degrees"]
    multiplicities: Float[np.ndarray, " degrees"]
    """N_l, the number of spherical harmonics of degree l."""


def relu_product(
    left: Float[np.ndarray, "*batch m d"], right: Float[np.ndarray, "*batch k d"]
) -> Float[np.ndarray, "*batch m k"]:
    """E relu(u . x) relu(v . x) for all pairs of rows.

    >>> relu_product(np.eye(2), np.eye(2)[:1]).round(6)
    array([[0.25    ],
           [0.079577]])
    """
    u, v = np.asarray(left, float), np.asarray(right, float)
    lengths = np.linalg.norm(u, axis=-1)[..., :, None] * np.linalg.norm(v, axis=-1)[..., None, :]
    products = u @ np.swapaxes(v, -1, -2)
    cosine = np.clip(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0), -1, 1)
    angle = np.arccos(cosine)
    return lengths * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi * u.shape[-1])


def excess_risk(network: Network, teacher: Network) -> Batch:
    """E (f(x) - f*(x))^2 of networks against one teacher; leading axes are those of `network`.

    Exact to rounding: about 1e-16 of E f^2 + E f*^2. Many outer weights (..., m) may share one inner (m, d), at the
    cost of m^2 d once.

    >>> teacher = np.array([1.0, -1.0]), np.eye(2)
    >>> float(excess_risk(teacher, teacher)), float(excess_risk((np.zeros(2), np.eye(2)), teacher).round(6))
    (0.0, 0.340845)
    """
    outer, inner = (np.asarray(a, float) for a in network)
    true_outer, true_inner = (np.asarray(a, float) for a in teacher)
    if inner.shape[-1] != true_inner.shape[-1]:
        raise ValueError(f"network has {inner.shape[-1]} inputs but teacher has {true_inner.shape[-1]}.")
    together = np.concatenate([outer, np.broadcast_to(-true_outer, (*outer.shape[:-1], len(true_outer)))], -1)
    neurons = np.concatenate([inner, np.broadcast_to(true_inner, (*inner.shape[:-2], *true_inner.shape))], -2)
    products = (together[..., None, :] @ relu_product(neurons, neurons))[..., 0, :]
    return np.maximum(np.sum(products * together, axis=-1), 0)  # rounding


def expand(profile: Callable[[np.ndarray], np.ndarray], dim: int) -> Expansion:
    """Of a kernel k(x, y) = profile(x . y) on the sphere of R^dim, dim >= 2.

    Gauss-Legendre quadrature in the angle on either side of 90 degrees: a profile that is smooth in the angle on each
    side (ReLU, arc-cosine kernels, Gaussians) has its coefficients to rounding.

    >>> expand(lambda t: t + 2 * t**2, dim=3).coefficients[:4].round(12) + 0.0
    array([0.66666667, 1.        , 1.33333333, 0.        ])
    """
    if dim < 2:
        raise ValueError(f"dim is {dim}; a sphere with angles needs dim >= 2.")
    nodes, weights = _gauss()
    angles = np.concatenate([np.pi / 4 * (1 + nodes), np.pi / 4 * (3 + nodes)])
    density = np.tile(weights, 2) * np.sin(angles) ** (dim - 2)
    density /= density.sum()
    t = np.cos(angles)
    values = density * profile(t)
    multiplicities = _multiplicities(dim)
    means = [values @ polynomial for polynomial in _legendre(t, dim, MAX_DEGREE)]
    return Expansion(multiplicities * np.array(means), multiplicities)


def kernel_excess_risk(
    profile: Callable[[np.ndarray], np.ndarray],
    inputs: Float[np.ndarray, "n d"],
    coefficients: Float[np.ndarray, "*batch n"],
    teacher: Network,
) -> Batch:
    """E (sum_i c_i k(x_i, x) - f*(x))^2 for k(x, y) = profile(x . y): kernel ridge, NTK, Nystroem.

    Several vectors of coefficients (other penalties) share the work, which is n^2 for each degree that matters. Where
    penalties are small, coefficients are huge and cancel: degrees 0, 1, 2 are therefore summed as squares of moments,
    and inputs must be unit vectors to double precision, the very ones that the coefficients were fitted to.

    Raises:
        ValueError: inputs that are not unit vectors.

    >>> teacher = np.ones(1), np.array([[0.0, 1.0]])
    >>> relu = lambda t: np.maximum(t, 0)  # then one kernel function is the teacher itself
    >>> risks = kernel_excess_risk(relu, np.array([[0.0, 1.0]]), np.array([[1.0], [0.0]]), teacher)
    >>> bool(risks[0] < 1e-7), float(risks[1].round(6))
    (True, 0.25)
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
    """The exponent no linear estimator can beat: its worst risk over teachers is at least n^{-(d+2)/(2d+2) - delta}.

    Theorem 4.1 of Akiyama and Suzuki (ICLR 2023), for any delta > 0; kernel ridge, random features and k-NN are linear.

    >>> linear_rate(2), round(linear_rate(10), 4)
    (0.6666666666666666, 0.5455)
    """
    return (dim + 2) / (2 * dim + 2)


def parametric_risk(num_neurons: int, dim: int, noise_variance: float, size: int) -> float:
    """m d v^2 / n, the excess risk of least squares with m d free parameters, to first order in 1 / n.

    >>> parametric_risk(5, 10, 0.01, 1000)
    0.0005
    """
    return num_neurons * dim * noise_variance / size


@functools.cache
def _gauss() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(MAX_DEGREE // 2 + EXTRA_NODES)


def _multiplicities(dim: int) -> Float[np.ndarray, " degrees"]:
    """N_l = C(l + d - 1, l) - C(l + d - 3, l - 2)."""
    from scipy.special import comb

    degree = np.arange(MAX_DEGREE + 1)
    return comb(degree + dim - 1, dim - 1) - np.where(degree >= 2, comb(degree + dim - 3, dim - 1), 0)


def _legendre(t: np.ndarray, dim: int, degree: int) -> Any:
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
