"""What a user of `minimize` hands over, checked and brought into one form: a problem on vectors, a key, a box."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from langevax import checks, trees
from langevax.gradients import GradientEstimator
from langevax.problems.coordinates import Raveled
from langevax.problems.mean_field import MeanFieldRisk
from langevax.problems.problem import Function, Problem

SCHEDULES = ("anneal", "logarithmic", None)


class Box(NamedTuple):
    """Bounds as vectors of the position's dtype, rounded inwards; infinite where there is none."""

    lower: Float[np.ndarray, " d"]
    upper: Float[np.ndarray, " d"]


def as_key(key: Any) -> Key[Array, ""]:
    """A typed key, or the one of an int seed."""
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        return jax.random.key(int(key))
    if key is None:
        raise TypeError("key must be a seed or a typed key, got None; pass key=0 or key=jax.random.key(0).")
    checks.typed_key(key)
    return jnp.asarray(key)


def as_problem(fun: Any) -> Problem:
    """A problem as it is, a function as one of one component."""
    if isinstance(fun, MeanFieldRisk):
        raise TypeError(
            "fun is a MeanFieldRisk, which is minimised over laws, not over one position; use "
            "langevax.meanfield.MFLD with langevax.simulate, or langevax.sklearn."
        )
    if isinstance(fun, Problem):
        return fun
    if not callable(fun):
        raise TypeError(f"fun must be a function of the position or a langevax.Problem, got {fun!r}.")
    return Function(fun)


def as_position(x0: Any) -> PyTree[Array]:
    """`x0` as arrays of one floating dtype; a list of numbers is one array, as for SciPy."""
    plain = isinstance(x0, list | tuple) and not hasattr(x0, "_fields")
    if plain and all(isinstance(leaf, int | float) for leaf in jax.tree.leaves(x0)):
        x0 = np.asarray(x0)
    leaves = jax.tree.leaves_with_path(x0)
    if not leaves:
        raise ValueError(f"x0 holds no array, got {x0!r}; pass a pytree of floating arrays.")
    dtypes = {}
    for path, leaf in leaves:
        label = f"x0{jax.tree_util.keystr(path)}"
        if not isinstance(leaf, int | float | np.ndarray | np.generic | jax.Array):
            raise TypeError(f"{label} must be an array, got {leaf!r}; pass a pytree of floating arrays.")
        array = jnp.asarray(leaf)
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise TypeError(f"{label} must be floating, got {array.dtype}; pass for instance x0.astype(float).")
        if array.size == 0:
            raise ValueError(f"{label} is empty, of shape {array.shape}; pass at least one number.")
        dtypes[label] = array.dtype
    if len(set(dtypes.values())) > 1:
        raise TypeError(f"x0 mixes dtypes ({dtypes}); pass one floating dtype throughout.")
    # given its own dtype, an array is not weakly typed
    position = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.asarray(leaf).dtype), x0)
    checks.finite("x0", position, remedy="start from finite numbers")
    return position


def on_vectors(problem: Problem, like: PyTree) -> Problem:
    """The problem whose position is `like` laid out as a vector; itself where that is one already."""
    return problem if isinstance(like, jax.Array) and like.ndim == 1 else Raveled(problem, like)


def to_position(vectors: Any, like: PyTree) -> PyTree[np.ndarray]:
    """NumPy arrays like `like` from vectors (..., d), leading axes kept."""
    leaves, structure = jax.tree.flatten(like)
    vectors = np.asarray(vectors)
    parts = np.split(vectors, np.cumsum([leaf.size for leaf in leaves])[:-1], axis=-1)
    shaped = [part.reshape((*part.shape[:-1], *leaf.shape)) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, shaped)


def to_vector(position: PyTree[Array]) -> Float[Array, " d"]:
    """Leaf after leaf, as `Raveled` has it."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(position)])


def as_box(bounds: Any, like: PyTree) -> Box | None:
    """SciPy's bounds, `Bounds` or a sequence of (lower, upper), for each number of the position; None without any."""
    if bounds is None:
        return None
    size, dtype = sum(leaf.size for leaf in jax.tree.leaves(like)), trees.dtype_of(like)
    lower, upper = _sides(bounds, like, size)
    for i in np.flatnonzero(~(lower < upper)):  # NaN, too
        raise ValueError(
            f"bounds[{i}] is ({lower[i]}, {upper[i]}), whose lower end is not below its upper one; swap them, or put a "
            "coordinate that does not move into fun."
        )
    if np.all(np.isinf(lower) & np.isinf(upper)):
        return None
    low, high = lower.astype(dtype), upper.astype(dtype)
    low = np.where(low < lower, np.nextafter(low, np.array(np.inf, dtype)), low)
    high = np.where(high > upper, np.nextafter(high, np.array(-np.inf, dtype)), high)
    for i in np.flatnonzero(~(low < high)):
        raise ValueError(f"bounds[{i}] is ({lower[i]}, {upper[i]}): no two numbers of {dtype} lie between; widen it.")
    return Box(low, high)


def _sides(bounds: Any, like: PyTree, size: int) -> tuple[np.ndarray, np.ndarray]:
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        shape = like.shape if isinstance(like, jax.Array) else (size,)
        try:
            lower, upper = (
                np.broadcast_to(np.asarray(side, np.float64), shape).ravel() for side in (bounds.lb, bounds.ub)
            )
        except ValueError as error:
            raise ValueError(f"bounds.lb and bounds.ub must broadcast to the shape {shape} of x0: {error}.") from error
        return lower, upper
    try:
        pairs = [(-np.inf if low is None else low, np.inf if high is None else high) for low, high in bounds]
        sides = np.asarray(pairs, np.float64).reshape(len(pairs), 2)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"bounds must be a scipy.optimize.Bounds or a sequence of (lower, upper), got {bounds!r}."
        ) from error
    if len(sides) != size:
        raise ValueError(f"bounds has {len(sides)} pairs but x0 has {size} numbers; pass one pair for each of them.")
    return sides[:, 0], sides[:, 1]


def check_inside(name: str, vectors: np.ndarray, box: Box | None) -> None:
    """Raise where a start lies outside the box by more than rounding."""
    if box is None:
        return
    low, high = np.nextafter(box.lower, -np.inf, dtype=box.lower.dtype), np.nextafter(box.upper, np.inf)
    outside = (vectors < low) | (vectors > high)
    if outside.any():
        i = int(np.argwhere(outside)[0][-1])
        found = vectors[tuple(np.argwhere(outside)[0])]
        raise ValueError(
            f"{name}[{i}] is {found}, outside of bounds[{i}] = ({box.lower[i]}, {box.upper[i]}); start inside, or "
            "widen the bounds."
        )


def check_numbers(
    num_chains: Any, num_steps: Any, temperature: Any, schedule: Any, step_size: Any, gradient: Any, spread: Any
) -> None:
    """Raise unless there is something to run, at a temperature and a step size that can be had."""
    checks.positive_int("num_chains", num_chains)
    checks.positive_int("num_steps", num_steps)
    if schedule not in SCHEDULES:
        raise ValueError(
            f"schedule must be 'anneal', 'logarithmic' or None, got {schedule!r}; a schedule of your own is passed as "
            "temperature."
        )
    _check_temperature(temperature, schedule)
    if isinstance(step_size, str) and step_size not in ("tuned", "theorem"):
        raise ValueError(
            f"step_size must be 'tuned', 'theorem', a float > 0 or a schedule of the step, got {step_size!r}."
        )
    if not isinstance(step_size, str):
        checks.number("step_size", step_size, positive=True)
    for name, value in (("step_size", step_size), ("temperature", temperature)):
        if isinstance(value, np.ndarray | jax.Array) and value.ndim:
            raise ValueError(f"{name} must be one number, got an array of shape {value.shape}; pass a float.")
    if gradient is not None and not isinstance(gradient, GradientEstimator):
        raise TypeError(
            f"gradient must be one of langevax.gradients or None, got {gradient!r}; fun is differentiated by JAX."
        )
    if spread is not None:
        checks.number("spread", np.asarray(spread) if isinstance(spread, list | tuple) else spread)


def _check_temperature(temperature: Any, schedule: Any) -> None:
    if isinstance(temperature, tuple | list):
        if schedule != "anneal" or len(temperature) != 2:
            raise ValueError(
                f"temperature is {temperature!r} with schedule={schedule!r}; a pair is (hot, cold) for "
                "schedule='anneal', otherwise pass one number."
            )
        for name, value in zip(("temperature[0]", "temperature[1]"), temperature, strict=True):
            checks.number(name, value, positive=True)
    elif temperature is None:
        if schedule is None:
            raise ValueError("schedule=None keeps one temperature, but temperature is None; pass temperature=1/beta.")
    elif callable(temperature):
        if schedule == "logarithmic":
            raise ValueError("temperature is a schedule itself, beside schedule='logarithmic'; pass one of them.")
    else:
        checks.number("temperature", temperature, positive=schedule is not None)


def check_scalar(problem: Problem, position: Array) -> None:
    """Raise unless `fun` can be traced by JAX and returns one real number."""
    try:
        value = jax.eval_shape(problem.value, position)
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
        raise TypeError(
            "fun must be a function that JAX can trace, but it asks for the numbers of its argument; write it with "
            f"jax.numpy, without float() or NumPy ({str(error).splitlines()[0]})"
        ) from error
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(f"fun must return a floating number, got {value.dtype}; it has no gradient otherwise.")


def as_callback(callback: Any) -> Callable[[Any], Any] | None:
    """SciPy's convention: one that names its parameter `intermediate_result` gets all of it, any other one x."""
    if callback is None:
        return None
    if not callable(callback):
        raise TypeError(f"callback must be a function callback(intermediate_result), got {callback!r}.")
    import inspect

    try:
        named = set(inspect.signature(callback).parameters) == {"intermediate_result"}
    except ValueError:  # a built-in without a signature
        named = False
    return (lambda state: callback(intermediate_result=state)) if named else (lambda state: callback(state.x))
