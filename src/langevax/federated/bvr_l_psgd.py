"""BVR-L-SGD and BVR-L-PSGD (Murata and Suzuki, ICML 2021 and NeurIPS 2022), and minibatch SARAH between clients.

Stages of T rounds. The server follows the gradient by SARAH between clients, one client descends by SARAH on its rows:

    round 1 of a stage:   all clients send gradient_i(x), all rows;   v = their mean
    other rounds:         all send gradient(x) - gradient(x_prev) over K b rows of theirs;   v <- v + their mean
    then:                 one client, drawn by weight, is sent (x, v) and returns Local(x, v), see federated/local.py

The draw, instead of a mean over clients, is the paper's. Clients are stateless, so that x_prev is sent too: one that
was away needs nothing from before. x_prev is the point of the last round in which anyone answered. Two exchanges a
round, and with P clients 2P + 3 vectors in the first round of a stage, 3P + 3 in the others.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PyTree

from langevax import checks, trees
from langevax.algorithm import at_step
from langevax.federated import local
from langevax.federated.exchange import Answers, Exchange, Periodic
from langevax.federated.fedavg import Change, Gradient, Model
from langevax.federated.local import LocalSARAH
from langevax.federated.rounds import Federated, check_common
from langevax.problems.federation import Roster
from langevax.problems.finite_sum import FiniteSum


class BVRServer(NamedTuple):
    position: PyTree
    previous: PyTree
    gradient: PyTree


class Points(NamedTuple):
    position: PyTree
    previous: PyTree


class BVRLSGD(Federated):
    """Bias-variance reduced local SGD: few rounds where clients' Hessians differ little; see this file's head.

    Its rounds are about (1/K + 1/sqrt(K b) + zeta) / eps^2 for a gradient of norm eps, where zeta bounds the difference
    of clients' Hessians over the smoothness: as local steps grow, only what clients differ in remains. All clients take
    part in each round. The step size must shrink with K: h <= 1 / (zeta K).

    Args:
        step_size: h > 0, a number or a schedule of the round.
        local_steps: K.
        batch_size: b rows of a local step; None takes all rows of a client.
        period: T, rounds of a stage; None takes 1 + n / (K b), rounded up, for clients of n rows on average.
        dropout: probability that a client which was asked does not answer, see `Federated`.

    Raises:
        TypeError, ValueError: an argument that is not what it must be.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(6.0).reshape(3, 2))
        >>> bvr = langevax.federated.BVRLSGD(step_size=0.1, local_steps=4, batch_size=1)
        >>> result = langevax.simulate(bvr, federation, jnp.array(0.0), key=jax.random.key(0), num_steps=30)
        >>> round(result.position.item(), 3), result.exchanges  # one Hessian for all: local steps are global ones
        (2.5, 60)
    """

    step_size: Any
    local_steps: int
    batch_size: int | None = None
    period: int | None = None
    dropout: Any = 0.0

    def __check_init__(self) -> None:
        check_common(self.step_size, self.local_steps, self.batch_size, None, self.dropout)
        check_period(self.period)

    def server(self, position: PyTree, roster: Roster) -> BVRServer:
        return fresh_server(position)

    def exchanges(self, roster: Roster) -> tuple[Exchange | Periodic, ...]:
        estimate = estimates(self.local_steps, self.batch_size, self.period, roster)
        return estimate, LocalSARAH(1, self.step_size, self.local_steps, self.batch_size, None)


class BVRLPSGD(Federated):
    """`BVRLSGD` with noise in every local step, uniform in a ball of radius r: it leaves saddle points.

    Noise that stays on leaves a gradient of about r / step_size, so r <= step_size * eps; the time to leave a saddle
    point depends on r by a logarithm only.

    Args:
        step_size, local_steps, batch_size, period, dropout: as in `BVRLSGD`.
        radius: r >= 0, over all numbers of the position together.

    Raises:
        TypeError, ValueError: as `BVRLSGD`.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> saddle = lambda x, row: row * (x[0] ** 2 + x[1] ** 4 / 4 - x[1] ** 2 / 2)
        >>> federation = langevax.Federation(saddle, jnp.ones((3, 2)))
        >>> bvr = langevax.federated.BVRLPSGD(step_size=0.1, local_steps=4, batch_size=1, radius=1e-4)
        >>> result = langevax.simulate(bvr, federation, jnp.array([1.0, 0.0]), key=jax.random.key(0), num_steps=60)
        >>> abs(round(result.position[1].item(), 2))
        1.0
    """

    step_size: Any
    local_steps: int
    batch_size: int | None = None
    radius: Any = 1e-3
    period: int | None = None
    dropout: Any = 0.0

    def __check_init__(self) -> None:
        check_common(self.step_size, self.local_steps, self.batch_size, None, self.dropout)
        check_period(self.period)
        checks.number("radius", self.radius)

    def server(self, position: PyTree, roster: Roster) -> BVRServer:
        return fresh_server(position)

    def exchanges(self, roster: Roster) -> tuple[Exchange | Periodic, ...]:
        estimate = estimates(self.local_steps, self.batch_size, self.period, roster)
        return estimate, LocalSARAH(1, self.step_size, self.local_steps, self.batch_size, self.radius)


class MinibatchSARAH(Federated):
    """SARAH between clients (D-SPIDER) without local steps: `x <- x - step_size * v`, v as in `BVRLSGD` with K = 1.

    One exchange a round.

    Args:
        step_size: > 0, a number or a schedule of the round.
        batch_size: rows of a client and round; None takes all. To spend what local methods do, K times theirs.
        period: T, rounds of a stage; None takes 1 + n / batch_size, rounded up.
        dropout: as in `BVRLSGD`.

    Raises:
        TypeError, ValueError: as `BVRLSGD`.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(6.0).reshape(3, 2))
        >>> sarah = langevax.federated.MinibatchSARAH(step_size=0.5, batch_size=1)
        >>> result = langevax.simulate(sarah, federation, jnp.array(0.0), key=jax.random.key(0), num_steps=20)
        >>> round(result.position.item(), 3), result.exchanges
        (2.5, 20)
    """

    step_size: Any
    batch_size: int | None = None
    period: int | None = None
    dropout: Any = 0.0

    def __check_init__(self) -> None:
        check_common(self.step_size, 1, self.batch_size, None, self.dropout)
        check_period(self.period)

    def server(self, position: PyTree, roster: Roster) -> BVRServer:
        return fresh_server(position)

    def exchanges(self, roster: Roster) -> tuple[Exchange | Periodic, ...]:
        return (estimates(1, self.batch_size, self.period, roster, self.step_size),)


def check_period(period: Any) -> None:
    if period is not None:
        checks.positive_int("period", period)


def fresh_server(position: PyTree) -> BVRServer:
    return BVRServer(position, position, jax.tree.map(jnp.zeros_like, position))


def estimates(
    local_steps: int, batch_size: int | None, period: int | None, roster: Roster, step_size: Any = None
) -> Periodic:
    """The exchange that renews v, and then follows it by differences."""
    budget = None if batch_size is None else local_steps * batch_size
    return Periodic(Renewal(None, step_size), Difference(None, step_size, budget), period or _stage(budget, roster))


def _stage(budget: int | None, roster: Roster) -> Int[Array, ""] | int:
    """1 + n / budget, rounded up."""
    if budget is None:
        return 2
    total, each = jnp.sum(roster.rows, dtype=jnp.int32), jnp.int32(budget * roster.num_clients)
    return 1 + (total + each - 1) // each


class Renewal(Exchange):
    """v anew from all rows of all clients; with a step size the server then descends along it."""

    clients_per_round: int | None
    step_size: Any

    def message(self, server: Any, client_id: Int[Array, ""]) -> Model:
        return Model(server.position)

    def reply(
        self, client: FiniteSum, memory: Any, message: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Gradient, Any]:
        return Gradient(client.gradient(message.position)), memory

    def absorb(self, server: Any, answers: Answers, roster: Roster, step: Int[Array, ""]) -> BVRServer:
        gradient = answers.mean(answers.replies.gradient)
        return _anchored(server, answers, gradient, self.step_size, step)

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        return rows


class Difference(Exchange):
    """v followed by the change of the gradient since x_prev, over fresh rows."""

    clients_per_round: int | None
    step_size: Any
    batch_size: int | None

    def message(self, server: Any, client_id: Int[Array, ""]) -> Points:
        return Points(server.position, server.previous)

    def reply(
        self, client: FiniteSum, memory: Any, message: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Change, Any]:
        part = local.batch(client, key, self.batch_size)
        return Change(trees.subtract(part.gradient(message.position), part.gradient(message.previous))), memory

    def absorb(self, server: Any, answers: Answers, roster: Roster, step: Int[Array, ""]) -> BVRServer:
        gradient = trees.add(server.gradient, answers.mean(answers.replies.change))
        return _anchored(server, answers, gradient, self.step_size, step)

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        return 2 * local.batch_rows(self.batch_size, rows)


def _anchored(server: Any, answers: Answers, gradient: PyTree, step_size: Any, step: Int[Array, ""]) -> BVRServer:
    """The gradient is that of the present point, which becomes x_prev; as it was where nobody answered."""
    x = server.position
    moved = x if step_size is None else local.step(x, gradient, at_step(step_size, step))
    return answers.if_anyone(BVRServer(moved, x, gradient), server)
