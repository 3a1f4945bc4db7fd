"""Fast transforms of arrays that are split over devices.

XLA's partitioner gathers the input of an FFT, even where only axes are split that the transform leaves alone. Of an
array on several devices `separably` therefore transforms on each device what it has, where batch axes are split; along
other axes the array is gathered, and transformed by all.

Elsewhere it applies the transforms themselves, so that one device runs the plain program.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.extend.core import Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding
from jaxtyping import Array

Transform = Callable[[Array], Array]


class Along(NamedTuple):
    """A linear map of the last axis of any array, of a known length, or its transpose."""

    transform: Transform
    length: int  # that the transform takes
    transposed: bool = False

    def __call__(self, array: Array) -> Array:
        if not self.transposed:
            return self.transform(array)
        before = jax.ShapeDtypeStruct((*array.shape[:-1], self.length), array.dtype)
        return jax.linear_transpose(self.transform, before)(array)[0]


def separably(array: Array, *transforms: Transform) -> Array:
    """Transform the last d axes of the array, by one transform each; axes before them are a batch.

    A transform is a linear map of the last axis of any array that uses no array of its own. `jax.vmap` and derivatives
    of every order and mode are split as the transform itself is.

    >>> separably(jnp.ones((5, 2, 3)), lambda x: 2 * x, lambda x: x[..., :1]).shape
    (5, 2, 1)
    """
    lengths = array.shape[array.ndim - len(transforms) :]
    steps = tuple(
        Along(transform, length)
        for transform, length in zip(transforms, lengths, strict=True)
    )
    return _wherever(steps, array)


def _wherever(steps: tuple[Along, ...], array: Array) -> Array:
    return _bind(array, steps) if _on_devices(array) else _locally(steps, array)


def _on_devices(array: Array) -> bool:
    """True if XLA divides the array; in `shard_map` it is one device's already."""
    mesh = jax.typeof(array).sharding.mesh
    return mesh.size > 1 and all(kind == AxisType.Auto for kind in mesh.axis_types)


def _locally(steps: tuple[Along, ...], array: Array) -> Array:
    for step in (
        steps
    ):  # the first axis becomes the last: after all of them, they are in order again
        array = step(jnp.moveaxis(array, array.ndim - len(steps), -1))
    return array


def _bind(array: Array, steps: tuple[Along, ...]) -> Array:
    before, after = (
        [f"{side}{i}" for i in range(len(steps))] for side in ("before", "after")
    )
    call = custom_partitioning(functools.partial(_locally, steps))
    call.def_partition(
        functools.partial(_partition, steps, jax.config.read("jax_enable_x64")),
        decode_shardings=False,
        sharding_rule=f"... {' '.join(before)} -> ... {' '.join(after)}",
        need_replication_factors=(*before, *after),
    )
    batch = [PartitionSpec.UNCONSTRAINED] * (array.ndim - len(steps))
    spec = PartitionSpec(*batch, *[None] * len(steps))
    # Shardy's rule is a hint, this is a constraint
    fitting = NamedSharding(jax.typeof(array).sharding.mesh, spec)
    program = jax.make_jaxpr(
        lambda array: call(lax.with_sharding_constraint(array, fitting))
    )(array)
    # JAX looks for partitioned calls in jaxprs
    return _split_p.bind(array, steps=steps, call=program)


def _partition(
    steps: tuple[Along, ...],
    wide: bool,
    mesh: Mesh,
    arrays: Any,
    result: Any,
) -> tuple[Mesh, Transform, Sharding, tuple[Sharding]]:
    """Return the program of one device and the common sharding of array and result."""
    del result
    (array,) = arrays

    def of_part(part: Array) -> Array:
        # the compiler calls from a thread without the caller's contexts
        with jax.enable_x64(wide):
            return _locally(steps, part)

    return mesh, of_part, array.sharding, (array.sharding,)


def _run(array: Array, *, steps: tuple[Along, ...], call: Any) -> Array:
    del steps
    return jaxpr_as_fun(call)(array)[0]


def _transpose(
    cotangent: Array,
    array: Any,
    *,
    steps: tuple[Along, ...],
    call: Any,
) -> list[Array]:
    del array, call
    return [
        _wherever(
            tuple(step._replace(transposed=not step.transposed) for step in steps),
            cotangent,
        )
    ]


def _batch(
    arrays: Any,
    axes: Any,
    *,
    steps: tuple[Along, ...],
    call: Any,
) -> tuple[Array, int]:
    del call
    return _wherever(steps, jnp.moveaxis(arrays[0], axes[0], 0)), 0


_split_p = Primitive("transform_split_array")
_split_p.def_impl(_run)
_split_p.def_abstract_eval(lambda array, *, steps, call: call.out_avals[0])
ad.deflinear2(_split_p, _transpose)
batching.primitive_batchers[_split_p] = _batch
mlir.register_lowering(_split_p, mlir.lower_fun(_run, multiple_results=False))
