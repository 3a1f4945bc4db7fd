"""Integrators of the quadratic part: the gains (a, b, c) of one step on precision p.

    position  <-  a * position  -  b * gradient  +  c * sqrt(temperature) * noise

`gradient` leaves the quadratic part out. At p = 0 all four agree: a = 1, b = h, c = sqrt(2h). With gradient 0 a
chain's stationary variance is temperature * c^2 / (1 - a^2); the exact one is temperature / p.
"""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from langevax import checks


class Gains(NamedTuple):
    """Factors of the position, the gradient and the noise."""

    a: Float[Array, "..."]
    b: Float[Array, "..."]
    c: Float[Array, "..."]


class Integrator(eqx.Module):
    """Base class: how a step integrates the quadratic part."""

    @abstractmethod
    def gains(self, step_size: ArrayLike, precision: ArrayLike) -> Gains:
        """Return the gains for a step of size h > 0 on precision p >= 0, of one dtype, broadcast together."""


def check_integrator(integrator: object) -> None:
    """Raise unless the argument `integrator` is one."""
    example = "langevax.integrators.Exponential()"
    checks.instance("integrator", integrator, Integrator, example)


class Explicit(Integrator):
    """Euler-Maruyama: `a = 1 - hp, b = h, c = sqrt(2h)`.

    Stable for h < 2/p. Stationary variance T / (p (1 - hp/2)): too large.

    Example:
        >>> import langevax
        >>> langevax.integrators.Explicit().gains(0.5, 0.0)
        Gains(a=Array(1., dtype=float32), b=Array(0.5, dtype=float32), c=Array(1., dtype=float32))
    """

    def gains(self, step_size: ArrayLike, precision: ArrayLike) -> Gains:
        h, p = _arrays(step_size, precision)
        return Gains(1 - h * p, h, jnp.sqrt(2 * h))


class SemiImplicit(Integrator):
    """Implicit Euler on the quadratic part, noise inside the resolvent (Muzellec et al., COLT 2022, eq. 3).

    `s = 1 / (1 + hp): a = s, b = hs, c = sqrt(2h) s`. Stable for any h. Stationary variance
    T / (p (1 + hp/2)): too small in stiff directions.

    Example:
        >>> import langevax
        >>> langevax.integrators.SemiImplicit().gains(0.5, 2.0).a
        Array(0.5, dtype=float32)
    """

    def gains(self, step_size: ArrayLike, precision: ArrayLike) -> Gains:
        h, p = _arrays(step_size, precision)
        resolvent = 1 / (1 + h * p)
        return Gains(resolvent, h * resolvent, jnp.sqrt(2 * h) * resolvent)


class Exponential(Integrator):
    """Exact Ornstein-Uhlenbeck flow of the quadratic part (recommended if there is one).

    `a = e^{-hp}, b = (1 - e^{-hp}) / p, c = sqrt((1 - e^{-2hp}) / p) = sqrt(b (1 + a))`. Stationary
    variance exactly T / p for any h.

    Example:
        >>> import langevax
        >>> a, b, c = langevax.integrators.Exponential().gains(0.5, 2.0)
        >>> round(float(c**2 / (1 - a**2)), 6)
        0.5
    """

    def gains(self, step_size: ArrayLike, precision: ArrayLike) -> Gains:
        h, p = _arrays(step_size, precision)
        exponent = h * p
        a = jnp.exp(-exponent)
        x = jnp.maximum(
            exponent, jnp.finfo(exponent.dtype).eps / 8
        )  # below it (1 - e^{-x}) / x rounds to 1
        b = h * (-jnp.expm1(-x) / x)
        return Gains(a, b, jnp.sqrt(b * (1 + a)))


class CrankNicolson(Integrator):
    """Midpoint rule on the quadratic part.

    `a = (1 - hp/2) / (1 + hp/2), b = h / (1 + hp/2), c = sqrt(2h) / (1 + hp/2)`. Stationary variance
    exactly T / p for any h, but stiff directions oscillate: a tends to -1.

    Example:
        >>> import langevax
        >>> a, b, c = langevax.integrators.CrankNicolson().gains(0.5, 4.0)
        >>> float(a), float(c**2 / (1 - a**2))
        (0.0, 0.25)
    """

    def gains(self, step_size: ArrayLike, precision: ArrayLike) -> Gains:
        h, p = _arrays(step_size, precision)
        resolvent = 1 / (1 + h * p / 2)
        return Gains(2 * resolvent - 1, h * resolvent, jnp.sqrt(2 * h) * resolvent)


def _arrays(step_size: ArrayLike, precision: ArrayLike) -> tuple[Array, Array]:
    dtype = jnp.result_type(step_size, precision)
    return jnp.asarray(step_size, dtype), jnp.asarray(precision, dtype)


__all__ = [
    "CrankNicolson",
    "Explicit",
    "Exponential",
    "Gains",
    "Integrator",
    "SemiImplicit",
]
__dir__: object = __all__.copy
