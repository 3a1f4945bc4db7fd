"""The server of FedAvg as Flower's quickstart has it; it notes when each round ended, and the bytes of a model."""

import json
import time
from pathlib import Path

from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

from averaging.task import start

app = ServerApp()


@app.main()
def main(grid, context):
    ends, model = [], ArrayRecord(start())
    strategy = FedAvg(fraction_train=1.0, fraction_evaluate=0.0)
    strategy.start(grid, model, context.run_config["rounds"], evaluate_fn=lambda *_: ends.append(time.time()))
    Path(context.run_config["out"]).write_text(json.dumps({"ends": ends, "bytes": model.count_bytes()}))
