"""The arguments of `minimize`, checked and converted: a problem on vectors, a position, bounds, a callback."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float

from langevax import checks, trees
from langevax._typing import FloatScalar, HostVector, PRNGKey, PyTree
from langevax.gradients import GradientEstimator
from langevax.keys import unrolled
from langevax.problems.coordinates import Raveled
from langevax.problems.mean_field import MeanFieldRisk
from langevax.problems.problem import Function, Problem
from langevax.run.start import is_draw

if TYPE_CHECKING:
    from scipy.optimize import Bounds, OptimizeResult

WHOLE_SUM_ROWS = 1024
"""Rows up to which a sum is taken as a whole by default; of more, some are drawn."""
Objective = Callable[[PyTree], FloatScalar] | Problem
Schedule = Callable[[ArrayLike], ArrayLike]
"""A function of the step, such as optax's schedules."""
BoundsLike: TypeAlias = "Bounds | Sequence[tuple[float | None, float | None]] | None"
Callback: TypeAlias = (
    "Callable[[OptimizeResult], bool | None] | Callable[[PyTree], bool | None] | None"
)


class Starts(NamedTuple):
    """Starts of searches, as vectors."""

    like: PyTree[Array]
    """A position, with the structure of all."""
    vectors: Float[np.ndarray, "*places d"]
    """x0, or places that a function x0 drew."""
    box: "Box | None"

    @property
    def drawn(self) -> bool:
        """True where a function drew them."""
        return self.vectors.ndim == 2


class Box(NamedTuple):
    """Bounds as vectors of the position's dtype, rounded inwards; infinite where there is none."""

    lower: HostVector
    upper: HostVector


def as_problem(fun: Objective) -> Problem:
    """Return a problem unchanged, and a function as a problem of one component."""
    if isinstance(fun, MeanFieldRisk):
        raise TypeError(
            "fun is a MeanFieldRisk, which is minimised over laws, not over one "
            "position; use langevax.meanfield.MFLD with langevax.simulate, or "
            "langevax.sklearn."
        )
    if isinstance(fun, Problem):
        return fun
    if not callable(fun):
        raise TypeError(
            "fun must be a function of the position or a langevax.Problem, got "
            f"{checks.shown(fun)}."
        )
    return Function(fun)


def as_position(x0: PyTree[ArrayLike]) -> PyTree[Array]:
    """Return `x0` as arrays of one floating dtype; a list of numbers is one array, as in SciPy.

    Whole numbers of Python are floats, as in SciPy: [1, 2] is a place. An array of integers has a dtype of its own.
    """
    x0 = jax.tree.map(
        lambda leaf: (
            float(leaf)
            if type(leaf) is int and abs(leaf) <= sys.float_info.max
            else leaf
        ),
        x0,
    )
    plain = isinstance(x0, list | tuple) and not hasattr(x0, "_fields")
    if plain and all(isinstance(leaf, int | float) for leaf in jax.tree.leaves(x0)):
        x0 = checks.plain_array("x0", x0)
    position = checks.arrays("x0", x0)
    checks.position("x0", position)
    dtypes = {
        f"x0{jax.tree_util.keystr(path)}": leaf.dtype
        for path, leaf in jax.tree.leaves_with_path(position)
    }
    if len(set(dtypes.values())) > 1:
        raise TypeError(
            f"x0 mixes dtypes ({dtypes}); pass one floating dtype throughout."
        )
    return position


@eqx.filter_jit
def draw_with(
    start: Callable[[PRNGKey], PyTree], key: PRNGKey, number: int
) -> PyTree[Array]:
    """Draw this many places as `start(key)`, stacked."""
    return jax.vmap(start)(random.split(unrolled(key), number))


def as_starts(
    x0: PyTree[ArrayLike] | Callable[[PRNGKey], PyTree],
    bounds: BoundsLike,
    key: PRNGKey,
    num_drawn: int,
    dtype: Any = None,
) -> Starts:
    """Return x0, or as many starts as it draws, checked against the bounds; of `dtype` where one is passed."""
    drawn = is_draw(x0)
    positions = draw_with(x0, key, num_drawn) if drawn else as_position(x0)
    positions = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), positions)
    like = jax.tree.map(lambda leaf: leaf[0], positions) if drawn else positions
    as_position(like)
    ravel = lambda position: ravel_pytree(position)[0]
    vectors = np.asarray((jax.vmap(ravel) if drawn else ravel)(positions))
    box = as_box(bounds, like)
    check_inside(vectors, box)
    return Starts(like, vectors, box)


def on_vectors(problem: Problem, like: PyTree[Array]) -> Problem:
    """Return the problem whose position is `like` as a vector; itself where that is one already."""
    return (
        problem
        if isinstance(like, jax.Array) and like.ndim == 1
        else Raveled(problem, like)
    )


def to_position(
    vectors: Float[ArrayLike, "*batch d"], like: PyTree[Array]
) -> PyTree[np.ndarray]:
    """Return NumPy arrays like `like` from one vector, or from one for each chain."""
    unravel = ravel_pytree(like)[1]
    vectors = jnp.asarray(vectors)
    return jax.tree.map(
        np.array, unravel(vectors) if vectors.ndim == 1 else jax.vmap(unravel)(vectors)
    )


def as_box(bounds: BoundsLike, like: PyTree[Array]) -> Box | None:
    """Return SciPy's bounds for each number of the position; None where all are infinite."""
    if bounds is None:
        return None
    lower, upper = _sides(bounds, like)
    dtype = trees.dtype_of(like)
    low = lower.astype(dtype)
    high = upper.astype(dtype)
    infinite = np.array(np.inf, dtype)
    low = np.where(low < lower, np.nextafter(low, infinite), low)
    high = np.where(high > upper, np.nextafter(high, -infinite), high)
    for i in np.flatnonzero(~(low < high)):
        raise ValueError(
            f"bounds[{i}] is ({lower[i]}, {upper[i]}); pass two numbers that {dtype} "
            "tells apart, the lower one first, and None for an open side."
        )
    if np.all(np.isinf(low) & np.isinf(high)):
        return None
    return Box(low, high)


def _sides(bounds: BoundsLike, like: PyTree[Array]) -> tuple[np.ndarray, np.ndarray]:
    size = sum(leaf.size for leaf in jax.tree.leaves(like))
    lower = getattr(bounds, "lb", None)
    upper = getattr(bounds, "ub", None)
    if lower is not None and upper is not None:
        shape = like.shape if isinstance(like, jax.Array) else (size,)
        try:
            lower, upper = (
                np.broadcast_to(np.asarray(side, np.float64), shape).ravel()
                for side in (lower, upper)
            )
        except ValueError as error:
            raise ValueError(
                f"bounds.lb and bounds.ub must broadcast to the shape {shape} of x0: "
                f"{error}."
            ) from error
        return lower, upper
    try:
        ends = [(low, high) for low, high in bounds]  # pyright: ignore[reportGeneralTypeIssues, reportOptionalIterable]
        pairs = [
            (-np.inf if low is None else low, np.inf if high is None else high)
            for low, high in ends
        ]
        sides = np.asarray(pairs, np.float64).reshape(len(pairs), 2)
    except (TypeError, ValueError) as error:
        raise TypeError(
            "bounds must be a scipy.optimize.Bounds or a sequence of (lower, upper), "
            f"got {checks.shown(bounds)}."
        ) from error
    if len(sides) != size:
        raise ValueError(
            f"bounds has {len(sides)} pairs but x0 has {size} numbers; pass one pair "
            "for each of them."
        )
    return sides[:, 0], sides[:, 1]


def check_inside(vectors: Float[np.ndarray, "*batch d"], box: Box | None) -> None:
    """Raise where a start lies outside the box by more than rounding."""
    if box is None:
        return
    low = np.nextafter(box.lower, -np.inf, dtype=box.lower.dtype)
    high = np.nextafter(box.upper, np.inf)
    for place in np.argwhere((vectors < low) | (vectors > high)):
        i = place[-1]
        raise ValueError(
            f"x0[{i}] is {vectors[tuple(place)]}, outside of bounds[{i}] = "
            f"({box.lower[i]}, {box.upper[i]}); start inside, or widen the bounds."
        )


def check_options(
    num_chains: object,
    num_steps: object,
    temperature: object,
    step_size: object,
    gradient: object,
) -> None:
    """Raise unless there is something to run, with a valid temperature and step size."""
    checks.positive_int("num_chains", num_chains)
    checks.positive_int("num_steps", num_steps)
    if isinstance(temperature, tuple | list):
        if len(temperature) != 2:
            raise ValueError(
                f"temperature is {temperature!r}; pass a pair (hot, cold), one number, "
                "or a function of the step."
            )
        for i, value in enumerate(temperature):
            checks.number(f"temperature[{i}]", value, positive=True)
    else:
        checks.one_number("temperature", temperature, positive=True, auto=True)
    checks.one_number("step_size", step_size, positive=True, auto=True)
    if not isinstance(gradient, GradientEstimator) and gradient != "auto":
        raise TypeError(
            "gradient must be one of langevax.gradients or 'auto', got "
            f"{checks.shown(gradient)}; fun is differentiated by JAX."
        )
    if isinstance(gradient, GradientEstimator):
        gradient.check_sizes()


def check_scalar(problem: Problem, position: Float[Array, " d"]) -> None:
    """Raise unless `fun` can be traced by JAX and returns one real number."""
    try:
        value = jax.eval_shape(problem.value, position)
    except (
        jax.errors.TracerArrayConversionError,
        jax.errors.ConcretizationTypeError,
    ) as error:
        raise TypeError(
            "fun must be a function that JAX can trace, but it asks for the numbers of "
            "its argument; write it with jax.numpy, without float() or NumPy "
            f"({str(error).splitlines()[0]})"
        ) from error
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(
            f"fun must return a floating number, got {value.dtype}; it has no gradient "
            "otherwise."
        )


def as_callback(callback: Callback) -> "Callable[[OptimizeResult], bool] | None":
    """Apply SciPy's convention: `callback(intermediate_result)` with that name gets all of it, any other one x.

    The function returned says whether to stop.
    """
    if callback is None:
        return None
    if not callable(callback):
        raise TypeError(
            "callback must be a function callback(intermediate_result), got "
            f"{checks.shown(callback)}."
        )
    import inspect

    try:
        by_name = set(inspect.signature(callback).parameters) == {"intermediate_result"}
    except ValueError:  # a built-in without a signature
        by_name = False

    def call(state: "OptimizeResult") -> Any:
        if by_name:
            return callback(intermediate_result=state)  # pyright: ignore[reportCallIssue]
        return callback(state.x)

    def stops(state: "OptimizeResult") -> bool:
        try:
            answer = call(state)
        except StopIteration:
            return True
        return checks.stops("callback", answer)

    return stops
