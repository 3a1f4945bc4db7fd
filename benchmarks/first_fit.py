"""Cost of the first fit of an estimator, in fresh processes, and what tables of ever more shapes leave behind.

`first_fit` fits `MeanFieldRegressor` with its defaults to 500 rows of 12 columns: without a compilation cache, with an
empty one, and in later processes with what that one kept, also for a table of another shape in the same buckets. CPU
seconds are those of all threads. "first" is the fit, "again" the same fit once more, which is what running alone costs;
tracing, lowering and compiling (or loading) are in seconds of the clock, as JAX measures them. Then 300 numbers of
columns are fitted in one process, in few steps, since programs do not depend on their number.

    python -m benchmarks first_fit
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

from benchmarks.startup import printed

ROWS, COLUMNS, OTHER = 500, 12, (487, 10)
WIDTHS = 300
PHASES = {
    "tracing": "jaxpr_trace_duration",
    "lowering": "jaxpr_to_mlir_module_duration",
    "compiling": "backend_compile_duration",
}


def main() -> None:
    """Print one line a process, then the growth over WIDTHS numbers of columns."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JAX_COMP", "JAX_PERS"))
    }
    with tempfile.TemporaryDirectory() as directory:
        cases = {
            "no cache": ("", ROWS, COLUMNS),
            "empty cache": (directory, ROWS, COLUMNS),
            "second process": (directory, ROWS, COLUMNS),
            "third process, another shape": (directory, *OTHER),
        }
        print(
            f"{'CPU seconds':>28}  jax  sklearn  langevax | first  again | {'  '.join(PHASES)}  programs | maps   MB"
        )
        for name, case in cases.items():
            numbers = json.loads(
                printed("-m", "benchmarks.first_fit", *map(str, case), env=env)
            )
            print(
                f"{name:>28} {numbers['jax']:>4.2f} {numbers['sklearn']:>8.2f} {numbers['langevax']:>9.2f} | "
                f"{numbers['first']:>5.2f} {numbers['again']:>6.2f} | {numbers['tracing']:>7.2f} "
                f"{numbers['lowering']:>9.2f} {numbers['compiling']:>10.2f} {numbers['programs']:>9} | "
                f"{numbers['maps']:>4} {numbers['megabytes']:>4.0f}"
            )
        print(
            f"aim: the second process's first fit under 2 CPU seconds\n\n{WIDTHS} numbers of columns in one process:"
        )
        print(printed("-m", "benchmarks.first_fit", directory, env=env), end="")
        print("aim: at most 150 MB and 2,000 maps more than after the first")


def fit(rows: int, columns: int, num_steps: int | Literal["auto"] = "auto") -> None:
    """Fit and predict a table of noise and a sine."""
    import numpy as np

    from langevax.sklearn import MeanFieldRegressor

    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, columns))
    y = np.sin(X[:, 0]) + X[:, -1] + 0.3 * rng.standard_normal(rows)
    MeanFieldRegressor(num_steps=num_steps, random_state=0).fit(X, y).predict(X)


def first(directory: str, rows: int, columns: int) -> None:
    """Print what a first fit costs this process, as JSON."""
    seconds, clock = {}, time.process_time()

    def measured(name: str) -> None:
        nonlocal clock
        seconds[name], clock = time.process_time() - clock, time.process_time()

    import jax

    measured("jax")
    import sklearn.ensemble  # noqa: F401

    measured("sklearn")
    import langevax.sklearn

    measured("langevax")
    if directory:
        langevax.run.keep_compiled_programs(directory)
    events: list[tuple[str, float]] = []

    def observe(event: str, duration_secs: float, **_: str | int) -> None:
        events.append((Path(event).name, duration_secs))

    jax.monitoring.register_event_duration_secs_listener(observe)
    maps, megabytes = memory()
    clock = time.process_time()
    fit(rows, columns)
    measured("first")
    phases = {
        name: sum(took for event, took in events if event == phase)
        for name, phase in PHASES.items()
    }
    programs = sum(event == PHASES["compiling"] for event, _ in events)
    more = {
        "programs": programs,
        "maps": memory()[0] - maps,
        "megabytes": memory()[1] - megabytes,
    }
    clock = time.process_time()
    fit(rows, columns)
    measured("again")
    print(json.dumps(seconds | phases | more))


def grow(directory: str) -> None:
    """Print the growth of this process over WIDTHS numbers of columns."""
    import langevax.run

    langevax.run.keep_compiled_programs(directory)
    fit(200, 1, num_steps=10)
    maps, megabytes = memory()
    began, most = time.process_time(), (0, 0.0)
    for columns in range(1, WIDTHS + 1):
        fit(200, columns, num_steps=10)
        growth = memory()[0] - maps, memory()[1] - megabytes
        most = max(most[0], growth[0]), max(most[1], growth[1])
        if columns % 100 == 0:
            took = time.process_time() - began
            print(
                f"{columns:>4}: {growth[0]:>5} maps, {growth[1]:>4.0f} MB, {took:.0f} CPU seconds so far",
                flush=True,
            )
    print(f"most: {most[0]:>5} maps, {most[1]:>4.0f} MB")


def memory() -> tuple[int, float]:
    """Return the memory maps and the resident megabytes of this process, which Linux lists."""
    maps = Path("/proc/self/maps").read_bytes().count(b"\n")
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return maps, pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    if len(sys.argv) == 2:
        grow(sys.argv[1])
    else:
        first(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
