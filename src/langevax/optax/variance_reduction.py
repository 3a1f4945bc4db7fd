"""SVRG and SARAH as optax transformations: minibatch gradients in, variance-reduced gradients out.

Kinoshita and Suzuki, NeurIPS 2022 (SVRG-LD and SARAH-LD, with `langevin` after them); Johnson and Zhang,
NIPS 2013; Nguyen et al., ICML 2017. The formulas are those of `langevax.gradients.SVRG` and `SARAH`, and so
are the gradients on the same batches. What differs is who draws the batches: here the training loop, which
hands its functions to `update` as optax's line searches have it:

    value_fn(params)       the mean loss of this step's batch, whose gradient `updates` is
    full_value_fn(params)  the mean loss of all n examples, on the same scale

Both are closures over their data. `full_value_fn` is evaluated in one step of a period only, under `lax.cond`;
data that are too many for one pass go through `jax.lax.map(jax.checkpoint(loss_of_block), blocks).mean()`.
Cost of a period: n + B + 2B(m - 1) component gradients, B of them `updates` of the step that does not use it.

Chains are cheap as `jax.vmap` of a whole loop, which leaves the count common to all. Where the state itself
is mapped over, `lax.cond` becomes a selection and every step pays the full gradient.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import PyTree
from optax import GradientTransformationExtraArgs, safe_increment

from langevax import checks, trees


class SVRGState(NamedTuple):
    count: Any  # int32, as optax names it
    anchor: PyTree
    anchor_gradient: PyTree


class SARAHState(NamedTuple):
    count: Any  # int32, as optax names it
    previous: PyTree
    gradient: PyTree


def svrg(period: Any) -> GradientTransformationExtraArgs:
    """A full gradient at an anchor every `period` steps, corrected by the batches in between.

        step % m == 0:   s = params,  v = grad full_value_fn(s)
        otherwise:       v = updates - grad value_fn(s) + grad full_value_fn(s)

    Unbiased, with a variance that vanishes as params stay near the anchor. It comes first in a chain, since v
    replaces `updates`. The state holds two copies of params; v has their dtypes.

    Args:
        period: m, steps from one full gradient to the next.

    Returns:
        A transformation whose update takes (updates, state, params, *, value_fn, full_value_fn), and passes over other
        extra arguments.

    Raises:
        TypeError: period is no int; at `update`, value_fn or full_value_fn missing.
        ValueError: period < 1; at `update`, no params.

    Example:
        >>> import jax, jax.numpy as jnp, langevax.optax, optax
        >>> data = jnp.linspace(-1.0, 1.0, 100)
        >>> optimizer = optax.chain(
        ...     langevax.optax.svrg(period=10), langevax.optax.langevin(0.1, 1 / 100, jax.random.key(0))
        ... )
        >>> def loss(params, rows):
        ...     return jnp.mean((params - rows) ** 4)
        >>> def step(carry, rows):
        ...     params, state = carry
        ...     updates, state = optimizer.update(
        ...         jax.grad(loss)(params, rows), state, params,
        ...         value_fn=lambda p: loss(p, rows), full_value_fn=lambda p: loss(p, data),
        ...     )
        ...     return (optax.apply_updates(params, updates), state), None
        >>> batches = jax.random.choice(jax.random.key(1), data, (1000, 4))
        >>> start = jnp.zeros(())
        >>> (params, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), batches)
        >>> bool(abs(params) < 0.5)
        True
    """
    checks.positive_int("period", period)

    def init(params: PyTree) -> SVRGState:
        return SVRGState(jnp.zeros((), jnp.int32), _zeros(params), _zeros(params))  # step 0 takes the first anchor

    def update(
        updates: PyTree,
        state: Any,
        params: PyTree = None,
        *,
        value_fn: Any = None,
        full_value_fn: Any = None,
        **extra_args: Any,
    ) -> tuple[PyTree, SVRGState]:
        del extra_args
        _check_update("svrg", params, value_fn, full_value_fn)

        def refresh(_: SVRGState) -> tuple[PyTree, PyTree, PyTree]:
            gradient = jax.grad(full_value_fn)(params)
            return gradient, params, gradient

        def correct(state: SVRGState) -> tuple[PyTree, PyTree, PyTree]:
            change = _change(updates, params, value_fn, state.anchor)
            return trees.add(change, state.anchor_gradient), state.anchor, state.anchor_gradient

        gradient, anchor, anchor_gradient = lax.cond(state.count % period == 0, refresh, correct, state)
        return gradient, SVRGState(safe_increment(state.count), anchor, anchor_gradient)

    return GradientTransformationExtraArgs(init, update)


def sarah(period: Any) -> GradientTransformationExtraArgs:
    """A running gradient, corrected at each step by the change since the last one.

        step % m == 0:   v = grad full_value_fn(params)
        otherwise:       v = updates - grad value_fn(previous params) + v

    Biased given the past: its errors persist through a period, and near a minimum it adds (2m - 1)/3 times the
    variance that `svrg` adds. It comes first in a chain. The state holds two copies of params; v has their dtypes.

    Args:
        period: m, steps from one full gradient to the next.

    Returns:
        A transformation whose update takes (updates, state, params, *, value_fn, full_value_fn), and passes over other
        extra arguments.

    Raises:
        TypeError: period is no int; at `update`, value_fn or full_value_fn missing.
        ValueError: period < 1; at `update`, no params.

    Example:
        >>> import jax, jax.numpy as jnp, langevax.optax
        >>> optimizer = langevax.optax.sarah(period=10)
        >>> value_fn, full_value_fn = (lambda x: jnp.sum((x - 1) ** 2), lambda x: jnp.sum(x**2))
        >>> params = jnp.ones(2)
        >>> gradient, state = optimizer.update(
        ...     jax.grad(value_fn)(params), optimizer.init(params), params,
        ...     value_fn=value_fn, full_value_fn=full_value_fn,
        ... )
        >>> gradient
        Array([2., 2.], dtype=float32)
    """
    checks.positive_int("period", period)

    def init(params: PyTree) -> SARAHState:
        return SARAHState(jnp.zeros((), jnp.int32), _zeros(params), _zeros(params))  # step 0 takes a full gradient

    def update(
        updates: PyTree,
        state: Any,
        params: PyTree = None,
        *,
        value_fn: Any = None,
        full_value_fn: Any = None,
        **extra_args: Any,
    ) -> tuple[PyTree, SARAHState]:
        del extra_args
        _check_update("sarah", params, value_fn, full_value_fn)

        def refresh(_: SARAHState) -> PyTree:
            return jax.grad(full_value_fn)(params)

        def correct(state: SARAHState) -> PyTree:
            return trees.add(_change(updates, params, value_fn, state.previous), state.gradient)

        gradient = lax.cond(state.count % period == 0, refresh, correct, state)
        return gradient, SARAHState(safe_increment(state.count), params, gradient)

    return GradientTransformationExtraArgs(init, update)


def _zeros(params: PyTree) -> PyTree:
    return jax.tree.map(jnp.zeros_like, params)


def _change(updates: PyTree, params: PyTree, value_fn: Callable[[PyTree], Any], there: PyTree) -> PyTree:
    """The batch's gradient at params, which `updates` is, less that at `there`; in the dtypes of params."""
    here = jax.tree.map(lambda x, g: jnp.asarray(g, x.dtype), params, updates)
    return trees.subtract(here, jax.grad(value_fn)(there))


def _check_update(name: str, params: PyTree, value_fn: Any, full_value_fn: Any) -> None:
    if params is None:
        raise ValueError(f"params is None but {name} compares gradients at params; pass update(grads, state, params).")
    remedies = {
        "value_fn": (value_fn, "lambda params: loss(params, batch)"),
        "full_value_fn": (full_value_fn, "lambda params: loss(params, all_data)"),
    }
    for argument, (function, remedy) in remedies.items():
        if not callable(function):
            raise TypeError(
                f"{argument} must be a function of params, got {function!r}; pass {argument}={remedy} "
                f"to the update of {name}, or of the chain that it is in."
            )
