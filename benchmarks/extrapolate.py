"""From one machine to a cluster: what a step of mean-field Langevin would take on k devices, from measured constants.

    particles over k devices:   T = (n a + (d + 1) u) N / k + S(n)
    rows over k devices:        T = (n a / k + (d + 1) u) N + S(N (d + 1))
    a sum of f numbers:         S(f) = (k - 1) l + 2 (k - 1) / k  4 f / w          (0 for k = 1)

with the seconds a of an activation and u of a coordinate's noise and update on one device (out/growth.json), and the
latency l and bandwidth w of a sum over two processes (out/processes.json): two devices send two messages one after the
other, a ring of k devices 2 (k - 1), each of 1 / k of the numbers. Bytes of a particle are those of out/largest.json.

    python -m benchmarks.extrapolate
    python -m benchmarks.extrapolate --latency 20e-6 --bandwidth 12.5e9 --memory 64e9      # another network
"""

import argparse
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROWS, COLUMNS = 1_000, 20
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

    def particles_over(self, devices: int, particles: float, rows: float = ROWS, columns: int = COLUMNS) -> float:
        """Seconds of a step whose particles are split."""
        each = rows * self.activation + (columns + 1) * self.coordinate
        return each * particles / devices + self.sum_of(rows, devices)

    def rows_over(self, devices: int, rows: float, particles: float = FEW_PARTICLES, columns: int = COLUMNS) -> float:
        """Seconds of a step whose rows are split: noise and update are made on every device."""
        each = rows * self.activation / devices + (columns + 1) * self.coordinate
        return each * particles + self.sum_of(particles * (columns + 1), devices)

    def holds_particles(self, devices: int, particles: float, rows: float = ROWS, columns: int = COLUMNS) -> bool:
        """Whether each device has room for its particles and for all rows."""
        return self.particle * particles / devices + 4 * (columns + 1) * rows <= self.memory

    def holds_rows(self, devices: int, rows: float, particles: float = FEW_PARTICLES, columns: int = COLUMNS) -> bool:
        """Whether each device has room for all particles and for its rows."""
        return self.particle * particles + 4 * (columns + 1) * rows / devices <= self.memory

    def most_particles(self, devices: int, rows: float = ROWS, columns: int = COLUMNS) -> int:
        """Particles for which there is room."""
        return math.floor(devices * (self.memory - 4 * (columns + 1) * rows) / self.particle)

    def overtaken(self, particles: float, rows: float = ROWS, columns: int = COLUMNS) -> int:
        """The fewest devices whose sum takes longer than what each of them computes."""
        devices = 2
        while self.sum_of(rows, devices) <= self.particles_over(devices, particles, rows, columns) / 2:
            devices += 1
        return devices


def machine(growth: list[Any], largest: list[Any], processes: dict[str, Any]) -> Machine:
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
        row["bytes"] / row["largest"] for row in largest if (row["method"], row["size"]) == ("MFLD", "particles N")
    )
    return Machine(activation, coordinate, processes["latency"], processes["bandwidth"], bytes_each)


def show(of: Machine) -> None:
    """Tables in Markdown: seconds a step, and how many times as fast as one device where that has room."""
    print(
        f"An activation takes {1e9 * of.activation:.2f} ns, a coordinate {1e9 * of.coordinate:.1f} ns, a sum over two "
        f"{1e6 * of.latency:.0f} us and {1e-9 * of.bandwidth:.2f} GB/s; a particle needs {of.particle:.0f} bytes.\n"
    )
    heads = " | ".join(f"k = {k}" for k in DEVICES)
    print(f"| particles split, n = {ROWS:,}, d = {COLUMNS} | {heads} | sums overtake at |\n" + "|---" * 9 + "|")
    for particles in PARTICLES:
        cells = [cell(of.particles_over(k, particles), of.holds_particles(k, particles)) for k in DEVICES]
        print(f"| N = {particles:,} | {' | '.join(cells)} | {of.overtaken(particles):,} |")
    print("| room for N, millions | " + " | ".join(f"{of.most_particles(k) // 10**6:,}" for k in DEVICES) + " | |\n")
    print(f"| rows split, N = {FEW_PARTICLES:,}, d = {COLUMNS} | {heads} |\n" + "|---" * 8 + "|")
    for rows in MANY_ROWS:
        cells = [cell(of.rows_over(k, rows), of.holds_rows(k, rows)) for k in DEVICES]
        print(f"| n = {rows:,} | {' | '.join(cells)} |")


def cell(seconds: float, fits: bool) -> str:
    """Three digits, or in brackets what would take so long if there were room for it."""
    said = f"{seconds:.3g}\N{NO-BREAK SPACE}s" if seconds >= 1 else f"{1e3 * seconds:.3g}\N{NO-BREAK SPACE}ms"
    return said if fits else f"({said})"


def read(name: str) -> Any:
    file = Path("out") / f"{name}.json"
    if not file.exists():
        raise SystemExit(f"{file} is not there; run python -m benchmarks {name} first.")
    return json.loads(file.read_text())


def main() -> None:
    """Print what the constants in out/ make of a cluster, or of another network and memory."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extrapolate")
    for name in ("latency", "bandwidth", "memory"):
        parser.add_argument(f"--{name}", type=float)
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    show(replace(machine(read("growth"), read("largest"), read("processes")), **given))


if __name__ == "__main__":
    main()
