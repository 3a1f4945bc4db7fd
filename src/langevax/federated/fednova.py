"""FedNova: passes over the clients' own rows, normalised by the number of steps (Wang et al., NeurIPS 2020)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax, random

from langevax import trees
from langevax._typing import FloatScalar, IntScalar, PRNGKey, PyTree
from langevax.algorithm import at_step
from langevax.federated import local
from langevax.federated.exchange import Exchange, Replies, RowCounts, StepSize
from langevax.federated.fedavg import AveragesChanges, AveragingServer
from langevax.problems.federation import Clients
from langevax.problems.finite_sum import FiniteSum


class NormalisedChange(NamedTuple):
    change: PyTree
    """(y - x) / tau_i, a mean of directions."""
    num_local_steps: FloatScalar
    """tau_i."""


class FedNova(AveragesChanges):
    """FedAvg by passes over the clients' rows, without the bias towards clients that take more steps.

        client:  tau_i = E n_i / b steps, rounded up:  y <- y - step_size * gradient_J(y);   d_i = (y - x) / tau_i
        server:  x <- x + server_step_size * mean(tau_i) mean(d_i),    or by an optimizer as in `FedAvg`

    A mean of the changes themselves would count a client by its weight times its number of steps. Batches are drawn
    anew for every step, as in the other methods. One exchange a round, one vector down and one up, E n_i gradients.

    Args:
        step_size: of clients, > 0, a number or a schedule of the round.
        num_local_epochs: E, passes over the rows of a client.
        batch_size, clients_per_round, server_step_size, dropout, server_optimizer: as in `FedAvg`. Without a batch size
            each pass is one step.

    Raises:
        TypeError, ValueError: an invalid argument; more clients a round than there are.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> rows = [jnp.arange(8.0).reshape(8, 1), jnp.array([[2.0], [3.0]])]
        >>> federation = langevax.Federation.of(lambda x, row: (x - row) @ (x - row) / 2, rows)
        >>> fednova = langevax.federated.FedNova(step_size=0.01, num_local_epochs=1, batch_size=2)
        >>> result = langevax.simulate(fednova, federation, jnp.zeros(1), key=jax.random.key(0), num_steps=1)
        >>> result.vectors, result.evaluations
        (4, 10)
    """

    step_size: StepSize
    num_local_epochs: int = 1
    batch_size: int | None = None
    clients_per_round: int | None = None

    def exchanges(self, clients: Clients) -> tuple[Exchange, ...]:
        return (LocalEpochs(self.clients_per_round, self),)


class LocalEpochs(Exchange):
    """FedNova's exchange."""

    clients_per_round: int | None
    method: FedNova

    def reply(
        self,
        client: FiniteSum,
        memory: PyTree,
        message: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[NormalisedChange, PyTree]:
        x = message.position
        h = at_step(self.method.step_size, step)

        def one(k: IntScalar, y: PyTree) -> PyTree:
            part = local.batch(client, random.fold_in(key, k), self.method.batch_size)
            return local.descent_step(y, part.gradient(y), h)

        number = self.num_steps(jnp.asarray(client.size, jnp.int32))
        change = trees.subtract(lax.fori_loop(jnp.int32(0), number, one, x), x)
        tau = number.astype(trees.dtype_of(x))
        return NormalisedChange(
            jax.tree.map(lambda c: c / tau.astype(c.dtype), change), tau
        ), memory

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> AveragingServer:
        mean = replies.mean(replies.content)
        change = jax.tree.map(
            lambda d: mean.num_local_steps.astype(d.dtype) * d, mean.change
        )
        return self.method.moved(server, change, replies, step)

    def num_steps(self, rows: RowCounts) -> RowCounts:
        """tau of clients with so many rows."""
        passes = self.method.num_local_epochs
        size = self.method.batch_size
        return (
            jnp.full_like(rows, passes)
            if size is None
            else (passes * rows + size - 1) // size
        )

    def evaluations(self, rows: RowCounts) -> Any:
        return self.num_steps(rows) * local.batch_rows(self.method.batch_size, rows)
