"""Temperature and output scale by validation: anneal from hot to cold on each fold, take what predicts best.

Each stage goes on from the last one's particles, so a path costs little more than one fit. Held-out losses are flat
over cold temperatures, and there the hottest is the safest and the easiest to certify. A larger output scale brings
the network nearer to its kernel limit, where tables of images are best off.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Key
from sklearn.model_selection import KFold, StratifiedKFold

from langevax.meanfield.kernel_limit import FLAT
from langevax.meanfield.mfld import relative_step
from langevax.run import Result
from langevax.sklearn.solvers import BATCH_SHARE, Schedule
from langevax.sklearn.training import Network, outputs, train

FACTORS = (30.0, 10.0, 3.0, 1.0, 1 / 3, 1 / 10, 1 / 30)
"""Temperatures of the path, in units of the one it is built around."""
SCALES = (1.0, 3.0)
"""Output scales of the paths, in units of the one given; temperatures go with their squares."""
STAGE_STEPS, FOLDS = 150, 3


class PathChoice(NamedTuple):
    """What validation says: the network with its output scale, its temperature, and the losses these were chosen by."""

    network: Network
    temperature: float
    hotter: list[float]
    """Temperatures of the path before it, to anneal through."""
    history: dict[str, np.ndarray]


def anneal(
    network: Network,
    temperatures: list[float],
    schedule: Schedule,
    start: Any,
    key: Key[Array, ""],
    **run: Any,
) -> list[Result]:
    """One result for each temperature, each begun where the last one ended; `run` goes to `simulate`."""
    stage = _stage(network, schedule)
    results: list[Result] = []
    for number, temperature in enumerate(temperatures):
        stage_key = random.fold_in(key, number)
        start = results[-1] if results else start
        results.append(train(network.risk(temperature), temperature, stage, start, stage_key, **run))
    return results


def _stage(network: Network, schedule: Schedule) -> Schedule:
    """Paths are walked by mean-field Langevin whatever solver ends them: the others begin anew at each temperature."""
    if schedule.solver != "mfld":
        share = 1.0 if schedule.batch_size is None else BATCH_SHARE
        schedule = schedule._replace(solver="mfld", relative_step=relative_step(network.task.loss) * share)
    return schedule._replace(num_steps=STAGE_STEPS, stop_at_plateau=False)


def validated(
    network: Network,
    around: float,
    schedule: Schedule,
    num_particles: int,
    key: Key[Array, ""],
    **run: Any,
) -> PathChoice:
    """The hottest temperature that is as good as any, of the first scale that is."""
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
    return PathChoice(network.rescaled(SCALES[s]), float(temperatures[s, t]), hotter, history)


def _held_out(
    network: Network,
    temperatures: np.ndarray,
    rows: tuple[np.ndarray, np.ndarray],
    schedule: Schedule,
    num_particles: int,
    key: Key[Array, ""],
    **run: Any,
) -> list[float]:
    """Mean loss of the left-out rows at each temperature of a path."""
    fold, held = (network.subset(part) for part in rows)
    start = fold.risk(temperatures[0]).prior(temperatures[0], num_particles)
    losses = []
    for result in anneal(fold, list(temperatures), schedule, start, key, **run):
        clouds = result.positions["particles"]
        late = fold.turned(np.concatenate(clouds[len(clouds) // 2 :]), back=True)
        z = outputs(network.task.neuron, late, held.inputs)
        each = jax.vmap(network.task.loss)(jnp.asarray(z), jnp.asarray(held.task.targets))
        losses.append(float(np.average(np.asarray(each), weights=held.weights)))
    return losses


def _untrained(network: Network) -> float:
    """Mean loss of outputs 0."""
    targets = jnp.asarray(network.task.targets)
    zeros = jnp.zeros((len(targets), *network.task.neuron.output_shape))
    return float(np.average(np.asarray(jax.vmap(network.task.loss)(zeros, targets)), weights=network.weights))


def _folds(size: int, labels: np.ndarray | None) -> list[tuple[np.ndarray, np.ndarray]]:
    rows = np.zeros(size)
    if labels is not None and np.min(np.bincount(labels)) >= FOLDS:
        return list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(rows, labels))
    return list(KFold(min(FOLDS, size), shuffle=True, random_state=0).split(rows))
