"""From two processes to a cluster: a cloud shared by two cores, what a sum over both costs, and what follows for more.

`python -m benchmarks processes` runs one process with one core and two with a core each, in turns; compiling is left
out. The first of a sharing pair reports: both wait for each other at every step. Sums are those of a compiled loop that
does nothing else. Written to out/processes.json too. What a step of mean-field Langevin would take on k devices:

    particles over k devices:   T = (n a + (d + 1) u) N / k + S(n)
    rows over k devices:        T = (n a / k + (d + 1) u) N + S(N (d + 1))
    a sum of f numbers:         S(f) = (k - 1) l + 2 (k - 1) / k  4 f / w          (0 for k = 1)

with the seconds a of an activation and u of a coordinate's noise and update on one device (out/growth.json), and the
latency l and bandwidth w of a sum over two processes (out/processes.json): two devices send two messages one after the
other, a ring of k devices 2 (k - 1), each of 1 / k of the numbers. Bytes of a particle are those of out/largest.json.

    python -m benchmarks.cluster
    python -m benchmarks.cluster --latency 20e-6 --bandwidth 12.5e9 --memory 64e9      # another network
"""

import argparse
import json
import math
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.beside.measure import median

COLUMNS, STEPS, REPEATS = 20, 12, 5
CLOUDS = (
    ("particles", 1_000, 10_000),
    ("particles", 1_000, 100_000),
    ("rows", 100_000, 1_000),
)
"""What is split, rows, particles."""

FLOATS = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
SECONDS = 0.1  # of sums, at least
FILE = Path("out/processes.json")


def processes() -> None:
    """Print seconds a step and how much faster two are; then seconds of a sum, and the line through them."""
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed")
    print(f"MFLD, d = {COLUMNS}; seconds a step: medians of {REPEATS} runs in turns\n")
    print(
        "| split | rows n | particles N | one process | two | times as fast |\n"
        + "|---" * 6
        + "|"
    )
    steps = []
    for split, rows, particles in CLOUDS:
        pairs = [
            tuple(run_processes(k, "step", split, rows, particles) for k in (1, 2))
            for _ in range(REPEATS)
        ]
        one, two = (median([pair[i] for pair in pairs]) for i in (0, 1))
        ratio = median([alone / shared for alone, shared in pairs])
        print(
            f"| {split} | {rows:,} | {particles:,} | {one:.4f} s | {two:.4f} s | {ratio:.2f} |",
            flush=True,
        )
        row = {"split": split, "rows": rows, "particles": particles}
        steps.append(row | {"one": one, "two": two, "ratio": ratio, "pairs": pairs})
    sums = run_processes(2, "sum")
    latency, bandwidth = line(sums)
    print("\n| numbers | a sum over two processes |\n|---|---|")
    for row in sums:
        print(f"| {row['floats']:,} | {1e3 * row['seconds']:.3f} ms |")
    print(f"\nlatency {1e6 * latency:.0f} us, bandwidth {bandwidth / 1e9:.2f} GB/s")
    record = {"steps": steps, "sums": sums, "latency": latency, "bandwidth": bandwidth}
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(record, indent=1) + "\n")


def line(sums: list[dict[str, float]]) -> tuple[float, float]:
    """(latency, bandwidth) of `seconds = latency + 4 floats / bandwidth`, by least squares of relative errors."""
    seconds = np.array([row["seconds"] for row in sums])
    terms = np.array([[1.0, 4 * row["floats"]] for row in sums]) / seconds[:, None]
    latency, each = np.linalg.lstsq(terms, np.ones(len(sums)))[0]
    return float(latency), float(1 / each)


def run_processes(count: int, *what: Any) -> Any:
    """Return the output of the first of `count` processes that do this together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = [
        sys.executable,
        "-m",
        "benchmarks.cluster",
        "--take-part",
        address,
        str(count),
    ]
    processes = [
        subprocess.Popen(
            [*words, str(index), *map(str, what)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    outputs = [process.communicate() for process in processes]
    if any(process.returncode for process in processes):
        sys.exit(outputs[0][1] + outputs[-1][1])
    return json.loads(outputs[0][0])


def take_part(address: str, count: int, index: int, what: str, *sizes: str) -> None:
    """Bind to a core, join the other processes and measure; the first prints the result."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[index]})
    import jax

    from langevax.run import process_group

    jax.config.update("jax_num_cpu_devices", 1)
    with process_group(address, count, index):
        result = (
            step(count, sizes[0], *map(int, sizes[1:]))
            if what == "step"
            else [one_sum(k) for k in FLOATS]
        )
        if index == 0:
            print(json.dumps(result))


def step(count: int, split: str, rows: int, particles: int) -> float:
    """Seconds of a step of a cloud that is split by particles or by rows."""
    import jax

    import langevax

    mesh = jax.make_mesh((count,), (split,))
    inputs = np.random.default_rng(0).normal(size=(rows, COLUMNS)).astype(
        np.float32
    ) / np.float32(COLUMNS**0.5)
    risk = langevax.MeanFieldRisk(
        langevax.neurons.Tanh(),
        langevax.losses.squared,
        inputs,
        np.tanh(3 * inputs[:, 0]),
        precision=0.01,
    )
    mfld = langevax.meanfield.MFLD(step_size=0.1, temperature=0.01)
    options = {
        "key": jax.random.key(0),
        "sharding": mesh,
        "run": langevax.Run(progress=False),
    }
    warm = langevax.simulate(
        mfld, risk, risk.prior(0.01, particles), num_steps=1, **options
    )
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
        return lax.fori_loop(
            0, times, lambda _, x: lax.psum(x, "devices") / mesh.size, numbers
        )

    summed = jax.jit(
        jax.shard_map(
            on_each,
            mesh=mesh,
            in_specs=(split, PartitionSpec()),
            out_specs=split,
            check_vma=False,
        )
    )
    shape = (mesh.size * floats,)
    numbers = jax.make_array_from_callback(
        shape,
        NamedSharding(mesh, split),
        lambda part: np.ones(len(range(*part[0].indices(shape[0]))), np.float32),
    )

    def took(times: int) -> float:
        began = time.perf_counter()
        jax.block_until_ready(summed(numbers, np.int32(times)))
        return time.perf_counter() - began

    took(1)
    times = 1
    while from_first(took(times)) < SECONDS:  # both stop at once
        times *= 4
    seconds = median(
        [(took(3 * times) - took(times)) / (2 * times) for _ in range(REPEATS)]
    )
    return {"floats": floats, "seconds": seconds}


ROWS = 1_000
PARTICLES, DEVICES = (10**5, 10**6, 10**7, 10**8), (1, 2, 4, 8, 16, 32, 64)
MANY_ROWS, FEW_PARTICLES = (10**5, 10**6, 10**7, 10**8), 1_000


@dataclass(frozen=True)
class Machine:
    """Seconds and bytes of one device, and of a sum over two."""

    activation: float
    """Seconds for one particle and one row: its product, its neuron, and what it adds to the gradient."""
    coordinate: float
    """Seconds of noise and update for one number of the position."""
    latency: float
    """Seconds of a sum of nothing over two devices."""
    bandwidth: float
    """Bytes a second of a long sum over two devices."""
    particle: float
    """Bytes that a particle needs, copies and scratch included."""
    memory: float = 15.5e9
    """Bytes of a device that arrays may fill."""

    def sum_of(self, floats: float, devices: int) -> float:
        """Seconds of a sum over a ring of devices."""
        if devices == 1:
            return 0.0
        sent = 2 * (devices - 1) / devices * 4 * floats
        return (devices - 1) * self.latency + sent / self.bandwidth

    def particles_over(
        self, devices: int, particles: float, rows: float = ROWS, columns: int = COLUMNS
    ) -> float:
        """Seconds of a step whose particles are split."""
        each = rows * self.activation + (columns + 1) * self.coordinate
        return each * particles / devices + self.sum_of(rows, devices)

    def rows_over(
        self,
        devices: int,
        rows: float,
        particles: float = FEW_PARTICLES,
        columns: int = COLUMNS,
    ) -> float:
        """Seconds of a step whose rows are split: noise and update are made on every device."""
        each = rows * self.activation / devices + (columns + 1) * self.coordinate
        return each * particles + self.sum_of(particles * (columns + 1), devices)

    def holds_particles(
        self, devices: int, particles: float, rows: float = ROWS, columns: int = COLUMNS
    ) -> bool:
        """Return whether the memory of each device holds its particles and all rows."""
        return (
            self.particle * particles / devices + 4 * (columns + 1) * rows
            <= self.memory
        )

    def holds_rows(
        self,
        devices: int,
        rows: float,
        particles: float = FEW_PARTICLES,
        columns: int = COLUMNS,
    ) -> bool:
        """Return whether the memory of each device holds all particles and its rows."""
        return (
            self.particle * particles + 4 * (columns + 1) * rows / devices
            <= self.memory
        )

    def most_particles(
        self, devices: int, rows: float = ROWS, columns: int = COLUMNS
    ) -> int:
        """Return how many particles the devices hold."""
        return math.floor(
            devices * (self.memory - 4 * (columns + 1) * rows) / self.particle
        )

    def overtaken(
        self, particles: float, rows: float = ROWS, columns: int = COLUMNS
    ) -> int:
        """The fewest devices whose sum takes longer than what each of them computes."""
        devices = 2
        while (
            self.sum_of(rows, devices)
            <= self.particles_over(devices, particles, rows, columns) / 2
        ):
            devices += 1
        return devices


def machine(
    growth: list[Any], largest: list[Any], processes: dict[str, Any]
) -> Machine:
    """The constants in what the benchmarks have written.

    Seconds are those of the largest clouds: with n rows and with one, whose difference is n - 1 activations a particle.
    """
    seconds = {}
    for row in growth:
        if row["size"] == "particles N":
            middle = sorted(row["seconds"][-1])[len(row["seconds"][-1]) // 2]
            seconds[row["method"]] = middle / row["sizes"][-1]
    activation = (seconds["MFLD"] - seconds["MFLD, one row"]) / (ROWS - 1)
    coordinate = (seconds["MFLD, one row"] - activation) / (COLUMNS + 1)
    bytes_each = next(
        row["bytes"] / row["largest"]
        for row in largest
        if (row["method"], row["size"]) == ("MFLD", "particles N")
    )
    return Machine(
        activation, coordinate, processes["latency"], processes["bandwidth"], bytes_each
    )


def show(of: Machine) -> None:
    """Tables in Markdown: seconds a step, and how many times as fast as one device where that holds the problem."""
    print(
        f"An activation takes {1e9 * of.activation:.2f} ns, a coordinate {1e9 * of.coordinate:.1f} ns, a sum over two "
        f"{1e6 * of.latency:.0f} us and {1e-9 * of.bandwidth:.2f} GB/s; a particle needs {of.particle:.0f} bytes.\n"
    )
    heads = " | ".join(f"k = {k}" for k in DEVICES)
    print(
        f"| particles split, n = {ROWS:,}, d = {COLUMNS} | {heads} | sums overtake at |\n"
        + "|---" * 9
        + "|"
    )
    for particles in PARTICLES:
        cells = [
            cell(of.particles_over(k, particles), of.holds_particles(k, particles))
            for k in DEVICES
        ]
        print(
            f"| N = {particles:,} | {' | '.join(cells)} | {of.overtaken(particles):,} |"
        )
    print(
        "| largest N, millions | "
        + " | ".join(f"{of.most_particles(k) // 10**6:,}" for k in DEVICES)
        + " | |\n"
    )
    print(
        f"| rows split, N = {FEW_PARTICLES:,}, d = {COLUMNS} | {heads} |\n"
        + "|---" * 8
        + "|"
    )
    for rows in MANY_ROWS:
        cells = [cell(of.rows_over(k, rows), of.holds_rows(k, rows)) for k in DEVICES]
        print(f"| n = {rows:,} | {' | '.join(cells)} |")


def cell(seconds: float, fits: bool) -> str:
    """Three digits, or in brackets what would take so long if the devices held it."""
    text = (
        f"{seconds:.3g}\N{NO-BREAK SPACE}s"
        if seconds >= 1
        else f"{1e3 * seconds:.3g}\N{NO-BREAK SPACE}ms"
    )
    return text if fits else f"({text})"


def read(name: str) -> Any:
    file = Path("out") / f"{name}.json"
    if not file.exists():
        raise SystemExit(f"{file} is not there; run python -m benchmarks {name} first.")
    return json.loads(file.read_text())


def main() -> None:
    """Print what the constants in out/ make of a cluster, or of another network and memory."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster")
    for name in ("latency", "bandwidth", "memory"):
        parser.add_argument(f"--{name}", type=float)
    network = {
        name: value
        for name, value in vars(parser.parse_args()).items()
        if value is not None
    }
    show(
        replace(machine(read("growth"), read("largest"), read("processes")), **network)
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--take-part"]:
        address, count, index, what, *sizes = sys.argv[2:]
        take_part(address, int(count), int(index), what, *sizes)
    else:
        main()
