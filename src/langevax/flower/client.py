"""The client of a federated run as a Flower `ClientApp`: it answers exchanges from its own rows.

Its memory, where the method has one, lies in `context.state`, each version stamped with the exchange that left it. The
server says which it counts on, so that a reply that came too late does no harm: the version before is still there. A
client that has lost the one asked for says so, and the run begins anew with what everyone has.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod

from langevax import trees
from langevax._version import __version__
from langevax.algorithm import trace_floats
from langevax.federated import turns
from langevax.federated.conductor import answered
from langevax.federated.exchange import Exchange
from langevax.flower import wire
from langevax.flower.task import Task
from langevax.flower.wire import Refused
from langevax.problems.federation import Roster
from langevax.problems.finite_sum import FiniteSum
from langevax.run import keep_compiled_programs
from langevax.run.checkpoint import describe

SEEN = "langevax.seen"
MEMORY = "langevax.memory."  # and the number of the exchange that left it
CLIENTS_KEPT = 16  # of one process: an actor of a simulation serves many clients


def client_app(task: Task, mods: list[Mod] | None = None) -> ClientApp:
    """The `ClientApp` of a task: `app = client_app(task)` in the module that pyproject.toml names.

    `mods` are Flower's, around every message. Flower's deployment engine starts a process for each message, so that
    compiled programs are kept on disk: in JAX_COMPILATION_CACHE_DIR, or else in the user's cache folder.
    """
    app = ClientApp(mods=mods)

    @app.query("hello")
    def hello(message: Message, context: Context) -> Message:
        return _reply(message, lambda: _client(task, context).introduction())

    @app.train("exchange")
    def exchange(message: Message, context: Context) -> Message:
        return _reply(message, lambda: _client(task, context).answer(message.content, context.state))

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return _reply(message, lambda: _client(task, context).evaluation(message.content))

    return app


_clients: OrderedDict[Any, "Client"] = OrderedDict()
"""Those of this process; not of the app, of which Ray makes a copy for each message."""


def _client(task: Task, context: Context) -> "Client":
    """The client that this process has, or a new one, with its rows."""
    config = sorted(context.node_config.items()), sorted(context.run_config.items())
    who = task.problem, str((context.run_id, context.node_id, *config, task.algorithm))
    if who not in _clients:
        keep_compiled_programs()
        _clients[who] = Client(task, context)
    _clients.move_to_end(who)
    while len(_clients) > CLIENTS_KEPT:
        _clients.popitem(last=False)
    return _clients[who]


def _reply(message: Message, answer: Callable[[], RecordDict]) -> Message:
    """The reply, or why there is none."""
    try:
        return Message(answer(), reply_to=message)
    except Refused as error:
        return Message(wire.content({"refused": str(error)}), reply_to=message)


class Client:
    """One client, where its rows are."""

    def __init__(self, task: Task, context: Context):
        self.partition = int(context.node_config.get("partition-id", -1))
        self.num_partitions = int(context.node_config.get("num-partitions", 0))
        algorithm = task.algorithm_of(context.run_config)
        self.start = jax.tree.map(jnp.asarray, task.start_of(context.run_config))
        self.described = wire.text(describe({"algorithm": algorithm}))
        self.problem = task.problem(context)
        if not isinstance(self.problem, FiniteSum):
            raise TypeError(
                f"problem(context) must give a FiniteSum of this client's rows, got {type(self.problem).__name__}; "
                "see langevax.FiniteSum and langevax.ExternalSum."
            )
        dtype = trees.dtype_of(self.start)
        self.algorithm = trace_floats(algorithm, dtype)
        self.rows = int(self.problem.size)
        self.roster = Roster.of([self.rows], dtype=dtype)
        self._shapes: dict[str, Any] = {}

    def introduction(self) -> RecordDict:
        """Who this is."""
        return wire.content({
            "partition": self.partition, "num-partitions": self.num_partitions, "rows": self.rows,
            "algorithm": self.described, "langevax": __version__,
        })  # fmt: skip

    def answer(self, records: RecordDict, state: RecordDict) -> RecordDict:
        """The reply to one exchange.

        Raises:
            Refused: a message that is not of this run's algorithm, that was answered before, or whose arrays are not
                those of the model.
        """
        words = wire.words_of(records)
        if (other := wire.difference(self.described, str(words.get("algorithm")))) is not None:
            raise Refused(f"the server runs another algorithm: {other}; install the same app on both")
        run, number = str(words["run"]), int(words["number"])
        seen = wire.words_of(state, SEEN) if SEEN in state else {}
        if seen.get("run") == run and seen["number"] >= number:
            raise Refused(f"exchange {number} of this run was answered before")
        name = str(words["exchange"])
        exchange = turns.named(self.algorithm, self.roster, name)
        message = wire.unpacked(wire.arrays_of(records), self._message_shape(name, exchange))
        echo = {"run": run, "number": number, "exchange": name, "partition": self.partition}
        stamp = int(words["stamp"])
        memory = self._memory(state, stamp) if exchange.remembers else ()
        if memory is None:
            return wire.content({**echo, "lost": True})
        key, step = jnp.asarray(words["key"], jnp.uint32), jnp.int32(words["step"])
        reply, memory = answered(exchange, self.problem, memory, message, key, str(words["impl"]), step)
        if exchange.remembers:
            _keep(state, memory, number, stamp)
        state[SEEN] = ConfigRecord({"run": run, "number": number})
        return wire.content(echo, wire.packed(reply))

    def evaluation(self, records: RecordDict) -> RecordDict:
        """The mean loss over this client's rows."""
        position = wire.unpacked(wire.arrays_of(records), self.start)
        loss = eqx.filter_jit(lambda problem, x: problem.value(x))(self.problem, position)
        return wire.content({"loss": float(loss), "partition": self.partition, "rows": self.rows})

    def _message_shape(self, name: str, exchange: Exchange) -> Any:
        def of_message() -> Any:
            return exchange.message(self.algorithm.server(self.start, self.roster), jnp.int32(0))

        if name not in self._shapes:
            self._shapes[name] = eqx.filter_eval_shape(of_message)
        return self._shapes[name]

    def _memory(self, state: RecordDict, stamp: int) -> Any:
        """What the exchange `stamp` left here, or a fresh start at -1; None where it is gone."""
        fresh = self.algorithm.memory(self.start)
        if stamp < 0:
            return fresh
        stored = state.get(f"{MEMORY}{stamp}")
        return wire.unpacked(stored, fresh) if isinstance(stored, ArrayRecord) else None


def _keep(state: RecordDict, memory: Any, number: int, stamp: int) -> None:
    """The memory that exchange `number` left, beside the one that the server counts on until it has the reply."""
    for name in [name for name in state if name.startswith(MEMORY) and name != f"{MEMORY}{stamp}"]:
        del state[name]
    state[f"{MEMORY}{number}"] = wire.packed(memory)
