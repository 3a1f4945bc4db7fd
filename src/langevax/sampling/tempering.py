"""Replica exchange in `sample`: temperatures and step sizes, adapted over rounds of warm-up.

A pair of neighbours rejects swaps at a rate r_k; the sum of r_j below a temperature is the barrier from the coldest to
it. Temperatures are moved to equal shares of the barrier, between fixed ends, so that all pairs swap alike (Syed,
Bouchard-Cote, Deligiannidis, Doucet, JRSS B 2022). Under a normal law in d dimensions pairs swap at a rate of
2 Phi(-sqrt(d) log(T' / T) / 2), from which the number of temperatures follows; it stays.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jax import random
from jaxtyping import Float

from langevax.run import Result, Stacked
from langevax.samplers import MALA, ReplicaExchange
from langevax.samplers.replica_exchange import SwapTally
from langevax.sampling.draws import TunedChains, drawn_chains, tuned_step_size
from langevax.sampling.methods import SamplingMethod
from langevax.sampling.survey import PilotSurvey

Rungs = Float[np.ndarray, " k"]
"""A number for each replica, coldest first: its temperature in units of the coldest, or its step size."""


class Ladder(NamedTuple):
    """Temperatures, and their adaptation."""

    reach: tuple[float, float] = (1_000.0, 1e6)
    """Least and largest ratio of the hottest temperature to the coldest: valleys 1,000 T deep are always crossed."""
    spacing: float = 1.68
    """Of log T at d = 1, at which pairs swap at a rate of 0.4."""
    most_replicas: int = 40
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


def tempered_chains(
    survey: PilotSurvey,
    exchange: ReplicaExchange,
    step_size: float | None,
) -> TunedChains:
    """Run replica exchange of MALA, whose step sizes are adapted where none is passed.

    The hottest temperature crosses the deepest valley that the pilot met.
    """
    method = SamplingMethod(exchange.algorithm, survey.temperature)
    first_step, _, spent = tuned_step_size(survey, method, step_size)
    reach = float(np.clip(survey.exploration.depth, *LADDER.reach))
    ladder = np.geomspace(1.0, reach, num_temperatures(reach, survey.dimension))
    sizes = np.full(len(ladder), first_step)
    num_chains = survey.lengths.num_chains
    positions = survey.start(survey.keys.warmup, num_chains * len(ladder))
    algorithm = exchange
    start: Stacked | Result = Stacked(positions.reshape(num_chains, len(ladder), -1))
    steps = survey.lengths.warmup(LADDER.num_rounds * LADDER.round_steps)
    steps = math.ceil(steps / LADDER.num_rounds)  # of a round
    for number in range(LADDER.num_rounds):
        if isinstance(start, Result):
            tally = start.state.tally.of_chains()
            if step_size is None:
                sizes = adapted_step_sizes(sizes, tally)
            before = np.log(ladder)
            ladder = adapted_ladder(ladder, 1 - np.asarray(tally.swap_rates))
            log_sizes = np.interp(np.log(ladder), before, np.log(sizes))
            sizes = np.exp(log_sizes)
        algorithm = replace(
            exchange, algorithm=MALA(sizes, ladder * survey.temperature)
        )
        key = random.fold_in(survey.keys.warmup, number)
        start = survey.warmed(algorithm, start, steps, key)
        spent += start.evaluations
    assert isinstance(start, Result)
    spacing = max(LADDER.thinning, round(1 / sizes[0]))
    return drawn_chains(survey, algorithm, start, float(sizes[0]), spacing, spent)


def num_temperatures(reach: float, dimension: int) -> int:
    """Return how many temperatures swap at the rate of `LADDER` under a normal law.

    Example:
        >>> num_temperatures(1000.0, 2), num_temperatures(1000.0, 30)
        (7, 24)
    """
    length = math.log(reach) * math.sqrt(dimension)
    count = 1 + math.ceil(length / LADDER.spacing)
    return min(LADDER.most_replicas, count)


def adapted_ladder(ladder: Rungs, rejections: Float[np.ndarray, " pairs"]) -> Rungs:
    """Return as many temperatures with the same ends, at equal shares of the barrier.

    Example:
        >>> adapted_ladder(np.array([1.0, 10.0, 100.0]), np.array([0.9, 0.3])).round(2)
        array([  1.  ,   4.64, 100.  ])
    """
    rises = np.cumsum(np.maximum(rejections, 0.01))
    barrier = np.concatenate([[0.0], rises])
    shares = np.linspace(0, barrier[-1], len(ladder))
    return np.exp(np.interp(shares, barrier, np.log(ladder)))


def adapted_step_sizes(step_sizes: Rungs, tally: SwapTally) -> Rungs:
    """Return step sizes nearer to the acceptance rate of `LADDER` at each temperature."""
    rates = np.asarray(tally.acceptance_rates, np.float64)
    change = LADDER.gain * (rates - LADDER.acceptance)
    largest = LADDER.largest_change
    return step_sizes * np.exp(np.clip(change, -largest, largest))
