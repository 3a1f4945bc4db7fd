"""The contract of algorithms: everything that `simulate` runs has `init` and `step`."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal, Protocol

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PyTree

from langevax.problems.problem import Problem

Info = dict[str, Any]
"""Scalars of one step, the same names from `init` and `step`: integers are counts, summed over the
run in 64 bits; floats are metrics, averaged between records."""


class State(Protocol):
    """A named tuple of arrays with at least a position; it holds no key and no step counter."""

    @property
    def position(self) -> PyTree: ...


class Algorithm(eqx.Module):
    """A method as two pure functions of one chain; `simulate` adds chains, records and everything else.

    Floats (`step_size`, `temperature`) are traced, so another value does not compile again; ints are
    static. Either float may be a schedule, a function of the step such as optax's.
    """

    chains: ClassVar[Literal["vmap", "map"]] = "vmap"
    """How several chains run: together, or one after the other where a step branches on its own data."""

    def check(self, problem: Problem) -> None:
        """Raise, before anything is compiled, where this method cannot run on the problem."""

    @abstractmethod
    def init(self, problem: Problem, position: PyTree, key: Key[Array, ""]) -> tuple[Any, Info]:
        """The state before step 0."""

    @abstractmethod
    def step(self, problem: Problem, state: Any, key: Key[Array, ""], step: Int[Array, ""]) -> tuple[Any, Info]:
        """One step; `step` is an int32 counted from 0 and shared by all chains."""


def at_step(value: Any, step: Int[Array, ""]) -> Any:
    """A schedule's value at a step; a number is its own.

    A compiled schedule that ends at 0, such as `optax.linear_schedule(0.5, 0.0, 10)`, may round to below 0
    there, where a square root has no value.
    """
    return jnp.maximum(jnp.asarray(value(step)), 0) if callable(value) else value
