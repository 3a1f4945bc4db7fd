"""MimeSGD: local steps corrected by the gradient of all selected clients (Karimireddy et al., NeurIPS 2021)."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from langevax import trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.federated import local
from langevax.federated.exchange import (
    Change,
    Exchange,
    PointAndGradient,
    Replies,
    RowCounts,
)
from langevax.federated.rounds import LocalMethod
from langevax.federated.sampling import Selection
from langevax.problems.federation import Clients
from langevax.problems.finite_sum import FiniteSum


class MimeServer(NamedTuple):
    position: PyTree
    gradient: PyTree
    """G, of this round."""
    selection: Selection


class MimeSGD(LocalMethod):
    """Local steps along an SVRG gradient whose anchor is the server's position.

        exchange 1:  clients I send gradient_i(x), all rows;     G = their mean
        exchange 2:  the same clients:  y_0 = x;  K times:  y <- y - step_size * (gradient_J(y) - gradient_J(x) + G)
                     x <- mean y_K

    The batch J is the same at both points. Two exchanges a round: one vector down and one up, then two down and one up.
    Clients are stateless and take n_i + 2 K b gradients. Mime's server optimizer is plain SGD here, which has no state.

    Args:
        step_size, num_local_steps, batch_size, clients_per_round, dropout: as in `FedAvg`. A client may drop out of
            either exchange.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(6.0).reshape(3, 2))
        >>> mime = langevax.federated.MimeSGD(step_size=0.1, num_local_steps=4, batch_size=1)
        >>> result = langevax.simulate(mime, federation, jnp.array(0.0), key=jax.random.key(0), num_steps=30)
        >>> round(result.position.item(), 3), result.exchanges, result.vectors
        (2.5, 60, 450)
    """

    def server(self, position: PyTree, clients: Clients) -> MimeServer:
        p = self.clients_per_round
        if p is None or p == clients.num_clients:
            selection = Selection(None, clients.weights)
        else:
            selection = Selection(
                jnp.zeros((p,), jnp.int32), jnp.zeros((p,), clients.weights.dtype)
            )
        return MimeServer(position, trees.zeros_like(position), selection)

    def exchanges(self, clients: Clients) -> tuple[Exchange, ...]:
        return MeanGradient(self.clients_per_round), CorrectedLocalSteps(
            self.clients_per_round, self
        )


class MeanGradient(local.GradientExchange):
    """Mime's first exchange."""

    clients_per_round: int | None
    batch_size: int | None = None

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> MimeServer:
        return MimeServer(
            server.position, replies.mean(replies.content.gradient), replies.selection
        )


class CorrectedLocalSteps(local.LocalSteps):
    """Mime's second exchange, with the clients of the first."""

    method: MimeSGD

    def select(
        self,
        key: PRNGKey,
        server: Any,
        clients: Clients,
    ) -> Selection:
        return server.selection

    def message(self, server: Any, client_id: IntScalar) -> PointAndGradient:
        return PointAndGradient(server.position, server.gradient)

    def reply(
        self,
        client: FiniteSum,
        memory: PyTree,
        message: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[Change, PyTree]:
        x, mean_gradient = message

        def direction(batch: FiniteSum, y: PyTree) -> PyTree:
            change = trees.subtract(batch.gradient(y), batch.gradient(x))
            return trees.add(change, mean_gradient)

        y, _ = self.descend(client, x, direction, step, key=key)
        return Change(trees.subtract(y, x)), memory

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> MimeServer:
        change = replies.mean(
            replies.content.change
        )  # 0 where nobody sent a gradient: then G = 0 and y stays at x
        return server._replace(position=trees.add(server.position, change))

    def evaluations(self, rows: RowCounts) -> Any:
        return 2 * super().evaluations(rows)
