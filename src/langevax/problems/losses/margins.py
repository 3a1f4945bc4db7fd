"""Losses of the margin m = y z of two classes, y = -1 or +1: the logistic loss and the smoothed hinge."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import entr
from scipy.special import expit

from langevax import checks
from langevax.problems.losses.loss import (
    Domain,
    Label,
    Loss,
    Scalar,
    Shape,
    Targets,
    check_rows,
    check_scalar,
    domain_slack,
)
from langevax.problems.losses.special import relative_entropy, wright_omega

LOGISTIC_STEPS = 5
"""Newton steps; the start is close enough that these reach rounding in float64 (the tests hold it)."""


class MarginLoss(Loss):
    """A loss of the margin m = y z with y = -1 or +1; its feasible duals are g = -y s with s in [0, 1]."""

    def in_domain(self, dual: Scalar, y: Label) -> Domain:
        share = _share(dual, y)
        slack = domain_slack(dual)
        return (share >= -slack) & (share <= 1 + slack)

    def project(self, dual: Scalar, y: Label) -> Scalar:
        return _dual(_clipped_share(dual, y), y)

    def check_targets(self, targets: Targets, output_shape: Shape = ()) -> None:
        check_scalar(self, output_shape)
        rows = check_rows(
            self,
            targets,
            (),
            "labels -1 and +1; map 0/1 or False/True with 2.0 * y - 1.0",
        )
        wrong = rows[np.abs(rows) != 1]
        if wrong.size:
            raise ValueError(
                f"{type(self).__name__} needs targets -1 or +1, found {wrong[0]}; map "
                "0/1 with 2*y-1, drop missing rows."
            )


class Logistic(MarginLoss):
    """The logistic loss l = log(1 + exp(-y z)), with l*(g) = s log s + (1 - s) log(1 - s), s = -y g in [0, 1].

    The gap is the relative entropy of Bernoulli(s) to Bernoulli(sigmoid(-y z)).

    >>> import jax.numpy as jnp
    >>> from langevax import losses
    >>> z, y = jnp.asarray(0.0), jnp.asarray(1.0)
    >>> float(losses.logistic.derivative(z, y)), float(losses.logistic.conjugate(jnp.asarray(-1.0), y))
    (-0.5, 0.0)
    """

    def __call__(self, z: Scalar, y: Label) -> Scalar:
        return jax.nn.softplus(-_margin(z, y))

    @staticmethod
    def probabilities(z: np.ndarray) -> np.ndarray:
        """Return (..., 2): those of -1 and +1, in NumPy, of outputs that are log odds."""
        return np.stack([expit(-z), expit(z)], axis=-1)

    def derivative(self, z: Scalar, y: Label) -> Scalar:
        return _dual(jax.nn.sigmoid(-_margin(z, y)), y)

    @property
    def curvature(self) -> float:
        return 0.25

    def local_curvature(self, z: Scalar, y: Label) -> Scalar:
        p = jax.nn.sigmoid(jnp.maximum(_margin(z, y), 0.0))
        return p * (1 - p)

    def conjugate(self, dual: Scalar, y: Label) -> Scalar:
        s = _clipped_share(dual, y)
        return self.infinite_outside(-entr(s) - entr(1 - s), dual, y)

    def dual_step(
        self,
        z: Scalar,
        dual: Scalar,
        y: Label,
        c: float | Scalar,
    ) -> Scalar:
        c = jnp.asarray(c, z.dtype)
        # The new share is sigmoid(u) where u + c sigmoid(u) = b. Reflecting (u, b) to (-u, c - b) puts the root
        # at u <= 0, where the left side is convex and lies between u + c e^u / 2 and u + c e^u, whose root is
        # known: that start is less than log 2 below, Newton crosses once and then descends.
        b = c * _share(dual, y) - _margin(z, y)
        reflected = b > c / 2
        b = jnp.where(reflected, c - b, b)
        u = b - wright_omega(b + jnp.log(c))
        for _ in range(LOGISTIC_STEPS):
            p = jax.nn.sigmoid(u)
            newton = (u + c * p - b) / (1 + c * p * (1 - p))
            u = jnp.clip(u - newton, b - c, jnp.minimum(b, 0.0))
        u = jnp.where(reflected, -u, u)
        return _dual(jax.nn.sigmoid(u), y)

    def fenchel_young(
        self,
        z: Scalar,
        dual: Scalar,
        y: Label,
    ) -> Scalar:
        m = _margin(z, y)
        s = _clipped_share(dual, y)
        # The rarer of the two outcomes comes first: its probability, and s - p, keep all their digits.
        m, s, rest = (
            jnp.where(m >= 0, m, -m),
            jnp.where(m >= 0, s, 1 - s),
            jnp.where(m >= 0, 1 - s, s),
        )
        p = jax.nn.sigmoid(-m)
        q = jax.nn.sigmoid(m)
        gap = relative_entropy(s, p, -jax.nn.softplus(m), s - p)
        gap += relative_entropy(rest, q, -jax.nn.softplus(-m), p - s)
        return self.infinite_outside(gap, dual, y)


class SmoothedHinge(MarginLoss):
    """The hinge loss max(0, 1 - m) with its corner m = y z = 1 rounded over `width` (mu).

    With r = 1 - m and k = clip(r, 0, mu): l = k (r - k/2) / mu, that is 0, r^2 / (2 mu) and r - mu/2 in turn;
    l*(g) = -s + mu s^2 / 2, s = -y g in [0, 1]; the coordinate update is s' = clip((r + c s) / (mu + c), 0, 1).

    >>> import jax.numpy as jnp
    >>> from langevax import losses
    >>> z, y = jnp.asarray(0.5), jnp.asarray(1.0)
    >>> float(losses.SmoothedHinge(width=1.0)(z, y)), float(losses.smoothed_hinge.derivative(z, y))
    (0.125, -0.5)
    """

    width: float | Scalar = 1.0

    def __check_init__(self) -> None:
        checks.number("width", self.width, positive=True)

    def __call__(self, z: Scalar, y: Label) -> Scalar:
        width = jnp.asarray(self.width, z.dtype)
        r = 1 - _margin(z, y)
        k = jnp.clip(r, 0.0, width)
        return k * (r - k / 2) / width

    def derivative(self, z: Scalar, y: Label) -> Scalar:
        s = (1 - _margin(z, y)) / jnp.asarray(self.width, z.dtype)
        return _dual(jnp.clip(s, 0.0, 1.0), y)

    @property
    def curvature(self) -> float | Scalar:
        return 1.0 / self.width

    def local_curvature(self, z: Scalar, y: Label) -> Scalar:
        curvature = 1 / jnp.asarray(self.width, z.dtype)
        return jnp.where(_margin(z, y) < 1, curvature, 0.0)

    def conjugate(self, dual: Scalar, y: Label) -> Scalar:
        s = _clipped_share(dual, y)
        width = jnp.asarray(self.width, s.dtype)
        return self.infinite_outside(s * (width * s / 2 - 1), dual, y)

    def dual_step(
        self,
        z: Scalar,
        dual: Scalar,
        y: Label,
        c: float | Scalar,
    ) -> Scalar:
        c = jnp.asarray(c, z.dtype)
        width = jnp.asarray(self.width, z.dtype)
        s = (1 - _margin(z, y) + c * _share(dual, y)) / (width + c)
        return _dual(jnp.clip(s, 0.0, 1.0), y)

    def fenchel_young(
        self,
        z: Scalar,
        dual: Scalar,
        y: Label,
    ) -> Scalar:
        width = jnp.asarray(self.width, z.dtype)
        r = 1 - _margin(z, y)
        short = jnp.clip(r / width, 0.0, 1.0) - _clipped_share(dual, y)
        # The excess of r over [0, mu] is zero on the quadratic piece and has the sign of `short` outside: both
        # terms are >= 0, but for the rounding of a width that divides inexactly.
        gap = width * short**2 / 2 + short * (r - jnp.clip(r, 0.0, width))
        return self.infinite_outside(jnp.maximum(gap, 0.0), dual, y)


def _clipped_share(dual: Scalar, y: Label) -> Scalar:
    return jnp.clip(_share(dual, y), 0.0, 1.0)


def _margin(z: Scalar, y: Label) -> Scalar:
    return y.astype(z.dtype) * z


def _share(dual: Scalar, y: Label) -> Scalar:
    return -y.astype(dual.dtype) * dual


_dual = _share  # its own inverse
