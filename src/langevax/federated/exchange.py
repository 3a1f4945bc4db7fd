"""The contract of federated methods: a round is a tuple of exchanges, an exchange is one trip to clients and back.

    ids      <- select(key, server, clients)                    the server selects clients
    message  <- message(server, id)                             and sends each of them arrays
    reply    <- reply(client, memory, message, key, step)       each client replies from its own rows and memory
    server   <- update(server, replies, clients, step)          the server updates its state

Messages and replies are named tuples of arrays whose shapes depend on the method and the model alone, so that the same
four functions run side by side in `simulate` and one by one between machines. A client's memory is what it keeps from
one exchange to the next; most methods keep none.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from langevax import trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.federated import sampling
from langevax.federated.sampling import Selection
from langevax.problems.federation import Clients
from langevax.problems.finite_sum import FiniteSum

StepSize = int | float | np.generic | Array | Callable[..., Any]
"""A number, or a schedule of the round."""

RowCounts = Int[Array, "..."]
"""Rows of each of several clients."""


class Model(NamedTuple):
    """The model alone: a server's state, a message or a reply."""

    position: PyTree


class Gradient(NamedTuple):
    gradient: PyTree


class Change(NamedTuple):
    change: PyTree


class PointAndGradient(NamedTuple):
    position: PyTree
    gradient: PyTree


class Replies(NamedTuple):
    """The replies to one exchange, stacked over the selected clients; the content of drop-outs is never used."""

    selection: Selection
    content: Any
    answered: Bool[Array, " selected"]
    weights: Float[Array, " selected"]
    """w_i of those who answered, 0 for the others."""

    def mean(self, stacked: PyTree) -> PyTree:
        """The estimate of `sum_i w_i stacked_i` over all clients from those who answered; 0 where nobody did.

        Shares of drop-outs go to the others in proportion, so that a constant is returned exactly; with equal weights
        the estimate is unbiased where drop-outs are independent of the content.
        """
        shares = jnp.where(self.answered, self.selection.shares, 0)
        total = jnp.sum(shares)
        return self._sum(shares / jnp.where(total > 0, total, 1), stacked)

    def weighted_sum(self, stacked: PyTree) -> PyTree:
        """`sum w_i stacked_i` over those who answered."""
        return self._sum(self.weights, stacked)

    def where_answered(self, new: PyTree, old: PyTree) -> PyTree:
        """`new` for those who answered, `old` for the others, both stacked."""
        return jax.tree.map(
            lambda a, b: jnp.where(_column(self.answered, a), a, b), new, old
        )

    def if_any(self, new: PyTree, old: PyTree) -> PyTree:
        """`new`, or `old` where nobody answered; for small trees, since a table would be copied."""
        return trees.where(jnp.any(self.answered), new, old)

    def _sum(self, factors: Float[Array, " selected"], stacked: PyTree) -> PyTree:
        def one(leaf: Array) -> Array:
            return jnp.tensordot(
                factors.astype(leaf.dtype),
                jnp.where(_column(self.answered, leaf), leaf, 0),
                axes=1,
            )

        return jax.tree.map(one, stacked)


def _column(answered: Bool[Array, " selected"], leaf: Array) -> Array:
    return answered.reshape(-1, *(1,) * (leaf.ndim - 1))


class Exchange(eqx.Module):
    """One trip from the server to clients and back; see this file's head."""

    clients_per_round: eqx.AbstractVar[int | None]
    """Clients to select; None selects all."""

    uses_memory: ClassVar[bool] = False
    """True if a reply reads or writes the client's memory; other exchanges are given `()` and return it."""

    def select(
        self,
        key: PRNGKey,
        server: Any,
        clients: Clients,
    ) -> Selection:
        """Select clients without replacement; see `federated.sampling.draw`."""
        return sampling.draw(key, clients, self.clients_per_round)

    def message(self, server: Any, client_id: IntScalar) -> tuple[Any, ...]:
        """The message to one client; the model alone unless a method sends more."""
        return Model(server.position)

    @abstractmethod
    def reply(
        self,
        client: FiniteSum,
        memory: PyTree,
        message: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[tuple[Any, ...], PyTree]:
        """(reply, memory) of one client; `step` is the number of the round."""

    @abstractmethod
    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> Any:
        """The server's next state; where nobody answered it must not move."""

    @abstractmethod
    def evaluations(self, rows: RowCounts) -> Any:
        """Gradients of single rows that a reply of a client with so many rows takes."""


class Periodic(NamedTuple):
    """`first` in rounds 0, T, 2T, ..., `otherwise` in the others; neither may use memory on clients."""

    first: Exchange
    otherwise: Exchange
    period: int | IntScalar


def num_vectors(payload: tuple[Any, ...], position: PyTree) -> int:
    """Entries of a message or reply that have the model's structure and shapes."""

    def shape(tree: PyTree) -> Any:
        return jax.tree.structure(tree), [
            jnp.shape(leaf) for leaf in jax.tree.leaves(tree)
        ]

    return sum(shape(entry) == shape(position) for entry in payload)


def num_bytes(payload: Any) -> int:
    """Bytes of all its arrays."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(payload))
