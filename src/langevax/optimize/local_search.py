"""Many local searches at once: projected L-BFGS, one evaluation of each search a step, in a single compiled loop.

    p = -H g on the coordinates that a bound does not hold,      y+ = clip(y + t p),      f(y+) <= f(y) + c1 <g, y+ - y>

H is the inverse of the last LBFGS_MEMORY pairs of differences (Nocedal and Wright, Numerical Optimization, Algorithm 7.4), t
is 1, or is interpolated by a cubic where the value falls too little (Armijo). Changes: a pair of negative curvature is
left out and doubles the next t instead, so that a search leaves a plateau in few steps; a search that fails begins
again once along the gradient; and it settles when two steps in turn promise nothing, as a single one may where the
curvature along the last step was a million times the one ahead. Searches do not wait for each other's line searches,
and a finished one costs nothing that is counted. Positions are in units of the box, `x = center + scale * y`, and
values in a power of two near the steepest slope of the starts, so that no square of a slope is too large or too small
for its dtype.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from langevax import trees
from langevax._typing import BoolScalar, FloatScalar, HostVector, IntScalar, Vector
from langevax.problems.problem import Problem

Place = HostVector
Places = Float[np.ndarray, "places d"]
Values = Float[np.ndarray, " places"]
LBFGS_MEMORY = 16  # last steps, whose differences are the curvature
FIRST_LENGTH = 0.02  # of the first step, in units of the box, where none is passed
HOME = 1e-3
"""Distance, for each root of the dimension, at which a search has come back to a minimum that is known."""
CHUNK = 1024  # values that are computed in one call


class Rules(NamedTuple):
    """Conditions on which a step is taken, and a search ends."""

    armijo: float = 1e-4
    """Share of the gain that the slope promises, which a step must bring."""
    max_backtracks: int = 10
    straight: float = 1e-10
    """Cosine of a move and the change of gradient along it, up to which no curvature is seen."""
    abandoned: float = 4.0
    """A search that is to reach a target ends where it would miss it with so many times the gain of its next step."""
    gain: float = 1e-12
    """A search ends where a step promises less than this part of what the search has gained."""
    roundings: float = 4.0
    """Of the value, below which no gain is seen."""


RULES = Rules()


class Frame(NamedTuple):
    """The units of a search: `x = center + scale * y`, with the bounds of both."""

    center: Vector
    scale: Vector
    lower: Vector
    upper: Vector
    x_lower: Vector
    x_upper: Vector

    def to_x(self, y: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """Return positions, which rounding does not carry out of the box."""
        return jnp.clip(self.center + self.scale * y, self.x_lower, self.x_upper)


class SearchEnds(NamedTuple):
    """Ends of searches, as NumPy arrays."""

    y: Places
    fun: Values
    start_fun: Values
    evaluations: Int[np.ndarray, " searches"]
    """Values with gradients."""
    moved: Bool[np.ndarray, " searches"]
    """False where no step was accepted, as on a plateau."""
    settled: Bool[np.ndarray, " searches"]
    """True where no step promised a gain; False where line searches failed, as at a kink, or evaluations ran out."""


class Limits(NamedTuple):
    """Conditions that end searches before they settle."""

    evaluations: IntScalar
    target: FloatScalar
    """Of the value, which they are to reach."""
    home: Vector
    """A minimum that is known already, to which they have come back within `radius`; none where that is negative."""
    radius: FloatScalar


class LocalSearch(NamedTuple):
    """One search between two evaluations."""

    y: Vector
    fun: FloatScalar
    gradient: Vector
    start_fun: FloatScalar
    direction: Vector
    step: FloatScalar
    moves: Float[Array, "memory d"]
    """Of the last accepted steps, the newest last; zero where there is none."""
    changes: Float[Array, "memory d"]
    """Of the gradient along them."""
    backtracks: IntScalar
    evaluations: IntScalar
    accepted: IntScalar
    quiet: BoolScalar
    """True where the step ahead promises next to nothing."""
    settled: BoolScalar
    active: BoolScalar


def value_and_gradient(
    problem: Problem, frame: Frame, y: Vector
) -> tuple[FloatScalar, Vector]:
    """Return both in the units of the frame."""
    value, gradient = problem.potential_and_gradient(frame.to_x(y))
    return value, gradient * frame.scale


def free(frame: Frame, y: Vector, gradient: Vector) -> Bool[Array, " d"]:
    """Return the coordinates that descent does not push out of the box."""
    held_below = (y <= frame.lower) & (gradient > 0)
    held_above = (y >= frame.upper) & (gradient < 0)
    return ~(held_below | held_above)


def descent_direction(
    gradient: Vector,
    unbound: Bool[Array, " d"],
    moves: Float[Array, "memory d"],
    changes: Float[Array, "memory d"],
) -> Vector:
    """Return -H g on the free coordinates, by the two loops of L-BFGS; a short step along -g without pairs."""
    q = jnp.where(unbound, gradient, 0)
    moves = jnp.where(unbound, moves, 0)
    changes = jnp.where(unbound, changes, 0)
    curvatures = jnp.sum(moves * changes, axis=1)
    usable = curvatures > RULES.straight * jnp.linalg.norm(
        moves, axis=1
    ) * jnp.linalg.norm(changes, axis=1)
    inverse = jnp.where(usable, 1 / jnp.where(usable, curvatures, 1), 0)
    length = jnp.linalg.norm(q)
    scaling = FIRST_LENGTH / jnp.where(length > 0, length, 1)

    def backwards(direction: Array, pair: tuple[Array, ...]) -> tuple[Array, Array]:
        move, change, factor = pair
        weight = factor * (move @ direction)
        return direction - weight * change, weight

    def forwards(direction: Array, pair: tuple[Array, ...]) -> tuple[Array, None]:
        move, change, factor, weight = pair
        return direction + (weight - factor * (change @ direction)) * move, None

    pairs = moves, changes, inverse
    direction, weights = lax.scan(backwards, q, pairs, reverse=True)
    newest = jnp.max(jnp.where(usable, jnp.arange(LBFGS_MEMORY), -1))
    squared = jnp.sum(changes[newest] ** 2)
    divisor = jnp.where(squared > 0, squared, 1)
    scaling = jnp.where(newest >= 0, curvatures[newest] / divisor, scaling)
    direction, _ = lax.scan(forwards, scaling * direction, (*pairs, weights))
    falls = (direction @ q > 0) & jnp.isfinite(direction).all()
    direction = jnp.where(unbound, direction, 0)
    return -jnp.where(falls, direction, scaling * q)


def _begin(
    frame: Frame,
    y: Array,
    value: Array,
    gradient: Array,
    active: Array,
    first: Array,
) -> LocalSearch:
    empty = jnp.zeros((LBFGS_MEMORY, *y.shape), y.dtype)
    slopes = jnp.where(free(frame, y, gradient), gradient, 0)
    length = jnp.linalg.norm(slopes)
    direction = -first * slopes / jnp.where(length > 0, length, 1)
    one = jnp.ones((), y.dtype)
    none = jnp.zeros((), jnp.int32)
    finite = jnp.isfinite(value) & jnp.isfinite(direction).all()
    steep = jnp.any(direction != 0)
    counts = none, none + 1, none
    ends = jnp.zeros((), bool), finite & ~steep, active & finite & steep
    return LocalSearch(
        y, value, gradient, value, direction, one, empty, empty, *counts, *ends
    )


class LineTrial(NamedTuple):
    """The next evaluation of a search, and what it says of the step."""

    y: Vector
    fun: FloatScalar
    gradient: Vector
    move: Vector
    change: Vector
    """Of the gradient along it."""
    slope: FloatScalar
    """Where the move begins, along it."""
    finite: BoolScalar
    accepted: BoolScalar
    curved: BoolScalar
    """True where the change of gradient is a curvature."""


def _trial(
    problem: Problem,
    frame: Frame,
    unit: FloatScalar,
    search: LocalSearch,
) -> LineTrial:
    y = jnp.clip(search.y + search.step * search.direction, frame.lower, frame.upper)
    value, gradient = (part / unit for part in value_and_gradient(problem, frame, y))
    move = y - search.y
    change = gradient - search.gradient
    slope = search.gradient @ move
    finite = jnp.isfinite(value) & jnp.isfinite(gradient).all()
    accepted = (
        finite
        & (slope < 0)
        & (value <= search.fun + RULES.armijo * slope)
        & (value < search.fun)
    )
    straight = RULES.straight * jnp.linalg.norm(move) * jnp.linalg.norm(change)
    curved = move @ change > straight
    return LineTrial(y, value, gradient, move, change, slope, finite, accepted, curved)


def _pairs(
    search: LocalSearch, trial: LineTrial, fails: BoolScalar
) -> tuple[Float[Array, "memory d"], Float[Array, "memory d"]]:
    """Return the moves and changes that are remembered: none after a failure."""

    def remembered(before: Array, newest: Array) -> Array:
        longer = jnp.concatenate([before[1:], newest[None]])
        shortened = jnp.where(fails, jnp.zeros_like(before), before)
        after_step = jnp.where(trial.curved, longer, before)
        return jnp.where(trial.accepted, after_step, shortened)

    return (
        remembered(search.moves, trial.move),
        remembered(search.changes, trial.change),
    )


def advance(
    problem: Problem,
    frame: Frame,
    unit: FloatScalar,
    search: LocalSearch,
    limits: Limits,
) -> LocalSearch:
    """Evaluate the next trial of a search, then step, shorten the step, begin again along the gradient, or end.

    Values and gradients of the search are in this unit.
    """
    trial = _trial(problem, frame, unit, search)
    accept = trial.accepted
    fails = ~accept & (search.backtracks >= RULES.max_backtracks)
    moves, changes = _pairs(search, trial, fails)
    y = jnp.where(accept, trial.y, search.y)
    fun = jnp.where(accept, trial.fun, search.fun)
    gradient = jnp.where(accept, trial.gradient, search.gradient)
    unbound = free(frame, y, gradient)
    direction = jnp.where(
        accept | fails,
        descent_direction(gradient, unbound, moves, changes),
        search.direction,
    )
    step = _next_step(search, trial, fails)
    promise = -jnp.where(unbound, gradient, 0) @ direction * step
    quiet = accept & trial.curved & (promise <= _least_gain(search, fun))
    settled = search.quiet & (~accept | quiet)
    settled |= ~jnp.any(direction != 0)
    exhausted = fails & ~jnp.any(search.moves != 0)
    ahead = fun - RULES.abandoned * promise
    hopeless = accept & trial.curved & (ahead > limits.target / unit)
    back = accept & (jnp.linalg.norm(y - limits.home) <= limits.radius)
    evaluations = search.evaluations + 1
    ended = settled | exhausted | hopeless | back | (evaluations >= limits.evaluations)
    return search._replace(
        y=y,
        fun=fun,
        gradient=gradient,
        direction=direction,
        step=step,
        moves=moves,
        changes=changes,
        backtracks=jnp.where(accept | fails, 0, search.backtracks + 1),
        evaluations=evaluations,
        accepted=search.accepted + accept.astype(jnp.int32),
        quiet=quiet,
        settled=settled,
        active=search.active & ~ended,
    )


def _least_gain(search: LocalSearch, fun: FloatScalar) -> FloatScalar:
    """Return the gain below which a step is quiet: of the whole, or of rounding."""
    rounding = RULES.roundings * jnp.finfo(fun.dtype).eps * jnp.abs(fun)
    return RULES.gain * (search.start_fun - fun) + rounding


def _next_step(search: LocalSearch, trial: LineTrial, fails: BoolScalar) -> FloatScalar:
    """Return 1 after a step or a new start, more on a plateau, and less after a trial that is too high."""
    lowest = lowest_of_cubic(
        trial.fun - search.fun, trial.slope, trial.gradient @ trial.move
    )
    shortened = search.step * jnp.where(trial.finite, lowest, 0.1)
    longer = jnp.where(trial.curved, 1, jnp.minimum(2 * search.step, 1e6))
    longer = longer.astype(search.step.dtype)
    shortened = jnp.where(fails, 1, shortened)
    return jnp.where(trial.accepted, longer, shortened)


def lowest_of_cubic(rise: Array, slope: Array, slope_ahead: Array) -> Array:
    """Return where in [0.1, 0.5] a cubic is lowest, by its rise from 0 to 1 and its slopes there."""
    middle = slope + slope_ahead - 3 * rise
    root = jnp.sqrt(jnp.maximum(middle**2 - slope * slope_ahead, 0))
    below = slope_ahead - slope + 2 * root
    divisor = jnp.where(below > 0, below, 1)
    at = 1 - (slope_ahead + root - middle) / divisor
    exists = (below > 0) & jnp.isfinite(at)
    return jnp.clip(jnp.where(exists, at, 0.1), 0.1, 0.5)


@eqx.filter_jit
def searches(
    problem: Problem,
    frame: Frame,
    starts: Array,
    active: Array,
    first: Array,
    limits: Limits,
) -> LocalSearch:
    """Return the states in which searches end; those that are not active stay where they start."""
    fun, slopes = jax.vmap(lambda y: value_and_gradient(problem, frame, y))(starts)
    steepness = jnp.where(jnp.isfinite(slopes), jnp.abs(slopes), 0)
    unit = power_of_two(jnp.max(steepness))

    def one(search: LocalSearch) -> LocalSearch:
        ahead = advance(problem, frame, unit, search, limits)
        return trees.where(search.active, ahead, search)

    begin = jax.vmap(lambda *search: _begin(frame, *search))(
        starts, fun / unit, slopes / unit, active, first
    )
    ends = lax.while_loop(lambda states: jnp.any(states.active), jax.vmap(one), begin)
    return ends._replace(fun=ends.fun * unit, start_fun=ends.start_fun * unit)


def power_of_two(number: FloatScalar) -> FloatScalar:
    """Return the power of two above a positive number, by which division is exact; 1 for 0.

    Example:
        >>> print(power_of_two(jnp.asarray(3.0)), power_of_two(jnp.asarray(0.0)))
        4.0 1.0
    """
    most = int(np.log2(float(jnp.finfo(number.dtype).max))) - 8
    exponent = jnp.where(number > 0, jnp.frexp(number)[1], 0)
    one = jnp.ones((), number.dtype)
    return jnp.ldexp(one, jnp.clip(exponent, -most, most))


def local_searches(
    problem: Problem,
    frame: Frame,
    starts: Places,
    lanes: int,
    limit: int,
    target: float = np.inf,
    first: Values | float = FIRST_LENGTH,
    home: Place | None = None,
) -> SearchEnds:
    """Return where L-BFGS ends from each of up to `lanes` starts; one program serves any number of them.

    Searches take up to `limit` evaluations each; those that are to end above `target` are abandoned, and those that
    come near `home` have come back. `first` are the lengths of their first steps.
    """
    number = len(starts)
    dtype = frame.scale.dtype
    padded = jnp.asarray(_padded(starts, lanes), dtype)
    active = jnp.arange(lanes) < number
    lengths = np.full(lanes, FIRST_LENGTH)
    lengths[:number] = first
    known, radius = starts[0], -1.0
    if home is not None:
        known, radius = home, HOME * np.sqrt(len(home))
    numbers = lengths, target, known, radius
    lengths, *others = (jnp.asarray(number, dtype) for number in numbers)
    limits = Limits(jnp.int32(limit), *others)
    ends = searches(problem, frame, padded, active, lengths, limits)

    def of_starts(array: Array, dtype: type | None = None) -> np.ndarray:
        return np.asarray(array, dtype)[:number]

    fun = of_starts(ends.fun, np.float64)
    return SearchEnds(
        of_starts(ends.y, np.float64),
        np.where(np.isnan(fun), np.inf, fun),
        of_starts(ends.start_fun, np.float64),
        of_starts(ends.evaluations),
        of_starts(ends.accepted) > 0,
        of_starts(ends.settled),
    )


def _padded(places: Places, number: int) -> Places:
    """Repeat the first place, up to so many."""
    repeated = np.repeat(places[:1], number - len(places), axis=0)
    return np.concatenate([places, repeated])


@eqx.filter_jit
def _values(
    problem: Problem,
    frame: Frame,
    ys: Float[Array, "places d"],
    number: IntScalar,
    size: int = 16,
) -> Array:
    """Return the values of the first `number` places, `size` at a time."""

    def block(i: IntScalar, fun: Array) -> Array:
        part = lax.dynamic_slice_in_dim(ys, i * size, size)
        heights = jax.vmap(lambda y: problem.potential(frame.to_x(y)))(part)
        return lax.dynamic_update_slice_in_dim(fun, heights, i * size, 0)

    nothing = jnp.full(len(ys), jnp.inf, ys.dtype)
    return lax.fori_loop(0, (number + size - 1) // size, block, nothing)


def values(problem: Problem, frame: Frame, ys: Places) -> Values:
    """Return the values at any number of places, infinite where they are not numbers; one program serves them all."""
    fun = np.empty(len(ys))
    for first in range(0, len(ys), CHUNK):
        part = ys[first : first + CHUNK]
        padded = jnp.asarray(_padded(part, CHUNK), frame.scale.dtype)
        chunk = _values(problem, frame, padded, jnp.int32(len(part)))
        fun[first : first + CHUNK] = np.asarray(chunk)[: len(part)]
    return np.where(np.isnan(fun), np.inf, fun)


@eqx.filter_jit
def _gradients(problem: Problem, frame: Frame, ys: Array) -> Array:
    return jax.vmap(lambda y: value_and_gradient(problem, frame, y)[1])(ys)


def gradients_at(problem: Problem, frame: Frame, ys: Places) -> Places:
    """Return the gradients at places."""
    places = jnp.asarray(ys, frame.scale.dtype)
    return np.asarray(_gradients(problem, frame, places), np.float64)


def gradient_at(problem: Problem, frame: Frame, y: Place) -> Place:
    """Return the gradient at a place."""
    return gradients_at(problem, frame, y[None])[0]
