"""One cloud shared by two processes with a core each, against one process with one core.

Each repetition runs both, one after the other; a process is bound to its core and says what its steps took, compiling
left out. The first of a sharing pair speaks: both wait for each other at every step.

    python -m benchmarks processes
"""

import json
import os
import socket
import subprocess
import sys
import time

from benchmarks.timing import median

ROWS, COLUMNS, STEPS, REPEATS = 1_000, 20, 12, 5
PARTICLES = (10_000, 100_000)


def main() -> None:
    """Print seconds a step and how much faster two are."""
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed")
    print(f"MFLD, n = {ROWS:,}, d = {COLUMNS}; seconds a step: medians of {REPEATS} runs in turns")
    for particles in PARTICLES:
        pairs = [(seconds(1, particles), seconds(2, particles)) for _ in range(REPEATS)]
        one, two = (median([pair[i] for pair in pairs]) for i in (0, 1))
        ratio = median([alone / shared for alone, shared in pairs])
        print(f"N = {particles:7,}   one process {one:.4f}   two {two:.4f}   {ratio:.2f} times as fast", flush=True)


def seconds(count: int, particles: int) -> float:
    """Of a step, by `count` processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = [sys.executable, "-m", "benchmarks.processes", address, str(count)]
    processes = [
        subprocess.Popen(
            [*words, str(index), str(particles)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for index in range(count)
    ]
    said = [process.communicate() for process in processes]
    if any(process.returncode for process in processes):
        sys.exit(said[0][1] + said[-1][1])
    return json.loads(said[0][0])


def measure(address: str, count: int, index: int, particles: int) -> None:
    """Bind to a core, take part, print seconds a step."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[index]})
    import jax
    import numpy as np

    import langevax
    from langevax.run import joined

    jax.config.update("jax_num_cpu_devices", 1)
    with joined(address, count, index):
        mesh = jax.make_mesh((count,), ("particles",))
        inputs = np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype(np.float32) / np.float32(COLUMNS**0.5)
        risk = langevax.MeanFieldRisk(
            langevax.neurons.Tanh(), langevax.losses.squared, inputs, np.tanh(3 * inputs[:, 0]), precision=0.01
        )
        mfld = langevax.meanfield.MFLD(step_size=0.1, temperature=0.01)
        options = {"key": jax.random.key(0), "sharding": mesh, "progress": False}
        warm = langevax.simulate(mfld, risk, risk.prior(0.01, particles), num_steps=1, **options)
        start = langevax.run.whole(warm.position)

        def run(steps: int) -> float:
            began = time.perf_counter()
            langevax.simulate(mfld, risk, start, num_steps=steps, **options)
            return time.perf_counter() - began

        few, many = run(2), run(2 + STEPS)
        if index == 0:
            print(json.dumps((many - few) / STEPS))


if __name__ == "__main__":
    measure(sys.argv[1], *map(int, sys.argv[2:]))
