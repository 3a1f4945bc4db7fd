"""The client of a federated run as a Flower `ClientApp`: it replies to exchanges from its own rows.

Its memory, where the method has one, is in `context.state`, in versions named by the exchange that wrote them. The
server names the version it counts on, so that a reply that came too late does no harm: the version before is still
there. A client that lost the version asked for says so, and the run restarts with what all clients have.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from langevax import trees
from langevax._typing import PyTree
from langevax._version import __version__
from langevax.algorithm import trace_floats
from langevax.federated import schedule
from langevax.federated.exchange import Exchange
from langevax.federated.rounds import Federated
from langevax.federated.server_loop import client_reply
from langevax.flower import wire
from langevax.flower.evaluation import measured
from langevax.flower.task import Task
from langevax.flower.wire import Rejected
from langevax.problems.external import ExternalSum
from langevax.problems.federation import Clients
from langevax.problems.finite_sum import FiniteSum
from langevax.renamed import refuse_former
from langevax.run import keep_compiled_programs

LAST_EXCHANGE = "langevax.last_exchange"
MEMORY_PREFIX = "langevax.memory."  # and the number of the exchange that wrote it
MAX_CLIENTS = 16  # of one process: an actor of a simulation serves many clients


@refuse_former
def client_app(task: Task) -> ClientApp:
    """The `ClientApp` of a task: `app = client_app(task)` in the module that pyproject.toml names.

    Flower's deployment engine starts a process for each message, so that compiled programs are kept on disk: in
    JAX_COMPILATION_CACHE_DIR, or else in the user's cache folder. Flower's mods change the arrays of its own
    strategies, which these messages do not hold, and are not offered.
    """
    app = ClientApp()

    @app.query("hello")
    def hello(message: Message, context: Context) -> Message:
        return _reply(message, lambda: _client(task, context).introduction())

    @app.train("exchange")
    def exchange(message: Message, context: Context) -> Message:
        return _reply(
            message,
            lambda: _client(task, context).answer(message.content, context.state),
        )

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return _reply(
            message,
            lambda: _client(task, context).evaluation(message.content),
        )

    return app


_clients: OrderedDict[Any, "Client"] = OrderedDict()
"""The clients of this process; not of the app, which Ray copies for each message."""


def _client(task: Task, context: Context) -> "Client":
    """The client of this context with its rows, kept from earlier messages where possible."""
    config = sorted(context.node_config.items()), sorted(context.run_config.items())
    of_run = str((context.run_id, context.node_id, *config, task.algorithm))
    identity = task.problem, task.metrics, of_run
    if identity not in _clients:
        keep_compiled_programs()
        _clients[identity] = Client(task, context)
    _clients.move_to_end(identity)
    while len(_clients) > MAX_CLIENTS:
        _clients.popitem(last=False)
    return _clients[identity]


def _reply(message: Message, answer: Callable[[], RecordDict]) -> Message:
    try:
        return Message(answer(), reply_to=message)
    except Rejected as error:
        return Message(wire.content({"rejected": str(error)}), reply_to=message)


@eqx.filter_jit
def _loss(problem: FiniteSum, position: PyTree) -> Any:
    return problem.value(position)


class Client:
    """One client, on its machine."""

    def __init__(self, task: Task, context: Context):
        self.partition: int = int(context.node_config.get("partition-id", -1))
        self.num_partitions: int = int(context.node_config.get("num-partitions", 0))
        algorithm = task.algorithm_of(context.run_config)
        self.start: PyTree = jax.tree.map(
            jnp.asarray, task.start_of(context.run_config)
        )
        self.description: str = wire.description(algorithm=algorithm)
        self.problem: FiniteSum = task.problem(context)
        if not isinstance(self.problem, FiniteSum):
            raise TypeError(
                "problem(context) must return a FiniteSum of this client's rows, got "
                f"{type(self.problem).__name__}; see langevax.FiniteSum and "
                "langevax.ExternalSum."
            )
        dtype = trees.dtype_of(self.start)
        self.algorithm: Federated = trace_floats(algorithm, dtype)
        self.rows: int = int(self.problem.size)
        self.clients: Clients = Clients.of([self.rows], dtype=dtype)
        self.metrics: Callable[[PyTree], Any] | None = (
            None if task.metrics is None else task.metrics(context)
        )
        self._shapes: dict[str, Any] = {}

    def introduction(self) -> RecordDict:
        """The answer to a greeting."""
        return wire.content(
            {
                "partition": self.partition,
                "num-partitions": self.num_partitions,
                "rows": self.rows,
                "algorithm": self.description,
                "langevax": __version__,
            }
        )

    def answer(self, records: RecordDict, state: RecordDict) -> RecordDict:
        """The reply to one exchange.

        A message of another algorithm, one answered before, and one of other arrays than the model's are `Rejected`.
        """
        fields = wire.fields_of(records)
        if (
            other := wire.difference(self.description, str(fields.get("algorithm")))
        ) is not None:
            raise Rejected(
                f"the server runs another algorithm: {other}; install the same app on "
                "both"
            )
        run = str(fields["run"])
        number = int(fields["number"])
        last = wire.fields_of(state, LAST_EXCHANGE) if LAST_EXCHANGE in state else {}
        if last.get("run") == run and last["number"] >= number:
            raise Rejected(f"exchange {number} of this run was answered before")
        name = str(fields["exchange"])
        exchange = schedule.by_name(self.algorithm, self.clients, name)
        message = wire.unpack(
            wire.arrays_of(records), self._message_shape(name, exchange)
        )
        echo = {
            "run": run,
            "number": number,
            "exchange": name,
            "partition": self.partition,
        }
        version = int(fields["memory_version"])
        memory = self._memory(state, version) if exchange.uses_memory else ()
        if memory is None:
            return wire.content({**echo, "lost": True})
        key = jnp.asarray(fields["key"], jnp.uint32)
        step = jnp.int32(fields["step"])
        reply, memory = client_reply(
            exchange, self.problem, memory, message, key, str(fields["impl"]), step
        )
        if (
            exchange.uses_memory
        ):  # the version that the server counts on stays until it has the reply
            for old in [
                old
                for old in state
                if old.startswith(MEMORY_PREFIX) and old != f"{MEMORY_PREFIX}{version}"
            ]:
                del state[old]
            state[f"{MEMORY_PREFIX}{number}"] = wire.pack(memory)
        state[LAST_EXCHANGE] = ConfigRecord({"run": run, "number": number})
        return wire.content(echo, wire.pack(reply))

    def evaluation(self, records: RecordDict) -> RecordDict:
        """The mean loss over this client's rows, and its metrics."""
        position = wire.unpack(wire.arrays_of(records), self.start)
        has_loss = not (
            isinstance(self.problem, ExternalSum)
            and self.problem.value_function is None
        )
        loss = float(_loss(self.problem, position)) if has_loss else None
        numbers = measured(self.metrics, position)
        return wire.content(
            {"loss": loss, "partition": self.partition, "rows": self.rows, **numbers}
        )

    def _message_shape(self, name: str, exchange: Exchange) -> PyTree:
        def message() -> Any:
            return exchange.message(
                self.algorithm.server(self.start, self.clients), jnp.int32(0)
            )

        if name not in self._shapes:
            self._shapes[name] = eqx.filter_eval_shape(message)
        return self._shapes[name]

    def _memory(self, state: RecordDict, version: int) -> PyTree:
        """The memory written by exchange `version`, or a new one at -1; None where it is gone."""
        new = self.algorithm.memory(self.start)
        if version < 0:
            return new
        stored = state.get(f"{MEMORY_PREFIX}{version}")
        return wire.unpack(stored, new) if isinstance(stored, ArrayRecord) else None
