"""The logarithmic score of a mixture: the loss of predictive laws, whose neuron is a likelihood."""

import jax.numpy as jnp

from langevax import checks
from langevax.problems.losses.loss import (
    Domain,
    Example,
    Loss,
    Scalar,
    Shape,
    Targets,
    check_rows,
    check_scalar,
)
from langevax.problems.losses.special import relative_entropy


class LogScore(Loss):
    """The score l = -w log z of a mixture z = E_q p(x_i | theta) > 0, with l*(g) = -w (1 + log(-g / w)) for g < 0.

    With the likelihood of a row as the neuron and temperature 1 / n, the least objective of a `MeanFieldRisk` is that
    of `langevax.predictive` at a share of 0 of Bayes; 1 - a is the weight w at a share of a. Targets are not read: pass
    zeros. The mean of positive numbers is 0 by rounding only, so that outputs from 0 to the smallest normal number
    count as that number; a negative output has an infinite loss.

    With r = -g z / w the gap is w (r - 1 - log r). The coordinate update is the negative root u of
    c u^2 - (z + c g) u = w. l'' = w / z^2 has no bound, so that step sizes relative to one are refused.

    >>> import jax.numpy as jnp
    >>> from langevax import losses
    >>> z, y = jnp.asarray(0.5), jnp.asarray(0.0)
    >>> float(losses.log_score.derivative(z, y)), float(losses.log_score.conjugate(jnp.asarray(-1.0), y))
    (-2.0, -1.0)
    """

    weight: float | Scalar = 1.0

    def __check_init__(self) -> None:
        checks.number("weight", self.weight, positive=True)

    def __call__(self, z: Scalar, y: Example) -> Scalar:
        score = -self._weight(z) * jnp.log(_floored(z))
        return jnp.where(z < 0, jnp.inf, score)

    def derivative(self, z: Scalar, y: Example) -> Scalar:
        return self.project(-self._weight(z) / _floored(z), y)

    @property
    def curvature(self) -> float:
        return float("inf")

    def local_curvature(self, z: Scalar, y: Example) -> Scalar:
        return self._weight(z) / _floored(z) / _floored(z)

    def conjugate(self, dual: Scalar, y: Example) -> Scalar:
        weight = self._weight(dual)
        negative = dual < 0
        log_share = jnp.log(jnp.where(negative, -dual, 1.0)) - jnp.log(weight)
        return jnp.where(negative, -weight * (1 + log_share), jnp.inf)

    def in_domain(self, dual: Scalar, y: Example) -> Domain:
        return dual < 0

    def project(self, dual: Scalar, y: Example) -> Scalar:
        """The nearest feasible dual, to rounding: the domain is open."""
        limits = jnp.finfo(dual.dtype)
        return jnp.clip(dual, -limits.max, -limits.tiny)

    def dual_step(
        self,
        z: Scalar,
        dual: Scalar,
        y: Example,
        c: float | Scalar,
    ) -> Scalar:
        c = jnp.asarray(c, z.dtype)
        weight = self._weight(z)
        slope = z + c * dual
        root = jnp.hypot(slope, 2 * jnp.sqrt(c * weight))
        # of the two forms of the root the one that does not cancel; slope < 0 asks for c > 0
        rising = -2 * weight / _floored(slope + root)
        falling = (slope - root) / jnp.where(c > 0, 2 * c, 1.0)
        return self.project(jnp.where(slope < 0, falling, rising), y)

    def fenchel_young(
        self,
        z: Scalar,
        dual: Scalar,
        y: Example,
    ) -> Scalar:
        weight = self._weight(z)
        inside = (z >= 0) & (dual < 0)
        output = jnp.where(inside, _floored(z), 1.0)
        share = jnp.where(inside, -dual, weight) / weight
        ratio = jnp.minimum(output * share, jnp.finfo(z.dtype).max)
        gap = weight * relative_entropy(
            jnp.ones_like(z), ratio, jnp.log(output) + jnp.log(share), 1 - ratio
        )
        gap = jnp.where(inside, gap, jnp.nan)
        return jnp.where((z < 0) | (dual >= 0), jnp.inf, gap)

    def check_targets(self, targets: Targets, output_shape: Shape = ()) -> None:
        check_scalar(self, output_shape)
        check_rows(self, targets, (), "numbers, which it does not read; pass zeros")

    def _weight(self, z: Scalar) -> Scalar:
        return jnp.asarray(self.weight, z.dtype)


def _floored(z: Scalar) -> Scalar:
    return jnp.maximum(z, jnp.finfo(z.dtype).tiny)
