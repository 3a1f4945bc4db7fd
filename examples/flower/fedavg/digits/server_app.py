"""The server, which tests on held-out digits."""

from pathlib import Path

import torch
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from safetensors.torch import save_file

from digits.task import Net, load_all, test

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, and write the network to the folder `out`."""
    torch.manual_seed(0)
    strategy = FedAvg()
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(Net().state_dict()),
        num_rounds=context.run_config["num-server-rounds"],
        evaluate_fn=evaluate,
    )
    if context.run_config["out"]:
        save_file(
            result.arrays.to_torch_state_dict(),
            Path(context.run_config["out"], "model.safetensors"),
        )


def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
    """Test on held-out rows."""
    net = Net()
    net.load_state_dict(arrays.to_torch_state_dict())
    _, held_out = load_all()
    loss, accuracy = test(net, held_out)
    return MetricRecord({"loss": loss, "accuracy": accuracy})
