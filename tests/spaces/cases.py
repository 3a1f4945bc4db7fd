"""One instance of every basis, with its functions written once more in plain NumPy.

Nearly all have 9 modes, so that what is done with their coefficients is compiled once for all.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.gaussian_process.kernels import Matern

from langevax import spaces

RNG = np.random.default_rng(7)
LEFT, RIGHT = -1.0, 2.0
ON_INTERVAL = RNG.uniform(LEFT, RIGHT, 13)
CLOUD, CLOUD_WEIGHTS, KERNEL = (
    RNG.normal(size=(30, 2)),
    RNG.uniform(0.5, 2.0, 30),
    Matern(nu=1.5),
)
GRID = np.sort(RNG.uniform(size=25))
CURVES = RNG.normal(size=(40, 10)) @ np.array(
    [1 / (k + 1) * np.cos(np.pi * k * GRID) for k in range(10)]
)


class Case(NamedTuple):
    """A basis, its functions (points) -> (n, N) and points of its domain."""

    basis: Any
    functions: Callable[[Any], np.ndarray]
    points: np.ndarray


def cosines(points, num_modes, left=LEFT, right=RIGHT):
    t = (points[:, None] - left) / (right - left)
    return np.concatenate(
        [np.ones_like(t), np.sqrt(2) * np.cos(np.pi * np.arange(1, num_modes) * t)],
        axis=1,
    )


def sines(points, num_modes, left=LEFT, right=RIGHT):
    return np.sqrt(2) * np.sin(
        np.pi * np.arange(1, num_modes + 1) * (points[:, None] - left) / (right - left)
    )


def elements(count, length):
    """(stiffness, mass) of linear elements on an interval, sparse."""
    left, right = (sp.csr_array(sp.eye_array(count, count + 1, k=k)) for k in (0, 1))
    jumps, sums, h = right - left, right + left, length / count
    return jumps.T @ jumps / h, h / 6 * (
        left.T @ left + right.T @ right + sums.T @ sums
    )


def element_cosines(nodes, num_modes, count):
    """Cosines at the nodes, of mean square one as piecewise linear functions."""
    k = np.arange(1, num_modes)
    waves = (
        np.sqrt(2)
        * np.cos(np.pi * k * nodes[:, None] / count)
        / np.sqrt((2 + np.cos(np.pi * k / count)) / 3)
    )
    return np.concatenate([np.ones((len(nodes), 1)), waves], axis=1)


def waves(points, num_modes, left=LEFT, right=RIGHT):
    t = (points - left) / (right - left)
    columns = [np.ones_like(t)]
    for k in range(1, num_modes):
        columns += [
            np.sqrt(2) * np.cos(2 * np.pi * k * t),
            np.sqrt(2) * np.sin(2 * np.pi * k * t),
        ]
    return np.stack(columns[:num_modes], axis=1)


def products(points, num_modes):
    """Of 5 cosines on [-1, 2] and 7 waves on [0, 1]."""
    pairs = [(i, j) for i in range(5) for j in range(7)]
    pairs.sort(
        key=lambda pair: (
            (np.pi * pair[0] / 3) ** 2 + (2 * np.pi * ((pair[1] + 1) // 2)) ** 2
        )
    )
    left, right = cosines(points[:, 0], 5), waves(points[:, 1], 7, 0.0, 1.0)
    return np.stack([left[:, i] * right[:, j] for i, j in pairs[:num_modes]], axis=1)


def aligned(vectors, reference):
    """`vectors` with the signs of `reference`."""
    return vectors * np.sign(np.sum(vectors * reference, axis=0))


def nystrom(points):
    w = CLOUD_WEIGHTS / CLOUD_WEIGHTS.sum()
    values, vectors = np.linalg.eigh(np.diag(w**0.5) @ KERNEL(CLOUD) @ np.diag(w**0.5))
    values, functions = values[::-1][:9], vectors[:, ::-1][:, :9] / w[:, None] ** 0.5
    return (
        KERNEL(points, CLOUD)
        @ (w[:, None] * aligned(functions, KERNEL_BASIS.matrix))
        / values
    )


def components(points):
    gaps = np.diff(GRID)
    w = (np.append(gaps, 0) + np.append(0, gaps)) / 2 / gaps.sum()
    _, _, rows = np.linalg.svd(
        (CURVES - CURVES.mean(axis=0)) * w**0.5, full_matrices=False
    )
    functions = aligned(rows[:9].T / w[:, None] ** 0.5, PCA.matrix)
    return np.stack([np.interp(points, GRID, f) for f in functions.T], axis=1)


KERNEL_BASIS = spaces.KernelEigenbasis(
    KERNEL, CLOUD, num_modes=9, weights=CLOUD_WEIGHTS
)
PCA = spaces.PrincipalComponents(CURVES, GRID, num_modes=9)
PATH = np.eye(20, k=1) + np.eye(20, k=-1)
STIFFNESS, MASS = elements(20, 3.0)
MODES = element_cosines(np.arange(21), 9, 20) * RNG.uniform(0.5, 2.0, 9)
CASES = {
    "cosine": Case(
        spaces.Cosine(9, 12, (LEFT, RIGHT)), lambda p: cosines(p, 9), ON_INTERVAL
    ),
    "sine": Case(spaces.Sine(9, 12, (LEFT, RIGHT)), lambda p: sines(p, 9), ON_INTERVAL),
    "fourier": Case(
        spaces.Fourier(9, 14, (LEFT, RIGHT)), lambda p: waves(p, 9), ON_INTERVAL
    ),
    "fourier even": Case(
        spaces.Fourier(8, 9, (LEFT, RIGHT)), lambda p: waves(p, 8), ON_INTERVAL
    ),
    "tensor": Case(
        spaces.TensorProduct(
            [spaces.Cosine(5, 6, (LEFT, RIGHT)), spaces.Fourier(7)], 9
        ),
        lambda p: products(p, 9),
        np.stack([ON_INTERVAL, RNG.uniform(size=13)], axis=1),
    ),
    "kernel": Case(KERNEL_BASIS, nystrom, RNG.normal(size=(13, 2))),
    "components": Case(PCA, components, RNG.uniform(GRID[0], GRID[-1], 13)),
    "graph": Case(
        spaces.GraphLaplacian(PATH, 9, normalized=False),
        lambda p: cosines(p + 0.5, 9, 0, 20),
        RNG.integers(0, 20, 13),
    ),
    "elements": Case(
        spaces.FiniteElements(stiffness=STIFFNESS, mass=MASS, dim=1, num_modes=9),
        lambda p: element_cosines(p, 9, 20),
        RNG.integers(0, 21, 13),
    ),
    "matrix": Case(
        spaces.MatrixBasis(MODES, MASS),
        lambda p: element_cosines(p, 9, 20),
        RNG.integers(0, 21, 13),
    ),
}
WITH_FREQUENCIES = [
    name for name in CASES if name not in ("kernel", "components", "matrix")
]
ON_DEVICE = [name for name in CASES if name != "kernel"]
