"""What is compiled: one program advances any algorithm by any number of steps.

Two nested while-loops with traced bounds: the inner one steps, the outer one records. Neither a
length, nor an interval, nor a float of the algorithm or problem is part of the program, so none
compiles again. The key of a step is fold_in(key, step), split over chains: numbers do not depend on
where a run is cut. Records go into a buffer whose size depends on the record alone; its last slot
takes what is computed where the grid says nothing is to be kept, which leaves the loop without a
branch around the state (a branch would copy it).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int32, Key, PyTree

from langevax.algorithm import Algorithm, Info
from langevax.keys import unrolled
from langevax.problems.problem import Problem
from langevax.run import counters, processes
from langevax.run.chains import Chains, keys_of, over

BUFFER_BYTES = 2**24
MAX_SLOTS = 1024
NO_GRID = 2**31 - 1  # an interval that no run reaches
MAX_STEPS = NO_GRID - 1
INIT_STEP, START_STEP = 2**32 - 1, 2**32 - 2  # steps that no run reaches, for the keys of `init` and `start`

Observe = Callable[[Problem, Any], PyTree]


class Observers(NamedTuple):
    """What is looked at on the grid: recorded, averaged, or neither."""

    record: Observe | None
    average: Observe | None


class Moments(NamedTuple):
    """Running mean and sum of squared deviations (Welford), per chain."""

    looks: Int32[Array, ""]
    mean: PyTree
    squares: PyTree


class Carry(NamedTuple):
    """All that a run is between two steps; what a checkpoint holds."""

    step: Int32[Array, ""]
    state: Any
    counts: dict[str, counters.Count]
    metrics: dict[str, Float[Array, "..."]]  # running means since the last record
    since: Int32[Array, ""]  # steps since the last record
    moments: Moments | None


class Record(NamedTuple):
    """One slot of the buffer."""

    values: PyTree
    counts: dict[str, counters.Count]
    metrics: dict[str, Float[Array, "..."]]


def trace_floats(tree: PyTree, dtype: Any) -> PyTree:
    """Python and NumPy floats, and floating arrays of an algorithm, as arrays of the run's dtype."""

    def cast(leaf: Any) -> Any:
        is_float = eqx.is_array_like(leaf) and jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        return jnp.asarray(leaf, dtype) if is_float else leaf

    return jax.tree.map(cast, tree)


def _split_info(info: Info) -> tuple[dict[str, Array], dict[str, Array]]:
    """(counts, metrics), told apart by dtype."""
    arrays = {name: jnp.asarray(value) for name, value in info.items()}
    counts = {name: value for name, value in arrays.items() if jnp.issubdtype(value.dtype, jnp.integer)}
    return counts, {name: _averageable(value) for name, value in arrays.items() if name not in counts}


def _averageable(value: Any) -> Array:
    """Floating, of 32 bits at least: a running mean in 16 bits stands still after some hundred terms."""
    array = jnp.asarray(value)
    wide = jnp.issubdtype(array.dtype, jnp.floating) and array.dtype.itemsize >= 4
    return array if wide else array.astype(jnp.float32)


def start_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """Of the start of a run."""
    return random.fold_in(key, START_STEP)


@eqx.filter_jit
def start_positions(start: Callable[[Any], PyTree], key: Key[Array, ""], num_chains: int | None) -> PyTree:
    """`start(key)`, one for each chain."""
    key = start_key(unrolled(key))
    return start(key) if num_chains is None else jax.vmap(start)(random.split(key, num_chains))


@eqx.filter_jit
def begin(
    algorithm: Algorithm,
    problem: Problem,
    observers: Observers,
    positions: PyTree,
    key: Key[Array, ""],
    chains: Chains | None,
) -> Carry:
    """The carry before step 0."""

    def init(position: PyTree, key: Key[Array, ""]) -> tuple[Any, Any]:
        state, info = algorithm.init(problem, position, key)
        return state, _split_info(info)

    keys = keys_of(random.fold_in(unrolled(key), INIT_STEP), chains)
    state, (counts, metrics) = over(init, algorithm, chains)(positions, keys)
    moments = None
    if observers.average is not None:
        seen = jax.tree.map(_averageable, _observe(observers.average, algorithm, problem, state, chains))
        zeros = jax.tree.map(jnp.zeros_like, seen)
        moments = Moments(jnp.int32(0), zeros, zeros)
    counts = {name: counters.add(counters.zero_like(used), used) for name, used in counts.items()}
    return Carry(jnp.int32(0), state, counts, metrics, jnp.int32(0), moments)


def make_buffer(
    algorithm: Algorithm, problem: Problem, observers: Observers, carry: Carry, chains: Chains | None
) -> Any:
    """Slots for as many records as fit in BUFFER_BYTES, and one more for what is not kept."""
    if observers.record is None:
        return None
    one = eqx.filter_eval_shape(_record, algorithm, problem, observers.record, carry, chains)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(one))
    slots = max(1, min(MAX_SLOTS, BUFFER_BYTES // max(size, 1)))
    # NumPy's zeros need no program of their own for each shape
    return jax.tree.map(lambda leaf: jnp.asarray(np.zeros((slots + 1, *leaf.shape), leaf.dtype)), one)


def spread(
    buffer: Any, algorithm: Algorithm, problem: Problem, observers: Observers, carry: Carry, chains: Chains | None
) -> Any:
    """The buffer on the devices of all processes, split as the records are: recording then sends nothing."""
    if observers.record is None:
        return buffer
    one = eqx.filter_jit(_record)(algorithm, problem, observers.record, carry, chains)

    def split(slots: Array, record: Array) -> Array:
        sharding = record.sharding
        if isinstance(sharding, NamedSharding):
            sharding = NamedSharding(sharding.mesh, PartitionSpec(None, *sharding.spec))
        return processes.put(slots, sharding)

    return jax.tree.map(split, buffer, one)


def num_slots(buffer: Any) -> int | None:
    """Records that fit; None where nothing is recorded."""
    return None if buffer is None else jax.tree.leaves(buffer)[0].shape[0] - 1


@eqx.filter_jit
def advance(
    algorithm: Algorithm,
    problem: Problem,
    observers: Observers,
    carry: Carry,
    buffer: Any,
    key: Key[Array, ""],
    stop: Int32[Array, ""],
    every: Int32[Array, ""],
    chains: Chains | None,
) -> tuple[Carry, Any]:
    """Steps until `stop`; records and averages after each step that is a multiple of `every`."""

    def step_once(carry: Carry) -> Carry:
        def step(state: Any, key: Key[Array, ""]) -> tuple[Any, Any]:
            state, info = algorithm.step(problem, state, key, carry.step)
            return state, _split_info(info)

        keys = keys_of(random.fold_in(unrolled(key), carry.step), chains)
        state, (used, seen) = over(step, algorithm, chains)(carry.state, keys)
        since = carry.since + 1
        metrics = {name: _running_mean(mean, seen[name], since) for name, mean in carry.metrics.items()}
        counts = {name: counters.add(count, used[name]) for name, count in carry.counts.items()}
        return Carry(carry.step + 1, state, counts, metrics, since, carry.moments)

    def next_on_grid(carry: Carry) -> tuple[Carry, Bool[Array, ""]]:
        to_grid = every - lax.rem(carry.step, every)  # what `%` does for negative numbers would be three kernels more
        target = carry.step + jnp.minimum(stop - carry.step, to_grid)  # no sum beyond int32
        carry = lax.while_loop(lambda c: c.step < target, step_once, carry)
        return carry, lax.rem(carry.step, every) == 0

    def stretch(loop: tuple[Carry, Any, Int32[Array, ""]]) -> tuple[Carry, Any, Int32[Array, ""]]:
        carry, buffer, slot = loop
        carry, kept = next_on_grid(carry)
        if observers.average is not None and carry.moments is not None:
            seen = _observe(observers.average, algorithm, problem, carry.state, chains)
            carry = carry._replace(moments=_update(carry.moments, jax.tree.map(_averageable, seen), kept))
        if observers.record is not None:
            record = _record(algorithm, problem, observers.record, carry, chains)
            last = jax.tree.leaves(buffer)[0].shape[0] - 1
            place = jnp.where(kept, slot, last)
            buffer = jax.tree.map(lambda b, r: lax.dynamic_update_index_in_dim(b, r, place, 0), buffer, record)
            carry = carry._replace(since=jnp.where(kept, 0, carry.since))
        return carry, buffer, slot + kept.astype(jnp.int32)

    if observers.record is None and observers.average is None:
        return lax.while_loop(lambda c: c.step < stop, step_once, carry), buffer
    carry, buffer, _ = lax.while_loop(lambda loop: loop[0].step < stop, stretch, (carry, buffer, jnp.int32(0)))
    return carry, buffer


def all_finite(position: PyTree) -> bool:
    """Whether a position is finite; apart from `advance`, so that a sharded step reduces nothing for it.

    NumPy looks at numbers that lie on the host: it needs no program for each shape.
    """
    leaves = jax.tree.leaves(position)
    if all(on_host(leaf) for leaf in leaves):
        return all(bool(np.isfinite(np.asarray(leaf)).all()) for leaf in leaves)
    return bool(_all_finite(leaves))


def on_host(array: Array) -> bool:
    """Whether an array lies in the memory of one CPU."""
    devices = array.devices()
    return len(devices) == 1 and next(iter(devices)).platform == "cpu"


@eqx.filter_jit
def _all_finite(leaves: list[Array]) -> Bool[Array, ""]:
    return jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]).all()


def _running_mean(mean: Array, term: Array, count: Int32[Array, ""]) -> Array:
    """The mean of `count` terms, `term` the last; the first of them replaces `mean`, even a NaN."""
    return jnp.where(count == 1, term, mean + (term - mean) / count.astype(mean.dtype))


def _observe(observe: Observe, algorithm: Algorithm, problem: Problem, state: Any, chains: Chains | None) -> PyTree:
    def one(state: Any) -> PyTree:
        return jax.tree.map(jnp.asarray, observe(problem, state))

    return over(one, algorithm, chains)(state)


def _record(algorithm: Algorithm, problem: Problem, record: Observe, carry: Carry, chains: Chains | None) -> Record:
    values = _observe(record, algorithm, problem, carry.state, chains)
    return Record(values, carry.counts, carry.metrics)


def _update(moments: Moments, seen: PyTree, kept: Bool[Array, ""]) -> Moments:
    looks = moments.looks + kept.astype(jnp.int32)
    mean = jax.tree.map(
        lambda m, x: jnp.where(kept, m + (x - m) / jnp.maximum(looks, 1).astype(m.dtype), m), moments.mean, seen
    )
    squares = jax.tree.map(
        lambda s, x, old, new: jnp.where(kept, s + (x - old) * (x - new), s), moments.squares, seen, moments.mean, mean
    )
    return Moments(looks, mean, squares)


@eqx.filter_jit
def mean_value(problem: Problem, positions: PyTree, chains: Chains | None) -> Float[Array, ""]:
    """Mean over chains of the problem's value, for the eye."""
    return problem.value(positions) if chains is None else jnp.mean(jax.vmap(problem.value)(positions))
