"""Negative log-likelihoods of one number, given the value of the unknown function there: losses that can be drawn from.

Those of classes are `losses.logistic`, the function being log odds, and `losses.softmax`. Terms that do not depend on
the function are left out: -log sqrt(2 pi s^2) of a normal law, and the like. They change neither a posterior nor its
gradient, but values with different noises cannot be compared.

`LinearPredictor` turns one into the loss of a `FiniteSum`, where the function is linear in its coefficients.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num
from scipy.special import ndtr, ndtri

from langevax import checks, renamed
from langevax.problems.losses.loss import Loss, Shape, Targets, check_scalar
from langevax.problems.problem import Number, Scalar

Observation = Num[Array, ""]


class Likelihood(Loss):
    """`likelihood(z, y) = -log p(y | function value z)`, up to a constant, with draws of y; equal if its numbers are."""

    @abstractmethod
    def draw(self, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return an observation for each function value, in NumPy."""


class Residual(Likelihood):
    """A function of the residual in units of the noise, `r = (z - y) / noise`, whose curvature is greatest at 0."""

    noise: eqx.AbstractVar[Number]

    def __check_init__(self) -> None:
        checks.number("noise", self.noise, positive=True)

    def residual(self, z: Scalar, y: Observation) -> Scalar:
        """r."""
        return (z - y.astype(z.dtype)) / jnp.asarray(self.noise, z.dtype)

    def draw(self, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return z + np.asarray(self.noise) * self.draw_noise(rng, z.shape)

    @abstractmethod
    def draw_noise(
        self, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> np.ndarray:
        """Return draws of -r."""

    def check_targets(self, targets: Targets, output_shape: Shape = ()) -> None:
        check_scalar(self, output_shape)
        super().check_targets(targets)


class Gaussian(Residual):
    """Normal noise: `r^2 / 2`, `r = (z - y) / noise`.

    Args:
        noise: s > 0, its standard deviation.

    Raises:
        ValueError: noise that is not finite and > 0.

    Example:
        >>> import jax.numpy as jnp
        >>> from langevax import likelihoods
        >>> gaussian = likelihoods.Gaussian(noise=0.5)
        >>> float(gaussian(jnp.asarray(1.0), jnp.asarray(0.0))), gaussian.curvature
        (2.0, 4.0)
    """

    noise: Number

    def __call__(self, z: Scalar, y: Observation) -> Scalar:
        return self.residual(z, y) ** 2 / 2

    def draw_noise(
        self, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> np.ndarray:
        return rng.normal(size=shape)

    @property
    def curvature(self) -> Number:
        return 1 / self.noise**2


class StudentT(Residual):
    """Noise with heavy tails: `(nu + 1) / 2 log(1 + r^2 / nu)`, `r = (z - y) / noise`; not convex in z.

    An observation far off has the derivative (nu + 1) / r, the smaller the farther it is: gross outliers are ignored.
    Curvature is (nu + 1) / (nu s^2) at r = 0 and negative beyond r = sqrt(nu), down to an eighth of that.

    Args:
        noise: s > 0, the scale of the bulk; the standard deviation is s sqrt(nu / (nu - 2)).
        degrees: nu > 0, degrees of freedom: the fewer, the heavier the tails.

    Raises:
        ValueError: noise or degrees that are not finite and > 0.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from langevax import likelihoods
        >>> derivative = jax.grad(likelihoods.StudentT(noise=1.0))
        >>> [round(float(derivative(jnp.asarray(z), jnp.asarray(0.0))), 2) for z in (1.0, 2.0, 100.0)]
        [1.0, 1.25, 0.05]
    """

    noise: Number
    degrees: Number = 4.0

    def __check_init__(self) -> None:
        checks.number("degrees", self.degrees, positive=True)

    def __call__(self, z: Scalar, y: Observation) -> Scalar:
        nu = jnp.asarray(self.degrees, z.dtype)
        return (nu + 1) / 2 * jnp.log1p(self.residual(z, y) ** 2 / nu)

    def draw_noise(
        self, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> np.ndarray:
        return rng.standard_t(self.degrees, size=shape)

    @property
    def curvature(self) -> Number:
        return (self.degrees + 1) / (self.degrees * self.noise**2)


class Huber(Residual):
    """Normal noise with exponential tails: `r^2 / 2` up to `|r| = k`, then `k |r| - k^2 / 2`; convex.

    No observation has a derivative of more than k / s. It is the least favourable density near a normal law (Huber,
    Annals of Mathematical Statistics 1964).

    Args:
        noise: s > 0, the standard deviation of the bulk.
        threshold: k > 0, in units of the noise; 1.345 keeps 95 % efficiency where the noise is normal after all.

    Raises:
        ValueError: noise or threshold that are not finite and > 0.

    Example:
        >>> import jax.numpy as jnp
        >>> from langevax import likelihoods
        >>> huber = likelihoods.Huber(noise=1.0, threshold=1.0)
        >>> [float(huber(jnp.asarray(z), jnp.asarray(0.0))) for z in (1.0, 3.0)]
        [0.5, 2.5]
    """

    noise: Number
    threshold: Number = 1.345

    def __check_init__(self) -> None:
        checks.number("threshold", self.threshold, positive=True)

    def __call__(self, z: Scalar, y: Observation) -> Scalar:
        k = jnp.asarray(self.threshold, z.dtype)
        r = self.residual(z, y)
        inner = jnp.clip(r, -k, k)
        return inner * (r - inner / 2)

    def draw_noise(
        self, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> np.ndarray:
        # density e^{-r^2/2} within k and e^{k^2/2 - k|r|} beyond: truncated normal draws, or exponential ones beyond
        k = float(self.threshold)
        share = 1 - 2 * ndtr(-k)
        inside = np.sqrt(2 * np.pi) * share
        beyond = 2 * np.exp(-(k**2) / 2) / k
        signs = rng.choice([-1.0, 1.0], size=shape)
        tails = (k + rng.exponential(1 / k, size=shape)) * signs
        core = ndtri(ndtr(-k) + rng.uniform(size=shape) * share)
        is_beyond = rng.uniform(size=shape) < beyond / (inside + beyond)
        return np.where(is_beyond, tails, core)

    @property
    def curvature(self) -> Number:
        return 1 / self.noise**2


class LinearPredictor(eqx.Module):
    """The loss of a function that is linear in its coefficients x: `likelihood(<phi(row), x>, y)`.

    Given to `FiniteSum` with data `(Phi, y)`, Phi (n, N) with rows phi, such as `GaussianPrior.features`: positions are
    (N,), or (N, C) for C functions at once (Muzellec et al., COLT 2022, section 4).

    Args:
        likelihood: one of `langevax.likelihoods`; of classes `langevax.losses.logistic` or `langevax.losses.softmax`.

    Example:
        >>> import jax.numpy as jnp, langevax
        >>> from langevax.problems.likelihoods import Gaussian, LinearPredictor
        >>> Phi, y = jnp.eye(2), jnp.array([1.0, 3.0])
        >>> problem = langevax.FiniteSum(LinearPredictor(Gaussian(noise=1.0)), (Phi, y))
        >>> problem.gradient(jnp.zeros(2))
        Array([-0.5, -1.5], dtype=float32)
    """

    likelihood: Loss

    def __check_init__(self) -> None:
        checks.instance(
            "likelihood",
            self.likelihood,
            Loss,
            "langevax.likelihoods.Gaussian(0.1)",
        )

    def __call__(
        self, position: Float[Array, "modes *outputs"], example: tuple[Array, Array]
    ) -> Scalar:
        features, target = example
        return self.likelihood(features.astype(position.dtype) @ position, target)


__all__ = [
    "Gaussian",
    "Huber",
    "Likelihood",
    "LinearPredictor",
    "Residual",
    "StudentT",
]
__dir__: object = __all__.copy
__getattr__ = renamed.getattr_of("langevax.likelihoods")
