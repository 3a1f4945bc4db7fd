"""Contents of traced functions: the operations and array shapes of its jaxpr, those of inner jaxprs included."""

from collections.abc import Iterator
from typing import Any

import jax


def equations(jaxpr: Any) -> Iterator[Any]:
    """Every equation, depth first."""
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield equation
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
        ):
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def primitives(jaxpr: Any) -> list[str]:
    """Names of all operations."""
    return [equation.primitive.name for equation in equations(jaxpr)]


def shapes(jaxpr: Any) -> list[tuple[int, ...]]:
    """Shapes of everything computed, arguments and constants left out."""
    return [
        variable.aval.shape
        for equation in equations(jaxpr)
        for variable in equation.outvars
    ]
