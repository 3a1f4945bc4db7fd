"""Networks at the optima of falling temperatures, each reached from the one before.

At every temperature T the law p_g of one neuron is that of the optimum of

    P(q) = (1 / n) sum_i W_i l(E_q h(., x_i)) + T KL(q || prior)

by `homotopy`: Newton's steps in the dual, a cloud that follows, and an output weight of each neuron that is the mean of
what was integrated out, answered to first order by the last step. The noise of few particles, which at low temperatures
exceeds the loss, is thereby taken out of the outputs.

That is the optimum only where the cloud has all the mass of p_g. `outside` searches for what it lacks.
"""

from dataclasses import replace
from typing import Self

import numpy as np
from jaxtyping import Float

from langevax._typing import PRNGKey
from langevax.meanfield import wells
from langevax.meanfield.clouds import MOVES_PER_LAW, Clouds
from langevax.meanfield.gibbs_law import GibbsLaw
from langevax.meanfield.homotopy import (
    CLIMB,
    WIDE,
    Climb,
    Neurons,
    Newton,
    Rung,
    hottest_temperature,
)
from langevax.problems.mean_field import MeanFieldRisk

HIDDEN = 1.0
"""Logarithm of the factor by which others outweigh what a cloud holds, beyond which it is not of its law."""


class NetworkPath:
    """The path of one training problem, as far down as it was asked for.

    Args:
        risk: of `TanhTanh` neurons; its precision is that of the prior, as at temperature 1.
        num_particles: of the first cloud.
        key: of the cloud.
        hottest: temperature at which it begins; `hottest_temperature` of the risk by default.
        most_doublings: of the cloud, where steps stay short.
        most_rounds: on the way from one temperature that is asked for to the next.
        moves: of the cloud under each law.
    """

    def __init__(
        self,
        risk: MeanFieldRisk,
        num_particles: int,
        key: PRNGKey,
        hottest: float | None = None,
        most_doublings: int = 1,
        most_rounds: int = 30,
        moves: int = MOVES_PER_LAW,
    ):
        law = GibbsLaw.of(risk, 1.0)
        rows = int(np.count_nonzero(np.asarray(risk.row_weights()) > 0))
        block = 1 << max(7, (num_particles - 1).bit_length())
        clouds = Clouds(law, rows, key, block=min(block, 1024))
        newton = Newton(risk, law, clouds.generator())
        settings = replace(
            CLIMB,
            largest_cloud=num_particles << most_doublings,
            most_rounds=most_rounds,
        )
        self.law = law
        first = hottest_temperature(risk) if hottest is None else hottest
        self.climb = Climb(clouds, risk, first, newton, moves, settings)
        self.rung: Rung = self.climb.first(num_particles)

    def down_to(self, temperature: float, count: int = 1) -> list[Neurons]:
        """Return the networks of `count` rounds at a temperature below the last one; fewer where it is not reached."""
        passed = self.passed(temperature, count)
        return [neurons for neurons in passed if neurons.temperature == temperature]

    def passed(self, temperature: float, count: int = 1) -> list[Neurons]:
        """Return the networks of all whole steps on the way to a temperature, with the last `count` at it."""
        steps = self.climb = replace(self.climb, temperature=temperature)
        rung = self.rung._replace(last=())
        if rung.temperature > temperature:
            rung = steps.cooled(rung)
        networks: list[Neurons] = []
        for after in steps.rungs(rung, count):
            self.rung = after
            neurons = after.neurons
            if neurons is None or after.step < CLIMB.whole:
                continue
            if not networks or neurons is not networks[-1]:
                networks.append(neurons)
        return networks

    def enlarged(self) -> Self:
        """Let the cloud grow to four times what it was, where its features remain in double precision."""
        settings = self.climb.settings
        largest = 4 * settings.largest_cloud
        if largest * self.climb.risk.max_size <= WIDE:
            settings = replace(settings, largest_cloud=largest)
            self.climb = replace(self.climb, settings=settings)
        return self

    def outside(self, num_descents: int = 300) -> float:
        """Search for wells of the last law; return the logarithm of their mass to that of the cloud.

        The networks are the optimum only where it is at most about `HIDDEN`.
        """
        rung = self.rung
        clouds = self.climb.clouds
        cloud = rung.pilot.cloud
        met = wells.search(clouds, rung.tilt, [cloud], num_descents, num_steps=60)
        # v is nowhere negative, nor is log Z
        return met.log_partition - max(rung.log_partition, 0.0)

    @property
    def dual(self) -> Float[np.ndarray, "n ..."]:
        """Of the last law."""
        return self.rung.dual

    def close(self) -> None:
        """End the threads."""
        self.climb.clouds.close()
