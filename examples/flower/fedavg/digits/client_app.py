"""A client with its own digits."""

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits.task import Net, load_data
from digits.task import test as test_fn
from digits.task import train as train_fn

torch.set_num_threads(1)  # so that clients on one machine do not slow each other down
net = Net()
app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Use the rows of this client."""
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    partition_id = context.node_config["partition-id"]
    num_partitions = context.node_config["num-partitions"]
    rows = load_data(partition_id, num_partitions)
    config = context.run_config
    loss = train_fn(
        net, rows, config["local-epochs"], config["learning-rate"], config["batch-size"]
    )
    metrics = MetricRecord({"loss": loss, "num-examples": len(rows[1])})
    content = RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": metrics})
    return Message(content=content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Test the network of the server."""
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    rows = load_data(
        context.node_config["partition-id"], context.node_config["num-partitions"]
    )
    loss, accuracy = test_fn(net, rows)
    metrics = MetricRecord(
        {"loss": loss, "accuracy": accuracy, "num-examples": len(rows[1])}
    )
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
