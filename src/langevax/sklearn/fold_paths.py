"""Paths of networks trained without a fold of the rows each, which choose scale, columns and temperature.

All folds go down in temperature together until their losses on the rows left out have risen: what is compared are
networks at their optimum. n T is what carries over between numbers of rows.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jax import random

from langevax._typing import PRNGKey
from langevax.meanfield.homotopy import Neurons, hottest_temperature
from langevax.meanfield.kernel_limit import excess
from langevax.meanfield.network_path import NetworkPath
from langevax.sklearn.baselines import base_rate, linear_outputs, row_losses
from langevax.sklearn.column_maps import Standardiser
from langevax.sklearn.fold_choice import SLACK, Choice
from langevax.sklearn.folds import Folds, folds_of
from langevax.sklearn.learned_scales import (
    KernelProblem,
    LearnedScales,
    PreparedColumns,
    learned_scales,
)
from langevax.sklearn.network_outputs import HeldOut, LinearPart
from langevax.sklearn.path_fit import COOLING
from langevax.sklearn.table import subsample
from langevax.sklearn.training import Network, whole_neurons, wide_enough

NUM_FOLDS = 5
SPLIT_ROWS = 2000
"""That are split into folds, drawn at random where there are more."""
FOLD_PARTICLES = 256
FOLD_ROUNDS = 5
"""Between temperatures of a fold: a path that needs more has come as far as so few particles lead."""
MOST_TEMPERATURES = 17
RACED_ROWS = 300
"""Left out by the folds that candidates race on, at most: that of the least loss there wins."""
CLEAR = 2.0
"""Standard errors by which a candidate has to be worse to leave the race."""
RISEN = 2
"""Temperatures in a row that have not paid, after which a path ends."""


Report = Callable[[str, float], None]
"""Of words and the share done."""


@dataclass(frozen=True)
class SplitRows:
    """The rows that are split into folds, the same for all candidates."""

    places: np.ndarray
    """(n,) of all rows; one that stands for several is in parts, in different folds."""
    parts: np.ndarray
    """(n,) how many parts each is one of."""
    folds: Folds
    groups: np.ndarray | None

    @classmethod
    def of(
        cls,
        labels: np.ndarray | None,
        copies: np.ndarray,
        groups: np.ndarray | None,
    ) -> "SplitRows":
        """Split rows with these labels, multiplicities and groups."""
        places = subsample(len(copies), SPLIT_ROWS)
        parts = np.ones(len(places), int)
        if groups is None:
            parts = np.minimum(copies[places], NUM_FOLDS).astype(int)
        places = np.repeat(places, parts)
        parts = np.repeat(parts, parts)
        together = None if groups is None else groups[places]
        labels = None if labels is None else labels[places]
        folds = folds_of(len(places), NUM_FOLDS, labels, parts, together)
        return cls(places, parts, folds, together)

    def of_network(self, network: Network) -> Network:
        """Return the training problem of these rows."""
        rows = network
        if not np.array_equal(self.places, np.arange(len(network.inputs))):
            rows = network.subset(self.places)
        return dataclasses.replace(rows, weights=rows.weights / self.parts)

    @property
    def fold_of(self) -> np.ndarray:
        """(n,) fold that each row is left out of."""
        fold = np.zeros(len(self.places), int)
        for number, (_, held) in enumerate(self.folds):
            fold[held] = number
        return fold


@dataclass
class FoldPath:
    """The path of one fold, and what its predictions have beside the network."""

    network: Network
    num_held: int
    path: NetworkPath
    added: np.ndarray
    """() or (held, ...)."""
    share: float
    """Of all rows' weight to that of the fold's rows."""
    scales: np.ndarray
    """(d,) of the fold's columns to those of all rows."""
    networks: list[Neurons] = field(default_factory=list)

    def outputs(self, number: int, temperature: float) -> np.ndarray | None:
        """Return (held, ...) outputs at the rows left out; None where the path does not reach the temperature."""
        if number == len(self.networks):
            self.networks += self.path.down_to(temperature * self.share)
        if number >= len(self.networks):
            return None
        n = len(self.network.inputs)
        z = self.networks[number].outputs()[n : n + self.num_held]
        shape = self.network.task.neuron.output_shape
        return z.reshape(-1, *shape).astype(np.float32) + self.added

    def positions(self, number: int) -> np.ndarray:
        """Return the network at a temperature, on the columns of all rows."""
        positions = self.networks[number].positions(self.path.law)
        positions = self.network.rotated(positions, back=True)
        weights = self.network.task.neuron.input_weights(len(self.scales))
        positions[..., weights] *= self.scales.astype(positions.dtype)
        return positions


@dataclass
class FoldSearch:
    """One candidate: columns, output scale and whether outputs have a linear part, on all folds."""

    network: Network
    """Of all rows."""
    plain: np.ndarray
    """(n, columns) of the linear model, of all rows."""
    split: SplitRows
    key: PRNGKey
    num_particles: int
    columns: PreparedColumns
    line_of: Standardiser | None = None
    """What made `plain`, of whose columns outputs have a linear part, which each fold fits to its own rows."""
    passed: float | None = None
    """The temperature, where it is not to be chosen."""

    def __post_init__(self) -> None:
        self.rows = self.split.of_network(self.network)
        self.of_lines = self.plain[self.split.places]
        self.share = float(self.network.weights.sum() / self.rows.weights.sum())
        hottest = hottest_temperature(self.network.risk(1.0))
        self.hottest = max(hottest, self.passed or 0.0)
        self.lines: list[LinearPart] = []
        self.paths: list[FoldPath] = []

    @property
    def slack(self) -> float:
        """Standard errors above the least loss up to which a hotter temperature is taken."""
        return SLACK["numbers" if self.rows.task.labels is None else "classes"]

    def temperature(self, number: int) -> float:
        """Return that of all rows after so many coolings."""
        return max(self.hottest * COOLING**number, self.passed or 0.0)

    def path(self, fold: int) -> FoldPath:
        """Return the path of a fold, begun where it is not yet."""
        while len(self.paths) <= fold:
            self.paths.append(self._begun(len(self.paths)))
        return self.paths[fold]

    def held(self, num_folds: int) -> np.ndarray:
        """Return the places of the rows that the first folds leave out."""
        return np.concatenate([held for _, held in self.split.folds[:num_folds]])

    def best_losses(self, num_folds: int) -> np.ndarray:
        """Return the losses of these rows at the temperature of the least mean."""
        losses = self.losses(num_folds)
        weights = self.rows.weights[self.held(num_folds)]
        return losses[np.argmin(losses @ weights)]

    def losses(self, num_folds: int = NUM_FOLDS) -> np.ndarray:
        """Return (temperatures, rows left out) losses of the first folds, down to where they have risen."""
        folds = range(min(num_folds, len(self.split.folds)))
        held = self.held(num_folds)
        rows = self.rows.subset(held)
        all_outputs = np.zeros(
            (len(self.split.places), *rows.task.neuron.output_shape), np.float32
        )
        losses: list[np.ndarray] = []
        while len(losses) < MOST_TEMPERATURES and not self._ended(losses, rows):
            number = len(losses)
            z = [
                self.path(fold).outputs(number, self.temperature(number))
                for fold in folds
            ]
            if any(part is None for part in z):
                break
            all_outputs[held] = np.concatenate([p for p in z if p is not None])
            losses.append(row_losses(self.rows, all_outputs)[held])
        return np.stack(losses)

    def _ended(self, losses: list[np.ndarray], rows: Network) -> bool:
        """Return whether colder temperatures have not paid for long, or cost ever more."""
        if self.passed is not None:
            return self.temperature(len(losses) - 1) == self.passed
        if len(losses) <= RISEN:
            return False
        above, error = above_least(np.stack(losses), rows.weights, None)
        risen = np.all(above[-RISEN:] > error[-RISEN:])
        chosen = self._hottest_as_good(np.stack(losses), rows, None)
        return bool(risen) or 0 < chosen < len(losses) - RISEN

    def _hottest_as_good(
        self, losses: np.ndarray, rows: Network, groups: np.ndarray | None
    ) -> int:
        """Return the place of the hottest temperature whose loss is as good as any, within the slack.

        That of classes is also at most the loss of their shares, to which the hottest classifier does not tend.
        """
        above, error = above_least(losses, rows.weights, groups)
        beyond = above - self.slack * error
        if rows.task.labels is not None:
            base = mean_loss(rows, base_rate(rows))
            mean = losses @ rows.weights / rows.weights.sum()
            beyond = np.maximum(beyond, mean - max(base, mean.min()))
        return int(np.argmax(beyond <= 0))

    def close(self) -> None:
        """End the threads of the paths."""
        for path in self.paths:
            path.path.close()

    def _begun(self, fold: int) -> FoldPath:
        """Begin the path of a fold.

        Targets of a regression are centred by the rows that train: their mean over all rows would know those left out.
        """
        trained, held = self.split.folds[fold]
        network = self.rows
        key = random.fold_in(self.key, fold)
        added = np.zeros((), np.float32)
        task = network.task
        if self.line_of is not None:
            line = LinearPart.fit(
                self.line_of,
                self.of_lines[trained],
                task.targets[trained],
                network.weights[trained],
            )
            self.lines.append(line)
            of_rows = line.of_columns(self.of_lines)
            task = task.without(of_rows)
            added = of_rows[held]
        elif task.labels is None:
            added = mean_target(network, trained)
            task = task._replace(targets=task.targets - added)
        network = dataclasses.replace(network, task=task)
        scales = np.ones(network.inputs.shape[1])
        if self.columns.learned is not None:
            scales = self._own_scales(network, trained, self.columns.learned, key)
            network = network.with_columns_times(scales)
        own = network.subset(trained, num_rows=network.length)
        risk = own.risk(1.0, and_at=network.inputs[held])
        share = self.share * float(network.weights.sum() / own.weights.sum())
        path = NetworkPath(
            risk,
            self.num_particles,
            key,
            share * self.hottest,
            most_rounds=FOLD_ROUNDS,
        )
        return FoldPath(own, len(held), path, added, share, scales)

    def _own_scales(
        self,
        network: Network,
        trained: np.ndarray,
        learned: LearnedScales,
        key: PRNGKey,
    ) -> np.ndarray:
        problem = KernelProblem(
            network.task.neuron,
            network.prior_precision,
            network.inputs[trained] / learned.scales.astype(network.inputs.dtype),
            network.task.regressands[trained],
            network.weights[trained],
            np.ones(len(trained)),
            key,
        )
        return learned_scales(problem, learned.penalties) / learned.scales

    def outputs(self) -> np.ndarray:
        """Return (temperatures, n, ...) outputs at each row of the networks trained without it."""
        folds = range(len(self.split.folds))
        self.losses()
        number = min(len(self.path(fold).networks) for fold in folds)
        parts = [
            np.stack(
                [
                    z
                    for j in range(number)
                    if (z := self.path(fold).outputs(j, 0.0)) is not None
                ]
            )
            for fold in folds
        ]
        return np.concatenate(parts, axis=1)[:, np.argsort(self.held(len(folds)))]

    def history(self, losses: np.ndarray) -> dict[str, np.ndarray]:
        """Return what is reported of each temperature, by losses (temperatures, n)."""
        weights, groups = self.rows.weights, self.split.groups
        mean, error = excess(losses, 0 * losses[0], weights, groups)
        above, above_error = above_least(losses, weights, groups)
        number = len(losses)
        return {
            "output_scale": np.full(number, float(self.rows.task.neuron.scale)),
            "temperature": np.array([self.temperature(j) for j in range(number)]),
            "loss": mean,
            "error": error,
            "excess": above,
            "excess_error": above_error,
        }

    def choice(self) -> Choice:
        """Return the hottest temperature as good as any, within `SLACK` errors, or the one that was passed."""
        rows, split = self.rows, self.split
        weights, groups, folds = rows.weights, split.groups, split.folds
        z = self.outputs()
        losses = np.stack([row_losses(rows, values) for values in z])
        history = self.history(losses)
        chosen = len(losses) - 1
        if self.passed is None:
            chosen = self._hottest_as_good(losses, rows, groups)
        offsets = None
        constant = np.zeros_like(z[0])
        if rows.task.labels is None:
            offsets = np.stack([mean_target(rows, trained) for trained, _ in folds])
            constant = offsets[split.fold_of]
        linear = row_losses(rows, linear_outputs(rows, self.of_lines, folds))
        difference, error = excess(losses[chosen], linear, weights, groups)
        networks = [self.path(fold).positions(chosen) for fold in range(len(folds))]
        neuron = wide_enough(self.network.task.neuron, networks)
        return Choice(
            network=self.network,
            temperature=float(history["temperature"][chosen]),
            history=history,
            chosen=chosen,
            held_out=HeldOut(
                neuron,
                whole_neurons(neuron, networks),
                split.fold_of,
                weights,
                offsets,
                self.lines or None,
            ),
            outputs=z[chosen],
            places=split.places,
            above_linear=(float(difference), float(error)),
            untrained_loss=mean_loss(rows, constant),
            base_loss=mean_loss(rows, base_rate(rows)),
            slack=self.slack,
        )


def best_search(searches: list[FoldSearch], report: Report) -> FoldSearch:
    """Return that of the least loss on the rows left out.

    They race: after each fold those stay that are not clearly worse than the best, each at its own best temperature.
    """
    of = len(searches[0].split.folds)
    for num_folds in range(1, of + 1):
        report(f"{len(searches)} networks, fold {num_folds} of {of}", num_folds / of)
        best = [search.best_losses(num_folds) for search in searches]
        held = searches[0].held(num_folds)
        weights = searches[0].rows.weights[held]
        means = [losses @ weights for losses in best]
        order = np.argsort(means, kind="stable")
        searches = [
            searches[j]
            for j in order
            if not clearly_above(best[j], best[order[0]], weights)
        ]
        if len(searches) == 1 or len(held) >= RACED_ROWS:
            break
    return searches[0]


def clearly_above(losses: np.ndarray, others: np.ndarray, weights: np.ndarray) -> bool:
    """Return whether losses of the same rows are larger by two standard errors."""
    difference, error = excess(losses, others, weights, None)
    return bool(difference > CLEAR * error)


def above_least(
    losses: np.ndarray, weights: np.ndarray, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much mean losses of (temperatures, n) are above the least of them, with standard errors.

    Losses of outputs that differ by rounding are alike, whatever their paired error.
    """
    least = losses[np.argmin(losses @ weights)]
    above, error = excess(losses, least, weights, groups)
    return above, np.maximum(error, 1e-6 * (weights @ least) / weights.sum())


def mean_loss(rows: Network, outputs: np.ndarray) -> float:
    """Return the weighted mean loss of outputs."""
    return float(row_losses(rows, outputs) @ rows.weights / rows.weights.sum())


def mean_target(network: Network, trained: np.ndarray) -> np.ndarray:
    """Return the mean target () or (C,) of the rows that train a fold, float32."""
    return np.average(
        network.task.targets[trained], axis=0, weights=network.weights[trained]
    ).astype(np.float32)
