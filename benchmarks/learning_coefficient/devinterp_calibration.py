"""devinterp 2's `llc` on half a sum of powers, printed as JSON; run by an interpreter that has it and PyTorch.

The settings are those of its pull request 113: plain SGLD from the minimum without localization, steps of 1e-3, batches
of 16 rows that are without effect, 8 chains, 1,000 steps before 1,000 draws. The mean is over all steps.
"""

import json
import math
import sys
import warnings

import torch
from datasets import Dataset
from devinterp.slt.llc import llc

ROWS, CHAINS, STEPS, BATCH = 1_000, 8, 1_000, 16
OPTIONS = {
    "lr": 1e-3,
    "n_beta": ROWS / math.log(ROWS),
    "localization": 0.0,
    "num_chains": CHAINS,
    "num_draws": STEPS,
    "num_burnin_steps": STEPS,
    "batch_size": BATCH,
    "num_init_loss_batches": 4,
    "init_seed": 0,
    "device": "cpu",
}


class Monomials(torch.nn.Module):
    def __init__(self, powers):
        super().__init__()
        self.powers = powers
        self.point = torch.nn.Parameter(torch.zeros(len(powers)))

    def forward(self):
        return (
            torch.stack(
                [x**power for x, power in zip(self.point, self.powers, strict=True)]
            ).sum()
            / 2
        )


def of_tokens(model, tokens):
    """Return the loss for each token after the first: the same for all."""
    return model().expand(len(tokens), tokens.shape[1] - 1)


def main() -> None:
    """Print the mean over chains, its standard error, and the gradients of the loss."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokens = Dataset.from_dict({"input_ids": [[0, 0]] * 256}).with_format("torch")
    model = Monomials([int(power) for power in sys.argv[1:]])
    result = llc(
        model=model,
        dataset=tokens,
        observables={"all": tokens},
        loss_fn=of_tokens,
        **OPTIONS,
    )
    error = float(result["llc_std"]) / math.sqrt(CHAINS - 1)
    print(json.dumps([float(result["llc_mean"]), error, CHAINS * 2 * STEPS]))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
