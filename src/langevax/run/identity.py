"""Identity of a run: hashes of what it computes, each by itself so that a difference can be named.

    settings    algorithm, problem, key, start and observers: classes and numbers as text, arrays by their content
    traced      loss, schedules, observers and step as JAX traces them, with the content of their constants
    functions   code, defaults and closures of Python functions
    versions    of langevax, JAX, jaxlib and Python

Other settings, another loss, schedule or observer are another run. Other versions, or another traced step alone, are
named, and accepted on demand. Where versions differ, traced text may differ for this reason: a function is then
another one only if its Python code differs, too.
"""

import dataclasses
import enum
import hashlib
import importlib.metadata
import inspect
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from langevax._typing import PyTree
from langevax._version import __version__
from langevax.run.program import RunParts

LIBRARIES = {"langevax", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy"}
WITHOUT_EFFECT = {
    "name",
    "debug_info",
    "ctx_mesh",
    "mesh",
    "inline",
    "keep_unused",
    "donated_invars",
    "compiler_options_kvs",
    "in_shardings",
    "in_layouts",
    "out_shardings",
    "out_layouts",
}
"""Parameters of equations that change no number: names, and where arrays lie."""


class RunIdentity(NamedTuple):
    """The parts of an identity, by name."""

    settings: dict[str, str]
    traced: dict[str, str]
    functions: dict[str, str]
    versions: dict[str, str]

    def compare(self, saved: "RunIdentity") -> tuple[list[str], list[str]]:
        """Return sentences of what makes `saved` another run, and of differences that can be accepted."""
        refused = [
            _setting(name, *pair)
            for name, pair in _changes(saved.settings, self.settings)
        ]
        accepted = [
            f"{name} was {old}, now {new}"
            for name, (old, new) in _changes(saved.versions, self.versions)
        ]
        same_python = saved.versions.get("Python") == self.versions.get("Python")
        code = (
            [name for name, _ in _changes(saved.functions, self.functions)]
            if same_python
            else []
        )
        traced = [name for name, _ in _changes(saved.traced, self.traced)]
        by_versions = list(accepted)
        for name in traced:
            if name != "step" and (
                not by_versions
                or any(changed.startswith(_path(name)) for changed in code)
            ):
                refused.append(f"the {name} differs")
            elif name != "step" or traced == ["step"]:
                accepted.append(f"the {name} is traced differently")
        return refused, accepted


def _changes(
    saved: Mapping[str, str], current: Mapping[str, str]
) -> Iterator[tuple[str, tuple[str, str]]]:
    for name in sorted(saved.keys() | current.keys()):
        pair = saved.get(name, "absent"), current.get(name, "absent")
        if pair[0] != pair[1]:
            yield name, pair


def _setting(name: str, saved: str, current: str) -> str:
    rows = "row data differ: " if name.startswith("problem.data") else ""
    return f"{rows}{name} was {saved}, now {current}"


def _path(traced: str) -> str:
    """Return how the names of the functions in a traced part begin."""
    return "problem" if traced == "loss" else traced.removeprefix("schedule ")


def versions() -> dict[str, str]:
    """Return the versions on which traced text can depend."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {
        "langevax": __version__,
        "jax": jax.__version__,
        "jaxlib": importlib.metadata.version("jaxlib"),
        "Python": python,
    }


def of(parts: dict[str, PyTree]) -> RunIdentity:
    """Return the identity of a run without what is traced."""
    return RunIdentity(describe(parts), {}, functions_in(parts), versions())


# settings


def describe(parts: dict[str, PyTree]) -> dict[str, str]:
    """Return the settings of a run: modules by class, numbers as they are, arrays by content, functions by name."""
    return {
        name: _text(leaf)
        for label, part in parts.items()
        for name, leaf in _leaves(label, part)
    }


def functions_in(parts: dict[str, PyTree]) -> dict[str, str]:
    """Return a hash of each Python function in `parts`."""
    return {
        name: digest(leaf)
        for label, part in parts.items()
        for name, leaf in _leaves(label, part)
        if callable(leaf) and not isinstance(leaf, type)
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
            return f"{jax.random.key_impl(leaf)} key {np.asarray(jax.random.key_data(leaf)).tolist()}"
        return f"{leaf.dtype}{list(leaf.shape)} checksum {digest(leaf)}"
    if callable(leaf):
        name = f"{getattr(leaf, '__module__', '?')}.{getattr(leaf, '__qualname__', type(leaf).__qualname__)}"
        numbers = ", ".join(_enclosed_numbers(leaf))
        return f"{name}({numbers})" if numbers else name
    return (
        repr(leaf)
        if type(leaf).__repr__ is not object.__repr__
        else type(leaf).__qualname__
    )


def _enclosed_numbers(function: Any) -> Iterator[str]:
    """Yield `name=value` of the numbers in a function's closure, by which two optax schedules differ."""
    cells = getattr(function, "__closure__", None) or ()
    names = function.__code__.co_freevars if cells else ()
    for name, cell in zip(names, cells, strict=True):
        if isinstance(cell.cell_contents, int | float):
            yield f"{name}={float(cell.cell_contents)}"  # optax turns some of its ints into floats at the first call


# traced text


def abstract(tree: PyTree) -> PyTree:
    """Return `tree` with shapes in place of arrays, without their devices."""

    def shape(leaf: Any) -> Any:
        return (
            jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
            if isinstance(leaf, jax.Array | np.ndarray)
            else leaf
        )

    return jax.tree.map(shape, tree)


def traced_parts(parts: RunParts, position: PyTree, state: Any) -> dict[str, str]:
    """Return hashes of what one chain computes, from the shapes of its arrays: the loss, schedules, observers, step."""
    algorithm, problem, key, observers, _ = parts
    step = jax.ShapeDtypeStruct((), jnp.int32)
    hashes: dict[str, str] = {}
    for method in ("value_and_gradient", "gradient", "value"):
        with suppress(Exception):  # a problem need not have all
            value = lambda problem, x, name=method: getattr(problem, name)(x)
            hashes["loss"] = _traced(value, problem, position)
            break
    for path, leaf in jax.tree.leaves_with_path(algorithm):
        if callable(leaf):
            with suppress(Exception):  # not a schedule: it is part of the step
                # optax turns some of its ints into floats at the first call
                jax.eval_shape(leaf, step)
                name = f"schedule algorithm{jax.tree_util.keystr(path)}"
                hashes[name] = _traced(leaf, step)
    for name, observe in observers._asdict().items():
        if observe is not None:
            hashes[name] = _traced(observe, problem, state)
    whole = lambda a, p, state, key, step: a.step(p, state, key, step)
    hashes["step"] = _traced(whole, algorithm, problem, state, key, step)
    return hashes


def one_chain(tree: PyTree, num_chains: int | None) -> PyTree:
    """Return the shapes of one chain."""
    first = 0 if num_chains is None else 1
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[first:], a.dtype), tree)


def _traced(function: Callable[..., Any], *arguments: Any) -> str:
    jaxpr, _, _ = eqx.filter_make_jaxpr(function)(*arguments)
    return digest(jaxpr)


# hashes


def digest(value: Any) -> str:
    """Return a hash of an array's content, of a jaxpr with its constants, of a function or of a plain value.

    It is the same in every process: no address, path or line number enters it.

    Example:
        >>> def scaled(factor):
        ...     return lambda x: factor * x
        >>> digest(scaled(2.0)) == digest(scaled(2.0)), digest(scaled(2.0)) == digest(scaled(3.0))
        (True, False)
        >>> digest(jax.make_jaxpr(scaled(2.0))(1.0)) == digest(jax.make_jaxpr(lambda y: 2.0 * y)(1.0))
        True
    """
    writer = _Writer()
    writer.value(value)
    return writer.hash.hexdigest()


class _Writer:
    """A hash to which values are written in a canonical form."""

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=16)
        self.open: set[int] = (
            set()
        )  # ids of what is being written, which may refer to itself
        self.functions: dict[
            int, tuple[int, Any]
        ] = {}  # those written, by id, with their numbers

    def text(self, *words: object) -> None:
        self.hash.update(" ".join(map(str, words)).encode() + b"\0")

    def value(self, value: Any) -> None:
        if isinstance(value, bool | str | bytes | complex | type(None)):
            self.text(type(value).__name__, repr(value))
        elif isinstance(
            value, int | float
        ):  # optax turns some of its ints into floats at the first call
            self.text(
                "number", repr(float(value)) if abs(value) < 2**53 else repr(value)
            )
        elif isinstance(value, jax.Array | np.ndarray | np.generic):
            self.array(value)
        elif isinstance(value, ClosedJaxpr):
            self.jaxpr(value.jaxpr, value.consts)
        elif isinstance(value, Jaxpr):
            self.jaxpr(value, [])
        elif isinstance(value, np.dtype | enum.Enum):
            self.text(type(value).__name__, value)
        elif isinstance(value, type):
            self.text("class", value.__module__, value.__qualname__)
        elif id(value) in self.open:
            self.text("recursion")
        else:
            self.open.add(id(value))
            self.compound(value)
            self.open.discard(id(value))

    def compound(self, value: Any) -> None:
        """Write what consists of other values."""
        kind = type(value)
        self.text(kind.__module__, kind.__qualname__)
        if isinstance(value, Mapping):
            for key in sorted(value, key=repr):
                self.value(key)
                self.value(value[key])
        elif isinstance(value, tuple | list):
            self.text(len(value))
            for item in value:
                self.value(item)
        elif isinstance(value, set | frozenset):
            self.text(*sorted(map(repr, value)))
        elif isinstance(value, CodeType):
            self.text(value.co_code.hex(), *value.co_names)
            for constant in value.co_consts:
                self.value(constant)
        elif isinstance(value, FunctionType):
            self.function_once(value)
        elif isinstance(value, MethodType):
            self.value(value.__func__)
            self.value(value.__self__)
        elif isinstance(value, partial):
            self.value((value.func, value.args, value.keywords))
        elif dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                self.text(field.name)
                self.value(getattr(value, field.name, None))
            self.call_of(kind)
        elif hasattr(value, "__wrapped__"):
            self.value(value.__wrapped__)
        elif callable(value):
            self.text(getattr(value, "__qualname__", ""))
            self.value(getattr(value, "__dict__", {}))
            self.call_of(kind)

    def function_once(self, function: FunctionType) -> None:
        """Write a function, or its number where it was written before."""
        if id(function) in self.functions:
            self.text("function", self.functions[id(function)][0])
            return
        # kept, so that no other gets its id
        self.functions[id(function)] = len(self.functions), function
        self.function(function)

    def function(self, function: FunctionType) -> None:
        """Write a function's code, defaults and closure, and the numbers and functions of its module that it names.

        The versions stand for the code of libraries.
        """
        library = (function.__module__ or "").partition(".")[0] in LIBRARIES
        function = inspect.unwrap(function) if library else function
        if library:
            self.text(function.__module__, function.__qualname__)
        else:
            self.value(function.__code__)
        self.value((function.__defaults__, function.__kwdefaults__))
        for cell in function.__closure__ or ():
            try:
                self.value(cell.cell_contents)
            except ValueError:
                self.text("empty")
        for name in () if library else function.__code__.co_names:
            used = function.__globals__.get(name)
            own = (
                isinstance(used, FunctionType)
                and used.__module__ == function.__module__
            )
            if own or isinstance(
                used, int | float | complex | str | bytes | tuple | np.ndarray
            ):
                self.text(name)
                self.value(used)

    def call_of(self, kind: type) -> None:
        """Write the code of a class whose objects are called."""
        call = inspect.getattr_static(kind, "__call__", None)
        if isinstance(call, FunctionType):
            self.value(call)

    def array(self, array: Any) -> None:
        if isinstance(array, jax.Array) and jnp.issubdtype(
            array.dtype, jax.dtypes.prng_key
        ):
            self.text("key", jax.random.key_impl(array))
            array = jax.random.key_data(array)
        host = np.asarray(array)
        self.text("array", host.dtype, host.shape)
        if host.flags.c_contiguous:
            content: Any = host.reshape(-1).view(np.uint8)
            self.hash.update(content)
        else:
            block_bytes = 2**22  # at a time, of which copies are made
            rows = max(1, block_bytes * len(host) // max(1, host.nbytes))
            for start in range(0, len(host), rows):
                self.hash.update(host[start : start + rows].tobytes())

    def jaxpr(self, jaxpr: Any, constants: Any) -> None:
        """Write a jaxpr with numbers for its variables, in the order in which they are bound."""
        numbers: dict[Any, int] = {}

        def bind(variables: Any) -> None:
            for variable in variables:
                numbers[variable] = len(numbers)
                self.aval(variable.aval)

        def use(atoms: Any) -> None:
            for atom in atoms:
                if isinstance(atom, Literal):
                    self.aval(atom.aval)
                    self.array(np.asarray(atom.val))
                else:
                    self.text(numbers[atom])

        self.text("jaxpr", len(jaxpr.constvars), len(jaxpr.invars), len(jaxpr.eqns))
        bind([*jaxpr.constvars, *jaxpr.invars])
        for constant in constants:
            self.value(constant)
        for equation in jaxpr.eqns:
            self.text(equation.primitive.name)
            use(equation.invars)
            for name in sorted(equation.params.keys() - WITHOUT_EFFECT):
                self.text(name)
                self.parameter(
                    equation.params[name], on_host="callback" in equation.primitive.name
                )
            bind(equation.outvars)
        use(jaxpr.outvars)

    def parameter(self, value: Any, on_host: bool) -> None:
        """Write a parameter; of functions only those that run on the host, as others have been traced."""
        if isinstance(value, tuple | list):
            self.text(type(value).__name__, len(value))
            for item in value:
                self.parameter(item, on_host)
        elif on_host or not callable(value) or isinstance(value, type):
            self.value(value)

    def aval(self, aval: Any) -> None:
        self.text(
            getattr(aval, "dtype", aval),
            getattr(aval, "shape", ""),
            getattr(aval, "weak_type", ""),
        )
