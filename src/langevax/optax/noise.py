"""The Langevin step as an optax transformation: any network trained by optax becomes a sampler.

    updates  =  -b (gradient + precision params)  +  c sqrt(temperature) xi,      xi ~ N(0, I)

with the gains (b, c) of `langevax.integrators`; where precision = 0 that is -h gradient + sqrt(2 h T) xi.
SGLD (Welling and Teh, ICML 2011) with minibatch gradients; after `svrg` or `sarah` the algorithms of
Kinoshita and Suzuki (NeurIPS 2022). It is the step of `langevax.Langevin`, with the same noise for the same
key as one chain of `langevax.simulate`: for all four integrators a = 1 - b precision, so that adding
`updates` to `params` is their step. Cost: one normal draw per coordinate.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Key, PyTree
from optax import GradientTransformationExtraArgs, safe_increment

from langevax import checks, trees
from langevax.algorithm import at_step
from langevax.integrators import Exponential, Integrator
from langevax.keys import unrolled


class LangevinState(NamedTuple):
    count: Any  # int32, as optax names it
    key: Key[Array, ""]  # the run's own; step s draws from fold_in(key, s)


def langevin(
    step_size: Any,
    temperature: Any,
    key: Any,
    *,
    precision: PyTree = 0.0,
    integrator: Integrator = Exponential(),  # noqa: B008 - immutable
) -> GradientTransformationExtraArgs:
    """Sample exp(-loss / temperature) by adding `updates` to `params`, or anneal to a minimum of the loss.

    **Scale.** The gradient is of the *mean* loss over n examples, and a posterior has temperature 1/n; its
    log prior is then divided by n as well: N(0, s^2) is precision = 1 / (n s^2). With the gradient of a *sum*
    of losses temperature = 1, and the same chain has a step size n times smaller.

    **In a chain** it comes last, and it has the step size. What scales, clips or averages updates after it (a
    learning rate, momentum) does so to the noise too, and another law is sampled, without an error. Before it
    belongs what keeps an estimate of the gradient: `svrg`, `sarah`, weight decay. Clipping biases the drift
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
        A transformation whose state holds count (int32) and key. Leaves that are None or masked stay so.

    Raises:
        TypeError: a key that is missing or old-style; a number that is none; at `update`, a gradient that
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
    _check_scalar("step_size", step_size, positive=True)
    _check_scalar("temperature", temperature)
    checks.typed_key(key)
    for leaf in jax.tree.leaves(precision):
        checks.number("precision", leaf)
    has_precision = not (isinstance(precision, int | float) and precision == 0)

    def init(params: PyTree) -> LangevinState:
        del params
        return LangevinState(jnp.zeros((), jnp.int32), random.clone(key))  # a copy: the state may be donated

    def update(updates: PyTree, state: Any, params: PyTree = None, **extra_args: Any) -> tuple[PyTree, LangevinState]:
        del extra_args
        _check_gradient(updates)
        if has_precision and params is None:
            raise ValueError("params is None but langevin has a precision; pass update(grads, state, params).")
        position = _where_moved(updates, params) if has_precision else jax.tree.map(jnp.zeros_like, updates)
        h, T = at_step(step_size, state.count), at_step(temperature, state.count)
        _, noise_key = random.split(
            random.fold_in(unrolled(state.key), state.count)
        )  # as in `Langevin` under `simulate`
        noise = trees.normal_like(noise_key, jax.tree.map(_wide, updates))

        def move(precision: Any, g: Any, x: Any, xi: Array) -> Array:
            wide = xi.dtype
            p = jnp.asarray(precision, wide)
            _, b, c = integrator.gains(jnp.asarray(h, wide), p)
            drift = jnp.asarray(g, wide) + p * jnp.asarray(x, wide)
            return (c * jnp.sqrt(jnp.asarray(T, wide)) * xi - b * drift).astype(jnp.result_type(g))

        moves = trees.map_prefix(move, precision, updates, position, noise)
        return moves, LangevinState(safe_increment(state.count), state.key)

    return GradientTransformationExtraArgs(init, update)


def _wide(leaf: Any) -> jax.ShapeDtypeStruct:
    """The shape of a leaf, and the dtype in which its move is computed: float32, or its own where that is wider."""
    dtype = jnp.result_type(leaf)
    return jax.ShapeDtypeStruct(jnp.shape(leaf), dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32)


def _where_moved(updates: PyTree, params: PyTree) -> PyTree:
    """`params`, None where `updates` has None."""
    return jax.tree.map(lambda g, x: None if g is None else x, updates, params, is_leaf=lambda leaf: leaf is None)


def _check_scalar(name: str, value: Any, *, positive: bool = False) -> None:
    checks.number(name, value, positive=positive)
    if not callable(value) and jnp.ndim(value) != 0:
        raise ValueError(f"{name} must be one number, got an array of shape {jnp.shape(value)}; pass a float.")


def _check_gradient(updates: PyTree) -> None:
    for path, leaf in jax.tree.leaves_with_path(updates):
        dtype = getattr(leaf, "dtype", None) or jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"updates{jax.tree_util.keystr(path)} must be real floating gradients, got dtype {dtype.name}; "
                "differentiate floating parameters only, such as those of equinox.filter(model, "
                "equinox.is_inexact_array), and give real and imaginary parts apart."
            )
