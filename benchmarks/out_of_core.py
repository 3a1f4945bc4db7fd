"""Training from disk: what a mapped table costs in memory and in time.

    python -m benchmarks.out_of_core [rows]

Writes a table of 10^7 rows (8 float32 inputs and a target, 360 MB), opens it, and times with plain JAX a full
blockwise gradient of logistic regression and random mini-batches. `RssAnon` (Linux) is the memory that a
process owns itself; mapped pages are the system's cache of the file and go when memory is short.
"""

import mmap
import os
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from langevax.data import write_rows

DIMENSION = 8
BLOCK, BATCH, STEPS = 8192, 64, 10_000


def anonymous_mb():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1e3


def drop_from_cache(rows):
    """Make the system forget the pages of the files, so that the next pass comes from the disk."""
    for name in rows:
        rows.numpy(name).base.madvise(mmap.MADV_DONTNEED)
        with (rows.path / f"{name}.npy").open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def chunks(num_rows, size=100_000):
    truth = np.linspace(-1, 1, DIMENSION, dtype=np.float32)
    for start in range(0, num_rows, size):
        rng = np.random.default_rng(start)
        inputs = rng.standard_normal((min(size, num_rows - start), DIMENSION), dtype=np.float32)
        yield {"inputs": inputs, "targets": np.sign(inputs @ truth + rng.logistic(size=len(inputs)))}


def gradient_sum(position, inputs, targets):
    return -(targets * jax.nn.sigmoid(-targets * (inputs @ position))) @ inputs


@jax.jit
def full_gradient(position, inputs, targets):
    """One pass over the rows; those after the last whole block are left out."""

    def add(i, total):
        block = (jax.lax.dynamic_slice_in_dim(rows, i * BLOCK, BLOCK) for rows in (inputs, targets))
        return total + gradient_sum(position, *block)

    return jax.lax.fori_loop(0, len(inputs) // BLOCK, add, jnp.zeros_like(position)) / len(inputs)


@jax.jit
def descend(position, inputs, targets, key):
    def step(i, position):
        indices = jax.random.randint(jax.random.fold_in(key, i), (BATCH,), 0, len(inputs))
        return position - 0.1 / BATCH * gradient_sum(position, inputs[indices], targets[indices])

    return jax.lax.fori_loop(0, STEPS, step, position)


def timed(label, rows_read, function, *arguments):
    start = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    seconds = time.perf_counter() - start
    print(f"{label:<38} {seconds:8.3f} s {rows_read / seconds / 1e6:8.2f} M rows/s   RssAnon {anonymous_mb():6.0f} MB")
    return result


def main(num_rows=10_000_000):
    print(f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, JAX {jax.__version__}, {num_rows:,} rows")
    position, key = jnp.zeros(DIMENSION), jax.random.key(0)
    with tempfile.TemporaryDirectory() as folder:
        rows = timed("generate and write", num_rows, lambda: write_rows(f"{folder}/logistic.rows", chunks(num_rows)))
        print(rows)
        data = (rows["inputs"], rows["targets"])
        shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (position, *data)]
        gradient = full_gradient.lower(*shapes).compile()
        walk = descend.lower(*shapes, key).compile()
        print(f"{'compiled':<66} RssAnon {anonymous_mb():6.0f} MB")
        for label, rows_read, function, arguments in (
            ("full gradient", num_rows, gradient, (position, *data)),
            (f"{STEPS:,} mini-batches of {BATCH}", STEPS * BATCH, walk, (position, *data, key)),
        ):
            drop_from_cache(rows)
            timed(f"{label}, cold", rows_read, function, *arguments)
            timed(f"{label}, warm", rows_read, function, *arguments)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
