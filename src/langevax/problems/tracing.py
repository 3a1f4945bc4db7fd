"""Programs that JAX traces from a user's function: their equations, and constants that differ between two traces."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

PROGRAMS = core.Jaxpr, core.ClosedJaxpr
NO_TANGENT = "custom_lin"
"""The operation in which JAX leaves the tangent of a `jax.custom_vjp` function, which has none."""


def equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    """Yield the equations of a program, those of its inner programs included."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda leaf: isinstance(leaf, PROGRAMS)):
            if isinstance(inner, PROGRAMS):
                yield from equations(inner.jaxpr if isinstance(inner, core.ClosedJaxpr) else inner)


def is_traced(function: Callable[[Any], Any], like: jax.ShapeDtypeStruct, mode: Callable) -> bool:
    """True where JAX traces the function in this mode: `mode(function, primals, tangents)`, such as `jax.jvp`."""
    try:
        traced = jax.make_jaxpr(lambda values: mode(function, (values,), (values,)))(like)
    except Exception:  # a function on NumPy arrays raises anything on a tracer
        return False
    return all(equation.primitive.name != NO_TANGENT for equation in equations(traced.jaxpr))


def is_reproducible(function: Callable[..., Any], *arguments: Any) -> bool:
    """False where two traces of a function differ in their constants, such as random numbers of NumPy."""
    # a function of its own for each trace, since JAX remembers them by function
    first, second = (_constants(jax.make_jaxpr(lambda *a: function(*a))(*arguments)) for _ in range(2))
    return len(first) == len(second) and all(
        a is b or np.array_equal(_numbers(a), _numbers(b), equal_nan=True) for a, b in zip(first, second, strict=True)
    )


def _constants(traced: core.ClosedJaxpr) -> list[Any]:
    inputs = (variable for equation in equations(traced.jaxpr) for variable in equation.invars)
    return [*traced.consts, *(variable.val for variable in inputs if isinstance(variable, core.Literal))]


def _numbers(constant: Any) -> Any:
    """Return a constant for NumPy, which does not read keys."""
    is_key = isinstance(constant, jax.Array) and jnp.issubdtype(constant.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(constant) if is_key else constant
