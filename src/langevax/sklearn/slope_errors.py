"""Standard errors of slopes that hold although the rows spread otherwise than their model says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import ArrayLike

from langevax.sklearn.linear_families import Family


def sandwich(
    family: Family,
    particles: dict[str, np.ndarray],
    rows: dict[str, np.ndarray],
    weights: np.ndarray,
    groups: ArrayLike,
) -> dict[str, np.ndarray]:
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
    target = FlatPosterior(family, unravel)
    gradients = jax.vmap(target.gradient, (None, 0))(point, rows)
    gradients = np.asarray(gradients, np.float64) * weights[:, None]
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    number = int(codes.max()) + 1
    sums = np.zeros((number, len(point)))
    np.add.at(sums, codes, gradients)
    precision = target.precision(point, rows, weights.astype(np.float32))
    values, vectors = np.linalg.eigh(np.asarray(precision, np.float64))
    least = family.prior_precision  # no less than the prior's
    inverse = (vectors / np.maximum(values, least)) @ vectors.T
    covariance = inverse @ (number / max(1, number - 1) * sums.T @ sums) @ inverse
    errors = unravel(jnp.arange(len(point), dtype=point.dtype))
    return {
        name: np.sqrt(np.diag(covariance)[np.asarray(places, int)])
        for name, places in errors.items()
    }


@dataclass(frozen=True)
class FlatPosterior:
    """The log posterior of a family on flat positions."""

    family: Family
    unravel: Callable[[jax.Array], Any]

    def gradient(self, point: jax.Array, row: dict[str, Any]) -> jax.Array:
        """Return that of the log likelihood of one row."""
        return jax.grad(lambda p: self.family.log_likelihood(self.unravel(p), row))(
            point
        )

    def precision(
        self,
        point: jax.Array,
        rows: dict[str, Any],
        weights: np.ndarray,
    ) -> jax.Array:
        """Return the negative Hessian of the log posterior, a column at a time, so that memory is that of the rows."""

        def slope(p: jax.Array) -> jax.Array:
            likelihood = jax.vmap(self.family.log_likelihood, (None, 0))
            return jax.grad(
                lambda q: (
                    self.family.log_prior(self.unravel(q))
                    + jnp.sum(weights * likelihood(self.unravel(q), rows))
                )
            )(p)

        def column(direction: jax.Array) -> jax.Array:
            return -jax.jvp(slope, (point,), (direction,))[1]

        return jax.lax.map(column, jnp.eye(len(point), dtype=point.dtype))
