"""Scaling, temperature and output scale: by leave-one-out errors of the kernel limit, or by cross-validation.

The first are known in closed form. Cross-validation anneals from hot to cold on each fold. Each stage continues from
the last one's particles, so that a path costs little more than one fit. Held-out losses are flat over cold
temperatures, of which the hottest is chosen, as the easiest to certify. A larger output scale brings the network nearer
to its kernel limit, which suits images.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Key
from sklearn.model_selection import KFold, StratifiedKFold

from langevax.meanfield.kernel_limit import FLAT, NUM_NEURONS, LeaveOneOut, leave_one_out, prior_features
from langevax.run import Result
from langevax.sklearn.solvers import BATCH_SHARE, SOLVERS, Schedule
from langevax.sklearn.table import DistinctRows, Scaling, Standardiser, in_buckets, subsample
from langevax.sklearn.training import Network, TrainingTask, outputs, train

MAX_ROWS = 1000  # of the leave-one-out problem: its best penalty hardly depends on the number of rows
CLEARLY_BETTER = 0.9  # share of the error: pixels gain a quarter from one scale for all, tables nothing but noise
FACTORS = (30.0, 10.0, 3.0, 1.0, 1 / 3, 1 / 10, 1 / 30)
"""Temperatures of a path, in units of the one it is built around."""
SCALES = (1.0, 3.0)
"""Output scales of the paths, in units of the one passed; temperatures scale with their squares."""
STAGE_STEPS, FOLDS = 150, 3


def kernel_choice(
    rows: DistinctRows, task: TrainingTask, prior_precision: float, scalings: tuple[Scaling, ...], key: Key[Array, ""]
) -> tuple[Standardiser, LeaveOneOut]:
    """Return the scaling of least leave-one-out errors in the kernel limit, the first in doubt, and the errors."""
    chosen = subsample(len(rows.inputs), MAX_ROWS)
    best: tuple[Standardiser, LeaveOneOut] | None = None
    for scaling in scalings:
        standardiser = Standardiser.fit(rows.inputs, rows.weights, scaling)
        inputs, d = in_buckets(standardiser(rows.inputs[chosen])), rows.inputs.shape[1]
        features = prior_features(task.neuron, inputs, 1 / prior_precision, NUM_NEURONS, key=key, num_columns=d)
        features = np.asarray(features)[:, : len(chosen)]
        errors = leave_one_out(features, task.regressands[chosen], rows.weights[chosen])
        if best is None or errors.error < CLEARLY_BETTER * best[1].error:
            best = standardiser, errors
    assert best is not None, "scalings is empty"
    return best


class ValidationChoice(NamedTuple):
    """The network with its output scale, its temperature, and the losses these were chosen by."""

    network: Network
    temperature: float
    hotter: list[float]
    """Temperatures of the path before it, through which to anneal."""
    history: dict[str, np.ndarray]


def anneal(
    network: Network,
    temperatures: list[float],
    schedule: Schedule,
    start: Any,
    key: Key[Array, ""],
    **run: Any,
) -> list[Result]:
    """Return one result for each temperature, begun where the last one ended; `run` is passed to `simulate`."""
    stage = _stage(network, schedule)
    results: list[Result] = []
    for number, temperature in enumerate(temperatures):
        stage_key = random.fold_in(key, number)
        start = results[-1] if results else start
        results.append(train(network.risk(temperature), temperature, stage, start, stage_key, **run))
    return results


def _stage(network: Network, schedule: Schedule) -> Schedule:
    """Return the schedule of one temperature: mean-field Langevin, since other solvers restart at each temperature."""
    if schedule.solver != "mfld":
        share = 1.0 if schedule.batch_size is None else BATCH_SHARE
        schedule = schedule._replace(solver="mfld", relative_step_size=SOLVERS["mfld"].relative_step_size * share)
    return schedule._replace(num_steps=STAGE_STEPS, stop_at_plateau=False)


def choose_by_validation(
    network: Network,
    around: float,
    schedule: Schedule,
    num_particles: int,
    key: Key[Array, ""],
    **run: Any,
) -> ValidationChoice:
    """Return the hottest temperature that is as good as any, of the first output scale that has one."""
    folds = _folds(len(network.inputs), network.task.labels)
    scales = np.repeat(SCALES, len(FACTORS))
    temperatures = around * np.outer(np.square(SCALES), FACTORS)
    losses = np.zeros((len(folds), *temperatures.shape))
    for f, rows in enumerate(folds):
        for s, scale in enumerate(SCALES):
            rescaled, path_key = network.rescaled(scale), random.fold_in(key, f * len(SCALES) + s)
            losses[f, s] = _held_out(rescaled, temperatures[s], rows, schedule, num_particles, path_key, **run)
    mean, best = losses.mean(0), losses.mean(0).min()
    as_good = mean <= best + FLAT * (_untrained(network) - best)
    s, t = np.unravel_index(np.argmax(as_good), as_good.shape)
    history = {
        "output_scale": scales * float(network.task.neuron.scale),
        "temperature": temperatures.ravel(),
        "loss": mean.ravel(),
        "loss_sd": losses.std(0).ravel(),
    }
    hotter = [float(temperature) for temperature in temperatures[s, :t]]
    return ValidationChoice(network.rescaled(SCALES[s]), float(temperatures[s, t]), hotter, history)


def _held_out(
    network: Network,
    temperatures: np.ndarray,
    rows: tuple[np.ndarray, np.ndarray],
    schedule: Schedule,
    num_particles: int,
    key: Key[Array, ""],
    **run: Any,
) -> list[float]:
    """Return the mean loss of the left-out rows at each temperature of a path."""
    fold, held = (network.subset(part) for part in rows)
    start = fold.risk(temperatures[0]).prior(temperatures[0], num_particles)
    losses = []
    for result in anneal(fold, list(temperatures), schedule, start, key, **run):
        clouds = result.positions["particles"]
        late = fold.rotated(np.concatenate(clouds[len(clouds) // 2 :]), back=True)
        z = outputs(network.task.neuron, late, held.inputs)
        losses.append(_mean_loss(held, z))
    return losses


def _untrained(network: Network) -> float:
    """Return the mean loss of outputs 0."""
    return _mean_loss(network, np.zeros((len(network.inputs), *network.task.neuron.output_shape), np.float32))


def _mean_loss(network: Network, z: np.ndarray) -> float:
    """Return the weighted mean loss of outputs `z`."""
    losses = jax.vmap(network.task.loss)(jnp.asarray(z), jnp.asarray(network.task.targets))
    return float(np.average(np.asarray(losses), weights=network.weights))


def _folds(size: int, labels: np.ndarray | None) -> list[tuple[np.ndarray, np.ndarray]]:
    rows = np.zeros(size)
    if labels is not None and np.min(np.bincount(labels)) >= FOLDS:
        return list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(rows, labels))
    return list(KFold(min(FOLDS, size), shuffle=True, random_state=0).split(rows))
