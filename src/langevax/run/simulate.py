"""The driver: any algorithm on any problem, from any start, for any number of steps."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import Mesh, NamedSharding

from langevax import checks, trees
from langevax._typing import PRNGKey, PyTree
from langevax.algorithm import Algorithm, trace_floats
from langevax.problems import matmul
from langevax.problems.problem import Problem
from langevax.renamed import refuse_former
from langevax.run import chains, identity, processes, program
from langevax.run.checkpoint import Checkpoint, CheckpointError
from langevax.run.identity import RunIdentity
from langevax.run.options import ProgressOption, Run, check_run
from langevax.run.processes import PeerError
from langevax.run.program import NO_GRID, Observe
from langevax.run.progress import report_to
from langevax.run.result import Average, DivergenceError, Recording, Result, Trace
from langevax.run.signals import DelayedSignals
from langevax.run.start import Stacked, Start, place, start_positions

Callback: TypeAlias = Callable[[Trace | None, Any], Any]
"""`callback(trace, state)`: the records so far (None if nothing is recorded) and the algorithm's state; True stops."""

CHUNK_SECONDS = 0.25
"""Duration of a chunk of steps, between which the driver reads the clock, calls callbacks and checks for divergence."""
FIRST_CHUNK = 16
MOST_STEPS = NO_GRID - 1
LARGE_STATE = 2**26
"""Bytes of a state from which a chunk replaces it in place; a smaller one is kept until the next one is finite."""


def position_of(problem: Problem, state: Any) -> PyTree:
    """Return the position: the default record."""
    return state.position


@refuse_former
def simulate(
    algorithm: Algorithm,
    problem: Problem,
    start: Start,
    *,
    key: PRNGKey,
    num_steps: int,
    num_chains: int | None = None,
    record: Observe | None = position_of,
    record_every: int | None = None,
    average: Observe | None = None,
    callbacks: Sequence[Callback] = (),
    callback_every: int | None = None,
    run: Run = Run(),
    sharding: Mesh | NamedSharding | None = None,
) -> Result:
    """Run `algorithm` on `problem` for `num_steps` steps.

    Neurons' matrix products follow `jax.default_matmul_precision`: in `with jax.default_matmul_precision("bfloat16"):`
    their operands are rounded, and sums stay in float32.

    Args:
        start: a position, shared by all chains; a function `key -> position`, called once per chain; a `Result`, whose
            chains continue as another phase; or `Stacked(positions)`, one position per chain along axis 0.
        key: a typed key. Step s uses fold_in(key, s), split over chains: numbers depend neither on records, callbacks,
            checkpoints and resumption, nor on devices (up to summation order).
        num_steps: at most 2^31 - 2; a longer run goes on from its `Result`.
        num_chains: None runs one chain without a chain axis, or the chains of a `Result` or of `Stacked`.
        record: `record(problem, state) -> pytree`, evaluated after every `record_every` steps.
        record_every: None records nothing.
        average: `average(problem, state) -> pytree` whose running mean and variance are computed on the same grid, or
            over every step if `record_every` is None. Needs no memory per step.
        callbacks: each is called as `callback(trace, state)` after every `callback_every` steps, with the records so
            far; a callback that returns True stops the run. A run resumed on this grid calls them there again, so that
            one that stopped it stops it again.
        run: a `Run`: where the run is saved, whether a saved one goes on, and whether a progress bar is shown.
        sharding: a mesh, or a sharding of axis 0 of the position (particles, or chains). An axis of the mesh that is
            named "rows" splits the data; without one, every device holds all rows. Devices may be those of several
            processes (`langevax.run.process_group`): each calls `simulate` with the same arguments, and
            `langevax.run.gather` gathers an array of the result.

    Returns:
        A `Result`.

    Raises:
        DivergenceError: the position became non-finite; it carries the last finite state.
        CheckpointError: a checkpoint cannot be written, read, or belongs to another run.
        PeerError: another of the processes that share the run has ended.
        TypeError, ValueError: a wrong argument, which the message names with its remedy; also a call inside
            `jax.jit`, `vmap` or `grad`.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> problem = langevax.FiniteSum(lambda x, a: (x - a) ** 2 / 2, jnp.array([1.0, 3.0]))
        >>> langevin = langevax.Langevin(step_size=0.1, temperature=0.5)
        >>> result = langevax.simulate(
        ...     langevin, problem, jnp.array(0.0), key=jax.random.key(0), num_steps=50, num_chains=4, record_every=10
        ... )
        >>> result.positions.shape, result.evaluations, result.outcome
        ((4, 5), 400, 'Finished all 50 steps.')
    """
    _check_run(algorithm, problem, start, key, sharding)
    _check_observers(record, average, callbacks, callback_every)
    check_run(run)
    if num_chains is not None:
        num_chains = checks.whole("num_chains", num_chains)
    schedule = RunSchedule.of(
        num_steps, record_every, average is not None, callbacks, callback_every
    )
    algorithm.check_schedules(schedule.num_steps)
    began = time.perf_counter()
    record = record if record_every else None
    positions, num_chains = start_positions(start, key, num_chains)
    described = None
    if run.checkpoint is not None:
        settings = {
            "algorithm": algorithm,
            "problem": problem,
            "key": key,
            "num_chains": num_chains,
            "average": average,
            "record": record,
            "record_every": record_every and int(record_every),
            "start": positions,
        }
        described = identity.of(settings | matmul.describe_precision())
    shared = *trace_floats((algorithm, problem), trees.dtype_of(positions)), key
    if sharding is not None:
        positions, shared = place(positions, shared, sharding, num_chains)
    observers = program.Observers(record, average)
    split = chains.of(positions, num_chains)
    algorithm, problem, key = shared
    parts = program.RunParts(algorithm, problem, key, observers, split)
    loop = _Loop.of(parts, schedule, positions, began)
    checks.defined_start(loop.carry.state)
    if described is None and not callbacks and not loop.shared:
        # nobody else reads a state
        draw_again = partial(start_positions, start, key, num_chains)
        loop.replace_large_state(draw_again, positions)
    del positions  # the run replaces it: tables of gradients would be in memory twice
    if described is None:
        return loop.run(run.progress)
    return loop.run_saved(run, described)


class RunSchedule(NamedTuple):
    """The steps at which a run records, calls its callbacks, and ends."""

    num_steps: int
    every: int
    """Of records and averages."""
    callbacks: Sequence[Callback]
    callback_every: int

    @classmethod
    def of(
        cls,
        num_steps: Any,
        record_every: Any,
        is_averaged: bool,
        callbacks: Sequence[Callback],
        callback_every: Any,
    ) -> "RunSchedule":
        """Return the schedule; raise unless the run has an end, and its grids are intervals."""
        num_steps = checks.whole("num_steps", num_steps, minimum=0, maximum=MOST_STEPS)
        every = 1 if is_averaged else NO_GRID
        if record_every is not None:
            every = checks.whole("record_every", record_every, maximum=sys.maxsize)
        calls = NO_GRID
        if callback_every is not None:
            calls = checks.whole("callback_every", callback_every, maximum=sys.maxsize)
        return cls(num_steps, min(NO_GRID, every), callbacks, calls)


@dataclass
class Saving:
    """The place where a run is saved, the signals that wait until it is, and how often."""

    checkpoint: Checkpoint
    signals: DelayedSignals
    seconds: float
    last: float = field(default_factory=time.perf_counter)


@dataclass
class _Loop:
    """The loop over compiled chunks."""

    parts: program.RunParts
    schedule: RunSchedule
    began: float
    carry: Any
    """At the start of `run`."""
    shared: bool
    """With other processes."""
    buffer: Any
    recording: Recording | None
    restart: Callable[[], program.Carry] | None = None
    """Where chunks replace the state."""
    saving: Saving | None = None
    seconds_to_first_step: float = 0.0

    @classmethod
    def of(
        cls,
        parts: program.RunParts,
        schedule: RunSchedule,
        positions: PyTree,
        began: float,
    ) -> "_Loop":
        """Return the loop before step 0."""
        carry = program.begin(parts, positions)
        shared = processes.spans_processes(carry.step)
        buffer = program.make_buffer(parts, carry)
        recording = None
        if buffer is not None:
            if shared:
                buffer = program.spread_over_processes(buffer, parts, carry)
            recording = Recording(buffer, parts.num_chains)
        return cls(parts, schedule, began, carry, shared, buffer, recording)

    def replace_large_state(
        self, draw_again: Callable[[], tuple[PyTree, int | None]], positions: PyTree
    ) -> None:
        """Let chunks replace a large state where it lies, so that there is one and not two.

        The state before a chunk is then gone: where a run diverges, it is computed again, from the run's start.
        """
        leaves = [
            leaf
            for leaf in jax.tree.leaves(self.carry.state)
            if isinstance(leaf, jax.Array)
        ]
        if sum(leaf.nbytes for leaf in leaves) < LARGE_STATE:
            return
        self.carry = program.with_own_buffers(self.carry, positions)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, positions)

        def restart() -> program.Carry:
            again = jax.tree.map(processes.put, draw_again()[0], shardings)
            return program.begin(self.parts, again)

        self.restart = restart

    def outputs(self, carry: program.Carry) -> identity.Outputs:
        """Return what this run computes from a state, which no other run computes."""
        following = self.advance(carry, int(carry.step) + 1)
        return identity.outputs(self.parts, carry, following)

    def run_saved(self, run: Run, described: RunIdentity) -> Result:
        """Run from the last state that the checkpoint of `run` holds, and save."""
        assert run.checkpoint is not None
        saved = Checkpoint(run.checkpoint, described, run.resume, self.shared)
        try:
            self.resume(saved)
            with DelayedSignals() as signals:
                self.saving = Saving(saved, signals, run.checkpoint_seconds)
                return self.run(run.progress)
        finally:
            saved.close()

    def resume(self, saved: Checkpoint) -> None:
        """Begin where `saved` ends, if it holds anything."""
        empty = self.recording.empty if self.recording else None
        restored = saved.restore(self.carry, empty, self.schedule.every)
        if restored is None:
            self.outputs(self.carry)  # compiled now, so that no save waits for it
            return
        self.carry, records = restored
        num_steps = self.schedule.num_steps
        if int(self.carry.step) > num_steps:
            raise CheckpointError(
                f"num_steps is {num_steps} but checkpoint {str(saved.directory)!r} "
                f"holds {int(self.carry.step)} steps already; pass num_steps >= "
                f"{int(self.carry.step)}."
            )
        dtype = trees.dtype_of(self.carry.state.position)
        saved.compare_outputs(int(self.carry.step), self.outputs(self.carry), dtype)
        if self.recording is not None:
            self.recording.saved = records

    def advance(self, carry: program.Carry, stop: int) -> program.Carry:
        """Run to `stop`, leaving the records in the buffer."""
        bounds = self.number(stop), self.number(self.schedule.every)
        chunk = program.Chunk(self.parts, *bounds)
        advance = program.advance
        if self.restart is not None:
            advance = program.advance_in_place
        try:
            carry, self.buffer = advance(chunk, carry, self.buffer)
            jax.block_until_ready(carry)
        except jax.errors.JaxRuntimeError as error:
            if not self.shared:
                raise
            raise PeerError(checks.first_line(error)) from error
        return carry

    def number(self, value: int) -> Any:
        """Return an int32 on the devices of the run."""
        return np.asarray(value, np.int32) if self.shared else jnp.int32(value)

    def agreed(self, seconds: float) -> float:
        """Return a duration on which all processes of the run agree."""
        return processes.from_first(seconds) if self.shared else seconds

    def run(self, progress: ProgressOption) -> Result:
        num_steps = self.schedule.num_steps
        step = int(self.carry.step)
        # compiles: later chunks time the steps alone
        carry = self.advance(self.carry, step)
        self.carry = None
        self.seconds_to_first_step = time.perf_counter() - self.began
        shown = progress if not self.shared or processes.is_first() else False
        name = type(self.parts.algorithm).__name__
        length = FIRST_CHUNK
        # a resumed run asks again the callback that stopped it
        stopped = step > 0 and self.call(carry, step)
        try:
            with report_to(shown, step / max(num_steps, 1)) as report:
                while step < num_steps and not stopped:
                    stop = self.end_of_chunk(step, length)
                    clock = time.perf_counter()
                    following = self.advance(carry, stop)
                    if not program.all_finite(following.state.position):
                        self.raise_divergence(carry, step, stop)
                    self.keep_records(step, stop)
                    elapsed = self.agreed(time.perf_counter() - clock)
                    length = next_length(stop - step, elapsed, length)
                    carry = following
                    step = stop
                    report(f"{name} {step} of {num_steps} steps", step / num_steps)
                    self.save_when_due(carry, step < num_steps)
                    stopped = self.call(carry, step)
        except KeyboardInterrupt:
            self.save(carry)
            raise
        self.save(carry)
        outcome = f"Finished all {num_steps} steps."
        if stopped:
            outcome = f"Stopped by a callback after step {step} of {num_steps}."
        return self.result(carry, outcome)

    def end_of_chunk(self, step: int, length: int) -> int:
        """Return where a chunk ends: not beyond the end, the next callback, nor the slots of the buffer."""
        _, every, _, callback_every = self.schedule
        stop = min(self.schedule.num_steps, step + length)
        stop = min(stop, (step // callback_every + 1) * callback_every)
        if self.buffer is None:
            return stop
        slots = program.num_slots(self.buffer)
        return min(stop, (step // every + slots) * every)

    def keep_records(self, first: int, last: int) -> None:
        """Copy the records of a chunk from the buffer, if there are any."""
        if self.recording is not None:
            self.recording.copy_from(self.buffer, first, last, self.schedule.every)

    def trace(self) -> Trace | None:
        """Return all records."""
        return None if self.recording is None else self.recording.trace()

    def save_when_due(self, carry: program.Carry, goes_on: bool) -> None:
        """Save a run that goes on after some seconds, and any before a signal that waits has its effect."""
        saving = self.saving
        if saving is None:
            return
        waited = self.agreed(time.perf_counter() - saving.last)
        if goes_on and waited >= saving.seconds:
            self.save(carry)
            saving.last = time.perf_counter()
        if self.agreed(float(saving.signals.pending)):
            self.save(carry)
            saving.signals.pass_on()

    def call(self, carry: program.Carry, step: int) -> bool:
        """Call all callbacks where they are due; return whether one of them stops the run."""
        if step % self.schedule.callback_every != 0:
            return False
        trace = self.trace()
        answers = [
            checks.stops("a callback", callback(trace, carry.state))
            for callback in self.schedule.callbacks
        ]
        return any(answers)

    def save(self, carry: program.Carry) -> None:
        """Write the carry, and the records made since the last save, if the run is saved."""
        if self.saving is None:
            return
        step = int(carry.step)
        pending = None
        if self.recording is not None:
            pending = self.recording.pending_until(step)
        self.saving.checkpoint.save(step, carry, pending, self.outputs(carry))
        if self.recording is not None:
            self.recording.mark_saved()

    def raise_divergence(
        self,
        carry: program.Carry,
        finite: int,
        broken: int,
    ) -> None:
        """Bisect between the steps `finite` and `broken` for the first non-finite position, and raise there.

        Each probe starts from the last finite state: all of them together cost one chunk.
        """
        if self.restart is not None:
            restart = self.restart
            self.restart = None
            carry = self.advance(restart(), finite)
        first = carry
        begin = finite
        while broken - finite > 1:
            middle = (finite + broken) // 2
            probe = self.advance(carry, middle)
            if program.all_finite(probe.state.position):
                carry = probe
                finite = middle
            else:
                broken = middle
        # again from the start of the chunk, for its records
        self.advance(first, finite)
        self.keep_records(begin, finite)
        step_size = getattr(self.parts.algorithm, "step_size", None)
        number = None
        if step_size is not None and not callable(step_size):
            number = float(np.max(np.asarray(step_size)))
        result = self.result(carry, f"Diverged at step {broken}.")
        raise DivergenceError(broken, carry.state, number, result)

    def result(self, carry: program.Carry, outcome: str) -> Result:
        counts = {name: count.to_int64() for name, count in carry.counts.items()}
        return Result(
            position=carry.state.position,
            state=carry.state,
            trace=self.trace(),
            average=None if carry.moments is None else Average.of(carry.moments),
            counts_by_chain=counts,
            metrics=mean_metrics(carry),
            steps=int(carry.step),
            num_chains=self.parts.num_chains,
            seconds=time.perf_counter() - self.began,
            outcome=outcome,
            seconds_to_first_step=self.seconds_to_first_step,
        )


def mean_metrics(carry: program.Carry) -> dict[str, float]:
    """Return the means of the metrics over chains."""
    return {
        name: float(np.mean(processes.gather(metric)))
        for name, metric in carry.metrics.items()
    }


def next_length(
    steps: int,
    seconds: float,
    length: int,
    *,
    least_steps: int = 8,
    most_seconds: float = 2.0,
    growth: int = 16,
) -> int:
    """Return the length of the next chunk, of about CHUNK_SECONDS, after one of `steps` steps planned with `length`.

    A chunk costs a step or two beside its own, since it records its last one: where steps are slow, `least_steps` of
    them may take longer, up to `most_seconds`. A chunk is at most `growth` times as long as the one before.

    Example:
        >>> next_length(100, 0.5, 100), next_length(16, 1e-6, 16), next_length(1, 0.2, 1), next_length(1, 10.0, 1)
        (50, 256, 8, 1)
    """
    rate = steps / max(seconds, 1e-6)
    fitting = int(rate * CHUNK_SECONDS)
    fitting = max(fitting, min(least_steps, int(rate * most_seconds)))
    return max(1, min(fitting, growth * max(steps, length), MOST_STEPS))


def _check_run(
    algorithm: Any,
    problem: Any,
    start: Any,
    key: Any,
    sharding: Any,
) -> None:
    """Raise unless there is an algorithm for the problem, and a key, outside any transformation of JAX."""
    checks.instance("algorithm", algorithm, Algorithm, "langevax.Langevin(0.1, 1.0)")
    checks.instance("problem", problem, Problem, "langevax.FiniteSum(loss, data)")
    checks.typed_key(key)
    positions = start
    if isinstance(start, Result):
        positions = start.position
    elif isinstance(start, Stacked):
        positions = start.positions
    in_jit = jnp.asarray(np.float32(0))  # a tracer in jit
    leaves = jax.tree.leaves((algorithm, problem, positions, key, in_jit))
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        raise TypeError(
            "simulate cannot be called inside jax.jit, jax.vmap or jax.grad: it "
            "compiles and runs its own loop. Call it outside; for several chains pass "
            "num_chains= or Stacked(positions)."
        )
    algorithm.check(problem)
    if sharding is not None:
        mesh = "jax.make_mesh((2,), ('chains',))"
        checks.instance("sharding", sharding, (Mesh, NamedSharding), mesh)


def _check_observers(
    record: Any,
    average: Any,
    callbacks: Any,
    callback_every: Any,
) -> None:
    """Raise unless observers and callbacks can be called, and callbacks are."""
    for name, value in (("record", record), ("average", average)):
        checks.function(name, value, "(problem, state) -> pytree", optional=True)
    if not isinstance(callbacks, list | tuple) or not all(map(callable, callbacks)):
        raise TypeError(
            "callbacks must be a list of functions callback(trace, state), got "
            f"{checks.shown(callbacks)}; pass [callback]."
        )
    if callbacks and callback_every is None:
        raise ValueError(
            "callback_every is None, so that no callback would ever be called; pass "
            "callback_every=k."
        )
