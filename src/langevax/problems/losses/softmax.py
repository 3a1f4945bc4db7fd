"""Cross-entropy of several classes."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import entr, logsumexp
from jaxtyping import Array, Bool, Integer
from scipy.special import softmax

from langevax.problems.losses.loss import (
    Class,
    Domain,
    Loss,
    Scalar,
    Shape,
    Targets,
    Vector,
    check_rows,
    domain_slack,
)
from langevax.problems.losses.special import relative_entropy, wright_omega

SOFTMAX_STEPS = 16
"""Newton steps; the start is close enough that these reach rounding in float64 (the tests hold it)."""


class Softmax(Loss):
    """Cross-entropy of C classes: l = logsumexp(z) - z_y, l*(g) = sum_k s_k log s_k, s = g + e_y in the simplex.

    `y` is an integer label in [0, C). The gap is the relative entropy of s to softmax(z).

    `project` clips s at 0 and divides by its sum: feasible, and exact to first order for the rounding it is
    there to undo, but not the nearest point of the simplex.

    >>> import jax.numpy as jnp
    >>> from langevax import losses
    >>> z, y = jnp.zeros(4), jnp.asarray(1)
    >>> print(losses.softmax.derivative(z, y))
    [ 0.25 -0.75  0.25  0.25]
    """

    def __call__(self, z: Vector, y: Class) -> Scalar:
        # log(1 + sum of the others' odds): keeps its digits where the label is all but certain.
        is_label = _is_label(z, y)
        others = logsumexp(jnp.where(is_label, -jnp.inf, z))
        own = jnp.sum(jnp.where(is_label, z, 0.0))
        return jax.nn.softplus(others - own)

    @staticmethod
    def probabilities(z: np.ndarray) -> np.ndarray:
        """Return (..., C) of outputs (..., C), in NumPy."""
        return softmax(z, axis=-1)

    def derivative(self, z: Vector, y: Class) -> Vector:
        return _off_simplex(jax.nn.softmax(z), y)

    @property
    def curvature(self) -> float:
        return 0.5

    def local_curvature(self, z: Vector, y: Class) -> Vector:
        least = jnp.where(_is_label(z, y), 0.5, 0.0)
        p = jnp.maximum(jax.nn.softmax(z), least)
        return 2 * p * (1 - p)  # l'' = diag(p) - p p^T

    def conjugate(self, dual: Vector, y: Class) -> Scalar:
        s = jnp.clip(_on_simplex(dual, y), 0.0, 1.0)
        return self.infinite_outside(-jnp.sum(entr(s)), dual, y)

    def in_domain(self, dual: Vector, y: Class) -> Domain:
        slack = domain_slack(dual)
        return jnp.all(_on_simplex(dual, y) >= -slack) & (
            jnp.abs(jnp.sum(dual)) <= slack
        )

    def project(self, dual: Vector, y: Class) -> Vector:
        s = jnp.maximum(_on_simplex(dual, y), 0.0)
        total = jnp.sum(s)
        shares = s / jnp.where(total > 0, total, 1.0)
        return _off_simplex(jnp.where(total > 0, shares, 1 / s.size), y)

    def dual_step(
        self,
        z: Vector,
        dual: Vector,
        y: Class,
        c: float | Scalar,
    ) -> Vector:
        c = jnp.asarray(c, z.dtype)
        a = z + c * _on_simplex(dual, y)
        a = a - jnp.max(a)  # the multiplier absorbs any shift
        # log s_k + c s_k = a_k - nu, hence nu = logsumexp(a - c s) and the first bounds; at the last one no s_k
        # exceeds 1/C. The sum of s(nu) is convex and falling: Newton from the lower bound rises to the root.
        lower = logsumexp(a) - c
        even = float(np.log(a.size)) - c / a.size
        upper = jnp.minimum(logsumexp(a), even)

        def newton(_: Integer[Array, ""], nu: Scalar) -> Scalar:
            s = _share_at(a - nu, c)
            slope = jnp.sum(s / (1 + c * s))
            return jnp.clip(nu + (jnp.sum(s) - 1) / slope, lower, upper)

        nu = jax.lax.fori_loop(0, SOFTMAX_STEPS, newton, lower)
        return _off_simplex(_share_at(a - nu, c), y)

    def fenchel_young(
        self,
        z: Vector,
        dual: Vector,
        y: Class,
    ) -> Scalar:
        s = jnp.clip(_on_simplex(dual, y), 0.0, 1.0)
        p = jax.nn.softmax(z)
        # s - p keeps its digits where p is small, the difference of the complements where the label's is not.
        difference = jnp.where(p > 0.5, dual - self.derivative(z, y), s - p)
        terms = relative_entropy(s, p, jax.nn.log_softmax(z), difference)
        return self.infinite_outside(jnp.sum(terms), dual, y)

    def check_targets(self, targets: Targets, output_shape: Shape = ()) -> None:
        if len(output_shape) != 1:
            raise ValueError(
                f"Softmax needs outputs of shape (C,), got {tuple(output_shape)}; use "
                "a neuron with num_outputs=C or coefficients (N, C), or "
                "losses.logistic for two classes."
            )
        rows = check_rows(
            self,
            targets,
            (),
            "integer labels in [0, C); number the classes from 0",
            jnp.integer,
        )
        wrong = rows[(rows < 0) | (rows >= output_shape[0])]
        if wrong.size:
            remedy = "number the classes from 0, or raise num_outputs"
            raise ValueError(
                f"Softmax needs labels in [0, {output_shape[0]}), found {wrong[0]}; "
                f"{remedy}."
            )


def _is_label(z: Vector, y: Class) -> Bool[Array, " classes"]:
    return jnp.arange(z.size, dtype=jnp.int32) == y.astype(jnp.int32)


def _on_simplex(dual: Vector, y: Class) -> Vector:
    return jnp.where(_is_label(dual, y), 1 + dual, dual)


def _off_simplex(s: Vector, y: Class) -> Vector:
    """s - e_y, the label's entry from the others: a nearly certain label keeps its digits, entries sum to zero."""
    is_label = _is_label(s, y)
    others = jnp.where(is_label, 0.0, s)
    return jnp.where(is_label, -jnp.sum(others), s)


def _share_at(x: Vector, c: Scalar) -> Vector:
    """The s with log(s) + c s = x; the quotient serves where e^(x - c s) would cancel, the power where c is tiny."""
    omega = wright_omega(x + jnp.log(c))
    large = omega > 1
    return jnp.where(
        large,
        omega / jnp.where(large, c, 1.0),
        jnp.exp(jnp.where(large, 0.0, x - omega)),
    )
