"""The network, the digits of each client, training and testing."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    """64 pixels, 32 hidden neurons, a score for each of ten digits."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 32)
        self.scores = nn.Linear(32, 10)

    def forward(self, pixels):
        return self.scores(F.relu(self.hidden(pixels)))


def load_all():
    """(pixels, labels) of the training rows and of a held-out fifth."""
    pixels, labels = load_digits(return_X_y=True)
    pixels, labels = (
        torch.tensor(pixels / 16, dtype=torch.float32),
        torch.tensor(labels),
    )
    order = np.random.default_rng(0).permutation(len(labels))
    held, train_rows = np.split(order, [len(labels) // 5])
    return (pixels[train_rows], labels[train_rows]), (pixels[held], labels[held])


def load_data(partition_id, num_partitions):
    """The rows of one client."""
    (pixels, labels), _ = load_all()
    return pixels[partition_id::num_partitions], labels[partition_id::num_partitions]


def train(net, rows, epochs, learning_rate, batch_size):
    """Descend on the cross-entropy and return the mean loss."""
    optimizer, losses = torch.optim.SGD(net.parameters(), lr=learning_rate), []
    for _ in range(epochs):
        for pixels, labels in DataLoader(
            TensorDataset(*rows), batch_size=batch_size, shuffle=True
        ):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(pixels), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return float(np.mean(losses))


def test(net, rows):
    """Loss and accuracy."""
    pixels, labels = rows
    with torch.no_grad():
        scores = net(pixels)
    accuracy = (scores.argmax(dim=1) == labels).float().mean()
    return F.cross_entropy(scores, labels).item(), accuracy.item()
