"""A client with its own digits."""

import torch

import langevax as lx
from digits.task import Net, load_data

torch.set_num_threads(1)  # so that clients on one machine do not slow each other down
net = Net()


def problem(context):
    """Use the rows of this client."""
    partition_id = context.node_config["partition-id"]
    num_partitions = context.node_config["num-partitions"]
    rows = load_data(partition_id, num_partitions)
    return lx.flower.torch_problem(net, torch.nn.functional.cross_entropy, rows)


task = lx.flower.Task(
    lx.federated.FLEDGE(0.1, num_local_steps=24, batch_size=15),
    lx.flower.torch_start(net),
    problem,
)
app = lx.flower.client_app(task)
