"""What memory a run asks for, read off its compiled programs without allocating anything.

A run needs two programs, the one that begins and the one that steps. Each has arguments, outputs and temporaries, less
what it writes in place; they are compiled here for arrays that have a shape and no memory.
"""

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from langevax.algorithm import trace_floats
from langevax.run import chains, program

OWN_PAGES = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
TOGETHER = 2**22  # numbers that are drawn at once

Draw = Callable[..., Any]
"""draw(*shape): numbers, or a shape alone."""


@dataclass(frozen=True)
class Parts:
    """What `simulate` is given."""

    algorithm: Any
    problem: Any
    start: Any
    num_chains: int | None = None


@dataclass(frozen=True)
class Needs:
    """Bytes of one compiled program."""

    arguments: int
    outputs: int
    temporaries: int
    in_place: int

    @property
    def total(self) -> int:
        return self.arguments + self.outputs + self.temporaries - self.in_place


@dataclass(frozen=True)
class Asked:
    """What a run asks for at one size: its two programs, and what lies in its problem and its state."""

    begin: Needs
    step: Needs
    problem: int
    state: int

    @property
    def total(self) -> int:
        return max(self.begin.total, self.step.total)


def asked(make: Callable[[Draw], Parts]) -> Asked:
    """From compiled programs for arrays without memory."""

    def built() -> Any:
        parts = make(lambda *shape: jnp.zeros(shape))
        algorithm, problem = trace_floats((parts.algorithm, parts.problem), jnp.float32)
        return algorithm, problem, parts.start, parts.num_chains

    algorithm, problem, start, num_chains = eqx.filter_eval_shape(built)
    observers, key, stop = program.Observers(None, None), jax.random.key(0), jnp.int32(1)
    algorithm, problem, start = jax.tree.map(without_memory, (algorithm, problem, start))
    number = chains.of(start, num_chains)
    begun = eqx.filter_eval_shape(program.begin, algorithm, problem, observers, start, key, number)
    carry = jax.tree.map(without_memory, begun)
    begin = program.begin.lower(algorithm, problem, observers, start, key, number)
    step = program.advance.lower(algorithm, problem, observers, carry, None, key, stop, stop, number)
    return Asked(needs(begin), needs(step), num_bytes(problem), num_bytes(carry))


def needs(lowered: Any) -> Needs:
    found = lowered.compile().compiled.memory_analysis()
    return Needs(
        found.argument_size_in_bytes,
        found.output_size_in_bytes,
        found.temp_size_in_bytes,
        found.alias_size_in_bytes,
    )


def num_bytes(tree: Any) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf))


def without_memory(leaf: Any) -> Any:
    """An array of that shape in pages that nobody has touched: a program is lowered for arrays, and reads none."""
    if not isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf
    size = int(np.prod(leaf.shape, dtype=np.int64))
    pages = mmap.mmap(-1, max(1, size * leaf.dtype.itemsize), flags=OWN_PAGES, prot=mmap.PROT_READ)
    return jax.device_put(np.frombuffer(pages, leaf.dtype, size).reshape(leaf.shape), may_alias=True)


def drawn(*shape: int) -> jax.Array:
    """Numbers in (-1, 1), in memory that JAX uses where it lies: it copies what does not begin at a round address."""
    size = int(np.prod(shape, dtype=np.int64))
    numbers = np.frombuffer(mmap.mmap(-1, 4 * size, flags=OWN_PAGES), np.float32, size)
    generator = np.random.default_rng(0)
    for begin in range(0, size, TOGETHER):
        part = numbers[begin : begin + TOGETHER]
        generator.random(out=part, dtype=np.float32)
        part *= 2
        part -= 1
    return jax.device_put(numbers.reshape(shape), may_alias=True)


def memory() -> dict[str, int]:
    """Bytes that the system counts."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[-1:] == ["kB"]}
