"""Replica exchange in `sample`: temperatures and step sizes, adapted over rounds of warm-up.

A pair of neighbours rejects swaps at a rate r_k; the sum of r_j below a temperature is the barrier from the coldest to
it. Temperatures are moved to equal shares of the barrier, between fixed ends, so that all pairs swap alike (Syed,
Bouchard-Cote, Deligiannidis, Doucet, JRSS B 2022). Under a normal law in d dimensions pairs swap at a rate of
2 Phi(-sqrt(d) log(T' / T) / 2), from which the number of temperatures follows.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float

from langevax.algorithm import Algorithm
from langevax.run import Result, Stacked, simulate
from langevax.samplers import MALA, ReplicaExchange
from langevax.samplers.replica_exchange import SwapTally
from langevax.sampling.draws import SamplingRun, TunedChains, tuned_step_size
from langevax.sampling.methods import SamplingMethod


class Ladder(NamedTuple):
    """Temperatures, their adaptation, and the swaps that set their number."""

    reach: tuple[float, float] = (1_000.0, 1e6)
    """Least and largest ratio of the hottest temperature to the coldest: valleys 1,000 T deep are always crossed."""
    spacing: float = 1.68
    """Of log T at d = 1, at which pairs swap at the rate."""
    swap_rate: float = 0.4
    least_swap_rate: float = 0.2
    """Below which temperatures are added."""
    replicas: tuple[int, int] = (4, 40)
    """Fewest and most."""
    num_rounds: int = 6
    """Of warm-up, after each of which temperatures and step sizes move."""
    round_steps: int = 100
    acceptance: float = 0.574
    """Of steps of MALA: the optimal rate."""
    gain: float = 2.0
    largest_change: float = 0.7
    """Of the logarithm of a step size, by `gain` times the departure of its acceptance."""
    thinning: int = 8
    """Steps between draws: in more of them a replica hardly comes by from another temperature."""


LADDER = Ladder()


class Rungs(NamedTuple):
    """Temperatures in units of the coldest, and the step size at each."""

    ladder: Float[np.ndarray, " k"]
    step_sizes: Float[np.ndarray, " k"]

    def algorithm(self, exchange: ReplicaExchange, temperature: float) -> Algorithm:
        """Return replica exchange of MALA whose coldest temperature is this."""
        steps = MALA(self.step_sizes, self.ladder * temperature)
        return replace(exchange, algorithm=steps)

    def adapted(self, tally: SwapTally, may_add: bool) -> "Rungs":
        """Return rungs at equal shares of the barrier; more of them where they may, and few replicas swap."""
        rejections = 1 - np.asarray(tally.swap_rates)
        count = len(self.ladder)
        if may_add and rejections.mean() > 1 - LADDER.least_swap_rate:
            needed = 1 + math.ceil(rejections.sum() / (1 - LADDER.swap_rate))
            count = min(LADDER.replicas[1], needed)
        spread = adapted_ladder(self.ladder, rejections, count)
        logs = np.log(spread), np.log(self.ladder), np.log(self.step_sizes)
        return Rungs(spread, np.exp(np.interp(*logs)))

    def start_from(self, before: "Rungs", warm: Result) -> Result | Stacked:
        """Return the start of a round after one on other rungs: each replica where the nearest was, if there are more."""
        if len(self.ladder) == len(before.ladder):
            return warm
        distances = np.abs(np.log(self.ladder)[:, None] - np.log(before.ladder))
        return Stacked(jnp.asarray(warm.position)[:, distances.argmin(1)])


def tempered_chains(
    options: SamplingRun,
    exchange: ReplicaExchange,
    mode: Float[Array, " d"],
    step_size: float | None,
    depth: float = 0.0,
) -> TunedChains:
    """Run replica exchange of MALA, whose step sizes are adapted where none is passed.

    `depth` is that of the deepest valley that is known, in temperatures; the hottest temperature crosses it.
    """
    reach = min(max(LADDER.reach[0], depth), LADDER.reach[1])
    evaluations = 0
    is_adapted = step_size is None
    if step_size is None:
        step_size, _, evaluations = tuned_step_size(
            options, SamplingMethod(exchange.algorithm, options.temperature), mode
        )
    ladder = np.geomspace(1.0, reach, num_temperatures(reach, options.dimension))
    rungs = Rungs(ladder, np.full(len(ladder), step_size))
    num_chains = options.lengths.num_chains
    positions = options.start(options.keys.warmup, num_chains * len(ladder))
    start = Stacked(positions.reshape(num_chains, len(ladder), -1))
    warm: Result | None = None
    steps = options.lengths.warmup(LADDER.num_rounds * LADDER.round_steps)
    steps = math.ceil(steps / LADDER.num_rounds)  # of a round
    for number in range(LADDER.num_rounds):
        if warm is not None:
            tally = jax.tree.map(
                lambda sums: jnp.asarray(sums).sum(0), warm.state.tally
            )  # of all chains
            before = rungs
            if is_adapted:
                sizes = adapted_step_sizes(rungs.step_sizes, tally)
                rungs = rungs._replace(step_sizes=sizes)
            rungs = rungs.adapted(tally, may_add=number == 2)
            start = rungs.start_from(before, warm)
        warm = simulate(
            rungs.algorithm(exchange, options.temperature),
            options.problem,
            start,
            key=random.fold_in(options.keys.warmup, number),
            num_steps=steps,
            record=ReplicaExchange.coldest,
            record_every=steps,
            run=options.saving.unsaved(),
        )
        evaluations += warm.evaluations
    assert warm is not None
    shortest = rungs.step_sizes[0]
    thinning = options.lengths.spacing(max(LADDER.thinning, round(1 / shortest)))
    algorithm = rungs.algorithm(exchange, options.temperature)
    run = options.run(algorithm, warm, thinning)
    evaluations += run.evaluations
    return TunedChains(algorithm, run, float(shortest), thinning, evaluations)


def num_temperatures(reach: float, dimension: int) -> int:
    """Return how many temperatures swap at the rate of `LADDER` under a normal law.

    Example:
        >>> num_temperatures(1000.0, 2), num_temperatures(1000.0, 30)
        (7, 24)
    """
    count = 1 + math.ceil(math.log(reach) * math.sqrt(dimension) / LADDER.spacing)
    fewest, most = LADDER.replicas
    return min(most, max(fewest, count))


def adapted_ladder(
    ladder: Float[np.ndarray, " k"], rejections: Float[np.ndarray, " pairs"], count: int
) -> np.ndarray:
    """Return `count` temperatures with the same ends, at equal shares of the barrier.

    Example:
        >>> adapted_ladder(np.array([1.0, 10.0, 100.0]), np.array([0.9, 0.3]), 3).round(2)
        array([  1.  ,   4.64, 100.  ])
    """
    barrier = np.concatenate([[0.0], np.cumsum(np.maximum(rejections, 0.01))])
    logs = np.interp(np.linspace(0, barrier[-1], count), barrier, np.log(ladder))
    return np.exp(logs)


def adapted_step_sizes(
    step_sizes: Float[np.ndarray, " k"], tally: SwapTally
) -> Float[np.ndarray, " k"]:
    """Return step sizes nearer to the acceptance rate of `LADDER` at each temperature."""
    rates = np.asarray(tally.acceptance_rates, np.float64)
    change = LADDER.gain * (rates - LADDER.acceptance)
    largest = LADDER.largest_change
    return step_sizes * np.exp(np.clip(change, -largest, largest))
