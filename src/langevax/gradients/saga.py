"""SAGA: a table of gradients that stay as they were when last drawn (Defazio, Bach, Lacoste-Julien, NIPS 2014).

    v = mean over I of (g_j - z_j) + mean of all z_j,      then z_j <- g_j  for j in I,      g_j = grad F_j(x)

Minibatches and nonconvex sums: Reddi, Sra, Poczos, Smola, NIPS 2016.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, Key, PyTree

from langevax import trees
from langevax.gradients import tables
from langevax.gradients.estimator import GradientEstimator
from langevax.problems.problem import Problem


class SAGAState(NamedTuple):
    mean: PyTree
    table: PyTree
    """z, an axis of entries before those of the position."""


class SAGA(GradientEstimator):
    """Unbiased, with a variance that vanishes as the table's points come together; cost b a step, without full passes.

    Half of what `SLEDGE` spends, which also asks for the last position; but an entry is as old as the draws since it
    was drawn, so that the variance is that of changes over n/b steps.

    Args:
        batch_size: b, components per step.
        table: "blocks", means over fixed random blocks of b components, one of which is drawn a step; or "components",
            one entry each, of which b are drawn.
        start: "full", n component gradients before the first step; or "batch": a table of zeros, and a first
            gradient that is a batch's.
        seed: which permutation of the components the blocks are cut from, the same in each run.

    Example:
        >>> import langevax
        >>> langevax.gradients.SAGA(batch_size=8, table="components")
        SAGA(batch_size=8, table='components')
    """

    batch_size: int
    table: str = "blocks"
    start: str = "full"
    seed: int = 0

    def __check_init__(self) -> None:
        tables.check(self)

    def init(self, problem: Problem, position: PyTree) -> tuple[SAGAState, Any]:
        entries = tables.entries_for(problem, self.table, self.batch_size, self.seed)
        if self.start == "batch":
            zeros = jax.tree.map(jnp.zeros_like, position)
            return SAGAState(zeros, tables.empty(entries, problem, position)), 0
        table = entries.full(problem, position)
        return SAGAState(tables.mean(entries, problem, table), table), problem.size

    def estimate(
        self, problem: Problem, position: PyTree, state: SAGAState, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[PyTree, SAGAState, Any]:
        entries = tables.entries_for(problem, self.table, self.batch_size, self.seed)
        drawn = entries.draw(key, problem)
        gradients, z = entries.gradients(problem, drawn), tables.rows(state.table, drawn)

        def first() -> tuple[PyTree, Any]:
            """A full table knows its entries; an empty one is 0."""
            if self.start == "full":
                return jax.tree.map(jnp.zeros_like, z), jnp.int32(0)
            return gradients(position), jnp.int32(entries.cost(problem))

        def changed() -> tuple[PyTree, Any]:
            return trees.subtract(gradients(position), z), jnp.int32(entries.cost(problem))

        # what is read of the table is used up in a branch: read again after the write, it would be copied
        changes, used = lax.cond(step == 0, first, changed)
        change = jax.tree.map(lambda c: jnp.mean(c, axis=0), changes)
        share = jnp.sum(entries.weights(problem, drawn, trees.dtype_of(position)))
        mean = jax.tree.map(lambda m, c: m + share * c, state.mean, change)
        return trees.add(change, state.mean), SAGAState(mean, tables.add(state.table, drawn, changes)), used
