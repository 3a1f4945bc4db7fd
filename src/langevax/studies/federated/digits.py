"""All methods on handwritten digits, split over clients by class concentration q, from an even split to 0.85.

A network of one small hidden layer; the step size of each method and q is the one of the least final loss.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random

from langevax.data import partitions
from langevax.studies.federated import classes, runs

if TYPE_CHECKING:
    import xarray

CONCENTRATIONS: dict[str, tuple[float, ...]] = {"full": (0.1, 0.35, 0.6, 0.85), "small": (0.6,)}
METHODS: dict[str, tuple[str, ...] | None] = {"full": None, "small": ("FedAvg",)}
SEEDS, EXCHANGES = {"full": 2, "small": 1}, {"full": 100, "small": 50}
STEP_SIZES = {"full": 2.0 ** np.arange(2, -7, -1), "small": 2.0 ** np.arange(1, -4, -1)}
CLIENTS, LOCAL_STEPS, BATCH, PARTICIPANTS, HIDDEN = 20, 16, 4, 5, 16


class Seen(NamedTuple):
    loss: Any
    accuracy: Any


class Look:
    """What is seen of a model: the loss over all clients' rows, and accuracy on rows held out."""

    def __init__(self, table: classes.Classes):
        self.inputs, self.labels = jnp.asarray(table.test_inputs), jnp.asarray(table.test_labels)

    def __call__(self, federation: Any, position: Any) -> Seen:
        return Seen(federation.value(position), classes.accuracy(position, self.inputs, self.labels))


def makers(size: str) -> dict[str, runs.Maker]:
    """Those that are run."""
    return runs.methods(LOCAL_STEPS, BATCH, PARTICIPANTS, METHODS[size])


def number_of_runs(size: str) -> int:
    return len(makers(size)) * len(CONCENTRATIONS[size])


def learnt(size: str, seed: int, done: Callable[[], Any]) -> "xarray.Dataset":
    """Loss and accuracy of every method at its best step size on a common grid of exchanges."""
    import xarray

    table, keys = classes.table("digits", seed), random.split(random.key(seed), SEEDS[size])
    look, chosen = Look(table), makers(size)
    start = classes.start(random.key(seed), table.inputs.shape[1], HIDDEN, table.number)
    grid = np.arange(2, EXCHANGES[size] + 1, 2)
    shape = len(chosen), len(CONCENTRATIONS[size])
    loss, accuracy = (np.full((*shape, SEEDS[size], len(grid)), np.nan) for _ in range(2))
    step_size, edge = np.zeros(shape), np.zeros(shape, bool)
    for j, concentration in enumerate(CONCENTRATIONS[size]):
        parts = partitions.by_concentration(table.labels, CLIENTS, concentration, key=random.key(seed))
        federation = classes.federation(table, parts)
        for i, make in enumerate(chosen.values()):
            found = runs.paths(make, federation, start, STEP_SIZES[size], keys, EXCHANGES[size], look)
            final = found.seen.loss[:, :, -1].mean(axis=1)
            best = int(np.argmin(np.where(np.isfinite(final), final, np.inf)))
            last = np.maximum(np.searchsorted(found.exchanges, grid, side="right") - 1, 0)
            loss[i, j], accuracy[i, j] = found.seen.loss[best][:, last], found.seen.accuracy[best][:, last]
            step_size[i, j], edge[i, j] = STEP_SIZES[size][best], best in (0, len(STEP_SIZES[size]) - 1)
            done()
    by = ("learner", "concentration")
    variables = {
        "digits_loss": ((*by, "digits_seed", "spent"), loss, {"units": "mean cross-entropy of all rows"}),
        "digits_accuracy": ((*by, "digits_seed", "spent"), accuracy, {"units": "share of rows held out"}),
        "digits_step_size": (by, step_size, {"units": "1"}), "digits_at_edge": (by, edge, {"units": "whether"}),
    }  # fmt: skip
    coordinates = {
        "learner": list(chosen), "concentration": ("concentration", list(CONCENTRATIONS[size]), {"units": "share"}),
        "spent": ("spent", grid, {"units": "exchanges"}),
    }  # fmt: skip
    return xarray.Dataset(variables, coordinates)
