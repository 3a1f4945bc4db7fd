"""A problem in turned coordinates, in which a few given directions come first: for laws that data inform in few.

    position = Q z,      Q = I - Y T Y^T orthogonal, its first r columns the directions up to sign

by the r Householder reflections of a QR decomposition, kept as two thin matrices (Schreiber and Van Loan, 1989): a turn
costs 4 N r multiply-adds and no matrix of N by N is ever formed.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import checks
from langevax.problems.problem import Problem
from langevax.problems.reparametrised import Reparametrised


class Turned(Reparametrised):
    """`problem`, on vectors, in the coordinates z with `position = Q z`.

    Args:
        problem: with one precision for all coordinates, which a turn leaves as it is.
        directions: (N, r) orthonormal columns; they become the first r axes.

    Raises:
        ValueError: directions that are not orthonormal or not finite; a precision for each coordinate.

    Example:
        >>> import jax.numpy as jnp, langevax
        >>> from langevax.problems.turned import Turned
        >>> X, y = jnp.array([[1.0, 1.0]]), jnp.array([2.0])  # informs along (1, 1) alone
        >>> problem = langevax.FiniteSum(lambda w, row: (row[0] @ w - row[1]) ** 2 / 2, (X, y), precision=0.1)
        >>> turned = Turned(problem, jnp.array([[0.5**0.5], [0.5**0.5]]))
        >>> jnp.abs(turned.gradient(jnp.zeros(2))).round(3)
        Array([2.828, 0.   ], dtype=float32)
    """

    problem: Problem
    reflectors: Float[Array, "n r"]
    """Y, unit lower trapezoidal."""
    weights: Float[Array, "r r"]
    """T, upper triangular."""
    precision: Any

    def __init__(self, problem: Problem, directions: Any):
        if jnp.ndim(problem.precision) != 0:
            raise ValueError("a turn mixes coordinates, so that they must have one precision; scale the problem first.")
        dtype = jnp.result_type(directions)
        columns = np.asarray(directions, np.float64)
        checks.finite("directions", columns, remedy="pass finite columns")
        error = np.abs(columns.T @ columns - np.eye(columns.shape[1])).max()
        if error > 1e-3:
            raise ValueError(f"directions must be orthonormal columns, but are off by {error:.2g}; pass those of a QR.")
        self.problem = problem
        self.precision = problem.precision
        reflectors, weights = _compact(columns)
        self.reflectors, self.weights = jnp.asarray(reflectors, dtype), jnp.asarray(weights, dtype)

    def to_position(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """`Q z`."""
        return z - self.reflectors @ (self.weights @ (self.reflectors.T @ z))

    def from_position(self, position: Float[Array, " n"]) -> Float[Array, " n"]:
        """`Q^T position`."""
        return position - self.reflectors @ (self.weights.T @ (self.reflectors.T @ position))

    def pull_back(self, gradient: Float[Array, " n"]) -> Float[Array, " n"]:
        """`Q^T gradient`."""
        return self.from_position(gradient)


def _compact(columns: Float[np.ndarray, "n r"]) -> tuple[np.ndarray, np.ndarray]:
    """(Y, T) of the reflections that take the first axes to the columns, up to sign."""
    packed, tau = np.linalg.qr(columns, mode="raw")  # as LAPACK has them, transposed
    reflectors = np.tril(packed.T, -1)
    np.fill_diagonal(reflectors, 1.0)
    weights = np.zeros((len(tau), len(tau)))
    for j, weight in enumerate(tau):
        weights[j, j] = weight
        weights[:j, j] = -weight * weights[:j, :j] @ (reflectors[:, :j].T @ reflectors[:, j])
    return reflectors, weights
