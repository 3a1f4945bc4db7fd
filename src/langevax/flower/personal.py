"""Personal leaves: parts of the model that each client trains for itself and never sends, such as the last layer.

    client:  L times:  head <- head - step_size * gradient_J of the head at (shared of the server, head)
             then the method's reply for the shared leaves, with this head

as in FedRep (Collins, Hassani, Mokhtari and Shakkottai, ICML 2021). Server, messages and counts have the shared leaves
alone; a client's leaves are in its state of the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Key

from langevax import checks
from langevax._typing import PyTree
from langevax.federated import (
    SCAFFOLD,
    SCAFFOLDM,
    FedAvg,
    FedDyn,
    Federated,
    FedNova,
    FedProx,
    MinibatchSGD,
    local,
)
from langevax.problems.finite_sum import FiniteSum

METHODS = (FedAvg, FedProx, FedNova, FedDyn, MinibatchSGD, SCAFFOLD, SCAFFOLDM)
"""Methods that compare no gradients of earlier rounds, which were those of other heads."""
FOLD = 2**30  # of the key of a reply, for the steps of the head


@dataclass(frozen=True)
class PersonalLeaves:
    """Leaves of the model that are personal, and their training before each reply of a client.

    Args:
        names: of leaves, or of what they lie in, joined by "/": "head" stands for "head/weight" and "head/bias", and
            for "head.weight" of a PyTorch module.
        step_size: of the steps of these leaves, a number > 0.
        num_steps: L, before each reply.
        batch_size: rows of a step; None takes all of the client.

    Raises:
        TypeError, ValueError: an invalid argument.

    Example:
        >>> import jax.numpy as jnp
        >>> personal = PersonalLeaves(["head"], step_size=0.1, num_steps=5)
        >>> shared, own = personal.split({"body": jnp.zeros(2), "head": {"weight": jnp.ones(3)}})
        >>> shared, own["head"]["weight"].shape
        ({'body': Array([0., 0.], dtype=float32), 'head': {'weight': None}}, (3,))
    """

    names: Sequence[str]
    step_size: float
    num_steps: int
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if (
            isinstance(self.names, str)
            or not all(isinstance(name, str) for name in self.names)
            or not self.names
        ):
            raise TypeError(
                f"names must be a list of names of leaves, got {checks.shown(self.names)}; pass ['head']."
            )
        checks.number("step_size", self.step_size, positive=True)
        checks.positive_int("num_steps", self.num_steps)
        if self.batch_size is not None:
            checks.positive_int("batch_size", self.batch_size)

    def split(self, position: PyTree) -> tuple[PyTree, PyTree]:
        """Return the shared and the personal leaves, each with None in place of the others.

        Raises:
            ValueError: a name of no leaf; no leaf is shared.
        """
        leaves = jax.tree.leaves_with_path(position)
        paths = [
            jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves
        ]
        for name in self.names:
            if not any(_lies_in(path, name) for path in paths):
                raise ValueError(
                    f"names has {name!r}, but the leaves are {', '.join(paths)}; name one of these."
                )
        own = [any(_lies_in(path, name) for name in self.names) for path in paths]
        if all(own):
            raise ValueError("names has all leaves of the model; name fewer.")
        return eqx.partition(
            position,
            jax.tree.unflatten(jax.tree.structure(position), [not one for one in own]),
        )

    def check(self, algorithm: Federated) -> None:
        """Raise where a method compares gradients of earlier rounds."""
        if not isinstance(algorithm, METHODS):
            names = ", ".join(method.__name__ for method in METHODS)
            raise ValueError(
                f"{type(algorithm).__name__} compares gradients of earlier rounds, which were of other personal "
                f"leaves; take one of {names}."
            )


def _lies_in(path: str, name: str) -> bool:
    return path == name or path.startswith((f"{name}/", f"{name}."))


class PersonalSum(FiniteSum):
    """A client's sum as a function of the shared leaves, where its own are fixed."""

    whole: FiniteSum
    own: PyTree

    def __init__(self, whole: FiniteSum, own: PyTree):
        for name in ("loss", "data", "weights", "count", "block_size", "row_sharding"):
            setattr(self, name, getattr(whole, name))
        self.regularizer = None
        self.precision = 0.0
        self.whole = whole
        self.own = own

    def over(self, rows: PyTree, count: Any = None) -> "PersonalSum":
        return PersonalSum(self.whole.over(rows, count), self.own)

    def value(self, position: PyTree) -> Any:
        return self.whole.value(eqx.combine(position, self.own))

    def gradient(self, position: PyTree) -> PyTree:
        return _split_like(
            self.whole.gradient(eqx.combine(position, self.own)), self.own
        )[0]

    def value_and_gradient(self, position: PyTree) -> tuple[Any, PyTree]:
        return self.value(position), self.gradient(position)


@eqx.filter_jit
def trained(
    problem: FiniteSum,
    shared: PyTree,
    own: PyTree,
    step_size: Array,
    num_steps: int,
    batch_size: int | None,
    key: Any,
) -> PyTree:
    """Return a client's leaves after its steps, with the shared leaves fixed."""

    def direction(own: PyTree, key: Key[Array, ""]) -> PyTree:
        part = local.batch(problem, key, batch_size)
        return _split_like(part.gradient(eqx.combine(shared, own)), own)[1]

    return local.descend(
        own, direction, step_size, num_steps, jax.random.fold_in(key, FOLD)
    )[0]


def _split_like(tree: PyTree, own: PyTree) -> tuple[PyTree, PyTree]:
    """The shared and the personal leaves of a tree, where those of `own` are None and arrays."""
    return eqx.partition(
        tree,
        jax.tree.map(lambda leaf: leaf is None, own, is_leaf=lambda leaf: leaf is None),
    )
