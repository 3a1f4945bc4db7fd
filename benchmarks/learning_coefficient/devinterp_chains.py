"""Chains of devinterp 2's RMSProp-SGLD on one case, printed as JSON; run by an interpreter that has it and PyTorch.

Its `llc` is for language models with a column of tokens; its optimiser and its formula, n beta (mean loss - loss at the
start), are for any model.
"""

import json
import sys
import warnings

import numpy as np
import torch
from devinterp.optim import SGMCMC


def squares(params, rows):
    return ((rows[0] @ params[0]) ** 2 / 2).mean()


def curve(params, rows):
    return ((params[0].prod() * rows[0] - rows[0]) ** 2 / 2).mean()


def crossing(params, rows):
    return (rows[0] * params[0].prod() ** 2).mean()


def linear(params, rows):
    hidden = rows[0]
    for layer in params:
        hidden = hidden @ layer.T
    return ((hidden - rows[1]) ** 2).sum(1).mean() / 2


def loss_of(name):
    """Return the mean loss of a case of `cases`."""
    starts = {"least squares": squares, "y = a b x": curve, "x^2 y^2": crossing}
    return next(
        (loss for start, loss in starts.items() if name.startswith(start)), linear
    )


def main() -> None:
    """Print the coefficient of each chain."""
    name, path, *numbers = sys.argv[1:]
    temperature, localization, steps, chains, batch, step_size = map(float, numbers)
    arrays, loss = np.load(path), loss_of(name)
    rows = [torch.tensor(arrays[key]) for key in arrays if key.startswith("rows")]
    starts = [torch.tensor(arrays[key]) for key in arrays if key.startswith("params")]
    torch.set_num_threads(1)
    values = []
    for chain in range(int(chains)):
        torch.manual_seed(chain)
        params = [torch.nn.Parameter(start.clone()) for start in starts]
        optimiser = SGMCMC.rmsprop_sgld(
            params, lr=step_size, localization=localization, nbeta=1 / temperature
        )
        with torch.no_grad():
            first = loss(params, rows).item()
        total = 0.0
        for step in range(int(steps)):
            indices = torch.randint(len(rows[0]), (int(batch),))
            value = loss(params, [array[indices] for array in rows])
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            if step >= int(steps) // 2:
                total += value.item() - first
        values.append(total / (int(steps) - int(steps) // 2) / temperature)
    print(json.dumps(values))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
