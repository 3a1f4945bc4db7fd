"""Losses whose derivative is linear in the output, or constant: the squared and the linear loss."""

import jax.numpy as jnp

from langevax.problems.losses.loss import (
    Domain,
    Loss,
    Output,
    Scalar,
    Target,
)


class Squared(Loss):
    """Half the squared residual, summed over outputs: l = |z - y|^2 / 2, l*(g) = |g|^2 / 2 + <g, y> on all of R^C.

    The gap is |z - y - g|^2 / 2 and the coordinate update (z + c g - y) / (1 + c).

    >>> import jax.numpy as jnp
    >>> from langevax import losses
    >>> z, y = jnp.asarray(3.0), jnp.asarray(1.0)
    >>> float(losses.squared(z, y)), float(losses.squared.fenchel_young(z, losses.squared.derivative(z, y), y))
    (2.0, 0.0)
    """

    def __call__(self, z: Output, y: Target) -> Scalar:
        return jnp.sum(self.derivative(z, y) ** 2) / 2

    def derivative(self, z: Output, y: Target) -> Output:
        return z - y.astype(z.dtype)

    @property
    def curvature(self) -> float:
        return 1.0

    def conjugate(self, dual: Output, y: Target) -> Scalar:
        return jnp.sum(dual * (dual / 2 + y.astype(dual.dtype)))

    def in_domain(self, dual: Output, y: Target) -> Domain:
        return jnp.all(jnp.isfinite(dual))

    def project(self, dual: Output, y: Target) -> Output:
        return dual

    def dual_step(
        self,
        z: Output,
        dual: Output,
        y: Target,
        c: float | Scalar,
    ) -> Output:
        c = jnp.asarray(c, z.dtype)
        return (self.derivative(z, y) + c * dual) / (1 + c)

    def fenchel_young(
        self,
        z: Output,
        dual: Output,
        y: Target,
    ) -> Scalar:
        return jnp.sum((self.derivative(z, y) - dual) ** 2) / 2


class LinearLoss(Loss):
    """l = <y, z>, whose derivative is y whatever z: the risk with its dual frozen at the targets.

    Its conjugate is 0 at g = y and infinite elsewhere, so every dual question has the answer y.

    >>> import jax.numpy as jnp
    >>> from langevax import losses
    >>> print(losses.linear.derivative(jnp.asarray(5.0), jnp.asarray(-0.25)))
    -0.25
    """

    def __call__(self, z: Output, y: Target) -> Scalar:
        return jnp.sum(y.astype(z.dtype) * z)

    def derivative(self, z: Output, y: Target) -> Output:
        return y.astype(z.dtype)

    @property
    def curvature(self) -> float:
        return 0.0

    def conjugate(self, dual: Output, y: Target) -> Scalar:
        return self.infinite_outside(jnp.zeros((), dual.dtype), dual, y)

    def in_domain(self, dual: Output, y: Target) -> Domain:
        return jnp.all(dual == y.astype(dual.dtype))

    def project(self, dual: Output, y: Target) -> Output:
        return y.astype(dual.dtype)

    def dual_step(
        self,
        z: Output,
        dual: Output,
        y: Target,
        c: float | Scalar,
    ) -> Output:
        return y.astype(z.dtype)

    def fenchel_young(
        self,
        z: Output,
        dual: Output,
        y: Target,
    ) -> Scalar:
        return self.conjugate(dual, y)
