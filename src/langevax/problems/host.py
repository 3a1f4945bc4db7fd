"""Functions on NumPy arrays, called from compiled programs: in loops, under `vmap`, on any device.

On CPUs they read the program's own memory (`buffer_callback`). `jax.pure_callback` copies each array through JAX, large
ones on the threads that run programs: if each of these runs a program that calls a function, they deadlock (JAX 0.10.2
on one CPU, with 10^6 numbers that were still being computed when the program started). It also takes 0.3 ms a call
against 0.01. On other devices, where numbers must be copied to the host anyway, `jax.pure_callback` is used.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental.buffer_callback import buffer_callback

from langevax import checks
from langevax._typing import PyTree


def call(function: Callable[..., PyTree], like: PyTree, *arguments: PyTree) -> PyTree:
    """`function(*arguments)` in the dtypes of `like`; it must return the structure and shapes of `like`.

    The function gets NumPy arrays that are valid during the call only, and must neither write to them nor call JAX. It
    must be pure: it may be called again, or not at all if its result is not needed. Under `vmap` it is called once per
    element. Its exceptions propagate unchanged if all arguments are concrete; a compiled program raises a
    `jax.errors.JaxRuntimeError` whose text ends with the exception.
    """

    def shape_of(array: Any) -> jax.ShapeDtypeStruct:
        dtype = jax.dtypes.canonicalize_dtype(array.dtype)
        return jax.ShapeDtypeStruct(array.shape, dtype)

    shapes = jax.tree.map(shape_of, like)

    def exact(*arrays: PyTree) -> PyTree:
        result = function(*jax.tree.map(np.asarray, arrays))
        return jax.tree.map(_as, result, shapes)

    if all(checks.is_concrete(leaf) for leaf in jax.tree.leaves(arguments)):
        return jax.tree.map(jnp.asarray, exact(*arguments))

    def in_place(context: Any, out: PyTree, *buffers: PyTree) -> None:
        jax.tree.map(_write, out, exact(*buffers))

    def on_cpu(*arguments: PyTree) -> PyTree:
        return buffer_callback(in_place, shapes, vmap_method="sequential")(*arguments)

    def elsewhere(*arguments: PyTree) -> PyTree:
        return jax.pure_callback(exact, shapes, *arguments, vmap_method="sequential")

    return lax.platform_dependent(*arguments, cpu=on_cpu, default=elsewhere)


def _as(result: Any, shape: jax.ShapeDtypeStruct) -> np.ndarray:
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite
        return np.asarray(result, shape.dtype)


def _write(buffer: Any, result: np.ndarray) -> None:
    np.asarray(buffer)[...] = result
