"""Bases known at nodes alone, of a graph or a mesh: a user's own modes, and the base of all of them."""

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import checks
from langevax.spaces.basis import ArrayLike, Coefficients, Values, check_values
from langevax.spaces.tabulated import Tabulated

DENSE = 1500  # nodes up to which all of a matrix costs less than a second
ORTHOGONAL = 1e-5  # largest cosine between two modes, which rounding to float32 leaves
MATRIX_ROUNDING = (
    1e-8  # of a sum or an eigenvalue, relative to the trace or the mean eigenvalue
)

Matrix = Any
"""Dense, or any matrix of scipy.sparse."""


class OnNodes(Tabulated):
    """A basis whose points are nodes, counted from 0."""

    @property
    def dim(self) -> int:
        return 0

    def evaluate(self, points: ArrayLike) -> Float[Array, "points modes"]:
        points = (
            np.asarray(points) if checks.is_concrete(points) else jnp.asarray(points)
        )
        n = len(self.weights)
        if points.ndim != 1 or not (jnp.issubdtype(points.dtype, jnp.integer)):
            raise ValueError(
                f"points must be a vector of ints, nodes, got {points.dtype} of shape "
                f"{points.shape}."
            )
        if (
            checks.is_concrete(points)
            and len(points)
            and not (points.min() >= 0 and points.max() < n)
        ):
            raise ValueError(
                f"points must be nodes from 0 to {n - 1}, got {points.min()} to "
                f"{points.max()}."
            )
        if checks.is_concrete(points) and checks.is_concrete(self.matrix):
            return jnp.asarray(self.matrix[points], jnp.result_type(float))
        return jnp.asarray(self.matrix, jnp.result_type(float))[points]


class InMass(OnNodes):
    """A basis that is orthonormal in the inner product of a mass matrix M: `f_k^T M f_l = 1{k = l} 1^T M 1`."""

    per_mode: ClassVar[tuple[str, ...]] = ("matrix", "dual")

    dual: Float[np.ndarray, "grid modes"]
    """M matrix / 1^T M 1."""

    def analyze(self, values: Values) -> Coefficients:
        check_values(values, len(self.weights))
        return values @ jnp.asarray(self.dual, values.dtype)


class MatrixBasis(InMass):
    """Modes of your own: the columns of a matrix, such as a Karhunen-Loeve or POD basis of a solver's mesh.

        f = sum_k x_k f_k,      f_k = column_k / |column_k|,      |v|^2 = v^T M v / 1^T M 1

    Args:
        matrix: (G, N) values of the modes at the nodes, orthogonal in the inner product of M; in any order.
        mass: M, (G, G), symmetric and positive definite, dense or any matrix of scipy.sparse; or (G,), its diagonal; by
            default all nodes have the same weight.

    `eigenvalues` (N,) are the squared norms |column_k|^2. So `GaussianPrior(basis, basis.eigenvalues)` is the law of
    matrix z with standard normal z, and `GaussianPrior(basis, mu * basis.eigenvalues)` that of matrix diag(mu)^{1/2} z.
    Points are indices of nodes, and frequencies are not defined. `synthesize` and `analyze` are one product with a
    matrix.

    Raises:
        ValueError: a matrix that is not finite, has a column of zeros, more columns than rows, or columns that are not
            orthogonal; a mass of another shape, or not symmetric and positive.

    Example:
        >>> import numpy as np
        >>> from langevax import spaces
        >>> snapshots = np.random.default_rng(0).normal(size=(200, 3)) @ np.vander(np.linspace(0, 1, 50), 3).T
        >>> modes, sizes, _ = np.linalg.svd(snapshots.T, full_matrices=False)  # POD
        >>> basis = spaces.MatrixBasis(modes[:, :3] * sizes[:3] / 200**0.5)
        >>> prior = spaces.GaussianPrior(basis, basis.eigenvalues)  # of the snapshots' second moments
        >>> prior.num_modes, len(basis.grid)
        (3, 50)
    """

    per_mode: ClassVar[tuple[str, ...]] = ("matrix", "dual", "eigenvalues")

    eigenvalues: Float[np.ndarray, " modes"]

    def __init__(self, matrix: ArrayLike, mass: Matrix | None = None):
        matrix = checks.real_array("matrix", matrix)
        if matrix.ndim != 2 or not 0 < matrix.shape[1] <= matrix.shape[0]:
            raise ValueError(
                "matrix must have shape (G, N), with N modes of at most G nodes, got "
                f"{matrix.shape}."
            )
        checks.finite("matrix", matrix, remedy="pass values of the modes at all nodes")
        n = len(matrix)
        products, weights = in_mass(
            np.ones(n) if mass is None else checked_mass(mass, n), matrix
        )
        gram = matrix.T @ products
        sizes = np.diag(gram).copy()
        bad = np.flatnonzero(~(sizes > 0))
        if len(bad):
            raise ValueError(
                f"column {bad[0]} of matrix has the squared norm {sizes[bad[0]]:.3g}; "
                "drop empty modes."
            )
        lengths = np.sqrt(sizes[:, None] * sizes)
        cosines = np.abs(gram) / lengths - np.eye(len(sizes))
        i, j = np.unravel_index(np.argmax(cosines), cosines.shape)
        if cosines[i, j] > ORTHOGONAL:
            raise ValueError(
                f"columns {min(i, j)} and {max(i, j)} of matrix are not orthogonal: "
                f"the cosine between them is {cosines[i, j]:.2g}; pass the mass matrix "
                "in which they are, or their left singular vectors times the singular "
                "values, by numpy.linalg.svd."
            )
        self.points: np.ndarray = np.arange(n)
        self.weights: np.ndarray = weights
        self.eigenvalues = sizes
        self.matrix: np.ndarray = matrix / np.sqrt(sizes)
        self.dual: np.ndarray = products / np.sqrt(sizes)

    @property
    def volume(self) -> float:
        return float(len(self.weights))


def is_sparse_work(num_nodes: int, num_modes: int) -> bool:
    """Return whether few modes of many nodes are asked for, which products with a sparse matrix find sooner."""
    return num_nodes > DENSE and 4 * num_modes < num_nodes


def number_of_modes(
    num_modes: int | None,
    num_nodes: int,
    domain: str,
    *,
    is_large: bool,
) -> int:
    """Return how many modes to compute on the nodes of a `domain`: all by default, unless it is large."""
    if num_modes is None and is_large:
        raise ValueError(
            f"num_modes must be given for a {domain} of {num_nodes} nodes; pass some "
            "tens or hundreds."
        )
    if num_modes is None:
        return num_nodes
    number = checks.whole("num_modes", num_modes)
    if number > num_nodes:
        raise ValueError(
            f"num_modes is {number}, but the {domain} has {num_nodes} nodes; ask for "
            f"at most {num_nodes}."
        )
    return number


def in_mass(mass: Matrix, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return M matrix / 1^T M 1, and M 1 / 1^T M 1."""
    if mass.ndim == 1:
        return (mass / mass.sum())[:, None] * matrix, mass / mass.sum()
    sums = np.asarray(mass @ np.ones(len(matrix)))
    return np.asarray(mass @ matrix) / sums.sum(), sums / sums.sum()


def checked_mass(mass: Matrix, size: int) -> Matrix:
    """Check a mass matrix and return it in float64: dense, sparse, or its diagonal."""
    from scipy.sparse import issparse

    mass = mass if issparse(mass) else checks.real_array("mass", mass)
    if mass.ndim == 1:
        if mass.shape != (size,) or not (np.isfinite(mass) & (mass > 0)).all():
            raise ValueError(
                f"mass must be {size} finite numbers > 0, or a matrix, got shape "
                f"{mass.shape}."
            )
        return mass
    mass = symmetric("mass", mass, size)
    if (
        not (mass.diagonal() > 0).all()
        or not mass.sum() > MATRIX_ROUNDING * mass.diagonal().sum()
    ):
        raise ValueError(
            "mass must be positive definite, but its smallest diagonal entry is "
            f"{mass.diagonal().min():.3g} and its entries sum to {mass.sum():.3g}; "
            "pass the integrals of products of the nodes' functions."
        )
    return mass


def symmetric(name: str, matrix: Matrix, size: int | None = None) -> Matrix:
    """Check that a matrix is square, finite and symmetric, and return it in float64, dense or CSR."""
    from scipy.sparse import csr_array, issparse

    sparse = issparse(matrix)
    matrix = (
        csr_array(matrix, dtype=np.float64)
        if sparse
        else checks.real_array(name, matrix)
    )
    n = size or (matrix.shape[0] if matrix.ndim == 2 else 0)
    if matrix.shape != (n, n) or n == 0:
        expected = "(n, n)" if size is None else f"({n}, {n})"
        raise ValueError(f"{name} must have shape {expected}, got {matrix.shape}.")
    entries = matrix.data if sparse else matrix
    checks.finite(name, entries, remedy="pass finite entries")
    gap = float(abs(matrix - matrix.T).max())
    if gap > MATRIX_ROUNDING * float(np.abs(entries).max(initial=0.0)):
        raise ValueError(
            f"{name} must be symmetric, but two entries across the diagonal differ by "
            f"{gap:.3g}."
        )
    return matrix
