"""Training from disk: what a mapped table costs in memory and in time.

    python -m benchmarks.out_of_core [rows]
    python -m benchmarks.out_of_core beyond        a file of twice the free memory; asks for as much disk

The first writes a table of 10^7 rows (8 float32 inputs and a target, 360 MB), opens it, and trains logistic regression
on it: full gradients, then SVRG-LD from minibatches, through `simulate`, then draws of the posterior by `sample`; from
mapped rows and from a copy in memory, in turns: the aim is a ratio of at most 1.3. `RssAnon` (Linux) is the memory that
a process owns itself; mapped pages are the system's cache of the file and are dropped when memory is short.

The second trains on a file of twice the free memory, in a process that may own 1 GB. The limit is Linux's on what a
process owns itself (`RLIMIT_DATA`); mapped pages do not count. Passes are compared with reading the same files by plain
`read`, in blocks of 8 MiB: the floor. Cold means that the system dropped the files from its cache, as far as this
machine holds them. The chains take a thousand steps with batches of 64 rows.
"""

import mmap
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.beside.measure import in_turns, median, ratio
from benchmarks.driver import logistic
from langevax.data.rows import Rows


def anonymous_mb() -> float:
    """Memory of this process alone, in MB."""
    return (
        int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1e3
    )


def drop_from_cache(rows: Rows) -> None:
    """Make the system forget the pages of the files, so that the next pass comes from the disk."""
    for name in rows:
        rows.numpy(name).base.madvise(mmap.MADV_DONTNEED)
        with (rows.path / f"{name}.npy").open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


DIMENSION = 8
BATCH, STEPS = 64, 10_000


def chunks(num_rows, size=100_000):
    """A logistic model's draws, as a reader of a large file would hand them out."""
    truth = np.linspace(-1, 1, DIMENSION, dtype=np.float32)
    for start in range(0, num_rows, size):
        rng = np.random.default_rng(start)
        inputs = rng.standard_normal(
            (min(size, num_rows - start), DIMENSION), dtype=np.float32
        )
        yield {
            "inputs": inputs,
            "targets": np.sign(inputs @ truth + rng.logistic(size=len(inputs))),
        }


def timed(label, rows_read, function):
    """The result of `function()`; prints what it took."""
    start = time.perf_counter()
    result = jax.block_until_ready(function())
    seconds = time.perf_counter() - start
    print(
        f"{label:<38} {seconds:8.3f} s {rows_read / seconds / 1e6:8.2f} M rows/s   RssAnon {anonymous_mb():6.0f} MB"
    )
    return result


def log_likelihood(w, row):
    """Of one row."""
    return -logistic(w, row)


def beside_memory(rows, num_rows):
    """Print what mapped rows cost, warm, over the same rows in memory."""
    places = {
        "mapped": tuple(map(rows.__getitem__, rows)),
        "memory": tuple(jnp.array(rows[name]) for name in rows),
    }
    start, gradient = (
        jnp.zeros(DIMENSION),
        eqx.filter_jit(lambda problem, position: problem.gradient(position)),
    )
    svrg = lx.gradients.SVRG(batch_size=BATCH, period=10 * STEPS)
    langevin = lx.Langevin(step_size=0.1, temperature=1 / num_rows, gradient=svrg)
    passes, batches = {}, {}
    for place, data in places.items():
        problem = lx.FiniteSum(logistic, data, precision=1 / num_rows)
        passes[place] = lambda problem=problem: gradient(
            problem, start
        ).block_until_ready()
        batches[place] = lambda problem=problem: lx.simulate(
            langevin,
            problem,
            start,
            key=jax.random.key(0),
            num_steps=10 * STEPS,
            run=lx.Run(progress=False),
        )
    for label, candidates in (
        ("full gradient", passes),
        (f"SVRG-LD, {10 * STEPS:,} steps", batches),
    ):
        times = in_turns(candidates)
        print(
            f"{label:<38} mapped {median(times['mapped']):.3f} s, in memory {median(times['memory']):.3f} s, "
            f"ratio {ratio(times, 'mapped', 'memory'):.2f}"
        )


class Drawn(NamedTuple):
    """A run's result that `jax.block_until_ready` passes over."""

    samples: Any


def main(num_rows=10_000_000):
    """Print seconds, rows per second and memory, with the file's pages cold and warm."""
    print(
        f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, JAX {jax.__version__}, {num_rows:,} rows"
    )
    start, key = jnp.zeros(DIMENSION), jax.random.key(0)
    with tempfile.TemporaryDirectory() as folder:
        rows = timed(
            "generate and write",
            num_rows,
            lambda: lx.data.write_rows(f"{folder}/logistic.rows", chunks(num_rows)),
        )
        print(rows)
        problem = lx.FiniteSum(
            logistic, (rows["inputs"], rows["targets"]), precision=1 / num_rows
        )
        gradient = eqx.filter_jit(lambda problem, position: problem.gradient(position))
        svrg = lx.gradients.SVRG(batch_size=BATCH, period=STEPS)
        langevin = lx.Langevin(step_size=0.1, temperature=1 / num_rows, gradient=svrg)

        def train(num_steps=STEPS):
            return lx.simulate(
                langevin, problem, start, key=key, num_steps=num_steps
            ).position

        jax.block_until_ready((gradient(problem, start), train(0)))
        print(f"{'compiled':<66} RssAnon {anonymous_mb():6.0f} MB")
        for temperature in ("cold", "warm"):
            if temperature == "cold":
                drop_from_cache(rows)
            timed(
                f"full gradient, {temperature}",
                num_rows,
                lambda: gradient(problem, start),
            )
        for temperature in ("cold", "warm"):
            if temperature == "cold":
                drop_from_cache(rows)
            timed(
                f"SVRG-LD, {STEPS:,} steps, {temperature}",
                num_rows + 2 * BATCH * STEPS,
                train,
            )

        beside_memory(rows, num_rows)
        del train, problem
        target = lx.posterior(
            None, log_likelihood, (rows["inputs"], rows["targets"]), prior_precision=1.0
        )
        langevin = lx.Langevin(gradient=lx.gradients.SVRG())
        options = {"key": key, "num_samples": 200, "algorithm": langevin}
        draws = timed(
            "sample, 4 x 200 draws, tuned",
            num_rows,
            lambda: Drawn(lx.sample(target, start, **options)),
        )
        samples, bias = draws.samples, draws.samples.step_size_bias
        print(
            f"{bias}; {samples.evaluations / num_rows:.1f} passes, {samples.ess:.0f} effective draws"
        )


WIDE = 31  # with its target a row of 128 bytes
OWNED = 10**9
SPARED = 10 * 10**9  # of the disk
FEW_STEPS = 1_000
READ = 1 << 23


def beyond_memory() -> None:
    """Write the file, train on it in a process of its own, remove it."""
    size = 2 * free_memory()
    with tempfile.TemporaryDirectory() as folder:
        free = shutil.disk_usage(folder).free
        if free < size + SPARED:
            sys.exit(
                f"twice the free memory are {size / 1e9:.0f} GB, and {folder} has {free / 1e9:.0f} GB, of which "
                f"{SPARED / 1e9:.0f} are spared; set TMPDIR to a larger disk."
            )
        path, num_rows = f"{folder}/beyond.rows", size // (4 * (WIDE + 1))
        began = time.perf_counter()
        lx.data.write_rows(path, blocks(num_rows), num_rows=num_rows)
        seconds = time.perf_counter() - began
        print(
            f"{num_rows:,} rows, {size / 1e9:.1f} GB, written in {seconds:.0f} s: {size / seconds / 1e6:.0f} MB/s"
        )
        sys.stdout.flush()
        subprocess.run(
            [sys.executable, "-m", "benchmarks.out_of_core", "train", path], check=True
        )


def free_memory() -> int:
    """Bytes that the system could give to a new process."""
    return (
        int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0])
        * 1024
    )


def blocks(num_rows: int, size: int = 1 << 18):
    """A logistic model's draws: one block, each time of another scale, for numbers that come as fast as the disk."""
    rng, truth = np.random.default_rng(0), np.linspace(-1, 1, WIDE, dtype=np.float32)
    inputs = rng.standard_normal((size, WIDE), dtype=np.float32)
    for start in range(0, num_rows, size):
        scaled = inputs[: num_rows - start] * np.float32(rng.uniform(0.5, 2))
        yield {"inputs": scaled, "targets": np.sign(scaled @ truth + 0.1)}


class Peak:
    """The most memory that this process owned, looked at a hundred times a second."""

    def __init__(self):
        self.mb = anonymous_mb()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        while True:
            self.mb = max(self.mb, anonymous_mb())
            time.sleep(0.01)


def read_mb() -> float:
    """Return the MB that this process has fetched from the disk."""
    return (
        int(Path("/proc/self/io").read_text().split("read_bytes:")[1].split()[0]) / 1e6
    )


def read_whole(rows) -> None:
    """The floor: all bytes of the files, one after the other."""
    buffer = bytearray(READ)
    for name in rows:
        with (rows.path / f"{name}.npy").open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def train(path: str) -> None:
    """Measure in the process under the limit."""
    resource.setrlimit(resource.RLIMIT_DATA, (OWNED, OWNED))
    maps = {
        access: lx.data.open_rows(path, access=access) for access in ("mixed", "random")
    }
    rows, start = maps["mixed"], jnp.zeros(WIDE)
    peak, size = Peak(), sum(rows.numpy(name).nbytes for name in rows)
    print(
        f"a process that may own {OWNED / 1e9:.0f} GB; free memory {free_memory() / 1e9:.1f} GB"
    )
    problems = {
        access: lx.FiniteSum(
            logistic, (mapped["inputs"], mapped["targets"]), precision=1 / rows.num_rows
        )
        for access, mapped in maps.items()
    }
    problem = problems["mixed"]
    gradient = (
        eqx.filter_jit(lambda problem, position: problem.gradient(position))
        .lower(problem, start)
        .compile()
    )
    algorithms = {
        "SGLD": lx.Langevin(
            0.1, 1 / rows.num_rows, lx.gradients.Minibatch(batch_size=BATCH)
        ),
        "SVRG-LD": lx.Langevin(
            0.1,
            1 / rows.num_rows,
            lx.gradients.SVRG(batch_size=BATCH, period=FEW_STEPS),
        ),
    }

    def run(name: str, access: str, seed: int, num_steps: int = FEW_STEPS):
        key = jax.random.key(seed)
        result = lx.simulate(
            algorithms[name],
            problems[access],
            start,
            key=key,
            num_steps=num_steps,
            run=lx.Run(progress=False),
        )
        return result.position

    def forget() -> None:
        for mapped in maps.values():  # what one of them holds the system keeps
            drop_from_cache(mapped)
        drop_from_cache(rows)

    def measured(label: str, function, rows_read: int = 0) -> None:
        before, began = read_mb(), time.perf_counter()
        jax.block_until_ready(function())
        seconds, fetched = time.perf_counter() - began, read_mb() - before
        pace = (
            f"{rows_read / seconds:,.0f} rows/s"
            if rows_read
            else f"{size / seconds / 1e6:,.0f} MB/s"
        )
        print(
            f"{label:<44} {seconds:8.2f} s {pace:>16}, {fetched:8,.0f} MB from disk, owned {peak.mb:4.0f} MB at most"
        )
        sys.stdout.flush()

    run("SGLD", "random", 0, 1)  # compiles
    for turn in ("first", "again"):
        forget()
        measured(f"plain read, cold, {turn}", lambda: read_whole(rows))
        forget()
        measured(f"full gradient, cold, {turn}", lambda: gradient(problem, start))
    measured("full gradient after a pass", lambda: gradient(problem, start))
    drawn = BATCH * FEW_STEPS
    measured(
        "SGLD, random access, after a pass", lambda: run("SGLD", "random", 1), drawn
    )
    forget()
    measured("SGLD, random access, cold", lambda: run("SGLD", "random", 2), drawn)
    measured("SGLD, random access, other rows", lambda: run("SGLD", "random", 3), drawn)
    measured(
        "SGLD, random access, the same rows", lambda: run("SGLD", "random", 3), drawn
    )
    measured("SGLD, mixed access", lambda: run("SGLD", "mixed", 4), drawn)
    measured(
        "SVRG-LD, mixed access: compiled, a pass", lambda: run("SVRG-LD", "mixed", 5)
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["beyond"]:
            beyond_memory()
        case ["train", path]:
            train(path)
        case sizes:
            main(*map(int, sizes))
