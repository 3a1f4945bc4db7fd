"""Langevin dynamics for optax: noise that samples, and variance-reduced gradients to chain before it.

`langevin` is the step of `langevax.Langevin`: any network trained by optax becomes a sampler. The others take minibatch
gradients and return better ones, by the formulas of `langevax.gradients`. What differs is who draws the batches: here
the training loop, which gives `update` its functions, as optax's line searches have it:

    value_fn(params)       the mean loss of this step's batch, whose gradient `updates` is
    full_value_fn(params)  the mean loss of all n examples, on the same scale (`svrg`, `sarah`)

All are closures over their data. `full_value_fn` is evaluated in one step of a period only, under `lax.cond`; data that
are too many for one pass go through `jax.lax.map(jax.checkpoint(loss_of_block), blocks).mean()`. Batches that are
augmented or drawn anew belong to no sum, and `storm` takes them.

A variance-reduced gradient v replaces `updates`, so that these transformations come first in a chain; v has the dtypes
of params. Their updates take (updates, state, params, *, and the functions that they name), and ignore other extra
arguments. They raise TypeError where one of these is missing or an argument is not a number, and ValueError without
params or where an argument is out of range.

Chains are cheap as `jax.vmap` of a whole loop, which leaves the count common to all. Where the state itself
is mapped over, `lax.cond` becomes a selection and every step pays the full gradient.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import random
from jax.typing import ArrayLike
from jaxtyping import Array, UInt32
from optax import GradientTransformationExtraArgs, safe_increment

from langevax import checks, gradients, renamed, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.algorithm import at_step
from langevax.gradients.estimator import ReferenceState
from langevax.integrators import Exponential, Integrator
from langevax.keys import unrolled
from langevax.problems.problem import Function, Indices

Step = IntScalar
ValueFn = Callable[[PyTree], Array]
ScalarOrSchedule = ArrayLike | Callable[[Step], ArrayLike]

REMEDIES = {
    "value_fn": "lambda params: loss(params, batch)",
    "full_value_fn": "lambda params: loss(params, all_data)",
}


class NoiseState(NamedTuple):
    count: Any  # int32; a field of optax's name, which hides a method of tuples
    key: UInt32[Array, " words"]
    """The data of the key of the run, which Flax and Equinox can save; step s draws from fold_in(key, s)."""


class ReductionState(NamedTuple):
    """The state of an estimator of `langevax.gradients`, and the steps taken."""

    count: Any  # int32
    estimator: PyTree


def langevin(
    step_size: ScalarOrSchedule,
    temperature: ScalarOrSchedule,
    *,
    key: PRNGKey,
    precision: PyTree = 0.0,
    integrator: Integrator = Exponential(),  # noqa: B008 - immutable
) -> GradientTransformationExtraArgs:
    """Sample exp(-loss / temperature) by adding `updates` to `params`, or anneal to a minimum of the loss.

        updates  =  -b (gradient + precision params)  +  c sqrt(temperature) xi,      xi ~ N(0, I)

    with the gains (b, c) of `langevax.integrators`; where precision = 0 that is -h gradient + sqrt(2 h T) xi: SGLD
    (Welling and Teh, ICML 2011) with minibatch gradients, after `svrg` or `sarah` the algorithms of Kinoshita and
    Suzuki (NeurIPS 2022). The noise is that of one chain of `langevax.simulate` for the same key: for all four
    integrators a = 1 - b precision, so that adding `updates` to `params` is their step. Cost: one normal draw per
    coordinate.

    **Scale.** The gradient is of the *mean* loss over n examples, and a posterior has temperature 1/n; its
    log prior is then divided by n as well: N(0, s^2) is precision = 1 / (n s^2). With the gradient of a *sum*
    of losses temperature = 1, and the same chain has a step size n times smaller.

    **In a chain** it comes last, and it has the step size. What scales, clips or averages updates after it (a
    learning rate, momentum) does so to the noise too, and another law is sampled, without an error. Before it
    belong estimates of the gradient: `svrg`, `sarah`, weight decay. Clipping biases the drift
    where it acts; after Adam or momentum the law is not that of the loss.

    Moves are computed and noise is drawn in float32 at least and then rounded to the dtype of the gradient:
    JAX's own bfloat16 normals have mean -0.011, which drifts. Parameters in bfloat16 still lose moves smaller
    than 1/512 of themselves when these are added; sample in float32.

    Args:
        step_size: h > 0, a float or an optax schedule of the step, counted from 0.
        temperature: T >= 0, a float or a schedule; 0 is gradient descent.
        key: a typed key, `jax.random.key(seed)`. For several chains give each its own, such as
            `jax.vmap(run)(jax.random.split(key, chains))` where `run(key)` makes the optimizer and loops.
        precision: >= 0, of the quadratic part 1/2 <params, precision params> that the loss leaves out: a Gaussian
            prior, a weight decay. A prefix of params, and `update` then needs these.
        integrator: how that part is treated. The default is exact in it; `integrators.Explicit()` is what
            `optax.add_decayed_weights(precision)` before it does.

    Returns:
        A transformation whose state holds count (int32) and the key's data. Leaves that are None or masked stay so.

    Raises:
        TypeError: a key that is missing or old-style; a value that is not a number; at `update`, a gradient that
            is not real and floating.
        ValueError: step_size <= 0, temperature < 0, precision < 0, any of them not finite, or the first two not
            scalar; at `update`, no params where there is a precision.

    Example:
        The mean of a normal sample of variance 1, whose posterior has the standard deviation 1/sqrt(n) = 0.1.

        >>> import jax, jax.numpy as jnp, langevax.optax, optax
        >>> data = jnp.linspace(-1.0, 1.0, 100)
        >>> optimizer = langevax.optax.langevin(0.1, temperature=1 / 100, key=jax.random.key(0))
        >>> def step(carry, _):
        ...     params, state = carry
        ...     grads = jax.grad(lambda mean: jnp.mean((mean - data) ** 2) / 2)(params)
        ...     updates, state = optimizer.update(grads, state, params)
        ...     params = optax.apply_updates(params, updates)
        ...     return (params, state), params
        >>> start = jnp.zeros(())
        >>> _, draws = jax.lax.scan(step, (start, optimizer.init(start)), length=10_000)
        >>> print(f"{draws.std():.2f}")
        0.10
    """
    checks.one_number("step_size", step_size, positive=True)
    checks.one_number("temperature", temperature)
    checks.typed_key(key)
    checks.numbers("precision", precision)
    has_precision = not (isinstance(precision, int | float) and precision == 0)

    def init(params: PyTree) -> NoiseState:
        del params
        return NoiseState(
            jnp.zeros((), jnp.int32), jnp.copy(random.key_data(key))
        )  # the state may be donated

    def update(
        updates: PyTree,
        state: Any,
        params: PyTree = None,
        **_: Any,
    ) -> tuple[PyTree, NoiseState]:
        _check_gradient(updates)
        if has_precision and params is None:
            raise ValueError(
                "params is None but langevin has a precision; pass update(grads, "
                "state, params)."
            )
        position = (
            _params_of_updates(updates, params)
            if has_precision
            else trees.zeros_like(updates)
        )
        state = jax.tree.map(jnp.asarray, state)  # Flax restores NumPy arrays
        h = at_step(step_size, state.count)
        T = at_step(temperature, state.count)
        # as in `Langevin` under `simulate`
        run_key = random.wrap_key_data(state.key, impl=random.key_impl(key))
        _, noise_key = random.split(random.fold_in(unrolled(run_key), state.count))
        noise = trees.normal_like(jax.tree.map(_wide, updates), key=noise_key)

        def move(
            precision: ArrayLike,
            g: ArrayLike,
            x: ArrayLike,
            xi: Array,
        ) -> Array:
            wide = xi.dtype
            p = jnp.asarray(precision, wide)
            _, b, c = integrator.gains(jnp.asarray(h, wide), p)
            drift = jnp.asarray(g, wide) + p * jnp.asarray(x, wide)
            return (c * jnp.sqrt(jnp.asarray(T, wide)) * xi - b * drift).astype(
                jnp.result_type(g)
            )

        moves = trees.map_prefix(move, precision, updates, position, noise)
        return moves, NoiseState(safe_increment(state.count), state.key)

    return GradientTransformationExtraArgs(init, update)


def svrg(period: int) -> GradientTransformationExtraArgs:
    """A full gradient at an anchor every `period` steps, corrected by the batches in between.

        step % m == 0:   s = params,  v = grad full_value_fn(s)
        otherwise:       v = updates - grad value_fn(s) + grad full_value_fn(s)

    Unbiased, with a variance that vanishes as params stay near the anchor. The state holds two copies of params.

    Args:
        period: m, steps from one full gradient to the next.

    Example:
        >>> import jax, jax.numpy as jnp, langevax.optax, optax
        >>> data = jnp.linspace(-1.0, 1.0, 100)
        >>> optimizer = optax.chain(
        ...     langevax.optax.svrg(period=10), langevax.optax.langevin(0.1, 1 / 100, key=jax.random.key(0))
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
    functions = "value_fn", "full_value_fn"
    return _of_batches("svrg", gradients.SVRG(1, period), functions)


def sarah(period: int) -> GradientTransformationExtraArgs:
    """A running gradient, corrected at each step by the change since the last one.

        step % m == 0:   v = grad full_value_fn(params)
        otherwise:       v = updates - grad value_fn(previous params) + v

    Biased given the past: its errors persist through a period, and near a minimum it adds (2m - 1)/3 times the
    variance that `svrg` adds. The state holds two copies of params.

    Args:
        period: m, steps from one full gradient to the next.

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
    functions = "value_fn", "full_value_fn"
    return _of_batches("sarah", gradients.SARAH(1, period), functions)


def storm(momentum: float | Array) -> GradientTransformationExtraArgs:
    """A running gradient that is drawn a little towards each fresh batch.

        v = updates + (1 - a) (v - grad value_fn(previous params)),      at the first step v = updates

    The state holds two copies of params. Batches may be any.

    Args:
        momentum: a, the weight of the fresh batch, in (0, 1].

    Example:
        >>> import jax.numpy as jnp, langevax.optax
        >>> optimizer = langevax.optax.storm(momentum=0.1)
        >>> params = jnp.ones(2)
        >>> v, state = optimizer.update(2 * params, optimizer.init(params), params, value_fn=lambda x: jnp.sum(x**2))
        >>> v
        Array([2., 2.], dtype=float32)
    """
    return _of_batches("storm", gradients.STORM(1, momentum), ("value_fn",))


class _Step(Function):
    """One step as a problem: its batch is that of `value_fn`, whose gradient at params is `updates`."""

    params: PyTree
    updates: PyTree
    full_value_fn: ValueFn | None

    def __init__(
        self,
        params: PyTree,
        updates: PyTree,
        value_fn: ValueFn,
        full_value_fn: ValueFn | None = None,
    ):
        super().__init__(value_fn)
        self.params = params
        self.updates = updates
        self.full_value_fn = full_value_fn

    def gradient(self, position: PyTree) -> PyTree:
        assert self.full_value_fn is not None
        return jax.grad(self.full_value_fn)(position)

    def gradient_at(self, position: PyTree, indices: Indices) -> PyTree:
        if position is self.params:
            return self.updates
        return jax.grad(self.fun)(position)


def _of_batches(
    name: str, estimator: gradients.GradientEstimator, needed: tuple[str, ...]
) -> GradientTransformationExtraArgs:
    """An estimator of `langevax.gradients` that compares batches with a reference, as a transformation."""

    def init(params: PyTree) -> ReductionState:
        # step 0 takes no reference
        zeros = ReferenceState(trees.zeros_like(params), trees.zeros_like(params))
        return ReductionState(jnp.zeros((), jnp.int32), zeros)

    def update(
        updates: PyTree,
        state: Any,
        params: PyTree = None,
        **extra: Any,
    ) -> tuple[PyTree, ReductionState]:
        if params is None:
            raise ValueError(
                f"params is None but {name} compares gradients at params; pass "
                "update(grads, state, params)."
            )
        for argument in needed:
            if not callable(value := extra.get(argument)):
                raise TypeError(
                    f"{argument} must be a function of params, got {value!r}; pass "
                    f"{argument}={REMEDIES[argument]} to the update of {name}, or of "
                    "the chain that it is in."
                )
        typed = jax.tree.map(lambda x, g: jnp.asarray(g, x.dtype), params, updates)
        problem = _Step(params, typed, *(extra[argument] for argument in needed))
        state = jax.tree.map(jnp.asarray, state)  # Flax restores NumPy arrays
        unused = random.key(0)  # the loop has drawn the batch
        v, reference, _ = estimator.estimate(
            problem, params, state.estimator, unused, state.count
        )
        return v, ReductionState(safe_increment(state.count), reference)

    return GradientTransformationExtraArgs(init, update)


def _wide(leaf: ArrayLike) -> jax.ShapeDtypeStruct:
    """The shape of a leaf, and the dtype in which its move is computed: float32, or its own where that is wider."""
    dtype = jnp.result_type(leaf)
    return jax.ShapeDtypeStruct(
        jnp.shape(leaf), dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32
    )


def _params_of_updates(updates: PyTree, params: PyTree) -> PyTree:
    """`params`, None where `updates` has None."""
    return jax.tree.map(
        lambda g, x: None if g is None else x,
        updates,
        params,
        is_leaf=lambda leaf: leaf is None,
    )


def _check_gradient(updates: PyTree) -> None:
    for path, leaf in jax.tree.leaves_with_path(updates):
        dtype = getattr(leaf, "dtype", None) or jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"updates{jax.tree_util.keystr(path)} must be real floating gradients, "
                f"got dtype {dtype.name}; differentiate floating parameters only, such "
                "as those of equinox.filter(model, equinox.is_inexact_array), and give "
                "real and imaginary parts apart."
            )


__all__ = ["langevin", "sarah", "storm", "svrg"]
__dir__: object = __all__.copy
__getattr__ = renamed.getattr_of(__name__)
