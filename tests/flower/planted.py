"""An app of langevax's whose clients do what its run config says: faults planted by client and exchange."""

from pathlib import Path

PYPROJECT = """
[project]
name = "planted"
version = "0.1.0"
description = "A federated run with planted faults"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "langevax"

[tool.flwr.app.components]
serverapp = "planted.server_app:app"
clientapp = "planted.client_app:app"

[tool.flwr.app.config]
method = "fledge"
faults = ""
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
from langevax.federated import FLEDGE, MinibatchSARAH
from langevax.flower import Task
from planted.rows import START, problem

METHODS = {
    "fledge": FLEDGE(step_size=0.05, local_steps=3, batch_size=2, clients_per_round=4),
    "fledge-client": FLEDGE(step_size=0.05, local_steps=3, batch_size=2, clients_per_round=4, table="client"),
    "sarah": MinibatchSARAH(step_size=0.05, batch_size=2, period=3),
}
task = Task(lambda config: METHODS[config["method"]], START, problem)
"""

CLIENT = """
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from langevax.flower import client_app
from planted.task import task


def planted(message, context, call_next):
    reply = call_next(message, context)
    if message.metadata.message_type != "train.exchange":
        return reply
    where = f"{context.node_config['partition-id']}@{message.content['words']['number']}"
    plan = dict(fault.split(":")[::-1] for fault in context.run_config["faults"].split())
    fault = plan.get(where)
    if fault is None:
        return reply
    words = dict(reply.content["words"].items())
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
        words["number"] -= 1
    elif fault == "foreign":
        words["run"] = "another"
    elif fault == "error":
        raise RuntimeError("planted trouble")
    content = ArrayRecord({name: Array(array) for name, array in arrays.items()})
    reply.content = RecordDict({"words": ConfigRecord(words), "arrays": content})
    return reply


app = client_app(task, mods=[planted])
"""

SERVER = """
from langevax.flower import server_app
from planted.task import task

app = server_app(task)
"""


def write_planted_app(folder: Path) -> Path:
    """The app, in a new folder."""
    package = folder / "planted"
    package.mkdir(parents=True)
    rows = Path(__file__).with_name("rows.py").read_text()
    files = {"__init__": "", "rows": rows, "task": TASK, "client_app": CLIENT, "server_app": SERVER}
    for name, text in files.items():
        (package / f"{name}.py").write_text(text.lstrip())
    (folder / "pyproject.toml").write_text(PYPROJECT.lstrip())
    return folder
