"""SCAFFOLD: local steps corrected by control variates of the clients (Karimireddy et al., ICML 2020, Algorithm 1)."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.algorithm import at_step
from langevax.federated import local, server_step
from langevax.federated.exchange import Exchange, Replies, StepSize
from langevax.federated.rounds import Federated
from langevax.federated.server_step import ServerOptimizer
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


class SCAFFOLD(Federated):
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

    step_size: StepSize
    num_local_steps: int
    batch_size: int | None = None
    clients_per_round: int | None = None
    option: str = "II"
    server_step_size: StepSize = 1.0
    dropout: Any = 0.0
    server_optimizer: ServerOptimizer | None = None

    def __check_init__(self) -> None:
        if self.option not in ("I", "II"):
            raise ValueError(
                f"option must be 'I' or 'II', got {checks.shown(self.option)}."
            )

    def server(self, position: PyTree, clients: Clients) -> SCAFFOLDServer:
        optimizer_state = server_step.initial_state(self.server_optimizer, position)
        return SCAFFOLDServer(
            position, jax.tree.map(jnp.zeros_like, position), optimizer_state
        )

    def memory(self, position: PyTree) -> PyTree:
        return jax.tree.map(jnp.zeros_like, position)

    def exchanges(self, clients: Clients) -> tuple[Exchange, ...]:
        return (ControlledLocalSteps(self.clients_per_round, self),)


class ControlledLocalSteps(Exchange):
    """SCAFFOLD's exchange; a client's memory is its c_i."""

    uses_memory: ClassVar[bool] = True

    clients_per_round: int | None
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

        def direction(y: PyTree, key: PRNGKey) -> PyTree:
            return trees.add(
                local.batch(client, key, self.method.batch_size).gradient(y), correction
            )

        h = at_step(self.method.step_size, step)
        y, mean_direction = local.descend(
            x, direction, h, self.method.num_local_steps, key
        )
        own = (
            client.gradient(x)
            if self.method.option == "I"
            else trees.subtract(mean_direction, correction)
        )
        return PositionAndControl(
            trees.subtract(y, x), trees.subtract(own, memory)
        ), own

    def update(
        self, server: Any, replies: Replies, clients: Clients, step: IntScalar
    ) -> SCAFFOLDServer:
        change = replies.mean(replies.content.position)
        method = self.method
        control = trees.add(
            server.control, replies.weighted_sum(replies.content.control)
        )
        x, optimizer_state = server_step.move(
            server.position,
            server.optimizer_state,
            change,
            replies,
            optimizer=method.server_optimizer,
            step_size=method.server_step_size,
            step=step,
        )
        return SCAFFOLDServer(x, control, optimizer_state)

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        local_rows = local.rows_of_steps(self.method, rows)
        return local_rows + rows if self.method.option == "I" else local_rows
