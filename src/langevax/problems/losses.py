"""Losses of one example, each with its convex conjugate: the parts of mean-field training and its certificate.

    l*(g) = sup_z  g z - l(z),      FY(z, g) = l(z) + l*(g) - g z >= 0,  zero where g = l'(z)

An output `z` is a scalar `()` or a vector `(C,)`. A dual `g` has its shape and is a derivative l'(z): a negative dual
pushes the output up (many SDCA texts use -g).

The dual objective, the duality gap as a mean of FY and the loss classes are those of Nitanda, Wu, Suzuki (AISTATS
2022); the coordinate step is that of Oko, Suzuki, Nitanda, Wu (ICLR 2022). Every gap is written as a sum of
non-negative terms with no subtraction of large numbers, so that float32 resolves gaps far below the rounding of l(z).
Costs per call are a few elementary functions per output; only `Softmax.dual_step` runs a loop.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import entr, logsumexp
from jaxtyping import Array, Bool, Float, Integer, Num

from langevax import checks

Scalar = Float[Array, ""]
Output = Float[Array, "*outputs"]
Vector = Float[Array, " classes"]
Example = Num[Array, "..."]  # a target: one of the three below
Target = Num[Array, "*outputs"]
Label = Num[Array, ""]  # -1 or +1
Class = Integer[Array, ""]  # 0, ..., C-1
Domain = Bool[Array, ""]
Shape = tuple[int, ...]
Targets = Array | np.ndarray

# Newton steps; the starts are close enough that these reach rounding in float64 (the tests hold it).
LOGISTIC_STEPS, SOFTMAX_STEPS = 5, 16
OMEGA_STEPS = 2  # quartic steps, likewise
# A dual that was averaged or stored leaves its closed domain by rounding only: so many units are forgiven.
DOMAIN_SLACK_ULPS = 64


class Loss(eqx.Module):
    """A convex loss l(z; y) of one example's output, its derivative in z, its conjugate and their gap.

    `z` and `dual` share a shape and a floating dtype; `y` is one target. All of it maps under `vmap`.
    """

    @abstractmethod
    def __call__(self, z: Output, y: Example) -> Scalar:
        """l(z; y)."""

    @abstractmethod
    def derivative(self, z: Output, y: Example) -> Output:
        """l'(z; y), always a feasible dual."""

    @property
    @abstractmethod
    def curvature(self) -> float | Scalar:
        """Upper bound of l'' (of its largest eigenvalue); l* is strongly convex with the inverse of it."""

    def local_curvature(self, z: Output, y: Example) -> Output:
        """Bounds of sum_m |l''_km| at z, by default `curvature`; their largest mean over rows bounds the mean of l''.

        A wrong label counts as an undecided one: descent will take it there, however little the loss bends at z.
        """
        return jnp.full_like(z, self.curvature)

    @abstractmethod
    def conjugate(self, dual: Output, y: Example) -> Scalar:
        """l*(dual; y); infinity outside the domain, finite on its border."""

    @abstractmethod
    def in_domain(self, dual: Output, y: Example) -> Domain:
        """True where l*(dual; y) is finite, up to rounding."""

    @abstractmethod
    def project(self, dual: Output, y: Example) -> Output:
        """The nearest feasible dual."""

    @abstractmethod
    def dual_step(self, z: Output, dual: Output, y: Example, c: float | Scalar) -> Output:
        """SDCA's coordinate update: argmax over u of -l*(u) + <z, u> - (c/2) |u - dual|^2, for `c` >= 0.

        Its solution is the fixed point g' = l'(z - c (g' - dual)). With c = bound^2 / (n temperature) the
        dual objective cannot fall (Oko, Suzuki, Nitanda, Wu, ICLR 2022).
        """

    @abstractmethod
    def fenchel_young(self, z: Output, dual: Output, y: Example) -> Scalar:
        """l(z) + l*(dual) - <dual, z>: non-negative, and zero only at dual = l'(z); infinity outside the domain.

        Its mean over the data is the duality gap of the law that `dual` defines, with z its outputs
        (Nitanda, Wu, Suzuki, AISTATS 2022).
        """

    @abstractmethod
    def check_targets(self, targets: Targets, output_shape: Shape) -> None:
        """Raise ValueError or TypeError unless `targets`, one per row, suit this loss and the outputs' shape.

        Values are checked, unless they are traced.
        """


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
        return jnp.sum((z - y.astype(z.dtype)) ** 2) / 2

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

    def dual_step(self, z: Output, dual: Output, y: Target, c: float | Scalar) -> Output:
        c = jnp.asarray(c, z.dtype)
        return (z - y.astype(z.dtype) + c * dual) / (1 + c)

    def fenchel_young(self, z: Output, dual: Output, y: Target) -> Scalar:
        return jnp.sum((z - y.astype(z.dtype) - dual) ** 2) / 2

    def check_targets(self, targets: Targets, output_shape: Shape) -> None:
        _check_rows(self, targets, output_shape, "numbers; cast targets to float")
        checks.finite("targets", targets, remedy="Squared needs finite targets; drop or impute those rows")


class MarginLoss(Loss):
    """A loss of the margin m = y z with y = -1 or +1; its feasible duals are g = -y s with s in [0, 1]."""

    def in_domain(self, dual: Scalar, y: Label) -> Domain:
        share, slack = _share(dual, y), _domain_slack(dual)
        return (share >= -slack) & (share <= 1 + slack)

    def project(self, dual: Scalar, y: Label) -> Scalar:
        return _dual(jnp.clip(_share(dual, y), 0.0, 1.0), y)

    def check_targets(self, targets: Targets, output_shape: Shape) -> None:
        name = type(self).__name__
        if tuple(output_shape) != ():
            remedy = "use a neuron with one scalar output, or losses.softmax"
            raise ValueError(f"{name} needs scalar outputs, got outputs of shape {tuple(output_shape)}; {remedy}.")
        rows = _check_rows(self, targets, (), "labels -1 and +1; map 0/1 or False/True with 2.0 * y - 1.0")
        wrong = rows[np.abs(rows) != 1]
        if wrong.size:
            raise ValueError(f"{name} needs targets -1 or +1, found {wrong[0]}; map 0/1 with 2*y-1, drop missing rows.")


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

    def derivative(self, z: Scalar, y: Label) -> Scalar:
        return _dual(jax.nn.sigmoid(-_margin(z, y)), y)

    @property
    def curvature(self) -> float:
        return 0.25

    def local_curvature(self, z: Scalar, y: Label) -> Scalar:
        p = jax.nn.sigmoid(jnp.maximum(_margin(z, y), 0.0))
        return p * (1 - p)

    def conjugate(self, dual: Scalar, y: Label) -> Scalar:
        s = jnp.clip(_share(dual, y), 0.0, 1.0)
        return jnp.where(self.in_domain(dual, y), -entr(s) - entr(1 - s), jnp.inf)

    def dual_step(self, z: Scalar, dual: Scalar, y: Label, c: float | Scalar) -> Scalar:
        c = jnp.asarray(c, z.dtype)
        # The new share is sigmoid(u) where u + c sigmoid(u) = b. Reflecting (u, b) to (-u, c - b) puts the root
        # at u <= 0, where the left side is convex and lies between u + c e^u / 2 and u + c e^u, whose root is
        # known: that start is less than log 2 below, Newton crosses once and then descends.
        b = c * _share(dual, y) - _margin(z, y)
        reflected = b > c / 2
        b = jnp.where(reflected, c - b, b)
        u = b - _wright_omega(b + jnp.log(c))
        for _ in range(LOGISTIC_STEPS):
            p = jax.nn.sigmoid(u)
            u = jnp.clip(u - (u + c * p - b) / (1 + c * p * (1 - p)), b - c, jnp.minimum(b, 0.0))
        return _dual(jax.nn.sigmoid(jnp.where(reflected, -u, u)), y)

    def fenchel_young(self, z: Scalar, dual: Scalar, y: Label) -> Scalar:
        m, s = _margin(z, y), jnp.clip(_share(dual, y), 0.0, 1.0)
        # The rarer of the two outcomes comes first: its probability, and s - p, keep all their digits.
        m, s, rest = jnp.where(m >= 0, m, -m), jnp.where(m >= 0, s, 1 - s), jnp.where(m >= 0, 1 - s, s)
        p, q = jax.nn.sigmoid(-m), jax.nn.sigmoid(m)
        gap = _relative_entropy(s, p, -jax.nn.softplus(m), s - p)
        gap += _relative_entropy(rest, q, -jax.nn.softplus(-m), p - s)
        return jnp.where(self.in_domain(dual, y), gap, jnp.inf)


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
        width, r = jnp.asarray(self.width, z.dtype), 1 - _margin(z, y)
        k = jnp.clip(r, 0.0, width)
        return k * (r - k / 2) / width

    def derivative(self, z: Scalar, y: Label) -> Scalar:
        return _dual(jnp.clip((1 - _margin(z, y)) / jnp.asarray(self.width, z.dtype), 0.0, 1.0), y)

    @property
    def curvature(self) -> float | Scalar:
        return 1.0 / self.width

    def local_curvature(self, z: Scalar, y: Label) -> Scalar:
        return jnp.where(_margin(z, y) < 1, 1 / jnp.asarray(self.width, z.dtype), 0.0)

    def conjugate(self, dual: Scalar, y: Label) -> Scalar:
        s = jnp.clip(_share(dual, y), 0.0, 1.0)
        return jnp.where(self.in_domain(dual, y), s * (jnp.asarray(self.width, s.dtype) * s / 2 - 1), jnp.inf)

    def dual_step(self, z: Scalar, dual: Scalar, y: Label, c: float | Scalar) -> Scalar:
        c, width = jnp.asarray(c, z.dtype), jnp.asarray(self.width, z.dtype)
        s = (1 - _margin(z, y) + c * _share(dual, y)) / (width + c)
        return _dual(jnp.clip(s, 0.0, 1.0), y)

    def fenchel_young(self, z: Scalar, dual: Scalar, y: Label) -> Scalar:
        width, r = jnp.asarray(self.width, z.dtype), 1 - _margin(z, y)
        short = jnp.clip(r / width, 0.0, 1.0) - jnp.clip(_share(dual, y), 0.0, 1.0)
        # The excess of r over [0, mu] is zero on the quadratic piece and has the sign of `short` outside: both
        # terms are >= 0, but for the rounding of a width that divides inexactly.
        gap = width * short**2 / 2 + short * (r - jnp.clip(r, 0.0, width))
        return jnp.where(self.in_domain(dual, y), jnp.maximum(gap, 0.0), jnp.inf)


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
        others = logsumexp(jnp.where(_is_label(z, y), -jnp.inf, z))
        return jax.nn.softplus(others - jnp.sum(jnp.where(_is_label(z, y), z, 0.0)))

    def derivative(self, z: Vector, y: Class) -> Vector:
        return _off_simplex(jax.nn.softmax(z), y)

    @property
    def curvature(self) -> float:
        return 0.5

    def local_curvature(self, z: Vector, y: Class) -> Vector:
        p = jnp.maximum(jax.nn.softmax(z), jnp.where(_is_label(z, y), 0.5, 0.0))
        return 2 * p * (1 - p)  # l'' = diag(p) - p p^T

    def conjugate(self, dual: Vector, y: Class) -> Scalar:
        s = jnp.clip(_on_simplex(dual, y), 0.0, 1.0)
        return jnp.where(self.in_domain(dual, y), -jnp.sum(entr(s)), jnp.inf)

    def in_domain(self, dual: Vector, y: Class) -> Domain:
        slack = _domain_slack(dual)
        return jnp.all(_on_simplex(dual, y) >= -slack) & (jnp.abs(jnp.sum(dual)) <= slack)

    def project(self, dual: Vector, y: Class) -> Vector:
        s = jnp.maximum(_on_simplex(dual, y), 0.0)
        total = jnp.sum(s)
        return _off_simplex(jnp.where(total > 0, s / jnp.where(total > 0, total, 1.0), 1 / s.size), y)

    def dual_step(self, z: Vector, dual: Vector, y: Class, c: float | Scalar) -> Vector:
        c = jnp.asarray(c, z.dtype)
        a = z + c * _on_simplex(dual, y)
        a = a - jnp.max(a)  # the multiplier absorbs any shift
        # log s_k + c s_k = a_k - nu, hence nu = logsumexp(a - c s) and the first bounds; at the last one no s_k
        # exceeds 1/C. The sum of s(nu) is convex and falling: Newton from the lower bound rises to the root.
        lower, upper = logsumexp(a) - c, jnp.minimum(logsumexp(a), float(np.log(a.size)) - c / a.size)

        def newton(_: Integer[Array, ""], nu: Scalar) -> Scalar:
            s = _share_at(a - nu, c)
            return jnp.clip(nu + (jnp.sum(s) - 1) / jnp.sum(s / (1 + c * s)), lower, upper)

        nu = jax.lax.fori_loop(0, SOFTMAX_STEPS, newton, lower)
        return _off_simplex(_share_at(a - nu, c), y)

    def fenchel_young(self, z: Vector, dual: Vector, y: Class) -> Scalar:
        s = jnp.clip(_on_simplex(dual, y), 0.0, 1.0)
        p = jax.nn.softmax(z)
        # s - p keeps its digits where p is small, the difference of the complements where the label's is not.
        difference = jnp.where(p > 0.5, dual - self.derivative(z, y), s - p)
        terms = _relative_entropy(s, p, jax.nn.log_softmax(z), difference)
        return jnp.where(self.in_domain(dual, y), jnp.sum(terms), jnp.inf)

    def check_targets(self, targets: Targets, output_shape: Shape) -> None:
        if len(output_shape) != 1:
            remedy = "use a neuron with num_outputs=C, or losses.logistic for two classes"
            raise ValueError(f"Softmax needs outputs of shape (C,), got {tuple(output_shape)}; {remedy}.")
        rows = _check_rows(self, targets, (), "integer labels in [0, C); number the classes from 0", jnp.integer)
        wrong = rows[(rows < 0) | (rows >= output_shape[0])]
        if wrong.size:
            remedy = "number the classes from 0, or raise num_outputs"
            raise ValueError(f"Softmax needs labels in [0, {output_shape[0]}), found {wrong[0]}; {remedy}.")


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
        return jnp.where(self.in_domain(dual, y), jnp.zeros((), dual.dtype), jnp.inf)

    def in_domain(self, dual: Output, y: Target) -> Domain:
        return jnp.all(dual == y.astype(dual.dtype))

    def project(self, dual: Output, y: Target) -> Output:
        return y.astype(dual.dtype)

    def dual_step(self, z: Output, dual: Output, y: Target, c: float | Scalar) -> Output:
        return y.astype(z.dtype)

    def fenchel_young(self, z: Output, dual: Output, y: Target) -> Scalar:
        return self.conjugate(dual, y)

    def check_targets(self, targets: Targets, output_shape: Shape) -> None:
        _check_rows(self, targets, output_shape, "numbers; cast targets to float")
        checks.finite("targets", targets, remedy="LinearLoss needs a finite dual; pass one of a finite network")


squared: Squared = Squared()
logistic: Logistic = Logistic()
smoothed_hinge: SmoothedHinge = SmoothedHinge()
softmax: Softmax = Softmax()
linear: LinearLoss = LinearLoss()


def _check_rows(loss: Loss, targets: Targets, row_shape: Shape, needs: str, kind: type | None = None) -> np.ndarray:
    """Check the shape and kind of one target per row; return the values, none of a tracer."""
    name, shape = type(loss).__name__, tuple(targets.shape)
    if len(shape) == 0 or shape[1:] != tuple(row_shape):
        expected = ", ".join(["n", *map(str, row_shape)])
        remedy = "reshape them, or choose a neuron with as many outputs"
        raise ValueError(
            f"targets of {name} must have shape ({expected}{',' * (not row_shape)}), got {shape}; {remedy}."
        )
    kinds = [jnp.floating, jnp.integer] if kind is None else [kind]
    if not any(jnp.issubdtype(targets.dtype, k) for k in kinds):
        raise TypeError(f"targets have dtype {targets.dtype}, but {name} needs {needs}.")
    return np.asarray(targets) if checks.is_concrete(targets) else np.empty(0, targets.dtype)


def _margin(z: Scalar, y: Label) -> Scalar:
    return y.astype(z.dtype) * z


def _share(dual: Scalar, y: Label) -> Scalar:
    return -y.astype(dual.dtype) * dual


_dual = _share  # its own inverse


def _is_label(z: Vector, y: Class) -> Bool[Array, " classes"]:
    return jnp.arange(z.size, dtype=jnp.int32) == y.astype(jnp.int32)


def _on_simplex(dual: Vector, y: Class) -> Vector:
    return jnp.where(_is_label(dual, y), 1 + dual, dual)


def _off_simplex(s: Vector, y: Class) -> Vector:
    """s - e_y, the label's entry from the others: a nearly certain label keeps its digits, entries sum to zero."""
    others = jnp.where(_is_label(s, y), 0.0, s)
    return jnp.where(_is_label(s, y), -jnp.sum(others), s)


def _share_at(x: Vector, c: Scalar) -> Vector:
    """The s with log(s) + c s = x; the quotient serves where e^(x - c s) would cancel, the power where c is tiny."""
    omega = _wright_omega(x + jnp.log(c))
    large = omega > 1
    return jnp.where(large, omega / jnp.where(large, c, 1.0), jnp.exp(jnp.where(large, 0.0, x - omega)))


def _relative_entropy(
    s: Float[Array, "*k"], p: Float[Array, "*k"], log_p: Float[Array, "*k"], difference: Float[Array, "*k"]
) -> Float[Array, "*k"]:
    """s log(s/p) - s + p >= 0, given p, its logarithm (finite where p underflows) and an accurate s - p.

    Near s = p the series of Loader (Fast and accurate computation of binomial probabilities, 2000) in
    v = (s - p) / (s + p): (s - p) v + 2 s (v^3/3 + v^5/5 + ...); seven terms are exact for |v| < 0.1.
    """
    positive, normal = s > 0, p >= jnp.finfo(p.dtype).tiny
    safe = jnp.where(positive, s, 1.0)
    log_ratio = jnp.where(normal, jnp.log(safe / jnp.where(normal, p, 1.0)), jnp.log(safe) - log_p)
    direct = jnp.where(positive, s * log_ratio, 0.0) - difference
    total = s + p
    v = difference / jnp.where(total > 0, total, 1.0)
    near = jnp.abs(v) < 0.1
    v = jnp.where(near, v, 0.0)
    tail = jnp.zeros_like(v)
    for odd in range(15, 1, -2):
        tail = v**2 * (tail + 1 / odd)
    return jnp.where(near, v * (difference + 2 * s * tail), direct)


def _wright_omega(x: Float[Array, "*k"]) -> Float[Array, "*k"]:
    """The omega > 0 with omega + log(omega) = x, by the quartic steps of Fritsch, Shafer, Crowley (CACM 1973)."""
    floor = -50.0  # below, omega = e^x to rounding in any precision
    inside = jnp.maximum(x, floor)
    omega = jnp.where(inside > 1, inside - jnp.log(jnp.maximum(inside, 1.0)), jax.nn.sigmoid(inside))
    for _ in range(OMEGA_STEPS):
        r = inside - omega - jnp.log(omega)
        q = (1 + omega) * (1 + omega + 2 * r / 3)
        omega = omega * (1 + r / (1 + omega) * (q - r / 2) / (q - r))
    return jnp.where(x > floor, omega, jnp.exp(jnp.minimum(x, floor)))


def _domain_slack(dual: Float[Array, "..."]) -> float:
    """Largest distance from its domain at which a dual of this precision still counts as feasible."""
    return DOMAIN_SLACK_ULPS * float(jnp.finfo(dual.dtype).eps)


__all__ = [
    "LinearLoss",
    "Logistic",
    "Loss",
    "MarginLoss",
    "SmoothedHinge",
    "Softmax",
    "Squared",
    "linear",
    "logistic",
    "smoothed_hinge",
    "softmax",
    "squared",
]
__dir__ = __all__.copy
