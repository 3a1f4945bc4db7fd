"""Federated methods between real machines, on Flower; `pip install 'langevax[flower]'`."""

import importlib
import os
from typing import TYPE_CHECKING, Any

from langevax import checks, renamed

os.environ.setdefault(
    "FLWR_TELEMETRY_ENABLED", "0"
)  # read by Flower at its import; set to 1 where it is wanted

with checks.needs("flower", "langevax.flower"):
    from langevax.flower.client import client_app
    from langevax.flower.evaluation import BestModel
    from langevax.flower.server import server_app
    from langevax.flower.strategy import ClientRules, FederatedStrategy
    from langevax.flower.task import Task

if TYPE_CHECKING:
    from langevax.flower.torch import torch_load, torch_problem, torch_start

__all__ = [
    "BestModel",
    "ClientRules",
    "FederatedStrategy",
    "Task",
    "client_app",
    "server_app",
    "torch_load",
    "torch_problem",
    "torch_start",
]
__dir__: object = __all__.copy

FOR_TORCH = ("torch_load", "torch_problem", "torch_start")


def __getattr__(name: str) -> Any:
    if name in FOR_TORCH:
        with checks.needs(None, f"langevax.flower.{name}"):
            return getattr(importlib.import_module("langevax.flower.torch"), name)
    raise renamed.missing(__name__, name)
