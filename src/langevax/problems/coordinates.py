"""A problem in other coordinates: a change by a matrix, by a rotation, or from a pytree to one vector.

Values go through `to_position`, gradients through its transpose, `pull_back`.
"""

import math
from abc import abstractmethod
from collections.abc import Hashable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from langevax import checks, trees
from langevax._typing import PyTree, Vector
from langevax.problems.problem import Indices, Numbers, Problem, Scalar, Size

SKEW = 1e-3
"""Largest cosine between columns that are taken for orthogonal."""


def innermost(problem: Problem) -> Problem:
    """Return the problem in the coordinates in which it was given."""
    while isinstance(problem, Reparametrised):
        problem = problem.problem
    return problem


class Reparametrised(Problem):
    """`problem` in coordinates z with `position = to_position(z)`, a linear map; subclasses say which."""

    problem: eqx.AbstractVar[Problem]

    @abstractmethod
    def to_position(self, z: PyTree) -> PyTree:
        """The position of coordinates z."""

    @abstractmethod
    def from_position(self, position: PyTree) -> PyTree:
        """The coordinates of a position."""

    @abstractmethod
    def pull_back(self, gradient: PyTree) -> PyTree:
        """The transposed map: a gradient in the position as one in z."""

    @property
    def size(self) -> Size:
        return self.problem.size

    @property
    def max_size(self) -> int:
        return self.problem.max_size

    def value(self, position: PyTree) -> Scalar:
        return self.problem.value(self.to_position(position))

    def gradient(self, position: PyTree) -> PyTree:
        return self.pull_back(self.problem.gradient(self.to_position(position)))

    def value_and_gradient(self, position: PyTree) -> tuple[Scalar, PyTree]:
        value, gradient = self.problem.value_and_gradient(self.to_position(position))
        return value, self.pull_back(gradient)

    def gradient_at(self, position: PyTree, indices: Indices) -> PyTree:
        return self.pull_back(
            self.problem.gradient_at(self.to_position(position), indices)
        )

    def gradients_at(self, position: PyTree, indices: Indices) -> PyTree:
        return jax.vmap(self.pull_back)(
            self.problem.gradients_at(self.to_position(position), indices)
        )


class Affine(Reparametrised):
    """`problem` in the coordinates z with `position = A z` on the last axis of every leaf.

    A Langevin step of size h on z is a step with the preconditioner `h A A^T` on the position: the law sampled does not
    change, only the speed of each direction. The usual choice for a table whose curvature has eigenpairs (s_j, v_j) is
    column j of A = v_j / sqrt(s_j + precision).

    `matrix` is (d,) for a scaling of each coordinate, or (d, d). The quadratic part stays exact: its
    precision in z is `A^T precision A`, which must be diagonal. A scaling keeps any precision
    diagonal; a matrix with orthogonal columns keeps a scalar one.

    Raises:
        ValueError: a matrix that is singular, not finite or of another shape; columns that are not
            orthogonal where the problem has a quadratic part.

    Example:
        >>> import jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0, 0.0], [0.0, 100.0]]), jnp.array([1.0, 2.0])
        >>> problem = langevax.FiniteSum(lambda w, row: (row[0] @ w - row[1]) ** 2 / 2, (X, y))
        >>> scaled = langevax.affine(problem, jnp.array([1.0, 0.01]))
        >>> scaled.to_position(jnp.ones(2))
        Array([1.  , 0.01], dtype=float32)
    """

    problem: Problem
    matrix: Float[Array, "d ..."]
    precision: PyTree

    def __init__(self, problem: Problem, matrix: Numbers):
        checks.instance("problem", problem, Problem, "langevax.FiniteSum(loss, data)")
        matrix = jnp.asarray(
            checks.plain_array("matrix", matrix)
            if checks.is_concrete(matrix)
            else matrix
        )
        square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
        if not (matrix.ndim == 1 or square) or not jnp.issubdtype(
            matrix.dtype, jnp.inexact
        ):
            raise ValueError(
                f"matrix must be floating (d,) or (d, d), got {matrix.dtype} "
                f"{matrix.shape}."
            )
        if checks.is_concrete(matrix):
            checks.finite("matrix", matrix, remedy="pass finite entries")
            numbers = np.asarray(
                matrix
            )  # by NumPy, without compiling programs of this size
            scales = (
                np.abs(numbers)
                if matrix.ndim == 1
                else np.linalg.svd(numbers, compute_uv=False)
            )
            least = (
                0 if matrix.ndim == 1 else jnp.finfo(matrix.dtype).eps * np.max(scales)
            )  # scales do not round
            if not bool(np.min(scales) > least):
                raise ValueError(
                    f"matrix is singular to {matrix.dtype} rounding; pass an "
                    "invertible one."
                )
        self.problem = problem
        self.matrix = matrix
        self.precision = jax.tree.map(self._precision_in_z, problem.precision)

    def to_position(self, z: PyTree) -> PyTree:
        """`A z`; records of a run may be passed as they are."""
        return jax.tree.map(
            lambda leaf: self._times(jnp.asarray(leaf), self.matrix.T), z
        )

    def from_position(self, position: PyTree) -> PyTree:
        """`A^-1 position`."""
        if self.matrix.ndim == 1:
            return jax.tree.map(lambda x: x / self.matrix, position)
        return jax.tree.map(
            lambda x: jnp.linalg.solve(self.matrix, x[..., None])[..., 0], position
        )

    def pull_back(self, gradient: PyTree) -> PyTree:
        """`A^T gradient`: the chain rule, on the last axis as well."""
        return jax.tree.map(lambda g: self._times(g, self.matrix), gradient)

    def _times(self, x: Array, matrix: Array) -> Array:
        return x * matrix if matrix.ndim == 1 else x @ matrix

    def _precision_in_z(self, precision: ArrayLike) -> Array:
        precision = jnp.asarray(precision, self.matrix.dtype)
        if self.matrix.ndim == 1:
            return precision * self.matrix**2
        if checks.is_concrete(precision) and not np.any(np.asarray(precision)):
            return precision
        is_skew = False
        if checks.is_concrete(self.matrix):
            matrix = np.asarray(self.matrix)
            gram = matrix.T @ matrix
            lengths = np.diagonal(gram)
            cosines = gram / np.sqrt(np.outer(lengths, lengths))
            is_skew = bool(
                np.max(np.abs(cosines - np.diag(np.diagonal(cosines)))) > SKEW
            )
        else:
            lengths = jnp.sum(self.matrix**2, axis=0)
        if precision.ndim > 0 or is_skew:
            raise ValueError(
                "the quadratic part would not be diagonal in z: with a matrix, the "
                "problem's precision must be a scalar and the columns of the matrix "
                "orthogonal; pass a scaling (d,), or move the quadratic part to the "
                "regularizer."
            )
        return precision * lengths


def affine(problem: Problem, matrix: Numbers) -> Affine:
    """Return `problem` in the coordinates z with `position = matrix z`; see `Affine`."""
    return Affine(problem, matrix)


class Rotated(Reparametrised):
    """`problem`, on vectors, in rotated coordinates in which the directions that data inform come first.

        position = Q z,      Q = I - Y T Y^T orthogonal, its first r columns the directions up to sign

    by the r Householder reflections of a QR decomposition, stored as two thin matrices (Schreiber and Van Loan, 1989):
    a rotation costs 4 N r multiply-adds and no matrix of N by N is ever formed.

    Args:
        problem: with one precision for all coordinates, which a rotation leaves as it is.
        directions: (N, r) orthonormal columns; they become the first r axes.

    Raises:
        ValueError: directions that are not orthonormal or not finite; a precision for each coordinate.

    Example:
        >>> import jax.numpy as jnp, langevax
        >>> from langevax.problems.coordinates import Rotated
        >>> X, y = jnp.array([[1.0, 1.0]]), jnp.array([2.0])  # informs along (1, 1) alone
        >>> problem = langevax.FiniteSum(lambda w, row: (row[0] @ w - row[1]) ** 2 / 2, (X, y), precision=0.1)
        >>> rotated = Rotated(problem, jnp.array([[0.5**0.5], [0.5**0.5]]))
        >>> jnp.abs(rotated.gradient(jnp.zeros(2))).round(3)
        Array([2.828, 0.   ], dtype=float32)
    """

    problem: Problem
    reflectors: Float[Array, "n r"]
    """Y, unit lower trapezoidal."""
    weights: Float[Array, "r r"]
    """T, upper triangular."""
    precision: PyTree

    def __init__(self, problem: Problem, directions: Numbers):
        if jnp.ndim(problem.precision) != 0:
            raise ValueError(
                "a rotation mixes coordinates: they must have one precision; scale the "
                "problem first."
            )
        dtype = jnp.result_type(directions)
        columns = np.asarray(directions, np.float64)
        checks.finite("directions", columns, remedy="pass finite columns")
        gram = columns.T @ columns
        error = np.abs(gram - np.eye(len(gram))).max()
        if error > SKEW:
            raise ValueError(
                f"directions must be orthonormal columns, but are off by {error:.2g}; "
                "pass those of a QR."
            )
        self.problem = problem
        self.precision = problem.precision
        packed, tau = np.linalg.qr(columns, mode="raw")  # LAPACK's, transposed
        reflectors = np.tril(packed.T, -1)
        np.fill_diagonal(reflectors, 1.0)
        weights = np.zeros((len(tau), len(tau)))
        for j, weight in enumerate(tau):
            weights[j, j] = weight
            weights[:j, j] = (
                -weight * weights[:j, :j] @ (reflectors[:, :j].T @ reflectors[:, j])
            )
        self.reflectors, self.weights = (
            jnp.asarray(reflectors, dtype),
            jnp.asarray(weights, dtype),
        )

    def to_position(self, z: Vector) -> Vector:
        """`Q z`."""
        return z - self.reflectors @ (self.weights @ (self.reflectors.T @ z))

    def from_position(self, position: Vector) -> Vector:
        """`Q^T position`."""
        return position - self.reflectors @ (
            self.weights.T @ (self.reflectors.T @ position)
        )

    def pull_back(self, gradient: Vector) -> Vector:
        """`Q^T gradient`."""
        return self.from_position(gradient)


class Raveled(Reparametrised):
    """`problem` with its position laid out as one vector, leaf after leaf: for matrices over all coordinates at once.

    Args:
        problem: with positions of one floating dtype.
        like: a position of it.

    Example:
        >>> import jax.numpy as jnp, langevax
        >>> from langevax.problems.coordinates import Raveled
        >>> line = langevax.FiniteSum(lambda p, x: (p["a"] + p["b"] * x) ** 2, jnp.array([1.0, 2.0]))
        >>> flat = Raveled(line, {"a": jnp.array(0.0), "b": jnp.array(0.0)})
        >>> flat.to_position(jnp.array([1.0, 2.0]))["b"], float(flat.value(jnp.array([1.0, 2.0])))
        (Array(2., dtype=float32), 17.0)
    """

    problem: Problem
    precision: Float[Array, "..."]
    structure: Hashable = eqx.field(static=True)
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __init__(self, problem: Problem, like: PyTree):
        leaves, self.structure = jax.tree.flatten(like)
        self.problem = problem
        self.shapes = tuple(jnp.shape(leaf) for leaf in leaves)
        spread = trees.map_prefix(
            lambda p, x: jnp.broadcast_to(jnp.asarray(p, x.dtype), x.shape),
            problem.precision,
            like,
        )
        vector = self.from_position(spread)
        same = (
            vector.size > 0
            and checks.is_concrete(vector)
            and np.ptp(np.asarray(vector)) == 0
        )
        self.precision = vector[0] if same else vector

    @property
    def dimension(self) -> int:
        """The number of coordinates."""
        return sum(math.prod(shape) for shape in self.shapes)

    def to_position(self, z: Vector) -> PyTree:
        """The pytree of a vector."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1]
        leaves = [
            leaf.reshape(shape)
            for leaf, shape in zip(jnp.split(z, ends), self.shapes, strict=True)
        ]
        return jax.tree.unflatten(self.structure, leaves)

    def from_position(self, position: PyTree) -> Vector:
        """The vector of a pytree."""
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(position)])

    def pull_back(self, gradient: PyTree) -> Vector:
        """The same layout."""
        return self.from_position(gradient)
