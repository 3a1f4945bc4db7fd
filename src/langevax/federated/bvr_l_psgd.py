"""BVR-L-SGD and BVR-L-PSGD (Murata and Suzuki, ICML 2021 and NeurIPS 2022), and minibatch SARAH between clients.

Stages of T rounds. The server tracks the gradient by SARAH between clients, one client descends by SARAH on its rows:

    round 1 of a stage:   all clients send gradient_i(x), all rows;   v = their mean
    other rounds:         all send gradient(x) - gradient(x_prev) over K b of their rows;   v <- v + their mean
    then:                 one client, drawn by weight, receives (x, v) and returns Local(x, v), see federated/local.py

Drawing one client, rather than averaging over clients, is the paper's choice. Clients are stateless, so x_prev is sent
too: a client that was away needs nothing from earlier rounds. x_prev is the position of the last round in which anyone
answered. Two exchanges a round, and with P clients 2P + 3 vectors in the first round of a stage, 3P + 3 in the others.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.algorithm import at_step
from langevax.federated import local
from langevax.federated.exchange import (
    Change,
    Exchange,
    Periodic,
    Replies,
    RowCounts,
    StepSize,
)
from langevax.federated.rounds import Federated
from langevax.problems.federation import Clients
from langevax.problems.finite_sum import FiniteSum


class BVRServer(NamedTuple):
    position: PyTree
    previous: PyTree
    gradient: PyTree


class Points(NamedTuple):
    position: PyTree
    previous: PyTree


class TracksGradient(Federated):
    """Methods whose server holds v and tracks the gradient by it, see this file's head."""

    period: int | Literal["auto"] = eqx.field(default="auto", kw_only=True)

    def __check_init__(self) -> None:
        checks.positive_int("period", self.period, auto=True)

    def server(self, position: PyTree, clients: Clients) -> BVRServer:
        return BVRServer(position, position, trees.zeros_like(position))

    def track(
        self: Any,
        clients: Clients,
        num_local_steps: int,
        step_size: StepSize | None,
    ) -> Periodic:
        """The exchange that updates v, and descends along it where there is a step size."""
        budget = None if self.batch_size is None else num_local_steps * self.batch_size
        period: int | IntScalar = 2 if self.period == "auto" else self.period
        if (
            self.period == "auto" and budget is not None
        ):  # 1 + mean rows / budget, rounded up
            rows = jnp.sum(clients.rows, dtype=jnp.int32)
            spent = jnp.int32(budget * clients.num_clients)
            period = 1 + (rows + spent - 1) // spent
        return Periodic(
            FullGradient(None, None, step_size),
            GradientDifference(None, budget, step_size),
            period,
        )


class BVRLSGD(TracksGradient):
    """Bias-variance reduced local SGD: few rounds where clients' Hessians differ little; see this file's head.

    It takes about (1/K + 1/sqrt(K b) + zeta) / eps^2 rounds to a gradient of norm eps, where zeta bounds the difference
    of clients' Hessians over the smoothness: with many local steps only the difference between clients remains. All
    clients take part in each round. The step size must shrink with K: h <= 1 / (zeta K).

    Args:
        step_size: h > 0, a number or a schedule of the round.
        num_local_steps: K.
        batch_size: b rows of a local step; None takes all rows of a client.
        period: T, rounds of a stage; "auto" is 1 + n / (K b), rounded up, for clients of n rows on average.
        dropout: probability that a selected client does not answer, see `Federated`.

    Raises:
        TypeError, ValueError: an invalid argument.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(6.0).reshape(3, 2))
        >>> bvr = langevax.federated.BVRLSGD(step_size=0.1, num_local_steps=4, batch_size=1)
        >>> result = langevax.simulate(bvr, federation, jnp.array(0.0), key=jax.random.key(0), num_steps=30)
        >>> round(result.position.item(), 3), result.exchanges  # one Hessian for all: local steps are global ones
        (2.5, 60)
    """

    step_size: StepSize
    num_local_steps: int
    batch_size: int | None = None

    def exchanges(self, clients: Clients) -> tuple[Exchange | Periodic, ...]:
        sarah = local.LocalSARAH(1, self, None)
        return self.track(clients, self.num_local_steps, None), sarah


class BVRLPSGD(TracksGradient):
    """`BVRLSGD` with noise in every local step, uniform in a ball of radius r, which escapes saddle points.

    The noise leaves a gradient of about r / step_size, so r <= step_size * eps; the time to leave a saddle point
    depends on r by a logarithm only.

    Args:
        step_size, num_local_steps, batch_size, period, dropout: as in `BVRLSGD`.
        radius: r >= 0, over all numbers of the position together.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> saddle = lambda x, row: row * (x[0] ** 2 + x[1] ** 4 / 4 - x[1] ** 2 / 2)
        >>> federation = langevax.Federation(saddle, jnp.ones((3, 2)))
        >>> bvr = langevax.federated.BVRLPSGD(step_size=0.1, num_local_steps=4, batch_size=1, radius=1e-4)
        >>> result = langevax.simulate(bvr, federation, jnp.array([1.0, 0.0]), key=jax.random.key(0), num_steps=60)
        >>> abs(round(result.position[1].item(), 2))
        1.0
    """

    step_size: StepSize
    num_local_steps: int
    batch_size: int | None = None
    radius: Any = 1e-3

    def __check_init__(self) -> None:
        checks.number("radius", self.radius)

    def exchanges(self, clients: Clients) -> tuple[Exchange | Periodic, ...]:
        sarah = local.LocalSARAH(1, self, self.radius)
        return self.track(clients, self.num_local_steps, None), sarah


class MinibatchSARAH(TracksGradient):
    """SARAH between clients (D-SPIDER) without local steps: `x <- x - step_size * v`, v as in `BVRLSGD` with K = 1.

    One exchange a round.

    Args:
        step_size: > 0, a number or a schedule of the round.
        batch_size: rows of a client and round; None takes all. To spend what local methods do, take K times theirs.
        period: T, rounds of a stage; "auto" is 1 + n / batch_size, rounded up.
        dropout: as in `BVRLSGD`.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(6.0).reshape(3, 2))
        >>> sarah = langevax.federated.MinibatchSARAH(step_size=0.5, batch_size=1)
        >>> result = langevax.simulate(sarah, federation, jnp.array(0.0), key=jax.random.key(0), num_steps=20)
        >>> round(result.position.item(), 3), result.exchanges
        (2.5, 20)
    """

    step_size: StepSize
    batch_size: int | None = None

    def exchanges(self, clients: Clients) -> tuple[Exchange | Periodic, ...]:
        return (self.track(clients, 1, self.step_size),)


class FullGradient(local.GradientExchange):
    """v from all rows of all clients; with a step size the server then descends along it."""

    clients_per_round: int | None
    batch_size: int | None
    step_size: StepSize | None

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> BVRServer:
        return _advance(
            server,
            replies,
            replies.mean(replies.content.gradient),
            self.step_size,
            step,
        )


class GradientDifference(Exchange):
    """v plus the change of the gradient since x_prev, over fresh rows."""

    clients_per_round: int | None
    batch_size: int | None
    step_size: StepSize | None

    def message(self, server: Any, client_id: IntScalar) -> Points:
        return Points(server.position, server.previous)

    def reply(
        self,
        client: FiniteSum,
        memory: PyTree,
        message: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[Change, PyTree]:
        part = local.batch(client, key, self.batch_size)
        return Change(
            trees.subtract(
                part.gradient(message.position), part.gradient(message.previous)
            )
        ), memory

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> BVRServer:
        gradient = trees.add(server.gradient, replies.mean(replies.content.change))
        return _advance(server, replies, gradient, self.step_size, step)

    def evaluations(self, rows: RowCounts) -> Any:
        return 2 * local.batch_rows(self.batch_size, rows)


def _advance(
    server: Any,
    replies: Replies,
    gradient: PyTree,
    step_size: StepSize | None,
    step: Any,
) -> BVRServer:
    """The state whose gradient is that of the present position, which becomes x_prev; unchanged if nobody answered."""
    x = server.position
    new = (
        x
        if step_size is None
        else local.descent_step(x, gradient, at_step(step_size, step))
    )
    return replies.if_any(BVRServer(new, x, gradient), server)
