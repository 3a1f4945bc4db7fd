"""The base class of federated methods: a step runs one round of exchanges and counts what they move."""

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Bool

from langevax import checks
from langevax._typing import IntScalar, PRNGKey, PyTree
from langevax.algorithm import Algorithm, Info
from langevax.federated import server_step
from langevax.federated.exchange import (
    Exchange,
    Model,
    Periodic,
    Replies,
    StepSize,
    num_bytes,
    num_vectors,
)
from langevax.problems import blocks
from langevax.problems.federation import Clients, Federation
from langevax.problems.problem import Problem

FEDERATED_COUNTS = ("exchanges", "vectors", "bytes", "evaluations")


class FederatedState(NamedTuple):
    server: Any
    memories: PyTree
    """The clients' memories, stacked; () where clients are stateless."""

    @property
    def position(self) -> PyTree:
        return self.server.position


class Federated(Algorithm):
    """A federated method: the server's start, the exchanges before the first round, and those of a round.

    `simulate` counts `exchanges` (trips to clients and back: two a round for some methods), `vectors` (of the model's
    size, to and from clients), `bytes` (of whole messages and replies, without the number of the round and random
    seeds) and `evaluations` (gradients of rows), from the shapes of messages and replies.

    Drop-outs: each selected client answers with probability 1 - dropout. One that does not has been sent its message,
    sends nothing, takes no gradients and keeps its memory; means are over those who answered, and where nobody did the
    server stays where it was. Clients that are gone for good must be left out of the `Federation`.

    A client whose reply is not finite makes the position so, and the run raises `DivergenceError`.
    """

    dropout: Any = eqx.field(default=0.0, kw_only=True)

    def __check_init__(self) -> None:
        """Check the fields that methods share, where a method has them."""
        for name in ("step_size", "server_step_size"):
            checks.number(name, getattr(self, name, 1.0), positive=True, schedule=True)
        for name in ("num_local_steps", "num_local_epochs"):
            checks.positive_int(name, getattr(self, name, 1))
        server_step.check_optimizer(getattr(self, "server_optimizer", None))
        for name in ("batch_size", "clients_per_round"):
            if (value := getattr(self, name, None)) is not None:
                checks.positive_int(name, value)
        checks.share("dropout", self.dropout)

    def server(self, position: PyTree, clients: Clients) -> Any:
        """The server's state before any exchange, a named tuple with `.position`."""
        return Model(position)

    def memory(self, position: PyTree) -> PyTree:
        """The memory of one client before any exchange."""
        return ()

    def initial_exchanges(self) -> tuple[Exchange, ...]:
        """Exchanges before the first round."""
        return ()

    @abstractmethod
    def exchanges(self, clients: Clients) -> tuple[Exchange | Periodic, ...]:
        """Exchanges of a round."""

    def check(self, problem: Problem) -> None:
        name = type(self).__name__
        if not isinstance(problem, Federation):
            raise TypeError(
                f"{name} needs a langevax.Federation, got {type(problem).__name__}; "
                "see Federation.of."
            )
        self.check_clients_per_round(
            problem.size, f"the federation has {problem.size} clients"
        )

    def check_clients_per_round(self, num_clients: int, context: str) -> None:
        """Raise where a round needs more clients than there are."""
        selected = getattr(self, "clients_per_round", None)
        if selected is not None and selected > num_clients:
            raise ValueError(
                f"clients_per_round is {selected} but {context}; pass "
                f"clients_per_round <= {num_clients}, or None for all."
            )

    def init(
        self,
        problem: Problem,
        position: PyTree,
        key: PRNGKey,
    ) -> tuple[FederatedState, Info]:
        assert isinstance(problem, Federation)
        number = problem.size
        memories = jax.tree.map(
            lambda m: jnp.zeros((number, *m.shape), m.dtype) + m, self.memory(position)
        )
        state = FederatedState(self.server(position, problem.clients), memories)
        return self._run(self.initial_exchanges(), problem, state, key, jnp.int32(0))

    def step(
        self,
        problem: Problem,
        state: FederatedState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[FederatedState, Info]:
        assert isinstance(problem, Federation)
        return self._run(self.exchanges(problem.clients), problem, state, key, step)

    def _run(
        self,
        exchanges: tuple[Exchange | Periodic, ...],
        federation: Federation,
        state: FederatedState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[FederatedState, Info]:
        def run(
            exchange: Exchange, key: PRNGKey, state: FederatedState
        ) -> tuple[FederatedState, Info]:
            return _run_exchange(exchange, federation, state, key, step, self.dropout)

        total: Info = {name: jnp.uint32(0) for name in FEDERATED_COUNTS}
        for number, exchange in enumerate(exchanges):
            own_key = random.fold_in(key, number)
            if isinstance(exchange, Periodic):
                alternatives = (
                    lambda s, e=e, k=own_key: run(e, k, s) for e in exchange[:2]
                )
                state, used = lax.cond(
                    step % exchange.period == 0, *alternatives, state
                )
            else:
                state, used = run(exchange, own_key, state)
            total = {name: total[name] + used[name] for name in FEDERATED_COUNTS}
        return state, total


class LocalMethod(Federated):
    """The arguments of methods whose clients take K steps on their own rows."""

    step_size: StepSize
    num_local_steps: int
    batch_size: int | None = None
    clients_per_round: int | None = None


def _run_exchange(
    exchange: Exchange,
    federation: Federation,
    state: FederatedState,
    key: PRNGKey,
    step: Any,
    dropout: Any,
) -> tuple[FederatedState, Info]:
    """One exchange with all selected clients side by side; only their rows are read."""
    select_key, drop_key, reply_key = exchange_keys(key)
    server = state.server
    clients = federation.clients
    selection = exchange.select(select_key, server, clients)
    ids = selection.all_ids(clients.num_clients)
    answered = random.uniform(drop_key, ids.shape, clients.weights.dtype) >= dropout

    def selected(tree: PyTree) -> PyTree:
        return tree if selection.ids is None else blocks.take(tree, ids)

    def reply(
        client_id: IntScalar,
        rows: PyTree,
        count: IntScalar,
        memory: PyTree,
    ) -> Any:
        client = federation.client_of(rows, count)
        message = exchange.message(server, client_id)
        return exchange.reply(
            client, memory, message, client_key(reply_key, client_id), step
        )

    counts = selected(clients.rows)
    old = selected(state.memories) if exchange.uses_memory else ()
    content, new = jax.vmap(reply)(ids, selected(federation.data), counts, old)
    replies = Replies(
        selection, content, answered, jnp.where(answered, selected(clients.weights), 0)
    )
    message = eqx.filter_eval_shape(exchange.message, server, jnp.int32(0))
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), content)
    used = cost(exchange, state.position, message, one, answered, counts)
    memories = state.memories
    if exchange.uses_memory:
        memories = selection.write(memories, replies.where_answered(new, old))
    return FederatedState(
        exchange.update(server, replies, clients, step), memories
    ), used


def exchange_keys(
    key: PRNGKey,
) -> tuple[PRNGKey, PRNGKey, PRNGKey]:
    """The keys of one exchange: for the selection, the drop-outs, and all replies."""
    select_key, drop_key, reply_key = random.split(key, 3)
    return select_key, drop_key, reply_key


def client_key(key: PRNGKey, client_id: IntScalar) -> PRNGKey:
    """The key of one client's reply, whoever else is selected."""
    return random.fold_in(key, client_id)


def cost(
    exchange: Exchange,
    position: PyTree,
    message: Any,
    reply: Any,
    answered: Bool[Array, " selected"],
    rows: Any,
) -> Info:
    """Return the cost of one exchange with clients of so many `rows`; a drop-out costs its message.

    `message` and `reply` are those of one client, or their shapes.
    """
    selected = answered.shape[0]
    most = selected * (num_bytes(message) + num_bytes(reply))
    largest = jnp.iinfo(jnp.uint32).max
    if most > largest:
        raise ValueError(
            f"one exchange moves {most} bytes, more than can be counted ({largest}); "
            "select fewer clients."
        )
    number = jnp.sum(answered, dtype=jnp.uint32)
    evaluations = jnp.where(
        answered, jnp.asarray(exchange.evaluations(rows), jnp.uint32), 0
    )

    def moved(down: int, up: int) -> Array:
        return jnp.uint32(selected * down) + number * jnp.uint32(up)

    return {
        "exchanges": jnp.uint32(1),
        "vectors": moved(num_vectors(message, position), num_vectors(reply, position)),
        "bytes": moved(num_bytes(message), num_bytes(reply)),
        "evaluations": jnp.sum(evaluations, dtype=jnp.uint32),
    }
