"""Federated methods compared: all step sizes and seeds of one method in one program, and what they needed.

A method is a function of its step size, the only number that is tuned, on one grid of powers of two for all. Rounds run
in chunks until no other step size can be better, or the exchanges are used up.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Key, PyTree

from langevax.federated import BVRLSGD, FLEDGE, SCAFFOLD, FedAvg, Federated, MimeSGD, MinibatchSARAH, MinibatchSGD
from langevax.keys import unrolled
from langevax.problems.federation import Federation

Maker = Callable[[Any], Federated]
Observe = Callable[[Any, Any], PyTree]
START_FOLD = 2**31 - 1  # of the key of the exchanges before the first round
CHUNK = 50  # rounds between two checks of who has arrived
COSTS = ("exchanges", "vectors")


@functools.cache  # the same functions each time, so that programs are not compiled again
def methods(local_steps: int, batch_size: int, clients: int) -> dict[str, Maker]:
    """Return all methods as functions of the step size.

    Those without local steps take K b rows at once; FLEDGE asks p clients, the others all.
    """
    K, b, p = local_steps, batch_size, clients
    return {
        "minibatch SGD": lambda h: MinibatchSGD(h, K * b),
        "FedAvg": lambda h: FedAvg(h, K, b),
        "SCAFFOLD": lambda h: SCAFFOLD(h, K, b),
        "MimeSGD": lambda h: MimeSGD(h, K, b),
        "minibatch SARAH": lambda h: MinibatchSARAH(step_size=h, batch_size=K * b),
        "BVR-L-SGD": lambda h: BVRLSGD(step_size=h, num_local_steps=K, batch_size=b),
        "FLEDGE": lambda h: FLEDGE(h, K, b, p),
    }


class Paths(NamedTuple):
    """What was observed after every round, (step size, seed, round, ...), and what it had cost by then, (round,)."""

    seen: Any
    exchanges: np.ndarray
    vectors: np.ndarray


def paths(
    make: Maker,
    federation: Federation,
    start: PyTree,
    step_sizes: Any,
    keys: Key[Array, " seeds"],
    num_exchanges: int,
    observe: Observe,
    tolerance: float | None = None,
) -> Paths:
    """Run until the exchanges are used up, or until no step size can bring its seeds to the tolerance any sooner."""
    step_sizes = jnp.asarray(step_sizes, jax.tree.leaves(start)[0].dtype)
    states, opening = initial_states(make, federation, start, step_sizes, keys)
    spent = {name: [int(np.asarray(opening[name])[0, 0])] for name in COSTS}
    first, pieces = np.full((len(step_sizes), len(keys)), np.inf), []
    while spent["exchanges"][-1] < num_exchanges:
        done = jnp.int32(CHUNK * len(pieces))
        states, seen, used = run_chunk(make, federation, states, step_sizes, keys, done, observe)
        pieces.append(jax.tree.map(np.asarray, seen))
        for name, total in spent.items():
            total.extend((total[-1] + np.cumsum(np.asarray(used[name], np.int64)[0, 0])).tolist())
        if tolerance is not None:
            first = np.minimum(first, first_arrival(pieces[-1], np.array(spent["exchanges"][-CHUNK:]), tolerance))
            pending = np.isinf(first).any(axis=1)
            soonest = np.minimum(first[pending], spent["exchanges"][-1]).mean(axis=1)
            if first.mean(axis=1).min() <= soonest.min(initial=math.inf):
                break
    used_up = int(np.searchsorted(spent["exchanges"][1:], num_exchanges, side="right"))
    seen = jax.tree.map(lambda *parts: np.concatenate(parts, axis=2)[:, :, :used_up], *pieces)
    return Paths(seen, *(np.array(spent[name][1 : used_up + 1]) for name in COSTS))


def first_arrival(seen: np.ndarray, costs: np.ndarray, tolerance: float) -> np.ndarray:
    """What it had cost when each lane was first within the tolerance; infinite where it was not."""
    hit = seen <= tolerance
    return np.where(hit.any(axis=2), costs[hit.argmax(axis=2)].astype(float), np.inf)


@eqx.filter_jit
def initial_states(make: Maker, federation: Federation, start: PyTree, step_sizes: Any, keys: Any) -> Any:
    def one(h: Any, key: Any) -> Any:
        return make(h).init(federation, start, random.fold_in(unrolled(key), START_FOLD))

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(step_sizes, keys)


@eqx.filter_jit
def run_chunk(
    make: Maker, federation: Federation, states: Any, step_sizes: Any, keys: Any, first: Any, observe: Observe
) -> Any:
    """CHUNK rounds of every lane; the number of the round is common to all, so that a renewal stays a branch."""

    def one(h: Any, key: Any, state: Any) -> Any:
        def body(state: Any, step: Any) -> Any:
            state, used = make(h).step(federation, state, random.fold_in(unrolled(key), step), step)
            return state, (observe(federation, state.position), used)

        state, (seen, used) = lax.scan(body, state, first + jnp.arange(CHUNK, dtype=jnp.int32))
        return state, seen, used

    return jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, 0))(step_sizes, keys, states)


class Reached(NamedTuple):
    """Of the best step size: costs per seed, nan where it did not arrive; and how far all came."""

    exchanges: np.ndarray
    vectors: np.ndarray
    at_edge: bool
    """Whether it is the first or the last of the grid."""
    step_size: float
    floor: float
    """The least that the seeds' median saw within the exchanges, at any step size."""


def reached(result: Paths, step_sizes: np.ndarray, tolerance: float) -> Reached:
    """Return when what is seen was first at most `tolerance`.

    The best step size has the least mean over seeds of exchanges, or comes lowest where none brings all seeds there.
    """
    firsts = (first_arrival(result.seen, costs, tolerance) for costs in (result.exchanges, result.vectors))
    exchanges, vectors = (np.where(np.isfinite(first), first, np.nan) for first in firsts)
    lowest = np.median(np.where(np.isfinite(result.seen), result.seen, np.inf), axis=1).min(axis=1)
    means = exchanges.mean(axis=1)
    best = int(np.nanargmin(means)) if np.isfinite(means).any() else int(np.argmin(lowest))
    edge = best in (0, len(step_sizes) - 1)
    return Reached(exchanges[best], vectors[best], edge, float(step_sizes[best]), float(lowest.min()))
