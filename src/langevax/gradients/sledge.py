"""SLEDGE: a gradient corrected by batches, with a table of gradients that move along.

SLEDGE (Oko, Akiyama, Murata, Suzuki, OPT 2022), later SILVER (ICML 2024). Between steps t - 1 and t

    g_j = grad F_j(x_t),   h_j = grad F_j(x_(t-1))   for j in I,      Delta = mean over I of g_j - h_j
    y_j <- g_j  for j in I,      y_j <- y_j + Delta  for the others,      v = mean of all y_j

SARAH has Delta but no table, and its errors add up until a full pass. Here errors die out by 1 - b/n a step, and they
are made of how components' *changes* differ, |(hess F_i - hess F_j) (x_t - x_(t-1))|: nothing where all have one
Hessian, however much their gradients differ.

The mean is never taken: with y_j = z_j + S only the entries that were drawn are touched, W being their share of all,

    v <- v + (1 - W) Delta + W mean over I of (g_j - z_j - S),      S <- S + Delta,      z_j <- g_j - S

W is b / n, and the share of its components where a block is drawn.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from langevax import checks, trees
from langevax._typing import PyTree
from langevax.gradients import batches, tables
from langevax.gradients.estimator import GradientEstimator, RandomKey, Step
from langevax.problems.problem import Problem, Size
from langevax.renamed import refuse_former


class SLEDGEState(NamedTuple):
    previous: PyTree
    gradient: PyTree
    shift: PyTree
    """S, by which all entries have moved."""
    table: PyTree
    """z, an axis of entries before those of the position."""


@refuse_former
class SLEDGE(GradientEstimator):
    """Biased given the past, with an error that stays small without full gradients; cost 2b a step.

    With random steps of length s and components whose Hessians differ by zeta, the squared error stays at
    zeta^2 s^2 n / (2 b^2), for either table. For a step size of min(1/L, b / (zeta sqrt(n))) b = sqrt(n) suffices,
    and fewer where components resemble each other, zeta sqrt(n) / L.

    Memory is the table's: n vectors for "components", ceil(n/b) for "blocks", whose step also costs no more than one
    of `SARAH`. A linear model, whose gradients are numbers times rows, could keep n numbers and the S of each time at
    which one was last drawn. Those S alone are more vectors than there are blocks (n = 10^5, b = 316: 2,025 times
    against 317 blocks), so that "blocks" is the small table for linear models, too.

    The papers SLEDGE and SILVER describe this estimator under two names, as far as their public text tells.

    Args:
        batch_size: b, components per step; sqrt(n) serves where nothing is known.
        table: "blocks", means over fixed random blocks of b components, one of which is drawn a step; or "components",
            one entry each, of which b are drawn.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> problem = langevax.FiniteSum(lambda x, a: jnp.sum((x - a) ** 2) / 2, jnp.arange(100.0)[:, None])
        >>> langevin = langevax.Langevin(step_size=0.1, temperature=0.0, gradient=langevax.gradients.SLEDGE(10))
        >>> result = langevax.simulate(langevin, problem, jnp.zeros(1), key=jax.random.key(0), num_steps=201)
        >>> result.position.round(2), result.evaluations  # n + 2b for each step after the first
        (Array([49.5], dtype=float32), 4100)
    """

    batch_size: int
    table: Literal["blocks", "components"] = "blocks"

    def __check_init__(self) -> None:
        checks.positive_int("batch_size", self.batch_size)
        checks.one_of("table", self.table, ("blocks", "components"))

    def entries(self, problem: Problem) -> tables.Entries:
        """Raise where the problem has fewer components than a batch."""
        batches.check_batch_size(self.batch_size, problem)
        if self.table == "blocks":
            return tables.Blocks(self.batch_size)
        return tables.Components(self.batch_size)

    def init(self, problem: Problem, position: PyTree) -> tuple[SLEDGEState, Size]:
        entries = self.entries(problem)
        table = entries.full(problem, position)
        mean = tables.mean(entries, problem, table)
        shift = trees.zeros_like(position)
        return SLEDGEState(position, mean, shift, table), problem.size

    def estimate(
        self,
        problem: Problem,
        position: PyTree,
        state: SLEDGEState,
        key: RandomKey,
        step: Step,
    ) -> tuple[PyTree, SLEDGEState, Size]:
        entries = self.entries(problem)
        drawn = entries.draw(key, problem)
        gradients = entries.gradients(problem, drawn)
        y = trees.add(tables.rows(state.table, drawn), state.shift)

        def first() -> tuple[PyTree, PyTree, Size]:
            """Nothing has moved, and the table knows its entries."""
            return trees.zeros_like(state.shift), trees.zeros_like(y), jnp.int32(0)

        def both() -> tuple[PyTree, PyTree, Size]:
            g = gradients(position)
            h = gradients(state.previous)
            delta = jax.tree.map(_mean, trees.subtract(g, h))
            return delta, trees.subtract(g, y), jnp.int32(2 * entries.cost(problem))

        # what is read of the table is used up in a branch: read again after the write, it would be copied
        delta, residuals, used = lax.cond(step == 0, first, both)
        share = jnp.sum(entries.weights(problem, drawn, trees.dtype_of(position)))

        def corrected(v: Array, delta: Array, residuals: Array) -> Array:
            return v + (1 - share) * delta + share * _mean(residuals)

        v = jax.tree.map(corrected, state.gradient, delta, residuals)
        shift = trees.add(state.shift, delta)
        # g - shift, as what is added to z = y - the last shift
        table = tables.add(
            state.table,
            drawn,
            jax.tree.map(lambda r, delta: r - delta, residuals, delta),
        )

        # against rounding, once in as many steps as draw each entry once, on average; no gradients
        period = -(-problem.max_size // self.batch_size)
        resync = partial(
            tables.fold_shift, lambda table: tables.mean(entries, problem, table)
        )
        v, shift, table = tables.every(period, step, resync, (v, shift, table))
        return v, SLEDGEState(position, v, shift, table), used


def _mean(stack: Array) -> Array:
    """Over the drawn entries."""
    return jnp.mean(stack, axis=0)
