"""A problem seen through `position = A z`, so that any method runs preconditioned.

A Langevin step of size h on z is a step with the preconditioner `h A A^T` on the position: the law
sampled does not change, only the speed of each direction. The usual choice for a table whose
curvature has eigenpairs (s_j, v_j) is column j of A = v_j / sqrt(s_j + precision).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from langevax import checks
from langevax.problems.problem import Problem
from langevax.problems.reparametrised import Reparametrised


class Affine(Reparametrised):
    """`problem` in the coordinates z with `position = A z` on the last axis of every leaf.

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
        >>> easy = langevax.affine(problem, jnp.array([1.0, 0.01]))
        >>> easy.to_position(jnp.ones(2))
        Array([1.  , 0.01], dtype=float32)
    """

    problem: Problem
    matrix: Float[Array, "d ..."]
    precision: PyTree

    def __init__(self, problem: Problem, matrix: Any):
        matrix = jnp.asarray(matrix)
        square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
        if not (matrix.ndim == 1 or square) or not jnp.issubdtype(matrix.dtype, jnp.inexact):
            raise ValueError(f"matrix must be floating (d,) or (d, d), got {matrix.dtype} {matrix.shape}.")
        if checks.is_concrete(matrix):
            checks.finite("matrix", matrix, remedy="pass finite entries")
            scales = jnp.abs(matrix) if matrix.ndim == 1 else jnp.linalg.svd(matrix, compute_uv=False)
            if not bool(jnp.min(scales) > jnp.finfo(matrix.dtype).eps * jnp.max(scales)):
                raise ValueError(f"matrix is singular to {matrix.dtype} rounding; pass an invertible one.")
        self.problem = problem
        self.matrix = matrix
        self.precision = jax.tree.map(self._precision_in_z, problem.precision)

    def to_position(self, z: PyTree) -> PyTree:
        """`A z`; records of a run may be handed over as they are."""
        return jax.tree.map(lambda leaf: self._forward(jnp.asarray(leaf)), z)

    def from_position(self, position: PyTree) -> PyTree:
        """`A^-1 position`."""
        if self.matrix.ndim == 1:
            return jax.tree.map(lambda x: x / self.matrix, position)
        return jax.tree.map(lambda x: jnp.linalg.solve(self.matrix, x[..., None])[..., 0], position)

    def _forward(self, x: Array) -> Array:
        return x * self.matrix if self.matrix.ndim == 1 else x @ self.matrix.T

    def pull_back(self, gradient: PyTree) -> PyTree:
        """`A^T gradient`: the chain rule, on the last axis as well."""
        return jax.tree.map(lambda g: g * self.matrix if self.matrix.ndim == 1 else g @ self.matrix, gradient)

    def _precision_in_z(self, precision: Any) -> Any:
        precision = jnp.asarray(precision, self.matrix.dtype)
        if self.matrix.ndim == 1:
            return precision * self.matrix**2
        if checks.is_concrete(precision) and not bool(jnp.any(precision)):
            return precision
        gram = self.matrix.T @ self.matrix
        lengths = jnp.diagonal(gram)
        cosines = gram / jnp.sqrt(jnp.outer(lengths, lengths))
        skew = jnp.max(jnp.abs(cosines - jnp.diag(jnp.diagonal(cosines)))) > 1e-3
        if precision.ndim > 0 or (checks.is_concrete(skew) and bool(skew)):
            raise ValueError(
                "the quadratic part would not be diagonal in z: with a matrix, the problem's precision must be a "
                "scalar and the columns of the matrix orthogonal; pass a scaling (d,), or move the quadratic part "
                "to the regularizer."
            )
        return precision * lengths


def affine(problem: Problem, matrix: Any) -> Affine:
    """`problem` in the coordinates z with `position = matrix z`; see `Affine`."""
    return Affine(problem, matrix)
