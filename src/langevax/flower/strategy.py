"""langevax's federated methods as a Flower `Strategy`: rounds of exchanges with whoever is there."""

import secrets
import time
from collections.abc import Callable, Iterable
from logging import INFO, WARNING, getLogger
from pathlib import Path

import jax
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from jaxtyping import Array, Key, PyTree

from langevax import checks, trees
from langevax._version import __version__
from langevax.federated.conductor import Conductor
from langevax.federated.rounds import Federated
from langevax.flower import checkpoints, wire
from langevax.flower.evaluation import Evaluation, on_server
from langevax.flower.exchanges import Carried, Exchanges, Sent
from langevax.flower.members import Members
from langevax.flower.post import Inspector
from langevax.flower.reception import Reception
from langevax.run import CheckpointError
from langevax.run.checkpoint import describe

log = getLogger("flwr").log
SILENT = 3  # exchanges in a row without an answer that end a run


class FederatedStrategy(Strategy):
    """A federated method of langevax over Flower, in its simulation and its deployment engine alike.

    One exchange of the method is one set of Flower messages. With the same key, and the same clients answering, the
    numbers are those of `langevax.simulate` on the `Federation` of these clients, to float32 rounding.

    A client that is late, gone, or whose reply is refused counts as a drop-out of that exchange: means are over those
    who answered, by their shares (`Answers.mean`). One that has been away for `patience` exchanges in a row is left
    out, and one that came, or came back without the memory that the method counts on, is taken in: either way the
    method begins anew from the present position with those that are there, since a table that keeps the entry of an
    absent client is wrong for ever.

    Args:
        algorithm: one of `langevax.federated`, the same as the clients'.
        position: where the run begins, a pytree of floating arrays.
        key: as of `langevax.simulate`.
        num_clients: clients to wait for before the first round; None waits for as many as the clients say there are
            (`num-partitions` in their node config).
        weights: "size" weighs clients by their rows, "uniform" alike.
        deadline: seconds for one exchange; the first may take long, since engines start processes.
        join_seconds: for all clients to introduce themselves.
        patience: exchanges in a row that a client may miss.
        norm_ratio: replies whose norm is more than so many times the usual are refused.
        checkpoint: a folder where the server's state is kept after every round; None for none.
        resume: go on from there if it holds a run of the same algorithm, key and model.
        poll_seconds: between looks for replies.

    Attributes:
        conductor: the server's state; `.position`, `.step`, `.counts`.
        history: a `Carried` for every exchange.

    Raises:
        TypeError, ValueError: an argument that is not what it must be.
        CheckpointError: a checkpoint that cannot be written, read or continued.
        TimeoutError: clients that did not come in time, or none that answered in three exchanges, with their reasons.
    """

    def __init__(
        self,
        algorithm: Federated,
        position: PyTree,
        key: Key[Array, ""],
        *,
        num_clients: int | None = None,
        weights: str = "size",
        deadline: float = 60.0,
        join_seconds: float = 120.0,
        patience: int = 3,
        norm_ratio: float = 1000.0,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        poll_seconds: float = 0.05,
    ):
        for name, seconds in (("deadline", deadline), ("join_seconds", join_seconds), ("poll_seconds", poll_seconds)):
            checks.number(name, seconds, positive=True)
        checks.number("norm_ratio", norm_ratio, positive=True)
        checks.positive_int("patience", patience)
        if num_clients is not None:
            checks.positive_int("num_clients", num_clients)
        if weights not in ("size", "uniform"):
            raise ValueError(f"weights must be 'size' or 'uniform', got {weights!r}.")
        self.conductor = Conductor(algorithm, key, position)
        self.members = Members(weights, patience, trees.dtype_of(self.conductor.position))
        described = wire.text(describe({"algorithm": algorithm}))
        self.identity = wire.text(describe({"algorithm": algorithm, "key": key}) | _shapes(position))
        self.num_clients, self.deadline, self.join_seconds = num_clients, deadline, join_seconds
        self.folder = None if checkpoint is None else Path(checkpoint)
        self.resume, self.poll_seconds = resume, poll_seconds
        inspector = Inspector(secrets.token_hex(8), norm_ratio)
        self.exchanges = Exchanges(self.conductor, self.members, described, inspector)
        self.reception = Reception(self.members, described)
        self.evaluation = Evaluation(self.members)
        self.history: list[Carried] = []
        self.names: list[str] | None = None
        self._sent: Sent | None = None
        self._silent = 0
        self._begin_anew = ""

    def start(  # type: ignore[override]
        self,
        grid: Grid,
        initial_arrays: ArrayRecord | None = None,
        num_rounds: int = 3,
        timeout: float | None = None,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
        evaluate_every: int = 1,
    ) -> Result:
        """Run until `num_rounds` rounds of the method are done, those before a resume included.

        Args:
            grid: Flower's.
            initial_arrays: numbers to begin with, in place of those of `position`; by its keys where it is a dict of
                these names, else in the order of its leaves. `evaluate_fn` and the result have them by the same names.
            num_rounds: rounds, each of one exchange or two.
            timeout: seconds for one exchange, in place of `deadline`.
            train_config, evaluate_config: not used; clients read the run config.
            evaluate_fn: `evaluate_fn(round, arrays)`, on the server.
            evaluate_every: rounds between evaluations; 0 for none, of clients either.

        Returns:
            Flower's `Result`: `.arrays`, and metrics by round.
        """
        if initial_arrays is not None:
            self.names = wire.names_of(initial_arrays, self.conductor.position)
            self.conductor.start_at(wire.unpacked(initial_arrays, self.conductor.position, self.names))
        self.deadline = self.deadline if timeout is None else timeout
        result, began = Result(), time.monotonic()
        self._begin(grid)
        self.summary()
        first = self.conductor.step
        if evaluate_fn is not None and evaluate_every:
            words = on_server(evaluate_fn, self._arrays, first, result)
            log(INFO, "[ROUND %d/%d] at the start%s", first, num_rounds, words)
        while self.conductor.step < num_rounds:
            self._settle(grid)
            before = self.conductor.step
            self._exchange(grid)
            while not self.conductor.between_rounds:
                self._exchange(grid)
            done = self.conductor.step
            if done == before:  # an opening
                continue
            self._save()
            words = ""
            if evaluate_every and (done % evaluate_every == 0 or done == num_rounds):
                words = self.evaluation.noted(
                    grid, self.conductor.position, self.deadline, self.poll_seconds, done, result
                )
                words += "" if evaluate_fn is None else on_server(evaluate_fn, self._arrays, done, result)
            left = (time.monotonic() - began) / (done - first) * (num_rounds - done)
            log(INFO, "[ROUND %d/%d] %s%s; %.0f s left", done, num_rounds, self._told(), words, left)
            result.train_metrics_clientapp[done] = wire.metrics(self.conductor.counts)
        result.arrays = self._arrays
        return result

    @property
    def _arrays(self) -> ArrayRecord:
        """The position, as users of Flower see it."""
        return wire.packed(self.conductor.position, self.names)

    def summary(self) -> None:
        """Say what is run."""
        name, clients = type(self.conductor.algorithm).__name__, len(self.members.partitions)
        log(INFO, "langevax %s: %s with %d clients", __version__, name, clients)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Messages of the next exchange, for loops other than `start`: there a round is one exchange."""
        if not self.conductor.openings:
            self._begin(grid)
        if self.conductor.between_rounds:
            self._settle(grid)
        self._sent = self.exchanges.messages()
        return self._sent.messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Takes in the replies to `configure_train`; the position, and what the run has cost."""
        sent = self._sent
        if sent is None:
            raise RuntimeError("aggregate_train takes replies to configure_train, which was not called; call it first.")
        places = {node: place for place, node in enumerate(sent.nodes)}
        found = {places[reply.metadata.src_node_id]: reply for reply in replies if reply.metadata.src_node_id in places}
        self._noted(self.exchanges.take(sent, found))
        self._sent = None
        return self._arrays, wire.metrics(self.conductor.counts)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The position, to all clients that are there."""
        return self.evaluation.messages(self.conductor.position)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """The mean loss over all rows of those who answered."""
        loss = self.evaluation.loss_of(replies)
        return None if loss is None else wire.metrics({"loss": loss})

    def _begin(self, grid: Grid) -> None:
        """Wait for clients, and open the run or take up the one that was saved."""
        saved = None
        if self.folder is not None and checkpoints.exists(self.folder):
            if not self.resume:
                raise CheckpointError(
                    f"checkpoint {str(self.folder)!r} already holds a run; pass resume=True to go on with it, or name "
                    "another folder."
                )
            saved = checkpoints.load(self.folder, self.identity)
        self.reception.gather(grid, self.num_clients, self.join_seconds, self.poll_seconds)
        if saved is None:
            self.conductor.open(self.members.settle())
            return
        self.members.rows = {int(p): int(n) for p, n in saved.words["rows"].items()} | self.members.rows
        roster = self.members.seat([int(p) for p in saved.words["partitions"]])
        self.conductor.resume(roster, saved.words, saved.leaves)
        self.exchanges.inspector.usual = dict(saved.words["usual"])
        changed = [p for p, n in saved.words["rows"].items() if self.members.rows[int(p)] != n]
        if jax.tree.leaves(self.conductor.algorithm.memory(self.conductor.position)):
            self._begin_anew = "clients' memories went with the engine's last run"
        if changed:
            self._begin_anew = f"clients {', '.join(changed)} have other rows than before"
        log(INFO, "Resumed after round %d", self.conductor.step)

    def _settle(self, grid: Grid) -> None:
        """Between two rounds: begin anew where clients came, went for good, or lost their memory."""
        self.reception.look(grid)
        came, gone = self.members.changes()
        why = [self._begin_anew] if self._begin_anew else []
        why += [f"clients {came} came"] if came else []
        why += [f"clients {gone} missed {self.members.patience} exchanges in a row"] if gone else []
        if not why:
            return
        self.members.leave(gone)
        asked = getattr(self.conductor.algorithm, "clients_per_round", None) or 1
        if len(self.members.staying()) < asked:
            log(WARNING, "%s: waiting for %d clients", "; ".join(why), asked)
            self.reception.gather(grid, asked, self.join_seconds, self.poll_seconds)
        self.conductor.open(self.members.settle())
        self._begin_anew = ""
        log(WARNING, "Beginning anew with clients %s: %s", self.members.partitions, "; ".join(why))

    def _exchange(self, grid: Grid) -> None:
        self.members.connected = set(grid.get_node_ids())
        if not any(self.members.node_of(client) for client in range(len(self.members.partitions))):
            log(WARNING, "No client is connected; waiting for one")
            self.reception.gather(grid, 1, self.join_seconds, self.poll_seconds)
        carried = self.exchanges.carry(grid, self.deadline, self.poll_seconds, lambda: self.reception.greet(grid))
        self._noted(carried)

    def _noted(self, carried: Carried) -> None:
        self.history.append(carried)
        if carried.lost:
            self._begin_anew = f"clients {carried.lost} lost their memory"
        self._silent = 0 if carried.answered else self._silent + 1
        if self._silent >= SILENT:
            reasons = [f"client {p}: {why}" for one in self.history[-SILENT:] for p, why in one.refused.items()]
            late = sorted({p for one in self.history[-SILENT:] for p in one.late})
            reasons += [f"clients {late} did not answer within {self.deadline:g} s"] if late else []
            raise TimeoutError(
                f"no reply of {SILENT} exchanges in a row was taken in. {'; '.join(dict.fromkeys(reasons))}. "
                "Where numbers are not finite take a smaller step size; where clients are slow a longer deadline."
            )

    def _save(self) -> None:
        if self.folder is not None:
            words = self.conductor.words() | {
                "partitions": self.members.partitions,
                "rows": {str(p): self.members.rows[p] for p in self.members.partitions},
                "usual": self.exchanges.inspector.usual,
            }
            checkpoints.save(self.folder, self.identity, words, self.conductor.state)

    def _told(self) -> str:
        """The exchanges of the last round in words."""
        last = [one for one in self.history if one.round == self.history[-1].round][-2:]
        parts = [f"{len(one.answered)} of {len(one.asked)} answered in {one.seconds:.2f} s" for one in last]
        return ", ".join(parts)


def _shapes(position: PyTree) -> dict[str, str]:
    """Of every leaf, by name."""
    leaves = jax.tree.leaves_with_path(position)
    return {f"position{jax.tree_util.keystr(path)}": f"{np.asarray(a).dtype}{list(np.shape(a))}" for path, a in leaves}
