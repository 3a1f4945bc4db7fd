"""Temperature by validation: anneal from hot to cold on each fold, take the hottest that predicts as well as any.

Each stage goes on from the last one's particles, so a path costs little more than one fit. Held-out losses are flat
over cold temperatures, and there the hottest is the safest and the easiest to certify.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Key
from sklearn.model_selection import KFold, StratifiedKFold

from langevax.meanfield.kernel_limit import FLAT
from langevax.run import Result
from langevax.sklearn.training import Network, Schedule, outputs, train

FACTORS = (30.0, 10.0, 3.0, 1.0, 1 / 3, 1 / 10, 1 / 30)
"""Temperatures of the path, in units of the one it is built around."""
STAGE_STEPS, FOLDS = 150, 3


def anneal(
    network: Network,
    temperatures: list[float],
    schedule: Schedule,
    start: Any,
    key: Key[Array, ""],
    progress: bool | None,
) -> list[Result]:
    """One result for each temperature, each begun where the last one ended."""
    stage = schedule._replace(num_steps=STAGE_STEPS, stop_at_plateau=False)
    results: list[Result] = []
    for number, temperature in enumerate(temperatures):
        stage_key = random.fold_in(key, number)
        start = results[-1] if results else start
        results.append(train(network.risk(temperature), temperature, stage, start, stage_key, progress=progress))
    return results


def validated_temperature(
    network: Network,
    around: float,
    schedule: Schedule,
    num_particles: int,
    key: Key[Array, ""],
    progress: bool | None,
) -> tuple[float, dict[str, np.ndarray]]:
    """(best temperature, the losses it was chosen by)."""
    temperatures = [around * factor for factor in FACTORS]
    folds = _folds(len(network.inputs), network.task.labels)
    losses = np.zeros((len(folds), len(temperatures)))
    for f, (kept, left_out) in enumerate(folds):
        fold, held = network.subset(kept), network.subset(left_out)
        start = fold.risk(around).prior(around, num_particles)
        results = anneal(fold, temperatures, schedule, start, random.fold_in(key, f), progress)
        for t, result in enumerate(results):
            clouds = result.positions["particles"]
            late = fold.turned(np.concatenate(clouds[len(clouds) // 2 :]), back=True)
            z = outputs(network.task.neuron, late, held.inputs)
            each = jax.vmap(network.task.loss)(jnp.asarray(z), jnp.asarray(held.task.targets))
            losses[f, t] = np.average(np.asarray(each), weights=held.weights)
    mean = losses.mean(0)
    as_good = mean <= mean.min() + FLAT * (_untrained(network) - mean.min())
    history = {"temperature": np.array(temperatures), "loss": mean, "loss_sd": losses.std(0)}
    return temperatures[int(np.argmax(as_good))], history


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
