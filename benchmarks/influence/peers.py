"""Influence functions and TRAK on a multilayer perceptron, each held against trainings of it without the row.

The perceptron has two hidden layers and a weight decay chosen on rows set apart; influence functions have its exact
Hessian and the damping, of five, that agrees best with the trainings: peers at their best settings.
"""

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from benchmarks.influence.trials import ROWS, fitted, split, spread_over, trained
from benchmarks.results import Record

Array = NDArray[Any]

SEEDS = 3
HIDDEN = 16
STEPS, RATE = 1000, 1e-2
DECAYS = (1e-3, 1e-2, 1e-1)
DAMPINGS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
CHECKPOINTS = 5


def rows(name: str) -> Record:
    """Compare changes of outputs at new rows without each of 40 rows, for the network and for a perceptron."""
    X, y, X_new, y_new = split(name, 0)
    model, _ = fitted(X, y, classes=False)
    places = spread_over(model.leave_one_out().changes, ROWS)
    predicted = model.influence(X_new).T[places]
    bases = [trained(model, seed=seed).predict(X_new) for seed in range(SEEDS)]
    true = np.mean(
        [
            [trained(model, [i], seed).predict(X_new) - base for i in places]
            for seed, base in enumerate(bases)
        ],
        axis=0,
    )
    peer = Perceptron(X, y, X_new)
    weights = np.ones((len(places), len(y)))
    weights[np.arange(len(places)), places] = 0
    of_all = peer.train(np.ones((SEEDS, len(y))), range(SEEDS))
    before = peer.outputs(of_all)
    changes = np.mean(
        [
            peer.outputs(peer.train(weights, [seed] * len(places))) - before[seed]
            for seed in range(SEEDS)
        ],
        axis=0,
    )
    error = peer.mean + peer.deviation * before[0] - y_new
    influence = [
        agreement(peer.influence(of_all, damping)[places], changes)
        for damping in DAMPINGS
    ]
    return {
        "score": float(model.score(X_new, y_new)),
        "peer_score": float(1 - np.mean(error**2) / np.var(y_new)),
        "network": agreement(predicted, true),
        "influence": max(influence),
        "trak": agreement(-peer.trak()[places], changes),
    }


def agreement(predicted: Array, true: Array) -> float:
    """Return the correlation over all pairs of a row left out and a new row."""
    return float(np.corrcoef(predicted.ravel(), true.ravel())[0, 1])


class Perceptron:
    """Perceptrons of one table, trained together on full batches, in PyTorch."""

    def __init__(self, X: Array, y: Array, X_new: Array) -> None:
        import torch

        columns = StandardScaler().fit(X)
        self.X = torch.tensor(columns.transform(X), dtype=torch.float64)
        self.X_new = torch.tensor(columns.transform(X_new), dtype=torch.float64)
        self.mean, self.deviation = float(y.mean()), float(y.std())
        self.y = torch.tensor((y - self.mean) / self.deviation, dtype=torch.float64)
        self.body = self.module(0)
        self.decay = 0.0
        self.decay = self._best_decay()

    def module(self, seed: int) -> Any:
        import torch

        torch.manual_seed(seed)
        layers = (
            torch.nn.Linear(self.X.shape[1], HIDDEN),
            torch.nn.Tanh(),
            torch.nn.Linear(HIDDEN, HIDDEN),
            torch.nn.Tanh(),
            torch.nn.Linear(HIDDEN, 1),
        )
        return torch.nn.Sequential(*layers).to(torch.float64)

    def output(self, parameters: dict[str, Any], columns: Any) -> Any:
        from torch.func import functional_call

        return functional_call(self.body, parameters, (columns,))[..., 0]

    def loss(self, parameters: dict[str, Any], weights: Any) -> Any:
        """Return the weighted sum of halved squares over the number of rows, with weight decay."""
        squares = weights @ (self.output(parameters, self.X) - self.y) ** 2
        penalty = sum((value**2).sum() for value in parameters.values())
        return squares / (2 * len(self.y)) + self.decay / 2 * penalty

    def train(self, weights: Array, seeds: Any) -> dict[str, Any]:
        """Return the parameters of perceptrons with these weights of the rows, one a line, each of a seed."""
        import torch
        from torch.func import stack_module_state, vmap

        parameters, _ = stack_module_state([self.module(seed) for seed in seeds])
        weights = torch.tensor(weights)
        optimizer = torch.optim.Adam(list(parameters.values()), RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        losses: Callable[..., Any] = vmap(self.loss)
        for _ in range(STEPS):
            optimizer.zero_grad()
            losses(parameters, weights).sum().backward()
            optimizer.step()
            schedule.step()
        return {name: value.detach() for name, value in parameters.items()}

    def outputs(self, parameters: dict[str, Any]) -> Array:
        """Return (perceptrons, m) outputs at the new rows."""
        from torch.func import vmap

        return vmap(lambda one: self.output(one, self.X_new))(parameters).numpy()

    def influence(self, parameters: dict[str, Any], damping: float) -> Array:
        """Return (n, m) changes without each row by inverse Hessians, on average over perceptrons."""
        import torch
        from torch.func import hessian, jacrev

        changes = []
        everyone = torch.ones_like(self.y)
        for number in range(len(next(iter(parameters.values())))):
            one = {name: value[number] for name, value in parameters.items()}
            flat, shaped = flattened(one)
            loss = lambda p: self.loss(shaped(p), everyone)  # noqa: B023
            matrix = hessian(loss)(flat) + damping * torch.eye(len(flat))
            at_rows, at_new = (
                jacrev(lambda p: self.output(shaped(p), columns))(flat)  # noqa: B023
                for columns in (self.X, self.X_new)
            )
            residuals = self.output(one, self.X) - self.y
            pushes = residuals[:, None] * at_rows / len(self.y)
            changes.append(pushes @ torch.linalg.solve(matrix, at_new.T))
        return torch.stack(changes).mean(0).numpy()

    def trak(self) -> Array:
        """Return (n, m) scores of rows for outputs at new rows, over checkpoints of their own seeds."""
        from trak import TRAKer

        parameters = self.train(np.ones((CHECKPOINTS, len(self.y))), range(CHECKPOINTS))
        with tempfile.TemporaryDirectory() as folder:
            tracer = TRAKer(
                model=self.body,
                task=square_loss(),
                train_set_size=len(self.y),
                save_dir=folder,
                device="cpu",
                use_half_precision=False,
                logging_level=50,
            )
            states = [
                {name: value[number] for name, value in parameters.items()}
                for number in range(CHECKPOINTS)
            ]
            for number, state in enumerate(states):
                tracer.load_checkpoint(state, model_id=number)
                tracer.featurize(batch=(self.X, self.y), num_samples=len(self.y))
            tracer.finalize_features()
            for number, state in enumerate(states):
                tracer.start_scoring_checkpoint(
                    "new", state, model_id=number, num_targets=len(self.X_new)
                )
                nothing = self.X_new[:, 0]
                tracer.score(batch=(self.X_new, nothing), num_samples=len(self.X_new))
            return np.asarray(tracer.finalize_scores("new"))

    def _best_decay(self) -> float:
        """Return the weight decay of the least error on a quarter of the rows set apart."""
        import torch

        apart = np.random.default_rng(0).random(len(self.y)) < 0.25
        places = torch.tensor(apart)
        errors = []
        for decay in DECAYS:
            self.decay = decay
            one = {k: v[0] for k, v in self.train(~apart[None] * 1.0, [0]).items()}
            errors.append(((self.output(one, self.X) - self.y)[places] ** 2).mean())
        return DECAYS[int(np.argmin(errors))]


def flattened(parameters: dict[str, Any]) -> tuple[Any, Callable[[Any], Any]]:
    """Return parameters as one vector, and how to shape one again."""
    import torch

    sizes = [value.numel() for value in parameters.values()]

    def shaped(flat: Any) -> dict[str, Any]:
        parts = torch.split(flat, sizes)
        pairs = zip(parameters.items(), parts, strict=True)
        return {name: part.reshape(value.shape) for (name, value), part in pairs}

    return torch.cat([value.reshape(-1) for value in parameters.values()]), shaped


def square_loss() -> Any:
    """Return the task of a regression: the output of a module, and the derivative of half the square by it."""
    from torch.func import functional_call
    from trak.modelout_functions import AbstractModelOutput

    class Square(AbstractModelOutput):
        def __init__(self) -> None:
            super().__init__()

        @staticmethod
        def get_output(
            model: Any, weights: Any, buffers: Any, columns: Any, target: Any
        ) -> Any:
            return functional_call(model, (weights, buffers), columns[None])[0, 0]

        def get_out_to_loss_grad(
            self, model: Any, weights: Any, buffers: Any, batch: Any
        ) -> Any:
            columns, targets = batch
            outputs = functional_call(model, (weights, buffers), columns)[:, 0]
            return (targets - outputs)[:, None]

    return Square()
