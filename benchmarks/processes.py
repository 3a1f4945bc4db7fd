"""One cloud shared by two processes with a core each, against one with one core; and what a sum over both costs.

Each repetition runs both, one after the other; a process is bound to its core and says what its steps took, compiling
left out. The first of a sharing pair speaks: both wait for each other at every step. Sums are those of a compiled loop
that does nothing else. Written to out/processes.json too.

    python -m benchmarks processes
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import median

COLUMNS, STEPS, REPEATS = 20, 12, 5
CLOUDS = (("particles", 1_000, 10_000), ("particles", 1_000, 100_000), ("rows", 100_000, 1_000))
"""What is split, rows, particles."""

FLOATS = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
SECONDS = 0.1  # of sums, at least
FILE = Path("out/processes.json")


def main() -> None:
    """Print seconds a step and how much faster two are; then seconds of a sum, and the line through them."""
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed")
    print(f"MFLD, d = {COLUMNS}; seconds a step: medians of {REPEATS} runs in turns\n")
    print("| split | rows n | particles N | one process | two | times as fast |\n" + "|---" * 6 + "|")
    steps = []
    for split, rows, particles in CLOUDS:
        pairs = [tuple(asked(k, "step", split, rows, particles) for k in (1, 2)) for _ in range(REPEATS)]
        one, two = (median([pair[i] for pair in pairs]) for i in (0, 1))
        ratio = median([alone / shared for alone, shared in pairs])
        print(f"| {split} | {rows:,} | {particles:,} | {one:.4f} s | {two:.4f} s | {ratio:.2f} |", flush=True)
        row = {"split": split, "rows": rows, "particles": particles}
        steps.append(row | {"one": one, "two": two, "ratio": ratio, "pairs": pairs})
    sums = asked(2, "sum")
    latency, bandwidth = line(sums)
    print("\n| numbers | a sum over two processes |\n|---|---|")
    for row in sums:
        print(f"| {row['floats']:,} | {1e3 * row['seconds']:.3f} ms |")
    print(f"\nlatency {1e6 * latency:.0f} us, bandwidth {bandwidth / 1e9:.2f} GB/s")
    found = {"steps": steps, "sums": sums, "latency": latency, "bandwidth": bandwidth}
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(found, indent=1) + "\n")


def line(sums: list[dict[str, float]]) -> tuple[float, float]:
    """(latency, bandwidth) of `seconds = latency + 4 floats / bandwidth`, by least squares of relative errors."""
    seconds = np.array([row["seconds"] for row in sums])
    terms = np.array([[1.0, 4 * row["floats"]] for row in sums]) / seconds[:, None]
    latency, each = np.linalg.lstsq(terms, np.ones(len(sums)))[0]
    return float(latency), float(1 / each)


def asked(count: int, *what: Any) -> Any:
    """What the first of `count` processes says to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = [sys.executable, "-m", "benchmarks.processes", address, str(count)]
    processes = [
        subprocess.Popen(
            [*words, str(index), *map(str, what)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for index in range(count)
    ]
    said = [process.communicate() for process in processes]
    if any(process.returncode for process in processes):
        sys.exit(said[0][1] + said[-1][1])
    return json.loads(said[0][0])


def take_part(address: str, count: int, index: int, what: str, *sizes: str) -> None:
    """Bind to a core, join, and do what is asked; the first prints it."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[index]})
    import jax

    from langevax.run import process_group

    jax.config.update("jax_num_cpu_devices", 1)
    with process_group(address, count, index):
        found = step(count, sizes[0], *map(int, sizes[1:])) if what == "step" else [one_sum(k) for k in FLOATS]
        if index == 0:
            print(json.dumps(found))


def step(count: int, split: str, rows: int, particles: int) -> float:
    """Seconds of a step of a cloud that is split by particles or by rows."""
    import jax

    import langevax

    mesh = jax.make_mesh((count,), (split,))
    inputs = np.random.default_rng(0).normal(size=(rows, COLUMNS)).astype(np.float32) / np.float32(COLUMNS**0.5)
    risk = langevax.MeanFieldRisk(
        langevax.neurons.Tanh(), langevax.losses.squared, inputs, np.tanh(3 * inputs[:, 0]), precision=0.01
    )
    mfld = langevax.meanfield.MFLD(step_size=0.1, temperature=0.01)
    options = {"key": jax.random.key(0), "sharding": mesh, "progress": False}
    warm = langevax.simulate(mfld, risk, risk.prior(0.01, particles), num_steps=1, **options)
    start = langevax.run.gather(warm.position)

    def run(steps: int) -> float:
        began = time.perf_counter()
        langevax.simulate(mfld, risk, start, num_steps=steps, **options)
        return time.perf_counter() - began

    few, many = run(2), run(2 + STEPS)
    return (many - few) / STEPS


def one_sum(floats: int) -> dict[str, float]:
    """Seconds of one sum over all devices of so many numbers on each, in a compiled loop of nothing else."""
    import jax
    from jax import lax
    from jax.sharding import NamedSharding, PartitionSpec

    from langevax.run.processes import from_first

    mesh = jax.make_mesh((jax.device_count(),), ("devices",))
    split = PartitionSpec("devices")

    def on_each(numbers, times):
        return lax.fori_loop(0, times, lambda _, x: lax.psum(x, "devices") / mesh.size, numbers)

    summed = jax.jit(
        jax.shard_map(on_each, mesh=mesh, in_specs=(split, PartitionSpec()), out_specs=split, check_vma=False)
    )
    shape = (mesh.size * floats,)
    numbers = jax.make_array_from_callback(
        shape, NamedSharding(mesh, split), lambda part: np.ones(len(range(*part[0].indices(shape[0]))), np.float32)
    )

    def took(times: int) -> float:
        began = time.perf_counter()
        jax.block_until_ready(summed(numbers, np.int32(times)))
        return time.perf_counter() - began

    took(1)
    times = 1
    while from_first(took(times)) < SECONDS:  # both stop at once
        times *= 4
    seconds = median([(took(3 * times) - took(times)) / (2 * times) for _ in range(REPEATS)])
    return {"floats": floats, "seconds": seconds}


if __name__ == "__main__":
    address, count, index, what, *sizes = sys.argv[1:]
    take_part(address, int(count), int(index), what, *sizes)
