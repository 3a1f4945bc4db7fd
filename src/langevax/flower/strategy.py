"""langevax's federated methods as a Flower `Strategy`: rounds of exchanges with the clients that are connected."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from logging import INFO, WARNING, getLogger
from pathlib import Path
from typing import Any, Literal, NamedTuple, Never

import jax
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from langevax import checks, trees
from langevax._typing import PRNGKey, PyTree
from langevax._version import __version__
from langevax.federated.rounds import Federated
from langevax.federated.server_loop import ExchangeRequest, ServerLoop
from langevax.flower import checkpoints, wire
from langevax.flower.evaluation import (
    BestModel,
    ExchangeRecord,
    RoundRecord,
    client_means,
    in_words,
    of_server,
)
from langevax.flower.transport import (
    CheckedReplies,
    NodeRegistry,
    ReplyChecker,
    send_and_receive,
)
from langevax.renamed import refuse_former
from langevax.run import CheckpointError, Run

MAX_SILENT = 3  # exchanges in a row without an answer that end a run
Evaluate = Callable[[int, ArrayRecord], MetricRecord | None]
log = getLogger("flwr").log


class Sent(NamedTuple):
    """The messages of one exchange, to those of its clients that are connected."""

    request: ExchangeRequest
    clients: list[int]
    messages: list[Message]


@dataclass(frozen=True)
class ClientRules:
    """The clients that a `FederatedStrategy` waits for, how long, and their weights.

    Attributes:
        number: clients to wait for before the first round; "auto" waits for as many as the clients say there are
            (`num-partitions` in their node config).
        weights: "size" weighs clients by their rows, "uniform" gives equal weights.
        deadline: seconds for one exchange; the first may take long, since engines start processes.
        join_seconds: seconds for all clients to introduce themselves.
        patience: exchanges in a row that a client may miss.

    Raises:
        TypeError, ValueError: an invalid argument.

    Example:
        >>> from langevax.flower import ClientRules
        >>> ClientRules(number=8, deadline=30.0).patience
        3
    """

    number: int | Literal["auto"] = "auto"
    weights: str = "size"
    deadline: float = 60.0
    join_seconds: float = 120.0
    patience: int = 3

    def __post_init__(self) -> None:
        checks.number("deadline", self.deadline, positive=True)
        checks.number("join_seconds", self.join_seconds, positive=True)
        checks.positive_int("patience", self.patience)
        checks.positive_int("number", self.number, auto=True)
        if self.weights not in ("size", "uniform"):
            raise ValueError(
                "weights must be 'size' or 'uniform', got "
                f"{checks.shown(self.weights)}."
            )


class FederatedStrategy(Strategy):
    """A federated method of langevax over Flower, in its simulation and its deployment engine alike.

    One exchange of the method is one set of Flower messages. With the same key, and the same clients answering, the
    numbers are those of `langevax.simulate` on the `Federation` of these clients, to float32 rounding.

    A client that is late, gone, or whose reply is rejected counts as a drop-out of that exchange: means are over those
    who answered, by their shares (`Replies.mean`). One that missed `patience` exchanges in a row is removed, and one
    that joined, or came back without the memory that the method counts on, is added: either way the method restarts
    from the present position with the clients that are connected, since a table that keeps the entry of an absent
    client stays wrong.

    Args:
        algorithm: one of `langevax.federated`, the same as the clients'.
        position: the start, a pytree of floating arrays.
        key: as of `langevax.simulate`.
        clients: which are waited for, how long, and their weights: `ClientRules(number=8)`.
        best: the metric by which the best model is kept, and whether the run ends when it no longer improves: a
            `BestModel`; None keeps the one with the smallest loss.
        callbacks: each is called as `callback(record)` after a round, where the record has `.round`, `.metrics`,
            `.clients` (their metrics, by partition), `.counts` and `.position`; one that returns True stops the run.
        run: `langevax.Run(checkpoint=folder, resume=True)` saves the server's state there after every round, and
            continues if the folder holds a run of the same algorithm, key and model.

    Attributes:
        loop: the server's state; `.position`, `.step`, `.counts`.
        history: an `ExchangeRecord` for every exchange.
        rounds: a `RoundRecord` for every evaluation, without positions.
        best: the best model: `.round`, `.value` and `.position`.
        on_exchange, on_evaluation: are called with each record, before the checkpoint is written.
        poll_seconds: seconds between two polls for replies.

    Raises:
        TypeError, ValueError: an invalid argument.
        CheckpointError: a checkpoint that cannot be written, read or continued.
        TimeoutError: clients that did not join in time, or none that answered in three exchanges, with the reasons.
    """

    poll_seconds = 0.05

    @refuse_former
    def __init__(
        self,
        algorithm: Federated,
        position: PyTree,
        *,
        key: PRNGKey,
        clients: ClientRules = ClientRules(),
        best: BestModel | None = None,
        callbacks: Sequence[Callable[[RoundRecord], bool | None]] = (),
        run: Run = Run(),
    ):
        checks.instance("clients", clients, ClientRules, "ClientRules(number=8)")
        checks.instance("run", run, Run, "langevax.Run(checkpoint=folder)")
        checks.flag("resume", run.resume)
        if not isinstance(callbacks, list | tuple) or not all(map(callable, callbacks)):
            raise TypeError(
                "callbacks must be a list of functions callback(record), got "
                f"{checks.shown(callbacks)}; pass [callback]."
            )
        if best is not None:
            checks.instance("best", best, BestModel, "BestModel('loss', 'min')")
        self.callbacks = callbacks
        self.best: BestModel = BestModel() if best is None else best
        self.loop: ServerLoop = ServerLoop(algorithm, position, key=key)
        self.description: str = wire.description(algorithm=algorithm)
        self.identity: str = _identity(algorithm, position, key)
        self.registry: NodeRegistry = NodeRegistry(
            clients.weights,
            clients.patience,
            trees.dtype_of(self.loop.position),
            self.description,
        )
        self.checker: ReplyChecker = ReplyChecker(secrets.token_hex(8))
        self.clients = clients
        self.deadline: float = clients.deadline
        self.run = run
        self.checkpoint: Path | None = (
            None if run.checkpoint is None else Path(run.checkpoint)
        )
        self.history: list[ExchangeRecord] = []
        self.rounds: list[RoundRecord] = []
        self.on_exchange: Callable[[ExchangeRecord], None] = lambda record: None
        self.on_evaluation: Callable[[RoundRecord], None] = lambda record: None
        self.names: list[str] | None = None
        self._silent = 0
        self._restart_reason = ""

    def start(  # type: ignore[override]
        self,
        grid: Grid,
        initial_arrays: ArrayRecord | None = None,
        num_rounds: int = 3,
        timeout: float | None = None,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Evaluate | None = None,
        evaluate_every: int = 1,
    ) -> Result:
        """Run until `num_rounds` rounds of the method are done, those before a resume included.

        Args:
            grid: Flower's.
            initial_arrays: the start, in place of `position`; matched by key if `position` is a dict of these names,
                else in the order of its leaves. `evaluate_fn` and the result have them by the same names.
            num_rounds: rounds, each of one exchange or two.
            timeout: seconds for one exchange, in place of `deadline`.
            train_config, evaluate_config: not used; clients read the run config.
            evaluate_fn: `evaluate_fn(round, arrays)`, on the server.
            evaluate_every: rounds between evaluations; 0 for none, not even by clients.

        Returns:
            Flower's `Result`: `.arrays`, and metrics by round.
        """
        if self.best.stop_after is not None and not evaluate_every:
            raise ValueError(
                "stop_after needs evaluations, but evaluate_every is 0; pass "
                "evaluate_every=1."
            )
        if initial_arrays is not None:
            self.names = wire.names_of(initial_arrays, self.loop.position)
            self.loop.start_at(
                wire.unpack(initial_arrays, self.loop.position, self.names)
            )
        self.deadline = self.deadline if timeout is None else timeout
        result = Result()
        with checkpoints.locked(self.checkpoint):
            self._begin(grid)
            self.summary()
            if evaluate_fn is not None and evaluate_every:
                self._evaluate_start(evaluate_fn, result)
            stopped = self.best.exhausted
            while self.loop.step < num_rounds and not stopped:
                record = self._run_round(
                    grid, num_rounds, evaluate_fn, evaluate_every, result
                )
                stopped = self._call(record) or self.best.exhausted
        if self.best.exhausted and self.loop.step < num_rounds:
            best = self.best.metric, self.best.value, self.best.round
            log(INFO, "Stopped: no better %s than %s of round %s", *best)
        result.arrays = self._arrays
        return result

    @property
    def _arrays(self) -> ArrayRecord:
        """The position, as users of Flower see it."""
        return wire.pack(self.loop.position, self.names)

    def summary(self) -> None:
        """Log the method and the number of clients."""
        name = type(self.loop.algorithm).__name__
        clients = len(self.registry.partitions)
        log(INFO, "langevax %s: %s with %d clients", __version__, name, clients)

    def _refuse(self, *_: Any, **__: Any) -> Never:
        """Refuse loops other than `start`, such as those of strategies that wrap another."""
        raise TypeError(
            "a FederatedStrategy runs its rounds by its own start(grid); a strategy "
            "that wraps it, such as Flower's differential privacy, would change none "
            "of its messages: pass the FederatedStrategy itself."
        )

    configure_train = aggregate_train = configure_evaluate = aggregate_evaluate = (
        _refuse
    )

    def _run_round(
        self,
        grid: Grid,
        num_rounds: int,
        evaluate_fn: Evaluate | None,
        evaluate_every: int,
        result: Result,
    ) -> RoundRecord:
        """Run one round, after initial exchanges where the method has some; evaluate and save."""
        before = len(self.history)
        began = time.monotonic()
        first = self.loop.step
        while self.loop.step == first:
            if self.loop.between_rounds:
                self._update_clients(grid, joins=len(self.history) == before)
            self._run_exchange(grid)
        done = self.loop.step
        record = RoundRecord(done, {}, {}, self.loop.counts, self.loop.position)
        if evaluate_every and (done % evaluate_every == 0 or done == num_rounds):
            record = self._evaluate(evaluate_fn, result, grid)
        self._save()
        seconds = time.monotonic() - began
        answers = ", ".join(
            f"{len(e.answered)} of {len(e.selected)} answered in {e.seconds:.2f} s"
            for e in self.history[before:]
        )
        words = f"{answers}{in_words(record.metrics)}"
        left = seconds * (num_rounds - done)
        log(INFO, "[ROUND %d/%d] %s; %.0f s left", done, num_rounds, words, left)
        result.train_metrics_clientapp[done] = MetricRecord({**self.loop.counts})
        return record

    def _call(self, record: RoundRecord) -> bool:
        """Call all callbacks; True if one stops the run."""
        answers = [
            checks.stops("a callback", callback(record)) for callback in self.callbacks
        ]
        return any(answers)

    def _evaluate_start(self, evaluate: Evaluate, result: Result) -> None:
        """Evaluate before the first round, on the server alone; a resumed run has recorded it."""
        done = self.loop.step
        metrics = self._of_server(evaluate, result)
        log(INFO, "[ROUND %d] before the first round%s", done, in_words(metrics))
        if done == 0:
            self._record(
                RoundRecord(0, metrics, {}, self.loop.counts, self.loop.position)
            )

    def _evaluate(
        self,
        evaluate: Evaluate | None,
        result: Result,
        grid: Grid,
    ) -> RoundRecord:
        """Ask the clients and the server; record their metrics."""
        done = self.loop.step
        content = wire.content({}, wire.pack(self.loop.position))
        nodes = self.registry.nodes
        messages = [
            Message(content, nodes[p], "evaluate") for p in self.registry.active()
        ]
        received = send_and_receive(grid, messages, self.deadline, self.poll_seconds)
        metrics, clients, failed = client_means(
            received.replies.values(),
            self.registry.rows_of_nodes(),
            self.registry.weights,
        )
        for client, why in failed.items():
            log(WARNING, "Client %d was not evaluated: %s", client, why)
        if metrics:
            result.evaluate_metrics_clientapp[done] = MetricRecord({**metrics})
        if evaluate is not None:
            metrics = metrics | self._of_server(evaluate, result)
        record = RoundRecord(
            done, metrics, clients, self.loop.counts, self.loop.position
        )
        self._record(record)
        return record

    def _of_server(self, evaluate: Evaluate, result: Result) -> dict[str, float]:
        """Return the server's metrics at the position."""
        measured = evaluate(self.loop.step, self._arrays)
        if measured is None:
            return {}
        result.evaluate_metrics_serverapp[self.loop.step] = measured
        return of_server(measured)

    def _record(self, record: RoundRecord) -> None:
        self.rounds.append(record._replace(position=None))
        self.on_evaluation(record)
        self.best.add(record)

    def _begin(self, grid: Grid) -> None:
        """Wait for clients, and start the run or resume the one in the checkpoint."""
        saved = None
        if self.checkpoint is not None and checkpoints.exists(self.checkpoint):
            if not self.run.resume:
                raise CheckpointError(
                    f"checkpoint {str(self.checkpoint)!r} already holds a run; pass "
                    "resume=True in Run to continue it, or name another folder."
                )
            saved = checkpoints.load(self.checkpoint, self.identity)
        registry = self.registry
        rules = self.clients
        number = None if isinstance(rules.number, str) else rules.number
        registry.wait_for(grid, number, rules.join_seconds, self.poll_seconds)
        if saved is None:
            self.loop.start(registry.set_clients(registry.candidates()))
        else:
            self._resume(saved)

    def _resume(self, saved: checkpoints.SavedServer) -> None:
        """Continue from a checkpoint; restart where clients' memories are gone or their rows are others."""
        registry = self.registry
        progress = saved.progress
        best = saved.progress["best"]
        rows = {int(p): int(n) for p, n in progress["rows"].items()}
        registry.rows = rows | registry.rows
        clients = registry.set_clients([int(p) for p in progress["partitions"]])
        number = 0
        if best["round"] is not None:
            number = len(jax.tree.leaves(self.loop.position))
        cut = len(saved.leaves) - number
        self.best.resume(best, saved.leaves[cut:], self.loop.position)
        self.loop.resume(clients, progress, saved.leaves[:cut])
        self.checker.usual = dict(progress["usual"])
        if jax.tree.leaves(self.loop.algorithm.memory(self.loop.position)):
            self._restart_reason = "clients' memories went with the engine's last run"
        changed = [str(p) for p, n in rows.items() if registry.rows[p] != n]
        if changed:
            self._restart_reason = (
                f"clients {', '.join(changed)} have other rows than before"
            )
        log(INFO, "Resumed after round %d", self.loop.step)

    def _update_clients(self, grid: Grid, joins: bool = True) -> None:
        """Between two rounds: restart where clients joined, are gone for good, or lost their memory.

        None joins after a restart in the same round, or one that comes and goes would restart it for ever.
        """
        registry = self.registry
        if joins:
            registry.poll(grid)
        joined, gone = registry.changes()
        reasons = [self._restart_reason] if self._restart_reason else []
        if joined:
            reasons.append(f"clients {joined} joined")
        if gone:
            reasons.append(f"clients {gone} missed {registry.patience} exchanges")
        if not reasons:
            return
        why = "; ".join(reasons)
        registry.forget(gone)
        needed = getattr(self.loop.algorithm, "clients_per_round", None) or 1
        if len(registry.candidates()) < needed:
            log(WARNING, "%s: waiting for %d clients", why, needed)
            registry.wait_for(
                grid, needed, self.clients.join_seconds, self.poll_seconds
            )
        self.loop.start(registry.set_clients(registry.candidates()))
        self._restart_reason = ""
        log(WARNING, "Restarting with clients %s: %s", registry.partitions, why)

    def _run_exchange(self, grid: Grid) -> None:
        """Run one exchange: messages out, replies in, the method's update, a record."""
        registry = self.registry
        registry.connected = set(grid.get_node_ids())
        if not any(map(registry.node_of, range(len(registry.partitions)))):
            log(WARNING, "No client is connected; waiting for one")
            registry.wait_for(grid, 1, self.clients.join_seconds, self.poll_seconds)
        began = time.monotonic()
        sent = self._messages()
        received = send_and_receive(
            grid, sent.messages, self.deadline, self.poll_seconds
        )
        request = sent.request
        replies = self.checker.check_all(
            request.scheduled.name,
            sent.messages,
            received.replies,
            self.loop.reply_shape(request),
        )
        accepted = {sent.clients[i]: tree for i, tree in replies.accepted.items()}
        counts = self.loop.receive(request, accepted)
        why = replies.rejected | dict.fromkeys(
            replies.memory_lost, "it lost its memory"
        )
        refused = {sent.clients[i]: words for i, words in why.items()}
        versions = zip(request.clients, request.memory_versions, strict=True)
        uses_memory = request.scheduled.exchange.uses_memory
        renewed = {client for client, v in versions if uses_memory and v < 0}
        registry.record(request.clients, set(accepted), refused, renewed)
        seconds = time.monotonic() - began
        record = self._exchange_record(sent, received.replies, replies)._replace(
            seconds=seconds,
            server_seconds=seconds - received.engine_seconds,
            counts=counts,
        )
        self._note(record)

    def _messages(self) -> Sent:
        """The messages of the next exchange, to the clients that are connected."""
        request = self.loop.next()
        common = {
            "run": self.checker.run,
            "number": request.number,
            "exchange": request.scheduled.name,
            "step": request.step,
            "impl": str(jax.random.key_impl(self.loop.key)),
            "algorithm": self.description,
        }
        sent = Sent(request, [], [])
        packed: dict[tuple[int, ...], ArrayRecord] = {}
        for index, client in enumerate(request.clients):
            if (node := self.registry.node_of(client)) is None:
                continue
            leaves = jax.tree.leaves(request.messages[index])
            same = tuple(map(id, leaves))  # most messages do not depend on the client
            if same not in packed:
                packed[same] = wire.pack(leaves)
            own = {
                "partition": self.registry.partitions[client],
                "key": request.keys[index].tolist(),
                "memory_version": request.memory_versions[index],
            }
            content = wire.content(common | own, packed[same])
            sent.messages.append(
                Message(content, node, "train.exchange", group_id=str(request.number))
            )
            sent.clients.append(client)
        return sent

    def _exchange_record(
        self,
        sent: Sent,
        received: dict[int, Message],
        replies: CheckedReplies,
    ) -> ExchangeRecord:
        """Return who answered and who did not, by partition; times and costs are still to come."""
        request = sent.request
        names = self.registry.partitions
        partition = [names[client] for client in sent.clients]
        return ExchangeRecord(
            number=request.number,
            round=request.step,
            exchange=request.scheduled.name,
            selected=[names[client] for client in request.clients],
            answered=[partition[i] for i in replies.accepted],
            rejected={partition[i]: why for i, why in replies.rejected.items()},
            late=[name for i, name in enumerate(partition) if i not in received],
            disconnected=[names[c] for c in request.clients if c not in sent.clients],
            memory_lost=[partition[i] for i in replies.memory_lost],
            seconds=0.0,
            server_seconds=0.0,
            counts={},
        )

    def _note(self, record: ExchangeRecord) -> None:
        """Record an exchange; end a run that nobody answers."""
        for client, why in record.rejected.items():
            log(WARNING, "Rejected the reply of client %d: %s", client, why)
        self.history.append(record)
        self.on_exchange(record)
        if record.memory_lost:
            self._restart_reason = f"clients {record.memory_lost} lost their memory"
        self._silent = 0 if record.answered else self._silent + 1
        if self._silent < MAX_SILENT:
            return
        last = self.history[-MAX_SILENT:]
        reasons = [f"client {c}: {why}" for e in last for c, why in e.rejected.items()]
        if late := sorted({client for e in last for client in e.late}):
            reasons.append(f"clients {late} did not answer within {self.deadline:g} s")
        raise TimeoutError(
            f"no reply of {MAX_SILENT} exchanges in a row was accepted. "
            f"{'; '.join(dict.fromkeys(reasons))}. Where numbers are not finite take a "
            "smaller step size; where clients are slow a longer deadline."
        )

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        registry = self.registry
        progress = self.loop.progress() | {
            "partitions": registry.partitions,
            "rows": {str(p): registry.rows[p] for p in registry.partitions},
            "usual": self.checker.usual,
            "best": self.best.progress(),
        }
        state = self.loop.state, self.best.position
        checkpoints.save(self.checkpoint, self.identity, progress, state)


def _identity(algorithm: Federated, position: PyTree, key: PRNGKey) -> str:
    """Return what a checkpoint belongs to: the algorithm, the key and the model's shapes."""
    shapes = jax.tree.map(
        lambda a: f"{np.asarray(a).dtype}{list(np.shape(a))}", position
    )
    return wire.description(
        algorithm=algorithm,
        key=key,
        position=shapes,
        optimizer=_updates(getattr(algorithm, "server_optimizer", None), position),
    )


def _updates(optimizer: Any, position: PyTree) -> list[str]:
    """Return lengths of an optimizer's first updates, since its numbers have no text, in closures."""
    if not hasattr(optimizer, "update"):
        return []
    ones = jax.tree.map(jax.numpy.ones_like, position)
    state = optimizer.init(ones)
    lengths = []
    for _ in range(2):
        update, state = optimizer.update(ones, state, ones)
        lengths.append(f"{float(trees.dot(update, update)):.4g}")
    return lengths
