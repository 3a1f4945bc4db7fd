"""Tables of remembered gradients, one entry for each component or for each fixed block of components.

    value = sum_j w_j F_j,      components: F_j = f_j, w_j = 1/n;      blocks: F_j = mean of block j, w_j its size / n

An estimator reads, corrects and writes a few entries a step, and must not touch the rest: XLA copies a whole table
where it is written by anything but `add`, or stands in a `cond` or `where`. Hence a full table is made by `full`
before the first step, and passes over the table run in a `while_loop` of no or one trip (`every`).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from langevax import trees
from langevax._typing import IntScalar, PyTree
from langevax.gradients import batches
from langevax.gradients.estimator import RandomKey, Step
from langevax.keys import unrolled
from langevax.platforms import sizes
from langevax.problems.problem import Problem

Drawn = Int[Array, " drawn"]


class Components(eqx.Module):
    """An entry for each of the n components; a step draws a batch of b of them without replacement."""

    batch_size: int

    def num_stored(self, problem: Problem) -> int:
        """Entries of the table, padding included."""
        return problem.max_size

    def cost(self, problem: Problem) -> int:
        """Component gradients of a step's entries at one position."""
        return self.batch_size

    def draw(self, key: RandomKey, problem: Problem) -> Drawn:
        """Distinct entries, with probabilities in proportion to their weights."""
        return batches.draw(key, problem, self.batch_size)

    def gradients(self, problem: Problem, entries: Drawn) -> Callable[[PyTree], PyTree]:
        """position -> gradients of F_j there, stacked."""
        return lambda position: problem.gradients_at(position, entries)

    def full(self, problem: Problem, position: PyTree) -> PyTree:
        """All of them at one position, in n component gradients."""
        return _fill(self, problem, position, sizes().pass_rows)

    def weights(
        self,
        problem: Problem,
        entries: Int[Array, " entries"],
        dtype: DTypeLike,
    ) -> Float[Array, " entries"]:
        """w_j, 0 for padding."""
        return (entries < problem.size).astype(dtype) / jnp.asarray(problem.size, dtype)


class Blocks(eqx.Module):
    """An entry for each of ceil(n/b) random blocks of the components; a step draws one block.

    The blocks are as even as can be and cut from one permutation, that of `jax.random.key(0)`. Where b does not divide n
    they have b - 1 or b components (fewer where n is small), filled up to b by the first one, whose surplus is taken off
    again, and are drawn in proportion to their sizes: by a component. The methods are those of `Components`.
    """

    batch_size: int

    def num_stored(self, problem: Problem) -> int:
        return -(-problem.max_size // self.batch_size)

    def cost(self, problem: Problem) -> int:
        return self.batch_size if self._even(problem) else self.batch_size + 1

    def draw(self, key: RandomKey, problem: Problem) -> Drawn:
        size, count = self._counts(problem)
        # a uniform component modulo M: the first n mod M blocks, which have one component more, as often as that says
        return jax.random.randint(key, (1,), 0, size, jnp.int32) % count

    def gradients(self, problem: Problem, entries: Drawn) -> Callable[[PyTree], PyTree]:
        members, size = self.members(problem, entries[0])

        def at(position: PyTree) -> PyTree:
            mean = problem.gradient_at(position, members)
            if self._even(problem):
                return jax.tree.map(lambda g: g[None], mean)
            return jax.tree.map(
                without_surplus, mean, problem.gradient_at(position, members[:1])
            )

        def without_surplus(mean: Array, first: Array) -> Array:
            length = size.astype(mean.dtype)
            return (
                (self.batch_size * mean - (self.batch_size - length) * first) / length
            )[None]

        return at

    def full(self, problem: Problem, position: PyTree) -> PyTree:
        return _fill(self, problem, position, None)

    def members(
        self,
        problem: Problem,
        block: IntScalar,
    ) -> tuple[Int[Array, " b"], IntScalar]:
        """The components of a block, its first one again where they are fewer than b; and how many they are."""
        size, count = self._counts(problem)
        block = jnp.minimum(block, count - 1)  # the permutation has no entry beyond
        start = block * (size // count) + jnp.minimum(block, size % count)
        length = self._length(problem, block)
        places = jnp.arange(self.batch_size, dtype=jnp.int32)
        key = unrolled(jax.random.key(0))
        return batches.permuted(
            key, start + jnp.where(places < length, places, 0), size
        ), length

    def weights(
        self,
        problem: Problem,
        entries: Int[Array, " entries"],
        dtype: DTypeLike,
    ) -> Float[Array, " entries"]:
        count = -(-problem.size // self.batch_size)
        length = jnp.where(entries < count, self._length(problem, entries), 0)
        return length.astype(dtype) / jnp.asarray(problem.size, dtype)

    def _counts(self, problem: Problem) -> tuple[IntScalar, IntScalar]:
        """Components and blocks in use."""
        return jnp.asarray(problem.size, jnp.int32), jnp.asarray(
            -(-problem.size // self.batch_size), jnp.int32
        )

    def _length(self, problem: Problem, block: Int[Array, "..."]) -> Int[Array, "..."]:
        size, count = self._counts(problem)
        return size // count + (block < size % count).astype(jnp.int32)

    def _even(self, problem: Problem) -> bool:
        return isinstance(problem.size, int) and problem.size % self.batch_size == 0


Entries = Components | Blocks


def empty(num_entries: int, position: PyTree) -> PyTree:
    """A table of zeros, whose entries are sharded as the leaves of the position are."""

    def empty(x: Array) -> Array:
        return jnp.broadcast_to(jnp.zeros_like(x), (num_entries, *jnp.shape(x)))

    return jax.tree.map(empty, position)


def rows(table: PyTree, entries: Drawn) -> PyTree:
    """The entries that were drawn, stacked."""
    return jax.tree.map(lambda z: z[entries], table)


def add(table: PyTree, entries: Drawn, changes: PyTree) -> PyTree:
    """The only way to write that XLA does in place: what is added was made of what was read."""
    return jax.tree.map(lambda z, change: z.at[entries].add(change), table, changes)


def mean(entries: Entries, problem: Problem, table: PyTree) -> PyTree:
    """sum_j w_j z_j."""

    def weighted_sum(z: Array) -> Array:
        indices = jnp.arange(len(z), dtype=jnp.int32)
        w = entries.weights(problem, indices, z.dtype)
        return jnp.tensordot(w, z, 1, precision="highest")

    return jax.tree.map(weighted_sum, table)


def fold_shift(
    mean: Callable[[PyTree], PyTree],
    carry: tuple[PyTree, PyTree, PyTree],
) -> tuple[PyTree, PyTree, PyTree]:
    """(v, S, z) with S added to the table and v its mean again, against rounding."""
    _, shift, table = carry
    table = trees.add(table, shift)
    return mean(table), trees.zeros_like(shift), table


def every(
    period: int,
    step: Step,
    function: Callable[[PyTree], PyTree],
    carry: PyTree,
) -> PyTree:
    """`function(carry)` at the last step of each period: a loop of one trip, around which a table is not copied."""
    due = (step % period == period - 1).astype(jnp.int32)

    def body(loop: tuple[Array, PyTree]) -> tuple[Array, PyTree]:
        left, carry = loop
        return left - 1, function(carry)

    _, carry = lax.while_loop(lambda loop: loop[0] > 0, body, (due, carry))
    return carry


def _fill(
    entries: Entries,
    problem: Problem,
    position: PyTree,
    chunk: int | None,
) -> PyTree:
    def gradient(entry: IntScalar) -> PyTree:
        stacked = entries.gradients(problem, entry[None])(position)
        return jax.tree.map(lambda g: g[0], stacked)

    return lax.map(
        gradient,
        jnp.arange(entries.num_stored(problem), dtype=jnp.int32),
        batch_size=chunk,
    )
