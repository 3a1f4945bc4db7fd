"""Federated rounds: FLEDGE over a thousand clients in process, and what an exchange costs on Flower's engines.

    python -m benchmarks federated flower

`federated` has models of ten thousand numbers. Its floor is what the arithmetic reads: 32 clients' rows and table
entries, out of 1,000 of each that lie in memory. A table copied at each exchange would cost 40 MB there and back.

The floor of an exchange on Flower's engines is the bare engine: the same vectors there and back by a loop that looks
for replies as often, with clients that compute nothing. `own work` is the time of langevax's server: everything between
two exchanges and around the engine's calls. Run it on an otherwise idle machine: an engine starts a process for each
message. The table beside peers has FedAvg in process and on Flower's simulation.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.beside.case import Candidate, Case, RunResult
from benchmarks.beside.measure import in_turns, median

NUM_CLIENTS, ROWS, DIM, ASKED = 1_000, 2, 10_000, 32
LOCAL_STEPS, NUM_ROUNDS = 4, 400


def squared(x, row):
    inputs, target = row
    return (inputs @ x - target) ** 2 / 2


def main() -> None:
    """Print exchanges and vectors per second for both ways to hold the table, and for FedAvg with as many clients."""
    print(
        f"P = {NUM_CLIENTS:,}, p = {ASKED}, d = {DIM:,}, K = {LOCAL_STEPS}; load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'':<24} {'exchanges/s':>12} {'vectors/s':>12} {'MB/s moved':>12}")
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((NUM_CLIENTS, ROWS, DIM), np.float32) / np.float32(
        DIM**0.5
    )
    federation = lx.Federation(squared, (inputs, inputs[..., 0] + np.float32(1)))
    common = {
        "step_size": 0.1,
        "num_local_steps": LOCAL_STEPS,
        "batch_size": 1,
        "clients_per_round": ASKED,
    }
    methods = {
        "FLEDGE": lx.federated.FLEDGE(**common),
        "FedAvg": lx.federated.FedAvg(**common),
    }
    starts = {
        name: lx.simulate(
            method, federation, jnp.zeros(DIM), key=jax.random.key(0), num_steps=1
        )
        for name, method in methods.items()
    }

    def run(method, num_steps):
        return lx.simulate(
            method,
            federation,
            jnp.zeros(DIM),
            key=jax.random.key(0),
            num_steps=num_steps,
        )

    calls = {}
    for name, method in methods.items():
        calls[f"{name}, 1"] = lambda method=method: run(method, 1)
        calls[name] = lambda method=method: run(method, NUM_ROUNDS + 1)
    times = in_turns(calls, repeats=3)
    for name, method in methods.items():
        spent = median(times[name]) - median(
            times[f"{name}, 1"]
        )  # without the start, which asks all clients
        counts = {
            k: v - starts[name].counts[k]
            for k, v in run(method, NUM_ROUNDS + 1).counts.items()
        }
        rates = [
            counts["exchanges"] / spent,
            counts["vectors"] / spent,
            counts["bytes"] / spent / 1e6,
        ]
        print(f"{name:<24} {rates[0]:>12,.0f} {rates[1]:>12,.0f} {rates[2]:>12,.0f}")


APPS = Path(__file__).with_name("apps")
CLIENTS = {"simulation": 4, "deployment": 2}
ROUNDS = {"simulation": 20, "deployment": 5}
AVERAGED_CLIENTS, AVERAGED_ROUNDS = 10, 20
KEPT = 0.25  # of the first rounds, which start processes and compile, nothing is kept


def flower() -> None:
    """Print the table of exchanges."""
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        exchanges(Path(folder))


def engine_of(kind: str, clients: int):
    from tools.engines import Deployment, Simulation

    return Simulation(clients) if kind == "simulation" else Deployment(clients)


def settled(seconds: list[float]) -> float:
    """The median without the first quarter."""
    return statistics.median(seconds[round(KEPT * len(seconds)) :])


def exchanges(folder: Path) -> None:
    """Seconds of FLEDGE's exchanges on each engine, and of the bare engine's."""
    print(
        f"{'engine':<12} {'start s':>8} {'':<8} {'one client':>11} {'two':>8} {'own work ms':>12}"
    )
    for kind, clients in CLIENTS.items():
        began = time.monotonic()
        with engine_of(kind, clients) as engine:
            started = time.monotonic() - began
            bare, ours = folder / f"{kind}.json", folder / kind
            settings = {"rounds": ROUNDS[kind], "out": str(bare), "clients": 2}
            assert engine.run(APPS / "bare", settings).finished
            times = json.loads(bare.read_text())
            one, several = settled(times["one"]), settled(times["several"])
            print(
                f"{kind:<12} {started:>8.1f} {'bare':<8} {one:>11.3f} {several:>8.3f}",
                flush=True,
            )
            settings = {"rounds": ROUNDS[kind], "out": str(ours), "method": "fledge"}
            assert engine.run(APPS / "ours", settings).finished
        rows = [row for row in history(ours) if row["exchange"].startswith("round")]
        one, several = (
            settled([r["seconds"] for r in rows if r["exchange"] == f"round/{i}"])
            for i in (0, 1)
        )
        own = settled([1000 * row["server_seconds"] for row in rows])
        print(
            f"{'':<12} {'':>8} {'FLEDGE':<8} {one:>11.3f} {several:>8.3f} {own:>12.1f}",
            flush=True,
        )


def app(
    name: str, settings: dict[str, Any], read: Callable[[Path], RunResult]
) -> Callable[[int], Callable[[], RunResult]]:
    """Runs of one of the apps, for so many rounds, in a simulation of its own."""

    def make(rounds: int) -> Callable[[], RunResult]:
        from flwr.app import ArrayRecord  # noqa: F401 - raises here where it is not installed

        def run() -> RunResult:
            with (
                tempfile.TemporaryDirectory() as folder,
                engine_of("simulation", AVERAGED_CLIENTS) as engine,
            ):
                out = Path(folder) / "out"
                outcome = engine.run(
                    APPS / name, settings | {"rounds": rounds, "out": str(out)}
                )
                if not outcome.finished:
                    raise RuntimeError(
                        f"Flower's app {name!r} did not finish: {outcome}"
                    )
                return read(out)

        return run

    return make


def of_flower(out: Path) -> RunResult:
    """Return the numbers that Flower's own server noted."""
    noted = json.loads(out.read_text())
    return RunResult(
        1,
        settled(np.diff(noted["ends"]).tolist()),
        {"kB": 2 * AVERAGED_CLIENTS * noted["bytes"] / 1e3},
    )


def history(out: Path) -> list[dict[str, Any]]:
    """Return the exchanges that our server noted."""
    lines = (out / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def of_ours(out: Path) -> RunResult:
    """Return the numbers that our server noted."""
    return RunResult(1, settled([row["seconds"] for row in history(out)]))


def in_process(rounds: int) -> Callable[[], RunResult]:
    """The same rounds without an engine; what a run costs at all is left out, as it is on Flower."""
    sys.path.insert(0, str(APPS / "ours"))
    from ours import METHODS, loss, rows, start

    federation = lx.Federation.of(
        loss, [rows(i, AVERAGED_CLIENTS) for i in range(AVERAGED_CLIENTS)]
    )

    def result(rounds: int) -> Any:
        return lx.simulate(
            METHODS["fedavg"],
            federation,
            start(),
            key=jax.random.key(0),
            num_steps=rounds,
            run=lx.Run(progress=False),
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
