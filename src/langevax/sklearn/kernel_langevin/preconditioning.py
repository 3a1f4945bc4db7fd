"""Coordinates of the coefficients in which a posterior has about unit curvature in every direction.

With D = diag(1 / (n mu)) the prior's precision and H the likelihood's Hessian at the mode,

    x = D^{-1/2} V diag(1 + q)^{-1/2} u,      D^{-1/2} H D^{-1/2} = V diag(q) V'

(the likelihood-informed directions of Cui, Law and Marzouk, Journal of Computational Physics 2016). Of several outputs
that share the features, one matrix over the modes serves all.
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
def posterior_coordinates(posterior: Posterior, start: Array) -> PosteriorCoordinates:
    """Return the coordinates of this posterior, by curvatures at the mode, which is found from `start`."""
    problem, temperature = posterior
    assert isinstance(problem, FiniteSum)
    in_prior_units = coordinates_of(problem, start, temperature)
    optimum, _ = find_mode(in_prior_units.problem, in_prior_units.from_position(start))
    mode = np.asarray(in_prior_units.to_position(optimum), np.float64)
    precision = np.asarray(problem.precision, np.float64).reshape(-1)
    hessian = likelihood_hessian(problem, mode)
    roots = np.sqrt(precision)
    q, directions = np.linalg.eigh(hessian / roots[:, None] / roots)
    share = 1 / (1 + np.maximum(q, 0.0))  # of the prior in the curvature
    matrix = directions / roots[:, None] * np.sqrt(share)
    features, targets = problem.data
    columns = jnp.asarray(np.asarray(features, np.float64) @ matrix, jnp.float32)
    # the prior's share of each direction's curvature
    prior = jnp.asarray(share.reshape(problem.precision.shape), jnp.float32)
    changed = eqx.tree_at(
        lambda p: (p.data, p.precision), problem, ((columns, targets), prior)
    )
    there = (matrix.T * precision) @ mode / share.reshape(-1, *[1] * (mode.ndim - 1))
    return PosteriorCoordinates(
        Posterior(changed, temperature), there.astype(np.float32), matrix
    )


def likelihood_hessian(
    problem: FiniteSum, mode: np.ndarray, most_rows: int = 4096
) -> np.ndarray:
    """Return the likelihood's Hessian (N, N) on some of the rows; of several outputs, by the largest at each row."""
    features, targets, weights = (
        np.asarray(array) for array in (*problem.data, problem.weights)
    )
    rows = subsample(int(problem.size), most_rows)
    features, weights = (
        array[rows].astype(np.float64) for array in (features, weights)
    )
    length = bucket(len(rows))
    z = padded((features @ mode).astype(np.float32), length)
    assert isinstance(problem.loss, LinearPredictor)
    likelihood = problem.loss.likelihood
    curvatures = np.asarray(_curvatures(likelihood, z, padded(targets[rows], length)))
    of_rows = np.maximum(curvatures.reshape(length, -1).max(axis=1), 0.0)[: len(rows)]
    return (features.T * (weights * of_rows / weights.sum())) @ features


@eqx.filter_jit
def _curvatures(likelihood: Loss, z: Any, y: Any) -> Array:
    """Return the likelihood's second derivative in each output, row by row."""

    def one(z: Array, y: Array) -> Array:
        hessian = jax.hessian(likelihood)(z, y)
        return hessian if hessian.ndim == 0 else jnp.diagonal(hessian)

    return jax.vmap(one)(jnp.asarray(z), jnp.asarray(y))
