"""Coordinates of the coefficients in which a posterior has about unit curvature in every direction.

With D = diag(1 / (n mu)) the prior's precision and H the likelihood's Hessian, averaged over draws about the mode,

    x = D^{-1/2} V diag(1 + q)^{-1/2} u,      D^{-1/2} H D^{-1/2} = V diag(q) V'

(the likelihood-informed directions of Cui, Law and Marzouk, Journal of Computational Physics 2016). Where the
likelihood is that of labels its curvature at the mode alone would be too small; of several outputs that share the
features, one matrix over the modes serves all.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from langevax.problems.finite_sum import FiniteSum, Posterior
from langevax.problems.likelihoods import LinearPredictor
from langevax.problems.losses import Loss
from langevax.sampling.preconditioning import coordinates_of, find_mode
from langevax.sklearn.kernel_langevin.evidence import one_thread
from langevax.sklearn.table import bucket, padded, subsample


class PosteriorCoordinates(NamedTuple):
    """A posterior as a function of u, its mode there, and the matrix (N, N) of x = matrix u."""

    posterior: Posterior
    mode: np.ndarray
    matrix: np.ndarray

    def coefficients(self, positions: np.ndarray) -> np.ndarray:
        """Return draws (chain, draw, N) or (chain, draw, N, C) of u as draws of x."""
        return np.einsum(
            "ij,cdj...->cdi...",
            self.matrix.astype(np.float32),
            positions,
            optimize=True,
        )


@one_thread
def posterior_coordinates(
    posterior: Posterior,
    start: Array,
    seed: int,
    num_draws: int = 8,
) -> PosteriorCoordinates:
    """Return the coordinates of this posterior, by curvatures averaged over draws about the mode, found from `start`."""
    problem, temperature = posterior
    assert isinstance(problem, FiniteSum)
    in_prior_units = coordinates_of(problem, start, temperature)
    optimum, _ = find_mode(in_prior_units.problem, in_prior_units.from_position(start))
    mode = np.asarray(in_prior_units.to_position(optimum), np.float64)
    precision = np.asarray(problem.precision, np.float64).reshape(-1)
    curvatures = Curvatures(problem)
    rng = np.random.default_rng(seed)
    normal = np.sqrt(temperature) * rng.normal(size=(num_draws, *mode.shape))
    hessian = curvatures.about(mode, precision, normal)
    roots = np.sqrt(precision)
    q, directions = np.linalg.eigh(hessian / roots[:, None] / roots)
    share = 1 / (1 + np.maximum(q, 0.0))  # of the prior in the curvature
    matrix = directions / roots[:, None] * np.sqrt(share)
    changed = _transformed(problem, matrix, share)
    there = (matrix.T * precision) @ mode / share.reshape(-1, *[1] * (mode.ndim - 1))
    return PosteriorCoordinates(
        Posterior(changed, temperature), there.astype(np.float32), matrix
    )


def _transformed(
    problem: FiniteSum, matrix: np.ndarray, share: np.ndarray
) -> FiniteSum:
    """Return the problem of u, with the prior's share of each direction's curvature."""
    features, targets = problem.data
    columns = jnp.asarray(np.asarray(features, np.float64) @ matrix, jnp.float32)
    prior = jnp.asarray(share.reshape(problem.precision.shape), jnp.float32)
    return eqx.tree_at(
        lambda p: (p.data, p.precision), problem, ((columns, targets), prior)
    )


class Curvatures:
    """Curvatures of a likelihood on some of the rows; of several outputs, the largest at each row."""

    def __init__(self, problem: FiniteSum, most_rows: int = 4096):
        features, targets, weights = (
            np.asarray(array) for array in (*problem.data, problem.weights)
        )
        rows = subsample(int(problem.size), most_rows)
        assert isinstance(problem.loss, LinearPredictor)
        self.likelihood: Loss = problem.loss.likelihood
        self.features: np.ndarray = features[rows].astype(np.float64)
        self.weights: np.ndarray = weights[rows].astype(np.float64)
        self.targets: np.ndarray = padded(targets[rows], bucket(len(rows)))

    def about(
        self,
        mode: np.ndarray,
        precision: np.ndarray,
        normal: np.ndarray,
    ) -> np.ndarray:
        """Return the mean Hessian (N, N) over draws about the mode, made of normal ones."""
        root = np.linalg.cholesky(self.at(mode[None]) + np.diag(precision))
        inverse = np.linalg.inv(root)
        return self.at(
            mode + np.einsum("ji,sj...->si...", inverse, normal, optimize=True)
        )

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Return the likelihood's Hessian (N, N), its curvatures clipped at 0, averaged over positions (S, N[, C])."""
        mean = np.zeros(len(self.features))
        for x in positions:
            z = padded((self.features @ x).astype(np.float32), len(self.targets))
            curvatures = np.asarray(_curvatures(self.likelihood, z, self.targets))
            of_rows = curvatures.reshape(len(z), -1).max(axis=1)
            mean += np.maximum(of_rows[: len(mean)], 0.0)
        weights = self.weights * mean / (len(positions) * self.weights.sum())
        return (self.features.T * weights) @ self.features


@eqx.filter_jit
def _curvatures(likelihood: Loss, z: Any, y: Any) -> Array:
    """Return the likelihood's second derivative in each output, row by row."""

    def one(z: Array, y: Array) -> Array:
        hessian = jax.hessian(likelihood)(z, y)
        return hessian if hessian.ndim == 0 else jnp.diagonal(hessian)

    return jax.vmap(one)(jnp.asarray(z), jnp.asarray(y))
