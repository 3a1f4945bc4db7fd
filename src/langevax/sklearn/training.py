"""From a table to `simulate`: the risk in the eigenbasis of its inputs, padded, and its run."""

import ctypes
import dataclasses
import gc
import math
import sys
import zlib
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array

from langevax._typing import PRNGKey
from langevax.log_weights import systematic
from langevax.meanfield.adaptive_steps import AdaptiveState
from langevax.platforms import not_forked, sizes
from langevax.problems.losses import Loss
from langevax.problems.mean_field import MeanFieldRisk, Prior
from langevax.problems.neurons import Neuron, Scaled, TanhTanh
from langevax.problems.sharding import ROW_AXIS
from langevax.run import Result, simulate
from langevax.run.simulate import Callback
from langevax.sklearn.solvers import Schedule, algorithm
from langevax.sklearn.table import (
    FEWEST_ROWS,
    LEAST_STEP,
    bucket,
    eigenbasis,
    in_buckets,
    padded,
    row_span,
    widened,
)

MOST_SHAPES = 4  # of problems whose programs are kept in memory
MOST_PADDED = 4096  # rows: beyond, padding would cost more than compiling
NUM_CLOUDS = 8  # that predict, from the last half of the run


class TrainingTask(NamedTuple):
    """Neuron, loss and targets of a training problem."""

    neuron: TanhTanh
    loss: Loss
    targets: np.ndarray
    """Targets of the loss."""
    regressands: np.ndarray
    """(n, outputs): numbers whose regression chooses the temperature in the kernel limit."""
    labels: np.ndarray | None
    """(n,) class of each row, by which folds are stratified; None for a regression."""
    curvature_per_error: float | None = None
    """Mean curvature of the loss over the mean square error of the regressands; None where the curvature is 1."""

    def subset(self, rows: np.ndarray) -> "TrainingTask":
        """Return the problem of these rows."""
        labels = None if self.labels is None else self.labels[rows]
        return self._replace(
            targets=self.targets[rows],
            regressands=self.regressands[rows],
            labels=labels,
        )

    def without(self, outputs: np.ndarray) -> "TrainingTask":
        """Return the regression of what outputs (n,) or (n, C) leave of the targets."""
        regressands = self.regressands - np.reshape(outputs, self.regressands.shape)
        return self._replace(targets=self.targets - outputs, regressands=regressands)

    def curvature(self, error: float, least: float = 0.15) -> float:
        """Return the mean curvature p (1 - p) of the loss where regressands are predicted with a mean square error.

        With labels 0 and 1, of noise c = p (1 - p), a signal of variance s in the labels is one of variance s / c^2 in
        the outputs of a logistic model. Ridge regression wants n T = c / s there, the logistic model n T = c^2 / s:
        its temperature is c times as high, with the least c, since that of separated classes tends to 0.
        """
        if self.curvature_per_error is None:
            return 1.0
        return max(least, self.curvature_per_error * error)


@dataclass(frozen=True)
class Network:
    """The training problem in the eigenbasis of its inputs, rows and columns padded so that few shapes are compiled.

    Rows of padding have weight 0. Columns of padding are 0: their weights keep the law of the prior, and no output
    depends on them. Particles here have them, those of an estimator do not.
    """

    task: TrainingTask
    inputs: np.ndarray
    """(n, d) float32, standardised, not rotated."""
    weights: np.ndarray
    prior_precision: float
    num_rows: int | None = None
    """Rows to store; None is the bucket of n, or n where these are many."""
    num_columns: int | None = None
    """Columns to store; None is the bucket of `num_coordinates`."""
    span: np.ndarray | None = None
    """(d, k) orthonormal columns that span all rows, where these are far fewer than columns; None: all directions."""

    @property
    def length(self) -> int:
        """Rows stored."""
        if self.num_rows is not None:
            return self.num_rows
        n = len(self.inputs)
        return bucket(n, FEWEST_ROWS) if n <= MOST_PADDED else n

    @property
    def width(self) -> int:
        """Columns stored."""
        return (
            bucket(self.num_coordinates, LEAST_STEP)
            if self.num_columns is None
            else self.num_columns
        )

    @property
    def num_coordinates(self) -> int:
        """Inputs of a neuron."""
        return (self.inputs if self.span is None else self.span).shape[1]

    def risk(
        self, temperature: float, and_at: np.ndarray | None = None
    ) -> MeanFieldRisk:
        """Return the risk with the quadratic penalty that makes the prior N(0, I / prior_precision).

        The inputs (m, d) `and_at` are stored after the rows, as padding where the network has outputs, too.
        """
        others = [] if and_at is None else [and_at]
        rotated = np.concatenate([self.inputs, *others]) @ self.basis
        targets = self.task.targets
        weights = self.weights.astype(np.float32)
        rows = [
            padded(array, self.length)
            for array in (widened(rotated, self.width), targets, weights)
        ]
        precision = np.float32(temperature * self.prior_precision)
        return MeanFieldRisk(
            of_any_scale(self.task.neuron, weights.dtype),
            self.task.loss,
            rows[0],
            rows[1],
            precision,
            rows[2],
            len(self.inputs),
        )

    @cached_property
    def basis(self) -> np.ndarray:
        """Principal directions (d, coordinates) of the inputs."""
        if self.span is None:
            return eigenbasis(self.inputs, self.weights)
        return self.span @ eigenbasis(self.inputs @ self.span, self.weights)

    def rotated(self, particles: Any, back: bool = False) -> np.ndarray:
        """Return particles of the standardised columns as particles of the eigenbasis, padded, or `back`.

        Back there, weights of directions outside of the span, on which no output at a row depends, have the law of the
        prior.
        """
        neuron = self.task.neuron
        k = self.num_coordinates
        particles = np.array(particles)
        if back:
            particles = narrowed(neuron, particles, self.width, k)
        weights = neuron.input_weights(k if back else self.inputs.shape[1])
        matrix = self.basis.T if back else self.basis
        others = (particles[..., : weights.start], particles[..., weights.stop :])
        moved = particles[..., weights] @ matrix
        if back and self.span is not None:
            moved += self._outside_of_the_span(moved)
        particles = np.concatenate([others[0], moved, others[1]], axis=-1)
        return (
            particles if back else with_more_columns(neuron, particles, k, self.width)
        )

    def _outside_of_the_span(self, seen: np.ndarray) -> np.ndarray:
        """Draw the part of weights like `seen` that is orthogonal to all rows; equal weights have the same part."""
        assert self.span is not None
        rng = np.random.default_rng(zlib.crc32(seen.tobytes()))
        draws = rng.standard_normal(seen.shape, np.float32) / np.float32(
            np.sqrt(self.prior_precision)
        )
        return draws - draws @ self.span @ self.span.T

    def rescaled(self, factor: float) -> "Network":
        """Return the problem with the neurons' output scale times `factor`."""
        neuron = dataclasses.replace(
            self.task.neuron, scale=self.task.neuron.scale * factor
        )
        return dataclasses.replace(self, task=self.task._replace(neuron=neuron))

    def with_columns_times(self, scales: np.ndarray) -> "Network":
        """Return the problem whose standardised columns are these multiples of this one's."""
        inputs = self.inputs * scales.astype(self.inputs.dtype)
        return dataclasses.replace(
            self, inputs=inputs, span=None if self.span is None else row_span(inputs)
        )

    def subset(self, rows: np.ndarray, num_rows: int | None = None) -> "Network":
        """Return the problem of these rows, in an eigenbasis of their own, within the span of all rows.

        Stored as `num_rows` rows, such as the `length` of this problem, whose programs then serve the subset as well.
        """
        task = self.task.subset(rows)
        inputs = self.inputs[rows]
        weights = self.weights[rows]
        return dataclasses.replace(
            self, task=task, inputs=inputs, weights=weights, num_rows=num_rows
        )

    def exact(self) -> "Network":
        """Return the problem without padding."""
        return dataclasses.replace(
            self, num_rows=len(self.inputs), num_columns=self.num_coordinates
        )

    def split_over(self, sharding: Mesh | NamedSharding) -> "Network":
        """Return the problem stored as a number of rows that devices share evenly."""
        mesh = sharding.mesh if isinstance(sharding, NamedSharding) else sharding
        devices = mesh.shape.get(ROW_AXIS, 1)
        return dataclasses.replace(self, num_rows=-(-self.length // devices) * devices)


def wide_enough(neuron: TanhTanh, networks: list[np.ndarray]) -> TanhTanh:
    """Return the neuron with a scale at which factors tanh(a) have the slopes of these networks, which come first."""
    columns = neuron.num_outputs or 1
    largest = max(float(np.abs(network[:, :columns]).max()) for network in networks)
    return dataclasses.replace(neuron, scale=max(float(neuron.scale), 1.01 * largest))


def whole_neurons(neuron: TanhTanh, networks: list[np.ndarray]) -> np.ndarray:
    """Return (networks, neurons, size) particles of the outputs of networks of slopes; smaller ones are repeated."""
    columns = neuron.num_outputs or 1
    most = max(len(network) for network in networks)
    particles = np.stack(
        [np.tile(network, (most // len(network), 1)) for network in networks]
    )
    factors = particles[..., :columns] / np.float32(neuron.scale)
    particles[..., :columns] = np.arctanh(factors)
    return particles


def narrowed(
    neuron: Neuron,
    particles: np.ndarray,
    width: int,
    num_columns: int,
) -> np.ndarray:
    """Return particles (..., size) for inputs of `width` columns without the weights of all but the first ones."""
    first = neuron.input_weights(width).start
    return np.delete(particles, np.arange(first + num_columns, first + width), axis=-1)


def with_more_columns(
    neuron: Neuron,
    particles: np.ndarray,
    num_columns: int,
    width: int,
) -> np.ndarray:
    """Return particles (..., size) with weights 0 of more columns, `width` in all."""
    end = neuron.input_weights(num_columns).stop
    zeros = np.zeros((*particles.shape[:-1], width - num_columns), particles.dtype)
    return np.concatenate([particles[..., :end], zeros, particles[..., end:]], axis=-1)


def observe(problem: Any, state: Any) -> dict[str, Array]:
    """Return what a run records: the particles, evenly weighted, the dual vector and the value of the risk."""
    state = state.inner if isinstance(state, AdaptiveState) else state
    cloud = state.position
    if hasattr(state, "log_weights"):
        cloud = cloud[systematic(state.log_weights, 0.5)]
    dual = state.dual if hasattr(state, "dual") else problem.dual(cloud)
    return {"particles": cloud, "dual": dual, "loss": problem.value(cloud)}


def train(
    risk: MeanFieldRisk,
    temperature: float,
    schedule: Schedule,
    start: Prior,
    key: PRNGKey,
    stop: Callback | None = None,
    record_size: int = 0,
    **options: Any,
) -> Result:
    """Return the solver's run at one temperature, which `stop` may end; `options` are those of `simulate`.

    `record_size`: numbers that a record will have, where these are more than those of the particles trained.
    """
    shapes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(risk))
    keep_few_programs(shapes, start.shape, schedule.solver, schedule.batch_size)
    size = max(record_size, risk.targets.size, math.prod(start.shape))
    # fewer where the recorded numbers would be many
    records = int(np.clip(2 * 10**7 // size, 20, 100))
    every = max(1, schedule.num_steps // records)
    if stop is not None:
        options |= {"callbacks": (stop,), "callback_every": 10 * every}
    return simulate(
        algorithm(risk, temperature, schedule),
        risk,
        start,
        key=key,
        num_steps=schedule.num_steps,
        record=observe,
        record_every=every,
        **options,
    )


def late_clouds(particles: np.ndarray) -> np.ndarray:
    """Return the records (at most `NUM_CLOUDS`, N, size) of the last half of a run with which a network predicts."""
    late = particles[len(particles) // 2 :]
    return late[np.unique(np.linspace(0, len(late) - 1, NUM_CLOUDS).astype(int))]


def keep_few_programs(*compiled_for: Hashable) -> None:
    """Let JAX forget what it has compiled once it was for `MOST_SHAPES` shapes of problems of any estimator.

    The programs of one shape hold 130 of the 65,530 memory maps that Linux allows a process, and 10 to 20 MB.
    """
    if compiled_for not in _shapes and len(_shapes) >= MOST_SHAPES:
        jax.clear_caches()
        _shapes.clear()
        gc.collect()
    if _shapes != {compiled_for}:
        return_free_memory()
    _shapes.add(compiled_for)


def return_free_memory() -> None:
    """Return what compiler and fits have freed to the system, where that can be asked for."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


_shapes: set[tuple[Hashable, ...]] = set()
"""Shapes of problems since programs were last forgotten."""


def slopes(neuron: Neuron, cloud: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Return (n, C, d): gradients of the network's outputs by its standardised inputs; C = 1 for a single output.

    Of at most `pass_rows` at a time, padded so that few shapes compile.
    """
    d = inputs.shape[1]
    cloud = with_more_columns(neuron, np.asarray(cloud), d, bucket(d, LEAST_STEP))
    neuron = of_any_scale(neuron, cloud.dtype)
    length = sizes().pass_rows
    blocks = [inputs[i : i + length] for i in range(0, len(inputs), length)]
    gradients = np.concatenate(
        [
            np.asarray(_slopes(neuron, cloud, in_buckets(rows)))[: len(rows), ..., :d]
            for rows in blocks
        ]
    )
    return gradients[:, None] if gradients.ndim == 2 else gradients


def of_any_scale(neuron: Neuron, dtype: np.dtype[Any]) -> Neuron:
    """Return the neuron with its scale as an argument of programs: each fit has its own."""
    if not isinstance(neuron, Scaled):
        return neuron
    scale = jnp.asarray(neuron.scale, dtype)
    return eqx.tree_at(lambda scaled: scaled.scale, neuron, scale)


@eqx.filter_jit
def _slopes(neuron: Neuron, cloud: Any, inputs: Any) -> Array:
    def output(row: Array) -> Array:
        return neuron.mean(cloud, row[None])[0]

    return jax.lax.map(jax.jacrev(output), jnp.asarray(inputs))


def root_key(seed: int) -> PRNGKey:
    """Return the key of a fit; raise in a forked process."""
    not_forked()
    return jax.random.key(seed)
