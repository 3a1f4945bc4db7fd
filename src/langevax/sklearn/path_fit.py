"""The fit of a table by the path of networks down to one temperature."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from langevax._typing import PRNGKey
from langevax.meanfield.homotopy import Neurons, hottest_temperature
from langevax.meanfield.network_path import HIDDEN, NetworkPath
from langevax.sklearn.baselines import row_losses
from langevax.sklearn.training import Network

LAST_ROUNDS = 5
"""At the temperature, whose networks predict together."""
MOVES = 8
"""Of particles under each law: at low temperatures a cloud with fewer stays behind its law."""


class Followed(NamedTuple):
    """The networks of a path, on the standardised columns, with slopes in the place of output weights."""

    positions: list[np.ndarray]
    """(neurons, size) of each round: one on the way to the temperature, the last ones at it."""
    num_last: int
    """How many of them predict."""
    dual: np.ndarray
    """(n,) or (n, C), the mean of the last rounds."""
    history: dict[str, Any]
    """Over rounds: "steps", "temperature", and the mean "loss" of the rows."""
    reached: bool
    shortfall: str
    """In what the end is not the optimum; empty where nothing is known."""


COOLING = 0.35
"""Between temperatures at which a whole step is made."""


def steps_down(hottest: float, temperature: float) -> list[float]:
    """Return the temperatures above one through which to go."""
    count = max(0, math.ceil(math.log(temperature / hottest, COOLING) - 1e-6))
    return [hottest * COOLING**number for number in range(count)]


def follow_path(
    network: Network,
    temperature: float,
    num_particles: int,
    key: PRNGKey,
    report: Callable[[str, float], None],
) -> Followed:
    """Go down to the temperature, and make the last rounds there."""
    risk = network.risk(1.0)
    risk.prior(1.0, num_particles)  # refuses what no memory holds
    hottest = max(temperature, hottest_temperature(risk))
    path = NetworkPath(risk, num_particles, key, hottest, moves=MOVES)
    stops = [(hotter, 1) for hotter in steps_down(hottest, temperature)]
    stops.append((temperature, LAST_ROUNDS))
    passed: list[Neurons] = []
    try:
        for number, (stop, count) in enumerate(stops):
            report(f"network at temperature {stop:.2g}", number / len(stops))
            networks = path.passed(stop, count)
            if not networks or networks[-1].temperature > stop:
                networks += path.enlarged().passed(stop, count)
            arrived = [each for each in networks if each.temperature == stop]
            passed += arrived or networks
            if not arrived:
                break
        reached = passed[-1].temperature == temperature
        outside = path.outside() if reached else 0.0
    finally:
        path.close()
    losses = [mean_training_loss(network, neurons) for neurons in passed]
    shortfall = ""
    if outside > HIDDEN:
        shortfall = (
            f"the network is not the optimum at temperature {temperature:.3g}: a "
            f"search found neurons that weigh e^{outside:.3g} times as much as those "
            "that it has"
        )
    if not reached:
        # at falling temperatures optima have falling losses: a loss above that of a hotter one is not of an optimum
        end = int(np.argmin(losses)) + 1
        passed, losses = passed[:end], losses[:end]
        shortfall = (
            f"the path did not reach temperature {temperature:.3g}: the network is the "
            f"optimum at {passed[-1].temperature:.3g}"
        )
    temperatures = np.array([neurons.temperature for neurons in passed])
    num_last = int(np.count_nonzero(temperatures == temperatures[-1]))
    return Followed(
        [network.rotated(neurons.positions(path.law), back=True) for neurons in passed],
        num_last,
        np.mean(path.rung.last or [path.dual], axis=0)[: len(network.inputs)].astype(
            np.float32
        ),
        {
            "steps": np.arange(1, len(passed) + 1),
            "temperature": temperatures,
            "loss": np.array(losses),
        },
        reached,
        shortfall,
    )


def mean_training_loss(network: Network, neurons: Neurons) -> float:
    """Return the weighted mean loss of the rows that train."""
    n = len(network.inputs)
    shape = network.task.neuron.output_shape
    z = neurons.outputs()[:n].reshape(n, *shape).astype(np.float32)
    return float(row_losses(network, z) @ network.weights / network.weights.sum())
