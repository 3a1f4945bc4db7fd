"""How a posterior bends: its mode, the curvature averaged over it, and coordinates that take each direction's own step.

With D = diag(1 / (n mu)) the prior's precision and H the likelihood's mean Hessian, the turn

    x = D^{-1/2} V z,      D^{-1/2} H D^{-1/2} = V diag(q) V'

makes the prior N(0, T I) and the mean Hessian diag(q) at once (the likelihood-informed directions of Cui, Law and
Marzouk, Journal of Computational Physics 2016): direction j takes steps of 0.1 / (q_j + 1), and all of them relax in
ten steps where the posterior is nearly normal, however little most labels say.
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
from langevax.sklearn.kernel_langevin.evidence import one_thread, some_rows
from langevax.sklearn.table import bucket, padded

LOOKED_AT = 4096  # rows whose curvature tells that of all
LAPLACE_DRAWS = 8  # that the curvature is averaged over
MODE_STEPS = 300


class Look(NamedTuple):
    """A posterior around its mode."""

    mode: np.ndarray
    """(N,) or (N, C)."""
    deviation: np.ndarray
    """Of each coordinate, by Laplace's approximation."""
    hessian: np.ndarray
    """(N, N) of the likelihood, averaged over draws of Laplace's approximation."""
    largest: float
    """Of its curvatures."""
    least: float
    """Of the potential's curvatures, prior included."""


@dataclass(frozen=True)
class Coordinates:
    """x = matrix z, what the posterior is like in z, and the curvature that steps are measured by there."""

    matrix: np.ndarray | None
    """(N, N) float64; None where z is x."""
    curvatures: np.ndarray
    """(N,) or (N, 1)."""
    mode: np.ndarray
    """(N,) or (N, C) float32, as is the deviation of each coordinate around it."""
    deviation: np.ndarray

    def problem(self, problem: FiniteSum) -> FiniteSum:
        """As a function of z."""
        if self.matrix is None:
            return problem
        features, targets = problem.data
        turned = jnp.asarray(np.asarray(features, np.float64) @ self.matrix, jnp.float32)
        return eqx.tree_at(
            lambda p: (p.data, p.precision), problem, ((turned, targets), jnp.ones_like(problem.precision))
        )

    def back(self, positions: np.ndarray) -> np.ndarray:
        """(chain, draw, N) or (chain, draw, N, C) draws of z as draws of x."""
        if self.matrix is None:
            return positions
        return np.einsum("ij,cdj...->cdi...", self.matrix.astype(np.float32), positions, optimize=True)

    def turn_to(self, other: "Coordinates", problem: FiniteSum) -> np.ndarray:
        """(N, N): the z of `other` is that times the z of these; the inverse of a matrix is its transpose times D."""
        assert self.matrix is not None
        assert other.matrix is not None
        precision = np.asarray(problem.precision, np.float64).reshape(-1, 1)
        return other.matrix.T @ (precision * self.matrix)


def uniform(look: Look, problem: FiniteSum) -> Coordinates:
    """Those of the basis, with one step for all, as Muzellec et al. have it."""
    curvatures = np.full(problem.precision.shape, look.largest)
    return Coordinates(None, curvatures, look.mode, look.deviation)


@one_thread
def informed_by(hessian: np.ndarray, look: Look, problem: FiniteSum, temperature: float) -> Coordinates:
    """The likelihood-informed directions, see the top."""
    root = np.sqrt(np.asarray(problem.precision, np.float64).reshape(-1))
    q, V = np.linalg.eigh(hessian / root[:, None] / root)
    curvatures = np.maximum(q, 0.0).reshape(problem.precision.shape) + 1
    inverse = V.T * root
    deviation = np.broadcast_to(np.sqrt(temperature / curvatures), look.mode.shape)
    return Coordinates(V / root[:, None], curvatures, inverse @ look.mode, deviation)


class Curvatures:
    """Of a likelihood along a posterior, on LOOKED_AT rows at most; of several outputs, the sharpest at each row."""

    def __init__(self, problem: FiniteSum, likelihood: Likelihood, num_outputs: int | None):
        features, targets = (np.asarray(array) for array in problem.data)
        assert problem.weights is not None, "rows are weighted"
        rows = some_rows(int(problem.size), LOOKED_AT)
        self.likelihood, self.num_outputs = likelihood, num_outputs
        self.features = features[rows].astype(np.float64)
        self.weights = np.asarray(problem.weights, np.float64)[rows]
        self.targets = padded(targets[rows], bucket(len(rows)))

    def at(self, positions: np.ndarray) -> np.ndarray:
        """(N, N): the likelihood's Hessian, averaged over positions (S, N) or (S, N, C); negative curvatures are 0."""
        mean = np.zeros(len(self.features))
        for x in positions:
            z = padded((self.features @ x).astype(np.float32), len(self.targets))
            found = np.asarray(_bends(self.likelihood, z, self.targets))[: len(self.features)]
            mean += np.maximum(found if found.ndim == 1 else found.max(axis=1), 0.0)
        weights = self.weights * mean / (len(positions) * self.weights.sum())
        return (self.features.T * weights) @ self.features


@one_thread
def look_around(
    problem: FiniteSum, likelihood: Likelihood, temperature: float, num_outputs: int | None, seed: int
) -> Look:
    """Mode by L-BFGS, deviations and curvatures by Laplace's approximation."""
    mode = find_mode(problem, likelihood, num_outputs)
    prior = np.diag(np.asarray(problem.precision, np.float64).reshape(-1))
    curvatures = Curvatures(problem, likelihood, num_outputs)
    factor = np.linalg.cholesky(curvatures.at(mode[None]) + prior)
    inverse = np.sqrt(temperature) * np.linalg.inv(factor)  # the covariance is inverse' inverse
    normal = np.random.default_rng(seed).normal(size=(LAPLACE_DRAWS, *mode.shape))
    hessian = curvatures.at(mode + np.einsum("ji,sj...->si...", inverse, normal, optimize=True))
    deviation = np.sqrt(np.sum(inverse**2, axis=0)).reshape(problem.precision.shape)
    return Look(
        mode,
        np.broadcast_to(deviation, mode.shape),
        hessian,
        float(np.linalg.eigvalsh(hessian)[-1]),
        float(np.linalg.eigvalsh(hessian + prior)[0]),
    )


def find_mode(problem: FiniteSum, likelihood: Likelihood, num_outputs: int | None) -> np.ndarray:
    """A minimum of the potential by L-BFGS from 0, in coordinates of about unit curvature."""
    from scipy.optimize import minimize

    precision = np.asarray(problem.precision, np.float64)
    shape = (len(precision),) if num_outputs is None else (len(precision), num_outputs)
    bound = float(np.max(np.asarray(likelihood.curvature)))
    scale = np.broadcast_to(1 / np.sqrt(bound + precision), shape)

    def both(u: np.ndarray) -> tuple[float, np.ndarray]:
        x = jnp.asarray(u.reshape(shape) * scale, jnp.float32)
        value, gradient = _potential_and_gradient(problem, x)
        return float(value), (np.asarray(gradient, np.float64) * scale).reshape(-1)

    found = minimize(both, np.zeros(scale.size), jac=True, method="L-BFGS-B", options={"maxiter": MODE_STEPS})
    return found.x.reshape(shape) * scale


@eqx.filter_jit
def _potential_and_gradient(problem: FiniteSum, x: Array) -> tuple[Float[Array, ""], Array]:
    return problem.potential_and_gradient(x)


@eqx.filter_jit
def _bends(likelihood: Likelihood, z: Any, y: Any) -> Array:
    """The likelihood's second derivative in each output, row by row."""

    def one(z: Array, y: Array) -> Array:
        hessian = jax.hessian(likelihood)(z, y)
        return hessian if hessian.ndim == 0 else jnp.diagonal(hessian)

    return jax.vmap(one)(jnp.asarray(z), jnp.asarray(y))
