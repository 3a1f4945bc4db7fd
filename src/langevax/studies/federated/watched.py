"""Two methods on a plane, to be looked at: servers on their paths, and where clients' own gradients would lead one.

A dialled federation of 2 dimensions, 20 clients whose curvatures differ by zeta = 1 and whose slopes at the minimum of
their mean have length 2. FedAvg and FLEDGE take the same step from the same place, with the same local steps and rows.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import random

from langevax.studies.federated import runs
from langevax.studies.federated.problem import DialledFederation, dialled_federation

METHODS = ("FedAvg", "FLEDGE")
CLIENTS, ROWS, ZETA, CONDITION = 20, 32, 1.0, 4.0
LOCAL_STEPS, BATCH, PARTICIPANTS, STEP_SIZE = 16, 4, 5, 1 / 64
START = (2.0, 2.0)
EXCHANGES, EVERY = 99, 2  # a round of FLEDGE is two exchanges


def federation(seed: int) -> DialledFederation:
    return dialled_federation(CLIENTS, ROWS, 2, ZETA, condition=CONDITION, seed=seed)


def position(_: Any, x: Any) -> Any:
    """What is recorded."""
    return x


def path(name: str, dialled: DialledFederation, spent: np.ndarray, seed: int) -> np.ndarray:
    """(spent, 2): the server's last position by then; the start where no round is over."""
    make = runs.methods(LOCAL_STEPS, BATCH, PARTICIPANTS)[name]
    start, keys = jnp.asarray(START, jnp.float32), random.split(random.key(seed), 1)
    found = runs.paths(make, dialled.federation, start, [STEP_SIZE], keys, EXCHANGES, position)
    after = np.searchsorted(found.exchanges, spent, side="right")
    return np.concatenate([np.asarray(START, np.float32)[None], found.seen[0, 0]])[after]


def leads(dialled: DialledFederation, server: np.ndarray) -> np.ndarray:
    """(spent, client, 2): the server less its local steps' length times each client's gradient there."""
    slopes, curvatures = (np.asarray(array, float).mean(axis=1) for array in dialled.federation.data)
    x = np.asarray(server, float)[:, None]
    return x - LOCAL_STEPS * STEP_SIZE * (dialled.gradient(x) + curvatures * x + slopes)


def measured(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables and coordinates of a dataset."""
    dialled, spent = federation(seed), np.arange(0, EXCHANGES + 1, EVERY)
    servers = np.stack([path(name, dialled, spent, seed) for name in METHODS])
    of, length = ("watched", "watched_exchanges"), {"units": "lengths"}
    steepness = np.linalg.norm(dialled.gradient(servers.astype(float)), axis=2)
    led = leads(dialled, servers[METHODS.index("FLEDGE")])
    variables = {
        "server": ((*of, "axis"), servers, length),
        "lead": (("watched_exchanges", "client", "axis"), led.astype(np.float32), length),
        "steepness": (of, steepness.astype(np.float32), {"units": "|grad f|"}),
    }
    return variables, {
        "watched": list(METHODS), "watched_exchanges": ("watched_exchanges", spent, {"units": "exchanges"})
    }  # fmt: skip
