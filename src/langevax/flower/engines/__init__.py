"""Flower's two engines on this machine: started for a block of code, and ended with all their processes.

    with Simulation(num_clients=4) as engine:           # clients are virtual, run by Ray
        outcome = engine.run("myapp", {"rounds": 10})
    with Deployment(num_clients=2) as engine:           # a SuperLink, and a SuperNode for each client
        outcome = engine.run("myapp")

A SuperLink of its own, on a free port of the loopback interface, with a private folder in place of ~/.flwr: nothing is
installed, reported, asked for or left behind, and no other machine is reached. The programs are Flower's own; only what
they are told differs from what `flower-superlink`, `flower-supernode` and `flwr run` are told by hand.
"""

from langevax.flower.engines.credentials import Certificates, NodeKey, make_certificates, make_node_key
from langevax.flower.engines.deployment import Deployment
from langevax.flower.engines.processes import EngineError
from langevax.flower.engines.run import Run, RunOutcome
from langevax.flower.engines.simulation import Simulation
from langevax.flower.engines.superlink import settings_of

__all__ = [
    "Certificates",
    "Deployment",
    "EngineError",
    "NodeKey",
    "Run",
    "RunOutcome",
    "Simulation",
    "make_certificates",
    "make_node_key",
    "settings_of",
]
