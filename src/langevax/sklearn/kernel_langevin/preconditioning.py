"""Mode of a posterior, its mean curvature, and coordinates in which each direction has its own step.

With D = diag(1 / (n mu)) the prior's precision and H the likelihood's mean Hessian, the change of coordinates

    x = D^{-1/2} V z,      D^{-1/2} H D^{-1/2} = V diag(q) V'

makes the prior N(0, T I) and the mean Hessian diag(q) at once (the likelihood-informed directions of Cui, Law and
Marzouk, Journal of Computational Physics 2016): direction j has steps of 0.1 / (q_j + 1), and all of them relax in
ten steps where the posterior is nearly normal, however little information most labels carry.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax.problems.finite_sum import FiniteSum
from langevax.problems.likelihoods import Likelihood
from langevax.sklearn.kernel_langevin.evidence import one_thread
from langevax.sklearn.table import bucket, padded, subsample

MAX_CURVATURE_ROWS = 4096  # on which the curvature is computed
LAPLACE_DRAWS = 8  # over which the curvature is averaged
MODE_STEPS = 300


class LaplaceFit(NamedTuple):
    """Laplace's approximation of a posterior."""

    mode: np.ndarray
    """(N,) or (N, C)."""
    deviation: np.ndarray
    """Of each coordinate."""
    hessian: np.ndarray
    """(N, N) of the likelihood, averaged over draws of the approximation."""
    largest: float
    """Largest eigenvalue of the Hessian."""
    least: float
    """Least eigenvalue of the potential's Hessian, prior included."""


@dataclass(frozen=True)
class PosteriorCoordinates:
    """x = matrix z, the mode and deviations of the posterior in z, and the curvatures that steps are relative to."""

    matrix: np.ndarray | None
    """(N, N) float64; None where z is x."""
    curvatures: np.ndarray
    """(N,) or (N, 1)."""
    mode: np.ndarray
    """(N,) or (N, C) float32, as is the deviation of each coordinate around it."""
    deviation: np.ndarray

    def problem(self, problem: FiniteSum) -> FiniteSum:
        """Return the problem as a function of z."""
        if self.matrix is None:
            return problem
        features, targets = problem.data
        transformed = jnp.asarray(np.asarray(features, np.float64) @ self.matrix, jnp.float32)
        return eqx.tree_at(
            lambda p: (p.data, p.precision), problem, ((transformed, targets), jnp.ones_like(problem.precision))
        )

    def back(self, positions: np.ndarray) -> np.ndarray:
        """Return draws (chain, draw, N) or (chain, draw, N, C) of z as draws of x."""
        if self.matrix is None:
            return positions
        return np.einsum("ij,cdj...->cdi...", self.matrix.astype(np.float32), positions, optimize=True)

    def change_to(self, other: "PosteriorCoordinates", problem: FiniteSum) -> np.ndarray:
        """Return the matrix (N, N) from z to the z of `other`; the inverse of `matrix` is its transpose times D."""
        assert self.matrix is not None
        assert other.matrix is not None
        precision = np.asarray(problem.precision, np.float64).reshape(-1, 1)
        return other.matrix.T @ (precision * self.matrix)


def identity_coordinates(laplace: LaplaceFit, problem: FiniteSum) -> PosteriorCoordinates:
    """Return the coordinates of the basis, with one step for all, as Muzellec et al. have it."""
    return PosteriorCoordinates(
        None, np.full(problem.precision.shape, laplace.largest), laplace.mode, laplace.deviation
    )


@one_thread
def hessian_coordinates(
    hessian: np.ndarray, laplace: LaplaceFit, problem: FiniteSum, temperature: float
) -> PosteriorCoordinates:
    """Return the likelihood-informed directions, see the module."""
    root = np.sqrt(np.asarray(problem.precision, np.float64).reshape(-1))
    q, V = np.linalg.eigh(hessian / root[:, None] / root)
    curvatures = np.maximum(q, 0.0).reshape(problem.precision.shape) + 1
    inverse = V.T * root
    deviation = np.broadcast_to(np.sqrt(temperature / curvatures), laplace.mode.shape)
    return PosteriorCoordinates(V / root[:, None], curvatures, inverse @ laplace.mode, deviation)


class Curvatures:
    """Curvatures of a likelihood on MAX_CURVATURE_ROWS rows at most; of several outputs, the largest at each row."""

    def __init__(self, problem: FiniteSum, likelihood: Likelihood, num_outputs: int | None):
        features, targets = (np.asarray(array) for array in problem.data)
        assert problem.weights is not None, "rows are weighted"
        rows = subsample(int(problem.size), MAX_CURVATURE_ROWS)
        self.likelihood = likelihood
        self.num_outputs = num_outputs
        self.features: np.ndarray = features[rows].astype(np.float64)
        self.weights: np.ndarray = np.asarray(problem.weights, np.float64)[rows]
        self.targets: np.ndarray = padded(targets[rows], bucket(len(rows)))

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Return the likelihood's Hessian (N, N), its curvatures clipped at 0, averaged over positions (S, N[, C])."""
        mean = np.zeros(len(self.features))
        for x in positions:
            z = padded((self.features @ x).astype(np.float32), len(self.targets))
            curvatures = np.asarray(_curvatures(self.likelihood, z, self.targets))[: len(self.features)]
            mean += np.maximum(curvatures if curvatures.ndim == 1 else curvatures.max(axis=1), 0.0)
        weights = self.weights * mean / (len(positions) * self.weights.sum())
        return (self.features.T * weights) @ self.features


@one_thread
def laplace_fit(
    problem: FiniteSum, likelihood: Likelihood, temperature: float, num_outputs: int | None, seed: int
) -> LaplaceFit:
    """Return the mode by L-BFGS, deviations and curvatures by Laplace's approximation."""
    mode = find_mode(problem, likelihood, num_outputs)
    prior = np.diag(np.asarray(problem.precision, np.float64).reshape(-1))
    curvatures = Curvatures(problem, likelihood, num_outputs)
    factor = np.linalg.cholesky(curvatures.at(mode[None]) + prior)
    inverse = np.sqrt(temperature) * np.linalg.inv(factor)  # the covariance is inverse' inverse
    normal = np.random.default_rng(seed).normal(size=(LAPLACE_DRAWS, *mode.shape))
    hessian = curvatures.at(mode + np.einsum("ji,sj...->si...", inverse, normal, optimize=True))
    deviation = np.sqrt(np.sum(inverse**2, axis=0)).reshape(problem.precision.shape)
    return LaplaceFit(
        mode,
        np.broadcast_to(deviation, mode.shape),
        hessian,
        float(np.linalg.eigvalsh(hessian)[-1]),
        float(np.linalg.eigvalsh(hessian + prior)[0]),
    )


def find_mode(problem: FiniteSum, likelihood: Likelihood, num_outputs: int | None) -> np.ndarray:
    """Return a minimum of the potential by L-BFGS from 0, in coordinates of about unit curvature."""
    from scipy.optimize import minimize

    precision = np.asarray(problem.precision, np.float64)
    shape = (len(precision),) if num_outputs is None else (len(precision), num_outputs)
    bound = float(np.max(np.asarray(likelihood.curvature)))
    scale = np.broadcast_to(1 / np.sqrt(bound + precision), shape)

    def value_and_gradient(u: np.ndarray) -> tuple[float, np.ndarray]:
        x = jnp.asarray(u.reshape(shape) * scale, jnp.float32)
        value, gradient = _potential_and_gradient(problem, x)
        return float(value), (np.asarray(gradient, np.float64) * scale).reshape(-1)

    optimum = minimize(
        value_and_gradient, np.zeros(scale.size), jac=True, method="L-BFGS-B", options={"maxiter": MODE_STEPS}
    )
    return optimum.x.reshape(shape) * scale


@eqx.filter_jit
def _potential_and_gradient(problem: FiniteSum, x: Array) -> tuple[Float[Array, ""], Array]:
    return problem.potential_and_gradient(x)


@eqx.filter_jit
def _curvatures(likelihood: Likelihood, z: Any, y: Any) -> Array:
    """Return the likelihood's second derivative in each output, row by row."""

    def one(z: Array, y: Array) -> Array:
        hessian = jax.hessian(likelihood)(z, y)
        return hessian if hessian.ndim == 0 else jnp.diagonal(hessian)

    return jax.vmap(one)(jnp.asarray(z), jnp.asarray(y))
