"""Training from disk: what a mapped table costs in memory and in time.

    python -m benchmarks.out_of_core [rows]
    python -m benchmarks.out_of_core beyond        a file of twice the free memory; asks for as much disk

Writes a table of 10^7 rows (8 float32 inputs and a target, 360 MB), opens it, and trains logistic regression on
it: full gradients, then SVRG-LD from mini-batches, through `simulate`, then draws of the posterior by `sample`.
The same from mapped rows and from a copy in memory, in turns: the aim is a ratio of 1.3 at most.
`RssAnon` (Linux) is the memory that a process owns itself; mapped pages are the system's cache of the file and go
when memory is short.
"""

import os
import sys
import tempfile
import time
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.beyond_memory import main as beyond
from benchmarks.driver import logistic
from benchmarks.pages import anonymous_mb, drop_from_cache
from benchmarks.timing import in_turns, median, ratio

DIMENSION = 8
BATCH, STEPS = 64, 10_000


def chunks(num_rows, size=100_000):
    """A logistic model's draws, as a reader of a large file would hand them out."""
    truth = np.linspace(-1, 1, DIMENSION, dtype=np.float32)
    for start in range(0, num_rows, size):
        rng = np.random.default_rng(start)
        inputs = rng.standard_normal((min(size, num_rows - start), DIMENSION), dtype=np.float32)
        yield {"inputs": inputs, "targets": np.sign(inputs @ truth + rng.logistic(size=len(inputs)))}


def timed(label, rows_read, function):
    """The result of `function()`; prints what it took."""
    start = time.perf_counter()
    result = jax.block_until_ready(function())
    seconds = time.perf_counter() - start
    print(f"{label:<38} {seconds:8.3f} s {rows_read / seconds / 1e6:8.2f} M rows/s   RssAnon {anonymous_mb():6.0f} MB")
    return result


def log_likelihood(w, row):
    """Of one row."""
    return -logistic(w, row)


def beside_memory(rows, num_rows):
    """Print what mapped rows cost, warm, over the same rows in memory."""
    places = {"mapped": tuple(map(rows.__getitem__, rows)), "memory": tuple(jnp.array(rows[name]) for name in rows)}
    start, gradient = jnp.zeros(DIMENSION), eqx.filter_jit(lambda problem, position: problem.gradient(position))
    svrg = lx.gradients.SVRG(batch_size=BATCH, period=10 * STEPS)
    langevin = lx.Langevin(step_size=0.1, temperature=1 / num_rows, gradient=svrg)
    passes, batches = {}, {}
    for place, data in places.items():
        problem = lx.FiniteSum(logistic, data, precision=1 / num_rows)
        passes[place] = lambda problem=problem: gradient(problem, start).block_until_ready()
        batches[place] = lambda problem=problem: lx.simulate(
            langevin, problem, start, key=jax.random.key(0), num_steps=10 * STEPS, progress=False
        )
    for label, candidates in (("full gradient", passes), (f"SVRG-LD, {10 * STEPS:,} steps", batches)):
        times = in_turns(candidates)
        print(
            f"{label:<38} mapped {median(times['mapped']):.3f} s, in memory {median(times['memory']):.3f} s, "
            f"ratio {ratio(times, 'mapped', 'memory'):.2f}"
        )


class Drawn(NamedTuple):
    """What `jax.block_until_ready` passes over."""

    samples: Any


def main(num_rows=10_000_000):
    """Print seconds, rows per second and memory, with the file's pages cold and warm."""
    print(f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, JAX {jax.__version__}, {num_rows:,} rows")
    start, key = jnp.zeros(DIMENSION), jax.random.key(0)
    with tempfile.TemporaryDirectory() as folder:
        rows = timed(
            "generate and write", num_rows, lambda: lx.data.write_rows(f"{folder}/logistic.rows", chunks(num_rows))
        )
        print(rows)
        problem = lx.FiniteSum(logistic, (rows["inputs"], rows["targets"]), precision=1 / num_rows)
        gradient = eqx.filter_jit(lambda problem, position: problem.gradient(position))
        svrg = lx.gradients.SVRG(batch_size=BATCH, period=STEPS)
        langevin = lx.Langevin(step_size=0.1, temperature=1 / num_rows, gradient=svrg)

        def train(num_steps=STEPS):
            return lx.simulate(langevin, problem, start, key=key, num_steps=num_steps).position

        jax.block_until_ready((gradient(problem, start), train(0)))
        print(f"{'compiled':<66} RssAnon {anonymous_mb():6.0f} MB")
        for temperature in ("cold", "warm"):
            if temperature == "cold":
                drop_from_cache(rows)
            timed(f"full gradient, {temperature}", num_rows, lambda: gradient(problem, start))
        for temperature in ("cold", "warm"):
            if temperature == "cold":
                drop_from_cache(rows)
            timed(f"SVRG-LD, {STEPS:,} steps, {temperature}", num_rows + 2 * BATCH * STEPS, train)

        beside_memory(rows, num_rows)
        del train, problem
        target = lx.posterior(None, log_likelihood, (rows["inputs"], rows["targets"]), prior_precision=1.0)
        draws = timed(
            "sample, 4 x 200 draws, tuned", num_rows, lambda: Drawn(lx.sample(target, start, key=key, num_samples=200))
        )
        samples = draws.samples
        print(f"{samples.halving}; {samples.evaluations / num_rows:.1f} passes, {samples.ess:.0f} effective draws")


if __name__ == "__main__":
    if sys.argv[1:2] == ["beyond"]:
        beyond()
    else:
        main(*map(int, sys.argv[1:]))
