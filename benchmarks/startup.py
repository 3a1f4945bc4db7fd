"""Cost of starting: importing, the first step of a run, and the memory of one large step, in fresh processes.

A process of `first_step` imports, makes the problem and calls `simulate`, without a compilation cache, with an empty
and with a filled one; "first step" is `Result.seconds_to_first_step`, "CPU" what all threads of the process spent from
that call to the end of one step. `memory` takes a mean-field step at n = 200,000 rows, N = 20,000 particles, d = 20,
whose activations alone would be 16 GB if they were ever whole.

    python -m benchmarks import_time first_step memory
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


def printed(*command: str, **options: dict[str, str]) -> str:
    """Return the output of a fresh interpreter."""
    return subprocess.run(
        [sys.executable, *command],
        check=True,
        capture_output=True,
        text=True,
        **options,
    ).stdout


def import_time(runs: int = 9) -> None:
    """Print the seconds of `import langevax` over `import jax`, a median over processes that take turns."""

    def seconds(code: str) -> float:
        timed = f"import time; began = time.perf_counter(); {code}; print(time.perf_counter() - began)"
        return float(printed("-c", timed))

    seconds("import langevax")
    extra = [seconds("import langevax") - seconds("import jax") for _ in range(runs)]
    print(
        f"import langevax over import jax: {statistics.median(extra):.3f} s of at most 0.3 s"
    )


LARGE_STEP = """
import resource, time
import jax, numpy as np
import langevax as lx
n, d, N = 200_000, 20, 20_000
rng = np.random.default_rng(0)
X = (rng.standard_normal((n, d)) / np.sqrt(d)).astype(np.float32)
risk = lx.MeanFieldRisk(lx.neurons.Tanh(), lx.losses.squared, X, np.tanh(3 * X[:, 0]), precision=0.01)
mfld = lx.meanfield.MFLD(step_size=0.1, temperature=0.01)
result = lx.simulate(mfld, risk, risk.prior(0.01, N), key=jax.random.key(0), num_steps=1)
assert np.isfinite(np.asarray(result.position)).all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, result.seconds)
"""


def memory() -> None:
    """Print the peak of resident memory, interpreter and JAX included."""
    peak, seconds = map(float, printed("-c", LARGE_STEP).split())
    print(
        f"one step at n = 200,000, N = 20,000, d = 20: peak {peak:.0f} MiB of at most 1024, "
        f"{seconds:.1f} s with compilation"
    )


def first_step() -> None:
    """Print medians of fresh processes, which take turns."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JAX_COMP", "JAX_PERS"))
    }
    times: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(RUNS):
        for method in METHODS:
            with tempfile.TemporaryDirectory() as directory:
                for state, where in (
                    ("no cache", ""),
                    ("empty cache", directory),
                    ("filled cache", directory),
                ):
                    words = printed("-m", "benchmarks.startup", method, where, env=env)
                    times.setdefault((method, state), []).append(json.loads(words))
    print(f"{'':>10} {'':>13} {'first step':>11} {'CPU':>8}   medians of {RUNS}")
    for (method, state), pairs in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{method:>10} {state:>13} {wall:>9.2f} s {cpu:>6.2f} s")


def run(method: str, directory: str) -> None:
    """Take one step in a process of its own; print the seconds and CPU seconds that it took."""
    import jax
    import numpy as np

    import langevax as lx

    if directory:
        lx.run.keep_compiled_programs(directory)
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((1000, 20)).astype(np.float32)
    targets = np.tanh(inputs[:, 0])
    if method == "Langevin":

        def logistic(weights, row):
            return jax.nn.softplus(-row[1] * (row[0] @ weights))

        problem = lx.FiniteSum(logistic, (inputs, np.sign(targets)), precision=0.01)
        algorithm, start = (
            lx.Langevin(0.01, TEMPERATURE, lx.gradients.SVRG(100, 50)),
            np.zeros(20, np.float32),
        )
    else:
        problem = lx.MeanFieldRisk(
            lx.neurons.TanhTanh(),
            lx.losses.squared,
            inputs,
            targets,
            precision=TEMPERATURE,
        )
        start = problem.prior(TEMPERATURE, 1000)
        algorithm = (
            lx.meanfield.PSDCA(TEMPERATURE)
            if method == "P-SDCA"
            else lx.meanfield.MFLD(0.1, TEMPERATURE)
        )
    began = time.process_time()
    result = lx.simulate(algorithm, problem, start, key=jax.random.key(0), num_steps=1)
    print(json.dumps([result.seconds_to_first_step, time.process_time() - began]))


if __name__ == "__main__":
    run(*sys.argv[1:])
