"""The compiled loop: one program advances any algorithm by any number of steps.

Two nested while-loops with traced bounds: the inner one steps, the outer one records. Neither a length, nor an
interval, nor a float of the algorithm or problem is part of the program, so none compiles again. The key of a step is
fold_in(key, step), split over chains: numbers do not depend on where a run is cut. Records go into a buffer whose size
depends on the record alone; its last slot takes what is computed off the grid, which leaves the loop without a branch
around the state (a branch would copy it).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int32, Key, UInt32

from langevax._typing import BoolScalar, PRNGKey, PyTree
from langevax.algorithm import INIT_STEP, START_STEP, Algorithm, Info
from langevax.keys import unrolled
from langevax.problems.problem import Problem
from langevax.run import processes
from langevax.run.chains import Chains, keys_of, over

BUFFER_BYTES = 2**24
MAX_SLOTS = 1024
NO_GRID = 2**31 - 1  # an interval that no run reaches

Observe = Callable[[Any, Any], PyTree]


class Observers(NamedTuple):
    """Functions of the state that are recorded and averaged on the grid."""

    record: Observe | None
    average: Observe | None


class Count(NamedTuple):
    """A count of 64 bits on devices that have 32: two uint32 limbs with a carry."""

    low: UInt32[Array, "..."]
    high: UInt32[Array, "..."]

    @classmethod
    def of(cls, increment: Array) -> "Count":
        """Return a count that starts with an increment in [0, 2^32)."""
        low = increment.astype(jnp.uint32)
        return cls(low, jnp.zeros_like(low))

    def plus(self, increment: Array) -> "Count":
        """Add an increment in [0, 2^32)."""
        low = self.low + increment.astype(jnp.uint32)
        carried = (low < self.low).astype(jnp.uint32)
        return Count(low, self.high + carried)

    def to_int64(self) -> np.ndarray:
        """Return the counts as NumPy int64."""
        low = processes.gather(self.low)
        high = processes.gather(self.high)
        return np.asarray((high.astype(np.int64) << 32) + low.astype(np.int64))


class RunningMoments(NamedTuple):
    """Running mean and sum of squared deviations (Welford), per chain."""

    num_terms: Int32[Array, ""]
    mean: PyTree
    squares: PyTree


class Carry(NamedTuple):
    """The whole state of a run between two steps, and the content of a checkpoint."""

    step: Int32[Array, ""]
    state: Any
    counts: dict[str, Count]
    metrics: dict[str, Float[Array, "..."]]  # running means since the last record
    since: Int32[Array, ""]  # steps since the last record
    moments: RunningMoments | None


class Record(NamedTuple):
    """One slot of the buffer."""

    values: PyTree
    counts: dict[str, Count]
    metrics: dict[str, Float[Array, "..."]]


class RunParts(NamedTuple):
    """The parts of a run, which no step replaces."""

    algorithm: Algorithm
    problem: Problem
    key: PRNGKey
    observers: Observers = Observers(None, None)
    chains: Chains | None = None

    @property
    def num_chains(self) -> int | None:
        """None for a run without a chain axis."""
        return None if self.chains is None else self.chains.number

    def over_chains(self, function: Callable[..., Any], *per_chain: Any) -> Any:
        """Apply a function of one chain to all of them."""
        return over(function, self.algorithm, self.chains)(*per_chain)

    def keys(self, number: Any) -> Key[Array, "..."]:
        """Return the key of each chain that belongs to a number, such as a step."""
        return keys_of(random.fold_in(unrolled(self.key), number), self.chains)


class Chunk(NamedTuple):
    """Inputs of a chunk of steps that are read and not replaced."""

    parts: RunParts
    stop: Int32[Array, ""]
    every: Int32[Array, ""]


def start_key(key: PRNGKey) -> PRNGKey:
    """Return the key from which the start is drawn."""
    return random.fold_in(key, START_STEP)


@eqx.filter_jit
def start_positions(
    start: Callable[[Any], PyTree], key: PRNGKey, num_chains: int | None
) -> PyTree:
    """Return `start(key)`, or one per chain."""
    key = start_key(unrolled(key))
    return (
        start(key)
        if num_chains is None
        else jax.vmap(start)(random.split(key, num_chains))
    )


@eqx.filter_jit
def begin(parts: RunParts, positions: PyTree) -> Carry:
    """Return the carry before step 0."""

    def init(position: PyTree, key: PRNGKey) -> tuple[Any, Any]:
        state, info = parts.algorithm.init(parts.problem, position, key)
        return state, _split_info(info)

    keys = parts.keys(INIT_STEP)
    state, (counts, metrics) = parts.over_chains(init, positions, keys)
    moments = None
    if parts.observers.average is not None:
        values = _averages(parts, state)
        zeros = jax.tree.map(jnp.zeros_like, values)
        moments = RunningMoments(jnp.int32(0), zeros, zeros)
    counts = {name: Count.of(count) for name, count in counts.items()}
    return Carry(jnp.int32(0), state, counts, metrics, jnp.int32(0), moments)


def make_buffer(parts: RunParts, carry: Carry) -> Any:
    """Return slots for as many records as fit in BUFFER_BYTES, and one more for what is off the grid."""
    if parts.observers.record is None:
        return None
    record = eqx.filter_eval_shape(_record, parts, carry)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(record))
    affordable = BUFFER_BYTES // max(size, 1)
    slots = max(1, min(MAX_SLOTS, affordable))

    def empty(leaf: Any) -> Array:
        # neither NumPy's zeros nor `device_put` needs a program for each shape, as `jnp.zeros` and `jnp.asarray` do
        return jax.device_put(np.zeros((slots + 1, *leaf.shape), leaf.dtype))

    return jax.tree.map(empty, record)


def spread_over_processes(buffer: Any, parts: RunParts, carry: Carry) -> Any:
    """Put the buffer on the devices of all processes, split as the records are, so that recording sends nothing."""
    if parts.observers.record is None:
        return buffer
    record = eqx.filter_jit(_record)(parts, carry)

    def split(slots: Array, leaf: Array) -> Array:
        sharding = leaf.sharding
        if isinstance(sharding, NamedSharding):
            sharding = NamedSharding(sharding.mesh, PartitionSpec(None, *sharding.spec))
        return processes.put(slots, sharding)

    return jax.tree.map(split, buffer, record)


def num_slots(buffer: Any) -> int:
    """Return the number of records that fit."""
    return jax.tree.leaves(buffer)[0].shape[0] - 1


@eqx.filter_jit
def advance(chunk: Chunk, carry: Carry, buffer: Any) -> tuple[Carry, Any]:
    """Run steps until `stop`; record and average after each step that is a multiple of `every`."""
    return _advanced(chunk, carry, buffer)


@eqx.filter_jit(donate="all-except-first")
def advance_in_place(chunk: Chunk, carry: Carry, buffer: Any) -> tuple[Carry, Any]:
    """Do what `advance` does, and replace the carry and the buffer where they lie: the old ones are deleted."""
    return _advanced(chunk, carry, buffer)


def _advanced(chunk: Chunk, carry: Carry, buffer: Any) -> tuple[Carry, Any]:
    parts = chunk.parts

    def to_next_record(
        loop: tuple[Carry, Any, Int32[Array, ""]],
    ) -> tuple[Carry, Any, Int32[Array, ""]]:
        carry, buffer, slot = loop
        carry, on_grid = _next_on_grid(chunk, carry)
        if carry.moments is not None:
            values = _averages(parts, carry.state)
            moments = _update(carry.moments, values, on_grid)
            carry = carry._replace(moments=moments)
        if buffer is not None:
            place = jnp.where(on_grid, slot, num_slots(buffer))
            buffer = jax.tree.map(
                lambda b, r: lax.dynamic_update_index_in_dim(b, r, place, 0),
                buffer,
                _record(parts, carry),
            )
            carry = carry._replace(since=jnp.where(on_grid, 0, carry.since))
        return carry, buffer, slot + on_grid.astype(jnp.int32)

    if buffer is None and carry.moments is None:
        return _to(chunk, carry, chunk.stop), buffer
    carry, buffer, _ = lax.while_loop(
        lambda loop: loop[0].step < chunk.stop,
        to_next_record,
        (carry, buffer, jnp.int32(0)),
    )
    return carry, buffer


def _to(chunk: Chunk, carry: Carry, target: Int32[Array, ""]) -> Carry:
    """Return the carry at a step."""
    return lax.while_loop(lambda c: c.step < target, partial(_next, chunk), carry)


def _next(chunk: Chunk, carry: Carry) -> Carry:
    """Return the carry one step later."""
    parts = chunk.parts

    def step(state: Any, key: PRNGKey) -> tuple[Any, Any]:
        state, info = parts.algorithm.step(parts.problem, state, key, carry.step)
        return state, _split_info(info)

    keys = parts.keys(carry.step)
    state, (increments, terms) = parts.over_chains(step, carry.state, keys)
    since = carry.since + 1
    metrics = {
        name: _running_mean(mean, terms[name], since)
        for name, mean in carry.metrics.items()
    }
    counts = {
        name: count.plus(increments[name]) for name, count in carry.counts.items()
    }
    return Carry(carry.step + 1, state, counts, metrics, since, carry.moments)


def _next_on_grid(chunk: Chunk, carry: Carry) -> tuple[Carry, BoolScalar]:
    """Return the carry at the next multiple of `every`, or at the stop, and whether it is such a multiple."""
    every = chunk.every
    # what `%` does for negative numbers would be three kernels more
    to_grid = every - lax.rem(carry.step, every)
    # no sum beyond int32
    target = carry.step + jnp.minimum(chunk.stop - carry.step, to_grid)
    carry = _to(chunk, carry, target)
    return carry, lax.rem(carry.step, every) == 0


def with_own_buffers(carry: Carry, positions: PyTree) -> Carry:
    """Return a carry that may be donated: no buffer of it is that of a start, or is there twice."""
    taken = {
        pointer for leaf in jax.tree.leaves(positions) for pointer in _buffers(leaf)
    }

    def own(leaf: Array) -> Array:
        buffers = _buffers(leaf)
        if not taken.isdisjoint(buffers):
            return jax.device_put(leaf, may_alias=False)
        taken.update(buffers)
        return leaf

    return jax.tree.map(own, carry)


def _buffers(array: Array) -> list[int]:
    return [shard.data.unsafe_buffer_pointer() for shard in array.addressable_shards]


def all_finite(position: PyTree) -> bool:
    """Return whether a position is finite; apart from `advance`, so that a sharded step reduces nothing for it."""
    leaves = jax.tree.leaves(position)
    if all(map(_on_host, leaves)):  # NumPy needs no program for each shape
        return all(np.isfinite(np.asarray(leaf)).all() for leaf in leaves)
    return bool(_all_finite(leaves))


def _on_host(array: Array) -> bool:
    devices = array.devices()
    return len(devices) == 1 and next(iter(devices)).platform == "cpu"


@eqx.filter_jit
def _all_finite(leaves: list[Array]) -> BoolScalar:
    return jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]).all()


def _split_info(info: Info) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return counts and metrics, which differ by dtype."""
    arrays = {name: jnp.asarray(value) for name, value in info.items()}
    counts = {
        name: value
        for name, value in arrays.items()
        if jnp.issubdtype(value.dtype, jnp.integer)
    }
    return counts, {
        name: averageable(value) for name, value in arrays.items() if name not in counts
    }


def averageable(value: Any) -> Array:
    """Return a floating array of at least 32 bits: a running mean in 16 bits stagnates after some hundred terms."""
    array = jnp.asarray(value)
    wide = jnp.issubdtype(array.dtype, jnp.floating) and array.dtype.itemsize >= 4
    return array if wide else array.astype(jnp.float32)


def _running_mean(mean: Array, term: Array, count: Int32[Array, ""]) -> Array:
    """Return the mean of `count` terms, `term` the last; the first of them replaces `mean`, even a NaN."""
    moved = mean + (term - mean) / count.astype(mean.dtype)
    return jnp.where(count == 1, term, moved)


def observed(parts: RunParts, observe: Observe, state: Any) -> PyTree:
    """Return what an observer returns for each chain, as arrays."""
    return parts.over_chains(
        lambda state: jax.tree.map(jnp.asarray, observe(parts.problem, state)), state
    )


def _averages(parts: RunParts, state: Any) -> PyTree:
    assert parts.observers.average is not None
    return jax.tree.map(averageable, observed(parts, parts.observers.average, state))


def _record(parts: RunParts, carry: Carry) -> Record:
    assert parts.observers.record is not None
    values = observed(parts, parts.observers.record, carry.state)
    return Record(values, carry.counts, carry.metrics)


def _update(
    moments: RunningMoments, values: PyTree, on_grid: BoolScalar
) -> RunningMoments:
    num_terms = moments.num_terms + on_grid.astype(jnp.int32)

    def next_mean(mean: Array, x: Array) -> Array:
        count = jnp.maximum(num_terms, 1).astype(mean.dtype)
        return jnp.where(on_grid, mean + (x - mean) / count, mean)

    def next_squares(
        squares: Array,
        x: Array,
        old: Array,
        new: Array,
    ) -> Array:
        grown = squares + (x - old) * (x - new)
        return jnp.where(on_grid, grown, squares)

    mean = jax.tree.map(next_mean, moments.mean, values)
    squares = jax.tree.map(next_squares, moments.squares, values, moments.mean, mean)
    return RunningMoments(num_terms, mean, squares)
