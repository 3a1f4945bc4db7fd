"""What an exchange costs on Flower's engines, beside the bare engine; and FedAvg in process beside Flower's own.

    python -m benchmarks flower

The floor of an exchange is the bare engine: the same vectors there and back by a loop that looks for replies as often,
with clients that compute nothing. `own work` is the time of langevax's server: everything between two exchanges and
around the engine's calls. Run it on an otherwise idle machine: an engine starts a process for each message.
"""

import csv
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.beside.case import Candidate, Case, RunResult

APPS = Path(__file__).with_name("apps")
CLIENTS = {"simulation": 4, "deployment": 2}
ROUNDS = {"simulation": 20, "deployment": 5}
AVERAGED_CLIENTS, AVERAGED_ROUNDS = 10, 20
KEPT = 0.25  # of the first rounds, which start processes and compile, nothing is kept


def main() -> None:
    """Print the table of exchanges."""
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        exchanges(Path(folder))


def engine_of(kind: str, clients: int):
    from langevax.flower.engines import Deployment, Simulation

    return Simulation(clients) if kind == "simulation" else Deployment(clients)


def settled(seconds: list[float]) -> float:
    """The median without the first quarter."""
    return statistics.median(seconds[round(KEPT * len(seconds)) :])


def exchanges(folder: Path) -> None:
    """Seconds of FLEDGE's exchanges on each engine, and of the bare engine's."""
    print(f"{'engine':<12} {'start s':>8} {'':<8} {'one client':>11} {'two':>8} {'own work ms':>12}")
    for kind, clients in CLIENTS.items():
        began = time.monotonic()
        with engine_of(kind, clients) as engine:
            started = time.monotonic() - began
            bare, ours = folder / f"{kind}.json", folder / kind
            settings = {"rounds": ROUNDS[kind], "out": str(bare), "clients": 2}
            assert engine.run(APPS / "bare", settings).finished
            found = json.loads(bare.read_text())
            one, several = settled(found["one"]), settled(found["several"])
            print(f"{kind:<12} {started:>8.1f} {'bare':<8} {one:>11.3f} {several:>8.3f}", flush=True)
            settings = {"rounds": ROUNDS[kind], "out": str(ours), "method": "fledge"}
            assert engine.run(APPS / "ours", settings).finished
        with (ours / "history.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["exchange"].startswith("round")]
        one, several = (settled([float(r["seconds"]) for r in rows if r["exchange"] == f"round/{i}"]) for i in (0, 1))
        own = settled([1000 * float(row["server_seconds"]) for row in rows])
        print(f"{'':<12} {'':>8} {'FLEDGE':<8} {one:>11.3f} {several:>8.3f} {own:>12.1f}", flush=True)


def app(
    name: str, settings: dict[str, Any], read: Callable[[Path], RunResult]
) -> Callable[[int], Callable[[], RunResult]]:
    """Runs of one of the apps, for so many rounds, in a simulation of its own."""

    def make(rounds: int) -> Callable[[], RunResult]:
        from flwr.app import ArrayRecord  # noqa: F401 - not installed is said here

        def run() -> RunResult:
            with tempfile.TemporaryDirectory() as folder, engine_of("simulation", AVERAGED_CLIENTS) as engine:
                out = Path(folder) / "out"
                outcome = engine.run(APPS / name, settings | {"rounds": rounds, "out": str(out)})
                if not outcome.finished:
                    raise RuntimeError(f"Flower's app {name!r} did not finish: {outcome}")
                return read(out)

        return run

    return make


def of_flower(out: Path) -> RunResult:
    """What Flower's own server noted."""
    noted = json.loads(out.read_text())
    return RunResult(1, settled(np.diff(noted["ends"]).tolist()), {"kB": 2 * AVERAGED_CLIENTS * noted["bytes"] / 1e3})


def of_ours(out: Path) -> RunResult:
    """What our server noted."""
    with (out / "history.csv").open(newline="") as file:
        return RunResult(1, settled([float(row["seconds"]) for row in csv.DictReader(file)]))


def in_process(rounds: int) -> Callable[[], RunResult]:
    """The same rounds without an engine; what a run costs at all is left out, as it is on Flower."""
    import jax

    import langevax as lx

    sys.path.insert(0, str(APPS / "ours"))
    from ours.task import METHODS, loss, rows, start

    federation = lx.Federation.of(loss, [rows(i, AVERAGED_CLIENTS) for i in range(AVERAGED_CLIENTS)])

    def result(rounds: int) -> Any:
        return lx.simulate(
            METHODS["fedavg"], federation, start(), key=jax.random.key(0), num_steps=rounds, progress=False
        )

    result(1)  # compiles

    def run() -> RunResult:
        began = time.monotonic()
        few = result(1)
        middle = time.monotonic()
        many = result(1 + rounds)
        seconds = (time.monotonic() - middle) - (middle - began)
        sent = {"kB": (many.counts["bytes"] - few.counts["bytes"]) / rounds / 1e3}
        return RunResult(1, seconds / rounds, sent)

    return run


CASES = (
    Case(
        f"FedAvg, {AVERAGED_CLIENTS} clients of digits, 16 local steps",
        "a round",
        (
            Candidate("langevax, in process", in_process, 1000, "ours"),
            Candidate(
                "Flower's FedAvg, its simulation",
                app("averaging", {}, of_flower),
                AVERAGED_ROUNDS,
                aim=20,
                one_process=False,
            ),
            Candidate(
                "langevax on Flower's simulation",
                app("ours", {"method": "fedavg"}, of_ours),
                AVERAGED_ROUNDS,
                one_process=False,
            ),
        ),
        turns=1,
        warm=False,
        limit=180,
    ),
)
