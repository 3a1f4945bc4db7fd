"""The contract of federated methods: a round is a tuple of exchanges, and an exchange is one trip to clients and back.

    ids      <- select(key, server, roster)                     the server names clients
    message  <- message(server, id)                             it sends each of them arrays
    reply    <- reply(client, memory, message, key, step)       each answers from its own rows and its own memory
    server   <- absorb(server, answers, roster, step)           the server takes in what came back

Messages and replies are named tuples of arrays whose shapes depend on the method and the model alone, so that the same
four functions run side by side in `simulate` and one by one between machines. A client's memory is what it keeps from
one exchange to the next, the same for any engine; most methods keep none.
"""

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from langevax.federated import sampling
from langevax.federated.sampling import Selection
from langevax.problems.federation import Roster
from langevax.problems.finite_sum import FiniteSum


class Answers(NamedTuple):
    """What came back from one exchange, stacked over the clients asked; numbers of drop-outs are never used."""

    selection: Selection
    replies: Any
    answered: Bool[Array, " asked"]
    weights: Float[Array, " asked"]
    """w_i of those who answered, 0 for the others."""

    @property
    def anyone(self) -> Bool[Array, ""]:
        return jnp.any(self.answered)

    def mean(self, stacked: PyTree) -> PyTree:
        """The estimate of `sum_i w_i stacked_i` over all clients, from those who answered; 0 where nobody did.

        Shares of drop-outs go to the others in proportion, so that a constant is returned exactly; with equal weights
        the estimate is unbiased whoever drops out independently of the numbers.
        """
        shares = jnp.where(self.answered, self.selection.shares, 0)
        total = jnp.sum(shares)
        return self._sum(shares / jnp.where(total > 0, total, 1), stacked)

    def weighed(self, stacked: PyTree) -> PyTree:
        """`sum w_i stacked_i` over those who answered."""
        return self._sum(self.weights, stacked)

    def keep(self, new: PyTree, old: PyTree) -> PyTree:
        """`new` for those who answered, `old` for the others, both stacked."""
        return jax.tree.map(lambda a, b: jnp.where(_column(self.answered, a), a, b), new, old)

    def if_anyone(self, new: PyTree, old: PyTree) -> PyTree:
        """`new`, or `old` where nobody answered; for small trees, since a table would be copied."""
        return jax.tree.map(lambda a, b: jnp.where(self.anyone, a, b), new, old)

    def _sum(self, factors: Float[Array, " asked"], stacked: PyTree) -> PyTree:
        def one(leaf: Array) -> Array:
            return jnp.tensordot(factors.astype(leaf.dtype), jnp.where(_column(self.answered, leaf), leaf, 0), axes=1)

        return jax.tree.map(one, stacked)


def _column(answered: Bool[Array, " asked"], leaf: Array) -> Array:
    return answered.reshape(-1, *(1,) * (leaf.ndim - 1))


class Exchange(eqx.Module):
    """One trip from the server to clients and back; see this file's head."""

    clients_per_round: eqx.AbstractVar[int | None]
    """Clients asked; None asks all."""

    remembers: ClassVar[bool] = False
    """Whether a reply reads or writes the client's memory; others are given `()` and return it."""

    def select(self, key: Key[Array, ""], server: Any, roster: Roster) -> Selection:
        """Whom to ask, without replacement; see `sampling.draw`."""
        return sampling.draw(key, roster, self.clients_per_round)

    @abstractmethod
    def message(self, server: Any, client_id: Int[Array, ""]) -> tuple[Any, ...]:
        """What this client is sent."""

    @abstractmethod
    def reply(
        self, client: FiniteSum, memory: Any, message: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[tuple[Any, ...], Any]:
        """(reply, memory) of one client; `step` is the number of the round."""

    @abstractmethod
    def absorb(self, server: Any, answers: Answers, roster: Roster, step: Int[Array, ""]) -> Any:
        """The server's next state; where nobody answered it must not move."""

    @abstractmethod
    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        """Gradients of rows that a client of so many rows takes to reply."""


class Periodic(NamedTuple):
    """`first` in rounds 0, T, 2T, ..., `otherwise` in the others; neither may keep memory on clients."""

    first: Exchange
    otherwise: Exchange
    period: Any


def num_vectors(payload: tuple[Any, ...], position: PyTree) -> int:
    """Entries of a message or reply that have the model's structure and shapes."""
    shape = jax.tree.structure(position), [jnp.shape(leaf) for leaf in jax.tree.leaves(position)]
    return sum((jax.tree.structure(e), [jnp.shape(a) for a in jax.tree.leaves(e)]) == shape for e in payload)


def num_bytes(payload: Any) -> int:
    """Bytes of all its arrays."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(payload))
