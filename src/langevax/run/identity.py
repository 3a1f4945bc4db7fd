"""Identity of a run: what it is made of, what it computes, and by which versions.

    settings    algorithm, problem, key, start and observers: classes and numbers as text, arrays by their content
    outputs     what gradient, value, schedules, observers and the next step give at a saved state
    versions    of langevax, JAX, jaxlib and Python

Other settings or outputs are another run. Outputs are compared to rounding, since a run may continue on another device.
Other versions are named, and accepted on demand; the next step may then be another one.
"""

import dataclasses
import importlib.metadata
import platform
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import storage
from langevax._typing import PyTree
from langevax._version import __version__
from langevax.problems import blocks
from langevax.run import processes, program

MOST_COMPONENTS = 256
"""Components of a problem whose mean gradient is compared."""

Outputs = dict[str, list[float]]


class RunIdentity(NamedTuple):
    """Settings and versions of a run, by name."""

    settings: dict[str, str]
    versions: dict[str, str]

    def compare(self, saved: "RunIdentity") -> tuple[list[str], list[str]]:
        """Return sentences of what makes `saved` another run, and of differences that can be accepted."""
        refused = [
            (
                f"{'row data differ: ' * name.startswith('problem.data')}{name} was "
                f"{old}, now {new}"
            )
            for name, (old, new) in _changes(saved.settings, self.settings)
        ]
        accepted = [
            f"{name} was {old}, now {new}"
            for name, (old, new) in _changes(saved.versions, self.versions)
        ]
        return refused, accepted


def _changes(
    saved: Mapping[str, str], current: Mapping[str, str]
) -> Iterator[tuple[str, tuple[str, str]]]:
    for name in sorted(saved.keys() | current.keys()):
        pair = saved.get(name, "absent"), current.get(name, "absent")
        if pair[0] != pair[1]:
            yield name, pair


def versions() -> dict[str, str]:
    """Return the versions on which numbers can depend."""
    return {
        "langevax": __version__,
        "jax": jax.__version__,
        "jaxlib": importlib.metadata.version("jaxlib"),
        "Python": ".".join(platform.python_version_tuple()[:2]),
    }


def of(parts: dict[str, PyTree]) -> RunIdentity:
    """Return the identity of a run that is made of these parts."""
    return RunIdentity(describe(parts), versions())


# settings


def describe(parts: dict[str, PyTree]) -> dict[str, str]:
    """Return the settings of a run: modules by class, numbers as they are, arrays by content, functions by name."""
    return {
        name: _text(leaf)
        for label, part in parts.items()
        for name, leaf in _leaves(label, part)
    }


def _leaves(label: str, tree: PyTree) -> Iterator[tuple[str, Any]]:
    """Yield names and leaves; of a module first its class, then all fields, static ones too."""
    if isinstance(tree, eqx.Module):
        yield label, type(tree)
        for field in dataclasses.fields(tree):
            yield from _leaves(f"{label}.{field.name}", getattr(tree, field.name))
        return
    for path, leaf in jax.tree.leaves_with_path(
        tree, is_leaf=lambda node: isinstance(node, eqx.Module)
    ):
        name = f"{label}{jax.tree_util.keystr(path)}"
        if isinstance(leaf, eqx.Module):
            yield from _leaves(name, leaf)
        else:
            yield name, leaf


def _text(leaf: Any) -> str:
    if isinstance(leaf, jax.Array | np.ndarray):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return (
                f"{jax.random.key_impl(leaf)} key "
                f"{np.asarray(jax.random.key_data(leaf)).tolist()}"
            )
        return f"{leaf.dtype}{list(leaf.shape)} checksum {checksum(leaf)}"
    if callable(leaf):
        name = f"{getattr(leaf, '__module__', '?')}.{getattr(leaf, '__qualname__', type(leaf).__qualname__)}"
        numbers = ", ".join(_enclosed_numbers(leaf))
        return f"{name}({numbers})" if numbers else name
    has_text = type(leaf).__repr__ is not object.__repr__
    return repr(leaf) if has_text else type(leaf).__qualname__


def _enclosed_numbers(function: Any) -> Iterator[str]:
    """Yield `name=value` of the numbers in a function's closure, by which two optax schedules differ."""
    cells = getattr(function, "__closure__", None) or ()
    names = function.__code__.co_freevars if cells else ()
    for name, cell in zip(names, cells, strict=True):
        if isinstance(cell.cell_contents, int | float):
            yield f"{name}={float(cell.cell_contents)}"  # optax turns some of its ints into floats at the first call


def checksum(array: Any) -> str:
    """Return a hash of an array's numbers."""
    content: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return storage.checksum(content).hexdigest()


# outputs


def outputs(
    parts: program.RunParts, carry: program.Carry, following: program.Carry
) -> Outputs:
    """Return numbers of what the functions of a run compute at a state, and of the state after it."""
    computed = _computed(parts, carry.state, following.state.position)
    gathered = jax.tree.map(processes.gather, computed)
    return {
        name: [
            number
            for leaf in jax.tree.leaves(arrays)
            for number in leaf.ravel().tolist()
        ]
        for name, arrays in gathered.items()
    }


def differences(saved: Outputs, current: Outputs, dtype: Any) -> list[str]:
    """Return the names of outputs that differ by more than the rounding of a run in `dtype` explains."""
    tolerance = float(np.sqrt(float(jnp.finfo(dtype).eps)))
    return [
        name
        for name in sorted(saved.keys() | current.keys())
        if len(saved.get(name, ())) != len(current.get(name, ()))
        or not np.allclose(saved[name], current[name], tolerance, 0, equal_nan=True)
    ]


@eqx.filter_jit
def _computed(parts: program.RunParts, state: Any, following: PyTree) -> dict[str, Any]:
    position = state.position
    if parts.chains is not None:
        position = jax.tree.map(lambda leaf: leaf[0], position)
    loss, value = _loss(parts.problem, position)
    computed = {"loss": loss, "value": value, "step": _two_numbers(following)}
    for name, observe in parts.observers._asdict().items():
        if observe is not None:
            values = program.observed(parts, observe, state)
            computed[name] = _two_numbers(values)
    spread = np.geomspace(1, program.NO_GRID, 128).astype(np.int32)
    steps = np.unique(spread) - 1
    for path, leaf in jax.tree.leaves_with_path(parts.algorithm):
        if callable(leaf):
            with suppress(Exception):  # not a schedule: it is part of the step
                name = f"schedule algorithm{jax.tree_util.keystr(path)}"
                computed[name] = jax.vmap(leaf)(jnp.asarray(steps))
    return computed


def _loss(problem: Any, position: PyTree) -> tuple[PyTree, PyTree]:
    """Return numbers of the gradient of some components, or the value of what has none; and these components' value.

    They are one batch, since each may be a solve of the user's, and at most half of all, whose mean is not 0 at a
    minimum: rounding would have no bound relative to it there.
    """
    number = min(max(problem.max_size // 2, 1), MOST_COMPONENTS)
    indices = jnp.asarray(
        np.arange(number) * problem.max_size // number, dtype=jnp.int32
    )
    value = ()
    with suppress(Exception):  # it has none, or none of other rows than its own
        rows = blocks.take(problem.data, indices)
        value = problem.over(rows).value(position)
    try:
        return _two_numbers(problem.gradient_at(position, indices)), value
    except Exception:  # of a function that JAX cannot differentiate
        return problem.value(position), value


def _two_numbers(tree: PyTree) -> list[Float[Array, "2"]]:
    """Return two lengths of each array: its own, and one on which signs and order have an effect."""

    def lengths(leaf: Any) -> Array:
        numbers = program.averageable(leaf).ravel()
        length = jnp.sqrt(jnp.mean(numbers**2))
        places = jnp.arange(1, numbers.size + 1, dtype=numbers.dtype)
        pattern = jnp.cos(places)
        other = jnp.sqrt(jnp.mean((numbers + length * pattern) ** 2))
        return jnp.stack([length, other])

    return [lengths(leaf) for leaf in jax.tree.leaves(tree) if leaf.size]
