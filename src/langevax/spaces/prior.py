"""A Gaussian law of functions: independent coefficients whose variances have a finite sum.

    f = sum_k x_k f_k,      x_k ~ N(0, mu_k),      sum_k mu_k = E |f|^2 < infinity

Its covariance is the kernel K(s, t) = sum_k mu_k f_k(s) f_k(t); the functions of finite Cameron-Martin norm
sum_k x_k^2 / mu_k are the reproducing kernel Hilbert space of K.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from langevax import checks, trees
from langevax.spaces.basis import Basis, Coefficients, check_modes

LEAST = 1e-36  # a smaller eigenvalue is taken for this one: its inverse still is a float32


class GaussianPrior(eqx.Module):
    """N(0, diag(eigenvalues)) on the coefficients of a basis.

    Args:
        basis: any of `langevax.spaces`.
        eigenvalues: mu, one > 0 for each mode, such as `spectra.matern(basis, length_scale=0.2)`.

    Raises:
        ValueError: an eigenvalue that is zero, negative or not finite; another number of them than of modes.

    Example:
        >>> import jax
        >>> from langevax import spaces
        >>> basis = spaces.Cosine(64)
        >>> prior = spaces.GaussianPrior(basis, spaces.spectra.matern(basis, smoothness=1.5, length_scale=0.2))
        >>> functions = basis.synthesize(prior.sample(jax.random.key(0), (1000,)))
        >>> functions.shape, 0.9 < float((functions[:, 20:44] ** 2).mean()) < 1.1
        ((1000, 64), True)
    """

    basis: Basis
    eigenvalues: Float[Array, " modes"]
    inverse: Float[Array, " modes"]

    def __init__(self, basis: Basis, eigenvalues: Any):
        mu = np.asarray(eigenvalues, np.float64)
        if mu.shape != (basis.num_modes,):
            raise ValueError(f"eigenvalues must have shape ({basis.num_modes},), one per mode, got {mu.shape}.")
        bad = np.flatnonzero(~(np.isfinite(mu) & (mu > 0)))
        if len(bad):
            raise ValueError(
                f"eigenvalues must be finite and > 0, but number {bad[0]} is {mu[bad[0]]} ({len(bad)} such); a mode "
                "without variance is no unknown: cut the basis off with `with_modes`, or drop it."
            )
        mu = np.maximum(mu, LEAST)  # inverted in float64
        self.basis = basis
        self.eigenvalues = jnp.asarray(mu, jnp.result_type(float))
        self.inverse = jnp.asarray(1 / mu, jnp.result_type(float))

    @property
    def num_modes(self) -> int:
        """N."""
        return self.basis.num_modes

    def precision(self, ridge: Any = 1.0) -> Float[Array, " modes"]:
        """`ridge / mu_k`: the quadratic part `ridge / 2 |f|_HK^2` of a problem (Muzellec et al., COLT 2022, lambda).

        At a temperature of `ridge` its law is this prior; at another, N(0, temperature / ridge mu).
        """
        return jnp.asarray(ridge, self.inverse.dtype) * self.inverse

    def sample(self, key: Key[Array, ""], shape: tuple[int, ...] = ()) -> Coefficients:
        """Coefficients of independent draws."""
        draws = trees.normal(key, (*shape, self.num_modes), self.eigenvalues.dtype)
        return jnp.sqrt(self.eigenvalues) * draws

    def norm(self, coefficients: Coefficients) -> Float[Array, "*batch"]:
        """The Cameron-Martin norm `sqrt(sum_k x_k^2 / mu_k)`, that of the reproducing kernel Hilbert space."""
        check_modes(coefficients, self.num_modes)
        root = jnp.sqrt(self.inverse).astype(coefficients.dtype)  # first, since squares of small numbers vanish
        return jnp.linalg.norm(coefficients * root, axis=-1)

    def features(self, points: Any, smoothing: float = 0.0) -> Float[Array, "points modes"]:
        """`mu_k^{g/2} f_k(points_j)`, g the `smoothing`: the model `T_K^{g/2} x` of Muzellec et al., section 4."""
        checks.number("smoothing", smoothing)
        return self.basis.evaluate(points) * self.eigenvalues ** (smoothing / 2)

    def covariance(self, points: Any, others: Any = None) -> Float[Array, "points others"]:
        """`K(points_i, others_j)`, among the points themselves where no others are given."""
        left = self.basis.evaluate(points)
        right = left if others is None else self.basis.evaluate(others)
        return (left * self.eigenvalues) @ right.T

    def variance(self, points: Any) -> Float[Array, " points"]:
        """`K(points_j, points_j)`."""
        return self.basis.evaluate(points) ** 2 @ self.eigenvalues

    def with_modes(self, num_modes: int) -> "GaussianPrior":
        """The prior on the first modes."""
        if num_modes > self.num_modes:
            raise ValueError(f"this prior knows {self.num_modes} eigenvalues, so num_modes cannot be {num_modes}.")
        return GaussianPrior(self.basis.with_modes(num_modes), np.asarray(self.eigenvalues)[:num_modes])
