"""Standard errors of slopes that hold although the rows spread otherwise than their model says."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import ArrayLike

from langevax.sklearn.linear_families import Family, Rows


def sandwich(
    family: Family,
    particles: Rows,
    rows: Rows,
    weights: np.ndarray,
    groups: ArrayLike,
) -> Rows:
    """Return standard errors of the parameters by the sandwich formula.

        H^-1 (sum_g s_g s_g^T) H^-1;    H less the log posterior's Hessian, s_g gradient of group g's likelihood

    both at the mean of the posterior, s_g the sum of w_i s_i.

    Args:
        family: of the likelihood and the prior.
        particles: of the posterior.
        rows: as the family takes them.
        weights: (n,) of the rows.
        groups: (n,) rows that belong together.
    """
    centre = {
        name: np.asarray(leaf.mean(axis=0, dtype=np.float64), np.float32)
        for name, leaf in particles.items()
    }
    point, unravel = ravel_pytree(centre)

    def log_likelihood(flat: jax.Array, row: dict[str, Any]) -> jax.Array:
        return family.log_likelihood(unravel(flat), row)

    def log_posterior(flat: jax.Array) -> jax.Array:
        of_rows = jax.vmap(log_likelihood, (None, 0))(flat, rows)
        weighted = jnp.sum(weights.astype(np.float32) * of_rows)
        return family.log_prior(unravel(flat)) + weighted

    gradients = jax.vmap(jax.grad(log_likelihood), (None, 0))(point, rows)
    gradients = np.asarray(gradients, np.float64) * weights[:, None]
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    number = int(codes.max()) + 1
    sums = np.zeros((number, len(point)))
    np.add.at(sums, codes, gradients)
    hessian = np.asarray(jax.hessian(log_posterior)(point), np.float64)
    values, vectors = np.linalg.eigh(-hessian)
    least = family.prior_precision  # no less than the prior's
    inverse = (vectors / np.maximum(values, least)) @ vectors.T
    covariance = inverse @ (number / max(1, number - 1) * sums.T @ sums) @ inverse
    errors = unravel(jnp.arange(len(point), dtype=point.dtype))
    return {
        name: np.sqrt(np.diag(covariance)[np.asarray(places, int)])
        for name, places in errors.items()
    }
