"""Functions on the nodes of a graph, by eigenvectors of its Laplacian."""

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from langevax import checks
from langevax.spaces.nodes import (
    DENSE,
    OnNodes,
    is_sparse_work,
    number_of_modes,
    symmetric,
)
from langevax.spaces.tabulated import with_fixed_signs

Adjacency = Any
"""Dense, or any matrix of scipy.sparse."""


class GraphLaplacian(OnNodes):
    """`f_k = sqrt(n) v_k, L v_k = lambda_k v_k`: orthonormal in the uniform law of the n nodes, smooth ones first.

        L = D - A,  or normalised  L = 1 - D^{-1/2} A D^{-1/2},      D_ii = sum_j A_ij

    Args:
        adjacency: A, (n, n) weights >= 0, symmetric; dense, or any matrix of scipy.sparse. Its diagonal does not count.
        num_modes: N; by default n, which large sparse graphs refuse.
        normalized: which L. A node without edges has the row 0 in both.

    `frequencies` are `sqrt(lambda_k)` and `dim` is 0: `spectra.squared_exponential` is the heat kernel of the graph,
    `spectra.matern` its Matern kernel. Where eigenvalues coincide, any rotation among their vectors may come out; these
    kernels do not see it. Costs O(n^3) where dense, some hundred products with the sparse matrix where that suffices,
    and one factorisation of it otherwise.

    Raises:
        ValueError: an adjacency that is not square, symmetric, finite and >= 0; more modes than nodes.

    Example:
        >>> import numpy as np
        >>> from langevax import spaces
        >>> path = np.eye(4, k=1) + np.eye(4, k=-1)
        >>> basis = spaces.GraphLaplacian(path, normalized=False)
        >>> (basis.frequencies**2).round(3)
        array([0.   , 0.586, 2.   , 3.414])
        >>> basis.evaluate(np.array([0, 3]))[:, :2].round(2)
        Array([[ 1.  ,  1.31],
               [ 1.  , -1.31]], dtype=float32)
    """

    per_mode: ClassVar[tuple[str, ...]] = ("matrix", "laplacian_eigenvalues")

    laplacian_eigenvalues: Float[np.ndarray, " modes"]

    def __init__(
        self,
        adjacency: Adjacency,
        num_modes: int | None = None,
        normalized: bool = True,
    ):
        from scipy.sparse import issparse
        from scipy.sparse.csgraph import laplacian

        checks.flag("normalized", normalized)
        adjacency = _checked(adjacency)
        n = adjacency.shape[0]
        is_large = issparse(adjacency) and n > DENSE
        number = number_of_modes(num_modes, n, "graph", is_large=is_large)
        self.laplacian_eigenvalues, vectors = _smallest(
            laplacian(adjacency, normed=normalized), number
        )
        self.points: np.ndarray = np.arange(n)
        self.weights: np.ndarray = np.full(n, 1 / n)
        self.matrix: np.ndarray = np.sqrt(n) * with_fixed_signs(vectors)

    @property
    def frequencies(self) -> np.ndarray:
        return np.sqrt(self.laplacian_eigenvalues)

    @property
    def volume(self) -> float:
        return float(len(self.weights))


def _checked(adjacency: Adjacency) -> Any:
    """Check the adjacency and return it in float64, dense or CSR."""
    from scipy.sparse import issparse

    adjacency = symmetric("adjacency", adjacency)
    weights = adjacency.data if issparse(adjacency) else adjacency
    bad = weights[weights < 0]
    if bad.size:
        raise ValueError(
            f"adjacency must be >= 0, got {bad.flat[0]} ({bad.size} such); pass "
            "weights >= 0."
        )
    return adjacency


def _smallest(matrix: Any, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest eigenvalues, increasing and >= 0, and vectors (n, N) of a Laplacian."""
    from scipy.linalg import eigh
    from scipy.sparse import issparse

    n = matrix.shape[0]
    if issparse(matrix) and is_sparse_work(n, number):
        values, vectors = _lanczos(matrix, number)
    else:
        dense = matrix.toarray() if issparse(matrix) else matrix
        values, vectors = eigh(dense, subset_by_index=(0, number - 1))
    return np.maximum(values, 0.0), vectors


def _lanczos(
    matrix: Any, num_modes: int, restarts: int = 40
) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenpairs of a large sparse Laplacian, from a fixed start.

    Products alone find the small eigenvalues of a random graph, whose factors would be dense (8,000 nodes of 10
    neighbours: 3 s against 79, after 15 to 30 restarts). Those of a path or a mesh are too close for that, but its
    factors are sparse.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, eigsh

    matrix = matrix.tocsc()
    n = matrix.shape[0]
    start = np.random.default_rng(0).standard_normal(n)
    try:
        values, vectors = eigsh(
            matrix,
            num_modes,
            which="SA",
            v0=start,
            ncv=min(max(3 * num_modes, 60), n),
            maxiter=restarts,
        )
    except ArpackNoConvergence:
        shift = -1e-3 * float(
            matrix.diagonal().max()
        )  # below 0, so that what is inverted is positive
        values, vectors = eigsh(matrix, num_modes, sigma=shift, v0=start)
    order = np.argsort(values)
    return values[order], vectors[:, order]
