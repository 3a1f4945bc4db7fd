"""SCAFFOLD-M: SCAFFOLD with momentum in the local steps (Cheng, Huang, Wu and Yuan, ICLR 2024)."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.algorithm import at_step
from langevax.federated import local
from langevax.federated.exchange import Exchange, Replies, StepSize
from langevax.federated.rounds import LocalMethod
from langevax.problems.federation import Clients
from langevax.problems.finite_sum import FiniteSum


class SCAFFOLDMServer(NamedTuple):
    position: PyTree
    control: PyTree
    """c = sum_i w_i c_i, always."""
    direction: PyTree
    """g, the mean direction of the last round that anyone answered."""


class PositionAndDirection(NamedTuple):
    position: PyTree
    common: PyTree
    """(1 - momentum) c + momentum g."""


class DirectionAndControl(NamedTuple):
    direction: PyTree
    """The mean of the K local directions."""
    control: PyTree
    """The change of c_i."""


class SCAFFOLDM(LocalMethod):
    """SCAFFOLD whose local steps share the direction of the last round, for networks and skewed labels.

        client:  y_0 = x;  K times:  y <- y - step_size * d,
                 d = (1 - momentum) (gradient_J(y) - c_i + c) + momentum g;     c_i <- mean of the K gradient_J(y)
        server:  g <- mean over clients of the mean d;     x <- x - server_step_size * step_size * K g;
                 c <- c + sum over replies of w_i (change of c_i)

    Momentum averages over the clients of earlier rounds, and holds the local paths together; `step_size` is that of d,
    so that it can be larger than SCAFFOLD's. g and all control variates start at 0. Clients need c and g in this
    combination only: one exchange a round, two vectors down and two up, K b gradients a client, as SCAFFOLD.

    Args:
        step_size, num_local_steps, batch_size, clients_per_round, server_step_size, dropout: as in `FedAvg`.
        momentum: the share of g, in [0, 1), the paper's 1 - beta; 0 is `SCAFFOLD(option="II")`.

    Raises:
        TypeError, ValueError: an invalid argument; more clients a round than there are.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(6.0).reshape(3, 2))
        >>> method = langevax.federated.SCAFFOLDM(step_size=0.1, num_local_steps=4, momentum=0.5)
        >>> result = langevax.simulate(method, federation, jnp.array(0.0), key=jax.random.key(0), num_steps=60)
        >>> round(result.position.item(), 3), result.vectors
        (2.5, 720)
    """

    momentum: Any = 0.8
    server_step_size: StepSize = eqx.field(default=1.0, kw_only=True)

    def __check_init__(self) -> None:
        checks.share("momentum", self.momentum)

    def server(self, position: PyTree, clients: Clients) -> SCAFFOLDMServer:
        zeros = trees.zeros_like(position)
        return SCAFFOLDMServer(position, zeros, zeros)

    def memory(self, position: PyTree) -> PyTree:
        return trees.zeros_like(position)

    def exchanges(self, clients: Clients) -> tuple[Exchange, ...]:
        return (MomentumLocalSteps(self.clients_per_round, self),)


class MomentumLocalSteps(local.LocalSteps):
    """SCAFFOLD-M's exchange; a client's memory is its c_i."""

    uses_memory: ClassVar[bool] = True

    method: SCAFFOLDM

    def message(self, server: Any, client_id: IntScalar) -> PositionAndDirection:
        lag = trees.subtract(server.control, server.direction)
        return PositionAndDirection(
            server.position,
            local.descent_step(server.control, lag, self.method.momentum),
        )

    def reply(
        self,
        client: FiniteSum,
        memory: PyTree,
        message: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[DirectionAndControl, PyTree]:
        x, common = message

        def direction(batch: FiniteSum, y: PyTree) -> PyTree:
            own = trees.subtract(batch.gradient(y), memory)
            return local.descent_step(trees.add(own, common), own, self.method.momentum)

        _, mean = self.descend(client, x, direction, step, key=key)
        share = 1 - self.method.momentum
        change = jax.tree.map(
            lambda d, u: (d - u) / jnp.asarray(share, d.dtype), mean, common
        )
        return DirectionAndControl(mean, change), trees.add(memory, change)

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> SCAFFOLDMServer:
        method = self.method
        content = replies.content
        direction = replies.mean(content.direction)
        h = (
            at_step(method.step_size, step)
            * at_step(method.server_step_size, step)
            * method.num_local_steps
        )
        x = local.descent_step(server.position, direction, h)
        control = trees.add(server.control, replies.weighted_sum(content.control))
        return SCAFFOLDMServer(x, control, replies.if_any(direction, server.direction))
