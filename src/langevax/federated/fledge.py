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

The server holds the table lazily: y_i = z_i + S, P vectors z and the running sum S of D, so that moving all entries is
one addition, with O(p d) work a round. Clients receive x and x_prev, send g_i and h_i, and keep nothing. With W the
weight of those who answered,

    v <- v + (1 - W) D + sum_I w_i (g_i - y_i),      S <- S + D.

The table is folded (z <- z + S, S <- 0, v from z) every P/p rounds, which takes no gradients and keeps float32 from
drifting.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.federated import local
from langevax.federated.bvr_l_psgd import Points
from langevax.federated.exchange import Exchange, Replies, RowCounts
from langevax.federated.rounds import LocalMethod
from langevax.problems import blocks
from langevax.problems.federation import Clients
from langevax.problems.finite_sum import FiniteSum
from langevax.renamed import refuse_former


class FLEDGEServer(NamedTuple):
    position: PyTree
    previous: PyTree
    gradient: PyTree
    shift: PyTree
    """S."""
    table: PyTree
    """z, stacked over clients."""


@refuse_former
class FLEDGE(LocalMethod):
    """Variance reduction between clients without full participation; see this file's head.

    p near sqrt(P) takes no more rounds than all clients would, up to constants, and the fewest vectors. The step size
    must shrink with the local steps: h <= c min(1 / L, 1 / (zeta K), p / (zeta K sqrt(P))), where zeta bounds the
    difference of clients' Hessians.

    Two exchanges a round, after one at the start. Vectors of a round: 3 for the local one and 4p for the anchor.
    Gradients: 2 b (K - 1) of one client, and twice all rows of p.

    Args:
        step_size: h > 0, a number or a schedule of the round.
        num_local_steps: K.
        batch_size: b rows of a local step; None takes all rows of a client.
        clients_per_round: p clients of an anchor; None takes all.
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

    initial_table: str = "full"
    radius: Any = None

    def __check_init__(self) -> None:
        if self.radius is not None:
            checks.number("radius", self.radius)
        checks.one_of("initial_table", self.initial_table, ("full", "mini"))

    def server(self, position: PyTree, clients: Clients) -> FLEDGEServer:
        zeros = trees.zeros_like(position)
        table = jax.tree.map(
            lambda x: jnp.zeros((clients.num_clients, *x.shape), x.dtype), position
        )
        return FLEDGEServer(position, position, zeros, zeros, table)

    def initial_exchanges(self) -> tuple[Exchange, ...]:
        first = None if self.initial_table == "full" else self.clients_per_round
        return (TableStart(first),)

    def exchanges(self, clients: Clients) -> tuple[Exchange, ...]:
        anchor = TableAnchor(self.clients_per_round)
        return local.LocalSARAH(1, self, self.radius), anchor


class TableStart(local.GradientExchange):
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
        table = trees.add(trees.zeros_like(server.table), mean)
        old = _of_selected(replies, table)
        return server._replace(
            gradient=_with_the_rest(replies, replies.weighted_sum(gradients), mean),
            table=_write(table, replies, gradients, old),
        )


class TwoGradients(NamedTuple):
    here: PyTree
    before: PyTree


class TableAnchor(Exchange):
    """SLEDGE's update between clients."""

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
        old = _of_selected(replies, server.table)
        residual = trees.subtract(here, trees.add(old, server.shift))
        shift = trees.add(server.shift, change)
        table = _write(server.table, replies, trees.subtract(here, shift), old)
        moved = _with_the_rest(replies, server.gradient, change)
        gradient = trees.add(moved, replies.weighted_sum(residual))
        previous = replies.if_any(server.position, server.previous)
        new = FLEDGEServer(server.position, previous, gradient, shift, table)
        every = -(-clients.num_clients // len(replies.answered))
        return _fold(new, clients, step % every == every - 1)

    def evaluations(self, rows: RowCounts) -> Any:
        return 2 * rows


def _with_the_rest(replies: Replies, total: PyTree, mean: PyTree) -> PyTree:
    """Return `total + (1 - W) mean`, W the weight of those who answered."""
    rest = 1 - jnp.sum(replies.weights)
    return jax.tree.map(lambda a, m: a + rest.astype(m.dtype) * m, total, mean)


def _of_selected(replies: Replies, table: PyTree) -> PyTree:
    ids = replies.selection.ids
    return table if ids is None else blocks.take(table, ids)


def _write(
    table: PyTree,
    replies: Replies,
    new: PyTree,
    old: PyTree,
) -> PyTree:
    """The table with `new` for those who answered.

    The new rows depend on the old ones, so that the compiler writes in place (and copies the table otherwise).
    """
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
