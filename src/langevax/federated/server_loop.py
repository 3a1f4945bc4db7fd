"""The server of a federated run whose clients are elsewhere: what to send to whom, and the update from the replies.

    loop = ServerLoop(algorithm, position, key=key);  loop.start(clients)
    request = loop.next()                         the next exchange: clients, their messages and keys
    loop.receive(request, {client: reply})        replies of those who answered; others count as drop-outs

How messages and replies travel is up to the caller. With the same key, clients and drop-outs the numbers are those of
`simulate` on the `Federation` of the same clients.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Bool, Int

from langevax import checks, trees
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.algorithm import trace_floats
from langevax.federated import schedule
from langevax.federated.exchange import Exchange, Replies
from langevax.federated.rounds import (
    FEDERATED_COUNTS,
    Federated,
    client_key,
    cost,
    exchange_keys,
)
from langevax.federated.sampling import Selection
from langevax.federated.schedule import ScheduledExchange
from langevax.keys import unrolled
from langevax.problems.federation import Clients
from langevax.problems.finite_sum import FiniteSum


class ExchangeRequest(NamedTuple):
    """One exchange to send."""

    scheduled: ScheduledExchange
    number: int
    """Of the exchange in the run, from 0."""
    step: int
    """Of its round; 0 in an initial exchange."""
    selection: Selection
    clients: list[int]
    """The selected clients, by their index."""
    keys: np.ndarray
    """(clients, words): the data of the key of each reply."""
    messages: list[Any]
    memory_versions: list[int]
    """The number of the exchange after which each client last stored its memory; -1: it starts with a new one."""


class ServerLoop:
    """The state of a run on its server.

    Args:
        algorithm: a federated method; its `dropout` must be 0, since real clients drop out by themselves.
        position: the start, a pytree of floating arrays.
        key: as of `simulate`.

    Attributes:
        state: the server's named tuple, with `.position`.
        step: completed rounds.
        number: completed exchanges.
        num_starts: calls of `start`.
        counts: `exchanges`, `vectors`, `bytes`, `evaluations`, as `simulate` counts them.
    """

    def __init__(
        self,
        algorithm: Federated,
        position: PyTree,
        *,
        key: PRNGKey,
    ):
        if not isinstance(algorithm, Federated):
            got = checks.shown(algorithm)
            raise TypeError(
                f"algorithm must be a federated method, got {got}; see "
                "langevax.federated."
            )
        if float(algorithm.dropout) != 0:
            raise ValueError(
                f"dropout is {algorithm.dropout}, which simulates drop-outs, but those "
                "of this server are real; pass dropout=0."
            )
        checks.typed_key(key)
        position = checks.arrays("position", position)
        checks.position("position", position)
        self.key = key
        self.start_at(position)
        self.algorithm: Federated = trace_floats(
            algorithm, trees.dtype_of(self._initial_position)
        )
        self.step: int = 0
        self.number: int = 0
        self.num_starts: int = 0
        self.state: PyTree
        self.clients: Clients
        self.counts: dict[str, int] = dict.fromkeys(FEDERATED_COUNTS, 0)
        self.memory_versions: np.ndarray = np.zeros(0, np.int64)
        self._shapes: dict[str, Any] = {}
        self._queue: deque[ScheduledExchange] = deque()
        self._initial = False
        self._just_started = False

    @property
    def position(self) -> PyTree:
        return self.state.position if self.num_starts else self._initial_position

    @property
    def between_rounds(self) -> bool:
        """True if the next exchange begins a round."""
        return not self._queue

    def start_at(self, position: PyTree) -> None:
        """Set the start; before the first `start`."""
        self._initial_position = jax.tree.map(jnp.asarray, position)

    def start(self, clients: Clients) -> None:
        """Start with these clients from the present position, and forget what is known of others.

        A table is only valid for the clients it was made with; a round needs as many as it selects.
        """
        self.algorithm.check_clients_per_round(
            clients.num_clients, f"there are {clients.num_clients} clients"
        )
        self.state = self.algorithm.server(self.position, clients)
        self.clients = clients
        self.memory_versions = np.full(clients.num_clients, -1)
        self._queue = deque(schedule.initial_exchanges(self.algorithm, self.num_starts))
        self._initial = bool(self._queue)
        self._just_started = True
        self.num_starts += 1

    def progress(self) -> dict[str, Any]:
        """Return what a checkpoint holds beside `state`, between rounds."""
        return {
            "step": self.step,
            "number": self.number,
            "num_starts": self.num_starts,
            "just_started": self._just_started,
            "counts": self.counts,
            "memory_versions": self.memory_versions.tolist(),
        }

    def resume(
        self,
        clients: Clients,
        progress: Mapping[str, Any],
        leaves: list[np.ndarray],
    ) -> None:
        """Continue between two rounds, from `progress` and the leaves of `state`."""
        like = eqx.filter_eval_shape(
            self.algorithm.server, self._initial_position, clients
        )
        self.state = jax.tree.unflatten(
            jax.tree.structure(like), [jnp.asarray(leaf) for leaf in leaves]
        )
        self.clients = clients
        self.memory_versions = np.array(progress["memory_versions"], np.int64)
        self.step = int(progress["step"])
        self.number = int(progress["number"])
        self.num_starts = int(progress["num_starts"])
        self._just_started = bool(progress["just_started"])
        self.counts = {name: int(progress["counts"][name]) for name in FEDERATED_COUNTS}

    def next(self) -> ExchangeRequest:
        """The next exchange; the same until `receive`."""
        if not self._queue:
            self._queue = deque(
                schedule.round_exchanges(
                    self.algorithm, self.clients, self.step, self._just_started
                )
            )
        scheduled = self._queue[0]
        step = 0 if self._initial else self.step
        selection, ids, keys = _select(
            scheduled.exchange, self.state, self.clients, scheduled.key(self.key)
        )
        clients = np.asarray(ids).tolist()
        messages = [
            scheduled.exchange.message(self.state, jnp.int32(client))
            for client in clients
        ]
        versions = self.memory_versions[clients].tolist()
        return ExchangeRequest(
            scheduled,
            self.number,
            step,
            selection,
            clients,
            np.asarray(keys),
            messages,
            versions,
        )

    def receive(
        self, request: ExchangeRequest, replies: Mapping[int, Any]
    ) -> dict[str, int]:
        """Update the state from the replies, by client, and return what the exchange cost."""
        exchange = request.scheduled.exchange
        ids = jnp.asarray(request.clients, jnp.int32)
        answered = jnp.array([client in replies for client in request.clients])
        shape = self.reply_shape(request)
        missing = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shape)
        content = jax.tree.map(
            lambda *leaves: np.stack(leaves),
            *(replies.get(client, missing) for client in request.clients),
        )
        step = jnp.int32(request.step)
        self.state = _update(
            exchange,
            self.state,
            self.clients,
            request.selection,
            ids,
            content,
            answered,
            step,
        )
        if exchange.uses_memory:
            self.memory_versions[sorted(replies)] = request.number
        rows = self.clients.rows[ids]
        spent = cost(
            exchange, self.position, request.messages[0], shape, answered, rows
        )
        counts = {name: int(value) for name, value in spent.items()}
        self.counts = {
            name: self.counts[name] + counts[name] for name in FEDERATED_COUNTS
        }
        self._queue.popleft()
        self.number += 1
        if self._initial:
            self._initial = bool(self._queue)
        elif not self._queue:
            self.step = self.step + 1
            self._just_started = False
        return counts

    def reply_shape(self, request: ExchangeRequest) -> Any:
        """The shapes of a reply, which depend on the method and the model alone."""
        name = request.scheduled.name
        exchange = request.scheduled.exchange
        position = self.position

        def reply() -> Any:
            client = _without_rows(position)
            memory = self.algorithm.memory(position)
            return exchange.reply(
                client, memory, request.messages[0], self.key, jnp.int32(0)
            )[0]

        if name not in self._shapes:
            self._shapes[name] = eqx.filter_eval_shape(reply)
        return self._shapes[name]


@eqx.filter_jit
def _select(
    exchange: Exchange,
    server: Any,
    clients: Clients,
    key: PRNGKey,
) -> tuple[Selection, Int[Array, " selected"], Array]:
    """The selection, its ids, and the data of the key of each reply."""
    select_key, _, reply_key = exchange_keys(unrolled(key))
    selection = exchange.select(select_key, server, clients)
    ids = selection.all_ids(clients.num_clients)
    return (
        selection,
        ids,
        random.key_data(jax.vmap(client_key, in_axes=(None, 0))(reply_key, ids)),
    )


@eqx.filter_jit
def _update(
    exchange: Exchange,
    server: Any,
    clients: Clients,
    selection: Selection,
    ids: Int[Array, " selected"],
    content: Any,
    answered: Bool[Array, " selected"],
    step: IntScalar,
) -> Any:
    weights = jnp.where(answered, clients.weights[ids], 0)
    return exchange.update(
        server, Replies(selection, content, answered, weights), clients, step
    )


def _without_rows(position: PyTree) -> FiniteSum:
    """A sum whose gradient has the structure of `position`."""

    def loss(x: PyTree, row: Array) -> Array:
        return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(x)), start=jnp.zeros(()))

    return FiniteSum(loss, np.zeros(1, np.float32))


@eqx.filter_jit
def client_reply(
    exchange: Exchange,
    client: FiniteSum,
    memory: Any,
    message: Any,
    key_data: Array,
    impl: str,
    step: IntScalar,
) -> tuple[Any, Any]:
    """(reply, memory) of one client, on its machine: one compiled program for each kind of exchange."""
    key = unrolled(random.wrap_key_data(key_data, impl=impl))
    return exchange.reply(client, memory, message, key, step)
