"""SCAFFOLD: local steps corrected by control variates of the clients (Karimireddy et al., ICML 2020, Algorithm 1)."""

from typing import Any, ClassVar, NamedTuple

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.federated import local
from langevax.federated.exchange import Exchange, Replies, RowCounts
from langevax.federated.fedavg import AveragesChanges
from langevax.federated.rounds import LocalMethod
from langevax.problems.federation import Clients
from langevax.problems.finite_sum import FiniteSum


class PositionAndControl(NamedTuple):
    """The message of the server; as a reply, the changes of the client's."""

    position: PyTree
    control: PyTree


class SCAFFOLDServer(NamedTuple):
    position: PyTree
    control: PyTree
    """c = sum_i w_i c_i, always."""
    optimizer_state: Any
    """() without an optimizer."""


class SCAFFOLD(AveragesChanges, LocalMethod):
    """FedAvg whose clients step along `gradient_J(y) - c_i + c`, where c_i estimates the client's own gradient.

        client:  y_0 = x;  K times:  y <- y - step_size * (gradient_J(y) - c_i + c)
                 option I:   c_i <- gradient_i(x), all rows;     option II:  c_i <- mean of the K gradient_J(y)
        server:  x <- x + server_step_size * mean(y_K - x),      c <- c + sum over replies of w_i (change of c_i)

    The server's step may be that of an optimizer, see federated/server_step.py: `server_optimizer="momentum"`.

    Option II is the paper's c_i - c + (x - y_K) / (K step_size), written without a division so that it holds for any
    schedule. Control variates start at 0. One exchange a round, two vectors down and two up; K b gradients a client,
    and n_i more with option I.

    Args:
        step_size, num_local_steps, batch_size, clients_per_round, server_step_size, dropout, server_optimizer: as in
            `FedAvg`.
        option: "I" or "II".

    Raises:
        TypeError, ValueError: as `FedAvg`; another option.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(6.0).reshape(3, 2))
        >>> scaffold = langevax.federated.SCAFFOLD(step_size=0.1, num_local_steps=4, option="II")
        >>> result = langevax.simulate(scaffold, federation, jnp.array(0.0), key=jax.random.key(0), num_steps=60)
        >>> round(result.position.item(), 3), result.vectors
        (2.5, 720)
    """

    option: str = "II"

    def __check_init__(self) -> None:
        checks.one_of("option", self.option, ("I", "II"))

    def server(self, position: PyTree, clients: Clients) -> SCAFFOLDServer:
        start = super().server(position, clients)
        return SCAFFOLDServer(
            position, trees.zeros_like(position), start.optimizer_state
        )

    def memory(self, position: PyTree) -> PyTree:
        return trees.zeros_like(position)

    def exchanges(self, clients: Clients) -> tuple[Exchange, ...]:
        return (ControlledLocalSteps(self.clients_per_round, self),)


class ControlledLocalSteps(local.LocalSteps):
    """SCAFFOLD's exchange; a client's memory is its c_i."""

    uses_memory: ClassVar[bool] = True

    method: SCAFFOLD

    def message(self, server: Any, client_id: IntScalar) -> PositionAndControl:
        return PositionAndControl(server.position, server.control)

    def reply(
        self,
        client: FiniteSum,
        memory: PyTree,
        message: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[PositionAndControl, PyTree]:
        x, c = message
        correction = trees.subtract(c, memory)

        def direction(batch: FiniteSum, y: PyTree) -> PyTree:
            return trees.add(batch.gradient(y), correction)

        y, mean_direction = self.descend(client, x, direction, step, key=key)
        own = (
            client.gradient(x)
            if self.method.option == "I"
            else trees.subtract(mean_direction, correction)
        )
        return PositionAndControl(
            trees.subtract(y, x), trees.subtract(own, memory)
        ), own

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> SCAFFOLDServer:
        change = replies.mean(replies.content.position)
        control = trees.add(
            server.control, replies.weighted_sum(replies.content.control)
        )
        moved = self.method.moved(server, change, replies, step)
        return SCAFFOLDServer(moved.position, control, moved.optimizer_state)

    def evaluations(self, rows: RowCounts) -> Any:
        local_rows = super().evaluations(rows)
        return local_rows + rows if self.method.option == "I" else local_rows
