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
from flwr.clientapp.typing import Mod
from jaxtyping import Array, Key

from langevax import trees
from langevax._typing import PyTree
from langevax._version import __version__
from langevax.algorithm import trace_floats
from langevax.federated import schedule
from langevax.federated.exchange import Exchange
from langevax.federated.rounds import Federated
from langevax.federated.server_loop import client_reply
from langevax.flower import wire
from langevax.flower.compression import compress
from langevax.flower.evaluation import measured
from langevax.flower.personal import PersonalLeaves, PersonalSum, trained
from langevax.flower.task import Task
from langevax.flower.wire import Rejected
from langevax.problems.external import ExternalSum
from langevax.problems.federation import Clients
from langevax.problems.finite_sum import FiniteSum
from langevax.run import keep_compiled_programs

LAST_EXCHANGE = "langevax.last_exchange"
PERSONAL, ERROR = "langevax.personal", "langevax.error"
MEMORY = "langevax.memory."  # and the number of the exchange that wrote it
MAX_CLIENTS = 16  # of one process: an actor of a simulation serves many clients


def client_app(task: Task, mods: list[Mod] | None = None) -> ClientApp:
    """The `ClientApp` of a task: `app = client_app(task)` in the module that pyproject.toml names.

    `mods` are Flower's, around every message. Flower's deployment engine starts a process for each message, so that
    compiled programs are kept on disk: in JAX_COMPILATION_CACHE_DIR, or else in the user's cache folder.

    Raises:
        ValueError: a mod of differential privacy or secure aggregation, which would protect nothing.
    """
    for mod in mods or ():
        if (name := getattr(mod, "__name__", type(mod).__name__)) in PROTECTING_MODS:
            raise ValueError(
                f"mods has {name}, which clips, masks or adds noise to the arrays of Flower's own strategies; the "
                "messages of langevax hold others, so that nothing would be protected: leave it out."
            )
    app = ClientApp(mods=mods)

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
            lambda: _client(task, context).evaluation(message.content, context.state),
        )

    return app


PROTECTING_MODS = (
    "LocalDpMod",
    "adaptiveclipping_mod",
    "fixedclipping_mod",
    "secagg_mod",
    "secaggplus_mod",
)

_clients: OrderedDict[Any, "Client"] = OrderedDict()
"""The clients of this process; not of the app, which Ray copies for each message."""


def _client(task: Task, context: Context) -> "Client":
    """The client of this context with its rows, kept from earlier messages where possible."""
    config = sorted(context.node_config.items()), sorted(context.run_config.items())
    own = task.algorithm, task.personal
    identity = (
        task.problem,
        task.metrics,
        str((context.run_id, context.node_id, *config, *own)),
    )
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
        self.start, self.own_start = jax.tree.map(
            jnp.asarray, task.split_start(context.run_config)
        )
        self.personal: PersonalLeaves | None = task.personal
        self.description: str = wire.description(algorithm=algorithm)
        self.problem: FiniteSum = task.problem(context)
        if not isinstance(self.problem, FiniteSum):
            raise TypeError(
                f"problem(context) must return a FiniteSum of this client's rows, got {type(self.problem).__name__}; "
                "see langevax.FiniteSum and langevax.ExternalSum."
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
                f"the server runs another algorithm: {other}; install the same app on both"
            )
        run, number = str(fields["run"]), int(fields["number"])
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
        key, step = jnp.asarray(fields["key"], jnp.uint32), jnp.int32(fields["step"])
        problem = self.problem
        if self.personal is not None:
            own_key = jax.random.wrap_key_data(key, impl=str(fields["impl"]))
            problem = self._with_trained_leaves(
                self.personal, message.position, own_key, state
            )
        reply, memory = client_reply(
            exchange, problem, memory, message, key, str(fields["impl"]), step
        )
        if (
            exchange.uses_memory
        ):  # the version that the server counts on stays until it has the reply
            for old in [
                old
                for old in state
                if old.startswith(MEMORY) and old != f"{MEMORY}{version}"
            ]:
                del state[old]
            state[f"{MEMORY}{number}"] = wire.pack(memory)
        state[LAST_EXCHANGE] = ConfigRecord({"run": run, "number": number})
        if "compression" not in fields:
            return wire.content(echo, wire.pack(reply))
        stored = state.get(ERROR)
        error = stored["000000"].numpy() if isinstance(stored, ArrayRecord) else None
        compressed = compress(str(fields["compression"]), reply, error)
        state[ERROR] = wire.pack([compressed.error])
        return wire.content(echo, compressed.arrays)

    def _with_trained_leaves(
        self,
        personal: PersonalLeaves,
        shared: PyTree,
        key: Key[Array, ""],
        state: RecordDict,
    ) -> PersonalSum:
        """This client's sum for the shared leaves, after the steps of its own."""
        step_size = jnp.asarray(personal.step_size, trees.dtype_of(self.start))
        options = step_size, personal.num_steps, personal.batch_size, key
        leaves = trained(self.problem, shared, self._own_leaves(state), *options)
        state[PERSONAL] = wire.pack(leaves)
        return PersonalSum(self.problem, leaves)

    def _own_leaves(self, state: RecordDict) -> PyTree:
        stored = state.get(PERSONAL)
        return (
            wire.unpack(stored, self.own_start)
            if isinstance(stored, ArrayRecord)
            else self.own_start
        )

    def evaluation(self, records: RecordDict, state: RecordDict) -> RecordDict:
        """The mean loss over this client's rows, and its metrics."""
        position = wire.unpack(wire.arrays_of(records), self.start)
        if self.personal is not None:
            position = eqx.combine(position, self._own_leaves(state))
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
        stored = state.get(f"{MEMORY}{version}")
        return wire.unpack(stored, new) if isinstance(stored, ArrayRecord) else None
