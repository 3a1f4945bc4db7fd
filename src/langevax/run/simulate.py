"""The one driver: any algorithm on any problem, from any start, for any number of steps."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Key, PyTree

from langevax import trees
from langevax.algorithm import Algorithm
from langevax.problems.matmul import describe_precision, matmul_precision
from langevax.problems.problem import Problem
from langevax.run import arguments, chains, counters, processes, program
from langevax.run.checkpoint import Checkpoint
from langevax.run.errors import CheckpointError, DivergenceError, PeerError
from langevax.run.identity import describe
from langevax.run.pace import FIRST_CHUNK, next_length
from langevax.run.program import NO_GRID
from langevax.run.progress import Progress
from langevax.run.recording import Recording
from langevax.run.result import Average, Result, Trace
from langevax.run.start import place, start_positions

Callback = Callable[[Trace | None, Any], Any]


def position_of(problem: Problem, state: Any) -> PyTree:
    """The default record: the position."""
    return state.position


def simulate(
    algorithm: Algorithm,
    problem: Problem,
    start: Any,
    *,
    key: Key[Array, ""],
    num_steps: int,
    num_chains: int | None = None,
    record: Callable[[Problem, Any], PyTree] | None = position_of,
    record_every: int | None = None,
    average: Callable[[Problem, Any], PyTree] | None = None,
    callbacks: Sequence[Callback] = (),
    callback_every: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 30.0,
    progress: bool | None = None,
    sharding: Mesh | NamedSharding | None = None,
    products: str | None = None,
) -> Result:
    """Run `algorithm` on `problem` for `num_steps` steps.

    Args:
        start: a position, shared by all chains; or a function `key -> position`, drawn anew for each;
            or a `Result`, whose chains go on as another phase.
        key: a typed key. Step s uses fold_in(key, s), split over chains: numbers depend neither on
            records, callbacks, checkpoints and resumption, nor on devices (up to summation order).
        num_chains: None runs one chain without a chain axis.
        record: `record(problem, state) -> pytree` kept after every `record_every` steps.
        record_every: None records nothing.
        average: `average(problem, state) -> pytree` whose running mean and variance are kept on the
            same grid, or over every step where there is none. Needs no memory per step.
        callbacks: each is called as `callback(trace so far, state)` after every `callback_every`
            steps; one that returns True stops the run. A run that is resumed on this grid calls them
            there once more, so that one that stopped it stops it again.
        checkpoint: a directory; the run is saved there every `checkpoint_seconds` and at its end.
        resume: go on from what `checkpoint` holds, bit for bit; start where it holds nothing.
        progress: show a progress line; None shows it on a terminal, after a second.
        sharding: a mesh, or a sharding of axis 0 of the position (particles, or chains). An axis of the mesh
            that is named "rows" splits the data, without one they lie on every device whole. Devices may be those
            of several processes (`langevax.run.joined`): each calls `simulate` with the same arguments, and
            `langevax.run.whole` gathers an end.
        products: "bfloat16" rounds the operands of neurons' products (sums stay in float32), "float32" rounds
            nothing; None leaves it to `jax.default_matmul_precision`, which is what this argument sets.

    Returns:
        A `Result`.

    Raises:
        DivergenceError: the position turned non-finite; it carries the last finite state.
        CheckpointError: a checkpoint cannot be written, read, or is of another run.
        PeerError: another of the processes that share the run has ended.
        TypeError, ValueError: a mistake in an argument, which the message names with its remedy.

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
    arguments.check_run(algorithm, problem, key, num_steps, num_chains)
    arguments.check_observers(record, record_every, average, callbacks, callback_every)
    arguments.check_surroundings(checkpoint, resume, checkpoint_seconds, sharding, products)
    began = time.perf_counter()
    positions, num_chains = start_positions(start, key, num_chains)
    identity = {}
    if checkpoint is not None:
        parts = {"algorithm": algorithm, "problem": problem, "key": key, "num_chains": num_chains, "average": average}
        parts |= {"record": record if record_every else None, "record_every": record_every}
        identity = describe({**parts, "start": positions} | describe_precision(products))
    algorithm, problem = program.trace_floats((algorithm, problem), trees.dtype_of(positions))
    if sharding is not None:
        positions, (algorithm, problem, key) = place(positions, (algorithm, problem, key), sharding, num_chains)
    every = min(NO_GRID, record_every or (1 if average is not None else NO_GRID))
    observers = program.Observers(record if record_every else None, average)
    run = _Run(algorithm, problem, observers, key, num_chains, every)
    with matmul_precision(products):
        run.begin(positions)
        del positions  # what a step leaves behind is not kept: tables of gradients would lie in memory once more
        saved = None if checkpoint is None else Checkpoint(checkpoint, identity, resume, run.together)
        try:
            if saved is not None:
                run.resume(saved, num_steps)
            return run.go(num_steps, callbacks, callback_every or NO_GRID, saved, checkpoint_seconds, progress, began)
        finally:
            if saved is not None:
                saved.close()


class _Run:
    """The loop between compiled chunks, and what it needs to see of them."""

    def __init__(
        self,
        algorithm: Algorithm,
        problem: Problem,
        observers: program.Observers,
        key: Key[Array, ""],
        num_chains: int | None,
        every: int,
    ):
        self.algorithm, self.problem, self.observers = algorithm, problem, observers
        self.key, self.num_chains, self.every = key, num_chains, every
        self.carry: Any = None  # to begin with
        self.chains: chains.Chains | None = None
        self.buffer: Any = None
        self.together = False  # with other processes
        self.first_step = 0.0  # seconds that went by before it
        self.recording: Recording | None = None

    def begin(self, positions: PyTree) -> None:
        self.chains = chains.of(positions, self.num_chains)
        carry = program.begin(self.algorithm, self.problem, self.observers, positions, self.key, self.chains)
        self.together = processes.spans(carry.step)
        looked_at = self.algorithm, self.problem, self.observers, carry, self.chains
        self.buffer = program.make_buffer(*looked_at)
        if self.buffer is not None and self.together:
            self.buffer = program.spread(self.buffer, *looked_at)
        if self.buffer is not None:
            self.recording = Recording(self.buffer, self.num_chains)
        self.carry = carry

    def resume(self, saved: Checkpoint, num_steps: int) -> None:
        """Begin where `saved` has ended, if it holds anything."""
        restored = saved.restore(self.carry, self.recording.empty if self.recording else None, self.every)
        if restored is not None:
            carry, parts = restored
            if int(carry.step) > num_steps:
                raise CheckpointError(
                    f"num_steps is {num_steps} but checkpoint {str(saved.directory)!r} holds {int(carry.step)} steps "
                    f"already; pass num_steps >= {int(carry.step)}."
                )
            self.carry = carry
            if self.recording is not None:
                self.recording.saved = parts

    def advance(self, carry: program.Carry, stop: int) -> program.Carry:
        """To `stop`, leaving the records made on the way in the buffer."""
        parts = self.algorithm, self.problem, self.observers, carry, self.buffer, self.key
        try:
            carry, self.buffer = program.advance(*parts, self.number(stop), self.number(self.every), self.chains)
            jax.block_until_ready(carry)
        except jax.errors.JaxRuntimeError as error:
            if not self.together:
                raise
            raise PeerError(processes.first_line(error)) from error
        return carry

    def number(self, value: int) -> Any:
        """An int32 on the devices of the run."""
        return np.asarray(value, np.int32) if self.together else jnp.int32(value)

    def agreed(self, seconds: float) -> float:
        """What every process of the run takes for the time that went by."""
        return processes.agreed(seconds) if self.together else seconds

    def go(
        self,
        num_steps: int,
        callbacks: Sequence[Callback],
        callback_every: int,
        saved: Checkpoint | None,
        checkpoint_seconds: float,
        progress: bool | None,
        began: float,
    ) -> Result:
        step = int(self.carry.step)
        carry, self.carry = self.advance(self.carry, step), None  # compiles: the first chunk's time is the steps'
        self.first_step = time.perf_counter() - began
        shown = progress if not self.together or processes.first() else False
        headline = None if self.together else self.headline
        line = Progress(type(self.algorithm).__name__, num_steps, step, shown, headline)
        length, last_save = FIRST_CHUNK, time.perf_counter()
        stopped = step > 0 and step % callback_every == 0 and self.call(callbacks, carry)  # a resumed run
        try:
            while step < num_steps and not stopped:
                stop = min(num_steps, step + length, (step // callback_every + 1) * callback_every)
                if self.buffer is not None:
                    stop = min(stop, (step // self.every + (program.num_slots(self.buffer) or 1)) * self.every)
                clock = time.perf_counter()
                following = self.advance(carry, stop)
                if not program.all_finite(following.state.position):
                    self.fail(carry, step, stop, began)
                if self.recording is not None:
                    self.recording.take(self.buffer, step, stop, self.every)
                elapsed = self.agreed(time.perf_counter() - clock)
                length = next_length(stop - step, elapsed, length)
                carry, step = following, stop
                line.update(step, carry)
                waited = self.agreed(time.perf_counter() - last_save) if saved is not None else 0.0
                if saved is not None and step < num_steps and waited >= checkpoint_seconds:
                    self.save(saved, carry)
                    last_save = time.perf_counter()
                stopped = step % callback_every == 0 and self.call(callbacks, carry)
        except KeyboardInterrupt:
            if saved is not None:
                self.save(saved, carry)
            raise
        finally:
            line.close()
        if saved is not None:
            self.save(saved, carry)
        outcome = f"Finished all {num_steps} steps."
        if stopped:
            outcome = f"Stopped by a callback after step {step} of {num_steps}."
        return self.result(carry, outcome, began)

    def call(self, callbacks: Sequence[Callback], carry: program.Carry) -> bool:
        """Call all of them, and say whether one asks to stop."""
        trace = None if self.recording is None else self.recording.trace()
        answers = [callback(trace, carry.state) for callback in callbacks]
        return any(isinstance(answer, bool | np.bool_ | jax.Array) and bool(answer) for answer in answers)

    def save(self, saved: Checkpoint, carry: program.Carry) -> None:
        """Write the carry, and the records made since the last time."""
        saved.save(int(carry.step), carry, self.recording.pending_until(int(carry.step)) if self.recording else None)
        if self.recording is not None:
            self.recording.mark_saved()

    def fail(self, carry: program.Carry, finite: int, broken: int, began: float) -> None:
        """Find the step between `finite` and `broken` at which the position broke, and raise there.

        Each probe goes on from the last finite state: all of them together cost one chunk.
        """
        first, begin = carry, finite
        while broken - finite > 1:
            middle = (finite + broken) // 2
            probe = self.advance(carry, middle)
            if program.all_finite(probe.state.position):
                carry, finite = probe, middle
            else:
                broken = middle
        self.advance(first, finite)  # once more from the chunk's start, for its records
        if self.recording is not None:
            self.recording.take(self.buffer, begin, finite, self.every)
        step_size = getattr(self.algorithm, "step_size", None)
        number = None if callable(step_size) or step_size is None else float(np.max(np.asarray(step_size)))
        result = self.result(carry, f"Diverged at step {broken}.", began)
        raise DivergenceError(broken, carry.state, number, result)

    def headline(self, carry: program.Carry) -> tuple[str, float]:
        """The one number: the algorithm's first metric, or else the problem's value."""
        for name, metric in carry.metrics.items():
            return name, float(np.mean(processes.whole(metric)))
        return "value", float(program.mean_value(self.problem, carry.state.position, self.chains))

    def result(self, carry: program.Carry, outcome: str, began: float) -> Result:
        return Result(
            position=carry.state.position,
            state=carry.state,
            trace=None if self.recording is None else self.recording.trace(),
            average=None if carry.moments is None else Average.of(*carry.moments),
            counts_by_chain={name: counters.to_int64(count) for name, count in carry.counts.items()},
            metrics={name: float(np.mean(processes.whole(metric))) for name, metric in carry.metrics.items()},
            steps=int(carry.step),
            num_chains=self.num_chains,
            seconds=time.perf_counter() - began,
            outcome=outcome,
            seconds_to_first_step=self.first_step,
        )
