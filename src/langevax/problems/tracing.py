"""Programs that JAX traces from a user's function: their equations, constants, and the numbers read by name."""

import contextlib
import dis
import functools
import inspect
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core
from jax.interpreters import partial_eval

PROGRAMS = core.Jaxpr, core.ClosedJaxpr
READ_BY_NAME = bool, int, float, complex, str, np.ndarray, np.generic, jax.Array
NO_TANGENT = "custom_lin"
"""The operation in which JAX leaves the tangent of a `jax.custom_vjp` function, which has none."""


def equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    """Yield the equations of a program, those of its inner programs included."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(
            equation.params, is_leaf=lambda leaf: isinstance(leaf, PROGRAMS)
        ):
            if isinstance(inner, PROGRAMS):
                yield from equations(
                    inner.jaxpr if isinstance(inner, core.ClosedJaxpr) else inner
                )


def is_traced(
    function: Callable[[Any], Any], like: jax.ShapeDtypeStruct, mode: Callable
) -> bool:
    """True where JAX traces the function in this mode: `mode(function, primals, tangents)`, such as `jax.jvp`."""
    try:
        traced = jax.make_jaxpr(lambda values: mode(function, (values,), (values,)))(
            like
        )
    except Exception:  # a function on NumPy arrays raises anything on a tracer
        return False
    return all(
        equation.primitive.name != NO_TANGENT for equation in equations(traced.jaxpr)
    )


def reads(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return for each leaf of the arguments whether what the function returns depends on it, by its program."""
    program = jax.make_jaxpr(function)(*arguments).jaxpr
    used = partial_eval.dce_jaxpr(program, [True] * len(program.outvars))[1]
    return jax.tree.unflatten(jax.tree.structure(arguments), used)


def is_reproducible(function: Callable[..., Any], *arguments: Any) -> bool:
    """False where two traces of a function differ in their constants, such as random numbers of NumPy."""
    # a function of its own for each trace, since JAX remembers them by function
    first, second = (
        _constants(jax.make_jaxpr(lambda *a: function(*a))(*arguments))
        for _ in range(2)
    )
    return len(first) == len(second) and all(
        a is b or np.array_equal(_numbers(a), _numbers(b), equal_nan=True)
        for a, b in zip(first, second, strict=True)
    )


def _constants(traced: core.ClosedJaxpr) -> list[Any]:
    inputs = (
        variable for equation in equations(traced.jaxpr) for variable in equation.invars
    )
    return [
        *traced.consts,
        *(variable.val for variable in inputs if isinstance(variable, core.Literal)),
    ]


def _numbers(constant: Any) -> Any:
    """Return a constant for NumPy, which does not read keys."""
    is_key = isinstance(constant, jax.Array) and jnp.issubdtype(
        constant.dtype, jax.dtypes.prng_key
    )
    return jax.random.key_data(constant) if is_key else constant


_numbers_at_last_use: weakref.WeakKeyDictionary[types.FunctionType, dict[str, Any]] = (
    weakref.WeakKeyDictionary()
)


def arrays_read(function: Callable[..., Any], length: int) -> list[str]:
    """Return the names of arrays of a length that a Python function, or one that it names, reads by name."""
    if not isinstance(function, types.FunctionType):
        return []
    return [
        name.rpartition(".")[2]
        for name, value in _numbers_read(function, set()).items()
        if np.ndim(value) and len(value) == length
    ]


def forget_old_numbers(*functions: object) -> None:
    """Clear JAX's caches where a Python function reads a number by name that has changed since its last use.

    Programs are cached by function and hold the numbers of the time when they were compiled: without this, a notebook
    that changes a number of its own, but does not define the function again, gets the results of the old number.
    """
    for leaf in jax.tree.leaves(
        functions
    ):  # of a module that holds a function, the function
        function = inspect.unwrap(
            leaf.func if isinstance(leaf, functools.partial) else leaf
        )
        if isinstance(function, types.FunctionType):
            numbers = _numbers_read(function, set())
            before = _numbers_at_last_use.get(function, numbers)
            _numbers_at_last_use[function] = numbers
            if numbers.keys() != before.keys() or not all(
                _is_same(numbers[name], before[name]) for name in numbers
            ):
                jax.clear_caches()


def _numbers_read(
    function: types.FunctionType, visited: set[types.FunctionType]
) -> dict[str, Any]:
    """Return numbers and arrays that a function, or a function of its module that it names, reads by name."""
    visited.add(function)
    enclosed: dict[str, Any] = {}
    for name, cell in zip(
        function.__code__.co_freevars, function.__closure__ or (), strict=True
    ):
        with contextlib.suppress(ValueError):  # a cell that is still empty
            enclosed[name] = cell.cell_contents
    read = set(function.__code__.co_freevars)
    written = set()
    codes = [function.__code__]
    numbers = {}
    while codes:
        code = codes.pop()
        codes += [
            constant
            for constant in code.co_consts
            if isinstance(constant, types.CodeType)
        ]
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                read.add(instruction.argval)
            elif instruction.opname in (
                "STORE_GLOBAL",
                "STORE_DEREF",
            ):  # a counter of calls, say
                written.add(instruction.argval)
    for name in read - written:
        value = enclosed.get(name, function.__globals__.get(name))
        if isinstance(value, types.FunctionType):
            if value not in visited and value.__module__ == function.__module__:
                numbers |= _numbers_read(value, visited)
        elif isinstance(value, READ_BY_NAME) and not isinstance(value, Tracer):
            numbers[f"{function.__qualname__}.{name}"] = value
    return numbers


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (
        type(one) is type(other) and np.array_equal(_numbers(one), _numbers(other))
    )
