"""One exchange over a `Grid`: messages out, replies in until a deadline, and which of them are taken in."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from flwr.app import Message
from flwr.serverapp import Grid

from langevax.flower import wire
from langevax.flower.wire import Refused


class Replies(NamedTuple):
    """What came back, by the place of the message that it answers."""

    by_place: dict[int, Message]
    engine_seconds: float


def carried(
    grid: Grid,
    messages: list[Message],
    deadline: float,
    poll_seconds: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> Replies:
    """Send messages and wait for their replies, at most `deadline` seconds; what comes later is never looked at.

    `meanwhile` is called between looks for replies.
    """
    began = time.monotonic()
    if not messages:
        return Replies({}, 0.0)
    places = {str(name): place for place, name in enumerate(grid.push_messages(messages)) if name}
    waiting, found = set(places), {}
    while waiting:
        for reply in grid.pull_messages(waiting):
            name = reply.metadata.reply_to_message_id
            if name in waiting:
                waiting.discard(name)
                found[places[name]] = reply
        if not waiting or time.monotonic() - began >= deadline:
            break
        meanwhile()
        time.sleep(poll_seconds)
    return Replies(found, time.monotonic() - began)


class Inspector:
    """Looks at replies: who sent them, what they answer, and whether their numbers can be meant.

    A norm is absurd above `ratio` times the median of what was sent of this kind, the last time and this time: one
    client among three or more cannot shift it, and no scale has to be known beforehand.
    """

    def __init__(self, run: str, ratio: float):
        self.run, self.ratio = run, ratio
        self.usual: dict[str, float] = {}

    def opened(self, reply: Message, sent: Mapping[str, Any], node: int, shape: Any) -> tuple[Any, float]:
        """The tree that a reply carries, and its norm; `Lost` where the client lost its memory.

        Raises:
            Refused: it is an error, another's, of another exchange, of other shapes, or not finite.
        """
        if reply.has_error():
            raise Refused(f"it failed: {_last_line(reply.error.reason)}")
        if reply.metadata.src_node_id != node:
            raise Refused(f"it comes from node {reply.metadata.src_node_id}, not from {node}, which was asked")
        words = wire.words_of(reply.content)
        if "refused" in words:
            raise Refused(f"it refused: {words['refused']}")
        for name in ("run", "number", "exchange", "partition"):
            if words.get(name) != sent[name]:
                raise Refused(f"it answers {name} {words.get(name)}, not {name} {sent[name]}")
        if words.get("lost"):
            raise Lost("it has lost its memory")
        tree = wire.unpacked(wire.arrays_of(reply.content), shape)
        return tree, wire.norm(tree)

    def sensible(self, exchange: str, norms: Mapping[int, float]) -> dict[int, str]:
        """Why replies are refused for their norms, by place; the others set what is usual."""
        known = [self.usual[exchange]] if exchange in self.usual else []
        positive = [n for n in (*norms.values(), *known) if n > 0]
        limit = self.ratio * max([statistics.median(positive), *known]) if positive else float("inf")
        absurd = {
            place: f"its norm is {n:.3g}, more than {self.ratio:g} times the usual {limit / self.ratio:.3g}"
            for place, n in norms.items()
            if n > limit
        }
        kept = [n for place, n in norms.items() if place not in absurd]
        if kept:
            self.usual[exchange] = statistics.median(kept)
        return absurd


class Lost(Refused):
    """The client has not the memory that the server counts on."""


def _last_line(text: str | None) -> str:
    lines = [line.strip() for line in (text or "no reason given").strip().splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"


def unique(names: Iterable[str]) -> str:
    """Names in words."""
    return ", ".join(dict.fromkeys(names))
