"""The interface of algorithms: everything that `simulate` runs has `init` and `step`."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from langevax import checks
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.problems.problem import Problem

Info: TypeAlias = dict[str, Any]
"""Scalars of one step, the same names from `init` and `step`. Integers are counts, summed over the run in 64 bits;
floats are metrics, averaged between records."""

Schedule: TypeAlias = Callable[[Any], Any]
"""A function of the step such as optax's: int32 in, scalar out."""

Hyperparameter: TypeAlias = ArrayLike | Schedule
"""A number, an array that broadcasts against the position, or a schedule."""

SCHEDULE_ROUNDING = 1e-6
"""By which a schedule may fall below 0 where it ends at 0."""

INIT_STEP = 2**32 - 1
START_STEP = 2**32 - 2
"""Steps that no run reaches: the keys of `init` and of the start are `fold_in(key, ...)` of these."""


class State(Protocol):
    """A named tuple of arrays with at least a position; it holds neither a key nor a step counter."""

    @property
    def position(self) -> PyTree: ...


class Algorithm(eqx.Module):
    """A method as two pure functions of one chain; `simulate` adds chains, records, checkpoints and progress.

    Floats (`step_size`, `temperature`) are traced, so that another value does not compile again; ints are static.
    Either float may be a schedule.
    """

    chains: ClassVar[Literal["vmap", "map"]] = "vmap"
    """How several chains run: together, or one after the other where a step branches on its own data."""

    def check(self, problem: Problem) -> None:
        """Raise, before anything is compiled, if this method cannot run on the problem."""

    def check_schedules(self, num_steps: int) -> None:
        """Raise where a number is "auto", or a schedule negative at the first or the last step of a run."""
        for name in (
            "step_size",
            "temperature",
            "radius",
            "rate",
            "direction_step_size",
        ):
            schedule = getattr(self, name, None)
            if checks.is_auto(schedule):
                raise ValueError(
                    f"{name} of {type(self).__name__} is 'auto', which langevax.sample "
                    "alone chooses; pass a number."
                )
            for step in (0, max(num_steps - 1, 0)) if callable(schedule) else ():
                number = np.asarray(at_step(schedule, jnp.int32(step)))
                if np.isnan(number).any():
                    raise ValueError(
                        f"{name} is a schedule that is negative or NaN at step {step}; "
                        "return numbers >= 0."
                    )

    @abstractmethod
    def init(
        self,
        problem: Problem,
        position: PyTree,
        key: PRNGKey,
    ) -> tuple[Any, Info]:
        """Return the state before step 0, and what it cost."""

    @abstractmethod
    def step(
        self,
        problem: Problem,
        state: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[Any, Info]:
        """Return the state after one step; `step` is an int32 counted from 0 and shared by all chains."""


def at_step(value: Any, step: IntScalar | int) -> Any:
    """Return a schedule's value at a step, or a number as it is.

    A compiled schedule that ends at 0, such as `optax.linear_schedule(0.5, 0.0, 10)`, may round to below 0
    there, where a square root has no value. What is negative beyond rounding is NaN, which ends a run at that step.
    """
    if not callable(value):
        return value
    number = value(step)
    if not checks.is_real(number):
        raise TypeError(
            f"a schedule must return a number, got {checks.shown(number)}; return a "
            "float >= 0."
        )
    number = jnp.asarray(number)
    return jnp.where(number < -SCHEDULE_ROUNDING, jnp.nan, jnp.maximum(number, 0))


def trace_floats(tree: PyTree, dtype: Any) -> PyTree:
    """Return `tree` with floats and floating arrays as arrays of `dtype`, on whose values no program depends.

    Integers of NumPy become ints, which are static: batch sizes are shapes.
    """

    def cast(leaf: Any) -> Any:
        if isinstance(leaf, np.integer):
            return int(leaf)
        is_float = eqx.is_array_like(leaf) and jnp.issubdtype(
            jnp.result_type(leaf), jnp.floating
        )
        return jnp.asarray(leaf, dtype) if is_float else leaf

    return jax.tree.map(cast, tree)
