"""Seconds until the first step of a run, in fresh processes: without kept programs, with an empty and a filled cache.

A process imports, makes the problem and calls `simulate`; "first step" is `Result.seconds_to_first_step`, "CPU" what
all threads of the process spent from that call to the end of one step.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = 5
METHODS = ("MFLD", "Langevin", "P-SDCA")
TEMPERATURE = 0.01


def run(method: str, directory: str) -> None:
    """In a process of its own: one step, and what went by before it."""
    import jax
    import numpy as np

    import langevax as lx

    if directory:
        lx.run.keep_compiled_programs(directory)
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((1000, 20)).astype(np.float32)
    targets = np.tanh(inputs[:, 0])
    if method == "Langevin":
        problem = lx.FiniteSum(_logistic, (inputs, np.sign(targets)), precision=0.01)
        algorithm, start = lx.Langevin(0.01, TEMPERATURE, lx.gradients.SVRG(100, 50)), np.zeros(20, np.float32)
    else:
        problem = lx.MeanFieldRisk(lx.neurons.TanhTanh(), lx.losses.squared, inputs, targets, precision=TEMPERATURE)
        start = problem.prior(TEMPERATURE, 1000)
        algorithm = lx.meanfield.PSDCA(TEMPERATURE) if method == "P-SDCA" else lx.meanfield.MFLD(0.1, TEMPERATURE)
    began = time.process_time()
    result = lx.simulate(algorithm, problem, start, key=jax.random.key(0), num_steps=1)
    print(json.dumps([result.seconds_to_first_step, time.process_time() - began]))


def _logistic(weights, row):
    import jax

    return jax.nn.softplus(-row[1] * (row[0] @ weights))


def measured(method: str, directory: str = "") -> list[float]:
    """(seconds to the first step, CPU seconds) of a fresh process."""
    code = [sys.executable, "-m", "benchmarks.first_step", method, directory]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_COMP", "JAX_PERS"))}
    return json.loads(subprocess.run(code, check=True, capture_output=True, text=True, env=env).stdout)


def main() -> None:
    """Print medians of fresh processes, which take turns."""
    found: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(RUNS):
        for method in METHODS:
            with tempfile.TemporaryDirectory() as directory:
                for state, where in (("no cache", ""), ("empty cache", directory), ("filled cache", directory)):
                    found.setdefault((method, state), []).append(measured(method, where))
    print(f"{'':>10} {'':>13} {'first step':>11} {'CPU':>8}   medians of {RUNS}")
    for (method, state), times in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{method:>10} {state:>13} {wall:>9.2f} s {cpu:>6.2f} s")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(*sys.argv[1:])
    else:
        main()
