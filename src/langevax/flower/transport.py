"""Messages between a server and its clients over Flower's `Grid`, which clients there are, and checks of replies."""

import math
import statistics
import time
from collections.abc import Container, Mapping
from logging import INFO, WARNING, getLogger
from typing import Any, NamedTuple

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid

from langevax._typing import PyTree
from langevax.flower import wire
from langevax.flower.wire import Rejected
from langevax.problems.federation import Clients

HELLO = "query.hello"
log = getLogger("flwr").log


class Received(NamedTuple):
    replies: dict[int, Message]
    """By the index of the message they answer."""
    engine_seconds: float


def send_and_receive(
    grid: Grid,
    messages: list[Message],
    deadline: float,
    poll_seconds: float,
) -> Received:
    """Send messages and wait at most `deadline` seconds for their replies; later ones are never read."""
    began = time.monotonic()
    if not messages:
        return Received({}, 0.0)
    names = map(str, grid.push_messages(messages))
    waiting = {name: index for index, name in enumerate(names) if name}
    replies = {}
    while waiting:
        for reply in grid.pull_messages(set(waiting)):
            index = waiting.pop(reply.metadata.reply_to_message_id, None)
            if index is not None:
                replies[index] = reply
        if not waiting or time.monotonic() - began >= deadline:
            break
        time.sleep(poll_seconds)
    return Received(replies, time.monotonic() - began)


class NodeRegistry:
    """The clients of a run by partition id, and the node of each.

    Flower's node ids are random and change when a SuperNode without a key restarts; partition ids stay. A client misses
    an exchange that it was selected for and did not answer, and those while its node is not connected. After `patience`
    of these in a row it is removed, and joins again by introducing itself.

    Args:
        weights: "size" or "uniform", as in `Federation`.
        patience: exchanges in a row that a client may miss.
        description: of the server's algorithm, which clients must share.

    Attributes:
        partitions: those of the run's clients, in order.
        num_partitions: the number of clients according to the clients, the median of what they say; 0 where none does.
        rejected: why nodes were not accepted.
    """

    def __init__(
        self,
        weights: str,
        patience: int,
        dtype: Any,
        description: str = "",
    ):
        self.weights = weights
        self.patience = patience
        self.dtype = dtype
        self.description = description
        self.nodes: dict[int, int] = {}
        self.rows: dict[int, int] = {}
        self.missed: dict[int, int] = {}
        self.connected: set[int] = set()
        self.partitions: list[int] = []
        self.rejected: dict[int, str] = {}
        self.claims: dict[int, int] = {}
        self._ignored: set[int] = set()
        self._greeted: dict[
            str, int
        ] = {}  # nodes by the greeting that they have not answered

    @property
    def num_partitions(self) -> int:
        claims = [self.claims[p] for p in self.nodes if self.claims[p] > 0]
        return statistics.median_low(claims) if claims else 0

    def poll(self, grid: Grid) -> None:
        """Greet new nodes and read the answers to earlier greetings, without waiting."""
        self.connected = set(grid.get_node_ids())
        self._greet(grid, self.connected)
        if self._greeted:
            for reply in grid.pull_messages(set(self._greeted)):
                node = self._greeted.pop(reply.metadata.reply_to_message_id, None)
                if node is not None:
                    self._introduce(node, reply)
        self._greeted = {
            name: node for name, node in self._greeted.items() if node in self.connected
        }

    def wait_for(
        self,
        grid: Grid,
        number: int | None,
        seconds: float,
        poll_seconds: float,
    ) -> None:
        """Wait for `number` clients, None for all; a `TimeoutError` names those who came and who was rejected."""
        end = time.monotonic() + seconds
        while True:
            self.poll(grid)
            here = self.active()
            needed = self.num_partitions if number is None else number
            if here and needed and len(here) >= needed:
                log(
                    INFO,
                    "%d clients are connected, with %d rows",
                    len(here),
                    sum(self.rows[p] for p in here),
                )
                return
            if time.monotonic() >= end:
                rejected = "".join(
                    f" Rejected: {why}." for why in self.rejected.values()
                )
                of = "clients" if not needed else f"of {needed} clients"
                raise TimeoutError(
                    f"{len(here)} {of} introduced themselves within {seconds:g} s "
                    f"({here}); start the others, ask for fewer, or wait longer: "
                    f"ClientRules(number, join_seconds=).{rejected}"
                )
            time.sleep(poll_seconds)

    def register(
        self,
        node: int,
        partition: int,
        rows: int,
        num_partitions: int,
    ) -> str | None:
        """Accept a client, or return why it is rejected."""
        name = f"node {node}"
        if partition < 0:
            self._ignored.add(node)
            return (
                f"{name} has no partition id; start its SuperNode with --node-config "
                "'partition-id=N'"
            )
        if rows < 1:
            self._ignored.add(node)
            return f"client {partition} ({name}) has no rows"
        present = self.nodes.get(partition)
        if (
            present is not None
            and present != node
            and present in self.connected
            and not self.missed[partition]
        ):
            # not ignored for good: the other may be dead, which Flower notices after a minute
            return f"{name} has the partition id {partition} of node {present}"
        self.nodes[partition] = node
        self.rows[partition] = rows
        self.missed[partition] = 0
        self.claims[partition] = num_partitions
        self.rejected.pop(node, None)
        return None

    def unknown(self, connected: set[int]) -> list[int]:
        """Connected nodes that have not introduced themselves."""
        return sorted(connected - set(self.nodes.values()) - self._ignored)

    def active(self) -> list[int]:
        """Partitions of clients that are connected and answer."""
        return sorted(
            p
            for p, node in self.nodes.items()
            if node in self.connected and self.missed[p] < self.patience
        )

    def node_of(self, client: int) -> int | None:
        """The node of a client of the run, None where it is not connected."""
        node = self.nodes.get(self.partitions[client])
        return node if node in self.connected else None

    def rows_of_nodes(self) -> dict[int, tuple[int, int]]:
        """Return partition and rows of each client by its node."""
        return {
            node: (partition, self.rows[partition])
            for partition, node in self.nodes.items()
        }

    def record(
        self,
        selected: list[int],
        answered: set[int],
        refused: Mapping[int, str],
        renewed: Container[int] = (),
    ) -> None:
        """Count who missed an exchange, by index in the run; `refused` says why replies were not used.

        A client that was refused and answers from a new memory, one of `renewed`, is not forgiven yet: one that never
        keeps its memory would restart the run for ever.
        """
        for client, partition in enumerate(self.partitions):
            node = self.node_of(client)
            if node is not None and client in refused:
                self.rejected[node] = f"client {partition}: {refused[client]}"
            if client in answered:
                if node in self.rejected and client not in renewed:
                    del self.rejected[node]
                if node not in self.rejected:
                    self.missed[partition] = 0
            elif client in selected or node is None:
                self.missed[partition] += 1

    def changes(self) -> tuple[list[int], list[int]]:
        """(partitions that joined, partitions to remove) since `set_clients`."""
        gone = [p for p in self.partitions if self.missed[p] >= self.patience]
        return [p for p in self.active() if p not in self.partitions], gone

    def forget(self, partitions: list[int]) -> None:
        """Forget the nodes of these; all are greeted again but those that are here and were refused."""
        for partition in partitions:
            node = self.nodes.pop(partition, None)
            if node in self.rejected and node in self.connected:
                self._ignored.add(node)

    def candidates(self) -> list[int]:
        """The clients of a restart: all that are connected, and those that are absent for a moment."""
        return sorted(
            {p for p in self.partitions if self.missed[p] < self.patience}
            | set(self.active())
        )

    def set_clients(self, partitions: list[int]) -> Clients:
        """Make these the clients of the run."""
        self.partitions = partitions
        for partition in partitions:
            self.missed.setdefault(partition, 0)
        return Clients.of(
            np.array([self.rows[p] for p in partitions]), self.weights, self.dtype
        )

    def _greet(self, grid: Grid, connected: set[int]) -> None:
        waiting = set(self._greeted.values())
        if new := [node for node in self.unknown(connected) if node not in waiting]:
            content = {"algorithm": self.description}
            names = grid.push_messages(
                [Message(wire.content(content), node, HELLO) for node in new]
            )
            self._greeted |= {
                str(name): node for name, node in zip(names, new, strict=True) if name
            }

    def _introduce(self, node: int, reply: Message) -> None:
        try:
            fields = opened(reply, wire.INTRODUCTION)
            other = wire.difference(self.description, fields["algorithm"])
            if other is not None:
                raise Rejected(
                    f"it runs another algorithm: {other}; install the same app on both "
                    "sides"
                )
            introduction = [
                fields[name] for name in ("partition", "rows", "num-partitions")
            ]
        except Rejected as error:
            self._ignored.add(node)
            why = f"node {node}: {error}"
        else:
            why = self.register(node, *introduction)
        if why is not None and self.rejected.get(node) != why:
            self.rejected[node] = why
            log(WARNING, "Rejected: %s", why)


class CheckedReplies(NamedTuple):
    """Replies of one exchange, by the index of the message they answer."""

    accepted: dict[int, PyTree]
    rejected: dict[int, str]
    """Those that are not used, and why."""
    memory_lost: list[int]


class ReplyChecker:
    """Checks replies: who sent them, what they answer, and whether their numbers are plausible.

    A norm is too large above `norm_ratio` times the median of the norms of this exchange, the last time and this time:
    one client among three or more cannot shift it, and no scale has to be known beforehand.
    """

    def __init__(self, run: str, norm_ratio: float = 1000.0):
        self.run = run
        self.norm_ratio = norm_ratio
        self.usual: dict[str, float] = {}

    def check_all(
        self,
        exchange: str,
        messages: list[Message],
        replies: Mapping[int, Message],
        shape: PyTree,
    ) -> CheckedReplies:
        """Return which replies to these messages are accepted."""
        trees: dict[int, PyTree] = {}
        norms: dict[int, float] = {}
        rejected: dict[int, str] = {}
        lost = []
        for index, reply in sorted(replies.items()):
            try:
                trees[index] = self.check(messages[index], reply, shape)
                norms[index] = wire.norm(trees[index])
            except MemoryLost:
                lost.append(index)
            except Rejected as error:
                rejected[index] = str(error)
        rejected |= self.too_large(exchange, norms)
        accepted = {i: trees[i] for i in norms if i not in rejected}
        return CheckedReplies(accepted, dict(sorted(rejected.items())), lost)

    def check(
        self,
        message: Message,
        reply: Message,
        shape: PyTree,
    ) -> PyTree:
        """The tree in the reply to a message.

        Raises:
            MemoryLost: the client lost its memory.
            Rejected: an error, another sender, another exchange, other shapes.
        """
        sent = wire.fields_of(message.content)
        node = message.metadata.dst_node_id
        if not reply.has_error() and reply.metadata.src_node_id != node:
            raise Rejected(
                f"it comes from node {reply.metadata.src_node_id}, not from node {node}"
            )
        fields = opened(reply, wire.EXCHANGE)
        for name in wire.EXCHANGE:
            if fields[name] != sent[name]:
                raise Rejected(
                    f"it answers {name} {fields[name]}, not {name} {sent[name]}"
                )
        if fields.get("lost"):
            if sent["memory_version"] < 0:
                raise Rejected("it lost a memory that it was not asked for")
            raise MemoryLost("it lost its memory")
        return wire.unpack(wire.arrays_of(reply.content), shape)

    def too_large(self, exchange: str, norms: Mapping[int, float]) -> dict[int, str]:
        """Return the reasons why replies are rejected for their norms, by index; the others update what is usual."""
        known = [self.usual[exchange]] if exchange in self.usual else []
        positive = [n for n in (*norms.values(), *known) if n > 0]
        usual = max([statistics.median(positive), *known]) if positive else math.inf
        reasons = {
            index: (
                f"its norm is {n:.3g}, more than {self.norm_ratio:g} times the usual "
                f"{usual:.3g}"
            )
            for index, n in norms.items()
            if n > self.norm_ratio * usual
        }
        if accepted := [n for index, n in norms.items() if index not in reasons]:
            self.usual[exchange] = statistics.median(accepted)
        return reasons


class MemoryLost(Rejected):
    """The client does not have the memory that the server counts on."""


def opened(reply: Message, schema: dict[str, type]) -> dict[str, Any]:
    """The fields of a reply of this schema; raise `Rejected` for an error, or where the client rejected the message."""
    if reply.has_error():
        lines = (reply.error.reason or "").split("\n")
        words = [line.strip() for line in lines if line.strip()]
        raise Rejected(f"it failed: {words[-1] if words else 'no reason given'}")
    fields = wire.fields_of(reply.content)
    if "rejected" in fields:
        raise Rejected(f"it rejected the message: {fields['rejected']}")
    return wire.checked(fields, schema)
