"""langevax's federated methods as a Flower `Strategy`: rounds of exchanges with the clients that are connected."""

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from logging import INFO, WARNING, getLogger
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from jaxtyping import Array, Key

from langevax import checks, trees
from langevax._typing import PyTree
from langevax._version import __version__
from langevax.federated.collapse import LossWatch
from langevax.federated.rounds import Federated
from langevax.federated.server_loop import ExchangeRequest, ServerLoop
from langevax.flower import checkpoints, robust, wire
from langevax.flower.compression import check_compression, sent_bytes
from langevax.flower.evaluation import (
    LOSS,
    BestModel,
    ExchangeRecord,
    RoundRecord,
    client_means,
    in_words,
    of_server,
)
from langevax.flower.transport import (
    MemoryLost,
    NodeRegistry,
    ReplyChecker,
    send_and_receive,
)
from langevax.flower.wire import Rejected
from langevax.run import CheckpointError
from langevax.run.identity import digest

MAX_SILENT = 3  # exchanges in a row without an answer that end a run
Evaluate = Callable[[int, ArrayRecord], MetricRecord | None]
log = getLogger("flwr").log


class Sent(NamedTuple):
    """The messages of one exchange, to those of its clients that are connected."""

    request: ExchangeRequest
    clients: list[int]
    messages: list[Message]


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
        num_clients: clients to wait for before the first round; "auto" waits for as many as the clients say there are
            (`num-partitions` in their node config).
        weights: "size" weighs clients by their rows, "uniform" gives equal weights.
        deadline: seconds for one exchange; the first may take long, since engines start processes.
        join_seconds: seconds for all clients to introduce themselves.
        patience: exchanges in a row that a client may miss.
        select_connected: select among clients that are connected; else one that is not counts as a drop-out.
        norm_ratio: replies with a norm of more than this multiple of the usual are rejected.
        aggregation: "mean", by the weights; or "median", "trimmed-mean" or "krum", which a few wrong clients cannot
            shift, with equal weights, for methods that only average replies (FedAvg, FedProx, MinibatchSGD,
            MimeSGD, MinibatchSARAH). With any, a client far from the others in three exchanges in a row is named.
        compression: "int8" or "top-k:SHARE" of clients' replies, with error feedback, for FedAvg, FedProx and
            MinibatchSGD; None for none.
        stop_at_collapse: end a run whose losses, as the clients evaluate them, show that it has collapsed; see
            `langevax.federated.CollapseWatch`. The first evaluation stands for the start.
        best_metric, best_mode: the metric, and "min" or "max", by which the best model is kept: "loss", one of the
            clients' (`Task.metrics`), or "server/NAME" for one of `evaluate_fn`.
        stop_after: evaluations in a row without improvement of that metric that end the run; None for no such end.
        callbacks: each is called as `callback(record)` after a round, where the record has `.round`, `.metrics`,
            `.clients` (their metrics, by partition), `.counts` and `.position`; one that returns True stops the run.
        checkpoint: folder for the server's state after every round; None for none.
        resume: continue from there if it holds a run of the same algorithm, key and model.
        poll_seconds: seconds between two polls for replies.

    Attributes:
        loop: the server's state; `.position`, `.step`, `.counts`.
        history: an `ExchangeRecord` for every exchange.
        rounds: a `RoundRecord` for every evaluation, without positions.
        best: the best model: `.round`, `.value` and `.position`.
        notes: texts of the caller's by name, saved with the checkpoint and restored from it.
        on_exchange, on_evaluation: are called with each record, before the checkpoint is written.

    Raises:
        TypeError, ValueError: an invalid argument.
        CollapseError: losses that show a collapse, with a smaller step size.
        CheckpointError: a checkpoint that cannot be written, read or continued.
        TimeoutError: clients that did not join in time, or none that answered in three exchanges, with the reasons.
    """

    def __init__(
        self,
        algorithm: Federated,
        position: PyTree,
        *,
        key: Key[Array, ""],
        num_clients: int | Literal["auto"] = "auto",
        weights: str = "size",
        deadline: float = 60.0,
        join_seconds: float = 120.0,
        patience: int = 3,
        select_connected: bool = False,
        norm_ratio: float = 1000.0,
        aggregation: str = "mean",
        compression: str | None = None,
        stop_at_collapse: bool = True,
        best_metric: str = LOSS,
        best_mode: Literal["min", "max"] = "min",
        stop_after: int | None = None,
        callbacks: Sequence[Callable[[RoundRecord], bool | None]] = (),
        checkpoint: str | Path | None = None,
        resume: bool = False,
        poll_seconds: float = 0.05,
    ):
        for name, seconds in (
            ("deadline", deadline),
            ("join_seconds", join_seconds),
            ("poll_seconds", poll_seconds),
        ):
            checks.number(name, seconds, positive=True)
        checks.number("norm_ratio", norm_ratio, positive=True)
        checks.positive_int("patience", patience)
        checks.flag("stop_at_collapse", stop_at_collapse)
        checks.flag("select_connected", select_connected)
        checks.positive_int("num_clients", num_clients, auto=True)
        if weights not in ("size", "uniform"):
            raise ValueError(
                f"weights must be 'size' or 'uniform', got {checks.shown(weights)}."
            )
        if not isinstance(callbacks, list | tuple) or not all(map(callable, callbacks)):
            got = checks.shown(callbacks)
            raise TypeError(
                f"callbacks must be a list of functions callback(record), got {got}; pass [callback]."
            )
        self.callbacks = callbacks
        self.best: BestModel = BestModel(best_metric, best_mode, stop_after)
        self.loop: ServerLoop = ServerLoop(algorithm, position, key=key)
        robust.check_aggregation(aggregation, algorithm)
        check_compression(compression, algorithm)
        self.aggregation = aggregation
        self.select_connected = select_connected
        self.watch: robust.ReplyWatch = robust.ReplyWatch()
        self.losses: LossWatch = LossWatch(algorithm, stop_at_collapse)
        self.description: str = wire.description(algorithm=algorithm)
        shapes = jax.tree.map(
            lambda a: f"{np.asarray(a).dtype}{list(np.shape(a))}", position
        )
        optimizer = digest(
            getattr(algorithm, "server_optimizer", None)
        )  # its numbers have no text, in closures
        parts = {
            "algorithm": algorithm,
            "key": key,
            "position": shapes,
            "aggregation": aggregation,
        }
        if compression is not None:
            parts["compression"] = compression
        self.identity: str = wire.description(**parts, optimizer=optimizer)
        self.registry: NodeRegistry = NodeRegistry(
            weights, patience, trees.dtype_of(self.loop.position), self.description
        )
        self.checker: ReplyChecker = ReplyChecker(
            secrets.token_hex(8), norm_ratio, compression
        )
        self.num_clients: int | None = (
            None if isinstance(num_clients, str) else num_clients
        )
        self.deadline: float = deadline
        self.join_seconds = join_seconds
        self.poll_seconds = poll_seconds
        self.checkpoint: Path | None = None if checkpoint is None else Path(checkpoint)
        self.resume = resume
        self.history: list[ExchangeRecord] = []
        self.rounds: list[RoundRecord] = []
        self.notes: dict[str, str] = {}
        self.on_exchange: Callable[[ExchangeRecord], None] = lambda record: None
        self.on_evaluation: Callable[[RoundRecord], None] = lambda record: None
        self.names: list[str] | None = None
        self._sent: Sent | None = None
        self._silent = 0
        self._restart_reason = ""

    @checkpoints.alone
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
        if initial_arrays is not None:
            self.names = wire.names_of(initial_arrays, self.loop.position)
            self.loop.start_at(
                wire.unpack(initial_arrays, self.loop.position, self.names)
            )
        self.deadline = self.deadline if timeout is None else timeout
        if self.best.stop_after is not None and not evaluate_every:
            raise ValueError(
                "stop_after needs evaluations, but evaluate_every is 0; pass evaluate_every=1."
            )
        result, began = Result(), time.monotonic()
        self._begin(grid)
        self.summary()
        first = self.loop.step
        if evaluate_fn is not None and evaluate_every:
            words = in_words(
                self._evaluate(evaluate_fn, result, None, first == 0).metrics
            )
            log(
                INFO, "[ROUND %d/%d] before the first round%s", first, num_rounds, words
            )
        stopped = self.best.exhausted
        while self.loop.step < num_rounds and not stopped:
            self._update_clients(grid)
            before, number = self.loop.step, len(self.history)
            self._run_exchange(grid)
            while not self.loop.between_rounds:
                self._run_exchange(grid)
            done = self.loop.step
            if done == before:  # initial exchanges
                continue
            if evaluate_every and (done % evaluate_every == 0 or done == num_rounds):
                record = self._evaluate(evaluate_fn, result, grid, True)
            else:
                record = RoundRecord(done, {}, {}, self.loop.counts, self.loop.position)
            self._save()
            spent = [
                f"{len(e.answered)} of {len(e.selected)} answered in {e.seconds:.2f} s"
                for e in self.history[number:]
            ]
            left = (time.monotonic() - began) / (done - first) * (num_rounds - done)
            words = in_words(record.metrics)
            log(
                INFO,
                "[ROUND %d/%d] %s%s; %.0f s left",
                done,
                num_rounds,
                ", ".join(spent),
                words,
                left,
            )
            result.train_metrics_clientapp[done] = MetricRecord({**self.loop.counts})
            answers = [
                checks.stops("a callback", callback(record))
                for callback in self.callbacks
            ]
            stopped = any(answers) or self.best.exhausted
        if self.best.exhausted and self.loop.step < num_rounds:
            words = (
                f"{self.best.metric} {self.best.value:.6g} in round {self.best.round}"
            )
            log(
                INFO,
                "Stopped: no improvement in %d evaluations on %s",
                self.best.not_improved,
                words,
            )
        result.arrays = self._arrays
        return result

    @property
    def _arrays(self) -> ArrayRecord:
        """The position, as users of Flower see it."""
        return wire.pack(self.loop.position, self.names)

    def summary(self) -> None:
        """Log the method and the number of clients."""
        robust.refuse_wrapper(self)
        name, clients = (
            type(self.loop.algorithm).__name__,
            len(self.registry.partitions),
        )
        log(INFO, "langevax %s: %s with %d clients", __version__, name, clients)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Messages of the next exchange, for loops other than `start`: there a round is one exchange."""
        robust.refuse_wrapper(self)
        if not self.loop.num_starts:
            self._begin(grid)
        if self.loop.between_rounds:
            self._update_clients(grid)
        self._sent = self._messages()
        return self._sent.messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Update the state from the replies to `configure_train`; the position, and the counts of the run."""
        sent = self._sent
        if sent is None:
            raise RuntimeError(
                "aggregate_train takes replies to configure_train, which was not called; call it first."
            )
        index_of = {
            message.metadata.dst_node_id: index
            for index, message in enumerate(sent.messages)
        }
        senders = [(reply.metadata.src_node_id, reply) for reply in replies]
        self._receive(
            sent, {index_of[node]: reply for node, reply in senders if node in index_of}
        )
        self._sent = None
        return self._arrays, MetricRecord({**self.loop.counts})

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The position, to all clients that are connected."""
        return self._evaluation_messages()

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """The mean loss over all rows of those who answered, and their mean metrics; None where nobody did."""
        metrics = client_means(
            replies, self.registry.rows_of_nodes(), self.registry.weights
        ).metrics
        return MetricRecord({**metrics}) if metrics else None

    def _evaluation_messages(self) -> list[Message]:
        content, nodes = wire.pack(self.loop.position), self.registry.nodes
        return [
            Message(wire.content({}, content), nodes[p], "evaluate")
            for p in self.registry.active()
        ]

    def _evaluate(
        self,
        evaluate: Evaluate | None,
        result: Result,
        grid: Grid | None,
        recorded: bool,
    ) -> RoundRecord:
        """Ask the clients, if there is a grid, and the server; record their metrics."""
        done, metrics, clients = self.loop.step, {}, {}
        if grid is not None:
            messages = self._evaluation_messages()
            received = send_and_receive(
                grid, messages, self.deadline, self.poll_seconds, lambda: None
            )
            rows = self.registry.rows_of_nodes()
            metrics, clients, failed = client_means(
                received.replies.values(), rows, self.registry.weights
            )
            for client, why in failed.items():
                log(WARNING, "Client %d was not evaluated: %s", client, why)
        if metrics:
            result.evaluate_metrics_clientapp[done] = MetricRecord({**metrics})
        of_evaluate = None if evaluate is None else evaluate(done, self._arrays)
        if of_evaluate is not None:
            result.evaluate_metrics_serverapp[done] = of_evaluate
            metrics = metrics | of_server(of_evaluate)
        record = RoundRecord(
            done, metrics, clients, self.loop.counts, self.loop.position
        )
        if recorded:
            self.rounds.append(record._replace(position=None))
            self.on_evaluation(record)
            self.best.add(record)
        if LOSS in metrics:
            self.losses.add(done, metrics[LOSS])
        return record

    def _begin(self, grid: Grid) -> None:
        """Wait for clients, and start the run or resume the one in the checkpoint."""
        saved = None
        if self.checkpoint is not None and checkpoints.exists(self.checkpoint):
            if not self.resume:
                raise CheckpointError(
                    f"checkpoint {str(self.checkpoint)!r} already holds a run; pass resume=True to continue it, or "
                    "name another folder."
                )
            saved = checkpoints.load(self.checkpoint, self.identity)
        registry = self.registry
        registry.wait_for(grid, self.num_clients, self.join_seconds, self.poll_seconds)
        if saved is None:
            self.loop.start(registry.set_clients(registry.candidates()))
            return
        progress = saved.progress
        rows = {int(p): int(n) for p, n in progress["rows"].items()}
        registry.rows = rows | registry.rows
        clients, leaves = (
            registry.set_clients([int(p) for p in progress["partitions"]]),
            saved.leaves,
        )
        if (best := progress.get("best")) is not None:
            number = (
                0 if best["round"] is None else len(jax.tree.leaves(self.loop.position))
            )
            leaves, of_best = (
                leaves[: len(leaves) - number],
                leaves[len(leaves) - number :],
            )
            self.best.resume(best, of_best, self.loop.position)
        self.loop.resume(clients, progress, leaves)
        self.checker.usual = dict(progress["usual"])
        self.notes |= progress.get("notes", {})
        self.losses.losses = list(progress.get("losses", []))
        if jax.tree.leaves(self.loop.algorithm.memory(self.loop.position)):
            self._restart_reason = "clients' memories went with the engine's last run"
        if changed := [
            str(p) for p, number in rows.items() if registry.rows[p] != number
        ]:
            self._restart_reason = (
                f"clients {', '.join(changed)} have other rows than before"
            )
        log(INFO, "Resumed after round %d", self.loop.step)

    def _update_clients(self, grid: Grid) -> None:
        """Between two rounds: restart where clients joined, are gone for good, or lost their memory."""
        registry = self.registry
        registry.poll(grid)
        joined, gone = registry.changes()
        reasons = [self._restart_reason] if self._restart_reason else []
        reasons += [f"clients {joined} joined"] if joined else []
        reasons += (
            [f"clients {gone} missed {registry.patience} exchanges in a row"]
            if gone
            else []
        )
        if not reasons:
            return
        registry.forget(gone)
        needed = getattr(self.loop.algorithm, "clients_per_round", None) or 1
        if len(registry.candidates()) < needed:
            log(WARNING, "%s: waiting for %d clients", "; ".join(reasons), needed)
            registry.wait_for(grid, needed, self.join_seconds, self.poll_seconds)
        self.loop.start(registry.set_clients(registry.candidates()))
        self._restart_reason = ""
        log(
            WARNING,
            "Restarting with clients %s: %s",
            registry.partitions,
            "; ".join(reasons),
        )

    def _run_exchange(self, grid: Grid) -> None:
        registry = self.registry
        registry.connected = set(grid.get_node_ids())
        if not any(
            registry.node_of(client) for client in range(len(registry.partitions))
        ):
            log(WARNING, "No client is connected; waiting for one")
            registry.wait_for(grid, 1, self.join_seconds, self.poll_seconds)
        began = time.monotonic()
        sent = self._messages()
        received = send_and_receive(
            grid,
            sent.messages,
            self.deadline,
            self.poll_seconds,
            lambda: registry.greet_new_nodes(grid),
        )
        self._receive(sent, received.replies, began, received.engine_seconds)

    def _messages(self) -> Sent:
        """The messages of the next exchange, to the clients that are connected."""
        here = [
            c
            for c in range(len(self.registry.partitions))
            if self.registry.node_of(c) is not None
        ]
        request = self.loop.next(here if self.select_connected else None)
        common = {
            "run": self.checker.run,
            "number": request.number,
            "exchange": request.scheduled.name,
            "step": request.step,
            "impl": str(jax.random.key_impl(self.loop.key)),
            "algorithm": self.description,
            "compression": self.checker.compression,
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

    def _receive(
        self,
        sent: Sent,
        replies: dict[int, Message],
        began: float | None = None,
        engine_seconds: float = 0.0,
    ) -> None:
        """Update the state from replies, by the index of their messages; rejected ones count as drop-outs."""
        request, shape = sent.request, self.loop.reply_shape(sent.request)
        contents: dict[int, Any] = {}
        norms: dict[int, float] = {}
        rejected: dict[int, str] = {}
        lost = []
        for index, reply in replies.items():
            try:
                contents[index], norms[index] = self.checker.check(
                    sent.messages[index], reply, shape
                )
            except MemoryLost:
                lost.append(index)
            except Rejected as error:
                rejected[index] = str(error)
        rejected |= self.checker.too_large(request.scheduled.name, norms)
        accepted = {
            sent.clients[index]: contents[index]
            for index in sorted(contents)
            if index not in rejected
        }
        self.watch.warn(
            {
                self.registry.partitions[client]: reply
                for client, reply in accepted.items()
            }
        )
        compression = self.checker.compression
        reply_bytes = None if compression is None else sent_bytes(compression, shape)
        counts = self.loop.receive(
            request, robust.aggregate(self.aggregation, accepted), reply_bytes
        )
        self.registry.record(request.clients, set(accepted))
        partition = [self.registry.partitions[client] for client in sent.clients]
        names = self.registry.partitions
        seconds = 0.0 if began is None else time.monotonic() - began
        record = ExchangeRecord(
            number=request.number,
            round=request.step,
            exchange=request.scheduled.name,
            selected=[names[client] for client in request.clients],
            answered=[names[client] for client in accepted],
            rejected={partition[index]: why for index, why in sorted(rejected.items())},
            late=[name for index, name in enumerate(partition) if index not in replies],
            disconnected=[
                names[client]
                for client in request.clients
                if client not in sent.clients
            ],
            memory_lost=[partition[index] for index in lost],
            seconds=seconds,
            server_seconds=seconds - engine_seconds,
            counts=counts,
        )
        for client, why in record.rejected.items():
            log(WARNING, "Rejected the reply of client %d: %s", client, why)
        self.history.append(record)
        self.on_exchange(record)
        if record.memory_lost:
            self._restart_reason = f"clients {record.memory_lost} lost their memory"
        self._silent = 0 if record.answered else self._silent + 1
        if self._silent >= MAX_SILENT:
            self._end_silent()

    def _end_silent(self) -> None:
        last = self.history[-MAX_SILENT:]
        reasons = [
            f"client {client}: {why}"
            for record in last
            for client, why in record.rejected.items()
        ]
        late = sorted({client for record in last for client in record.late})
        reasons += (
            [f"clients {late} did not answer within {self.deadline:g} s"]
            if late
            else []
        )
        raise TimeoutError(
            f"no reply of {MAX_SILENT} exchanges in a row was accepted. {'; '.join(dict.fromkeys(reasons))}. "
            "Where numbers are not finite take a smaller step size; where clients are slow a longer deadline."
        )

    def _save(self) -> None:
        if self.checkpoint is not None:
            registry = self.registry
            progress = self.loop.progress() | {
                "partitions": registry.partitions,
                "rows": {str(p): registry.rows[p] for p in registry.partitions},
                "usual": self.checker.usual,
                "notes": self.notes,
                "losses": self.losses.losses,
                "best": self.best.progress(),
            }
            checkpoints.save(
                self.checkpoint,
                self.identity,
                progress,
                (self.loop.state, self.best.position),
            )
