"""Who takes part: clients by partition id, whichever node they are at present, and for how long they have been away.

Flower's node ids are random and change when a SuperNode without a key starts again; partition ids stay. A client is
away in an exchange that it was asked and did not answer, or whose node is not connected. After `patience` of these in a
row it is left out, and comes back by saying hello.
"""

from typing import Any, NamedTuple

import numpy as np

from langevax.problems.federation import Roster


class Introduction(NamedTuple):
    """What a client says of itself."""

    partition: int
    rows: int
    num_partitions: int


class Members:
    """The clients that a server knows.

    Args:
        weights: "size" or "uniform", as in `Federation`.
        patience: exchanges in a row that a client may miss.

    Attributes:
        partitions: of the clients in the roster, in its order.
        roster: their weights and rows, None before the first `settle`.
        num_partitions: how many clients there are, as they say; 0 where they do not.
    """

    def __init__(self, weights: str, patience: int, dtype: Any):
        self.weights, self.patience, self.dtype = weights, patience, dtype
        self.nodes: dict[int, int] = {}
        self.rows: dict[int, int] = {}
        self.missed: dict[int, int] = {}
        self.connected: set[int] = set()
        self.partitions: list[int] = []
        self.roster: Roster | None = None
        self.refused_nodes: set[int] = set()
        self.num_partitions = 0

    def strangers(self, connected: set[int]) -> list[int]:
        """Nodes that are connected and have not said who they are."""
        return sorted(connected - set(self.nodes.values()) - self.refused_nodes)

    def welcome(self, node: int, said: Introduction) -> str | None:
        """Take note of a client; why not, where it cannot take part."""
        here = f"node {node}"
        if said.partition < 0:
            self.refused_nodes.add(node)
            return f"{here} has no partition id; start its SuperNode with --node-config 'partition-id=N'"
        if said.rows < 1:
            self.refused_nodes.add(node)
            return f"client {said.partition} ({here}) has no rows"
        present = self.nodes.get(said.partition)
        if present is not None and present != node and present in self.connected and not self.missed[said.partition]:
            # asked again at every look: the other may be dead, which Flower notices after a minute
            return f"{here} says that it is client {said.partition}, which node {present} is already"
        self.nodes[said.partition], self.rows[said.partition] = node, said.rows
        self.missed[said.partition] = 0
        self.num_partitions = max(self.num_partitions, said.num_partitions)
        return None

    def present(self) -> list[int]:
        """Partitions of clients that are connected and answer."""
        return sorted(p for p, node in self.nodes.items() if node in self.connected and self.missed[p] < self.patience)

    def node_of(self, client: int) -> int | None:
        """The node of a client in the roster, None where it is not connected."""
        node = self.nodes.get(self.partitions[client])
        return node if node in self.connected else None

    def note(self, asked: list[int], answered: set[int]) -> None:
        """Who answered one exchange, by numbers in the roster."""
        for client, partition in enumerate(self.partitions):
            if client in answered:
                self.missed[partition] = 0
            elif client in asked or self.node_of(client) is None:
                self.missed[partition] += 1

    def changes(self) -> tuple[list[int], list[int]]:
        """(partitions that came, partitions that are gone for good) since the roster was made."""
        gone = [p for p in self.partitions if self.missed[p] >= self.patience]
        return [p for p in self.present() if p not in self.partitions], gone

    def leave(self, gone: list[int]) -> None:
        """Forget the nodes of these, so that they are greeted again when they are back."""
        for partition in gone:
            self.nodes.pop(partition, None)

    def staying(self) -> list[int]:
        """Those that the next roster has: all that are there, and those who are away for a moment."""
        waiting = {p for p in self.partitions if self.missed[p] < self.patience}
        return sorted(waiting | set(self.present()))

    def settle(self) -> Roster:
        """The roster of those."""
        return self.seat(self.staying())

    def seat(self, partitions: list[int]) -> Roster:
        """The roster of these."""
        self.partitions = partitions
        for partition in partitions:
            self.missed.setdefault(partition, 0)
        self.roster = Roster.of(np.array([self.rows[p] for p in partitions]), self.weights, self.dtype)
        return self.roster
