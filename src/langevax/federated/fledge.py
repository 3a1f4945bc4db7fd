"""FLEDGE (Oko, Akiyama, Murata, Suzuki, 2022; SILVER with local steps, ICML 2024): few clients a round.

Between clients there is one control variate y_i each, which tracks gradient_i at the present position; within a client
it is SARAH. After the start no exchange needs all clients:

    start:    y_i = gradient_i(x), v = sum_i w_i y_i
    local:    one client, drawn by weight, receives (x, v) and returns x_new = Local(x, v), see federated/local.py
    anchor:   clients I send g_i = gradient_i(x_new), h_i = gradient_i(x_prev), all their rows;  D = mean of g_i - h_i
              y_i <- g_i  (i in I);      y_i <- y_i + D  (the others);      v = sum_i w_i y_i

The error of v decays at the rate p / P a round and grows with the difference of clients' Hessians, so that no full
gradient is needed again. The public text of the papers was not at hand in full: this is the estimator as their
abstracts and later papers describe it, derived and checked again.

The table of y_i is held by the server or by the clients, with O(p d) work a round. Both are lazy: y_i = z_i + S, where
the shift S is the running sum of D, so that moving all entries is one addition.

    server:  z (P vectors) and S;   down x, x_prev, up g_i, h_i;      y_i = z_i + S
    client:  its own g_i at its last reply, T_i;   down x, x_prev, S - S_{T_i}, up g_i - h_i, g_i - y_i;
             y_i = g_i(T_i) + S - S_{T_i}

and, with W the weight of those who answered,  v <- v + (1 - W) D + sum_I w_i (g_i - y_i),  S <- S + D.

With the client table a server needs S at the distinct rounds T_i only, about (P/p) log P vectors; here, where arrays
have fixed shapes, it holds one for each client. The server's table is folded (z <- z + S, S <- 0, v from z) every P/p
rounds, which takes no gradients and keeps float32 from drifting; with the client table rounding stays in v.
"""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.federated import local
from langevax.federated.bvr_l_psgd import Points
from langevax.federated.exchange import Exchange, Gradient, Replies
from langevax.federated.rounds import LocalMethod
from langevax.problems import blocks
from langevax.problems.federation import Clients
from langevax.problems.finite_sum import FiniteSum


class FLEDGEServer(NamedTuple):
    position: PyTree
    previous: PyTree
    gradient: PyTree
    shift: PyTree
    """S."""
    table: PyTree
    """Stacked over clients: z where the server holds the table, else S at each client's last reply."""


class FLEDGE(LocalMethod):
    """Variance reduction between clients without full participation; see this file's head.

    p near sqrt(P) takes no more rounds than all clients would, up to constants, and the fewest vectors. The step size
    must shrink with the local steps: h <= c min(1 / L, 1 / (zeta K), p / (zeta K sqrt(P))), where zeta bounds the
    difference of clients' Hessians.

    Two exchanges a round, after one at the start. Vectors of a round: 3 for the local one and 4p (table="server") or 5p
    (table="client") for the anchor. Gradients: 2 b (K - 1) of one client, and twice all rows of p.

    Args:
        step_size: h > 0, a number or a schedule of the round.
        num_local_steps: K.
        batch_size: b rows of a local step; None takes all rows of a client.
        clients_per_round: p clients of an anchor; None takes all.
        table: "server" holds P vectors there, and clients keep nothing; with "client" each keeps its last gradient, and
            the server uses sums of replies only, so that they can be added securely.
        initial_table: "full" asks all clients once; "mini" asks p, and their mean stands for the others.
        radius: of noise in every local step, uniform in a ball, as in `BVRLPSGD`; None for none.
        dropout: probability that a selected client does not answer, see `Federated`. Its y_i moves by D like those that
            were not selected, and x_prev stays the position of the last anchor that anyone answered.

    Raises:
        TypeError, ValueError: an invalid argument; more clients a round than there are.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(12.0).reshape(6, 2))
        >>> fledge = langevax.federated.FLEDGE(step_size=0.1, num_local_steps=4, batch_size=1, clients_per_round=2)
        >>> result = langevax.simulate(fledge, federation, jnp.array(0.0), key=jax.random.key(0), num_steps=30)
        >>> round(result.position.item(), 3), result.exchanges, result.vectors  # start 12, then 30 x (4 x 2 + 3)
        (5.5, 61, 342)
    """

    table: str = "server"
    initial_table: str = "full"
    radius: Any = None

    def __check_init__(self) -> None:
        if self.radius is not None:
            checks.number("radius", self.radius)
        checks.one_of("table", self.table, ("server", "client"))
        checks.one_of("initial_table", self.initial_table, ("full", "mini"))

    def server(self, position: PyTree, clients: Clients) -> FLEDGEServer:
        zeros = trees.zeros_like(position)
        table = jax.tree.map(
            lambda x: jnp.zeros((clients.num_clients, *x.shape), x.dtype), position
        )
        return FLEDGEServer(position, position, zeros, zeros, table)

    def memory(self, position: PyTree) -> PyTree:
        return () if self.table == "server" else trees.zeros_like(position)

    def initial_exchanges(self) -> tuple[Exchange, ...]:
        first = None if self.initial_table == "full" else self.clients_per_round
        return (
            ServerTableStart(first)
            if self.table == "server"
            else ClientTableStart(first),
        )

    def exchanges(self, clients: Clients) -> tuple[Exchange, ...]:
        anchor = ServerTableAnchor if self.table == "server" else ClientTableAnchor
        return local.LocalSARAH(1, self, self.radius), anchor(self.clients_per_round)


class ServerTableStart(local.GradientExchange):
    """y_i = gradient_i(x) of those who answer, and their mean for the others."""

    clients_per_round: int | None
    batch_size: int | None = None

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> FLEDGEServer:
        gradients = replies.content.gradient
        mean = replies.mean(gradients)
        table = jax.tree.map(lambda z, m: jnp.zeros_like(z) + m, server.table, mean)
        return server._replace(
            gradient=_initial_gradient(replies, mean),
            table=_write(table, replies, gradients),
        )


class TwoGradients(NamedTuple):
    here: PyTree
    before: PyTree


class ServerTableAnchor(Exchange):
    """SLEDGE's update between clients, the table with the server."""

    clients_per_round: int | None

    def message(self, server: Any, client_id: IntScalar) -> Points:
        return Points(server.position, server.previous)

    def reply(
        self,
        client: FiniteSum,
        memory: PyTree,
        message: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[TwoGradients, PyTree]:
        return TwoGradients(
            client.gradient(message.position), client.gradient(message.previous)
        ), memory

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> FLEDGEServer:
        here, before = replies.content
        change = replies.mean(trees.subtract(here, before))
        ids = replies.selection.ids
        old = server.table if ids is None else blocks.take(server.table, ids)
        residual = jax.tree.map(lambda g, z, s: g - (z + s), here, old, server.shift)
        shift = trees.add(server.shift, change)
        table = _write(server.table, replies, trees.subtract(here, shift), old)
        new = _anchored(server, replies, change, residual, shift, table)
        every = 1 if ids is None else -(-clients.num_clients // len(ids))
        return _fold(new, clients, step % every == every - 1)

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        return 2 * rows


class ClientTableStart(Exchange):
    """Like `ServerTableStart`; a client that has never answered has y_i = 0 + S - (-mean)."""

    uses_memory: ClassVar[bool] = True

    clients_per_round: int | None

    def reply(
        self,
        client: FiniteSum,
        memory: PyTree,
        message: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[Gradient, PyTree]:
        gradient = client.gradient(message.position)
        return Gradient(gradient), gradient

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> FLEDGEServer:
        mean = replies.mean(replies.content.gradient)
        never = jax.tree.map(lambda s, m: jnp.zeros_like(s) - m, server.table, mean)
        zeros = trees.zeros_like(replies.content.gradient)
        return server._replace(
            gradient=_initial_gradient(replies, mean),
            table=_write(never, replies, zeros),
        )

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        return rows


class PointsAndShift(NamedTuple):
    position: PyTree
    previous: PyTree
    shift: PyTree


class ChangeAndResidual(NamedTuple):
    change: PyTree
    residual: PyTree


class ClientTableAnchor(Exchange):
    """SLEDGE's update between clients, each of which keeps its last gradient."""

    uses_memory: ClassVar[bool] = True

    clients_per_round: int | None

    def message(self, server: Any, client_id: IntScalar) -> PointsAndShift:
        # read as `_write` reads, so that one read serves both and the write after it needs no copy
        then = jax.tree.map(
            lambda a: jnp.take(a, client_id, axis=0, mode="clip"), server.table
        )
        return PointsAndShift(
            server.position, server.previous, trees.subtract(server.shift, then)
        )

    def reply(
        self,
        client: FiniteSum,
        memory: PyTree,
        message: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[ChangeAndResidual, PyTree]:
        here = client.gradient(message.position)
        before = client.gradient(message.previous)
        residual = trees.subtract(here, trees.add(memory, message.shift))
        return ChangeAndResidual(trees.subtract(here, before), residual), here

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> FLEDGEServer:
        residual = replies.content.residual
        change = replies.mean(replies.content.change)
        shift = trees.add(server.shift, change)
        table = _write(
            server.table,
            replies,
            jax.tree.map(lambda s, r: jnp.broadcast_to(s, r.shape), shift, residual),
        )
        return _anchored(server, replies, change, residual, shift, table)

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        return 2 * rows


def _initial_gradient(replies: Replies, mean: PyTree) -> PyTree:
    """`sum_i w_i y_i` where y_i is the mean for those who did not answer."""
    rest = 1 - jnp.sum(replies.weights)
    answered = replies.weighted_sum(replies.content.gradient)
    return jax.tree.map(lambda a, m: a + rest.astype(m.dtype) * m, answered, mean)


def _anchored(
    server: FLEDGEServer,
    replies: Replies,
    change: PyTree,
    residual: PyTree,
    shift: PyTree,
    table: PyTree,
) -> FLEDGEServer:
    """The state after an anchor: v <- v + (1 - W) D + sum_I w_i (g_i - y_i)."""
    rest = 1 - jnp.sum(replies.weights)
    own = replies.weighted_sum(residual)
    gradient = jax.tree.map(
        lambda v, d, r: v + rest.astype(v.dtype) * d + r, server.gradient, change, own
    )
    previous = replies.if_any(server.position, server.previous)
    return FLEDGEServer(server.position, previous, gradient, shift, table)


def _write(
    table: PyTree,
    replies: Replies,
    new: PyTree,
    old: PyTree = None,
) -> PyTree:
    """The table with `new` for those who answered.

    The new rows depend on the old ones, so that the compiler writes in place (and copies the table otherwise).
    """
    ids = replies.selection.ids
    if old is None:
        old = table if ids is None else blocks.take(table, ids)
    return replies.selection.write(table, replies.where_answered(new, old))


def _fold(server: FLEDGEServer, clients: Clients, due: Any) -> FLEDGEServer:
    """S folded into the table where `due`, by a loop of one iteration: a branch around the table would copy it."""

    def fold(
        carry: tuple[Any, PyTree, PyTree, PyTree],
    ) -> tuple[Any, PyTree, PyTree, PyTree]:
        _, _, shift, table = carry
        table = trees.add(table, shift)
        gradient = jax.tree.map(
            lambda z: jnp.tensordot(clients.weights.astype(z.dtype), z, axes=1), table
        )
        return jnp.asarray(False), gradient, trees.zeros_like(shift), table

    start = jnp.asarray(due), server.gradient, server.shift, server.table
    _, gradient, shift, table = lax.while_loop(lambda carry: carry[0], fold, start)
    return server._replace(gradient=gradient, shift=shift, table=table)
