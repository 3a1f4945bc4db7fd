"""The annotation `PyTree`: jaxtyping's at run time, `Any` to type checkers, to which jaxtyping's is unknown."""

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    PyTree: TypeAlias = Any
else:
    from jaxtyping import PyTree

__all__ = ["PyTree"]
