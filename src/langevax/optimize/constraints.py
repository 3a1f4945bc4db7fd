"""Constraints of `minimize` as SciPy writes them: lower <= c(x) <= upper, read into residuals r(x) <= 0 or r(x) = 0."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from langevax import checks, trees
from langevax._typing import PyTree
from langevax.problems import host, tracing

if TYPE_CHECKING:
    from scipy.optimize import LinearConstraint, NonlinearConstraint

    ConstraintLike: TypeAlias = LinearConstraint | NonlinearConstraint | dict[str, Any]
ConstraintsLike: TypeAlias = "ConstraintLike | Sequence[ConstraintLike]"
FORMS = (
    "a scipy.optimize.NonlinearConstraint, a LinearConstraint or a dict {'type': "
    "'ineq' or 'eq', 'fun': g}, or a list of them"
)
KEYS = {"type", "fun", "jac"}  # of SciPy's dicts


class MatrixProduct(eqx.Module):
    """The product of a matrix with the numbers of a position, leaf after leaf."""

    matrix: Float[Array, "rows d"]

    def __call__(self, position: PyTree) -> Float[Array, " rows"]:
        return jnp.matmul(self.matrix, ravel_pytree(position)[0], precision="highest")


class ConstraintFunction(eqx.Module):
    """A function of the position as a vector, by JAX, or called in NumPy where JAX cannot trace it."""

    fun: Callable[..., Any]
    size: int = eqx.field(static=True)
    on_host: bool = eqx.field(static=True)

    def __call__(self, position: PyTree) -> Float[Array, " rows"]:
        dtype = trees.dtype_of(position)
        if self.on_host:
            return host.call(
                self._in_numpy, jax.ShapeDtypeStruct((self.size,), dtype), position
            )
        return jnp.atleast_1d(jnp.asarray(self.fun(position))).astype(dtype)

    def _in_numpy(self, position: PyTree) -> np.ndarray:
        value = self.fun(jax.tree.map(np.array, position))
        return np.atleast_1d(np.asarray(value, np.float64))


class Constraints(eqx.Module):
    """All constraints of a call, an entry of the residuals for each finite side."""

    functions: tuple[ConstraintFunction, ...]
    rows: Int[Array, " residuals"]
    signs: Float[Array, " residuals"]
    sides: Float[Array, " residuals"]
    equal: Bool[Array, " residuals"]
    names: tuple[str, ...] = eqx.field(static=True)

    def residuals(self, position: PyTree) -> Float[Array, " residuals"]:
        """Return sign (c(x) - side), <= 0 where an inequality is satisfied and 0 where an equality is."""
        values = jnp.concatenate([function(position) for function in self.functions])
        return self.signs * (values[self.rows] - self.sides)


def as_constraints(
    constraints: ConstraintsLike, like: PyTree[Array], use_gradients: bool
) -> Constraints | None:
    """Return the constraints, checked at the position `like`; None where there are none."""
    many = isinstance(constraints, list | tuple)
    functions: list[ConstraintFunction] = []
    residuals: list[ConstraintSide] = []
    count = 0
    for i, entry in enumerate(constraints if many else [constraints]):
        name = f"constraints[{i}]" if many else "constraints"
        function, lower, upper = _read(name, entry, like, use_gradients)
        functions.append(function)
        residuals += _residuals(name, count, lower, upper)
        count += function.size
    if not residuals:
        return None
    rows, signs, sides, equal, names = zip(*residuals, strict=True)
    dtype = trees.dtype_of(like)
    return Constraints(
        tuple(functions),
        jnp.asarray(rows, jnp.int32),
        jnp.asarray(signs, dtype),
        jnp.asarray(sides, dtype),
        jnp.asarray(equal),
        tuple(names),
    )


class ConstraintSide(NamedTuple):
    """A finite side of a row of the constraints."""

    row: int
    sign: float
    side: float
    equal: bool
    name: str


def _residuals(
    name: str,
    first: int,
    lower: np.ndarray,
    upper: np.ndarray,
) -> Iterator[ConstraintSide]:
    """Yield the finite sides of one constraint, whose rows begin at `first`."""
    for j, (low, high) in enumerate(zip(lower, upper, strict=True)):
        label = name if len(lower) == 1 else f"row {j} of {name}"
        equal = low == high
        for sign, side in ((1.0, high),) if equal else ((-1.0, low), (1.0, high)):
            if np.isfinite(side):
                yield ConstraintSide(first + j, sign, side, equal, label)


def _read(
    name: str,
    entry: object,
    like: PyTree[Array],
    use_gradients: bool,
) -> tuple[ConstraintFunction, np.ndarray, np.ndarray]:
    if isinstance(entry, dict):
        if not {"type", "fun"} <= entry.keys() <= KEYS:
            raise ValueError(
                f"{name} has the keys {sorted(map(str, entry))}; pass {{'type': "
                f"'ineq', 'fun': g}}."
            )
        kind = entry["type"]
        if not (isinstance(kind, str) and kind.lower() in ("ineq", "eq")):
            raise ValueError(
                f"{name}['type'] must be 'ineq', for g(x) >= 0, or 'eq', for g(x) = 0, "
                f"got {checks.shown(kind)}."
            )
        fun = entry["fun"]
        lower = 0.0
        upper = np.inf if kind.lower() == "ineq" else 0.0
    elif all(hasattr(entry, side) for side in ("lb", "ub")) and (
        hasattr(entry, "fun") or hasattr(entry, "A")
    ):
        fun, lower, upper = getattr(entry, "fun", None), entry.lb, entry.ub  # pyright: ignore[reportAttributeAccessIssue]
        if np.any(getattr(entry, "keep_feasible", False)):
            raise ValueError(
                f"{name}.keep_feasible is True, but penalties let searches go outside; "
                "leave it out, and pass bounds for places where fun has no value."
            )
        if fun is None:
            fun = MatrixProduct(_matrix(name, getattr(entry, "A"), like))  # noqa: B009
    else:
        remedy = "; pass it as bounds" if hasattr(entry, "lb") else ""
        raise TypeError(f"{name} must be {FORMS}, got {checks.shown(entry)}{remedy}.")
    checks.function(f"{name}.fun", fun, "(position) -> number or vector")
    function = _function(f"{name}.fun", fun, like, use_gradients)
    return function, *_sides(name, lower, upper, function.size)


def _matrix(name: str, matrix: Any, like: PyTree[Array]) -> Float[Array, "rows d"]:
    dense = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    size = sum(leaf.size for leaf in jax.tree.leaves(like))
    array = np.atleast_2d(np.asarray(checks.plain_array(f"{name}.A", dense)))
    if array.ndim != 2 or array.shape[1] != size:
        raise ValueError(
            f"{name}.A has shape {array.shape} but x0 has {size} numbers; pass a "
            "column for each of them."
        )
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name}.A has entries that are not finite; pass finite numbers."
        )
    return jnp.asarray(array, trees.dtype_of(like))


def _function(
    name: str,
    fun: Callable[..., Any],
    like: PyTree[Array],
    use_gradients: bool,
) -> ConstraintFunction:
    tracing.forget_old_numbers(fun)
    value: Any = None
    try:
        value = jax.eval_shape(lambda x: jnp.asarray(fun(x)), like)
    except (
        jax.errors.TracerArrayConversionError,
        jax.errors.ConcretizationTypeError,
    ) as error:
        if use_gradients:
            raise TypeError(
                f"{name} must be a function that JAX can trace, but it asks for the "
                "numbers of its argument; write it with jax.numpy, or pass "
                f"use_gradients=False ({str(error).splitlines()[0]})"
            ) from error
    except (
        Exception
    ):  # whatever a function of NumPy raises where its argument has no numbers
        if use_gradients:
            raise
    traced = value is not None
    if not traced:
        value = np.asarray(fun(jax.tree.map(np.array, like)))
    if not (
        jnp.issubdtype(value.dtype, jnp.floating)
        or (not traced and np.issubdtype(value.dtype, np.integer))
    ):
        raise TypeError(
            f"{name} must return a real number or a vector of them, got {value.dtype}; "
            "return the number g(x)."
        )
    if value.ndim > 1 or value.size == 0:
        raise ValueError(
            f"{name} must return a number or a vector, got shape {value.shape}; ravel "
            "it."
        )
    function = ConstraintFunction(fun, value.size, not traced)
    at_start = np.asarray(function(like))
    if not np.isfinite(at_start).all():
        raise ValueError(f"{name} at x0 is {at_start}; start where it is finite.")
    return function


def _sides(
    name: str,
    lower: ArrayLike,
    upper: ArrayLike,
    size: int,
) -> tuple[np.ndarray, np.ndarray]:
    try:
        low, high = (
            np.broadcast_to(np.asarray(side, np.float64), (size,))
            for side in (lower, upper)
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}.lb and {name}.ub must be {size} real numbers each, or one: "
            f"{error}."
        ) from error
    for i in np.flatnonzero(
        ~((low <= high) & (low < np.inf) & (high > -np.inf))
    ):  # NaN, too
        raise ValueError(
            f"{name} asks for {low[i]} <= c(x) <= {high[i]}, which no number "
            "satisfies; correct lb or ub."
        )
    return low, high
