"""The loss that a frozen dual leaves: linear in the output, so that neurons no longer see each other."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool

from langevax import checks
from langevax.problems.losses.loss import Loss, Output, Scalar, Target, check_rows


class Linear(Loss):
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
        return jnp.where(self.in_domain(dual, y), jnp.zeros((), dual.dtype), jnp.inf)

    def in_domain(self, dual: Output, y: Target) -> Bool[Array, ""]:
        return jnp.all(dual == y.astype(dual.dtype))

    def project(self, dual: Output, y: Target) -> Output:
        return y.astype(dual.dtype)

    def dual_step(self, z: Output, dual: Output, y: Target, c: float | Scalar) -> Output:
        return y.astype(z.dtype)

    def fenchel_young(self, z: Output, dual: Output, y: Target) -> Scalar:
        return self.conjugate(dual, y)

    def check_targets(self, targets: Any, output_shape: tuple[int, ...]) -> None:
        check_rows(self, targets, output_shape, "numbers; cast targets to float")
        checks.finite("targets", targets, remedy="Linear needs a finite dual; pass one of a finite network")
