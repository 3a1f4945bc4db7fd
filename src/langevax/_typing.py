"""Annotations that occur in many signatures.

`PyTree` is jaxtyping's at run time and `Any` to type checkers, to which jaxtyping's is unknown.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

from jaxtyping import Array, Float, Int, Key

if TYPE_CHECKING:
    PyTree: TypeAlias = Any
else:
    from jaxtyping import PyTree

PRNGKey: TypeAlias = Key[Array, ""]
IntScalar: TypeAlias = Int[Array, ""]
FloatScalar: TypeAlias = Float[Array, ""]

__all__ = ["FloatScalar", "IntScalar", "PRNGKey", "PyTree"]
