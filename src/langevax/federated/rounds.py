"""What makes a federated method an algorithm: a step carries out one round of exchanges and counts what they move."""

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Bool, Int, Key, PyTree

from langevax import checks
from langevax.algorithm import Algorithm, Info
from langevax.federated.exchange import Answers, Exchange, Periodic, num_bytes, num_vectors
from langevax.problems import blocks
from langevax.problems.federation import Federation, Roster
from langevax.problems.problem import Problem

COUNTS = ("exchanges", "vectors", "bytes", "evaluations")
MAX_BYTES = 2**32 - 1  # counts of one step are added as 32 bits


class FederatedState(NamedTuple):
    server: Any
    memories: Any
    """What each client keeps, stacked; () where clients are stateless."""

    @property
    def position(self) -> PyTree:
        return self.server.position


class Federated(Algorithm):
    """A federated method: the server's start, the exchanges before the first round, and those of a round.

    `simulate` counts `exchanges` (trips to clients and back: two a round for some methods), `vectors` (of the model's
    size, to and from clients), `bytes` (of whole messages and replies; the number of the round and random seeds are
    not counted) and `evaluations` (gradients of rows), from the shapes of messages and replies.

    Drop-outs: each client that was asked answers with probability 1 - dropout. One that does not has been sent its
    message, sends nothing, takes no gradients and keeps its memory; means are over those who answered, and where nobody
    did the server stays where it was. Clients that are gone for good must leave: `Federation.without`.

    A client whose reply is not finite makes the position so, and the run raises `DivergenceError`.
    """

    dropout: eqx.AbstractVar[Any]

    @abstractmethod
    def server(self, position: PyTree, roster: Roster) -> Any:
        """A named tuple with `.position`, before any exchange."""

    def memory(self, position: PyTree) -> Any:
        """What one client keeps before any exchange."""
        return ()

    def opening(self) -> tuple[Exchange, ...]:
        """Exchanges before the first round."""
        return ()

    @abstractmethod
    def exchanges(self, roster: Roster) -> tuple[Exchange | Periodic, ...]:
        """Exchanges of a round."""

    def check(self, problem: Problem) -> None:
        name = type(self).__name__
        if not isinstance(problem, Federation):
            raise TypeError(f"{name} needs a langevax.Federation, got {type(problem).__name__}; see Federation.of.")
        asked = getattr(self, "clients_per_round", None)
        if asked is not None and asked > problem.size:
            raise ValueError(
                f"clients_per_round is {asked} but the federation has {problem.size} clients; "
                f"pass clients_per_round <= {problem.size}, or None for all."
            )

    def init(self, problem: Problem, position: PyTree, key: Key[Array, ""]) -> tuple[FederatedState, Info]:
        federation = as_federation(problem)
        everyone = federation.size
        memory = jax.tree.map(lambda m: jnp.zeros((everyone, *m.shape), m.dtype) + m, self.memory(position))
        state = FederatedState(self.server(position, federation.roster), memory)
        return self._carried_out(self.opening(), federation, state, key, jnp.int32(0))

    def step(
        self, problem: Problem, state: FederatedState, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[FederatedState, Info]:
        federation = as_federation(problem)
        return self._carried_out(self.exchanges(federation.roster), federation, state, key, step)

    def _carried_out(
        self,
        exchanges: tuple[Exchange | Periodic, ...],
        federation: Federation,
        state: FederatedState,
        key: Key[Array, ""],
        step: Int[Array, ""],
    ) -> tuple[FederatedState, Info]:
        total: Info = {name: jnp.uint32(0) for name in COUNTS}
        for number, exchange in enumerate(exchanges):
            state, used = self._one(exchange, federation, state, random.fold_in(key, number), step)
            total = {name: total[name] + used[name] for name in COUNTS}
        return state, total

    def _one(
        self,
        exchange: Exchange | Periodic,
        federation: Federation,
        state: FederatedState,
        key: Key[Array, ""],
        step: Int[Array, ""],
    ) -> tuple[FederatedState, Info]:
        if isinstance(exchange, Periodic):
            first, otherwise = exchange.first, exchange.otherwise
            return lax.cond(
                step % exchange.period == 0,
                lambda s: carry_out(first, federation, s, key, step, self.dropout),
                lambda s: carry_out(otherwise, federation, s, key, step, self.dropout),
                state,
            )
        return carry_out(exchange, federation, state, key, step, self.dropout)


def as_federation(problem: Problem) -> Federation:
    """`problem`, which `Federated.check` has seen."""
    assert isinstance(problem, Federation)
    return problem


def carry_out(
    exchange: Exchange,
    federation: Federation,
    state: FederatedState,
    key: Key[Array, ""],
    step: Int[Array, ""],
    dropout: Any,
) -> tuple[FederatedState, Info]:
    """One exchange with all clients that are asked side by side; only their rows are read."""
    select_key, drop_key, reply_key = exchange_keys(key)
    server, roster = state.server, federation.roster
    selection = exchange.select(select_key, server, roster)
    ids = jnp.arange(roster.num_clients, dtype=jnp.int32) if selection.ids is None else selection.ids
    answered = random.uniform(drop_key, ids.shape, roster.weights.dtype) >= dropout

    def gathered(tree: PyTree) -> PyTree:
        return tree if selection.ids is None else blocks.take(tree, ids)

    def reply(client_id: Int[Array, ""], rows: PyTree, count: Int[Array, ""], memory: Any) -> Any:
        client = federation.client_of(rows, count)
        message = exchange.message(server, client_id)
        return exchange.reply(client, memory, message, client_key(reply_key, client_id), step)

    counts = gathered(roster.rows)
    kept = gathered(state.memories) if exchange.remembers else ()
    replies, remembered = jax.vmap(reply)(ids, gathered(federation.data), counts, kept)
    answers = Answers(selection, replies, answered, jnp.where(answered, gathered(roster.weights), 0))
    message = eqx.filter_eval_shape(exchange.message, server, jnp.int32(0))
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), replies)
    used = cost(exchange, state.position, message, one, answered, counts)
    memories = state.memories
    if exchange.remembers:
        memories = _written(memories, selection.ids, answers.keep(remembered, kept))
    return FederatedState(exchange.absorb(server, answers, roster, step), memories), used


def exchange_keys(key: Key[Array, ""]) -> tuple[Key[Array, ""], Key[Array, ""], Key[Array, ""]]:
    """Of one exchange: whom to ask, who drops out, and of all replies."""
    select_key, drop_key, reply_key = random.split(key, 3)
    return select_key, drop_key, reply_key


def client_key(key: Key[Array, ""], client_id: Int[Array, ""]) -> Key[Array, ""]:
    """The key of one client's reply, whoever else is asked."""
    return random.fold_in(key, client_id)


def _written(memories: PyTree, ids: Int[Array, " asked"] | None, new: PyTree) -> PyTree:
    """The memories with `new` in place of those of `ids`. What is written was made from what was read: no copy."""
    return new if ids is None else jax.tree.map(lambda a, b: a.at[ids].set(b, unique_indices=True), memories, new)


def cost(
    exchange: Exchange, position: PyTree, message: Any, reply: Any, answered: Bool[Array, " asked"], rows: Any
) -> Info:
    """What one exchange with clients of so many `rows` costs; a drop-out costs its message.

    `message` and `reply` are those of one client, or their shapes.
    """
    asked = answered.shape[0]
    most = asked * (num_bytes(message) + num_bytes(reply))
    if most > MAX_BYTES:
        raise ValueError(f"one exchange moves {most} bytes, more than can be counted ({MAX_BYTES}); ask fewer clients.")
    number = jnp.sum(answered, dtype=jnp.uint32)
    taken = jnp.where(answered, jnp.asarray(exchange.evaluations(rows), jnp.uint32), 0)
    vectors_down, vectors_up = num_vectors(message, position), num_vectors(reply, position)
    return {
        "exchanges": jnp.uint32(1),
        "vectors": jnp.uint32(asked * vectors_down) + number * jnp.uint32(vectors_up),
        "bytes": jnp.uint32(asked * num_bytes(message)) + number * jnp.uint32(num_bytes(reply)),
        "evaluations": jnp.sum(taken, dtype=jnp.uint32),
    }


def check_common(
    step_size: Any, local_steps: Any = 1, batch_size: Any = None, clients_per_round: Any = None, dropout: Any = 0.0
) -> None:
    """Raise unless these are what they must be."""
    checks.number("step_size", step_size, positive=True)
    checks.positive_int("local_steps", local_steps)
    if batch_size is not None:
        checks.positive_int("batch_size", batch_size)
    if clients_per_round is not None:
        checks.positive_int("clients_per_round", clients_per_round)
    if callable(dropout):
        raise TypeError(f"dropout must be a number, got {dropout!r}; pass a probability in [0, 1).")
    checks.number("dropout", dropout)
    if checks.is_concrete(dropout) and float(dropout) >= 1:
        raise ValueError(f"dropout must be below 1, or nobody answers; got {dropout}, pass a probability in [0, 1).")
