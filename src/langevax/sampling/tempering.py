"""Replica exchange in `sample`: temperatures and step sizes, adapted over rounds of warm-up.

A pair of neighbours rejects swaps at a rate r_k; the sum of r_j below a temperature is the barrier from the coldest to
it. Temperatures are moved to equal shares of the barrier, between fixed ends, so that all pairs swap alike (Syed,
Bouchard-Cote, Deligiannidis, Doucet, JRSS B 2022). Under a normal law in d dimensions pairs swap at a rate of
2 Phi(-sqrt(d) log(T' / T) / 2), from which the number of temperatures follows.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, Key

from langevax.gradients import Full
from langevax.run import Result, Stacked, simulate
from langevax.samplers import MALA, Langevin, ReplicaExchange
from langevax.samplers.replica_exchange import SwapTally
from langevax.sampling.draws import SamplingRun, TunedChains, tuned_step_size
from langevax.sampling.methods import SamplingMethod, Start

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
SWAP_PERIOD = 5  # steps of `Langevin`, which are shorter
ANCHOR_PERIOD = 100  # where the gradient estimator has no period


class StartOfReplicas(eqx.Module):
    """A draw of a start for each replica; hot ones spread out in a few steps."""

    start: Start
    num_replicas: int

    def __call__(self, key: Key[Array, ""]) -> Float[Array, "replicas d"]:
        return jax.vmap(self.start)(random.split(key, self.num_replicas))


def tempered_chains(
    options: SamplingRun,
    method: SamplingMethod,
    mode: Float[Array, " d"],
    step_size: float | None,
    depth: float = 0.0,
) -> TunedChains:
    """Run replica exchange, with MALA for full gradients and with Langevin steps for others.

    `depth` is that of the deepest valley that is known, in temperatures; the hottest temperature crosses it.
    """
    reach = min(max(REACH, depth), LARGEST_REACH)
    is_exact = isinstance(method.gradient, Full)
    bias, evaluations, tune = None, 0, is_exact and step_size is None
    if step_size is None:
        step_size, bias, evaluations = tuned_step_size(
            options, method._replace(dynamics="mala" if is_exact else "langevin"), mode
        )
    ladder = np.geomspace(1.0, reach, num_temperatures(reach, options.dimension))
    step_sizes = np.full(len(ladder), step_size)
    start: StartOfReplicas | Result | Stacked = StartOfReplicas(
        options.start, len(ladder)
    )
    round_steps = math.ceil(
        (options.num_warmup or NUM_ROUNDS * ROUND_STEPS) / NUM_ROUNDS
    )

    def run_round(number: int, num_chains: int | None) -> Result:
        return simulate(
            _exchange(method, ladder * options.temperature, step_sizes),
            options.problem,
            start,
            key=random.fold_in(options.keys[1], number),
            num_steps=round_steps,
            num_chains=num_chains,
            record=ReplicaExchange.coldest,
            record_every=round_steps,
            progress=options.saving["progress"],
        )

    warm = run_round(0, options.num_chains)
    evaluations += warm.evaluations
    for number in range(1, NUM_ROUNDS):
        tally = jax.tree.map(
            lambda sums: jnp.asarray(sums).sum(0), warm.state.tally
        )  # of all chains
        step_sizes = adapted_step_sizes(step_sizes, tally) if tune else step_sizes
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
        warm = run_round(number, None)
        evaluations += warm.evaluations
    algorithm = _exchange(method, ladder * options.temperature, step_sizes)
    thinning = options.thinning or max(THINNING, round(1 / step_sizes[0]))
    run = options.run(algorithm, warm, thinning)
    return TunedChains(
        algorithm,
        run,
        float(step_sizes[0]),
        thinning,
        evaluations + run.evaluations,
        bias,
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


def _exchange(
    method: SamplingMethod,
    temperatures: Float[np.ndarray, " k"],
    step_sizes: Float[np.ndarray, " k"],
) -> ReplicaExchange:
    numbers = step_sizes, temperatures
    if isinstance(method.gradient, Full):
        return ReplicaExchange(MALA(*numbers))
    batch_size = getattr(method.gradient, "batch_size", None)
    anchor_period = getattr(method.gradient, "period", ANCHOR_PERIOD)
    algorithm = Langevin(*numbers, method.gradient, method.integrator)
    return ReplicaExchange(algorithm, SWAP_PERIOD, batch_size, anchor_period)
