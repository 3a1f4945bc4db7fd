"""Replica exchange in `sample`: temperatures and step sizes, adapted over rounds of warm-up.

A pair of neighbours rejects swaps at a rate r_k; the sum of r_j below a temperature is the barrier from the coldest to
it. Temperatures are moved to equal shares of the barrier, between fixed ends, so that all pairs swap alike (Syed,
Bouchard-Cote, Deligiannidis, Doucet, JRSS B 2022). Under a normal law in d dimensions pairs swap at a rate of
2 Phi(-sqrt(d) log(T' / T) / 2), from which the number of temperatures follows; it stays.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float

from langevax.run import Result, Stacked, simulate
from langevax.samplers import MALA, ReplicaExchange
from langevax.samplers.replica_exchange import SwapTally
from langevax.sampling.draws import SamplingRun, TunedChains, tuned_step_size
from langevax.sampling.methods import SamplingMethod

Rungs = Float[np.ndarray, " k"]
"""A number for each replica, coldest first: its temperature in units of the coldest, or its step size."""


class Ladder(NamedTuple):
    """Temperatures, and their adaptation."""

    reach: tuple[float, float] = (1_000.0, 1e6)
    """Least and largest ratio of the hottest temperature to the coldest: valleys 1,000 T deep are always crossed."""
    spacing: float = 1.68
    """Of log T at d = 1, at which pairs swap at a rate of 0.4."""
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
    temperature = options.temperature
    is_adapted = step_size is None
    evaluations = 0
    if step_size is None:
        method = SamplingMethod(exchange.algorithm, temperature)
        step_size, _, evaluations = tuned_step_size(options, method, mode)
    reach = min(max(LADDER.reach[0], depth), LADDER.reach[1])
    ladder = np.geomspace(1.0, reach, num_temperatures(reach, options.dimension))
    sizes = np.full(len(ladder), step_size)
    num_chains = options.lengths.num_chains
    positions = options.start(options.keys.warmup, num_chains * len(ladder))
    algorithm = exchange
    start: Stacked | Result = Stacked(positions.reshape(num_chains, len(ladder), -1))
    steps = options.lengths.warmup(LADDER.num_rounds * LADDER.round_steps)
    steps = math.ceil(steps / LADDER.num_rounds)  # of a round
    for number in range(LADDER.num_rounds):
        if isinstance(start, Result):
            tally = jax.tree.map(
                lambda sums: jnp.asarray(sums).sum(0), start.state.tally
            )  # of all chains
            if is_adapted:
                sizes = adapted_step_sizes(sizes, tally)
            before = np.log(ladder)
            ladder = adapted_ladder(ladder, 1 - np.asarray(tally.swap_rates))
            sizes = np.exp(np.interp(np.log(ladder), before, np.log(sizes)))
        algorithm = replace(exchange, algorithm=MALA(sizes, ladder * temperature))
        start = simulate(
            algorithm,
            options.problem,
            start,
            key=random.fold_in(options.keys.warmup, number),
            num_steps=steps,
            record=ReplicaExchange.coldest,
            record_every=steps,
            run=options.saving.unsaved(),
        )
        evaluations += start.evaluations
    assert isinstance(start, Result)
    thinning = options.lengths.spacing(max(LADDER.thinning, round(1 / sizes[0])))
    run = options.run(algorithm, start, thinning)
    evaluations += run.evaluations
    return TunedChains(algorithm, run, float(sizes[0]), thinning, evaluations)


def num_temperatures(reach: float, dimension: int) -> int:
    """Return how many temperatures swap at the rate of `LADDER` under a normal law.

    Example:
        >>> num_temperatures(1000.0, 2), num_temperatures(1000.0, 30)
        (7, 24)
    """
    count = 1 + math.ceil(math.log(reach) * math.sqrt(dimension) / LADDER.spacing)
    fewest, most = LADDER.replicas
    return min(most, max(fewest, count))


def adapted_ladder(ladder: Rungs, rejections: Float[np.ndarray, " pairs"]) -> Rungs:
    """Return as many temperatures with the same ends, at equal shares of the barrier.

    Example:
        >>> adapted_ladder(np.array([1.0, 10.0, 100.0]), np.array([0.9, 0.3])).round(2)
        array([  1.  ,   4.64, 100.  ])
    """
    barrier = np.concatenate([[0.0], np.cumsum(np.maximum(rejections, 0.01))])
    shares = np.linspace(0, barrier[-1], len(ladder))
    return np.exp(np.interp(shares, barrier, np.log(ladder)))


def adapted_step_sizes(step_sizes: Rungs, tally: SwapTally) -> Rungs:
    """Return step sizes nearer to the acceptance rate of `LADDER` at each temperature."""
    rates = np.asarray(tally.acceptance_rates, np.float64)
    change = LADDER.gain * (rates - LADDER.acceptance)
    largest = LADDER.largest_change
    return step_sizes * np.exp(np.clip(change, -largest, largest))
