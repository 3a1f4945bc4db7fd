"""Replica exchange in `sample`: temperatures and step sizes, adapted over rounds of warm-up.

A pair of neighbours rejects swaps at a rate r_k; the sum of r_j below a temperature is the barrier from the coldest to
it. Temperatures are moved to equal shares of the barrier, between fixed ends, so that all pairs swap alike (Syed,
Bouchard-Cote, Deligiannidis, Doucet, JRSS B 2022). Under a normal law in d dimensions pairs swap at a rate of
2 Phi(-sqrt(d) log(T' / T) / 2), from which the number of temperatures follows.
"""

import math

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

REACH, LARGEST_REACH = 1_000.0, 1e6
"""Least and largest ratio of the hottest temperature to the coldest: valleys 1,000 T deep are always crossed."""
SWAP_SPACING, SWAP_RATE, LEAST_SWAP_RATE = 1.68, 0.4, 0.2
"""Spacing of log T at d = 1 at which pairs swap at SWAP_RATE; the rate below which temperatures are added."""
FEWEST_REPLICAS, MOST_REPLICAS = 4, 40
NUM_ROUNDS, ROUND_STEPS = 6, 100
ACCEPTANCE, GAIN, LARGEST_CHANGE = (
    0.574,
    2.0,
    0.7,
)  # of MALA's steps: optimal rate, and changes of log step size
THINNING = 8  # steps between draws: in more of them a replica hardly comes by from another temperature


def tempered_chains(
    options: SamplingRun,
    method: SamplingMethod,
    mode: Float[Array, " d"],
    step_size: float | None,
    depth: float = 0.0,
) -> TunedChains:
    """Run replica exchange of MALA, whose step sizes are adapted where none is passed.

    `depth` is that of the deepest valley that is known, in temperatures; the hottest temperature crosses it.
    """
    reach = min(max(REACH, depth), LARGEST_REACH)
    evaluations, is_adapted = 0, step_size is None
    if step_size is None:
        step_size, _, evaluations = tuned_step_size(
            options, method._replace(dynamics="mala"), mode
        )
    ladder = np.geomspace(1.0, reach, num_temperatures(reach, options.dimension))
    step_sizes = np.full(len(ladder), step_size)
    replicas = options.num_chains * len(ladder)
    positions = options.start(options.keys[1], replicas)
    start: Result | Stacked = Stacked(
        positions.reshape(options.num_chains, len(ladder), -1)
    )
    round_steps = math.ceil(
        (options.num_warmup or NUM_ROUNDS * ROUND_STEPS) / NUM_ROUNDS
    )

    def run_round(number: int) -> Result:
        return simulate(
            ReplicaExchange(MALA(step_sizes, ladder * options.temperature)),
            options.problem,
            start,
            key=random.fold_in(options.keys[1], number),
            num_steps=round_steps,
            record=ReplicaExchange.coldest,
            record_every=round_steps,
            progress=options.saving["progress"],
        )

    warm = run_round(0)
    evaluations += warm.evaluations
    for number in range(1, NUM_ROUNDS):
        tally = jax.tree.map(
            lambda sums: jnp.asarray(sums).sum(0), warm.state.tally
        )  # of all chains
        if is_adapted:
            step_sizes = adapted_step_sizes(step_sizes, tally)
        rejections, count = 1 - np.asarray(tally.swap_rates), len(ladder)
        if number == 2 and rejections.mean() > 1 - LEAST_SWAP_RATE:
            count = min(
                MOST_REPLICAS, 1 + math.ceil(rejections.sum() / (1 - SWAP_RATE))
            )
        spread = adapted_ladder(ladder, rejections, count)
        nearest = np.abs(np.log(spread)[:, None] - np.log(ladder)).argmin(1)
        start = (
            warm
            if count == len(ladder)
            else Stacked(jnp.asarray(warm.position)[:, nearest])
        )
        step_sizes = np.exp(
            np.interp(np.log(spread), np.log(ladder), np.log(step_sizes))
        )
        ladder = spread
        warm = run_round(number)
        evaluations += warm.evaluations
    algorithm = ReplicaExchange(MALA(step_sizes, ladder * options.temperature))
    thinning = options.thinning or max(THINNING, round(1 / step_sizes[0]))
    run = options.run(algorithm, warm, thinning)
    return TunedChains(
        algorithm,
        run,
        float(step_sizes[0]),
        thinning,
        evaluations + run.evaluations,
    )


def num_temperatures(reach: float, dimension: int) -> int:
    """Return how many temperatures swap at `SWAP_RATE` under a normal law.

    Example:
        >>> num_temperatures(1000.0, 2), num_temperatures(1000.0, 30)
        (7, 24)
    """
    count = 1 + math.ceil(math.log(reach) * math.sqrt(dimension) / SWAP_SPACING)
    return min(MOST_REPLICAS, max(FEWEST_REPLICAS, count))


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
    """Return step sizes nearer to an acceptance rate of `ACCEPTANCE` at each temperature."""
    change = GAIN * (np.asarray(tally.acceptance_rates, np.float64) - ACCEPTANCE)
    return step_sizes * np.exp(np.clip(change, -LARGEST_CHANGE, LARGEST_CHANGE))
