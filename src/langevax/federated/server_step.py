"""The server's step along the mean change of its clients: plain, or by an optax gradient transformation.

    x <- x + server_step_size * optimizer.update(-change),    without an optimizer  x <- x + server_step_size * change

Adaptive federated optimisation (Reddi et al., ICLR 2021) is FedAvg with Adam, Yogi or Adagrad at the server, FedAvgM
(Hsu, Qi and Brown 2019) FedAvg with momentum. The change points along minus a gradient, so that any
first-order transformation applies. `OPTIMIZERS` has those of the papers by name; optax corrects the bias of the moments
of Adam and Yogi, which Reddi et al. do not.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from langevax import checks
from langevax._typing import IntScalar, PyTree
from langevax.algorithm import at_step
from langevax.federated import local
from langevax.federated.exchange import Replies, StepSize

OPTIMIZERS = ("momentum", "adam", "yogi", "adagrad")


@runtime_checkable
class GradientTransformation(Protocol):
    """`optax.GradientTransformation`, which is not imported before it is used."""

    @property
    def init(self) -> Callable[..., Any]: ...

    @property
    def update(self) -> Callable[..., Any]: ...


ServerOptimizer = str | GradientTransformation
"""One of `OPTIMIZERS`, or a transformation that descends with learning rate 1, whose updates `server_step_size` multiplies."""


def check_optimizer(optimizer: object) -> None:
    """Raise unless `optimizer` is the name of one, a gradient transformation, or None."""
    pair = isinstance(optimizer, tuple) and [
        getattr(optimizer, name, None) for name in ("init", "update")
    ]
    is_name = isinstance(optimizer, str) and optimizer in OPTIMIZERS
    if not (optimizer is None or is_name or (pair and all(map(callable, pair)))):
        names = ", ".join(map(repr, OPTIMIZERS))
        raise (ValueError if isinstance(optimizer, str) else TypeError)(
            f"server_optimizer must be {names}, an optax.GradientTransformation or "
            f"None, got {checks.shown(optimizer)}; pass for instance 'momentum'."
        )


@cache
def _named(name: str) -> GradientTransformation:
    """The optimizer with beta_1, beta_2 and tau of Reddi et al., section 4 and appendix D."""
    import optax

    momentum = 0.9
    decay = 0.99
    epsilon = 1e-3
    return {
        "momentum": lambda: optax.sgd(1.0, momentum),
        "adam": lambda: optax.adam(1.0, momentum, decay, epsilon),
        "yogi": lambda: optax.yogi(1.0, momentum, decay, epsilon),
        "adagrad": lambda: optax.adagrad(1.0, epsilon**2, epsilon**2),
    }[name]()


def _transformation(optimizer: ServerOptimizer) -> GradientTransformation:
    return _named(optimizer) if isinstance(optimizer, str) else optimizer


def initial_state(optimizer: ServerOptimizer | None, position: PyTree) -> Any:
    """The state of the optimizer before the first round; () without one."""
    return (
        ()
        if optimizer is None
        else _transformation(optimizer).init(jax.tree.map(jnp.asarray, position))
    )


def move(
    position: PyTree,
    optimizer_state: Any,
    change: PyTree,
    replies: Replies,
    *,
    optimizer: ServerOptimizer | None,
    step_size: StepSize,
    step: IntScalar,
) -> tuple[PyTree, Any]:
    """(position, optimizer state) after a step along `change`; unchanged where nobody answered."""
    h = at_step(step_size, step)
    if optimizer is None:
        return local.descent_step(position, change, -h), ()
    gradient = jax.tree.map(jnp.negative, change)
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to integer powers
        update, new_state = _transformation(optimizer).update(
            gradient, optimizer_state, position
        )
    moved = local.descent_step(position, update, -h)
    return replies.if_any((moved, new_state), (position, optimizer_state))
