"""The simulation engine: clients without machines, run by Ray."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from langevax import checks
from langevax.flower.engines.superlink import Engine


class Simulation(Engine):
    """Clients without machines: Ray runs those whose turn it is, on so many processors at once.

    Args:
        num_clients: P.
        cpus_per_client: processors that a client takes while it works.
        cpus: processors for all; by default those of this machine.

    Example (a Flower app in the folder "myapp"):

        with Simulation(num_clients=4) as engine:
            assert engine.run("myapp", {"rounds": 3}).finished
    """

    def __init__(self, num_clients: int, *, cpus_per_client: int = 1, cpus: int | None = None, **options: Any):
        super().__init__(**options)
        checks.positive_int("num_clients", num_clients)
        checks.positive_int("cpus_per_client", cpus_per_client)
        cpus = max(os.cpu_count() or 1, cpus_per_client) if cpus is None else cpus
        checks.positive_int("cpus", cpus, minimum=cpus_per_client)
        self.num_clients, self.cpus_per_client, self.cpus = num_clients, cpus_per_client, cpus

    @property
    def _server_words(self) -> Sequence[str]:
        return ["--insecure", "--simulation"]

    @property
    def _connection(self) -> Mapping[str, Any]:
        return {"insecure": True}

    @property
    def _run_words(self) -> Sequence[str]:
        chosen = {
            "num-supernodes": self.num_clients,
            "client-resources-num-cpus": self.cpus_per_client,
            "init-args-num-cpus": self.cpus,
        }
        return ["--federation-config", " ".join(f"{key}={value}" for key, value in chosen.items())]

    def _start_clients(self) -> None:
        """None: Ray starts with the run, and ends with it."""
