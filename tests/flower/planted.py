"""A langevax app whose run config plants faults: it runs methods one after another, with faults in the last."""

from pathlib import Path

PYPROJECT = """
[project]
name = "planted"
version = "0.1.0"
description = "Federated runs with planted faults"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "langevax"

[tool.flwr.app.components]
serverapp = "planted.server_app:app"
clientapp = "planted.client_app:app"

[tool.flwr.app.config]
methods = "sarah"
faults = ""
asked = 0
rounds = 3
seed = 0
num-clients = 0
deadline = 60.0
evaluate-every = 0
patience = 3
out = ""
checkpoint = ""
resume = false
"""

TASK = """
from langevax.federated import FLEDGE, SCAFFOLD, MinibatchSARAH
from langevax.flower import Task, wire
from planted.rows import START, problem

METHODS = {
    "fledge": FLEDGE(step_size=0.05, num_local_steps=3, batch_size=2, clients_per_round=4),
    "scaffold": SCAFFOLD(step_size=0.05, num_local_steps=3, batch_size=2, clients_per_round=4),
    "sarah": MinibatchSARAH(step_size=0.05, batch_size=2, period=3),
}
DESCRIBED = {wire.description(algorithm=method): name for name, method in METHODS.items()}
task = Task(lambda config: METHODS[config["method"]], START, problem)
"""

CLIENT = """
import os

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from langevax.flower import client_app
from planted.task import DESCRIBED, task


inner = client_app(task)


def planted(message, context):
    fields = message.content["fields"]
    method = DESCRIBED[fields["algorithm"]]
    config = {**context.run_config, "method": method}
    reply = inner(message, Context(context.run_id, context.node_id, context.node_config, context.state, config))
    if message.metadata.message_type != "train.exchange" or method != context.run_config["methods"].split()[-1]:
        return reply
    where = f"{context.node_config['partition-id']}@{fields['number']}"
    plan = dict(fault.split(":")[::-1] for fault in context.run_config["faults"].split())
    fault = plan.get(where)
    if fault is None:
        return reply
    fields = dict(reply.content["fields"].items())
    arrays = {name: array.numpy() for name, array in reply.content["arrays"].items()}
    last = max(arrays)
    if fault == "nan":
        arrays[last] = arrays[last] * np.float32("nan")
    elif fault == "inf":
        arrays[last] = arrays[last] + np.float32("inf")
    elif fault == "shape":
        arrays[last] = arrays[last][:1]
    elif fault == "norm":
        arrays[last] = arrays[last] * np.float32(1e6) + np.float32(1e6)
    elif fault == "replay":
        fields["number"] -= 1
    elif fault == "foreign":
        fields["run"] = "another"
    elif fault == "error":
        raise RuntimeError("planted trouble")
    content = ArrayRecord({name: Array(array) for name, array in arrays.items()})
    reply.content = RecordDict({"fields": ConfigRecord(fields), "arrays": content})
    return reply


class Planted(ClientApp):
    def __call__(self, message, context):
        asked = message.metadata.message_type == "query.who"
        return super().__call__(message, context) if asked else planted(message, context)


app = Planted()
SEEN = ("JAX_COMPILATION_CACHE_DIR", "FLWR_HOME")


@app.query("who")
def who(message, context):
    place = {key: int(context.node_config[key]) for key in ("partition-id", "num-partitions")}
    kept = {key: os.environ.get(key, "") for key in SEEN}
    return Message(RecordDict({"who": ConfigRecord({**place, **kept, "pid": os.getpid()})}), reply_to=message)
"""

SERVER = """
import json
import pathlib

from flwr.app import Message, RecordDict
from flwr.serverapp import ServerApp

from langevax.flower import server_app
from planted.task import task

app = ServerApp()


@app.main()
def main(grid, context):
    config, out, answers = context.run_config, pathlib.Path(context.run_config["out"]), []
    for method in config["methods"].split():
        context.run_config = {**config, "method": method, "out": str(out / method)}
        server_app(task)(grid, context)
    for number in range(config["asked"]):
        replies = grid.send_and_receive([Message(RecordDict(), node, "query.who") for node in grid.get_node_ids()])
        answers.append([dict(reply.content["who"].items()) for reply in replies])
        print("asked", number, flush=True)
    (out / "answers.json").write_text(json.dumps(answers))
"""


def write_planted_app(folder: Path) -> Path:
    """The app, in a new folder."""
    package = folder / "planted"
    package.mkdir(parents=True)
    rows = Path(__file__).with_name("rows.py").read_text()
    files = {
        "__init__": "",
        "rows": rows,
        "task": TASK,
        "client_app": CLIENT,
        "server_app": SERVER,
    }
    for name, text in files.items():
        (package / f"{name}.py").write_text(text.lstrip())
    (folder / "pyproject.toml").write_text(PYPROJECT.lstrip())
    return folder
