"""One small problem and one algorithm for all tests of the driver, so that they share compiled programs.

Nothing is computed at import: a process that forks imports this before JAX has started.
"""

import importlib
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import langevax
from langevax.algorithm import Algorithm
from langevax.run import position_of

DRIVER: Any = importlib.import_module(
    "langevax.run.simulate"
)  # `langevax.run.simulate` is the function
CHAINS, SIZE = 2, 3


def squared_distance(x, a):
    return jnp.sum((x - a) ** 2) / 2


@cache
def problem():
    return langevax.FiniteSum(
        squared_distance,
        jax.random.normal(jax.random.key(7), (12, SIZE)),
        precision=0.3,
    )


def langevin(step_size=0.1, temperature=0.5):
    return langevax.Langevin(
        step_size, temperature, langevax.gradients.SVRG(batch_size=3, period=5)
    )


def simulate(num_steps, algorithm=None, start=None, seed=0, **options):
    """Two chains of Langevin with SVRG, recorded and averaged every 4 steps by default."""
    options = {
        "num_chains": CHAINS,
        "record_every": 4,
        "average": position_of,
    } | options
    algorithm = langevin() if algorithm is None else algorithm
    start = np.zeros(SIZE, np.float32) if start is None else start
    data = options.pop("problem", None) or problem()
    return langevax.simulate(
        algorithm, data, start, key=jax.random.key(seed), num_steps=num_steps, **options
    )


def fix_chunks(monkeypatch, length):
    """Every chunk has `length` steps, whatever the clock says."""
    monkeypatch.setattr(DRIVER, "FIRST_CHUNK", length)
    monkeypatch.setattr(DRIVER, "next_length", lambda steps, seconds, before: length)


def assert_same_bits(left, right):
    """All that two results hold, except times, is the same bit for bit."""
    assert left.steps == right.steps
    assert left.outcome == right.outcome
    assert left.metrics == right.metrics
    parts = [
        (r.position, r.state, r.trace and vars(r.trace), r.average and vars(r.average))
        for r in (left, right)
    ]
    parts = [
        (*part, r.counts_by_chain) for part, r in zip(parts, (left, right), strict=True)
    ]
    assert_same_tree(*parts)


def assert_same_tree(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for (path, one), other in zip(
        jax.tree.leaves_with_path(left), jax.tree.leaves(right), strict=True
    ):
        one, other, name = (
            np.asarray(one),
            np.asarray(other),
            jax.tree_util.keystr(path),
        )
        assert (one.dtype, one.shape) == (other.dtype, other.shape), name
        assert one.tobytes() == other.tobytes(), f"{name}: {one} != {other}"


class Script(Algorithm):
    """An algorithm whose state and info are what `follow(step)` says, for tests of the bookkeeping alone."""

    follow: Any

    def init(self, problem, position, key):
        return ScriptState(position), self.follow(jnp.int32(-1))

    def step(self, problem, state, key, step):
        return ScriptState(jax.tree.map(lambda x: x + 1, state.position)), self.follow(
            step
        )


class ScriptState(NamedTuple):
    position: Any
