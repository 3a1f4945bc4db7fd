"""The interface of losses, and what their files share: types of outputs and targets, and checks of these."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Num

from langevax import checks
from langevax._typing import FloatScalar
from langevax.problems.problem import Number

Scalar = FloatScalar
Output = Float[Array, "*outputs"]
Vector = Float[Array, " classes"]
Example = Num[Array, "..."]  # a target: one of the three below
Target = Num[Array, "*outputs"]
Label = Num[Array, ""]  # -1 or +1
Class = Integer[Array, ""]  # 0, ..., C-1
Domain = Bool[Array, ""]
Shape = tuple[int, ...]
Targets = Array | np.ndarray

# A dual that was averaged or stored leaves its closed domain by rounding only: so many units are forgiven.
DOMAIN_SLACK_ULPS = 64


class Loss(eqx.Module):
    """A loss l(z; y) of one example's output and its derivatives in z; of a dual method's loss its conjugate, too.

    A custom loss defines `__call__` and `curvature`, which suffice to train networks and to build posteriors. The
    dual methods and certificates need the five methods that begin with `conjugate`, of a loss that is convex.

    `z` and `dual` share a shape and a floating dtype; `y` is one target. All of it maps under `vmap`.
    """

    @abstractmethod
    def __call__(self, z: Output, y: Example) -> Scalar:
        """l(z; y)."""

    @property
    @abstractmethod
    def curvature(self) -> Number:
        """Upper bound of |l''| (of its largest eigenvalue); l* is strongly convex with the inverse of it."""

    def derivative(self, z: Output, y: Example) -> Output:
        """l'(z; y), always a feasible dual; by automatic differentiation unless a loss says otherwise."""
        return jax.grad(self)(z, y)

    def local_curvature(self, z: Output, y: Example) -> Output:
        """Bounds of sum_m |l''_km| at z, by default `curvature`; their largest mean over rows bounds the mean of l''.

        A wrong label counts as an undecided one: descent will take it there, however little the loss bends at z.
        """
        return jnp.full_like(z, self.curvature)

    def conjugate(self, dual: Output, y: Example) -> Scalar:
        """l*(dual; y); infinity outside the domain, finite on its border."""
        raise self._without_conjugate()

    def in_domain(self, dual: Output, y: Example) -> Domain:
        """True where l*(dual; y) is finite, up to rounding."""
        raise self._without_conjugate()

    def infinite_outside(self, value: Scalar, dual: Output, y: Example) -> Scalar:
        """Return the value in the domain of l*, infinity outside."""
        return jnp.where(self.in_domain(dual, y), value, jnp.inf)

    def project(self, dual: Output, y: Example) -> Output:
        """The nearest feasible dual."""
        raise self._without_conjugate()

    def dual_step(
        self,
        z: Output,
        dual: Output,
        y: Example,
        c: float | Scalar,
    ) -> Output:
        """SDCA's coordinate update: argmax over u of -l*(u) + <z, u> - (c/2) |u - dual|^2, for `c` >= 0.

        Its solution is the fixed point g' = l'(z - c (g' - dual)). With c = bound^2 / (n temperature) the
        dual objective cannot fall (Oko, Suzuki, Nitanda, Wu, ICLR 2022).
        """
        raise self._without_conjugate()

    def fenchel_young(
        self,
        z: Output,
        dual: Output,
        y: Example,
    ) -> Scalar:
        """l(z) + l*(dual) - <dual, z>: non-negative, and zero only at dual = l'(z); infinity outside the domain.

        Its mean over the data is the duality gap of the law that `dual` defines, with z its outputs
        (Nitanda, Wu, Suzuki, AISTATS 2022).
        """
        raise self._without_conjugate()

    def check_targets(self, targets: Targets, output_shape: Shape = ()) -> None:
        """Raise ValueError or TypeError unless `targets`, one per row, suit this loss and the outputs' shape.

        By default they are finite numbers, one for each output. Values are checked, unless they are traced.
        """
        check_rows(self, targets, output_shape, "numbers; cast targets to float")
        remedy = (
            f"{type(self).__name__} needs finite targets; drop or impute those rows"
        )
        checks.finite("targets", targets, remedy=remedy)

    def _without_conjugate(self) -> TypeError:
        return TypeError(
            f"{type(self).__name__} has no conjugate, which dual methods and "
            "certificates need; give it the five methods of langevax.losses.Loss, or "
            "pass one of langevax.losses."
        )


def domain_slack(dual: Float[Array, "..."]) -> float:
    """Largest distance from its domain at which a dual of this precision still counts as feasible."""
    return DOMAIN_SLACK_ULPS * float(jnp.finfo(dual.dtype).eps)


def check_scalar(loss: Loss, output_shape: Shape) -> None:
    """Raise ValueError unless outputs are scalar."""
    if tuple(output_shape) != ():
        raise ValueError(
            f"{type(loss).__name__} needs scalar outputs, got outputs of shape "
            f"{tuple(output_shape)}; use a neuron or coefficients of one output, or "
            "losses.softmax of several."
        )


def check_rows(
    loss: Loss,
    targets: Targets,
    row_shape: Shape,
    needs: str,
    kind: type | None = None,
) -> np.ndarray:
    """Check the shape and kind of one target per row; return the values, none of a tracer."""
    name = type(loss).__name__
    shape = tuple(targets.shape)
    if len(shape) == 0 or shape[1:] != tuple(row_shape):
        expected = ", ".join(["n", *map(str, row_shape)])
        remedy = "reshape them, or choose a neuron with as many outputs"
        raise ValueError(
            f"targets of {name} must have shape ({expected}{',' * (not row_shape)}), "
            f"got {shape}; {remedy}."
        )
    kinds = [jnp.floating, jnp.integer] if kind is None else [kind]
    if not any(jnp.issubdtype(targets.dtype, k) for k in kinds):
        raise TypeError(
            f"targets have dtype {targets.dtype}, but {name} needs {needs}."
        )
    return (
        np.asarray(targets)
        if checks.is_concrete(targets)
        else np.empty(0, targets.dtype)
    )
