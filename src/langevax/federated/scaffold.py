"""SCAFFOLD: local steps corrected by control variates of the clients (Karimireddy et al., ICML 2020, Algorithm 1)."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PyTree

from langevax import checks, trees
from langevax.algorithm import at_step
from langevax.federated import local
from langevax.federated.exchange import Answers, Exchange
from langevax.federated.rounds import Federated, check_common
from langevax.problems.federation import Roster
from langevax.problems.finite_sum import FiniteSum


class ScaffoldServer(NamedTuple):
    position: PyTree
    control: PyTree
    """c = sum_i w_i c_i, always."""


class ScaffoldReply(NamedTuple):
    change: PyTree
    control_change: PyTree


class Scaffold(Federated):
    """FedAvg whose clients step along `gradient_J(y) - c_i + c`, where c_i remembers the client's own gradient.

        client:  y_0 = x;  K times:  y <- y - step_size * (gradient_J(y) - c_i + c)
                 option I:   c_i <- gradient_i(x), all rows;     option II:  c_i <- mean of the K gradient_J(y)
        server:  x <- x + server_step_size * mean(y_K - x),      c <- c + sum over answers of w_i (change of c_i)

    Option II is the paper's c_i - c + (x - y_K) / (K step_size), written so that it needs no division and holds for any
    schedule. Control variates begin at 0. One exchange a round, two vectors down and two up; K b gradients a client,
    and n_i more with option I.

    Args:
        step_size, local_steps, batch_size, clients_per_round, server_step_size, dropout: as in `FedAvg`.
        option: "I" or "II".

    Raises:
        TypeError, ValueError: as `FedAvg`; another option.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(6.0).reshape(3, 2))
        >>> scaffold = langevax.federated.Scaffold(step_size=0.1, local_steps=4, option="II")
        >>> result = langevax.simulate(scaffold, federation, jnp.array(0.0), key=jax.random.key(0), num_steps=60)
        >>> round(result.position.item(), 3), result.vectors
        (2.5, 720)
    """

    step_size: Any
    local_steps: int
    batch_size: int | None = None
    clients_per_round: int | None = None
    option: str = "II"
    server_step_size: Any = 1.0
    dropout: Any = 0.0

    def __check_init__(self) -> None:
        check_common(self.step_size, self.local_steps, self.batch_size, self.clients_per_round, self.dropout)
        checks.number("server_step_size", self.server_step_size, positive=True)
        if self.option not in ("I", "II"):
            raise ValueError(f"option must be 'I' or 'II', got {self.option!r}.")

    def server(self, position: PyTree, roster: Roster) -> ScaffoldServer:
        return ScaffoldServer(position, jax.tree.map(jnp.zeros_like, position))

    def memory(self, position: PyTree) -> PyTree:
        return jax.tree.map(jnp.zeros_like, position)

    def exchanges(self, roster: Roster) -> tuple[Exchange, ...]:
        return (CorrectedSGD(self.clients_per_round, self),)


class CorrectedSGD(Exchange):
    """SCAFFOLD's one exchange; a client's memory is its c_i."""

    remembers: ClassVar[bool] = True

    clients_per_round: int | None
    method: Scaffold

    def message(self, server: Any, client_id: Int[Array, ""]) -> ScaffoldServer:
        return ScaffoldServer(server.position, server.control)

    def reply(
        self, client: FiniteSum, memory: PyTree, message: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[ScaffoldReply, PyTree]:
        x, c = message
        own = memory
        correction = trees.subtract(c, own)

        def direction(y: PyTree, key: Key[Array, ""]) -> PyTree:
            return trees.add(local.batch(client, key, self.method.batch_size).gradient(y), correction)

        h = at_step(self.method.step_size, step)
        y, mean_direction = local.descended(x, direction, h, self.method.local_steps, key)
        one = self.method.option == "I"
        renewed = client.gradient(x) if one else trees.subtract(mean_direction, correction)
        return ScaffoldReply(trees.subtract(y, x), trees.subtract(renewed, own)), renewed

    def absorb(self, server: Any, answers: Answers, roster: Roster, step: Int[Array, ""]) -> ScaffoldServer:
        change = answers.mean(answers.replies.change)
        position = local.step(server.position, change, -at_step(self.method.server_step_size, step))
        control = trees.add(server.control, answers.weighed(answers.replies.control_change))
        return ScaffoldServer(position, control)

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        local_rows = self.method.local_steps * local.batch_rows(self.method.batch_size, rows)
        return local_rows + rows if self.method.option == "I" else local_rows
