"""Tables of remembered gradients, one entry for each component or for each fixed block of components.

    value = sum_j w_j F_j,      components: F_j = f_j, w_j = 1/n;      blocks: F_j = mean of block j, w_j its size / n

An estimator reads, corrects and writes a few entries a step, and must not touch the rest: XLA copies a whole table
where it is written by anything but `add`, or stands in a `cond` or `where`. Hence a full start is made by `full`
before the first step, and passes over the table run in a `while_loop` of no or one trip (`recenter`).
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from langevax import checks
from langevax.gradients import batches
from langevax.keys import unrolled
from langevax.problems.problem import Problem

TABLES, STARTS = ("blocks", "components"), ("full", "batch")
CHUNK = 4096
"""Component gradients that are computed together where a table of components is filled."""


class Entries(eqx.Module):
    """What a table's entries are: how many, which are drawn for a step, and their gradients."""

    batch_size: int

    @abstractmethod
    def stored(self, problem: Problem) -> int:
        """Entries of the table, padding included."""

    @abstractmethod
    def count(self, problem: Problem) -> Any:
        """Entries in use; traced where the size is."""

    @abstractmethod
    def cost(self, problem: Problem) -> int:
        """Component gradients of a step's entries at one position."""

    @abstractmethod
    def draw(self, key: Key[Array, ""], problem: Problem) -> Int[Array, " drawn"]:
        """Distinct entries, each as often as its weight says."""

    @abstractmethod
    def gradients(self, problem: Problem, entries: Int[Array, " drawn"]) -> Callable[[PyTree], PyTree]:
        """position -> gradients of F_j there, stacked."""

    @abstractmethod
    def full(self, problem: Problem, position: PyTree) -> PyTree:
        """All of them at one position, in n component gradients."""

    @property
    @abstractmethod
    def drawn(self) -> int:
        """Entries of a step."""

    @abstractmethod
    def weights(self, problem: Problem, entries: Int[Array, " entries"], dtype: Any) -> Float[Array, " entries"]:
        """w_j, 0 for padding."""

    def period(self, problem: Problem, resync: int | None) -> int:
        """Steps from one pass over the table to the next: by default as many as draw each entry once, on average."""
        return resync or -(-self.stored(problem) // self.drawn)


class Components(Entries):
    """An entry for each of the n components; a batch draws b of them without replacement."""

    @property
    def drawn(self) -> int:
        return self.batch_size

    def stored(self, problem: Problem) -> int:
        return problem.max_size

    def count(self, problem: Problem) -> Any:
        return problem.size

    def cost(self, problem: Problem) -> int:
        return self.batch_size

    def draw(self, key: Key[Array, ""], problem: Problem) -> Int[Array, " drawn"]:
        return batches.draw(key, problem, self.batch_size, False)[0]

    def gradients(self, problem: Problem, entries: Int[Array, " drawn"]) -> Callable[[PyTree], PyTree]:
        return lambda position: problem.gradients_at(position, entries)

    def full(self, problem: Problem, position: PyTree) -> PyTree:
        return _fill(self, problem, position, CHUNK)

    def weights(self, problem: Problem, entries: Int[Array, " entries"], dtype: Any) -> Float[Array, " entries"]:
        return (entries < problem.size).astype(dtype) / jnp.asarray(problem.size, dtype)


class Blocks(Entries):
    """An entry for each of ceil(n/b) random blocks of the components; a step draws one block.

    The blocks are as even as can be and cut from the permutation of number `seed`. Where b does not divide n they have
    b - 1 or b components (fewer where n is small), filled up to b by the first one, whose surplus is taken off again,
    and are drawn as often as they are large: by a component.
    """

    seed: int = 0

    @property
    def drawn(self) -> int:
        return 1

    def stored(self, problem: Problem) -> int:
        return -(-problem.max_size // self.batch_size)

    def count(self, problem: Problem) -> Any:
        return -(-problem.size // self.batch_size)

    def cost(self, problem: Problem) -> int:
        return self.batch_size if self._even(problem) else self.batch_size + 1

    def draw(self, key: Key[Array, ""], problem: Problem) -> Int[Array, " drawn"]:
        size, count = (jnp.asarray(number, jnp.int32) for number in (problem.size, self.count(problem)))
        # a uniform component modulo M: the first n mod M blocks, which have one component more, as often as that says
        return jax.random.randint(key, (1,), 0, size, jnp.int32) % count

    def gradients(self, problem: Problem, entries: Int[Array, " drawn"]) -> Callable[[PyTree], PyTree]:
        members, size = self.members(problem, entries[0])

        def at(position: PyTree) -> PyTree:
            mean = problem.gradient_at(position, members)
            if self._even(problem):
                return jax.tree.map(lambda g: g[None], mean)
            return jax.tree.map(without_surplus, mean, problem.gradient_at(position, members[:1]))

        def without_surplus(mean: Array, first: Array) -> Array:
            length = size.astype(mean.dtype)
            return ((self.batch_size * mean - (self.batch_size - length) * first) / length)[None]

        return at

    def full(self, problem: Problem, position: PyTree) -> PyTree:
        return _fill(self, problem, position, None)

    def members(self, problem: Problem, block: Int[Array, ""]) -> tuple[Int[Array, " b"], Int[Array, ""]]:
        """The components of a block, its first one again where they are fewer than b; and how many they are."""
        size, count = (jnp.asarray(number, jnp.int32) for number in (problem.size, self.count(problem)))
        block = jnp.minimum(block, count - 1)  # the permutation has no entry beyond
        start = block * (size // count) + jnp.minimum(block, size % count)
        length = self._length(problem, block)
        places = jnp.arange(self.batch_size, dtype=jnp.int32)
        key = unrolled(jax.random.key(self.seed))
        return batches.permuted(key, start + jnp.where(places < length, places, 0), size), length

    def weights(self, problem: Problem, entries: Int[Array, " entries"], dtype: Any) -> Float[Array, " entries"]:
        length = jnp.where(entries < self.count(problem), self._length(problem, entries), 0)
        return length.astype(dtype) / jnp.asarray(problem.size, dtype)

    def _length(self, problem: Problem, block: Int[Array, "..."]) -> Int[Array, "..."]:
        size, count = (jnp.asarray(number, jnp.int32) for number in (problem.size, self.count(problem)))
        return size // count + (block < size % count).astype(jnp.int32)

    def _even(self, problem: Problem) -> bool:
        return isinstance(problem.size, int) and problem.size % self.batch_size == 0


def entries_for(problem: Problem, table: str, batch_size: int, seed: int) -> Entries:
    """By the name that the estimators take; raise where the problem has fewer components than a batch."""
    batches.check_batch_size(batch_size, problem, False)
    return Blocks(batch_size, seed) if table == "blocks" else Components(batch_size)


def check(estimator: Any) -> None:
    """Raise unless the arguments that estimators with a table share are good."""
    checks.positive_int("batch_size", estimator.batch_size)
    checks.positive_int("seed", estimator.seed, minimum=0)
    for name, names in (("table", TABLES), ("start", STARTS)):
        value = getattr(estimator, name)
        if value not in names:
            raise ValueError(f"{name} must be one of {names}, got {value!r}.")


def empty(entries: Entries, problem: Problem, position: PyTree) -> PyTree:
    """A table of zeros."""
    return jax.tree.map(lambda x: jnp.zeros((entries.stored(problem), *x.shape), x.dtype), position)


def rows(table: PyTree, entries: Int[Array, " drawn"]) -> PyTree:
    """The entries that were drawn, stacked."""
    return jax.tree.map(lambda z: z[entries], table)


def add(table: PyTree, entries: Int[Array, " drawn"], changes: PyTree) -> PyTree:
    """The only way to write that XLA does in place: what is added was made of what was read."""
    return jax.tree.map(lambda z, change: z.at[entries].add(change), table, changes)


def mean(entries: Entries, problem: Problem, table: PyTree) -> PyTree:
    """sum_j w_j z_j."""

    def one(z: Array) -> Array:
        w = entries.weights(problem, jnp.arange(z.shape[0], dtype=jnp.int32), z.dtype)
        return jnp.tensordot(w, z, 1, precision="highest")

    return jax.tree.map(one, table)


def now_and_then(step: Int[Array, ""], period: int, function: Callable[[PyTree], PyTree], carry: PyTree) -> PyTree:
    """`function(carry)` at the last step of each period: a loop of one trip, around which a table is not copied."""
    due = (step % period == period - 1).astype(jnp.int32)

    def once(loop: tuple[Array, PyTree]) -> tuple[Array, PyTree]:
        return loop[0] - 1, function(loop[1])

    return lax.while_loop(lambda loop: loop[0] > 0, once, (due, carry))[1]


def _fill(entries: Entries, problem: Problem, position: PyTree, chunk: int | None) -> PyTree:
    def one(entry: Int[Array, ""]) -> PyTree:
        return jax.tree.map(lambda g: g[0], entries.gradients(problem, entry[None])(position))

    return lax.map(one, jnp.arange(entries.stored(problem), dtype=jnp.int32), batch_size=chunk)
