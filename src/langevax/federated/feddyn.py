"""FedDyn: local problems whose linear terms make all minimisers agree (Acar et al., ICLR 2021, Algorithm 1)."""

from typing import Any, ClassVar, NamedTuple

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.federated import local
from langevax.federated.exchange import Change, Exchange, Replies
from langevax.federated.rounds import LocalMethod
from langevax.problems.federation import Clients
from langevax.problems.finite_sum import FiniteSum


class FedDynServer(NamedTuple):
    position: PyTree
    linear: PyTree
    """h = sum_i w_i g_i, always."""


class FedDyn(LocalMethod):
    """FedAvg on f_i(y) - g_i . y + proximal_precision / 2 |y - x|^2, where g_i estimates the client's gradient.

        client:  y_0 = x;  K times:  y <- y - step_size * (gradient_J(y) - g_i + proximal_precision (y - x))
                 g_i <- g_i - proximal_precision (y_K - x)
        server:  h <- h - proximal_precision * sum over replies of w_i (y_K - x);
                 x <- mean(y_K) - h / proximal_precision

    Where clients solve their problems exactly, the fixed point is the optimum: there g_i is the client's gradient, and
    h is 0. One exchange a round, one vector down and one up, K b gradients a client, which keeps a vector.

    Args:
        step_size, num_local_steps, batch_size, clients_per_round, dropout: as in `FedAvg`.
        proximal_precision: alpha > 0, the paper's 0.01 to 0.1; the server's step grows as it falls.

    Raises:
        TypeError, ValueError: an invalid argument; more clients a round than there are.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(6.0).reshape(3, 2))
        >>> feddyn = langevax.federated.FedDyn(step_size=0.1, num_local_steps=20, proximal_precision=1.0)
        >>> result = langevax.simulate(feddyn, federation, jnp.array(0.0), key=jax.random.key(0), num_steps=60)
        >>> round(result.position.item(), 3), result.vectors
        (2.5, 360)
    """

    proximal_precision: Any = 0.1

    def __check_init__(self) -> None:
        checks.number("proximal_precision", self.proximal_precision, positive=True)

    def server(self, position: PyTree, clients: Clients) -> FedDynServer:
        return FedDynServer(position, trees.zeros_like(position))

    def memory(self, position: PyTree) -> PyTree:
        return trees.zeros_like(position)

    def exchanges(self, clients: Clients) -> tuple[Exchange, ...]:
        return (RegularisedLocalSteps(self.clients_per_round, self),)


class RegularisedLocalSteps(local.LocalSteps):
    """FedDyn's exchange; a client's memory is its g_i."""

    uses_memory: ClassVar[bool] = True

    method: FedDyn

    def reply(
        self,
        client: FiniteSum,
        memory: PyTree,
        message: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[Change, PyTree]:
        x = message.position
        alpha = self.method.proximal_precision

        def direction(batch: FiniteSum, y: PyTree) -> PyTree:
            own = trees.subtract(batch.gradient(y), memory)
            return local.descent_step(own, trees.subtract(x, y), alpha)

        y, _ = self.descend(client, x, direction, step, key=key)
        change = trees.subtract(y, x)
        return Change(change), local.descent_step(memory, change, alpha)

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> FedDynServer:
        alpha = self.method.proximal_precision
        change = replies.content.change
        linear = local.descent_step(server.linear, replies.weighted_sum(change), alpha)
        x = local.descent_step(
            trees.add(server.position, replies.mean(change)), linear, 1 / alpha
        )
        return FedDynServer(replies.if_any(x, server.position), linear)
