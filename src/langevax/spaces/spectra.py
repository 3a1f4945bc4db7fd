"""Eigenvalues of priors by formula: the decay of the variance of modes with their frequency.

A stationary covariance with spectral density S has, on a basis of frequencies w_k over a domain of that volume,

    mu_k = S(w_k) / volume

which does not depend on the number of modes: more of them add finer detail and change nothing else.
"""

from math import exp, lgamma
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array

from langevax import checks
from langevax._typing import FloatScalar
from langevax.spaces.basis import Basis

Parameter = float | FloatScalar

LEAST_EIGENVALUE = 1e-36
"""Smaller eigenvalues are replaced by this one, whose inverse still is a float32."""


def power(num_modes: int, decay: float = 2.0, scale: float = 1.0) -> np.ndarray:
    """`mu_k = scale (k + 1)^-decay`, k = 0, ..., the summable spectra of the theorems for decay > 1.

    >>> power(3)
    array([1.        , 0.25      , 0.11111111])
    """
    num_modes = checks.whole("num_modes", num_modes)
    checks.number("decay", decay)
    if not decay > 1:
        raise ValueError(
            f"decay must be > 1, or the variances have no finite sum, got {decay}."
        )
    checks.number("scale", scale, positive=True)
    return scale * np.arange(1.0, num_modes + 1) ** -decay


def matern(
    basis: Basis,
    smoothness: Parameter = 1.5,
    length_scale: Parameter = 0.2,
    variance: Parameter = 1.0,
) -> Any:
    """Matern: about `smoothness` derivatives, correlated over `length_scale`, of that `variance` at a point.

        S(w) = variance (4 pi)^{d/2} Gamma(nu + d/2) / Gamma(nu) (l^2 / 2 nu)^{d/2} (1 + l^2 w^2 / 2 nu)^{-(nu + d/2)}

    >>> from langevax import spaces
    >>> round(float(matern(spaces.Fourier(199), length_scale=0.1).sum()), 2)  # the mean variance over the domain
    1.0

    On `Cosine` the law is that of a reflected process: its variance is double at the ends. In float64 by NumPy, or in
    JAX where a parameter is traced.
    """
    checks.instance("basis", basis, Basis, "langevax.spaces.Cosine(64)")
    for name, value in (
        ("smoothness", smoothness),
        ("length_scale", length_scale),
        ("variance", variance),
    ):
        checks.number(name, value, positive=True)
        checks.one_number(name, value, positive=True)
    return matern_values(
        basis.frequencies, basis.dim, basis.volume, smoothness, length_scale, variance
    )


def matern_values(
    frequencies: np.ndarray,
    dim: int,
    volume: float,
    smoothness: Any,
    length_scale: Any,
    variance: Any,
) -> Any:
    """Return `matern` without checks of its arguments."""
    half = dim / 2
    parameters = (smoothness, length_scale, variance)
    if all(map(checks.is_concrete, parameters)):
        smoothness, length_scale, variance = map(float, parameters)
        ratio = exp(lgamma(smoothness + half) - lgamma(smoothness))
        xp = np
        waves = frequencies
    else:
        smoothness, length_scale, variance, waves = _as_traced(
            (*parameters, frequencies)
        )
        ratio = jnp.exp(gammaln(smoothness + half) - gammaln(smoothness))
        xp = jnp
    unit = length_scale**2 / (2 * smoothness)
    at_zero = variance * (4 * np.pi * unit) ** half * ratio / volume
    decay = (smoothness + half) * xp.log1p(unit * waves**2)
    return xp.maximum(at_zero * xp.exp(-decay), LEAST_EIGENVALUE)


def squared_exponential(
    basis: Basis, length_scale: Parameter = 0.2, variance: Parameter = 1.0
) -> Any:
    """Squared exponential, the limit of `matern` for smooth functions; on a graph, the heat kernel.

        S(w) = variance (2 pi)^{d/2} l^d exp(-l^2 w^2 / 2)

    >>> from langevax import spaces
    >>> squared_exponential(spaces.Fourier(3), length_scale=0.5).round(4)
    array([1.2533, 0.009 , 0.009 ])
    """
    checks.instance("basis", basis, Basis, "langevax.spaces.Cosine(64)")
    for name, value in (("length_scale", length_scale), ("variance", variance)):
        checks.number(name, value, positive=True)
        checks.one_number(name, value, positive=True)
    xp = np
    frequencies = basis.frequencies
    if checks.is_concrete(length_scale) and checks.is_concrete(variance):
        length_scale = float(length_scale)
        variance = float(variance)
    else:
        length_scale, variance, frequencies = _as_traced(
            (length_scale, variance, frequencies)
        )
        xp = jnp
    at_zero = variance * (2 * np.pi * length_scale**2) ** (basis.dim / 2) / basis.volume
    decay = (length_scale * frequencies) ** 2 / 2
    return xp.maximum(at_zero * xp.exp(-decay), LEAST_EIGENVALUE)


def _as_traced(numbers: tuple[Any, ...]) -> list[Array]:
    return [jnp.asarray(number, jnp.result_type(float)) for number in numbers]


__all__ = ["matern", "power", "squared_exponential"]
__dir__: object = __all__.copy
