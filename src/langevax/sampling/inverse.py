"""Inverse problems: an unknown function, a forward map, noisy data and a Gaussian process prior.

    y = G(f) + noise xi,      f ~ prior;      the posterior of f is exp(-potential(x) / temperature),
    potential(x) = (1/m) sum_j (G(f)_j - y_j)^2 / (2 noise_j^2) + 1/2 <x, x / mu> / m,      temperature = 1/m

with m data and x the coefficients of f in the basis of the prior. More modes add detail to f without changing the step
size or the mixing time (Muzellec, Sato, Massias, Suzuki, COLT 2022; Cotter et al., Statistical Science 2013).
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from langevax import checks
from langevax.problems.problem import Function
from langevax.spaces import GaussianPrior

ForwardMap = Callable[[Float[Array, " grid"]], Array]


class InverseProblem(NamedTuple):
    """A target of `sample` whose positions are coefficients (N,)."""

    problem: Function
    temperature: float
    """1/m, m the number of data."""
    prior: GaussianPrior
    forward_map: ForwardMap

    @property
    def start(self) -> Float[Array, " modes"]:
        """The mean of the prior."""
        return jnp.zeros(self.prior.num_modes, self.prior.eigenvalues.dtype)

    def functions(self, positions: ArrayLike) -> Float[Array, "*batch grid"]:
        """Values of the drawn functions on the grid of the basis."""
        return self.prior.basis.synthesize(jnp.asarray(positions))

    def predictions(self, positions: ArrayLike) -> Array:
        """Predicted data of draws with one leading axis, or with (chain, draw)."""
        positions = jnp.asarray(positions)
        flat = positions.reshape(-1, positions.shape[-1])
        predicted = jax.lax.map(lambda x: self.forward_map(self.functions(x)), flat, batch_size=64)
        return jax.tree.map(lambda a: a.reshape(*positions.shape[:-1], *a.shape[1:]), predicted)


class Misfit(eqx.Module):
    """`(1/m) sum_j (G(f)_j - y_j)^2 / (2 noise_j^2)` as a function of the coefficients of f."""

    forward_map: ForwardMap
    data: Float[Array, "..."]
    noise: Float[Array, "..."]
    prior: GaussianPrior

    def __call__(self, position: Float[Array, " modes"]) -> Float[Array, ""]:
        predicted = self.forward_map(self.prior.basis.synthesize(position))
        if jnp.shape(predicted) != self.data.shape:
            raise ValueError(
                f"forward_map returned shape {jnp.shape(predicted)} for data of shape {self.data.shape}; it must "
                "predict each datum from the function's values on prior.basis.grid."
            )
        residuals = (predicted - self.data.astype(predicted.dtype)) / self.noise.astype(predicted.dtype)
        return jnp.mean(residuals**2) / 2


def inverse_problem(
    forward_map: ForwardMap, data: ArrayLike, noise: float | ArrayLike, prior: GaussianPrior
) -> InverseProblem:
    """Return the posterior of a function given noisy data, ready for `sample`.

    Args:
        forward_map: `forward_map(values) -> predictions`, from the values of the function on `prior.basis.grid` to
            predictions with the shape of `data`; written in JAX, linear or not.
        data: the measurements y, an array without NaN.
        noise: their standard deviation > 0, one number or an array like `data`.
        prior: `langevax.spaces.GaussianPrior`.

    Raises:
        TypeError: `forward_map` is not a function, or `prior` is not a `GaussianPrior`.
        ValueError: data that are empty or not finite; noise of another shape or not > 0; at the first evaluation,
            predictions whose shape is not that of the data.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> from langevax import spaces
        >>> basis = spaces.Cosine(32)
        >>> prior = spaces.GaussianPrior(basis, spaces.spectra.matern(basis, length_scale=0.3))
        >>> running_mean = lambda values: jnp.cumsum(values)[3::4] / 32  # at eight places
        >>> data = jnp.linspace(0.125, 1.0, 8) ** 2 / 2  # of the identity
        >>> target = langevax.inverse_problem(running_mean, data, noise=0.01, prior=prior)
        >>> draws = langevax.sample(target, key=jax.random.key(0), num_samples=600)
        >>> mean = target.functions(draws.positions).mean((0, 1))
        >>> bool(jnp.sqrt(jnp.mean((mean - basis.grid) ** 2)) < 0.05)
        True
    """
    if not callable(forward_map):
        raise TypeError(
            f"forward_map must be a function of the unknown function's values, got {checks.shown(forward_map)}."
        )
    if not isinstance(prior, GaussianPrior):
        raise TypeError(f"prior must be a langevax.spaces.GaussianPrior, got {type(prior).__name__}.")
    y = jnp.asarray(checks.plain_array("data", data), prior.eigenvalues.dtype)
    checks.finite("data", y, remedy="drop missing measurements, and their predictions from forward_map")
    checks.number("noise", noise, positive=True)
    if np.shape(noise) not in ((), y.shape):
        raise ValueError(f"noise must be one number or of the data's shape {y.shape}, got shape {np.shape(noise)}.")
    temperature = 1 / y.size
    misfit = Misfit(forward_map, y, jnp.asarray(noise, y.dtype), prior)
    return InverseProblem(Function(misfit, prior.precision(ridge=temperature)), temperature, prior, forward_map)
