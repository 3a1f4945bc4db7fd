"""Flower's two engines on this machine, for tests and benchmarks: started for a block of code and ended with it.

    with Simulation(num_clients=4) as engine:           # virtual clients, run by Ray
        outcome = engine.run("myapp", {"rounds": 10})
    with Deployment(num_clients=2) as engine:           # a SuperLink, and a SuperNode for each client
        outcome = engine.run("myapp")

Each has its own SuperLink, on a free port of the loopback interface, with a private folder in place of ~/.flwr: nothing
is installed or left behind, no telemetry is sent, and no other machine is reached. The programs are Flower's own
(`flower-superlink`, `flower-supernode`, `flwr run`); an engine chooses their options and environment.
"""

from tools.engines.engine import (
    AppRun,
    Deployment,
    RunOutcome,
    Simulation,
    app_config,
)
from tools.engines.processes import EngineError

__all__ = [
    "AppRun",
    "Deployment",
    "EngineError",
    "RunOutcome",
    "Simulation",
    "app_config",
]
