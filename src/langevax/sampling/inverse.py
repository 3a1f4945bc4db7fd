"""Inverse problems: an unknown function, a user's forward map, noisy data, and a Gaussian prior of functions.

    y = G(f) + noise xi,      f ~ prior;      the posterior of f is exp(-potential(x) / temperature),
    potential(x) = (1/m) sum_j (G(f)_j - y_j)^2 / (2 noise_j^2) + 1/2 <x, x / mu> / m,      temperature = 1/m

with m data, x the coefficients of f in the prior's basis. No mesh: the number of modes changes the detail of f and
neither steps nor mixing (Muzellec, Sato, Massias, Suzuki, COLT 2022; Cotter et al., Statistical Science 2013).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import checks
from langevax.problems.problem import Function
from langevax.spaces import GaussianPrior


class InverseProblem(NamedTuple):
    """What `sample` wants to know of an inverse problem; its positions are coefficients (N,)."""

    problem: Function
    temperature: float
    """1/m, m the number of data."""
    prior: GaussianPrior

    @property
    def start(self) -> Float[Array, " modes"]:
        """The prior's mean."""
        return jnp.zeros(self.prior.num_modes, self.prior.eigenvalues.dtype)

    def functions(self, positions: Any) -> Float[Array, "*batch grid"]:
        """Draws as functions on the grid of the basis."""
        return self.prior.basis.synthesize(jnp.asarray(positions))

    def predictions(self, positions: Any) -> Any:
        """What the forward map makes of draws with one leading axis, or with (chain, draw)."""
        positions = jnp.asarray(positions)
        flat = positions.reshape(-1, positions.shape[-1])
        found = jax.lax.map(lambda x: self.problem.fun.forward_map(self.functions(x)), flat, batch_size=64)  # type: ignore[attr-defined]
        return jax.tree.map(lambda a: a.reshape(*positions.shape[:-1], *a.shape[1:]), found)


class Misfit(eqx.Module):
    """`(1/m) sum_j (G(f)_j - y_j)^2 / (2 noise_j^2)` of the coefficients of f."""

    forward_map: Callable[..., Any]
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


def inverse_problem(forward_map: Callable[..., Any], data: Any, noise: Any, prior: GaussianPrior) -> InverseProblem:
    """The posterior of a function given noisy data of it, ready for `sample`.

    Args:
        forward_map: `forward_map(values) -> predictions`, from the function's values on `prior.basis.grid` to what is
            measured, in JAX; linear or not. Of the shape of `data`.
        data: the measurements y, an array without NaN.
        noise: their standard deviation > 0, one number or one for each.
        prior: `langevax.spaces.GaussianPrior`.

    Returns:
        `InverseProblem`: `problem, temperature, prior`; `.functions(draws.positions)` are draws on the grid.

    Raises:
        TypeError: a forward map that is no function, a prior that is none. ValueError: data that are empty or not
            finite, noise of another shape or not > 0; at first use, predictions of another shape than the data.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> from langevax import spaces
        >>> basis = spaces.Cosine(32)
        >>> prior = spaces.GaussianPrior(basis, spaces.spectra.matern(basis, length_scale=0.3))
        >>> running_mean = lambda values: jnp.cumsum(values)[3::4] / 32  # at eight places
        >>> data = jnp.linspace(0.125, 1.0, 8) ** 2 / 2  # of the identity
        >>> target = langevax.inverse_problem(running_mean, data, noise=0.01, prior=prior)
        >>> draws = langevax.sample(target, key=jax.random.key(0), num_samples=200)
        >>> mean = target.functions(draws.positions).mean((0, 1))
        >>> bool(jnp.sqrt(jnp.mean((mean - basis.grid) ** 2)) < 0.05)
        True
    """
    if not callable(forward_map):
        raise TypeError(f"forward_map must be a function of the unknown function's values, got {forward_map!r}.")
    if not isinstance(prior, GaussianPrior):
        raise TypeError(f"prior must be a langevax.spaces.GaussianPrior, got {type(prior).__name__}.")
    data = jnp.asarray(data, prior.eigenvalues.dtype)
    if data.size == 0:
        raise ValueError("data is empty; pass at least one measurement.")
    checks.finite("data", data, remedy="drop what was not measured, from the forward map too")
    checks.number("noise", noise, positive=True)
    if np.shape(noise) not in ((), data.shape):
        raise ValueError(f"noise must be one number or of the data's shape {data.shape}, got shape {np.shape(noise)}.")
    temperature = 1 / data.size
    misfit = Misfit(forward_map, data, jnp.asarray(noise, data.dtype), prior)
    return InverseProblem(Function(misfit, prior.precision(ridge=temperature)), temperature, prior)
