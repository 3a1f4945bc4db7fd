"""Between a table and `simulate`: the risk in its eigenbasis, padded, the run, and the choice of temperature."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from langevax.meanfield.kernel_limit import NUM_NEURONS, LeaveOneOut, leave_one_out, prior_features
from langevax.meanfield.mfld import stop_at_plateau
from langevax.meanfield.resampling import systematic_midpoint
from langevax.problems import blocks
from langevax.problems.losses import Loss
from langevax.problems.mean_field import BLOCK_ELEMENTS, MeanFieldRisk
from langevax.problems.neurons import Neuron, Tanh, TanhTanh
from langevax.run import Result, simulate
from langevax.sklearn.solvers import Schedule, algorithm
from langevax.sklearn.table import Rows, Scaling, Standardiser, bucket, eigenbasis, padded

MAX_ROWS = 1000  # of the leave-one-out problem: its best penalty hardly depends on the number of rows
CLEARLY_BETTER = 0.9  # of the error: pixels gain a quarter from one scale for all, tables nothing but noise
RECORDS = 100
RECORD_ELEMENTS = 2 * 10**7  # numbers in all recorded duals: beyond, fewer records
ROWS_AT_ONCE = 4096  # of a prediction


class Task(NamedTuple):
    """What one kind of estimator makes of its targets."""

    neuron: Tanh | TanhTanh
    loss: Loss
    targets: np.ndarray
    """As the loss wants them."""
    regressands: np.ndarray
    """(n, outputs): numbers whose regression the kernel limit is asked about."""
    labels: np.ndarray | None
    """(n,) class of each row, to stratify folds by; None for a regression."""

    def subset(self, rows: np.ndarray) -> "Task":
        """Of these rows only."""
        labels = None if self.labels is None else self.labels[rows]
        return Task(self.neuron, self.loss, self.targets[rows], self.regressands[rows], labels)


@dataclass(frozen=True)
class Network:
    """The training problem in the eigenbasis of its inputs, rows padded to a bucket so that few shapes compile."""

    task: Task
    inputs: np.ndarray
    """(n, d) float32, standardised, not rotated."""
    weights: np.ndarray
    prior_variance: float

    def risk(self, temperature: float) -> MeanFieldRisk:
        """With the ridge that makes the prior N(0, prior_variance I)."""
        n, length = len(self.inputs), bucket(len(self.inputs))
        rotated, targets, weights = self.inputs @ self.basis, self.task.targets, self.weights.astype(np.float32)
        rows = [padded(array, length) for array in (rotated, targets, weights)]
        precision = np.float32(temperature / self.prior_variance)
        return MeanFieldRisk(self.task.neuron, self.task.loss, rows[0], rows[1], precision, rows[2], n)

    @cached_property
    def basis(self) -> np.ndarray:
        """(d, d), see `eigenbasis`."""
        return eigenbasis(self.inputs, self.weights)

    def turned(self, particles: Any, back: bool = False) -> np.ndarray:
        """Particles of the standardised columns as particles of the eigenbasis, or `back`."""
        particles = np.array(particles)
        weights = self.task.neuron.input_weights(self.inputs.shape[1])
        particles[..., weights] = particles[..., weights] @ (self.basis.T if back else self.basis)
        return particles

    def rescaled(self, factor: float) -> "Network":
        """With the neurons' output scale times `factor`."""
        neuron = dataclasses.replace(self.task.neuron, scale=self.task.neuron.scale * factor)
        return dataclasses.replace(self, task=self.task._replace(neuron=neuron))

    def subset(self, rows: np.ndarray) -> "Network":
        """Of these rows only."""
        return Network(self.task.subset(rows), self.inputs[rows], self.weights[rows], self.prior_variance)


def observe(problem: Any, state: Any) -> dict[str, Array]:
    """What a run records: the cloud, evenly weighted, the dual vector and the value of the risk."""
    cloud = state.position
    if hasattr(state, "log_weights"):
        cloud = cloud[systematic_midpoint(state.log_weights)]
    dual = state.dual if hasattr(state, "dual") else problem.dual(cloud)
    return {"particles": cloud, "dual": dual, "loss": problem.value(cloud)}


def train(
    risk: MeanFieldRisk, temperature: float, schedule: Schedule, start: Any, key: Key[Array, ""], **run: Any
) -> Result:
    """The solver's run at one temperature; `run` goes to `simulate`."""
    records = int(np.clip(RECORD_ELEMENTS // risk.targets.size, 20, RECORDS))
    every = max(1, schedule.num_steps // records)
    if schedule.stop_at_plateau:
        run |= {"callbacks": (stop_at_plateau,), "callback_every": 10 * every}
    return simulate(
        algorithm(risk, temperature, schedule),
        risk,
        start,
        key=key,
        num_steps=schedule.num_steps,
        record=observe,
        record_every=every,
        **run,
    )


def kernel_choice(
    rows: Rows, task: Task, prior_variance: float, scalings: tuple[Scaling, ...], key: Key[Array, ""]
) -> tuple[Standardiser, LeaveOneOut]:
    """The scaling whose kernel limit predicts left-out rows best, the first in doubt; its errors over the penalties."""
    chosen = np.arange(len(rows.inputs))
    if len(chosen) > MAX_ROWS:
        chosen = np.sort(np.random.default_rng(0).choice(len(chosen), MAX_ROWS, replace=False))
    best: tuple[Standardiser, LeaveOneOut] | None = None
    for scaling in scalings:
        standardiser = Standardiser.fit(rows.inputs, rows.weights, scaling)
        inputs = padded(standardiser(rows.inputs[chosen]), bucket(len(chosen)))
        features = prior_features(task.neuron, jnp.asarray(inputs), prior_variance, NUM_NEURONS, key=key)
        features = np.asarray(features)[:, : len(chosen)]
        errors = leave_one_out(features, task.regressands[chosen], rows.weights[chosen])
        if best is None or errors.error < CLEARLY_BETTER * best[1].error:
            best = standardiser, errors
    assert best is not None, "scalings is empty"
    return best


def outputs(neuron: Neuron, cloud: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """The network's outputs at (n, d) standardised inputs, (n,) or (n, C), in blocks of few shapes."""
    parts = []
    for begin in range(0, len(inputs), ROWS_AT_ONCE):
        part = inputs[begin : begin + ROWS_AT_ONCE]
        parts.append(np.asarray(_outputs(neuron, cloud, padded(part, bucket(len(part)))))[: len(part)])
    return np.concatenate(parts)


def slopes(neuron: Neuron, cloud: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """(n, C, d): gradients of the network's outputs by its standardised inputs; C = 1 for a single output."""
    parts = []
    for begin in range(0, len(inputs), ROWS_AT_ONCE):
        part = inputs[begin : begin + ROWS_AT_ONCE]
        parts.append(np.asarray(_slopes(neuron, cloud, padded(part, bucket(len(part)))))[: len(part)])
    found = np.concatenate(parts)
    return found[:, None] if found.ndim == 2 else found


@eqx.filter_jit
def _slopes(neuron: Neuron, cloud: Any, inputs: Any) -> Array:
    def output(row: Array) -> Array:
        return neuron.mean(cloud, row[None])[0]

    return jax.lax.map(jax.jacrev(output), jnp.asarray(inputs))


@eqx.filter_jit
def _outputs(neuron: Neuron, cloud: Any, inputs: Any) -> Array:
    block = max(1, BLOCK_ELEMENTS // cloud.shape[0])
    return blocks.block_map(lambda rows: neuron.mean(cloud, rows), inputs, block)


def root_key(seed: int) -> Key[Array, ""]:
    """The key of a fit."""
    return jax.random.key(seed)
