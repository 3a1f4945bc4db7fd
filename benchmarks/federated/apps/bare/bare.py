"""Two vectors there and back, to one client and to several in turn, looking for replies every 0.05 s."""

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

client = ClientApp()
server = ServerApp()


@client.train("exchange")
def train(message, context):
    """Answer with what was sent."""
    return Message(message.content, reply_to=message)


@server.main()
def main(grid, context):
    config, vector = (
        context.run_config,
        np.zeros(int(context.run_config["numbers"]), np.float32),
    )
    while len(nodes := sorted(grid.get_node_ids())) < config["clients"]:
        time.sleep(0.05)
    seconds = {"one": [], "several": []}
    for _ in range(config["rounds"]):
        for kind, asked in (
            ("one", nodes[:1]),
            ("several", nodes[: config["clients"]]),
        ):
            began = time.monotonic()
            record = ArrayRecord([vector, vector])
            waiting = set(
                grid.push_messages(
                    [
                        Message(RecordDict({"a": record}), n, "train.exchange")
                        for n in asked
                    ]
                )
            )
            while waiting:
                waiting -= {
                    reply.metadata.reply_to_message_id
                    for reply in grid.pull_messages(waiting)
                }
                if waiting:
                    time.sleep(0.05)
            seconds[kind].append(time.monotonic() - began)
    Path(config["out"]).write_text(json.dumps(seconds))
