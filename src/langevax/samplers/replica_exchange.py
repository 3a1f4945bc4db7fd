"""Replica exchange (parallel tempering): replicas at several temperatures, which swap their positions.

Replica k moves by steps of MALA at temperature T_k, coldest first. Neighbours swap with probability min(1, exp(r)),

    r = (1 / T_k - 1 / T_{k+1}) (U(x_k) - U(x_{k+1}))

which leaves the law of all replicas invariant. Pairs with even and with odd k alternate (Okabe et al., Chem. Phys. Lett.
2001; Syed et al., JRSS B 2022). Cost of a step: K steps of MALA, which have the potentials.
"""

from dataclasses import replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from langevax import checks, trees
from langevax._typing import FloatScalar, IntScalar, PRNGKey, PyTree
from langevax.algorithm import Algorithm, Info
from langevax.problems.problem import Problem
from langevax.renamed import refuse_former
from langevax.samplers.metropolis import MALA

EXAMPLE = "langevax.MALA(step_size=0.1, temperature=np.geomspace(1.0, 100.0, 6))"

PerPair = Float[Array, " pairs"]
PerReplica = Float[Array, " replicas"]


class SwapTally(NamedTuple):
    """Sums over the run, from which rates follow."""

    probabilities: PerPair
    attempts: PerPair
    acceptance: PerReplica
    """Of the steps of each replica."""
    num_steps: FloatScalar

    def plus(
        self,
        probabilities: PerPair,
        attempts: PerPair,
        acceptance: PerReplica,
    ) -> "SwapTally":
        """Return the sums after one step more."""
        step = SwapTally(probabilities, attempts, acceptance, self.num_steps)
        more = jax.tree.map(jnp.add, self, step)
        return more._replace(num_steps=self.num_steps + 1)

    def of_chains(self) -> "SwapTally":
        """Return the sums over chains, which are axis 0."""
        return jax.tree.map(lambda sums: jnp.asarray(sums).sum(0), self)

    @property
    def swap_rates(self) -> PerPair:
        """Mean swap probability of each pair of neighbours."""
        return self.probabilities / self.attempts.clip(1)

    @property
    def acceptance_rates(self) -> PerReplica:
        """Mean acceptance probability of the steps of each replica."""
        return self.acceptance / self.num_steps.clip(1)


class ReplicaExchangeState(NamedTuple):
    """States of the replicas, coldest first, and a record of the swaps."""

    replicas: Any
    from_hottest: Bool[Array, " replicas"]
    """True for a replica that was the hottest after it was last the coldest."""
    tally: SwapTally

    @property
    def position(self) -> PyTree:
        """(K, ...), coldest first."""
        return self.replicas.position


@refuse_former
class ReplicaExchange(Algorithm):
    """Replica exchange: samples exp(-potential / temperature) across modes that no single chain leaves.

    Positions have one more axis than those of `algorithm`: axis 0 is the replica, coldest first. The start is one
    position for each; `ReplicaExchange.coldest` records the draws of the coldest.

    Args:
        algorithm: `MALA`, whose temperature is an array (K,) that increases, and its step size one number or (K,). Both
            may be "auto" for `langevax.sample`.

    The metric `swap_rate` is the mean swap probability; the count `round_trips` is that of arrivals at the coldest
    temperature of a replica that has been the hottest since it was last the coldest; `tally` of the state holds the
    swap rate of each pair.

    Raises:
        TypeError: another algorithm. ValueError: temperatures that do not increase; in `simulate`, a start without an
            axis of K replicas.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> wells = langevax.Function(lambda x: -jnp.logaddexp(-50 * (x - 1) ** 2, -50 * (x + 1) ** 2 + jnp.log(3.0)))
        >>> mala = langevax.MALA(step_size=jnp.geomspace(0.01, 0.3, 5), temperature=jnp.geomspace(1.0, 100.0, 5))
        >>> exchange = langevax.ReplicaExchange(mala)
        >>> options = {"num_steps": 2000, "num_chains": 16, "record_every": 10, "record": exchange.coldest}
        >>> result = langevax.simulate(exchange, wells, jnp.ones(5), key=jax.random.key(0), **options)
        >>> result.positions.shape, bool(abs((result.positions < 0).mean() - 0.75) < 0.1)
        ((16, 200), True)
    """

    algorithm: MALA = MALA()

    def __check_init__(self) -> None:
        checks.instance("algorithm", self.algorithm, MALA, EXAMPLE)
        if checks.is_auto(self.algorithm.temperature):
            return
        temperatures = self._number_of("temperature")
        step_size = self._number_of("step_size")
        shape = jnp.shape(temperatures)
        if len(shape) != 1 or shape[0] < 2:
            raise ValueError(
                f"temperature of the algorithm has shape {shape}, but the replicas "
                f"need an array (K,) of two or more; pass for instance {EXAMPLE}."
            )
        if checks.is_concrete(temperatures) and not (
            np.all(np.diff(np.asarray(temperatures)) > 0)
            and np.asarray(temperatures)[0] > 0
        ):
            raise ValueError(
                "temperature of the algorithm must be > 0 and increase, got "
                f"{np.asarray(temperatures)}; sort it."
            )
        if jnp.shape(step_size) not in ((), shape):
            raise ValueError(
                f"step_size of the algorithm has shape {jnp.shape(step_size)} for "
                f"{shape[0]} temperatures; pass one number, or one for each."
            )

    def _number_of(self, name: Literal["temperature", "step_size"]) -> ArrayLike:
        """Return a parameter of the algorithm, which may not be a schedule."""
        value = getattr(self.algorithm, name)
        if callable(value):
            raise TypeError(
                f"{name} of the algorithm is a schedule, but each replica has a "
                "number; pass (K,)."
            )
        return value

    @property
    def num_replicas(self) -> int:
        """K."""
        return len(self.temperatures)

    @property
    def temperatures(self) -> PerReplica:
        """T_1 < ... < T_K."""
        return jnp.asarray(self._number_of("temperature"))

    @staticmethod
    def coldest(problem: Problem, state: ReplicaExchangeState) -> PyTree:
        """Return the position of the coldest replica: a record for `simulate`."""
        return jax.tree.map(lambda x: x[0], state.position)

    def check(self, problem: Problem) -> None:
        self.algorithm.check_schedules(0)

    def init(
        self,
        problem: Problem,
        position: PyTree,
        key: PRNGKey,
    ) -> tuple[ReplicaExchangeState, Info]:
        count = self.num_replicas
        for leaf in jax.tree.leaves(position):
            if leaf.ndim == 0 or len(leaf) != count:
                raise ValueError(
                    f"start has shape {leaf.shape}, but axis 0 must be the {count} "
                    "replicas; pass one position for each, such as jnp.stack([x] * K)."
                )
        replicas, info = jax.vmap(lambda x: self.algorithm.init(problem, x, key))(
            position
        )
        dtype = trees.dtype_of(position)
        zeros = jnp.zeros(count - 1, dtype)
        tally = SwapTally(zeros, zeros, jnp.zeros(count, dtype), jnp.zeros((), dtype))
        state = ReplicaExchangeState(replicas, jnp.arange(count) == count - 1, tally)
        return state, {
            "evaluations": jnp.sum(info["evaluations"]),
            "swap_rate": jnp.ones((), dtype),
            "round_trips": jnp.int32(0),
            "acceptance": jnp.zeros((), dtype),
        }

    def step(
        self,
        problem: Problem,
        state: ReplicaExchangeState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[ReplicaExchangeState, Info]:
        move_key, swap_key = random.split(key)
        replicas, info = self._moved(problem, state.replicas, move_key, step)
        ratios = log_swap_ratios(self.temperatures, replicas.potential)
        probabilities = jnp.exp(jnp.minimum(ratios, 0))
        tried = jnp.arange(self.num_replicas - 1) % 2 == step % 2
        _, accept_key = random.split(swap_key)
        uniform = random.uniform(accept_key, probabilities.shape, probabilities.dtype)
        order = swapped_order(tried & (uniform < probabilities))
        replicas = jax.tree.map(lambda leaf: leaf[order], replicas)
        from_hottest = state.from_hottest[order].at[-1].set(True)
        tried_probabilities = jnp.where(tried, probabilities, 0)
        tries = tried.astype(probabilities.dtype)
        new = ReplicaExchangeState(
            replicas,
            from_hottest.at[0].set(False),
            state.tally.plus(tried_probabilities, tries, info["acceptance"]),
        )
        return new, {
            "evaluations": jnp.sum(info["evaluations"]),
            "swap_rate": jnp.sum(tried_probabilities) / jnp.maximum(jnp.sum(tries), 1),
            "round_trips": from_hottest[0].astype(jnp.int32),
            "acceptance": info["acceptance"][0],
        }

    def _moved(
        self,
        problem: Problem,
        replicas: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[Any, Info]:
        """Return the replicas after a step of each."""

        def one(
            step_size: Array,
            temperature: Array,
            state: Any,
            key: PRNGKey,
        ) -> tuple[Any, Info]:
            sizes: Any = {"step_size": step_size, "temperature": temperature}
            return replace(self.algorithm, **sizes).step(problem, state, key, step)

        count = self.num_replicas
        step_sizes = jnp.broadcast_to(
            jnp.asarray(self._number_of("step_size")), (count,)
        )
        keys = random.split(key, count)
        return jax.vmap(one)(step_sizes, self.temperatures, replicas, keys)


def log_swap_ratios(
    temperatures: PerReplica,
    energies: PerReplica,
) -> PerPair:
    """Return r of each pair; NaN is -inf."""
    d = -jnp.diff(1 / temperatures).astype(energies.dtype)
    ratios = -d * jnp.diff(energies)
    return jnp.where(jnp.isnan(ratios), -jnp.inf, ratios)


def swapped_order(accepted: Bool[Array, " pairs"]) -> Int[Array, " replicas"]:
    """Return which replica comes to each place, where disjoint pairs of neighbours swap.

    Example:
        >>> swapped_order(jnp.array([True, False, False, True]))
        Array([1, 0, 2, 4, 3], dtype=int32)
    """
    swaps = accepted.astype(jnp.int32)
    places = jnp.arange(len(swaps) + 1, dtype=jnp.int32)
    return places + jnp.pad(swaps, (0, 1)) - jnp.pad(swaps, (1, 0))
