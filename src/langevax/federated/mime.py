"""MimeSGD: local steps corrected towards the gradient of all clients asked (Karimireddy et al., NeurIPS 2021)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PyTree

from langevax import trees
from langevax.algorithm import at_step
from langevax.federated import local
from langevax.federated.exchange import Answers, Exchange
from langevax.federated.fedavg import Change, Gradient, Model
from langevax.federated.local import PointAndGradient
from langevax.federated.rounds import Federated, check_common
from langevax.federated.sampling import Selection
from langevax.problems.federation import Roster
from langevax.problems.finite_sum import FiniteSum


class MimeServer(NamedTuple):
    position: PyTree
    gradient: PyTree
    """G, of this round."""
    selection: Selection


class MimeSGD(Federated):
    """Local steps along an SVRG gradient whose anchor is the server's point.

        exchange 1:  clients I send gradient_i(x), all rows;     G = their mean
        exchange 2:  the same clients:  y_0 = x;  K times:  y <- y - step_size * (gradient_J(y) - gradient_J(x) + G)
                     x <- mean y_K

    The same batch J at both points. Two exchanges a round: one vector down and one up, then two down and one up.
    Clients are stateless, and take n_i + 2 K b gradients. Mime's server optimizer is plain
    SGD here, which has no state.

    Args:
        step_size, local_steps, batch_size, clients_per_round, dropout: as in `FedAvg`. A client may drop out of either
            exchange.

    Raises:
        TypeError, ValueError: as `FedAvg`.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(6.0).reshape(3, 2))
        >>> mime = langevax.federated.MimeSGD(step_size=0.1, local_steps=4, batch_size=1)
        >>> result = langevax.simulate(mime, federation, jnp.array(0.0), key=jax.random.key(0), num_steps=30)
        >>> round(result.position.item(), 3), result.exchanges, result.vectors
        (2.5, 60, 450)
    """

    step_size: Any
    local_steps: int
    batch_size: int | None = None
    clients_per_round: int | None = None
    dropout: Any = 0.0

    def __check_init__(self) -> None:
        check_common(self.step_size, self.local_steps, self.batch_size, self.clients_per_round, self.dropout)

    def server(self, position: PyTree, roster: Roster) -> MimeServer:
        p = self.clients_per_round
        if p is None or p == roster.num_clients:
            selection = Selection(None, roster.weights)
        else:
            selection = Selection(jnp.zeros((p,), jnp.int32), jnp.zeros((p,), roster.weights.dtype))
        return MimeServer(position, jax.tree.map(jnp.zeros_like, position), selection)

    def exchanges(self, roster: Roster) -> tuple[Exchange, ...]:
        return (FullGradients(self.clients_per_round), MimickingSGD(self.clients_per_round, self))


class FullGradients(Exchange):
    """Mime's first exchange."""

    clients_per_round: int | None

    def message(self, server: Any, client_id: Int[Array, ""]) -> Model:
        return Model(server.position)

    def reply(
        self, client: FiniteSum, memory: Any, message: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Gradient, Any]:
        return Gradient(client.gradient(message.position)), memory

    def absorb(self, server: Any, answers: Answers, roster: Roster, step: Int[Array, ""]) -> MimeServer:
        gradient = answers.mean(answers.replies.gradient)
        return MimeServer(server.position, gradient, answers.selection)

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        return rows


class MimickingSGD(Exchange):
    """Mime's second exchange, with the clients of the first."""

    clients_per_round: int | None
    method: MimeSGD

    def select(self, key: Key[Array, ""], server: Any, roster: Roster) -> Selection:
        return server.selection

    def message(self, server: Any, client_id: Int[Array, ""]) -> PointAndGradient:
        return PointAndGradient(server.position, server.gradient)

    def reply(
        self, client: FiniteSum, memory: Any, message: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Change, Any]:
        x, mean_gradient = message

        def direction(y: PyTree, key: Key[Array, ""]) -> PyTree:
            part = local.batch(client, key, self.method.batch_size)
            return trees.add(trees.subtract(part.gradient(y), part.gradient(x)), mean_gradient)

        h = at_step(self.method.step_size, step)
        y, _ = local.descended(x, direction, h, self.method.local_steps, key)
        return Change(trees.subtract(y, x)), memory

    def absorb(self, server: Any, answers: Answers, roster: Roster, step: Int[Array, ""]) -> MimeServer:
        change = answers.mean(answers.replies.change)  # 0, too, where nobody sent a gradient: then G = 0, and y stays
        return server._replace(position=trees.add(server.position, change))

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        return 2 * self.method.local_steps * local.batch_rows(self.method.batch_size, rows)
