"""Annotations that occur in many signatures.

`PyTree` is jaxtyping's at run time and `Any` to type checkers, to which jaxtyping's is unknown.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

if TYPE_CHECKING:
    PyTree: TypeAlias = Any
else:
    from jaxtyping import PyTree

PRNGKey: TypeAlias = Key[Array, ""]
IntScalar: TypeAlias = Int[Array, ""]
FloatScalar: TypeAlias = Float[Array, ""]
BoolScalar: TypeAlias = Bool[Array, ""]
Vector: TypeAlias = Float[Array, " d"]
HostVector: TypeAlias = Float[np.ndarray, " d"]
HostMatrix: TypeAlias = Float[np.ndarray, "d d"]

__all__ = [
    "BoolScalar",
    "FloatScalar",
    "HostMatrix",
    "HostVector",
    "IntScalar",
    "PRNGKey",
    "PyTree",
    "Vector",
]
