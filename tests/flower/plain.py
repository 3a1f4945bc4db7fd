"""An app in plain Flower, without langevax: each round the server asks all nodes and notes whose answers came."""

PYPROJECT = """
[project]
name = "plain"
version = "0.1.0"
description = "Asks all nodes and notes who answers"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "langevax"

[tool.flwr.app.components]
serverapp = "plain.server_app:app"
clientapp = "plain.client_app:app"

[tool.flwr.app.config]
rounds = 2
enough = 0
out = ""
trouble = ""
"""

CLIENT = """
import os

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()
SEEN = ("JAX_COMPILATION_CACHE_DIR", "FLWR_HOME")


@app.query("who")
def who(message, context):
    place = {key: int(context.node_config[key]) for key in ("partition-id", "num-partitions")}
    kept = {key: os.environ.get(key, "") for key in SEEN}
    return Message(RecordDict({"who": ConfigRecord({**place, **kept, "pid": os.getpid()})}), reply_to=message)
"""

SERVER = """
import json
import time

from flwr.app import Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()


@app.main()
def main(grid, context):
    config, rounds = context.run_config, []
    if config["trouble"] == "raise":
        raise RuntimeError("planted trouble")
    if config["trouble"] == "sleep":
        sleep()
    for number in range(config["rounds"]):
        while not (nodes := list(grid.get_node_ids())):
            time.sleep(0.05)
        messages = [Message(RecordDict(), dst_node_id=node, message_type="query.who") for node in nodes]
        waiting, answers = set(grid.push_messages(messages)), []
        while len(answers) < (config["enough"] or len(nodes)):
            time.sleep(0.05)
            for answer in grid.pull_messages(waiting):
                waiting.discard(answer.metadata.reply_to_message_id)
                if answer.has_error():  # Flower's own reply for a node that has died
                    continue
                answers.append(dict(answer.content["who"], node=str(answer.metadata.src_node_id)))
        rounds.append(sorted(answers, key=lambda answer: answer["partition-id"]))
        print("round", number, "has", len(answers), "answers", flush=True)
    with open(config["out"], "w") as file:
        json.dump({"rounds": rounds}, file)
    if config["trouble"] == "sleep afterwards":
        sleep()


def sleep():
    while True:
        print("sleeping", flush=True)
        time.sleep(1)
"""


def write_plain_app(folder):
    """The app's folder."""
    package = folder / "plain"
    package.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "client_app.py").write_text(CLIENT, encoding="utf-8")
    (package / "server_app.py").write_text(SERVER, encoding="utf-8")
    return folder
