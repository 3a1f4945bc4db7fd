"""Flower's `Grid` without an engine: messages go straight to a `ClientApp` in this process."""

import itertools

from flwr.app import Context, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

SERVER = 1


class LocalGrid(Grid):
    """Clients by node id. `tamper(node, message, reply)` may change a reply, or drop it by giving None."""

    def __init__(
        self, app, num_partitions, run_config=None, tamper=None, first_node=2**63
    ):
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = (
            1,
            SERVER,
            1,
        )  # as engines do
        self.app, self.run_config, self.tamper = app, run_config or {}, tamper
        self.contexts, self.dead, self.replies, self.names = (
            {},
            set(),
            {},
            itertools.count(),
        )
        for partition in range(num_partitions):
            self.connect(first_node + 7 * partition, partition, num_partitions)

    def connect(self, node, partition, num_partitions):
        config = {"partition-id": partition, "num-partitions": num_partitions}
        self.contexts[node] = Context(1, node, config, RecordDict(), self.run_config)

    def set_run(self, run):
        raise NotImplementedError

    @property
    def run(self):
        raise NotImplementedError

    def create_message(self, *args, **kwargs):
        raise NotImplementedError

    def get_node_ids(self):
        return list(self.contexts)

    def push_messages(self, messages):
        names = []
        for message in messages:
            name = f"m{next(self.names)}"
            message.metadata.__dict__["_message_id"] = name
            names.append(name)
            node = message.metadata.dst_node_id
            if node in self.dead or node not in self.contexts:
                continue
            reply = self.app(message, self.contexts[node])
            if self.tamper is not None:
                reply = self.tamper(node, message, reply)
            if reply is not None:
                self.replies[name] = reply
        return names

    def pull_messages(self, message_ids):
        return [
            self.replies.pop(name) for name in list(message_ids) if name in self.replies
        ]

    def send_and_receive(self, messages, *, timeout=None):
        return self.pull_messages(self.push_messages(messages))
