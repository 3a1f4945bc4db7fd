"""Fast transforms of arrays that are split over devices.

XLA's partitioner gathers the input of an FFT, even where only axes are split that the transform leaves alone. For an
array on several devices `separably` therefore specifies the communication:

    batch axes split        nothing: each device transforms what it has
    the first of d >= 2     the others are transformed in place, another axis is split instead, the first is
    transformed axes split  transformed, and the split is exchanged back; each of P devices sends a P-th of its
                            shard to each other, twice
    any other axis split    the array is gathered along it, and transformed by all

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
    exchanged = _exchanged(array, steps)
    wide = jax.config.read("jax_enable_x64")
    call = custom_partitioning(functools.partial(_locally, steps))
    partition = functools.partial(_partition, steps, exchanged, wide)
    call.def_partition(partition, decode_shardings=False, **_rule(steps, exchanged))
    num_whole = len(steps) - (exchanged is not None)
    spec = PartitionSpec(
        *[PartitionSpec.UNCONSTRAINED] * (array.ndim - num_whole), *[None] * num_whole
    )
    fitting = NamedSharding(
        jax.typeof(array).sharding.mesh, spec
    )  # Shardy's rule is a hint, this is a constraint
    program = jax.make_jaxpr(
        lambda array: call(lax.with_sharding_constraint(array, fitting))
    )(array)
    return _split_p.bind(
        array, steps=steps, call=program
    )  # JAX looks for partitioned calls in jaxprs


def _exchanged(array: Array, steps: tuple[Along, ...]) -> int | None:
    """Return which transformed axis can be split instead of the first, over any number of devices."""
    devices = jax.typeof(array).sharding.mesh.size
    before = array.shape[array.ndim - len(steps) :]
    after = jax.eval_shape(
        functools.partial(_locally, steps), jax.ShapeDtypeStruct(before, array.dtype)
    ).shape
    if before[0] % devices or after[0] % devices:
        return None
    return next((i for i in range(1, len(steps)) if after[i] % devices == 0), None)


def _rule(steps: tuple[Along, ...], exchanged: int | None) -> dict[str, Any]:
    """Return Shardy's rule: batch axes and the first transformed axis may be split alike before and after."""
    before, after = (
        [f"{side}{i}" for i in range(len(steps))] for side in ("before", "after")
    )
    whole = (*before, *after)
    if exchanged is not None:
        after[0], whole = before[0], (*before[1:], *after[1:])
    rule = f"... {' '.join(before)} -> ... {' '.join(after)}"
    return {"sharding_rule": rule, "need_replication_factors": whole}


def _partition(
    steps: tuple[Along, ...],
    exchanged: int | None,
    wide: bool,
    mesh: Mesh,
    arrays: Any,
    result: Any,
) -> tuple[Mesh, Transform, Sharding, tuple[Sharding]]:
    """Return the program of one device and the common sharding of array and result."""
    del result
    (array,) = arrays
    transform = functools.partial(_locally, steps)
    if exchanged is not None:
        groups = _groups(array, len(array.shape) - len(steps), mesh)
        if len(groups[0]) > 1:
            transform = functools.partial(
                _exchanging, steps, exchanged, mesh.axis_names, groups
            )

    def of_part(part: Array) -> Array:
        with jax.enable_x64(
            wide
        ):  # the compiler calls from a thread without the caller's contexts
            return transform(part)

    return mesh, of_part, array.sharding, (array.sharding,)


def _groups(array: Any, axis: int, mesh: Mesh) -> list[tuple[int, ...]]:
    """Return groups of devices whose shards differ along the axis alone, in the order of their shards."""
    divisible = tuple(
        size * mesh.size for size in array.shape
    )  # a batch may not be; XLA pads it
    places = array.sharding.devices_indices_map(divisible)
    groups: dict[Any, dict[int, list[int]]] = {}
    for number, device in enumerate(mesh.devices.flat):
        place = [(part.start or 0, part.stop) for part in places[device]]
        start, _ = place.pop(axis)
        groups.setdefault(tuple(place), {}).setdefault(start, []).append(number)
    return [
        members
        for group in groups.values()
        for members in zip(*(group[k] for k in sorted(group)), strict=True)
    ]


def _exchanging(
    steps: tuple[Along, ...],
    exchanged: int,
    names: tuple[str, ...],
    groups: list[tuple[int, ...]],
    array: Array,
) -> Array:
    """Do what `_locally` does, on a shard along the first of the axes."""
    first, *rest = steps
    batch = array.ndim - len(steps)
    last = array.ndim - 1
    other = batch + exchanged - 1
    array = _locally(tuple(rest), jnp.moveaxis(array, batch, 0))
    array = jnp.moveaxis(array, 0, -1)  # the split axis last, the others in their order
    array = lax.all_to_all(
        array, names, other, last, axis_index_groups=groups, tiled=True
    )
    array = lax.all_to_all(
        first(array), names, last, other, axis_index_groups=groups, tiled=True
    )
    return jnp.moveaxis(array, -1, batch)


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
