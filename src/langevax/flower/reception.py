"""Nodes that are new are asked who they are; their answers are read whenever the server looks."""

import time
from logging import INFO, WARNING, getLogger

from flwr.app import Message
from flwr.serverapp import Grid

from langevax.flower import wire
from langevax.flower.members import Introduction, Members
from langevax.flower.wire import Refused

HELLO = "query.hello"
BETWEEN = 1.0  # seconds from one look for new nodes to the next while replies are waited for
log = getLogger("flwr").log


class Reception:
    """Greets strangers and takes their introductions.

    Args:
        members: who is known.
        described: the server's algorithm, which a client must have as well.
    """

    def __init__(self, members: Members, described: str):
        self.members, self.described = members, described
        self.refused: dict[str, str] = {}
        self._waiting: dict[str, int] = {}
        self._looked = time.monotonic()

    def look(self, grid: Grid) -> None:
        """Greet nodes that are new, and take in what others answered; waits for nobody."""
        self.members.connected = set(grid.get_node_ids())
        self._greet(grid, self.members.connected)
        if self._waiting:
            for reply in grid.pull_messages(set(self._waiting)):
                node = self._waiting.pop(reply.metadata.reply_to_message_id, None)
                if node is not None:
                    self._introduced(node, reply)
        self._waiting = {name: node for name, node in self._waiting.items() if node in self.members.connected}

    def greet(self, grid: Grid) -> None:
        """Greet nodes that are new, now and then: while an exchange waits, so that their answers are there after it."""
        if time.monotonic() - self._looked >= BETWEEN:
            self._greet(grid, set(grid.get_node_ids()))

    def gather(self, grid: Grid, wanted: int | None, seconds: float, poll_seconds: float) -> None:
        """Wait for `wanted` clients; None waits for as many as they say there are.

        Raises:
            TimeoutError: they did not come in time; it says who did, and who was refused.
        """
        end = time.monotonic() + seconds
        while True:
            self.look(grid)
            here = self.members.present()
            number = self.members.num_partitions if wanted is None else wanted
            if here and number and len(here) >= number:
                log(INFO, "%d clients are there, with %d rows", len(here), sum(self.members.rows[p] for p in here))
                return
            if time.monotonic() >= end:
                refused = "".join(f" Refused: {why}." for why in self.refused.values())
                of = "clients" if not number else f"of {number} clients"
                raise TimeoutError(
                    f"{len(here)} {of} introduced themselves within {seconds:g} s ({here}); start the others, ask for "
                    f"fewer (num_clients), or wait longer (join_seconds).{refused}"
                )
            time.sleep(poll_seconds)

    def _greet(self, grid: Grid, connected: set[int]) -> None:
        self._looked = time.monotonic()
        greeted = set(self._waiting.values())
        new = [node for node in self.members.strangers(connected) if node not in greeted]
        if new:
            names = grid.push_messages(
                [Message(wire.content({"algorithm": self.described}), node, HELLO) for node in new]
            )
            self._waiting |= {str(name): node for name, node in zip(names, new, strict=True) if name}

    def _introduced(self, node: int, reply: Message) -> None:
        try:
            if reply.has_error():
                raise Refused((reply.error.reason or "it failed").strip().splitlines()[-1][:300])
            words = wire.words_of(reply.content)
            if "refused" in words:
                raise Refused(str(words["refused"]))
            if (other := wire.difference(self.described, str(words.get("algorithm")))) is not None:
                raise Refused(f"it runs another algorithm: {other}; install the same app on both sides")
            said = Introduction(int(words["partition"]), int(words["rows"]), int(words["num-partitions"]))
        except (Refused, KeyError) as error:
            self.members.refused_nodes.add(node)
            why = f"node {node}: {error}"
        else:
            why = self.members.welcome(node, said)
        if why is not None and self.refused.get(str(node)) != why:
            self.refused[str(node)] = why
            log(WARNING, "Refused: %s", why)
