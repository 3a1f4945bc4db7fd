"""Functions without derivatives, called in NumPy for what is counted: once for each place, in batches.

A place where the function raises is a failed one, as one where it is NaN: its value is NaN, and the first error is kept.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from langevax import checks
from langevax._typing import FloatScalar, HostVector, PyTree
from langevax.problems.problem import Problem

Places = Float[np.ndarray, "places d"]
Values = Float[np.ndarray, " places"]
Workers: TypeAlias = Callable[
    [Callable[[PyTree], Any], Iterable[PyTree]], Iterable[Any]
]
"""`workers(fun, positions)`, as Python's map."""


class Guarded:
    """A function that returns a number, or the exception that it raises."""

    def __init__(self, fun: Callable[[PyTree], object]):
        self.fun = fun

    def __call__(self, position: PyTree) -> float | Exception:
        try:
            value = self.fun(position)
        except Exception as error:  # whatever a user's function raises
            return error
        return as_number(value)


def as_number(value: Any) -> float:
    """Return what a function returned as a number; raise where it is not one."""
    return float(checks.scalar("fun", value, "sum or average its entries"))


class HostFunction:
    """A function of positions, evaluated at batches of vectors.

    Args:
        fun: the function, or a problem, which is compiled.
        like: a position.
        workers: computes a batch.
    """

    def __init__(
        self,
        fun: Callable[[PyTree], object] | Problem,
        like: PyTree[Array],
        workers: Workers,
    ):
        is_problem = isinstance(fun, Problem)
        self.size = int(fun.size) if is_problem else 1
        self.fun = partial(_potential, fun) if is_problem else fun
        self.workers = workers
        leaves, self.structure = jax.tree.flatten(like)
        self.shapes = [leaf.shape for leaf in leaves]
        self.ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
        self.failed = 0
        """Places where the function raised."""
        self.error = ""
        """The first one."""

    def at(self, x: HostVector) -> float:
        """Return the value at a place, and raise what the function raises."""
        return as_number(self.fun(self.position(x)))

    def __call__(self, xs: Places) -> Values:
        """Return the values at places; NaN where the function raises."""
        values = list(self.workers(Guarded(self.fun), map(self.position, xs)))
        if len(values) != len(xs):
            raise ValueError(
                f"workers returned {len(values)} values for {len(xs)} positions; return "
                "one for each, in their order, as map does."
            )
        errors = [value for value in values if isinstance(value, Exception)]
        if errors and not self.failed:
            self.error = f"{type(errors[0]).__name__}: {errors[0]}"
        self.failed += len(errors)
        return np.array(
            [np.nan if isinstance(value, Exception) else value for value in values],
            np.float64,
        )

    @property
    def failures(self) -> str:
        """The sentence of a message that names them."""
        return (
            f" fun raised at {self.failed:,} places, which count as NaN; first "
            f"{self.error}"
        )

    def position(self, x: HostVector) -> PyTree[np.ndarray]:
        """Return a vector in the structure of a position, a copy that the function may overwrite."""
        parts = np.split(np.array(x, np.float64), self.ends)
        leaves = [part.reshape(s) for part, s in zip(parts, self.shapes, strict=True)]
        return jax.tree.unflatten(self.structure, leaves)


@eqx.filter_jit
def _potential(problem: Problem, position: PyTree) -> FloatScalar:
    return problem.potential(position)
