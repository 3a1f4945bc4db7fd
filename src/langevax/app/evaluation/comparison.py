"""A model beside other methods: each row is scored once, by models that were trained without it.

The first fold is the rows held out, which the saved model has not seen. On small tables the training rows make more
folds: for each, all methods are fitted again on the other rows, the held-out rows among them, with the settings that
they chose on the training rows. That costs little more than one fit of each, and errors shrink with the rows scored.
The choice has seen the rows of these folds, for all methods alike; the first fold is free of that.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from langevax.app.evaluation import called_classes
from langevax.app.evaluation.holdout import TrainTestSplit
from langevax.app.evaluation.metrics import METRICS, Measured, Metric, measure
from langevax.app.evaluation.peers import Peer, peers, quiet
from langevax.run import DivergenceError
from langevax.sklearn.folds import folds_of

OURS = "mean-field network"
BASE = {"regression": "always the mean", "classification": "shares of the classes"}
MAX_FOLD_ROWS = 10_000  # of a table with folds beside the held-out rows
MAX_SEARCHED_COLUMNS = 2000  # by a search over trees

Refit = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(rows to train on, rows to predict) -> outputs."""


@dataclass(frozen=True)
class Score:
    """One method on the rows scored."""

    name: str
    measures: tuple[Measured, ...]
    """By each metric of the task, the main one first."""
    seconds: float
    """Of fitting on the training rows, including the choice of settings."""
    ours: bool = False
    note: str = ""
    """How the settings were chosen, in a few words."""
    base: bool = False
    """Whether it is the base rate, which learns the mean or the shares of the classes."""

    @property
    def main(self) -> Measured:
        """The metric that methods are ranked by."""
        return self.measures[0]

    @property
    def value(self) -> float:
        """R2 or log loss."""
        return self.main.value

    def named(self, metric: str) -> Measured:
        """Return the measure of this metric."""
        return next(measured for measured in self.measures if measured.metric == metric)


@dataclass(frozen=True)
class Comparison:
    """All methods on all rows scored."""

    rows: np.ndarray
    """(n,) rows of the split."""
    fold: np.ndarray
    """(n,) the fold of each; 0 is the rows held out."""
    observed: np.ndarray
    """(n,) targets, or indices of classes."""
    outputs: np.ndarray
    """Of the network, (n,) numbers or (n, C) probabilities."""
    scores: tuple[Score, ...]
    """The network first, then the base rate and the other methods."""
    threshold: float = 0.5
    """Of two classes: the probability of the second one from which it is answered."""
    grouped_by: str = ""
    """The column whose rows of one value are in the same fold."""
    word: str = "network"
    """What the first method is called in sentences."""

    @property
    def num_folds(self) -> int:
        """Number of folds."""
        return len(np.unique(self.fold))

    @property
    def called(self) -> np.ndarray:
        """The class that is answered for each row."""
        return called_classes(self.outputs, self.threshold)

    @property
    def ours(self) -> Score:
        """The scores of the network."""
        return next(score for score in self.scores if score.ours)

    @property
    def base(self) -> Score:
        """The scores of the base rate."""
        return next(score for score in self.scores if score.base)

    @property
    def ranked(self) -> list[Score]:
        """All methods, the best by the main metric first."""
        sign = -1 if self.ours.main.metric == "log loss" else 1
        return sorted(
            self.scores,
            key=lambda score: np.nan_to_num(sign * score.value, nan=-np.inf),
            reverse=True,
        )


def compare(
    split: TrainTestSplit,
    outputs: np.ndarray,
    refit: Refit,
    *,
    seconds: float,
    note: str,
    random_state: int,
    with_peers: bool = True,
    threshold: float = 0.5,
    name: str = OURS,
    word: str = "network",
    metrics: Sequence[Metric] = (),
    report: Callable[[str], None] = lambda name: None,
) -> Comparison:
    """Return the scores of a fitted network and of other methods; call `report(name)` after each method.

    Args:
        split: the rows.
        outputs: of the network at the rows held out.
        refit: how the network is fitted on the training rows of another fold.
        seconds: that the network was fitted in.
        note: how its settings were chosen.
        random_state: of the folds, the peers and the resamples.
        with_peers: whether there are other methods than the base rate, and folds to compare them on.
        threshold: of two classes, the probability of the second one from which the network answers it.
        name: of the first method.
        word: what it is called in sentences.
        metrics: that all methods are measured by, the first of which ranks them; empty: those of the task.
        report: called with the name of each method.
    """
    parts = [(split.train, split.test)]
    if with_peers:
        parts += more_folds(split, random_state)
    try:
        ours = [outputs, *(refit(train, test) for train, test in parts[1:])]
    except DivergenceError:
        parts = parts[:1]
        ours = [outputs]
    base = [base_rate(split, train, len(test)) for train, test in parts]
    methods = {name: Method(ours, seconds, note), BASE[split.task]: Method(base)}
    report(name)
    if with_peers:
        for other, peer in _others(split, random_state).items():
            methods[other] = _of_peer(peer, split, parts)
            report(other)
    rows = np.concatenate([test for _, test in parts])
    fold = np.repeat(np.arange(len(parts)), [len(test) for _, test in parts])
    observed = split.targets[rows]
    joined = [one.joined(parts) for one in methods.values()]
    groups = split.groups_of(rows)
    measured = [
        measure(metric, observed, joined, fold, random_state, groups)
        for metric in metrics or METRICS[split.task]
    ]
    scores = tuple(
        Score(
            each,
            tuple(by),
            one.seconds,
            each == name,
            one.note,
            each == BASE[split.task],
        )
        for (each, one), *by in zip(methods.items(), *measured, strict=True)
    )
    return Comparison(
        rows, fold, observed, joined[0], scores, threshold, split.grouped_by, word
    )


@dataclass(frozen=True)
class Method:
    """Answers of a method for the rows of each fold."""

    outputs: list[np.ndarray]
    seconds: float = 0.0
    note: str = "nothing to choose"

    def joined(self, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Return the outputs at all rows scored, with probabilities that the training rows of their fold allow."""
        sizes = [len(train) for train, _ in parts]
        return np.concatenate(list(map(clipped, self.outputs, sizes)))


def _others(split: TrainTestSplit, random_state: int) -> dict[str, Peer]:
    """Return the other methods for the task and the columns of a table."""
    wide = split.inputs.shape[1] > MAX_SEARCHED_COLUMNS
    return peers(split.task, random_state, split.one_scale, wide)


def _of_peer(
    peer: Peer, split: TrainTestSplit, parts: Sequence[tuple[np.ndarray, np.ndarray]]
) -> Method:
    """Return a peer, whose first fit chooses its settings."""
    inputs = split.inputs
    targets = split.targets
    if split.one_scale:
        inputs = inputs / np.sqrt(split.train_inputs.var(0).mean() or 1.0)
    began = time.perf_counter()
    train = split.train
    fitted, note = peer.fit(inputs[train], targets[train], split.groups_of(train))
    seconds = time.perf_counter() - began
    models = [fitted]
    for train, _ in parts[1:]:
        models.append(peer.refit(fitted, inputs[train], targets[train]))
    with quiet():
        outputs = [
            outputs_of(model, split, inputs[test])
            for model, (_, test) in zip(models, parts, strict=True)
        ]
    return Method(outputs, seconds, note)


def more_folds(
    split: TrainTestSplit, random_state: int, most: int = 4
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (rows to train on, rows to score) of folds of the training rows, about as large as the held-out rows."""
    number = round(len(split.train) / len(split.test))
    if len(split.targets) > MAX_FOLD_ROWS or number < 2:
        return []
    folds = folds_of(
        len(split.train),
        number,
        split.train_targets if split.classes else None,
        groups=split.groups_of(split.train),
        random_state=random_state,
    )
    everywhere = np.concatenate([split.train, split.test])
    scored = [split.train[places] for _, places in folds[:most]]
    parts = [(np.setdiff1d(everywhere, rows), rows) for rows in scored]
    return [part for part in parts if len(np.unique(split.targets[part[0]])) > 1]


def outputs_of(model: Any, split: TrainTestSplit, inputs: Any) -> np.ndarray:
    """Return outputs of a model that was fitted on indices of classes, zero for those that it has not seen."""
    outputs = split.outputs(model, inputs)
    if not split.classes or outputs.shape[1] == len(split.classes):
        return outputs
    every = np.zeros((len(outputs), len(split.classes)))
    every[:, np.asarray(model.classes_, int)] = outputs
    return every


def base_rate(split: TrainTestSplit, train: np.ndarray, size: int) -> np.ndarray:
    """Return the mean, or the shares of the classes, of training rows, for so many rows."""
    if not split.classes:
        return np.full(size, split.targets[train].mean())
    return np.tile(
        np.bincount(split.targets[train], minlength=len(split.classes)) / len(train),
        (size, 1),
    )


def clipped(outputs: np.ndarray, num_rows: int) -> np.ndarray:
    """Return probabilities of half a training row at least: no method has seen more than that of a class."""
    if outputs.ndim == 1:
        return outputs
    least = np.maximum(outputs, 0.5 / num_rows)
    return least / least.sum(1, keepdims=True)
