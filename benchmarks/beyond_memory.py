"""Training on a row file of twice the free memory, by a process that may own 1 GB.

    python -m benchmarks.out_of_core beyond

The limit is Linux's on what a process owns itself (`RLIMIT_DATA`); mapped pages do not count. Passes are held against
reading the same files by plain `read`, in blocks of 8 MiB: the floor. Cold means that the system was made to forget the
files, as far as this machine holds them. The chains take a thousand steps with batches of 64 rows.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.driver import logistic
from benchmarks.pages import anonymous_mb, drop_from_cache

DIMENSION = 31  # with its target a row of 128 bytes
OWNED = 10**9
SPARED = 10 * 10**9  # of the disk
BATCH, STEPS = 64, 1_000
READ = 1 << 23


def main() -> None:
    """Write the file, train on it in a process of its own, remove it."""
    size = 2 * free_memory()
    with tempfile.TemporaryDirectory() as folder:
        free = shutil.disk_usage(folder).free
        if free < size + SPARED:
            sys.exit(
                f"twice the free memory are {size / 1e9:.0f} GB, and {folder} has {free / 1e9:.0f} GB, of which "
                f"{SPARED / 1e9:.0f} are spared; set TMPDIR to a larger disk."
            )
        path, num_rows = f"{folder}/beyond.rows", size // (4 * (DIMENSION + 1))
        began = time.perf_counter()
        lx.data.write_rows(path, blocks(num_rows), num_rows=num_rows)
        seconds = time.perf_counter() - began
        print(f"{num_rows:,} rows, {size / 1e9:.1f} GB, written in {seconds:.0f} s: {size / seconds / 1e6:.0f} MB/s")
        sys.stdout.flush()
        subprocess.run([sys.executable, "-m", "benchmarks.beyond_memory", path], check=True)


def free_memory() -> int:
    """Bytes that the system could give to a new process."""
    return int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]) * 1024


def blocks(num_rows: int, size: int = 1 << 18):
    """A logistic model's draws: one block, each time of another scale, for numbers that come as fast as the disk."""
    rng, truth = np.random.default_rng(0), np.linspace(-1, 1, DIMENSION, dtype=np.float32)
    inputs = rng.standard_normal((size, DIMENSION), dtype=np.float32)
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
    """What this process had fetched from the disk, in MB."""
    return int(Path("/proc/self/io").read_text().split("read_bytes:")[1].split()[0]) / 1e6


def read_whole(rows) -> None:
    """The floor: all bytes of the files, one after the other."""
    buffer = bytearray(READ)
    for name in rows:
        with (rows.path / f"{name}.npy").open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def train(path: str) -> None:
    """What the process under the limit measures."""
    resource.setrlimit(resource.RLIMIT_DATA, (OWNED, OWNED))
    maps = {access: lx.data.open_rows(path, access=access) for access in ("mixed", "random")}
    rows, start = maps["mixed"], jnp.zeros(DIMENSION)
    peak, size = Peak(), sum(rows.numpy(name).nbytes for name in rows)
    print(f"a process that may own {OWNED / 1e9:.0f} GB; free memory {free_memory() / 1e9:.1f} GB")
    problems = {
        access: lx.FiniteSum(logistic, (mapped["inputs"], mapped["targets"]), precision=1 / rows.num_rows)
        for access, mapped in maps.items()
    }
    problem = problems["mixed"]
    gradient = eqx.filter_jit(lambda problem, position: problem.gradient(position)).lower(problem, start).compile()
    algorithms = {
        "SGLD": lx.Langevin(0.1, 1 / rows.num_rows, lx.gradients.Minibatch(batch_size=BATCH)),
        "SVRG-LD": lx.Langevin(0.1, 1 / rows.num_rows, lx.gradients.SVRG(batch_size=BATCH, period=STEPS)),
    }

    def run(name: str, access: str, seed: int, num_steps: int = STEPS):
        key = jax.random.key(seed)
        result = lx.simulate(algorithms[name], problems[access], start, key=key, num_steps=num_steps, progress=False)
        return result.position

    def forget() -> None:
        for mapped in maps.values():  # what one of them holds the system keeps
            drop_from_cache(mapped)
        drop_from_cache(rows)

    def measured(label: str, function, rows_read: int = 0) -> None:
        before, began = read_mb(), time.perf_counter()
        jax.block_until_ready(function())
        seconds, fetched = time.perf_counter() - began, read_mb() - before
        pace = f"{rows_read / seconds:,.0f} rows/s" if rows_read else f"{size / seconds / 1e6:,.0f} MB/s"
        print(f"{label:<44} {seconds:8.2f} s {pace:>16}, {fetched:8,.0f} MB from disk, owned {peak.mb:4.0f} MB at most")
        sys.stdout.flush()

    run("SGLD", "random", 0, 1)  # compiles
    for turn in ("first", "again"):
        forget()
        measured(f"plain read, cold, {turn}", lambda: read_whole(rows))
        forget()
        measured(f"full gradient, cold, {turn}", lambda: gradient(problem, start))
    measured("full gradient after a pass", lambda: gradient(problem, start))
    drawn = BATCH * STEPS
    measured("SGLD, random access, after a pass", lambda: run("SGLD", "random", 1), drawn)
    forget()
    measured("SGLD, random access, cold", lambda: run("SGLD", "random", 2), drawn)
    measured("SGLD, random access, other rows", lambda: run("SGLD", "random", 3), drawn)
    measured("SGLD, random access, the same rows", lambda: run("SGLD", "random", 3), drawn)
    measured("SGLD, mixed access", lambda: run("SGLD", "mixed", 4), drawn)
    measured("SVRG-LD, mixed access: compiled, a pass", lambda: run("SVRG-LD", "mixed", 5))


if __name__ == "__main__":
    train(sys.argv[1])
