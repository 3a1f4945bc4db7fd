"""Seconds of a step apart from what a run costs at all, and the power of a size by which they grow.

A compiled `advance` is called for s and for 3 s steps; their difference over 2 s is a step. Seconds are those of the
processor, bound to one core (`on_one_core`): what else runs on a machine takes none of them.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.needs import Parts
from langevax.algorithm import trace_floats
from langevax.run import chains, program

REPEATS, LEAST = 5, 0.05  # differences at each size, and seconds that the shorter call takes at least
MOST_STEPS = 10**8


@dataclass(frozen=True)
class Grown:
    """A method, the size that grows, and the seconds of a step: sizes by repeats."""

    method: str
    size: str
    beside: str
    sizes: list[int]
    seconds: list[list[float]]
    expected: float

    @property
    def medians(self) -> list[float]:
        return [float(np.median(each)) for each in self.seconds]

    @property
    def exponent(self) -> float:
        """Of the medians over the last decade: small sizes cost what a step costs at all."""
        return power(self.sizes, self.medians)

    @property
    def error(self) -> float:
        """Standard error of the exponent, from one fit for each repeat."""
        fits = [power(self.sizes, list(repeat)) for repeat in np.transpose(self.seconds)]
        return float(np.std(fits, ddof=1) / np.sqrt(len(fits)))


def power(sizes: list[int], seconds: list[float]) -> float:
    """The slope of log seconds in log size over the last decade of sizes."""
    x, y = np.log(sizes), np.log(seconds)
    last = x >= x[-1] - np.log(10) - 1e-9
    return float(np.polyfit(x[last], y[last], 1)[0])


def on_one_core() -> None:
    """Bind this process to a core, before JAX counts those that it may use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def steps_of(parts: Parts) -> Callable[[int], Any]:
    """steps -> the carry after so many from the start, by one compiled program."""
    problem, algorithm = trace_floats((parts.problem, parts.algorithm), jnp.float32)
    start, number = parts.start, parts.num_chains
    if callable(start):
        start = start(jax.random.key(1))
    if number is not None:
        start = jax.tree.map(lambda x: jnp.broadcast_to(x, (number, *x.shape)), start)
    observers, key = program.Observers(None, None), jax.random.key(0)
    split = chains.of(start, number)
    carry = program.begin(algorithm, problem, observers, start, key, split)

    def advanced(steps: int) -> Any:
        stop, every = jnp.int32(steps), jnp.int32(program.NO_GRID)
        return jax.block_until_ready(
            program.advance(algorithm, problem, observers, carry, None, key, stop, every, split)[0]
        )

    return advanced


def seconds_of_a_step(advanced: Callable[[int], Any], unit: int = 1) -> list[float]:
    """One difference for each repeat; steps are whole multiples of `unit`, a period of the algorithm."""

    def took(steps: int) -> float:
        began = time.process_time()
        advanced(steps)
        return time.process_time() - began

    took(unit)
    steps = unit
    while (long := took(steps)) < LEAST and steps < MOST_STEPS:
        steps *= max(2, min(8, round(1.2 * LEAST / max(long, 1e-4))))
    return differences(took, steps)


def differences(took: Callable[[int], float], steps: int, repeats: int = REPEATS) -> list[float]:
    """`repeats` times (took(3 s) - took(s)) / 2 s; one that is not above 0 doubles s, and all are taken again."""
    while True:
        found: list[float] = []
        while len(found) < repeats:
            short, long = took(steps), took(3 * steps)
            if long <= short:
                break
            found.append((long - short) / (2 * steps))
        else:
            return found
        steps *= 2
        if steps > MOST_STEPS:
            raise ArithmeticError(f"{3 * steps // 2} steps took no longer than {steps // 2}: the clock stands still.")
