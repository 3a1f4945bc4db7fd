"""The loss as clients see it: the position goes to all of them, the mean over all rows comes back."""

from collections.abc import Callable, Iterable

from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result
from jaxtyping import PyTree

from langevax.flower import wire
from langevax.flower.members import Members
from langevax.flower.post import carried
from langevax.flower.wire import Refused

Evaluate = Callable[[int, ArrayRecord], MetricRecord | None]


class Evaluation:
    """Asks the clients that are there, and the server's own function where there is one."""

    def __init__(self, members: Members):
        self.members = members

    def messages(self, position: PyTree) -> list[Message]:
        """The position, to all clients that are there."""
        record = wire.packed(position)
        nodes = [self.members.nodes[partition] for partition in self.members.present()]
        return [Message(wire.content({}, record), node, "evaluate") for node in nodes]

    def loss_of(self, replies: Iterable[Message]) -> float | None:
        """`sum_i w_i f_i` over those who answered, as shares of them; None where nobody did."""
        total = weight = 0.0
        for reply in replies:
            if reply.has_error():
                continue
            try:
                words = wire.words_of(reply.content)
                loss, rows = float(words["loss"]), int(words["rows"])
            except (Refused, KeyError):
                continue
            share = rows if self.members.weights == "size" else 1
            total, weight = total + share * loss, weight + share
        return total / weight if weight else None

    def noted(self, grid: Grid, position: PyTree, deadline: float, poll: float, done: int, result: Result) -> str:
        """Ask the clients; the loss goes into `result` and, in words, to the log."""
        replies = carried(grid, self.messages(position), deadline, poll)
        loss = self.loss_of(replies.by_place.values())
        if loss is None:
            return ""
        result.evaluate_metrics_clientapp[done] = wire.metrics({"loss": loss})
        return f"; loss {loss:.6g}"


def on_server(evaluate: Evaluate, position: ArrayRecord, done: int, result: Result) -> str:
    """The server's own evaluation, the same way."""
    found = evaluate(done, position)
    if found is None:
        return ""
    result.evaluate_metrics_serverapp[done] = found
    return "".join(f"; {name} {value:.6g}" for name, value in found.items() if isinstance(value, int | float))
