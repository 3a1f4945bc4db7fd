"""FedAvg (local SGD; McMahan et al., AISTATS 2017) and minibatch SGD, which spends the same rows at one point."""

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx

from langevax import trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.algorithm import at_step
from langevax.federated import local, server_step
from langevax.federated.exchange import Change, Exchange, Model, Replies, StepSize
from langevax.federated.rounds import Federated, LocalMethod
from langevax.federated.server_step import ServerOptimizer
from langevax.problems.federation import Clients
from langevax.problems.finite_sum import FiniteSum


class AveragingServer(NamedTuple):
    position: PyTree
    optimizer_state: Any
    """() without an optimizer."""


class AveragesChanges(Federated):
    """Methods whose clients send a change of the position, and whose server moves along the mean of them."""

    server_step_size: StepSize = eqx.field(default=1.0, kw_only=True)
    server_optimizer: ServerOptimizer | None = eqx.field(default=None, kw_only=True)

    def server(self, position: PyTree, clients: Clients) -> Any:
        return AveragingServer(
            position, server_step.initial_state(self.server_optimizer, position)
        )

    def moved(
        self,
        server: Any,
        change: PyTree,
        replies: Replies,
        step: IntScalar,
    ) -> AveragingServer:
        """The state after a step along `change`."""
        x, optimizer_state = server_step.move(
            server.position,
            server.optimizer_state,
            change,
            replies,
            optimizer=self.server_optimizer,
            step_size=self.server_step_size,
            step=step,
        )
        return AveragingServer(x, optimizer_state)


class TakesLocalSteps(AveragesChanges, LocalMethod):
    """Methods whose clients take K steps along a direction of their own, and remember nothing."""

    @abstractmethod
    def direction(
        self,
        batch: FiniteSum,
        start: PyTree,
        position: PyTree,
    ) -> PyTree:
        """The direction of a local step at `position`, in a round that began at `start`."""

    def exchanges(self, clients: Clients) -> tuple[Exchange, ...]:
        return (LocalSGD(self.clients_per_round, self),)


class FedAvg(TakesLocalSteps):
    """Local steps on the clients' own rows, averaged by the server.

        client:  y_0 = x;  K times:  y <- y - step_size * gradient_J(y),  |J| = b
        server:  x <- x + server_step_size * mean(y_K - x),    or by an optimizer of optax, see federated/server_step.py

    One exchange a round, one vector down and one up, K b gradients a client. Where clients differ it settles at a
    distance from the optimum that grows with step_size K and with the difference of their gradients.

    FedAvgM is `server_optimizer="momentum"`, with a `server_step_size` near 0.1 to 0.5. FedAdam, FedYogi and FedAdagrad
    are "adam", "yogi" and "adagrad", which move every number by about `server_step_size`: 0.01 to 0.1.

    Args:
        step_size: of clients, > 0, a number or a schedule of the round.
        num_local_steps: K.
        batch_size: b distinct rows of a client; None takes all, and so does a client that has no more.
        clients_per_round: p distinct clients, drawn with probabilities proportional to their weights; None takes all.
        server_step_size: > 0, a number or a schedule of the round; 1 averages.
        dropout: probability that a selected client does not answer, see `Federated`.
        server_optimizer: "momentum", "adam", "yogi", "adagrad", or an optax gradient transformation with learning rate
            1, whose updates `server_step_size` multiplies; None for plain steps.

    Raises:
        TypeError, ValueError: an invalid argument; more clients a round than there are.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> rows = [jnp.array([0.0, 1.0]), jnp.array([2.0])]
        >>> federation = langevax.Federation.of(lambda x, row: (x - row) ** 2 / 2, rows)
        >>> fedavg = langevax.federated.FedAvg(step_size=0.1, num_local_steps=4)
        >>> result = langevax.simulate(fedavg, federation, jnp.array(5.0), key=jax.random.key(0), num_steps=50)
        >>> round(result.position.item(), 3), result.exchanges, result.vectors, result.evaluations
        (1.0, 50, 200, 600)
    """

    def direction(
        self,
        batch: FiniteSum,
        start: PyTree,
        position: PyTree,
    ) -> PyTree:
        return batch.gradient(position)


class LocalSGD(local.LocalSteps):
    """The exchange of local steps."""

    method: TakesLocalSteps

    def reply(
        self,
        client: FiniteSum,
        memory: PyTree,
        message: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[Change, PyTree]:
        x = message.position

        def direction(batch: FiniteSum, y: PyTree) -> PyTree:
            return self.method.direction(batch, x, y)

        y, _ = self.descend(client, x, direction, step, key=key)
        return Change(trees.subtract(y, x)), memory

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> AveragingServer:
        return self.method.moved(
            server, replies.mean(replies.content.change), replies, step
        )


class MinibatchSGD(Federated):
    """`x <- x - step_size * mean over clients of gradient_J(x)`, |J| = b, without local steps.

    To spend as many gradients as FedAvg, take K times its batch. One exchange a round, one vector down and one up, b
    gradients a client.

    Args:
        step_size, batch_size, clients_per_round, dropout: as in `FedAvg`.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(6.0).reshape(3, 2))
        >>> sgd = langevax.federated.MinibatchSGD(step_size=0.5)
        >>> langevax.simulate(sgd, federation, jnp.array(0.5), key=jax.random.key(0), num_steps=1).position.item()
        1.5
    """

    step_size: StepSize
    batch_size: int | None = None
    clients_per_round: int | None = None

    def exchanges(self, clients: Clients) -> tuple[Exchange, ...]:
        return (
            MeanGradientStep(self.clients_per_round, self.batch_size, self.step_size),
        )


class MeanGradientStep(local.GradientExchange):
    """Minibatch SGD's exchange."""

    clients_per_round: int | None
    batch_size: int | None
    step_size: StepSize

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> Model:
        gradient = replies.mean(replies.content.gradient)
        return Model(
            local.descent_step(server.position, gradient, at_step(self.step_size, step))
        )
