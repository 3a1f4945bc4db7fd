"""SLEDGE, SAGA and STORM as optax transformations: the gradients of batches in, better ones out, and no full pass.

The formulas are those of `langevax.gradients`. The training loop cuts its data into blocks of one size, once, gives
`update` the gradient of one of them and says which it was:

    value_fn(params)    the mean loss of this step's block, whose gradient `updates` is
    block               its number, an int32 in 0..num_blocks - 1; in any order, such as a new permutation each pass

All begin without a full pass, with what the first block tells. Batches that are augmented or drawn anew belong to no
block; for these there is `storm`. Cost of a step: B component gradients for `saga`, 2B for the others.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree
from optax import GradientTransformationExtraArgs, safe_increment

from langevax import checks, trees
from langevax.gradients.page import check_fraction
from langevax.gradients.tables import now_and_then


class SLEDGEState(NamedTuple):
    count: Any  # int32, as optax names it
    previous: PyTree
    gradient: PyTree
    shift: PyTree
    table: PyTree


class SAGAState(NamedTuple):
    mean: PyTree
    table: PyTree


class STORMState(NamedTuple):
    count: Any  # int32, as optax names it
    previous: PyTree
    gradient: PyTree


def sledge(num_blocks: int) -> GradientTransformationExtraArgs:
    """Gradients of blocks as a table that moves along, with errors that stay small and no full gradient.

        Delta = updates - grad value_fn(previous params),      v = v + (1 - 1/M) Delta + (updates - z_block - S) / M
        S = S + Delta,      z_block = updates - S

    At the first step v = updates. Every `num_blocks` steps S is added to the table and v is its mean, against rounding.
    It comes first in a chain. The state holds num_blocks + 3 copies of params; v has their dtypes.

    Args:
        num_blocks: M; sqrt(n) blocks of sqrt(n) examples serve where nothing is known.

    Returns:
        A transformation whose update takes (updates, state, params, *, value_fn, block), and passes over other extra
        arguments.

    Raises:
        TypeError: num_blocks is no int; at `update`, value_fn or block missing.
        ValueError: num_blocks < 1; at `update`, no params.

    Example:
        >>> import jax, jax.numpy as jnp, langevax.optax, optax
        >>> blocks = jnp.arange(12.0).reshape(4, 3)
        >>> optimizer = optax.chain(langevax.optax.sledge(num_blocks=4), optax.sgd(0.2))
        >>> def loss(params, rows):
        ...     return jnp.mean((params - rows) ** 2) / 2
        >>> def step(carry, block):
        ...     params, state = carry
        ...     value_fn = lambda p: loss(p, blocks[block])
        ...     updates, state = optimizer.update(
        ...         jax.grad(value_fn)(params), state, params, value_fn=value_fn, block=block
        ...     )
        ...     return (optax.apply_updates(params, updates), state), None
        >>> order = jnp.concatenate([jax.random.permutation(jax.random.key(i), 4) for i in range(30)])
        >>> start = jnp.zeros(())
        >>> (params, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), order)
        >>> bool(abs(params - 5.5) < 1e-3)
        True
    """
    checks.positive_int("num_blocks", num_blocks)

    def init(params: PyTree) -> SLEDGEState:
        zeros = _zeros(params)
        return SLEDGEState(jnp.zeros((), jnp.int32), params, zeros, zeros, _table(params, num_blocks))

    def update(
        updates: PyTree,
        state: Any,
        params: PyTree = None,
        *,
        value_fn: Any = None,
        block: Any = None,
        **extra_args: Any,
    ) -> tuple[PyTree, SLEDGEState]:
        del extra_args
        _check_update("sledge", params, value_fn=value_fn, block=block)
        g = _like(params, updates)
        h = jax.grad(value_fn)(state.previous)
        later = state.count > 0  # at first nothing has moved: from an empty table all entries move to g

        def moved(g: Any, h: Any) -> Any:
            return g - jnp.where(later, h, 0).astype(g.dtype)

        delta = jax.tree.map(moved, g, h)
        residual = jax.tree.map(lambda g, z, s: g - (z[block] + s), g, state.table, state.shift)
        v = jax.tree.map(
            lambda v, delta, r: v + (1 - 1 / num_blocks) * delta + r / num_blocks, state.gradient, delta, residual
        )
        shift = trees.add(state.shift, delta)
        table = jax.tree.map(lambda z, r, delta: z.at[block].add(r - delta), state.table, residual, delta)

        def resync(carry: Any) -> Any:
            _, shift, table = carry
            table = jax.tree.map(jnp.add, table, shift)
            return jax.tree.map(lambda z: jnp.mean(z, axis=0), table), _zeros(shift), table

        v, shift, table = now_and_then(state.count, num_blocks, resync, (v, shift, table))
        return v, SLEDGEState(safe_increment(state.count), params, v, shift, table)

    return GradientTransformationExtraArgs(init, update)


def saga(num_blocks: int) -> GradientTransformationExtraArgs:
    """Gradients of blocks as a table of what each was when it was last seen.

        v = updates - z_block + mean of all z,      z_block = updates

    Unbiased where blocks are drawn uniformly. The table begins as zeros: blocks that were not seen yet tell nothing.
    It comes first in a chain. The state holds num_blocks + 1 copies of params; v has their dtypes.

    Args:
        num_blocks: M.

    Returns:
        A transformation whose update takes (updates, state, params, *, block), and passes over other extra arguments.

    Raises:
        TypeError: num_blocks is no int; at `update`, block missing.
        ValueError: num_blocks < 1; at `update`, no params.

    Example:
        >>> import jax.numpy as jnp, langevax.optax
        >>> optimizer = langevax.optax.saga(num_blocks=2)
        >>> params = jnp.ones(2)
        >>> v, state = optimizer.update(2 * params, optimizer.init(params), params, block=1)
        >>> v, state.mean
        (Array([2., 2.], dtype=float32), Array([1., 1.], dtype=float32))
    """
    checks.positive_int("num_blocks", num_blocks)

    def init(params: PyTree) -> SAGAState:
        return SAGAState(_zeros(params), _table(params, num_blocks))

    def update(
        updates: PyTree, state: Any, params: PyTree = None, *, block: Any = None, **extra_args: Any
    ) -> tuple[PyTree, SAGAState]:
        del extra_args
        _check_update("saga", params, block=block)
        change = jax.tree.map(lambda g, z: g - z[block], _like(params, updates), state.table)
        mean = jax.tree.map(lambda m, c: m + c / num_blocks, state.mean, change)
        table = jax.tree.map(lambda z, c: z.at[block].add(c), state.table, change)
        return trees.add(change, state.mean), SAGAState(mean, table)

    return GradientTransformationExtraArgs(init, update)


def storm(momentum: float) -> GradientTransformationExtraArgs:
    """A running gradient that is drawn a little towards each fresh batch.

        v = updates + (1 - a) (v - grad value_fn(previous params)),      at the first step v = updates

    It comes first in a chain. The state holds two copies of params; v has their dtypes. Batches may be any.

    Args:
        momentum: a, the weight of the fresh batch, in (0, 1].

    Returns:
        A transformation whose update takes (updates, state, params, *, value_fn), and passes over other extra
        arguments.

    Raises:
        TypeError: momentum is no number; at `update`, value_fn missing.
        ValueError: momentum outside of (0, 1]; at `update`, no params.

    Example:
        >>> import jax.numpy as jnp, langevax.optax
        >>> optimizer = langevax.optax.storm(momentum=0.1)
        >>> params = jnp.ones(2)
        >>> v, state = optimizer.update(2 * params, optimizer.init(params), params, value_fn=lambda x: jnp.sum(x**2))
        >>> v
        Array([2., 2.], dtype=float32)
    """
    check_fraction("momentum", momentum)

    def init(params: PyTree) -> STORMState:
        return STORMState(jnp.zeros((), jnp.int32), params, _zeros(params))

    def update(
        updates: PyTree, state: Any, params: PyTree = None, *, value_fn: Any = None, **extra_args: Any
    ) -> tuple[PyTree, STORMState]:
        del extra_args
        _check_update("storm", params, value_fn=value_fn)
        later = state.count > 0
        h = jax.grad(value_fn)(state.previous)

        def one(g: Any, v: Any, h: Any) -> Any:
            return g + jnp.where(later, 1 - jnp.asarray(momentum, g.dtype), 0).astype(g.dtype) * (v - h)

        v = jax.tree.map(one, _like(params, updates), state.gradient, h)
        return v, STORMState(safe_increment(state.count), params, v)

    return GradientTransformationExtraArgs(init, update)


def _zeros(params: PyTree) -> PyTree:
    return jax.tree.map(jnp.zeros_like, params)


def _table(params: PyTree, num_blocks: int) -> PyTree:
    return jax.tree.map(lambda x: jnp.zeros((num_blocks, *jnp.shape(x)), jnp.asarray(x).dtype), params)


def _like(params: PyTree, updates: PyTree) -> PyTree:
    """In the dtypes of params."""
    return jax.tree.map(lambda x, g: jnp.asarray(g, x.dtype), params, updates)


def _check_update(name: str, params: PyTree, **arguments: Any) -> None:
    if params is None:
        raise ValueError(f"params is None but {name} compares gradients at params; pass update(grads, state, params).")
    remedies = {"value_fn": "lambda params: loss(params, batch)", "block": "the number of this step's block"}
    for argument, value in arguments.items():
        if value is None or (argument == "value_fn" and not callable(value)):
            raise TypeError(
                f"{argument} is {value!r}; pass {argument}={remedies[argument]} to the update of {name}, or of the "
                "chain that it is in."
            )
