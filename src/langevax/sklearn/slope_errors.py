"""Standard errors of slopes that hold although the rows spread otherwise than their model says."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import ArrayLike

from langevax.sklearn.linear_families import Family
from langevax.sklearn.table import Standardiser, Table


class SlopeErrors:
    """Errors of the posterior's slopes by the sandwich formula, mixed into estimators of linear families."""

    standardiser_: Standardiser
    scale_: float
    bayes_particles_: dict[str, np.ndarray]

    def robust_coef_sd(
        self,
        X: Table,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        exposure: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> np.ndarray:
        """Return (k,) standard errors of `as_bayes().coef_`, from the training rows.

            H^-1 (sum_g s_g s_g^T) H^-1;    H less the log posterior's Hessian, s_g gradient of group g's likelihood

        both at the mean of the posterior. These are errors of the mean that the posterior finds whatever the spread of
        the rows: Huber's, "robust" or HC0 in other packages. Those of the posterior itself, `as_bayes().coef_sd_`, are
        too small where counts spread more than their family says, or where rows belong together.

        Args:
            X: (n, d), the rows of the fit.
            y: (n,).
            groups: (n,) rows that belong together; None: each on its own.
            exposure: (n,) that of the fit, where it had one.
            sample_weight: (n,) those of the fit, where it had some; s_g of a group is then the sum of w_i s_i.

        Example:
            >>> import numpy as np
            >>> from langevax.sklearn import PredictiveRegressor
            >>> rng = np.random.default_rng(0)
            >>> X = rng.normal(size=(200, 1))
            >>> y = rng.poisson(np.exp(X[:, 0] + rng.normal(size=200)))  # rates differ beyond the column
            >>> options = {"bayes_shares": (1.0,), "num_particles": 64, "num_folds": None, "random_state": 0}
            >>> model = PredictiveRegressor("poisson", **options).fit(X, y)
            >>> bool(model.robust_coef_sd(X, y) > 1.5 * model.coef_sd_)
            True
        """
        family = self._family()
        (inputs, offsets) = self._inputs(X, exposure)
        rows = self._rows(inputs, self._checked_targets(y), offsets)
        centre = {
            name: leaf.mean(axis=0, dtype=np.float64)
            for name, leaf in self.bayes_particles_.items()
        }
        point, unravel = ravel_pytree(
            {name: np.asarray(leaf, np.float32) for name, leaf in centre.items()}
        )
        target = FlatPosterior(family, unravel)
        weights = (
            np.ones(len(inputs))
            if sample_weight is None
            else np.asarray(sample_weight, np.float64)
        )
        if np.any(weights != np.round(weights)):
            weights = weights / weights[weights > 0].mean()
        gradients = (
            np.asarray(jax.vmap(target.gradient, (None, 0))(point, rows), np.float64)
            * weights[:, None]
        )
        codes = (
            np.arange(len(gradients))
            if groups is None
            else np.unique(np.asarray(groups), return_inverse=True)[1]
        )
        number = int(codes.max()) + 1
        sums = np.zeros((number, len(point)))
        np.add.at(sums, codes, gradients)
        values, vectors = np.linalg.eigh(
            np.asarray(
                target.precision(point, rows, weights.astype(np.float32)), np.float64
            )
        )
        inverse = (
            vectors / np.maximum(values, family.prior_precision)
        ) @ vectors.T  # no less than the prior's
        sandwich = inverse @ (number / max(1, number - 1) * sums.T @ sums) @ inverse
        is_slope = ravel_pytree(
            {
                name: np.full(leaf.shape, name == "slopes")
                for name, leaf in centre.items()
            }
        )[0]
        return np.sqrt(np.diag(sandwich)[np.asarray(is_slope)]) * (
            self.scale_ / self.standardiser_.scale
        )

    @abstractmethod
    def _family(self) -> Family: ...

    @abstractmethod
    def _inputs(
        self, X: Table, exposure: ArrayLike | None = None
    ) -> tuple[np.ndarray, np.ndarray]: ...

    @abstractmethod
    def _rows(
        self, X: np.ndarray, y: np.ndarray, offsets: np.ndarray
    ) -> dict[str, np.ndarray]: ...

    @abstractmethod
    def _checked_targets(self, y: ArrayLike) -> np.ndarray: ...


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
        self, point: jax.Array, rows: dict[str, Any], weights: np.ndarray
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
