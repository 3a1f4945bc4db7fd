"""Negative log-likelihoods of one observation, given the value of the unknown function there.

Terms that do not depend on the function are left out: -log sqrt(2 pi s^2) of a normal law, and the like. They change
neither a posterior nor its gradient, but values with different noises cannot be compared.

`LinearPredictor` turns one into the loss of a `FiniteSum`, where the function is linear in its coefficients.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from langevax import checks
from langevax.problems.losses import logistic, softmax
from langevax.problems.losses.loss import Shape, Targets
from langevax.problems.problem import Number, Scalar

Value = Float[Array, "*outputs"]
Observation = Num[Array, ""]


class Likelihood(eqx.Module):
    """`likelihood(z, y) = -log p(y | function value z)`, up to a constant; two are equal if their numbers are."""

    @abstractmethod
    def __call__(self, z: Value, y: Observation) -> Scalar:
        """At one observation."""

    @property
    @abstractmethod
    def curvature(self) -> Number:
        """Upper bound of |second derivative in z| (of the largest eigenvalue, for several outputs)."""

    @abstractmethod
    def check_targets(self, targets: Targets, output_shape: Shape = ()) -> None:
        """Raise ValueError or TypeError unless `targets` (n,) can be observed of function values of that shape.

        Values are checked, unless they are traced.
        """


class Residual(Likelihood):
    """A function of the residual in units of the noise, `r = (z - y) / noise`, whose curvature is greatest at 0."""

    noise: eqx.AbstractVar[Number]

    def __check_init__(self) -> None:
        checks.number("noise", self.noise, positive=True)

    def residual(self, z: Scalar, y: Observation) -> Scalar:
        """r."""
        return (z - y.astype(z.dtype)) / jnp.asarray(self.noise, z.dtype)

    def check_targets(self, targets: Targets, output_shape: Shape = ()) -> None:
        name = type(self).__name__
        _check_shapes(name, targets, output_shape, ())
        if not (
            jnp.issubdtype(targets.dtype, jnp.floating)
            or jnp.issubdtype(targets.dtype, jnp.integer)
        ):
            raise TypeError(
                f"targets have dtype {targets.dtype}, but {name} needs numbers; cast targets to float."
            )
        checks.finite(
            "targets",
            targets,
            remedy=f"{name} needs finite targets; drop or impute those rows",
        )


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

    @property
    def curvature(self) -> Number:
        return 1 / self.noise**2


class Quantile(Residual):
    """A working likelihood of a quantile: `w log(1 + e^(r / w)) - level r`, `r = (z - y) / noise`; convex.

    The check loss of quantile regression, rounded over a width w around r = 0 (smoothed quantile regression: He, Pan,
    Tan and Zhou, Journal of Econometrics 2023), so that it has a curvature: 1 / (4 w s^2) at most. An observation above
    z pulls with level / s, one below with (1 - level) / s. As a density of y it is proper, with the normalising
    constant `s w B(w level, w (1 - level))` of a Beta function, and for w -> 0 an asymmetric Laplace density.
    Observations need not have this density: bands of its posterior are not calibrated frequentist bands (Yang, Wang and
    He, International Statistical Review 2016).

    Args:
        noise: s > 0, in the units of the targets: about the mean check loss of the residuals.
        level: the share of observations below the quantile, between 0 and 1.
        width: w > 0, in units of the noise; the wider, the faster chains move, and the further the quantile is from its
            level.

    Raises:
        ValueError: noise or width that are not finite and > 0; a level outside (0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from langevax import likelihoods
        >>> derivative = jax.grad(likelihoods.Quantile(noise=1.0, level=0.9))
        >>> [round(float(derivative(jnp.asarray(z), jnp.asarray(0.0))), 2) for z in (-10.0, 10.0)]
        [-0.9, 0.1]
    """

    noise: Number
    level: Number
    width: Number = 0.25

    def __check_init__(self) -> None:
        checks.number("level", self.level, positive=True)
        if checks.is_concrete(self.level) and not float(self.level) < 1:
            raise ValueError(
                f"level must lie between 0 and 1, got {self.level}; 0.9 is the 90 % quantile."
            )
        checks.number("width", self.width, positive=True)

    def __call__(self, z: Scalar, y: Observation) -> Scalar:
        level = jnp.asarray(self.level, z.dtype)
        w = jnp.asarray(self.width, z.dtype)
        r = self.residual(z, y)
        return w * jax.nn.softplus(r / w) - level * r

    @property
    def curvature(self) -> Number:
        return 1 / (4 * self.width * self.noise**2)


class Bernoulli(Likelihood):
    """Two classes, y = -1 or +1, with the function as log odds: `-log sigmoid(y z)`.

    Example:
        >>> import jax.numpy as jnp
        >>> from langevax import likelihoods
        >>> round(float(likelihoods.Bernoulli()(jnp.asarray(0.0), jnp.asarray(1.0))), 4)
        0.6931
    """

    def __call__(self, z: Scalar, y: Observation) -> Scalar:
        return logistic(z, y)

    @property
    def curvature(self) -> float:
        return logistic.curvature

    def check_targets(self, targets: Targets, output_shape: Shape = ()) -> None:
        _check_shapes("Bernoulli", targets, output_shape, ())
        rows = np.asarray(targets) if checks.is_concrete(targets) else np.empty(0)
        wrong = rows[np.abs(rows) != 1] if rows.dtype != bool else rows
        if wrong.size:
            raise ValueError(
                f"Bernoulli needs targets -1 or +1, found {wrong[0]}; map 0/1 with 2.0 * y - 1.0."
            )


class Categorical(Likelihood):
    """C classes, y in 0, ..., C-1, with C functions as unnormalised log probabilities: `-log softmax(z)_y`.

    A function added to all C of them changes nothing: of it the posterior is the prior.

    Example:
        >>> import jax.numpy as jnp
        >>> from langevax import likelihoods
        >>> round(float(likelihoods.Categorical()(jnp.zeros(4), jnp.asarray(1))), 4)  # log 4
        1.3863
    """

    def __call__(self, z: Value, y: Observation) -> Scalar:
        return softmax(z, y)

    @property
    def curvature(self) -> float:
        return softmax.curvature

    def check_targets(self, targets: Targets, output_shape: Shape = ()) -> None:
        if len(output_shape) != 1:
            raise ValueError(
                f"Categorical needs function values of shape (C,), got {output_shape}; pass coefficients of shape "
                "(N, C), or use Bernoulli for two classes."
            )
        _check_shapes("Categorical", targets, output_shape, output_shape)
        if not jnp.issubdtype(targets.dtype, jnp.integer):
            raise TypeError(
                f"targets have dtype {targets.dtype}, but Categorical needs integers 0, ..., C-1."
            )
        rows = np.asarray(targets) if checks.is_concrete(targets) else np.empty(0)
        wrong = rows[(rows < 0) | (rows >= output_shape[0])]
        if wrong.size:
            raise ValueError(
                f"Categorical needs labels in [0, {output_shape[0]}), found {wrong[0]}; number from 0."
            )


class LinearPredictor(eqx.Module):
    """The loss of a function that is linear in its coefficients x: `likelihood(<phi(row), x>, y)`.

    Given to `FiniteSum` with data `(Phi, y)`, Phi (n, N) with rows phi, such as `GaussianPrior.features`: positions are
    (N,), or (N, C) for C functions at once (Muzellec et al., COLT 2022, section 4).

    Args:
        likelihood: one of `langevax.likelihoods`.

    Example:
        >>> import jax.numpy as jnp, langevax
        >>> from langevax.problems.likelihoods import Gaussian, LinearPredictor
        >>> Phi, y = jnp.eye(2), jnp.array([1.0, 3.0])
        >>> problem = langevax.FiniteSum(LinearPredictor(Gaussian(noise=1.0)), (Phi, y))
        >>> problem.gradient(jnp.zeros(2))
        Array([-0.5, -1.5], dtype=float32)
    """

    likelihood: Likelihood

    def __check_init__(self) -> None:
        checks.instance(
            "likelihood",
            self.likelihood,
            Likelihood,
            "langevax.likelihoods.Gaussian(0.1)",
        )

    def __call__(
        self, position: Float[Array, "modes *outputs"], example: tuple[Array, Array]
    ) -> Scalar:
        features, target = example
        return self.likelihood(features.astype(position.dtype) @ position, target)


def _check_shapes(
    name: str, targets: Targets, output_shape: Shape, expected: Shape
) -> None:
    if tuple(output_shape) != expected:
        shape = tuple(output_shape)
        raise ValueError(
            f"{name} needs function values of shape {expected}, got {shape}; pass coefficients (N,)."
        )
    if len(targets.shape) != 1:
        raise ValueError(
            f"targets of {name} must have shape (n,), got {tuple(targets.shape)}; pass one per row."
        )


__all__ = [
    "Bernoulli",
    "Categorical",
    "Gaussian",
    "Huber",
    "Likelihood",
    "LinearPredictor",
    "Quantile",
    "Residual",
    "StudentT",
]
__dir__ = __all__.copy
