"""The server of a federated run whose clients are elsewhere: what to send whom, and what to make of the replies.

    conductor = Conductor(algorithm, key, position);  conductor.open(roster)
    asked = conductor.next()                    the next exchange: clients, their messages and keys
    conductor.absorb(asked, {client: reply})    of those who answered; others count as drop-outs

Who carries messages and replies is not said here. With the same key, roster and drop-outs the numbers are those of
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
from jaxtyping import Array, Bool, Int, Key, PyTree

from langevax import trees
from langevax.algorithm import trace_floats
from langevax.federated import turns
from langevax.federated.exchange import Answers, Exchange
from langevax.federated.rounds import COUNTS, Federated, client_key, cost, exchange_keys
from langevax.federated.sampling import Selection
from langevax.federated.turns import Turn
from langevax.keys import unrolled
from langevax.problems.federation import Roster
from langevax.problems.finite_sum import FiniteSum


class Asked(NamedTuple):
    """One exchange, as it is sent."""

    turn: Turn
    number: int
    """Of the exchange in the run, from 0."""
    step: int
    """Of its round; 0 in an opening."""
    selection: Selection
    clients: list[int]
    """Their numbers in the roster."""
    keys: np.ndarray
    """(clients, words): the data of each one's key."""
    messages: list[Any]
    stamps: list[int]
    """Of each one's memory: the number of the exchange that it was left by, -1 where it begins afresh."""


class Conductor:
    """The state of a run on its server.

    Args:
        algorithm: a federated method; its `dropout` must be 0, since clients drop out by themselves.
        key: as of `simulate`.
        position: the start, a pytree of floating arrays.

    Attributes:
        state: the server's named tuple, with `.position`.
        step: rounds done.
        number: exchanges done.
        counts: `exchanges`, `vectors`, `bytes`, `evaluations`, as `simulate` counts them.

    Raises:
        TypeError, ValueError: an algorithm that is not federated, or with drop-outs.
    """

    def __init__(self, algorithm: Federated, key: Key[Array, ""], position: PyTree):
        if not isinstance(algorithm, Federated):
            raise TypeError(f"algorithm must be a federated method, got {algorithm!r}; see langevax.federated.")
        if float(algorithm.dropout) != 0:
            raise ValueError(
                f"dropout is {algorithm.dropout}, which simulates clients that drop out; these do so by themselves, "
                "pass dropout=0."
            )
        start = jax.tree.map(jnp.asarray, position)
        self.algorithm = trace_floats(algorithm, trees.dtype_of(start))
        self.key = key
        self.step = self.number = self.openings = 0
        self.counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
        self.stamps = np.zeros(0, np.int64)
        self._start = start
        self._shapes: dict[str, Any] = {}
        self._turns: deque[Turn] = deque()
        self._opening = self.fresh = False

    @property
    def position(self) -> PyTree:
        return self.state.position if self.openings else self._start

    @property
    def between_rounds(self) -> bool:
        """Whether the next exchange begins a round."""
        return not self._turns

    def open(self, roster: Roster) -> None:
        """Begin with these clients, at the present position; what was known of others is forgotten.

        Clients that left or came change what a table means, so that a run begins anew with those that are there.

        Raises:
            ValueError: fewer clients than the algorithm asks in a round.
        """
        asked = getattr(self.algorithm, "clients_per_round", None)
        if asked is not None and asked > roster.num_clients:
            raise ValueError(
                f"clients_per_round is {asked} but there are {roster.num_clients} clients; "
                f"pass clients_per_round <= {roster.num_clients}, or None for all."
            )
        self.state = self.algorithm.server(self.position, roster)
        self.roster, self.stamps = roster, np.full(roster.num_clients, -1)
        self._turns = deque(turns.of_opening(self.algorithm))
        self._opening, self.fresh = bool(self._turns), True
        self.openings += 1

    def start_at(self, position: PyTree) -> None:
        """Begin there; before `open`."""
        self._start = jax.tree.map(jnp.asarray, position)

    def words(self) -> dict[str, Any]:
        """What a checkpoint keeps beside `state`, between rounds."""
        return {
            "step": self.step, "number": self.number, "openings": self.openings, "fresh": self.fresh,
            "counts": self.counts, "stamps": self.stamps.tolist(),
        }  # fmt: skip

    def resume(self, roster: Roster, words: Mapping[str, Any], leaves: list[np.ndarray]) -> None:
        """Go on between two rounds, from `words` and the leaves of `state`."""
        like = eqx.filter_eval_shape(self.algorithm.server, self._start, roster)
        self.state = jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(leaf) for leaf in leaves])
        self.roster, self.stamps = roster, np.array(words["stamps"], np.int64)
        self.step, self.number, self.openings = (int(words[name]) for name in ("step", "number", "openings"))
        self.fresh, self.counts = bool(words["fresh"]), {name: int(words["counts"][name]) for name in COUNTS}

    def next(self) -> Asked:
        """The next exchange; asked again before `absorb`, the same."""
        if not self._turns:
            self._turns = deque(turns.of_round(self.algorithm, self.roster, self.step, self.fresh))
        turn, step = self._turns[0], 0 if self._opening else self.step
        key = (
            turns.key_of_opening(self.key, self.openings - 1, turn.place)
            if self._opening
            else turns.key_of_round(self.key, step, turn.place)
        )
        selection, ids, keys = _drawn(turn.exchange, self.state, self.roster, key)
        clients = np.asarray(ids).tolist()
        messages = [turn.exchange.message(self.state, jnp.int32(client)) for client in clients]
        stamps = self.stamps[clients].tolist()
        return Asked(turn, self.number, step, selection, clients, np.asarray(keys), messages, stamps)

    def absorb(self, asked: Asked, replies: Mapping[int, Any]) -> dict[str, int]:
        """Take in the replies by client and go on; what the exchange cost."""
        turn, ids = asked.turn, jnp.asarray(asked.clients, jnp.int32)
        answered = jnp.array([client in replies for client in asked.clients])
        shape = self.reply_shape(asked)
        nothing = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shape)
        each = [replies.get(client, nothing) for client in asked.clients]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
        self.state = _absorbed(
            turn.exchange, self.state, self.roster, asked.selection, ids, stacked, answered, jnp.int32(asked.step)
        )
        if turn.exchange.remembers:
            self.stamps[sorted(replies)] = asked.number
        rows = self.roster.rows[ids]
        used = cost(turn.exchange, self.position, asked.messages[0], shape, answered, rows)
        spent = {name: int(value) for name, value in used.items()}
        self.counts = {name: self.counts[name] + spent[name] for name in COUNTS}
        self._turns.popleft()
        self.number += 1
        if self._opening:
            self._opening = bool(self._turns)
        elif not self._turns:
            self.step, self.fresh = self.step + 1, False
        return spent

    def reply_shape(self, asked: Asked) -> Any:
        """What a client answers with, as shapes: they depend on the method and the model alone."""
        exchange, position = asked.turn.exchange, self.position

        def of_reply() -> Any:
            memory = self.algorithm.memory(position)
            return exchange.reply(_without_rows(position), memory, asked.messages[0], self.key, jnp.int32(0))[0]

        if asked.turn.name not in self._shapes:
            self._shapes[asked.turn.name] = eqx.filter_eval_shape(of_reply)
        return self._shapes[asked.turn.name]


@eqx.filter_jit
def _drawn(
    exchange: Exchange, server: Any, roster: Roster, key: Key[Array, ""]
) -> tuple[Selection, Int[Array, " asked"], Array]:
    """Whom to ask, and the data of the key of each one's reply."""
    select_key, _, reply_key = exchange_keys(unrolled(key))
    selection = exchange.select(select_key, server, roster)
    ids = jnp.arange(roster.num_clients, dtype=jnp.int32) if selection.ids is None else selection.ids
    return selection, ids, random.key_data(jax.vmap(client_key, in_axes=(None, 0))(reply_key, ids))


@eqx.filter_jit
def _absorbed(
    exchange: Exchange,
    server: Any,
    roster: Roster,
    selection: Selection,
    ids: Int[Array, " asked"],
    replies: Any,
    answered: Bool[Array, " asked"],
    step: Int[Array, ""],
) -> Any:
    weights = jnp.where(answered, roster.weights[ids], 0)
    return exchange.absorb(server, Answers(selection, replies, answered, weights), roster, step)


def _without_rows(position: PyTree) -> FiniteSum:
    """A sum whose gradient has the structure of `position`."""

    def loss(x: PyTree, row: Array) -> Array:
        return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(x)), start=jnp.zeros(()))

    return FiniteSum(loss, np.zeros(1, np.float32))


@eqx.filter_jit
def answered(
    exchange: Exchange, client: FiniteSum, memory: Any, message: Any, key_data: Array, impl: str, step: Int[Array, ""]
) -> tuple[Any, Any]:
    """(reply, memory) of one client, where it is: one compiled program for each kind of exchange."""
    key = unrolled(random.wrap_key_data(key_data, impl=impl))
    return exchange.reply(client, memory, message, key, step)
