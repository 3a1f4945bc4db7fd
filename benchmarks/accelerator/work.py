"""Operations and bytes of a step, read off compiled programs (`compiled.cost_analysis()`).

XLA counts the body of a loop once. The loop over steps is meant to be; loops over blocks of rows are avoided: programs
are compiled for all rows in one block, for two numbers of rows that are small enough, and what they cost is linear in
the rows. Bytes are those that the kernels of such a program read and write: caches may save some of them.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from langevax import platforms
from langevax.algorithm import trace_floats
from langevax.run import program


class Work(NamedTuple):
    """Of one step."""

    operations: float
    bytes: float

    def along(self, other: "Work", rows: tuple[int, int], aim: int) -> "Work":
        """Return the work at `aim` rows by the line through this one at rows[0] and another one at rows[1]."""
        share = (aim - rows[0]) / (rows[1] - rows[0])
        return Work(
            *(one + share * (two - one) for one, two in zip(self, other, strict=True))
        )

    def plus(self, other: "Work", times: float) -> "Work":
        """Return this work and `times` the other one."""
        return Work(*(one + times * two for one, two in zip(self, other, strict=True)))


@contextlib.contextmanager
def in_one_block() -> Iterator[None]:
    """Programs traced here have all rows in one block."""
    before = platforms.CPU, platforms.ACCELERATOR
    large = {
        "block_activations": 2**60,
        "most_activations": 2**60,
        "largest_block": 2**60,
        "pass_rows": 2**60,
    }
    platforms.CPU, platforms.ACCELERATOR = (sizes._replace(**large) for sizes in before)
    try:
        yield
    finally:
        platforms.CPU, platforms.ACCELERATOR = before


def of_compiled(compiled: Any) -> Work:
    """Return what a compiled program costs."""
    cost = compiled.cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    return Work(float(cost.get("flops", 0.0)), float(cost.get("bytes accessed", 0.0)))


def of_step(algorithm: Any, problem: Any, start: jax.Array) -> Work:
    """Return the work of a step of one chain."""
    algorithm, problem = trace_floats((algorithm, problem), start.dtype)
    parts, one = program.RunParts(algorithm, problem, jax.random.key(0)), jnp.int32(1)
    with in_one_block():
        shapes = eqx.filter_eval_shape(program.begin, parts, start)
        carry = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        chunk = program.Chunk(parts, one, one)
        lowered = program.advance.lower(chunk, carry, None)
        return of_compiled(lowered.compile().compiled)


def of_function(function: Callable[..., Any], *arguments: Any) -> Work:
    """Return the work of a function."""
    with in_one_block():
        return of_compiled(
            eqx.filter_jit(function).lower(*arguments).compile().compiled
        )
