"""What an exchange costs on Flower's engines, beside the bare engine; and FedAvg in process beside Flower's own.

    python -m benchmarks flower

The floor of an exchange is the bare engine: the same vectors there and back by a loop that looks for replies as often,
with clients that compute nothing. `own work` is what the door itself takes: everything between two exchanges and around
the engine's calls. Run it on a machine that does nothing else: an engine starts a process for each message.
"""

import csv
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

APPS = Path(__file__).with_name("apps")
CLIENTS = {"simulation": 4, "deployment": 2}
ROUNDS = {"simulation": 20, "deployment": 5}
AVERAGED_CLIENTS, AVERAGED_ROUNDS = 10, 20
KEPT = 0.25  # of the first rounds, which start processes and compile, nothing is kept


def main() -> None:
    """Print both tables."""
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        exchanges(Path(folder))
        averaging(Path(folder))


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
        own = settled([1000 * float(row["own_seconds"]) for row in rows])
        print(f"{'':<12} {'':>8} {'FLEDGE':<8} {one:>11.3f} {several:>8.3f} {own:>12.1f}", flush=True)


def averaging(folder: Path) -> None:
    """Seconds a round of FedAvg: in process, over Ray by langevax's door, and Flower's own."""
    import sys

    import jax
    import numpy as np

    import langevax as lx

    print(f"\nFedAvg, {AVERAGED_CLIENTS} clients of digits, 16 local steps; seconds a round")
    ends, ours = folder / "ends.json", folder / "fedavg"
    with engine_of("simulation", AVERAGED_CLIENTS) as engine:
        assert engine.run(APPS / "averaging", {"rounds": AVERAGED_ROUNDS, "out": str(ends)}).finished
        settings = {"rounds": AVERAGED_ROUNDS, "out": str(ours), "method": "fedavg"}
        assert engine.run(APPS / "ours", settings).finished
    flower = settled(np.diff(json.loads(ends.read_text())).tolist())
    with (ours / "history.csv").open(newline="") as file:
        door = settled([float(row["seconds"]) for row in csv.DictReader(file)])
    sys.path.insert(0, str(APPS / "ours"))
    from ours.task import METHODS, loss, rows, start

    federation = lx.Federation.of(loss, [rows(i, AVERAGED_CLIENTS) for i in range(AVERAGED_CLIENTS)])

    def run(rounds: int) -> float:
        began = time.monotonic()
        result = lx.simulate(METHODS["fedavg"], federation, start(), key=jax.random.key(0), num_steps=rounds)
        jax.block_until_ready(result.position)
        return time.monotonic() - began

    run(1)
    each = statistics.median((run(1001) - run(1)) / 1000 for _ in range(5))
    print(f"{'Flower, FedAvg, Ray':<28} {flower:>10.4f}")
    print(f"{'langevax on Flower, Ray':<28} {door:>10.4f}")
    print(f"{'langevax in process':<28} {each:>10.6f}   {flower / each:,.0f} times faster than Flower's")
