"""A Matern prior whose smoothness, length scale or variance have a prior of their own.

Such hyperparameters are positive numbers, sampled by their logarithms: a density p of v is, of u = log v,

    log p(e^u) + u
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from langevax import checks
from langevax._typing import FloatScalar
from langevax.spaces import spectra
from langevax.spaces.basis import Basis
from langevax.spaces.prior import GaussianPrior


@runtime_checkable
class Distribution(Protocol):
    """A one-dimensional distribution of NumPyro, or any object that has these."""

    @property
    def support(self) -> Any: ...
    def log_prob(self, value: Any) -> Any: ...
    def sample(self, key: Any, sample_shape: tuple[int, ...]) -> Any: ...


class Hyperprior:
    """The prior of one positive number.

    Args:
        name: of the number, for messages.
        distribution: of NumPyro.
        num_draws: from which the moments of the logarithm are computed.
        rounded: share of them that rounding may move out of the support.

    Raises:
        TypeError: an object that does not draw as NumPyro's distributions do.
        ValueError: a distribution of several numbers, of discrete ones, or of ones that may be negative; densities that
            are zero or undefined at its own draws.
    """

    def __init__(
        self,
        name: str,
        distribution: Distribution,
        num_draws: int = 10_000,
        rounded: float = 0.01,
    ):
        self.name = name
        self.distribution = distribution
        kind = type(distribution).__name__
        _check_support(name, distribution)
        try:
            draws = np.asarray(
                distribution.sample(jax.random.key(0), (num_draws,)), np.float64
            )
        except Exception as error:  # of another library, whose `sample` takes no key
            raise TypeError(
                f"{name}: a {kind} does not draw by sample(key, shape) ({error}); pass "
                "a distribution of NumPyro."
            ) from error
        with np.errstate(all="ignore"):
            logarithms = np.log(draws)
        if draws.shape != (num_draws,) or not np.isfinite(logarithms).all():
            raise ValueError(
                f"draws of the {kind} of {name} are not finite numbers > 0; pass "
                "another distribution."
            )
        self.mean, self.standard_deviation = (
            float(logarithms.mean()),
            float(logarithms.std()),
        )
        """Of the logarithm."""
        densities = np.asarray(
            jax.vmap(self.log_density)(jnp.asarray(logarithms, jnp.result_type(float)))
        )
        if np.mean(~np.isfinite(densities)) > rounded:
            raise ValueError(
                f"log_prob of the {kind} of {name} is not finite at "
                f"{np.mean(~np.isfinite(densities)):.0%} of its own draws; pass a "
                "distribution whose density is positive where it draws."
            )

    @property
    def typical(self) -> float:
        """The geometric mean."""
        return float(np.exp(self.mean))

    def log_density(self, u: FloatScalar) -> FloatScalar:
        """Return the log density of the logarithm, minus infinity outside of the support."""
        value = jnp.exp(u)
        inside = self.distribution.support(value)
        safe = jnp.where(inside, value, jnp.asarray(self.typical, value.dtype))
        return jnp.where(
            inside, jnp.asarray(self.distribution.log_prob(safe), u.dtype) + u, -jnp.inf
        )


def _check_support(name: str, distribution: Distribution) -> None:
    """Raise unless a distribution is one of a single number that is continuous and not negative."""
    kind = type(distribution).__name__
    for shape in (
        getattr(distribution, "batch_shape", ()),
        getattr(distribution, "event_shape", ()),
    ):
        if tuple(shape):
            raise ValueError(
                f"{name} must be a distribution of one number, got a {kind} of shape "
                f"{tuple(shape)}; where data differ in noise, divide them and their "
                "predictions by its deviations, and pass the distribution of the "
                "common factor."
            )
    support = distribution.support
    if getattr(support, "is_discrete", False):
        raise ValueError(
            f"{name} must have a continuous distribution, got a {kind}, which is "
            "discrete."
        )
    lower = getattr(support, "lower_bound", None)
    if lower is None or not np.ndim(lower) == 0 or not float(lower) >= 0:
        raise ValueError(
            f"{name} is > 0, but a {kind} may be negative; pass a distribution of "
            "positive numbers, such as numpyro.distributions.LogNormal or HalfNormal."
        )


class MaternPrior:
    """`GaussianPrior` with eigenvalues `spectra.matern`, whose parameters may be unknown.

    Args:
        basis: any of `langevax.spaces`.
        smoothness, length_scale, variance: each a number > 0, or a distribution of such numbers, of NumPyro.

    Raises:
        ValueError: a number that is not > 0, a distribution that is not one of a single positive number.

    Example:
        >>> import numpyro.distributions as dist
        >>> from langevax import spaces
        >>> prior = spaces.MaternPrior(spaces.Cosine(64), length_scale=dist.LogNormal(-1.5, 0.5))
        >>> prior.at(length_scale=0.3).num_modes
        64
    """

    def __init__(
        self,
        basis: Basis,
        smoothness: float | Distribution = 1.5,
        length_scale: float | Distribution = 0.2,
        variance: float | Distribution = 1.0,
    ):
        checks.instance("basis", basis, Basis, "langevax.spaces.Cosine(64)")
        self.basis = basis
        self.spectrum = partial(
            spectra.matern_values, basis.frequencies, basis.dim, basis.volume
        )
        self.numbers: dict[str, float] = {}
        """Parameters that are known."""
        self.hyperpriors: dict[str, Hyperprior] = {}
        """Priors of those that are not."""
        parameters = {
            "smoothness": smoothness,
            "length_scale": length_scale,
            "variance": variance,
        }
        for name, value in parameters.items():
            if isinstance(value, Distribution):
                self.hyperpriors[name] = Hyperprior(name, value)
            else:
                checks.number(name, value, positive=True)
                checks.one_number(name, value, positive=True)
                self.numbers[name] = float(value)

    @property
    def num_modes(self) -> int:
        """N."""
        return self.basis.num_modes

    def eigenvalues(self, values: Mapping[str, Any]) -> Any:
        """Return mu at values of the unknown parameters: in float64, or traced where these are."""
        return self.spectrum(**self.numbers, **values)

    def at(self, **values: float) -> GaussianPrior:
        """Return the prior with these values of the unknown parameters.

        Raises ValueError where one is missing, or is not unknown.
        """
        if values.keys() != self.hyperpriors.keys():
            raise ValueError(
                "at takes values of "
                f"{', '.join(self.hyperpriors) or 'nothing, as all are numbers'}, got "
                f"{', '.join(values) or 'none'}."
            )
        return GaussianPrior(self.basis, self.eigenvalues(values))
