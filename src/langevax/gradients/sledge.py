"""SLEDGE: a table of gradients whose unsampled entries move along, so that no full pass is ever needed again.

Oko, Akiyama, Murata, Suzuki, SLEDGE (OPT 2022), and SILVER (ICML 2024), its later name. Between steps t - 1 and t

    g_j = grad F_j(x_t),   h_j = grad F_j(x_(t-1))   for j in I,      Delta = mean over I of g_j - h_j
    y_j <- g_j  for j in I,      y_j <- y_j + Delta  for the others,      v = mean of all y_j

SARAH has Delta but no table, and its errors add up until a full pass; SAGA has a table but leaves it where it was. Here
errors die out by 1 - b/n a step, and what they are made of is how components' *changes* differ, |(hess F_i - hess F_j)
(x_t - x_(t-1))|: nothing where all have one Hessian, however much their gradients differ.

The mean is never taken: with y_j = z_j + S only the entries that were drawn are touched, W being their share of all,

    v <- v + (1 - W) Delta + W mean over I of (g_j - z_j - S),      S <- S + Delta,      z_j <- g_j - S

W is b / n, and the share of its components where a block is drawn.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, Key, PyTree

from langevax import checks, trees
from langevax.gradients import tables
from langevax.gradients.estimator import GradientEstimator
from langevax.problems.problem import Problem


class SLEDGEState(NamedTuple):
    previous: PyTree
    gradient: PyTree
    shift: PyTree
    """S, by which all entries have moved."""
    table: PyTree
    """z, an axis of entries before those of the position."""


class SLEDGE(GradientEstimator):
    """Biased given the past, with an error that stays small without full gradients; cost 2b a step.

    With random steps of length s and components whose Hessians differ by zeta, the squared error stays at
    zeta^2 s^2 n / (2 b^2), for either table. For a step size of min(1/L, b / (zeta sqrt(n))) b = sqrt(n) suffices,
    and fewer where components resemble each other, zeta sqrt(n) / L.

    Memory is the table's: n vectors for "components", ceil(n/b) for "blocks", whose step also costs no more than one
    of `SARAH`. A linear model, whose gradients are numbers times rows, could keep n numbers and the S of each time at
    which one was last drawn. Those S alone are more vectors than there are blocks (n = 10^5, b = 316: 2,025 times
    against 317 blocks), so that "blocks" is the small table for linear models, too.

    The papers SLEDGE and SILVER describe this estimator under two names, as far as their public text tells:
    `gradients.SILVER` is the same class.

    Args:
        batch_size: b, components per step; sqrt(n) serves where nothing is known.
        table: "blocks", means over fixed random blocks of b components, one of which is drawn a step; or "components",
            one entry each, of which b are drawn.
        start: "full", n component gradients before the first step; or "batch", none: all entries begin as the mean of
            the first batch, and the error fades over n/b steps.
        resync: steps after which S is added to the table and v is again the table's mean, so that rounding does not
            pile up; no gradients. None takes n/b, the time in which each entry is drawn once.
        seed: which permutation of the components the blocks are cut from, the same in each run.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> problem = langevax.FiniteSum(lambda x, a: jnp.sum((x - a) ** 2) / 2, jnp.arange(100.0)[:, None])
        >>> langevin = langevax.Langevin(step_size=0.1, temperature=0.0, gradient=langevax.gradients.SLEDGE(10))
        >>> result = langevax.simulate(langevin, problem, jnp.zeros(1), key=jax.random.key(0), num_steps=201)
        >>> result.position.round(2), result.evaluations  # n + 2b for each step after the first
        (Array([49.5], dtype=float32), 4100)
    """

    batch_size: int
    table: str = "blocks"
    start: str = "full"
    resync: int | None = None
    seed: int = 0

    def __check_init__(self) -> None:
        tables.check(self)
        if self.resync is not None:
            checks.positive_int("resync", self.resync)

    def init(self, problem: Problem, position: PyTree) -> tuple[SLEDGEState, Any]:
        entries = tables.entries_for(problem, self.table, self.batch_size, self.seed)
        zeros = jax.tree.map(jnp.zeros_like, position)
        if self.start == "batch":
            return SLEDGEState(position, zeros, zeros, tables.empty(entries, problem, position)), 0
        table = entries.full(problem, position)
        return SLEDGEState(position, tables.mean(entries, problem, table), zeros, table), problem.size

    def estimate(
        self, problem: Problem, position: PyTree, state: SLEDGEState, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[PyTree, SLEDGEState, Any]:
        entries = tables.entries_for(problem, self.table, self.batch_size, self.seed)
        drawn = entries.draw(key, problem)
        gradients = entries.gradients(problem, drawn)
        y = jax.tree.map(jnp.add, tables.rows(state.table, drawn), state.shift)

        def first() -> tuple[PyTree, PyTree, Any]:
            """Nothing has moved: a full table knows its entries, an empty one moves from 0 to the batch's mean."""
            if self.start == "full":
                return jax.tree.map(jnp.zeros_like, state.shift), jax.tree.map(jnp.zeros_like, y), jnp.int32(0)
            g = gradients(position)
            return jax.tree.map(mean, g), g, jnp.int32(entries.cost(problem))

        def both() -> tuple[PyTree, PyTree, Any]:
            g, h = gradients(position), gradients(state.previous)
            delta = jax.tree.map(mean, trees.subtract(g, h))
            return delta, trees.subtract(g, y), jnp.int32(2 * entries.cost(problem))

        # what is read of the table is used up in a branch: read again after the write, it would be copied
        delta, residuals, used = lax.cond(step == 0, first, both)
        share = jnp.sum(entries.weights(problem, drawn, trees.dtype_of(position)))

        def corrected(v: Array, delta: Array, residuals: Array) -> Array:
            return v + (1 - share) * delta + share * mean(residuals)

        v = jax.tree.map(corrected, state.gradient, delta, residuals)
        shift = trees.add(state.shift, delta)
        # g - shift, as what is added to z = y - the last shift
        table = tables.add(state.table, drawn, jax.tree.map(lambda r, delta: r - delta, residuals, delta))

        def resync(carry: tuple[PyTree, PyTree, PyTree]) -> tuple[PyTree, PyTree, PyTree]:
            _, shift, table = carry
            table = jax.tree.map(jnp.add, table, shift)
            return tables.mean(entries, problem, table), jax.tree.map(jnp.zeros_like, shift), table

        period = entries.period(problem, self.resync)
        v, shift, table = tables.now_and_then(step, period, resync, (v, shift, table))
        return v, SLEDGEState(position, v, shift, table), used


def mean(stack: Array) -> Array:
    """Over the drawn entries."""
    return jnp.mean(stack, axis=0)


SILVER = SLEDGE
