"""FLEDGE's table of control variates, held by the server or by the clients, with O(p d) work a round.

Both are lazy: y_i = z_i + S, where S is the running sum of the moves D, so that moving all entries is one addition.

    server:  z (P vectors) and S;   down x, x_prev, up g_i, h_i;      y_i = z_i + S
    client:  its own g_i at its last answer, T_i;   down x, x_prev, S - S_{T_i}, up g_i - h_i, g_i - y_i;
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
from jaxtyping import Array, Int, Key, PyTree

from langevax import trees
from langevax.federated.bvr_l_psgd import Points
from langevax.federated.exchange import Answers, Exchange
from langevax.federated.fedavg import Gradient, Model
from langevax.problems import blocks
from langevax.problems.federation import Roster
from langevax.problems.finite_sum import FiniteSum


def no_gradient(position: PyTree) -> PyTree:
    return jax.tree.map(jnp.zeros_like, position)


def no_gradients(position: PyTree, num_clients: int) -> PyTree:
    return jax.tree.map(lambda x: jnp.zeros((num_clients, *x.shape), x.dtype), position)


class TableServer(NamedTuple):
    position: PyTree
    previous: PyTree
    gradient: PyTree
    moved: PyTree
    """S."""
    table: PyTree
    """z, stacked."""

    @classmethod
    def at(cls, position: PyTree, num_clients: int) -> "TableServer":
        zeros = no_gradient(position)
        return cls(position, position, zeros, zeros, no_gradients(position, num_clients))


class ShiftServer(NamedTuple):
    position: PyTree
    previous: PyTree
    gradient: PyTree
    moved: PyTree
    """S."""
    moved_then: PyTree
    """S at each client's last answer, stacked."""

    @classmethod
    def at(cls, position: PyTree, num_clients: int) -> "ShiftServer":
        zeros = no_gradient(position)
        return cls(position, position, zeros, zeros, no_gradients(position, num_clients))


class TwoGradients(NamedTuple):
    here: PyTree
    before: PyTree


class ChangeAndResidual(NamedTuple):
    change: PyTree
    residual: PyTree


class PointsAndMove(NamedTuple):
    position: PyTree
    previous: PyTree
    moved: PyTree


class ServerTableStart(Exchange):
    """y_i = gradient_i(x) of those who answer, and their mean for the others."""

    clients_per_round: int | None

    def message(self, server: Any, client_id: Int[Array, ""]) -> Model:
        return Model(server.position)

    def reply(
        self, client: FiniteSum, memory: Any, message: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Gradient, Any]:
        return Gradient(client.gradient(message.position)), memory

    def absorb(self, server: TableServer, answers: Answers, roster: Roster, step: Int[Array, ""]) -> TableServer:
        gradients = answers.replies.gradient
        mean = answers.mean(gradients)
        everywhere = jax.tree.map(lambda z, m: jnp.zeros_like(z) + m, server.table, mean)
        table = _written(everywhere, answers, gradients)
        return server._replace(gradient=_started(answers, mean), table=table)

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        return rows


class ServerTableAnchor(Exchange):
    """SLEDGE's update between clients, the table with the server."""

    clients_per_round: int | None

    def message(self, server: TableServer, client_id: Int[Array, ""]) -> Points:
        return Points(server.position, server.previous)

    def reply(
        self, client: FiniteSum, memory: Any, message: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[TwoGradients, Any]:
        return TwoGradients(client.gradient(message.position), client.gradient(message.previous)), memory

    def absorb(self, server: TableServer, answers: Answers, roster: Roster, step: Int[Array, ""]) -> TableServer:
        here, before = answers.replies
        change = answers.mean(trees.subtract(here, before))
        ids = answers.selection.ids
        old = server.table if ids is None else blocks.take(server.table, ids)
        residual = jax.tree.map(lambda g, z, s: g - (z + s), here, old, server.moved)
        gradient = _followed(server.gradient, answers, change, residual)
        moved = trees.add(server.moved, change)
        table = _written(server.table, answers, jax.tree.map(jnp.subtract, here, moved), old)
        previous = answers.if_anyone(server.position, server.previous)
        new = TableServer(server.position, previous, gradient, moved, table)
        every = 1 if ids is None else -(-roster.num_clients // len(ids))
        return _folded(new, roster, step % every == every - 1)

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        return 2 * rows


class ClientTableStart(Exchange):
    """As `ServerTableStart`; a client that has never answered has y_i = 0 + S - (-mean)."""

    remembers: ClassVar[bool] = True

    clients_per_round: int | None

    def message(self, server: Any, client_id: Int[Array, ""]) -> Model:
        return Model(server.position)

    def reply(
        self, client: FiniteSum, memory: PyTree, message: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Gradient, PyTree]:
        gradient = client.gradient(message.position)
        return Gradient(gradient), gradient

    def absorb(self, server: ShiftServer, answers: Answers, roster: Roster, step: Int[Array, ""]) -> ShiftServer:
        mean = answers.mean(answers.replies.gradient)
        unheard = jax.tree.map(lambda s, m: jnp.zeros_like(s) - m, server.moved_then, mean)
        heard = jax.tree.map(jnp.zeros_like, answers.replies.gradient)
        return server._replace(gradient=_started(answers, mean), moved_then=_written(unheard, answers, heard))

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        return rows


class ClientTableAnchor(Exchange):
    """SLEDGE's update between clients, each of which keeps its last gradient."""

    remembers: ClassVar[bool] = True

    clients_per_round: int | None

    def message(self, server: ShiftServer, client_id: Int[Array, ""]) -> PointsAndMove:
        # read as `_written` reads, so that one read serves both and the write after it needs no copy
        then = jax.tree.map(lambda a: jnp.take(a, client_id, axis=0, mode="clip"), server.moved_then)
        moved = trees.subtract(server.moved, then)
        return PointsAndMove(server.position, server.previous, moved)

    def reply(
        self, client: FiniteSum, memory: PyTree, message: Any, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[ChangeAndResidual, PyTree]:
        here, before = client.gradient(message.position), client.gradient(message.previous)
        residual = trees.subtract(here, trees.add(memory, message.moved))
        return ChangeAndResidual(trees.subtract(here, before), residual), here

    def absorb(self, server: ShiftServer, answers: Answers, roster: Roster, step: Int[Array, ""]) -> ShiftServer:
        change = answers.mean(answers.replies.change)
        gradient = _followed(server.gradient, answers, change, answers.replies.residual)
        moved = trees.add(server.moved, change)
        now = jax.tree.map(lambda s, r: jnp.broadcast_to(s, r.shape), moved, answers.replies.residual)
        previous = answers.if_anyone(server.position, server.previous)
        return ShiftServer(server.position, previous, gradient, moved, _written(server.moved_then, answers, now))

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        return 2 * rows


def _started(answers: Answers, mean: PyTree) -> PyTree:
    """`sum_i w_i y_i` where y_i is the mean for those who did not answer."""
    rest = 1 - jnp.sum(answers.weights)
    heard = answers.weighed(answers.replies.gradient)
    return jax.tree.map(lambda h, m: h + rest.astype(m.dtype) * m, heard, mean)


def _followed(gradient: PyTree, answers: Answers, change: PyTree, residual: PyTree) -> PyTree:
    """`v + (1 - W) D + sum_I w_i (g_i - y_i)`."""
    rest = 1 - jnp.sum(answers.weights)
    renewed = answers.weighed(residual)
    return jax.tree.map(lambda v, d, r: v + rest.astype(v.dtype) * d + r, gradient, change, renewed)


def _written(table: PyTree, answers: Answers, new: PyTree, old: PyTree = None) -> PyTree:
    """The table with `new` for those who answered.

    What is written depends on what was read, so that the compiler writes in place (and copies the table otherwise).
    """
    ids = answers.selection.ids
    if old is None:
        old = table if ids is None else blocks.take(table, ids)
    kept = answers.keep(new, old)
    return kept if ids is None else jax.tree.map(lambda z, n: z.at[ids].set(n, unique_indices=True), table, kept)


def _folded(server: TableServer, roster: Roster, due: Any) -> TableServer:
    """S folded into the table where `due`, by a loop of one trip: a branch around the table would copy it."""

    def fold(carry: tuple[Any, PyTree, PyTree, PyTree]) -> tuple[Any, PyTree, PyTree, PyTree]:
        _, _, moved, table = carry
        table = jax.tree.map(jnp.add, table, moved)
        gradient = jax.tree.map(lambda z: jnp.tensordot(roster.weights.astype(z.dtype), z, axes=1), table)
        return jnp.asarray(False), gradient, no_gradient(moved), table

    start = jnp.asarray(due), server.gradient, server.moved, server.table
    _, gradient, moved, table = lax.while_loop(lambda carry: carry[0], fold, start)
    return server._replace(gradient=gradient, moved=moved, table=table)
