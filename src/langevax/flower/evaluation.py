"""Records of a run: its exchanges, what clients and server measure after a round, and the best model by a metric."""

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flwr.app import Message, MetricRecord

from langevax import checks
from langevax._typing import PyTree
from langevax.flower import wire
from langevax.flower.transport import opened
from langevax.flower.wire import LOSS_METRIC, METRIC_PREFIX, SERVER_PREFIX, Rejected


class ExchangeRecord(NamedTuple):
    """One exchange of the history; clients are named by partition."""

    number: int
    round: int
    exchange: str
    selected: list[int]
    answered: list[int]
    rejected: dict[int, str]
    """Replies that were not used, and why."""
    late: list[int]
    """No reply before the deadline."""
    disconnected: list[int]
    """Selected, but not sent a message."""
    memory_lost: list[int]
    """Without the memory that the method counts on."""
    seconds: float
    server_seconds: float
    """Without Flower's work, and without waiting."""
    counts: dict[str, int]


class RoundRecord(NamedTuple):
    """A round that has ended, as callbacks receive it."""

    round: int
    metrics: dict[str, float]
    """"loss" and the means of the clients' metrics; those of the server as "server/NAME". Empty between evaluations."""
    clients: dict[int, dict[str, float]]
    """What each client measured, by partition."""
    counts: dict[str, int]
    """Exchanges, vectors, bytes and evaluations of the run so far."""
    position: PyTree


class ClientMeans(NamedTuple):
    metrics: dict[str, float]
    clients: dict[int, dict[str, float]]
    failed: dict[int, str]
    """Clients without an evaluation, and why."""


def measured(
    metrics: Callable[[PyTree], Any] | None, position: PyTree
) -> dict[str, float]:
    """Return the fields of a reply for the metrics that a client measures at a position.

    Raises:
        ValueError: a name that langevax uses itself.
    """
    numbers = {} if metrics is None else dict(metrics(position))
    for name in numbers:
        if fault := wire.fault_of_metric(name):
            raise ValueError(fault)
    return {f"{METRIC_PREFIX}{name}": float(value) for name, value in numbers.items()}


def client_means(
    replies: Iterable[Message], rows: dict[int, tuple[int, int]], weights: str
) -> ClientMeans:
    """Return the mean metrics of the clients that answered, and the metrics of each.

    `rows` has partition and rows by node. The loss is weighted as in the method, by rows or equally; other metrics too,
    unless a client says on how many examples they rest. A number that is not finite is left out of the mean, and a
    client whose loss is not is not evaluated.
    """
    clients: dict[int, dict[str, float]] = {}
    failed: dict[int, str] = {}
    totals: dict[str, tuple[float, float]] = {}
    known = [
        (rows[node], reply)
        for reply in replies
        if (node := reply.metadata.src_node_id) in rows
    ]
    for (partition, num_rows), reply in sorted(known, key=lambda pair: pair[0]):
        try:
            fields = opened(reply, wire.EVALUATION)
            numbers = {
                name.removeprefix(METRIC_PREFIX): value
                for name, value in fields.items()
                if name.startswith(METRIC_PREFIX)
            }
            examples = numbers.pop("num-examples", num_rows)
            if fields.get(LOSS_METRIC) is not None:
                numbers = {LOSS_METRIC: fields[LOSS_METRIC], **numbers}
        except Rejected as error:
            failed[partition] = str(error)
            continue
        clients[partition] = numbers
        for name, value in numbers.items():
            share = num_rows if name == LOSS_METRIC else examples
            if weights == "uniform":
                share = 1
            if isfinite(value) and isfinite(share) and share > 0:
                weight, total = totals.get(name, (0.0, 0.0))
                totals[name] = weight + share, total + share * value
    return ClientMeans(
        {name: total / weight for name, (weight, total) in totals.items()},
        clients,
        failed,
    )


def of_server(metrics: MetricRecord) -> dict[str, float]:
    """Return the server's numbers by their names in a `RoundRecord`; lists are left out."""
    return {
        f"{SERVER_PREFIX}{name}": float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float)
    }


class BestModel:
    """The position with the best value of a metric so far, and whether the run still improves.

    Args:
        metric: "loss", one of the clients' (`Task.metrics`), or "server/NAME" for one of the server's.
        mode: "min" or "max", what is better.
        stop_after: evaluations in a row without improvement that end a run; None for no end.

    Attributes:
        round, value, position: of the best evaluation; None before the first.

    Example:
        >>> best = BestModel("accuracy", "max")
        >>> best.add(RoundRecord(1, {"accuracy": 0.9}, {}, {}, "a model"))
        >>> best.round, best.value, best.position
        (1, 0.9, 'a model')
    """

    def __init__(
        self,
        metric: str = LOSS_METRIC,
        mode: Literal["min", "max"] = "min",
        stop_after: int | None = None,
    ):
        checks.instance("metric", metric, str, "'loss'")
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {checks.shown(mode)}.")
        if stop_after is not None:
            checks.positive_int("stop_after", stop_after)
        self.metric = metric
        self.sign: int = 1 if mode == "min" else -1
        self.stop_after = stop_after
        self.round: int | None = None
        self.value: float | None = None
        self.position: PyTree = None
        self.not_improved: int = 0

    @property
    def exhausted(self) -> bool:
        """True if the run has not improved for `stop_after` evaluations."""
        return self.stop_after is not None and self.not_improved >= self.stop_after

    def add(self, record: RoundRecord) -> None:
        """Compare an evaluation with the best so far.

        Raises:
            ValueError: the metric is not among those that were evaluated.
        """
        value = record.metrics.get(self.metric)
        if value is None:
            self._check_metric(record)
            return
        better = self.value is None or self.sign * value < self.sign * self.value
        if isfinite(value) and better:
            self.round = record.round
            self.value = value
            self.position = record.position
            self.not_improved = 0
        else:
            self.not_improved += 1

    def _check_metric(self, record: RoundRecord) -> None:
        if self.metric == LOSS_METRIC or self.round is not None or not record.clients:
            return
        known = [
            *record.metrics,
            *(name for own in record.clients.values() for name in own),
        ]
        if self.metric not in known:
            names = ", ".join(map(repr, dict.fromkeys(known)))
            raise ValueError(
                f"the best model is by {self.metric!r}, but the metrics are {names}; "
                "pass one of these."
            )

    def progress(self) -> dict[str, Any]:
        """Return what a checkpoint holds beside the best position."""
        names = ("metric", "sign", "round", "value", "not_improved")
        return {name: getattr(self, name) for name in names}

    def resume(
        self,
        progress: dict[str, Any],
        leaves: list[np.ndarray],
        like: PyTree,
    ) -> None:
        """Continue from `progress` and the leaves of the best position; begin again where another metric counts."""
        if (progress["metric"], progress["sign"]) != (self.metric, self.sign):
            return
        self.round = progress["round"]
        self.value = progress["value"]
        self.not_improved = progress["not_improved"]
        if leaves:
            self.position = jax.tree.unflatten(jax.tree.structure(like), leaves)


def in_words(metrics: dict[str, float]) -> str:
    """Return metrics for a line of the log."""
    return "".join(f"; {name} {value:.6g}" for name, value in metrics.items())
