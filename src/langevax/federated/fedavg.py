"""FedAvg (local SGD; McMahan et al., AISTATS 2017) and minibatch SGD, which spends the same rows at one point."""

from typing import Any, NamedTuple

from jaxtyping import Array, Int, Key, PyTree

from langevax import checks, trees
from langevax.algorithm import at_step
from langevax.federated import local
from langevax.federated.exchange import Answers, Exchange
from langevax.federated.rounds import Federated, check_common
from langevax.problems.federation import Roster
from langevax.problems.finite_sum import FiniteSum


class Model(NamedTuple):
    """A server that keeps nothing but the model; and a message of the model alone."""

    position: PyTree


class Change(NamedTuple):
    change: PyTree


class Gradient(NamedTuple):
    gradient: PyTree


class FedAvg(Federated):
    """Clients descend on their own rows, and the server averages where they arrive.

        client:  y_0 = x;  K times:  y <- y - step_size * gradient_J(y),  |J| = b
        server:  x <- x + server_step_size * mean(y_K - x)

    One exchange a round, one vector down and one up, K b gradients a client. Where clients differ it settles at a
    distance from the optimum that grows with step_size K and with the difference of their gradients.

    Args:
        step_size: of clients, > 0, a number or a schedule of the round.
        local_steps: K.
        batch_size: b distinct rows of a client; None takes all, and so does a client that has no more.
        clients_per_round: p distinct clients, drawn with chances in proportion to their weights; None asks all.
        server_step_size: > 0, a number or a schedule of the round; 1 averages.
        dropout: probability that a client which was asked does not answer, see `Federated`.

    Raises:
        TypeError, ValueError: an argument that is not what it must be; more clients a round than there are.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> rows = [jnp.array([0.0, 1.0]), jnp.array([2.0])]
        >>> federation = langevax.Federation.of(lambda x, row: (x - row) ** 2 / 2, rows)
        >>> fedavg = langevax.federated.FedAvg(step_size=0.1, local_steps=4)
        >>> result = langevax.simulate(fedavg, federation, jnp.array(5.0), key=jax.random.key(0), num_steps=50)
        >>> round(result.position.item(), 3), result.exchanges, result.vectors, result.evaluations
        (1.0, 50, 200, 600)
    """

    step_size: Any
    local_steps: int
    batch_size: int | None = None
    clients_per_round: int | None = None
    server_step_size: Any = 1.0
    dropout: Any = 0.0

    def __check_init__(self) -> None:
        check_common(self.step_size, self.local_steps, self.batch_size, self.clients_per_round, self.dropout)
        checks.number("server_step_size", self.server_step_size, positive=True)

    def server(self, position: PyTree, roster: Roster) -> Model:
        return Model(position)

    def exchanges(self, roster: Roster) -> tuple[Exchange, ...]:
        return (
            LocalSGD(self.clients_per_round, self.step_size, self.local_steps, self.batch_size, self.server_step_size),
        )


class LocalSGD(Exchange):
    """FedAvg's one exchange."""

    clients_per_round: int | None
    step_size: Any
    local_steps: int
    batch_size: int | None
    server_step_size: Any

    def message(self, server: Any, client_id: Int[Array, ""]) -> Model:
        return Model(server.position)

    def reply(
        self, client: FiniteSum, memory: Any, message: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Change, Any]:
        def direction(y: PyTree, key: Key[Array, ""]) -> PyTree:
            return local.batch(client, key, self.batch_size).gradient(y)

        h = at_step(self.step_size, step)
        y, _ = local.descended(message.position, direction, h, self.local_steps, key)
        return Change(trees.subtract(y, message.position)), memory

    def absorb(self, server: Any, answers: Answers, roster: Roster, step: Int[Array, ""]) -> Any:
        change = answers.mean(answers.replies.change)
        return server._replace(position=local.step(server.position, change, -at_step(self.server_step_size, step)))

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        return self.local_steps * local.batch_rows(self.batch_size, rows)


class MinibatchSGD(Federated):
    """`x <- x - step_size * mean over clients of gradient_J(x)`, |J| = b: what K local steps of FedAvg would cost, at
    one point, is b = K times as many rows.

    One exchange a round, one vector down and one up, b gradients a client.

    Args:
        step_size, batch_size, clients_per_round, dropout: as in `FedAvg`.

    Raises:
        TypeError, ValueError: as `FedAvg`.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(6.0).reshape(3, 2))
        >>> sgd = langevax.federated.MinibatchSGD(step_size=0.5)
        >>> langevax.simulate(sgd, federation, jnp.array(0.5), key=jax.random.key(0), num_steps=1).position.item()
        1.5
    """

    step_size: Any
    batch_size: int | None = None
    clients_per_round: int | None = None
    dropout: Any = 0.0

    def __check_init__(self) -> None:
        check_common(self.step_size, 1, self.batch_size, self.clients_per_round, self.dropout)

    def server(self, position: PyTree, roster: Roster) -> Model:
        return Model(position)

    def exchanges(self, roster: Roster) -> tuple[Exchange, ...]:
        return (BatchGradient(self.clients_per_round, self.step_size, self.batch_size),)


class BatchGradient(Exchange):
    """Minibatch SGD's one exchange."""

    clients_per_round: int | None
    step_size: Any
    batch_size: int | None

    def message(self, server: Any, client_id: Int[Array, ""]) -> Model:
        return Model(server.position)

    def reply(
        self, client: FiniteSum, memory: Any, message: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Gradient, Any]:
        return Gradient(local.batch(client, key, self.batch_size).gradient(message.position)), memory

    def absorb(self, server: Any, answers: Answers, roster: Roster, step: Int[Array, ""]) -> Any:
        gradient = answers.mean(answers.replies.gradient)
        return server._replace(position=local.step(server.position, gradient, at_step(self.step_size, step)))

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        return local.batch_rows(self.batch_size, rows)
