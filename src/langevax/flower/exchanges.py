"""One exchange of a federated run over a `Grid`: sent, collected, inspected, taken in, and told."""

import time
from collections.abc import Callable
from logging import WARNING, getLogger
from typing import Any, NamedTuple

import jax
import numpy as np
from flwr.app import ArrayRecord, Message
from flwr.serverapp import Grid

from langevax.federated.conductor import Asked, Conductor
from langevax.flower import wire
from langevax.flower.members import Members
from langevax.flower.post import Inspector, Lost, carried
from langevax.flower.wire import Refused

ASK = "train.exchange"
log = getLogger("flwr").log


class Carried(NamedTuple):
    """One exchange as it went."""

    number: int
    round: int
    exchange: str
    asked: list[int]
    """Partitions, as in what follows."""
    answered: list[int]
    refused: dict[int, str]
    """Replies that were not taken in, and why."""
    late: list[int]
    """Asked, and no reply before the deadline."""
    away: list[int]
    """Chosen, and not asked, since they were not connected."""
    lost: list[int]
    """Without the memory that the method counts on."""
    seconds: float
    own_seconds: float
    """Without Flower's work, and without waiting."""
    counts: dict[str, int]


class Sent(NamedTuple):
    """Messages of one exchange, and whom they went to."""

    asked: Asked
    messages: list[Message]
    clients: list[int]
    """In the roster, one for each message."""
    nodes: list[int]
    words: list[dict[str, Any]]


class Exchanges:
    """Carries exchanges between a `Conductor` and the `Members` that it asks."""

    def __init__(self, conductor: Conductor, members: Members, described: str, inspector: Inspector):
        self.conductor, self.members, self.described, self.inspector = conductor, members, described, inspector

    def carry(self, grid: Grid, deadline: float, poll_seconds: float, meanwhile: Callable[[], None]) -> Carried:
        """The next exchange, whole; `meanwhile` is called now and then while replies are waited for."""
        began = time.monotonic()
        sent = self.messages()
        replies = carried(grid, sent.messages, deadline, poll_seconds, meanwhile)
        told = self.take(sent, replies.by_place)
        seconds = time.monotonic() - began
        return told._replace(seconds=seconds, own_seconds=seconds - replies.engine_seconds)

    def messages(self) -> Sent:
        """Those of the next exchange, to the clients that are connected."""
        asked, conductor = self.conductor.next(), self.conductor
        impl = str(jax.random.key_impl(conductor.key))
        sent = Sent(asked, [], [], [], [])
        packed: dict[tuple[int, ...], ArrayRecord] = {}
        for place, client in enumerate(asked.clients):
            node = self.members.node_of(client)
            if node is None:
                continue
            leaves = jax.tree.leaves(asked.messages[place])
            same = tuple(id(leaf) for leaf in leaves)  # most messages do not depend on the client
            if same not in packed:
                packed[same] = wire.packed(leaves)
            words = {
                "run": self.inspector.run, "number": asked.number, "exchange": asked.turn.name,
                "partition": self.members.partitions[client],
            }  # fmt: skip
            key = np.asarray(asked.keys[place]).tolist()
            more = {"step": asked.step, "key": key, "impl": impl, "stamp": asked.stamps[place]}
            content = wire.content(words | more | {"algorithm": self.described}, packed[same])
            sent.messages.append(Message(content, node, ASK, group_id=str(asked.number)))
            sent.clients.append(client)
            sent.nodes.append(node)
            sent.words.append(words)
        return sent

    def take(self, sent: Sent, replies: dict[int, Message]) -> Carried:
        """Take in the replies by place in `sent`; one that is refused is named, and its client counts as a drop-out."""
        asked, shape = sent.asked, self.conductor.reply_shape(sent.asked)
        trees, norms, refused, lost = {}, {}, {}, []
        for place, reply in replies.items():
            try:
                trees[place], norms[place] = self.inspector.opened(reply, sent.words[place], sent.nodes[place], shape)
            except Lost:
                lost.append(place)
            except Refused as error:
                refused[place] = str(error)
        refused |= self.inspector.sensible(asked.turn.name, norms)
        taken = {sent.clients[place]: trees[place] for place in sorted(trees) if place not in refused}
        counts = self.conductor.absorb(asked, taken)
        self.members.note(asked.clients, set(taken))
        names = self.members.partitions
        for place, why in sorted(refused.items()):
            log(WARNING, "Refused the reply of client %d: %s", names[sent.clients[place]], why)
        late = [client for place, client in enumerate(sent.clients) if place not in replies]
        return Carried(
            number=asked.number,
            round=asked.step,
            exchange=asked.turn.name,
            asked=[names[client] for client in asked.clients],
            answered=[names[client] for client in taken],
            refused={names[sent.clients[place]]: why for place, why in refused.items()},
            late=[names[client] for client in late],
            away=[names[client] for client in asked.clients if client not in sent.clients],
            lost=[names[sent.clients[place]] for place in lost],
            seconds=0.0,
            own_seconds=0.0,
            counts=counts,
        )
